"""Optimizers, a file each; the groups of parameters that they update; clipping; and how a run makes its own."""
