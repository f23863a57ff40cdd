"""Write trained models in the formats of other programs, and read them back."""
