"""What computes a trained net: backends, exported files and their card, prediction on pictures."""
