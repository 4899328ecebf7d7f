"""lightfer: an honest benchmark of lightweight CNNs for facial emotion recognition."""
