"""Corpora: downloaded, or made up. Without torch."""
