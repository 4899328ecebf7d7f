"""The page of `lightfer report`: one HTML file that needs nothing beside it."""
