"""Replay a step of a run: its batch as text, the loss of each token, and the norms of gradients and weights.

The result of a step depends only on the config, the weights and the optimizer's state. So the steps after the newest
checkpoint before the step are done again, by a Trainer in a folder of its own, and nothing in the run's folder changes.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import inf, isclose, isnan
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn import Parameter

from bpe_lm.errors import BpeLmError, CheckpointError, ConfigError, FileError, OptionError
from bpe_lm.files import StrPath, read_json
from bpe_lm.kernels.norms import norm_of_all
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.training.config import BEST, CHECKPOINTS, CONFIG, TrainConfig
from bpe_lm.training.data import check_same_data
from bpe_lm.training.resume import RunState
from bpe_lm.training.run_checkpoint import MARKER, find_checkpoints, has_optimizer, load_run_checkpoint, step_of
from bpe_lm.training.run_folder import RESULT
from bpe_lm.training.run_log import METRICS, read_records
from bpe_lm.training.trainer import Trainer

Redone = Callable[[int, range], object]
"""A function of the last step that is done, and all steps that are done again."""

LEVELS = (0.5, 1, 2, 3, 5, 8)
"""The losses, in nats, that separate the colours of tokens."""

COLOURS = ("#ffffcc", "#c7e9b4", "#7fcdbb", "#41b6c4", "#1d91c0", "#225ea8", "#0c2c84")
"""The colour of each level: YlGnBu of ColorBrewer, whose darkness grows, so that the colour-blind can read it too."""

ROUNDING = 1e-3
"""The relative difference of two losses up to which the steps count as the same, because devices round differently."""


@dataclass(frozen=True)
class Row:
    """A row of the batch: `start` is the number of its first token in the token file `file`.

    `ids` and `texts` are its inputs and the last target. `losses` has the loss of each token except the first, in nats.
    """

    file: str
    start: int
    ids: list[int]
    texts: list[str]
    losses: list[float]

    @property
    def mean_loss(self) -> float:
        """The mean of the losses."""
        return sum(self.losses) / len(self.losses)


@dataclass(frozen=True)
class ModuleNorms:
    """The norms of a module's weights before the step, and of their gradients before they are clipped."""

    weights: int
    weight_norm: float
    gradient_norm: float


@dataclass(frozen=True)
class Replay:
    """A step of a run, done again.

    `loss`, `gradient_norm` and `learning_rate` are what metrics.jsonl records. `recorded_loss` is the loss there, or
    None if the step has no record. The steps after `redone_from` were done again: the step of a checkpoint, or 0 for
    the weights of the seed.
    """

    step: int
    redone_from: int
    loss: float
    recorded_loss: float | None
    gradient_norm: float
    learning_rate: float
    modules: dict[str, ModuleNorms]
    rows: list[Row]

    @property
    def is_as_recorded(self) -> bool | None:
        """Whether the loss is the recorded one, except for rounding. None if the step has no record."""
        return None if self.recorded_loss is None else are_same(self.loss, self.recorded_loss)

    def figures(self) -> list[tuple[str, str]]:
        """Return the figures of the step as texts, each with its name."""
        origin = f"the checkpoint of step {self.redone_from:,}" if self.redone_from else "the weights of the seed"
        again = self.step - 1 - self.redone_from
        return [
            ("step", f"{self.step:,}"),
            ("from", f"{origin}, with {again:,} steps done again"),
            ("loss", f"{self.loss:.6f}, {self._compared()}"),
            ("gradient norm", f"{self.gradient_norm:.6g}"),
            ("learning rate", f"{self.learning_rate:.6g}"),
            ("batch", f"{len(self.rows):,} rows of {len(self.rows[0].losses):,} tokens"),
        ]

    def _compared(self) -> str:
        """Say in words how the loss compares with the recorded one."""
        if self.recorded_loss is None:
            return "of which the run has no record"
        if self.loss == self.recorded_loss:
            return "to the bit the recorded one"
        return f"and recorded as {self.recorded_loss:.6f}" + (", except for rounding" if self.is_as_recorded else "")

    def norms(self) -> list[tuple[str, str, str, str]]:
        """Return the norms of each module as texts: its name, its number of weights, weight norm, gradient norm."""
        return [
            (name, f"{norms.weights:,}", f"{norms.weight_norm:.4g}", f"{norms.gradient_norm:.4g}")
            for name, norms in self.modules.items()
        ]

    def hardest(self, number: int) -> list[tuple[float, int, str]]:
        """Return the tokens with the greatest loss: loss, number of the token in the file, text.

        A loss that is not a number counts as the greatest.
        """
        tokens = [
            (loss, row.start + place, text)
            for row in self.rows
            for place, (loss, text) in enumerate(zip(row.losses, row.texts[1:], strict=True), 1)
        ]
        return sorted(tokens, key=lambda token: -inf if isnan(token[0]) else -token[0])[:number]

    def as_dict(self) -> dict[str, Any]:
        """The replay as JSON values."""
        return asdict(self)


def level_of(loss: float) -> int:
    """Return the number of the colour of a loss. A loss that is not a number has the last."""
    return next((level for level, bound in enumerate(LEVELS) if loss < bound), len(LEVELS))


def ink_of(level: int) -> str:
    """Return the colour of text that is readable on the colour of a level."""
    return "#000000" if level < 5 else "#ffffff"


def level_names() -> list[str]:
    """Return what the colours mean, such as "1 to 2"."""
    between = [f"{low:g} to {high:g}" for low, high in pairwise(LEVELS)]
    return [f"below {LEVELS[0]:g}", *between, f"from {LEVELS[-1]:g}"]


def replay(
    folder: StrPath,
    step: int,
    *,
    device: str | None = None,
    train: StrPath | None = None,
    tokenizer: StrPath | None = None,
    redone: Redone | None = None,
) -> Replay:
    """Do a step of a run again, and change nothing in its folder.

    On a CPU, with the number of threads of the run, the result is the run's to the bit. A warning names the first step
    that has another loss than its record.

    Args:
        folder: The folder of the run.
        step: The number of the step; the first is 1.
        device: The device; None for the run's.
        train: The token file; None for the run's.
        tokenizer: The tokenizer; None for the run's.
        redone: Called before the first of the steps that are done again, and after each.

    Raises:
        OptionError: The run has not done this step, or its learning rates followed its speed.
        FileError: The folder is not a run, its data do not exist, or a file could not be read.
        ConfigError: The folder's config is not that of a run, or names no tokenizer; the machine lacks the device.
        ResumeMismatch: The run began with another token file.
        TokenFileError: The token file is damaged, or of another tokenizer.
        TrainingDiverged: More steps before this one were not finite than the config allows in a row.
        OutOfMemory: The step does not fit.
    """
    folder = Path(folder)
    config = _config(folder, device, train, tokenizer)
    records = _records(folder)
    _check_is_done(folder, step, records)
    with tempfile.TemporaryDirectory(prefix="bpe-lm-replay-") as scratch, Trainer(config, scratch) as trainer:
        check_same_data(folder, trainer.data.identity)
        vocab = Tokenizer.load(config.data.tokenizer).vocab
        _load_before(trainer, folder, step)
        redone_from = trainer.step
        compared = _Comparison(records)
        for number in _reported(range(redone_from + 1, step), redone):
            compared.add(number, trainer.advance()[0])
        loss, norm = trainer.next_gradients()
        compared.add(step, loss)
        modules, rows = _module_norms(trainer.model), _rows(trainer, vocab)
        rate = trainer.next_learning_rate()
    return Replay(step, redone_from, loss, records.get(step), norm, rate, modules, rows)


def _config(folder: Path, device: str | None, train: StrPath | None, tokenizer: StrPath | None) -> TrainConfig:
    """Return the config of a run without what only watches the run: validation and trackers."""
    if not (folder / CONFIG).is_file():
        raise FileError(f"{folder} is not a run: it has no {CONFIG}; name a folder that bpe-lm pretrain wrote")
    config = TrainConfig.load(folder / CONFIG)
    if config.schedule.clock == "time":
        raise OptionError(
            f"the learning rates of the run in {folder} followed its speed (schedule.clock is time), so that its steps "
            "cannot be done again"
        )
    data = replace(config.data, valid="")
    data = replace(data, tokenizer=str(tokenizer or data.tokenizer))
    if train:
        data = replace(data, train=str(train), mixture="")
    if not data.tokenizer:
        raise ConfigError(
            f"the run in {folder} names no tokenizer, which turns ids into text; name it with --tokenizer"
        )
    config = replace(config, wandb_project="", trackio_project="", tensorboard=False)
    return replace(config, data=data, device=device or config.device)


def _records(folder: Path) -> dict[int, float]:
    """Return the recorded training losses by step; NaN is recorded as None, and left out."""
    records = read_records(folder / METRICS)
    return {r["step"]: r["loss"] for r in records if r.get("kind") == "train" and isinstance(r.get("loss"), float)}


def _check_is_done(folder: Path, step: int, records: Mapping[int, float]) -> None:
    skipped = (r["step"] for r in read_records(folder / METRICS) if r.get("kind") == "skip")
    saved = (step_of(path) for path in find_checkpoints(folder / CHECKPOINTS))
    ended = read_json(folder / RESULT).get("step", 0) if (folder / RESULT).exists() else 0
    done = max([ended, *records, *skipped, *saved])
    if not 1 <= step <= done:
        raise OptionError(f"the run in {folder} has done {done:,} steps; step {step:,} is not one of them")


def _load_before(trainer: Trainer, folder: Path, step: int) -> None:
    """Load the newest checkpoint before a step. Without an undamaged one, the trainer keeps the weights of the seed."""
    for path in _checkpoints_before(folder, step):
        try:
            saved = load_run_checkpoint(path, trainer.model, trainer.optimizer)
        except (CheckpointError, FileError) as error:
            warnings.warn(f"{error}; beginning from an earlier step", stacklevel=3)
            continue
        trainer.step, trainer.progress = saved.step, RunState.of(saved.progress)
        return


def _checkpoints_before(folder: Path, step: int) -> list[Path]:
    """Return the checkpoints of earlier steps, the newest first."""
    valid = {r["step"]: r["loss"] for r in read_records(folder / METRICS) if r.get("kind") == "valid"}
    paths = find_checkpoints(folder / CHECKPOINTS)
    # The best checkpoint may be of steps that a resumed run has done again, with another config.
    paths += [path for path in find_checkpoints(folder / BEST) if _goes_on(path, valid.get(step_of(path), 0))]
    return sorted((path for path in paths if step_of(path) < step), key=step_of, reverse=True)


def _goes_on(path: Path, validation_loss: float) -> bool:
    """Return whether a checkpoint has this validation loss, and an optimizer's state, which today's best has not."""
    try:
        return has_optimizer(path) and read_json(path / MARKER)["content"]["progress"]["loss"] == validation_loss
    except (BpeLmError, AttributeError, KeyError, TypeError):
        return False


def _reported(steps: range, redone: Redone | None) -> Iterator[int]:
    """Yield steps, and report before the first and after each."""
    for step in steps:
        if redone is not None and step == steps.start:
            redone(step - 1, steps)
        yield step
        if redone is not None:
            redone(step, steps)


class _Comparison:
    """Warns of the first step whose loss is not the recorded one."""

    def __init__(self, records: Mapping[int, float]):
        self._records, self._has_warned = records, False

    def add(self, step: int, loss: float) -> None:
        recorded = self._records.get(step)
        if self._has_warned or recorded is None or are_same(loss, recorded):
            return
        self._has_warned = True
        warnings.warn(
            f"step {step:,} has the loss {loss:.6g}, and the run recorded {recorded:.6g}: the run had another config "
            "or other code then, or another device that rounds differently",
            stacklevel=3,
        )


def are_same(loss: float, recorded: float) -> bool:
    """Return whether two losses of a step are the same, except for the rounding of devices."""
    return isclose(loss, recorded, rel_tol=ROUNDING)


def _module_norms(model: nn.Module) -> dict[str, ModuleNorms]:
    """Return the norms of each module that has weights of its own. Weights that two modules share count once."""
    parameters: dict[str, list[Parameter]] = {}
    for name, parameter in model.named_parameters():
        parameters.setdefault(name.rpartition(".")[0], []).append(parameter)
    return {name: _norms(own) for name, own in parameters.items()}


def _norms(parameters: Sequence[Parameter]) -> ModuleNorms:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    weights = [parameter.detach() for parameter in parameters]
    gradient_norm = float(norm_of_all(gradients)) if gradients else 0.0
    return ModuleNorms(sum(weight.numel() for weight in weights), float(norm_of_all(weights)), gradient_norm)


def _rows(trainer: Trainer, vocab: Mapping[int, bytes]) -> list[Row]:
    """Return the rows of the next step's batch, with the loss of each token."""
    x, y = trainer.next_batch()
    rows = []
    files = [path for path, _ in trainer.config.data.training]
    mixture = trainer.batches.mixture
    for token, inputs, targets in zip(trainer.batches.starts(trainer.step), x, y, strict=True):
        ids = [*inputs.tolist(), int(targets[-1])]
        losses = token_losses(trainer.loss, inputs, targets).tolist()
        file, start = mixture.place(int(token)) if mixture else (0, int(token))
        rows.append(Row(files[file], start, ids, [printable(vocab[id]) for id in ids], losses))
    return rows


@torch.no_grad()
def token_losses(loss: LanguageModelLoss, inputs: Int[Tensor, " seq"], targets: Int[Tensor, " seq"]) -> Tensor:
    """Compute the loss of each target of a row, in nats. Shape (seq,)."""
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=loss.dtype == "bfloat16"):
        logits = loss.model(inputs.unsqueeze(0)).squeeze(0)
    return -torch.log_softmax(logits.float(), -1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def printable(token: bytes) -> str:
    """Write a token so that it changes nothing in a terminal except by its text.

    A byte that is not UTF-8 becomes \\xNN, and a character that is not printable \\uNNNN. Newlines and tabs stay.
    """
    text = token.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(ord(c)) for c in text)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
