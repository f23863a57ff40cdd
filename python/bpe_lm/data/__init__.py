"""The corpora: downloaded or made up. Nothing here imports torch."""
