"""Tokenizers: train, save, inspect and compare them, and encode texts into token files. Nothing here needs torch."""
