"""Experiments: pictures of what training runs measured."""
