"""The formulas' fast forms, and which one is used when."""
