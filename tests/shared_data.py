"""The folder of texts and arrays that some tests want, beside the repository. They skip where it is absent."""

from pathlib import Path

SHARED = Path(__file__).parents[2] / "shared" / "data"
