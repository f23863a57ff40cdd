"""The Transformer language model: its config, its layers, its loss, and the generation of text."""
