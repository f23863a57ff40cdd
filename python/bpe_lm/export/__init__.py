"""Trained models where other programs read them, and the way back."""
