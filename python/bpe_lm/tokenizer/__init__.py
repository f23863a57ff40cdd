"""Tokenizers: trained, saved, inspected, compared; and the token files that they write. Without torch."""
