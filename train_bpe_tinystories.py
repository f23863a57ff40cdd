#!/usr/bin/env python3
"""Train a byte-level BPE tokenizer of 10,000 tokens on TinyStories.

Profile the whole process with `/usr/bin/time -v .venv/bin/python train_bpe_tinystories.py`,
or its Python part with `--profile`.
"""

from pathlib import Path

from bpe_lm.cli.course import Experiment, run

TINYSTORIES = Experiment(
    name="tinystories",
    corpus=Path("data/TinyStoriesV2-GPT4-train.txt"),
    vocab_size=10_000,
    folder=Path("runs/tinystories"),
    how_to_get="`bpe-lm data download tinystories` downloads it (2.2 GB) from Hugging Face, roneneldan/TinyStories.",
)

if __name__ == "__main__":
    raise SystemExit(run(TINYSTORIES, __doc__))
