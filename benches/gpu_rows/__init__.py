"""The parts of benches/gpu.py: what is measured, the process of a variant, and the table."""
