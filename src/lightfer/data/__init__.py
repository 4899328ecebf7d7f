"""Faces and labels in memory: real FER2013 from the files users have, or synthetic ones."""
