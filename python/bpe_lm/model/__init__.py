"""The Transformer: its config, its parts, its loss, and the text that it writes."""
