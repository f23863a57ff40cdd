"""Questions that are answered by runs, and their pictures."""
