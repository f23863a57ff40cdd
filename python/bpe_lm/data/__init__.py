"""Corpora to train on: downloads and a made-up sample. Nothing here imports torch."""
