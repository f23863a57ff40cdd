"""Training runs: from a config to checkpoints."""
