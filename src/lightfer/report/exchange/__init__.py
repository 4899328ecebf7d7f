"""Results in the forms of others: flat tables, LaTeX, BoAmps."""
