"""Results for people: records in, formatted rows out. Needs no torch."""
