#!/usr/bin/env python3
"""Train a byte-level BPE tokenizer of 32,000 tokens on OpenWebText, and compare it with TinyStories' tokenizer.

Profile the whole process with `/usr/bin/time -v .venv/bin/python train_bpe_expts_owt.py`,
or its Python part with `--profile`.
"""

from pathlib import Path

from bpe_lm.cli.course import Experiment, run

from train_bpe_tinystories import TINYSTORIES

OPENWEBTEXT = Experiment(
    name="openwebtext",
    corpus=Path("data/owt_train.txt"),
    vocab_size=32_000,
    folder=Path("runs/openwebtext"),
    how_to_get=(
        "`bpe-lm data download openwebtext` downloads it packed from Hugging Face, stanford-cs336/owt-sample "
        "(the course's sample of OpenWebText, 11.9 GB of text)."
    ),
)

if __name__ == "__main__":
    raise SystemExit(run(OPENWEBTEXT, __doc__, other=TINYSTORIES))
