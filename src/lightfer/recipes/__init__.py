"""Recipes: one file each, `config_for(model)` says how a network is trained."""
