"""training_together: is there a script that trains with all hyperparameters configurable, and what does it record?

Answer: `bpe-lm pretrain`. Each field of its config is a flag, tokens are memory maps, and metrics.jsonl has the losses.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from math import log
from pathlib import Path
from typing import Any

from bpe_lm.data.sample import write_samples
from bpe_lm.experiments.blocks import Block, Check, Code, Table, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.base_run import BASE, base
from bpe_lm.experiments.cs336.checks import counted
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.runs import RunRecord, read_run
from bpe_lm.tokenizer.token_file import open_tokens
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from bpe_lm.training.config import CHECKPOINTS, DataConfig

STEPS = 10
"""Steps of the small run that is made if the base run has not begun."""

RATE_LIMIT = 1e-7
FIRST_LOSS_LIMIT = 0.5

TRAIN_FIELDS = ("step", "tokens", "seconds", "loss", "learning_rate", "gradient_norm", "tokens_per_second")
VALID_FIELDS = ("step", "loss")


def answer(results: Results) -> Iterator[Block]:
    """Show the base run, or else a small run that is made for this section."""
    yield Text(
        "The script is `bpe-lm pretrain`. Each field of its config is a flag and a key of a TOML or JSON file. Token "
        "files are memory maps, checkpoints go into the folder that `--out` names, and losses of training and "
        "validation go to the console, to metrics.jsonl and, if asked for, to a tracker such as Weights & Biases."
    )
    record = results.run(BASE)
    if record is not None and record.train:
        yield Code("bpe-lm pretrain configs/base.json --out base --resume", "console")
        yield from described(record)
        return
    yield Text("The base run has no record yet. This small run was made for the report instead:")
    with tempfile.TemporaryDirectory() as folder:
        command, record = _small_run(Path(folder))
        yield Code(command, "console")
        yield from described(record)


def described(record: RunRecord) -> Iterator[Block]:
    """Show what a run's config has and what it recorded, and check the records."""
    yield Table(("key", "value"), list(_keys(asdict(record.config))), "Every hyperparameter of the run.")
    shown = sorted({0, len(record.train) // 2, len(record.train) - 1})
    rows = [[record.train[number].get(name) for name in TRAIN_FIELDS] for number in shown]
    yield Table(TRAIN_FIELDS, rows, f"The first, the middle and the last of {len(record.train)} records of training.")
    if record.valid:
        rows = [[valid.get(name) for name in VALID_FIELDS] for valid in record.valid[-3:]]
        yield Table(VALID_FIELDS, rows, f"The last of {len(record.valid)} records of validation.")
    yield from _checks(record)


def _keys(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key with its value, and of a file only its name."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", Path(value).name if prefix == "data." else str(value)


def _checks(record: RunRecord) -> Iterator[Check]:
    config, train = record.config, record.train
    missing = sum(name not in each for each in train for name in TRAIN_FIELDS)
    missing += sum(name not in each for each in record.valid for name in VALID_FIELDS)
    yield counted("fields that a record lacks", missing)
    wrong = sum(each["tokens"] != each["step"] * config.batch_size * config.model.context_length for each in train)
    yield counted("records whose tokens are not steps x rows x context", wrong)
    if config.schedule.shape == "cosine" and not config.schedule.decay:
        yield Check("learning rates, relative", _worst_rate(record), RATE_LIMIT, "the schedule's formula in 40 digits")
    if train[0]["step"] == 1:
        vocab_size = config.model.vocab_size
        difference = abs(train[0]["loss"] - log(vocab_size))
        yield Check("the loss of the first step", difference, FIRST_LOSS_LIMIT, f"that of a guess, log {vocab_size:,},")
    if len(train) > 1:
        gained = train[-1]["loss"] - train[0]["loss"]
        yield Check("the last training loss", gained, 0.0, "the first")
    if train[-1]["step"] > config.checkpoint_every:
        saved = any((record.folder / CHECKPOINTS).glob("*"))
        yield counted("checkpoints missing in the run's folder", int(not saved))
    for name in ("train", "valid"):
        path = Path(getattr(config.data, name))
        if path.is_file():
            yield counted(f"{name} files that are no memory map", int(not _is_mapped(path)))


def _worst_rate(record: RunRecord) -> float:
    """Return the largest relative difference of a record's learning rate from the formula, or NaN."""
    schedule, steps = record.config.schedule, record.config.steps
    highest = Decimal(repr(schedule.max_learning_rate))
    lowest, warmup = highest * Decimal(repr(schedule.min_ratio)), schedule.lengths(steps)[0]
    differences = []
    for each in record.train:
        expected = oracles.cosine_schedule(each["step"], highest, lowest, warmup, steps)
        differences.append(abs(each["learning_rate"] - expected) / expected)
    return max(differences, key=lambda difference: (difference != difference, difference))


def _is_mapped(path: Path) -> bool:
    import numpy as np

    return isinstance(open_tokens(path), np.memmap)


def _small_run(folder: Path) -> tuple[str, RunRecord]:
    """Train a few steps on made-up stories, whose tokens are bytes. Returns the command, with short names, and the run.

    Raises:
        RuntimeError: The command failed.
    """
    data = _small_data(folder)
    flags = [flag for name, path in vars(data).items() for flag in (f"--data.{name}", path)]
    flags += ["--steps", str(STEPS), "--schedule.max-learning-rate", "1e-2", "--checkpoint-every", str(STEPS // 2)]
    flags += ["--validation-tokens", "2000", "--device", "cpu", "--quiet"]
    command = ["pretrain", "debug", "--out", str(folder / "run"), *flags]
    # One thread, because operations of microseconds only wait for others.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "bpe_lm", *command], capture_output=True, text=True, env=environment)
    record = read_run(folder / "run")
    shown = f"bpe-lm {' '.join(command)}".replace(f"{folder}/", "")
    if done.returncode or record is None:
        raise RuntimeError(f"{shown} failed with status {done.returncode}: {done.stderr.strip()[-500:]}")
    return shown, record


def _small_data(folder: Path) -> DataConfig:
    texts = write_samples(folder, 0.2)
    tokenizer = Tokenizer({byte: bytes([byte]) for byte in range(256)}, [], [END_OF_TEXT])
    tokenizer.save(folder / "tokenizer")
    train, valid = folder / "train.bin", folder / "valid.bin"
    for text, tokens in zip(texts, (train, valid), strict=True):
        tokenizer.encode_file(text, tokens)
    return DataConfig(str(train), str(valid), str(folder / "tokenizer"))


QUESTION = Question(
    row=28,
    name="training_together",
    points=4,
    kind="check",
    asked="Write a script that trains: configurable, with memory-mapped data, checkpoints and records of losses.",
    answer=guarded(answer),
    work=lambda results: (base(results),),
)
