"""Training: a loop that loses nothing and resumes exactly.

What a step does depends on the config, the weights and the optimizer's state alone: its batch is a function of (seed,
step), and nothing else is random. So a run that was killed goes on from its last checkpoint, does again what came
after, and ends with the weights of a run that was not, to the bit (one process, float32, eager, the same threads).
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import torch
from torch import Tensor, nn

from bpe_lm.batches import Batches, Tokens
from bpe_lm.checkpoint import forget_after, keep_newest, keep_only, load_newest, save_run_checkpoint
from bpe_lm.config import BEST, CHECKPOINTS, CONFIG, DATA, PROFILE, TrainConfig, keys, read_json
from bpe_lm.errors import (
    ConfigError,
    FileError,
    OutputBusy,
    OutputExists,
    ResumeMismatch,
    TokenFileError,
    TrainingDiverged,
)
from bpe_lm.evaluate import evaluate
from bpe_lm.files import write_whole
from bpe_lm.loss import LanguageModelLoss
from bpe_lm.memory import keep_freed_memory
from bpe_lm.model import TransformerLM
from bpe_lm.optimizer import SGD, AdamW, clip_gradients
from bpe_lm.parallel import World, join_world, local, local_device, replicate, shard, synchronized
from bpe_lm.product import product
from bpe_lm.profiling import NoProfiler, Profiler, StepProfile, part
from bpe_lm.run_log import ProgressLine, RunLog
from bpe_lm.schedule import learning_rate
from bpe_lm.token_file import Manifest, open_tokens
from bpe_lm.tokenizer import Tokenizer

FREE_TO_CHANGE = {
    *("device", "compile", "max_time", "log_every", "validate_every", "validation_tokens", "checkpoint_every"),
    *("checkpoints_kept", "max_skipped_steps", "stop_when_worse", "wandb_project", "micro_batch_size"),
    *("parallel", "activation_checkpointing", "data.train", "data.valid", "data.tokenizer"),
}
"""What a resumed run may have otherwise."""

PEAK_FLOPS = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12, "T4": 65e12, "4090": 165e12, "3090": 71e12}
"""Of dense bfloat16 (T4: float16), by what a GPU's name contains; from the makers' data sheets."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: `reason` is "finished", "time", "worse" or the name of a signal."""

    reason: str
    step: int
    loss: float | None
    best_loss: float | None
    seconds: float
    folder: Path


@dataclass
class Progress:
    """What a checkpoint has beside weights and optimizer. Losses are of validation; seconds are of training."""

    seconds: float = 0.0
    skipped: int = 0
    best_loss: float | None = None
    worse: int = 0
    loss: float | None = None


class Trainer:
    """A run in a folder: config.json, data.json, metrics.jsonl, checkpoints/, best/, and a lock while it goes on."""

    def __init__(
        self,
        config: TrainConfig,
        folder: str | os.PathLike[str],
        *,
        resume: bool = False,
        force: bool = False,
        progress: bool = False,
    ):
        """Check everything that can be checked before the first step.

        Args:
            config: What to train, and how.
            folder: Where to keep it.
            resume: Go on with what is in the folder, if there is anything.
            force: Replace what is in the folder.
            progress: Show it on stderr.

        Raises:
            OutputExists: The folder has a run, and neither `resume` nor `force` is given.
            OutputBusy: Another process trains there.
            ResumeMismatch: The run there has another config.
            ConfigError: There is no such device.
            TokenFileError: A token file is of another tokenizer, too short, or damaged.
            CheckpointError: No checkpoint there is undamaged.
            FileError: Something could not be read or written.
        """
        self.config, self.folder = config, Path(folder)
        self.device = device_of(config.device)
        self.world = join_world(self.device)
        _check_rows(config, self.world)
        self.train_tokens, self.valid_tokens, self.data_identity = _open_data(config)
        self.batches = Batches(
            self.train_tokens, config.batch_size, config.model.context_length, config.seed, config.model.vocab_size
        )
        self.profile: StepProfile | None = None
        self._show_progress = progress and self.world.is_first
        self._lock = _lock(self.folder) if self.world.is_first else None
        try:
            self._begin(resume, force)
        except BaseException:
            self.close(is_failing=True)
            raise

    def _begin(self, resume: bool, force: bool) -> None:
        config, path = self.config, self.folder / CONFIG
        if path.exists() and not resume and not force:
            raise OutputExists(f"{self.folder} has a run already; name another folder, or give --resume or --force")
        is_resumed = path.exists() and resume
        self.world.wait()
        if is_resumed:
            _check_resumable(TrainConfig.load(path), config, self.folder)
            _check_same_data(self.folder / DATA, self.data_identity)
        torch.manual_seed(config.seed)
        self.model = TransformerLM.from_config(config.model, implementation=config.implementation).to(self.device)
        self.model.checkpoints_activations = config.activation_checkpointing
        self.loss = LanguageModelLoss(self.model, implementation=config.implementation, dtype=config.dtype)
        if config.parallel == "fsdp" and self.world.size > 1:
            shard(self.loss, self.world, self.device.type)
        self.optimizer = optimizer_of(config, self.model)
        self.progress = Progress()
        self.step = 0
        checkpoints = self.folder / CHECKPOINTS
        saved = load_newest(checkpoints, self.model, self.optimizer, self.world) if is_resumed else None
        if saved is not None:
            self.step, self.progress = saved.step, Progress(**saved.progress)
        # Nothing was changed until here, and nothing can be wrong any more.
        self.world.wait()
        if self.world.is_first:
            self._make_folder()
            self.log = RunLog(self.folder, config, self.step)
        self.world.wait()
        self._is_compiled = config.compile
        self._loss = self._loss_of_step()
        self._peak = peak_flops(self.device, config.dtype)

    def _make_folder(self) -> None:
        """A folder with config.json is a run, so that comes last, and is the first to go."""
        forget_after(self.folder / CHECKPOINTS, self.step)
        if self.step == 0:
            (self.folder / CONFIG).unlink(missing_ok=True)
            # A resumed run keeps the best, though it may be of a later step than it goes on from.
            forget_after(self.folder / BEST, 0)
        for name, content in ((DATA, self.data_identity), (CONFIG, self.config.as_dict())):
            write_whole(self.folder / name, (json.dumps(content, indent=2) + "\n").encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close(is_failing=error[0] is not None)

    def close(self, *, is_failing: bool = False) -> None:
        """Let go of the folder; and of other processes, unless this one fails, for which they would be waited for."""
        try:
            if hasattr(self, "log"):
                self.log.close()
        finally:
            if not is_failing:
                self.world.leave()
            if self._lock is not None:
                self._lock.close()

    def run(self, *, profile: bool = False) -> TrainResult:
        """Train to the end, to the end of `max_time`, or to a signal; a checkpoint is saved in each case.

        With `profile`, three steps are looked at, after three others: `profile/` gets a trace and a table, and
        `self.profile` what they say.

        Raises:
            TrainingDiverged: `max_skipped_steps` were not enough; the message names the first bad tensor.
            TokenFileError: An id is beyond the vocabulary.
            FileError: The disk is full; the checkpoints before are kept.
            KeyboardInterrupt: A second signal came.
        """
        config, reason = self.config, "finished"
        if self.device.type == "cpu":
            keep_freed_memory()
        start = time.perf_counter() - self.progress.seconds
        last_log, tokens_at_log, waited = time.perf_counter(), self.step * config.tokens_per_step, 0.0
        line = ProgressLine(config.steps, self._show_progress)
        with _signals() as received, line, self._profiler(profile) as profiler:
            while self.step < config.steps:
                waiting = time.perf_counter()
                with part("data"):
                    x, y = self.batches(self.step, self.device, self.world.rows(config.batch_size))
                waited += time.perf_counter() - waiting
                loss, norm, rate = self._train_step(x, y)
                profiler.step()
                self.step += 1
                now = time.perf_counter()
                self.progress.seconds = now - start
                is_last = self.step == config.steps
                if self.step % config.log_every == 0 or is_last or self.step == 1:
                    tokens = self.step * config.tokens_per_step
                    speed = (tokens - tokens_at_log) / (now - last_log)
                    record = {
                        **{"kind": "train", "step": self.step, "tokens": tokens, "seconds": self.progress.seconds},
                        **{"flops": tokens * config.model.flops_per_token, "loss": loss, "learning_rate": rate},
                        **{"gradient_norm": norm, "tokens_per_second": speed},
                        "mfu": speed * config.model.flops_per_token / self._peak if self._peak else None,
                        "data_wait": waited / (now - last_log),
                    }
                    self._record(record)
                    last_log, tokens_at_log, waited = now, tokens, 0.0
                    shown = f"step {self.step:,} of {config.steps:,}, loss {loss:.3f}"
                    best = f", validation {self.progress.loss:.3f}" if self.progress.loss is not None else ""
                    line.update(self.step, f"{shown}{best}, {speed:,.0f} tokens/s", is_last=is_last)
                if self.valid_tokens is not None and (self.step % config.validate_every == 0 or is_last):
                    self._validate()
                    last_log, tokens_at_log = time.perf_counter(), self.step * config.tokens_per_step
                    self.progress.seconds = last_log - start
                reason = self._why_stop(received) or "finished"
                if self.step % config.checkpoint_every == 0 or is_last or reason != "finished":
                    self._save(CHECKPOINTS)
                if reason != "finished":
                    break
        if isinstance(profiler, Profiler):
            self.profile = profiler.found
        progress = self.progress
        return TrainResult(reason, self.step, progress.loss, progress.best_loss, progress.seconds, self.folder)

    def _profiler(self, is_wanted: bool) -> Profiler | NoProfiler:
        if not is_wanted or not self.world.is_first:
            return NoProfiler()
        flops = self.config.tokens_per_step / self.world.size * self.config.model.flops_per_token
        return Profiler(self.folder / PROFILE, self.device, flops, self._peak)

    def _why_stop(self, received: list[int]) -> str | None:
        """The reason to end now; the same in all processes, whichever has it."""
        config, progress = self.config, self.progress
        is_over = config.max_time > 0 and progress.seconds >= config.max_time
        signals, over = self.world.sum(received[0] if received else 0, is_over)
        if config.stop_when_worse and progress.worse >= config.stop_when_worse:
            return "worse"
        if signals:
            return signal.Signals(received[0] if received else signal.SIGTERM).name
        return "time" if over else None

    def _record(self, record: dict[str, Any]) -> None:
        if self.world.is_first:
            self.log.write(record)

    def _train_step(self, x: Tensor, y: Tensor) -> tuple[float, float, float]:
        """Loss, norm of the gradients and learning rate. A step whose loss or norm is not finite changes nothing."""
        config = self.config
        rate = learning_rate(config.schedule, config.steps, self.step)
        total = self._gradients(x, y, config.micro_batch_size or len(x))
        with part("clip"):
            norm = clip_gradients(self.model.parameters(), config.optimizer.max_l2_norm or float("inf"))
        found = self.world.sum(float(total))[0] / self.world.size, float(norm)
        if not all(map(_is_finite, found)):
            self._skip(x, y, *found)
            return *found, rate
        self.progress.skipped = 0
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with part("optimizer"):
            self.optimizer.step()
        return *found, rate

    def _gradients(self, x: Tensor, y: Tensor, micro: int) -> Tensor:
        """The loss of these rows; its gradients are added up over micro-batches, each by its share of the tokens."""
        try:
            total = torch.zeros((), device=self.device)
            self.optimizer.zero_grad(set_to_none=True)
            for begin in range(0, len(x), micro):
                rows = slice(begin, begin + micro)
                with synchronized(self._loss, begin + micro >= len(x)):
                    with part("forward"):
                        loss = self._loss(x[rows], y[rows]) * (y[rows].numel() / y.numel())
                    with part("backward"):
                        loss.backward()
                total += loss.detach()
            return total
        except Exception as error:
            if not self._is_compiled or self.world.size > 1:  # Others may have compiled it, and wait for this one.
                raise
            _warn_not_compiled(error)
            self._is_compiled = False
            self._loss = self._loss_of_step()
            return self._gradients(x, y, micro)

    def _loss_of_step(self) -> nn.Module:
        """`self.loss` as training calls it: compiled, and with gradients added up between processes."""
        loss: Any = self.loss
        if self._is_compiled:
            try:
                # torch keeps all that was compiled in a process, and goes on without it after 8 models.
                torch.compiler.reset()
                loss = torch.compile(loss)
            except Exception as error:
                _warn_not_compiled(error)
                self._is_compiled = False
        return replicate(loss) if self.config.parallel == "ddp" and self.world.size > 1 else loss

    def _weights_are_finite(self) -> bool:
        bad = sum(not local(parameter).isfinite().all() for parameter in self.model.parameters())
        return self.world.sum(bad) == [0]

    def _skip(self, x: Tensor, y: Tensor, loss: float, norm: float) -> None:
        self.progress.skipped += 1
        self._record({"kind": "skip", "step": self.step + 1, "loss": loss, "gradient_norm": norm})
        if self.progress.skipped <= self.config.max_skipped_steps:
            warnings.warn(f"step {self.step + 1} is skipped: loss {loss}, gradient norm {norm}", stacklevel=2)
            return
        starts = ", ".join(map(str, self.batches.starts(self.step)[:4]))
        raise TrainingDiverged(
            f"step {self.step + 1}: loss {loss}, gradient norm {norm}, after {self.progress.skipped - 1} skipped "
            f"steps; the first tensor that is not finite is {self._first_bad(x, y)}; the batch's texts begin at the "
            f"tokens {starts}, ...; begin anew with a lower schedule.max_learning_rate or another seed"
        )

    def _first_bad(self, x: Tensor, y: Tensor) -> str:
        """The first weight, output of a module, or gradient that is not finite, in the order in which they are made.

        With several processes outputs are not looked at, for which all of them would have to come here.
        """
        for name, parameter in self.model.named_parameters():
            if not local(parameter).isfinite().all():
                return f"the weight {name}"
        bad: list[str] = []

        def look(name: str) -> Callable[..., None]:
            return lambda module, given, output: bad.append(name) if not output.isfinite().all() else None

        hooks = [module.register_forward_hook(look(name)) for name, module in self.model.named_modules() if name]
        rows = self.config.micro_batch_size or len(x)
        parts = zip(torch.split(x, rows), torch.split(y, rows), strict=True) if self.world.size == 1 else ()
        try:
            with torch.no_grad():
                losses = [self.loss(*part) for part in parts]
        finally:
            for hook in hooks:
                hook.remove()
        if bad:
            return f"the output of {bad[0]}"
        if not all(loss.isfinite() for loss in losses):
            return "the loss"
        # Gradients are made from the loss backwards.
        gradients = reversed([(name, p.grad) for name, p in self.model.named_parameters() if p.grad is not None])
        found = [name for name, gradient in gradients if not local(gradient).isfinite().all()]
        return f"the gradient of {found[0]}" if found else "none any more"

    def _validate(self) -> None:
        assert self.valid_tokens is not None
        limit = self.config.validation_tokens or None
        found = evaluate(self.model, self.valid_tokens, limit=limit, loss=self.loss, world=self.world)
        progress = self.progress
        progress.loss = found.loss
        record = {"kind": "valid", "step": self.step, "tokens": self.step * self.config.tokens_per_step}
        self._record(record | {"seconds": progress.seconds, "loss": found.loss, "perplexity": found.perplexity})
        if _is_finite(found.loss) and (progress.best_loss is None or found.loss < progress.best_loss):
            progress.best_loss, progress.worse = found.loss, 0
            self._save(BEST)
        else:
            progress.worse += 1

    def _save(self, name: str) -> None:
        if not self._weights_are_finite():
            return  # With those nobody can go on; the checkpoints before stay.
        folder = self.folder / name
        saved = save_run_checkpoint(folder, self.model, self.optimizer, self.step, vars(self.progress), self.world)
        if self.world.is_first and name == BEST:
            keep_only(saved)
        elif self.world.is_first:
            keep_newest(folder, self.config.checkpoints_kept)


def optimizer_of(config: TrainConfig, model: TransformerLM) -> torch.optim.Optimizer:
    """A new one."""
    options = config.optimizer
    if options.name == "sgd":
        return SGD(model.parameters(), config.schedule.max_learning_rate)
    return AdamW(
        model.parameters(),
        config.schedule.max_learning_rate,
        (options.beta1, options.beta2),
        options.eps,
        options.weight_decay,
        implementation=config.implementation,
    )


def _check_rows(config: TrainConfig, world: World) -> None:
    rows = config.batch_size // world.size
    if config.batch_size % world.size or rows % (config.micro_batch_size or rows or 1):
        raise ConfigError(
            f"batch_size is {config.batch_size}, which {world.size} processes cannot share"
            + (f" in micro-batches of {config.micro_batch_size}" if config.micro_batch_size else "")
            + "; make it a multiple"
        )


def device_of(name: str) -> torch.device:
    """The device of this name, or for "auto" the fastest that is here. Nothing was ever run on mps.

    Raises:
        ConfigError: It is not here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = local_device(torch.device(name))
        torch.empty(0, device=device)
        if device.type not in ("cpu", "cuda", "mps"):
            raise RuntimeError("one of cpu, cuda, mps")
        return device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device is {name!r}, which is not here ({str(error).splitlines()[0]}); try cpu") from error


def _open_data(config: TrainConfig) -> tuple[Tokens, Tokens | None, dict[str, Any]]:
    """Training and validation tokens, and what they are."""
    data = config.data
    if not data.train:
        raise ConfigError("data.train is not set; name a token file that bpe-lm encode wrote")
    tokenizer = Tokenizer.load(data.tokenizer) if data.tokenizer else None
    train, train_manifest = _open(data.train, tokenizer, config)
    valid, valid_manifest = _open(data.valid, tokenizer, config) if data.valid else (None, None)
    if valid_manifest is not None and valid_manifest.tokenizer != train_manifest.tokenizer:
        raise TokenFileError(f"{data.train} and {data.valid} are of different tokenizers; encode both with the same")
    if valid is not None and len(valid) < config.model.context_length + 1:
        raise TokenFileError(
            f"{data.valid} has {len(valid):,} tokens, fewer than a context of {config.model.context_length} and the "
            "one that follows; encode more text, or make model.context_length smaller"
        )
    identity = {"tokenizer": train_manifest.tokenizer, "count": train_manifest.count, "crc32": train_manifest.crc32}
    return train, valid, identity


def _check_same_data(path: Path, now: dict[str, Any]) -> None:
    was = read_json(path)
    for name, what in (("tokenizer", "tokenizer"), ("count", "number of tokens"), ("crc32", "tokens")):
        if was.get(name) != now[name]:
            raise ResumeMismatch(f"the run in {path.parent} has a training file of another {what}; give that one")


def _open(path: str, tokenizer: Tokenizer | None, config: TrainConfig) -> tuple[Tokens, Manifest]:
    tokens = open_tokens(path, tokenizer=tokenizer)
    manifest = Manifest.from_json(Path(f"{path}.json").read_text(encoding="utf-8"))
    if manifest.vocab_size > config.model.vocab_size:
        raise TokenFileError(
            f"{path} has ids of a vocabulary of {manifest.vocab_size:,}, and model.vocab_size is "
            f"{config.model.vocab_size:,}; make it at least as large"
        )
    return tokens, manifest


def _lock(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("wb")
    except OSError as error:
        raise FileError(f"could not write into {folder}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise OutputBusy(f"another process trains in {folder}; wait for it, or name another folder") from error
    return lock


def _check_resumable(was: TrainConfig, now: TrainConfig, folder: Path) -> None:
    values = dict(keys(was))
    changed = [
        f"{name} was {values[name]!r} and is {value!r}"
        for name, value in keys(now)
        if value != values[name] and name not in FREE_TO_CHANGE
    ]
    if changed:
        raise ResumeMismatch(f"the run in {folder} has another config: {'; '.join(changed)}")


def _warn_not_compiled(error: Exception) -> None:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    warnings.warn(f"torch.compile failed ({reason}); training goes on without it", stacklevel=2)


def peak_flops(device: torch.device, dtype: str) -> float | None:
    """What MFU is a share of: the data sheet's figure for a known GPU, on a CPU what a matrix product reaches now."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return next((peak for part, peak in PEAK_FLOPS.items() if re.search(rf"\b{part}\b", name)), None)
    if device.type != "cpu":
        return None
    a = torch.ones(1024, 1024, dtype=torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        _ = product(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * 1024**3 / best


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The first SIGINT or SIGTERM is noted; a second one aborts at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def note(number: int, frame: object) -> None:
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _is_finite(value: Any) -> bool:
    return bool(abs(value) < float("inf"))
