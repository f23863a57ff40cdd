"""Experiments: pictures of the losses of training runs."""
