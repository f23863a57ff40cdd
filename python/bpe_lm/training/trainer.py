"""Training: a loop that loses nothing and resumes exactly.

What a step does depends on the config, the weights and the optimizer's state alone: its batch is a function of (seed,
step), and nothing else is random. So a run that was killed goes on from its last checkpoint, does again what came
after, and ends with the weights of a run that was not, to the bit (on a CPU: one process, float32, eager, the same
number of threads).
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from bpe_lm.errors import ConfigError, FileError, ResumeMismatch, TokenFileError, TrainingDiverged
from bpe_lm.fields import keys
from bpe_lm.files import read_json
from bpe_lm.kernels.compiler import is_compiler_error
from bpe_lm.machine import peak_memory
from bpe_lm.model.flops import training_flops_per_token
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.progress import Display, megabytes
from bpe_lm.tokenizer.token_file import Manifest, Verification, open_tokens
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.training.batches import Batches, Tokens
from bpe_lm.training.config import BEST, CHECKPOINTS, CONFIG, DATA, PROFILE, TrainConfig
from bpe_lm.training.devices import device_of, peak_flops
from bpe_lm.training.evaluate import evaluate
from bpe_lm.training.memory import enough_memory, is_out_of_memory, keep_freed_memory
from bpe_lm.training.optimizers import new_optimizer
from bpe_lm.training.parallel import (
    World,
    clip_sharded_gradients,
    join_world,
    local_shard,
    replicate,
    shard,
    synchronized,
)
from bpe_lm.training.profiling import NoProfiler, Profiler, StepProfile, part
from bpe_lm.training.run_checkpoint import keep_newest, keep_only, load_newest, save_run_checkpoint
from bpe_lm.training.run_folder import RunFolder, TrainResult
from bpe_lm.training.run_log import RunLog, config_sha256
from bpe_lm.training.schedules import learning_rate

FREE_TO_CHANGE = {
    *("device", "compile", "max_time", "log_every", "validate_every", "validation_tokens", "checkpoint_every"),
    *("checkpoints_kept", "max_skipped_steps", "stop_when_worse", "wandb_project", "micro_batch_size"),
    *("parallel", "activation_checkpointing", "data.train", "data.valid", "data.tokenizer", "steps"),
}
"""What a resumed run may have otherwise."""


@dataclass
class Progress:
    """What a checkpoint has beside weights and optimizer. `seconds` are of the run, with validation and saving.

    `loss`, of the step `loss_step`, and `best_loss` are of validation, on the tokens `validated_on`; `train_loss` is
    the last that was finite.
    """

    seconds: float = 0.0
    skipped: int = 0
    best_loss: float | None = None
    worse: int = 0
    loss: float | None = None
    loss_step: int | None = None
    train_loss: float | None = None
    validated_on: str | None = None

    @classmethod
    def of(cls, saved: dict[str, Any]) -> Progress:
        """What a checkpoint has of it: of another version, more or less."""
        return cls(**{f.name: saved[f.name] for f in fields(cls) if f.name in saved})


@dataclass
class _Window:
    """The steps since the last record, and the seconds of them alone: `waited` for data, `spent` in all."""

    steps: int = 0
    waited: float = 0.0
    spent: float = 0.0


class Trainer:
    """A run in a folder: config.json, data.json, metrics.jsonl, checkpoints/, best/, a lock, and at last result.json.

    `result` is how the run ended, if it did: after `run`, or if it was over already.
    """

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
            config: What to train, and how. Paths of data become absolute.
            folder: Where to keep it.
            resume: Go on with what is in the folder, if there is anything; also with more steps than it had.
            force: Replace the run that is in the folder.
            progress: Show it on stderr.

        Raises:
            OutputExists: The folder has a run, and neither `resume` nor `force` is given; the checkpoints of the
                run are gone; or the folder has something else.
            OutputBusy: Another process trains there.
            ResumeMismatch: The run there has another config, or other data.
            ConfigError: There is no such device, the run there is of an older version, or has done more steps.
            TokenFileError: A token file is of another tokenizer, too short, or damaged.
            CheckpointError: No checkpoint there is undamaged.
            OutOfMemory: The model does not fit.
            FileError: Something could not be read or written.
        """
        self.folder = Path(folder)
        self.config = config = _with_absolute_paths(config)
        self.device = device_of(config.device)
        self.world = join_world(self.device)
        _check_rows(config, self.world)
        self.train_tokens, self.valid_tokens, self.data_identity, self._validated_on = _open_data(config)
        self.batches = Batches(
            self.train_tokens, config.batch_size, config.model.context_length, config.seed, config.model.vocab_size
        )
        self.profile: StepProfile | None = None
        self.result: TrainResult | None = None
        self._show_progress = progress and self.world.is_first
        self._run_folder = RunFolder(self.folder)
        self._verification: Verification | None = None
        try:
            with self._enough_memory():
                self._begin(resume, force)
        except BaseException:
            self.close(is_failing=True)
            raise

    def _begin(self, resume: bool, force: bool) -> None:
        is_resumed = self.world.broadcast_from_first(lambda: self._run_folder.enter(resume=resume, force=force))
        was = self.world.on_each(self._take_up) if is_resumed else None
        config = self.config
        if self.world.local_rank == 0:
            files = dict.fromkeys(path for path in (config.data.train, config.data.valid) if path)
            self._verification = Verification(files)
        torch.manual_seed(config.seed)
        self.model = TransformerLM.from_config(config.model, implementation=config.implementation).to(self.device)
        self.model.checkpoints_activations = config.activation_checkpointing
        self.loss = LanguageModelLoss(self.model, implementation=config.implementation, dtype=config.dtype)
        if config.parallel == "fsdp" and self.world.size > 1:
            shard(self.loss, self.world, self.device.type)
        self.optimizer = new_optimizer(config, self.model)
        self.progress = Progress()
        self.step = 0
        checkpoints = self.folder / CHECKPOINTS
        saved = load_newest(checkpoints, self.model, self.optimizer, self.world) if is_resumed else None
        if saved is not None:
            self.step, self.progress = saved.step, Progress.of(saved.progress)
        if was is not None:
            if saved is None:
                self.world.broadcast_from_first(lambda: self._run_folder.check_lost_none(was.checkpoint_every))
            self._check_steps(was)
            self.result = self._result_if_over(was)
        self._is_compiled, self._has_stepped = config.compile, False
        self._loss = self._loss_of_step()
        self._peak = peak_flops(self.device, config.dtype)
        if self.result is None:
            self._compare_validation()
            self.world.on_each(self._finish_verification)
            # Nothing was changed until here, and nothing can be wrong any more.
            self.world.broadcast_from_first(lambda: self._begin_folder(is_resumed))

    def _take_up(self) -> TrainConfig:
        """The config that the run in the folder had; ours becomes what it goes on with."""
        was = TrainConfig.load(self.folder / CONFIG)
        self.config = _resumed(was, self.config, self.folder)
        _check_same_data(self.folder / DATA, self.data_identity)
        return was

    def _finish_verification(self) -> None:
        if self._verification is not None:
            self._verification.finish()

    def _begin_folder(self, is_resumed: bool) -> None:
        if is_resumed:
            self._run_folder.go_on(self.config, self.step)
        else:
            self._run_folder.begin(self.config, self.data_identity)
        wandb_id = self._run_folder.wandb_id() if self.config.wandb_project else None
        self.log = RunLog(self.folder, self.config, self.step, wandb_id)

    def _check_steps(self, was: TrainConfig) -> None:
        """Refuse fewer steps than were done, and say what another number of them means."""
        config, step = self.config, self.step
        if config.steps < step:
            raise ConfigError(f"steps is {config.steps:,}, and the run in {self.folder} has done {step:,} already")
        if step == 0 or not self.world.is_first:
            return
        had, has = (learning_rate(of.schedule, of.steps, step - 1) for of in (was, config))
        if had != has:
            warnings.warn(
                f"steps was {was.steps:,} and is {config.steps:,}, on which a schedule of shape "
                f"{config.schedule.shape} depends: step {step:,} had the learning rate {had:.3g}, and the next has "
                f"{learning_rate(config.schedule, config.steps, step):.3g}; a run that had {config.steps:,} steps from "
                "its beginning is another one",
                stacklevel=4,
            )

    def _compare_validation(self) -> None:
        """Forget the best loss where validation is on other tokens now: no loss on these compares with it."""
        progress, now = self.progress, self._validated_on
        if now is None:
            return
        if progress.best_loss is not None and progress.validated_on not in (None, now):
            if self.world.is_first:
                warnings.warn(
                    f"validation is on {now} from step {self.step:,} on, and was on {progress.validated_on}: losses do "
                    f"not compare, and the best is chosen anew",
                    stacklevel=4,
                )
            progress.best_loss, progress.worse = None, 0
        progress.validated_on = now

    def _result_if_over(self, was: TrainConfig) -> TrainResult | None:
        """How the run ended, unless it was by a signal, or the config lets it go on."""
        content = self.world.broadcast_from_first(self._run_folder.result_as_dict)
        result = None if content is None else TrainResult.of(content, self.folder)
        if result is None or result.reason == "signal":
            return None
        if result.reason == "diverged":
            return result if self.config.max_skipped_steps <= was.max_skipped_steps else None
        is_over = self._why_stop([]) is not None
        return result if is_over and result.step == self.step else None

    def _enough_memory(self) -> AbstractContextManager[None]:
        config = self.config
        return enough_memory(
            f"batch_size is {config.batch_size} and micro_batch_size {config.micro_batch_size or 'all of it'}: make "
            f"micro_batch_size or the model smaller; `bpe-lm account` says what fits on {self.device}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close(is_failing=error[0] is not None)

    def close(self, *, is_failing: bool = False) -> None:
        """Let go of the folder; and of other processes, unless this one fails, for which they would be waited for."""
        try:
            if self._verification is not None:
                self._verification.cancel()
            if hasattr(self, "log"):
                self.log.close()
        finally:
            if not is_failing:
                self.world.leave()
            self._run_folder.close()

    def run(self, *, profile: bool = False) -> TrainResult:
        """Train to the end, to the end of `max_time`, or to a signal; a checkpoint is saved in each case.

        A run that is over already is left as it is. On a CPU with glibc the whole process keeps the memory that it
        frees from now on (`bpe_lm.memory`).

        With `profile`, three steps are looked at, after three others: `profile/` gets a trace and a table, and
        `self.profile` what they say.

        Raises:
            TrainingDiverged: `max_skipped_steps` were not enough; the message names the first bad tensor.
            TokenFileError: An id is beyond the vocabulary.
            OutOfMemory: A step does not fit.
            FileError: The disk is full; the checkpoints before are kept.
            KeyboardInterrupt: A second signal came.
        """
        if self.result is not None:
            return self.result
        if self.device.type == "cpu":
            keep_freed_memory()
        self._start = time.perf_counter() - self.progress.seconds
        window = _Window()
        display = Display(is_wanted=self._show_progress, width=62, is_first_line_due=True)
        with _signals() as received, self._enough_memory(), display, self._profiler(profile) as profiler:
            try:
                reason = self._why_stop(received)
                while reason is None:
                    loss, norm, rate = self._timed_step(window)
                    profiler.step()
                    self._log_if_due(window, display, loss, norm, rate)
                    self._validate_if_due()
                    reason = self._why_stop(received)
                    self._save_if_due(reason)
            except TrainingDiverged:
                self._end("diverged")
                raise
            name = signal.Signals(received[0] if received else signal.SIGTERM).name if reason == "signal" else None
            result = self._end(reason, name)
        if isinstance(profiler, Profiler):
            self.profile = profiler.found
        return result

    def _timed_step(self, window: _Window) -> tuple[float, float, float]:
        config, start = self.config, time.perf_counter()
        with part("data"):
            x, y = self.batches(self.step, self.device, self.world.rows(config.batch_size))
        waited = time.perf_counter() - start
        found = self._train_step(x, y)
        self.step += 1
        now = time.perf_counter()
        window.steps, window.waited, window.spent = window.steps + 1, window.waited + waited, window.spent + now - start
        self.progress.seconds = now - self._start
        if _is_finite(found[0]):
            self.progress.train_loss = found[0]
        return found

    def _log_if_due(self, window: _Window, display: Display, loss: float, norm: float, rate: float) -> None:
        config, progress = self.config, self.progress
        is_last = self.step == config.steps
        if not (self.step % config.log_every == 0 or is_last or self.step == 1):
            return
        tokens = self.step * config.tokens_per_step
        speed = window.steps * config.tokens_per_step / window.spent
        record = {
            **{"kind": "train", "step": self.step, "tokens": tokens, "seconds": progress.seconds},
            **{"flops": tokens * training_flops_per_token(config.model), "loss": loss, "learning_rate": rate},
            **{"gradient_norm": norm, "tokens_per_second": speed},
            "mfu": speed * training_flops_per_token(config.model) / self._peak if self._peak else None,
            "data_wait": window.waited / window.spent,
        }
        self._record(record)
        window.steps, window.waited, window.spent = 0, 0.0, 0.0
        shown = f"step {self.step:,} of {config.steps:,}, loss {loss:.3f}"
        if progress.loss is not None:
            shown += f", validation {progress.loss:.3f} at step {progress.loss_step:,}"
        shown += f", {speed:,.0f} tokens/s, {megabytes(self._memory())}"
        display.update("train", self.step, config.steps, shown)

    def _memory(self) -> int:
        """The peak of the device, or of this process."""
        is_cuda = self.device.type == "cuda"
        return torch.cuda.max_memory_allocated(self.device) if is_cuda else peak_memory()

    def _end(self, reason: str, name: str | None = None) -> TrainResult:
        progress = self.progress
        tokens = self.step * self.config.tokens_per_step
        losses = (progress.train_loss, progress.loss, progress.best_loss)
        self.result = TrainResult(
            reason, self.step, tokens, progress.seconds, *losses, config_sha256(self.config), self.folder, name
        )
        if self.world.is_first:
            self._run_folder.write_result(self.result)
        return self.result

    def _profiler(self, is_wanted: bool) -> Profiler | NoProfiler:
        if not is_wanted or not self.world.is_first:
            return NoProfiler()
        flops = self.config.tokens_per_step / self.world.size * training_flops_per_token(self.config.model)
        return Profiler(self.folder / PROFILE, self.device, flops, self._peak)

    def _why_stop(self, received: list[int]) -> str | None:
        """The reason to end now; the same in all processes, whichever has it."""
        config, progress = self.config, self.progress
        if self.step >= config.steps:
            return "finished"
        is_over = config.max_time > 0 and progress.seconds >= config.max_time
        signals, over = self.world.all_reduce_sum(received[0] if received else 0, is_over)
        if config.stop_when_worse and progress.worse >= config.stop_when_worse:
            return "worse"
        if signals:
            return "signal"
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
            norm = clip_sharded_gradients(self.model.parameters(), config.optimizer.max_l2_norm or float("inf"))
        found = self.world.all_reduce_sum(float(total))[0] / self.world.size, float(norm)
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
            self._has_stepped = True
            return total
        except Exception as error:
            # Other processes may have compiled it, and wait for this one.
            is_first_of_one = not self._has_stepped and self.world.size == 1
            is_compilers = self._is_compiled and is_compiler_error(error) and not is_out_of_memory(error)
            if not (is_first_of_one and is_compilers):
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
        bad = sum(not local_shard(parameter).isfinite().all() for parameter in self.model.parameters())
        return self.world.all_reduce_sum(bad) == [0]

    def _skip(self, x: Tensor, y: Tensor, loss: float, norm: float) -> None:
        self.progress.skipped += 1
        self._record({"kind": "skip", "step": self.step + 1, "loss": loss, "gradient_norm": norm})
        if self.progress.skipped <= self.config.max_skipped_steps:
            warnings.warn(f"step {self.step + 1} is skipped: loss {loss}, gradient norm {norm}", stacklevel=2)
            return
        starts = ", ".join(map(str, self.batches.starts(self.step)[:4]))
        raise TrainingDiverged(
            f"step {self.step + 1}: loss {loss}, gradient norm {norm}, after {self.progress.skipped - 1} skipped "
            f"steps; {self._first_bad(x, y, loss)}; the batch's texts begin at the "
            f"tokens {starts}, ...; begin anew with a lower schedule.max_learning_rate or another seed"
        )

    def _first_bad(self, x: Tensor, y: Tensor, loss: float) -> str:
        """Say what is not finite: a tensor, or only the step's loss, or only the norm of its gradients."""
        name = self._first_bad_tensor(x, y)
        if name is not None:
            return f"the first tensor that is not finite is {name}"
        if not _is_finite(loss):
            return "the loss was not finite, and each weight, output and gradient is, when the step is done again"
        return "each gradient is finite, and the norm of all together is not: their squares are beyond float32"

    def _first_bad_tensor(self, x: Tensor, y: Tensor) -> str | None:
        """The first weight, output of a module, or gradient that is not finite, in the order in which they are made.

        With several processes outputs are not looked at, for which all of them would have to come here.
        """
        for name, parameter in self.model.named_parameters():
            if not local_shard(parameter).isfinite().all():
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
        found = [name for name, gradient in gradients if not local_shard(gradient).isfinite().all()]
        return f"the gradient of {found[0]}" if found else None

    def _validate_if_due(self) -> None:
        config = self.config
        if self.valid_tokens is None or (self.step % config.validate_every and self.step < config.steps):
            return
        limit = self.config.validation_tokens or None
        found = evaluate(self.model, self.valid_tokens, limit=limit, loss=self.loss, world=self.world)
        progress = self.progress
        progress.loss, progress.loss_step = found.loss, self.step
        record = {"kind": "valid", "step": self.step, "tokens": self.step * self.config.tokens_per_step}
        self._record(record | {"seconds": progress.seconds, "loss": found.loss, "perplexity": found.perplexity})
        if _is_finite(found.loss) and (progress.best_loss is None or found.loss < progress.best_loss):
            progress.best_loss, progress.worse = found.loss, 0
            self._save(BEST)
        else:
            progress.worse += 1
        progress.seconds = time.perf_counter() - self._start

    def _save_if_due(self, reason: str | None) -> None:
        if reason is not None or self.step % self.config.checkpoint_every == 0:
            self._save(CHECKPOINTS)

    def _save(self, name: str) -> None:
        if not self._weights_are_finite():
            return  # With those nobody can go on; the checkpoints before stay.
        folder = self.folder / name
        saved = save_run_checkpoint(folder, self.model, self.optimizer, self.step, vars(self.progress), self.world)
        if self.world.is_first and name == BEST:
            keep_only(saved)
        elif self.world.is_first:
            keep_newest(folder, self.config.checkpoints_kept)


def _check_rows(config: TrainConfig, world: World) -> None:
    rows = config.batch_size // world.size
    if config.batch_size % world.size or rows % (config.micro_batch_size or rows or 1):
        raise ConfigError(
            f"batch_size is {config.batch_size}, which {world.size} processes cannot share"
            + (f" in micro-batches of {config.micro_batch_size}" if config.micro_batch_size else "")
            + "; make it a multiple"
        )


def _open_data(config: TrainConfig) -> tuple[Tokens, Tokens | None, dict[str, Any], str | None]:
    """Training and validation tokens, what the former are, and what of the latter validation is on."""
    data = config.data
    if not data.train:
        raise ConfigError("data.train is not set; name a token file that bpe-lm encode wrote")
    for name, path in vars(data).items():
        if path and not os.path.exists(path):
            raise FileError(f"data.{name} is {path}, which is not there; name it with --data.{name}")
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
    return train, valid, identity, None if valid_manifest is None else _validated_on(valid_manifest, config)


def _validated_on(manifest: Manifest, config: TrainConfig) -> str:
    count = min(config.validation_tokens or manifest.count, manifest.count)
    checksum = hashlib.sha256("".join(manifest.crc32).encode()).hexdigest()[:8]
    return f"{count:,} tokens of a file of checksum {checksum}"


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


def _with_absolute_paths(config: TrainConfig) -> TrainConfig:
    """So that a run can be used from any folder."""
    data = config.data
    paths = {f.name: os.path.abspath(path) if (path := getattr(data, f.name)) else "" for f in fields(data)}
    return replace(config, data=replace(data, **paths))


def _resumed(was: TrainConfig, now: TrainConfig, folder: Path) -> TrainConfig:
    """The config that a run goes on with. A warm-up that is a fraction of the run stays as long as it was.

    Raises:
        ResumeMismatch: It has what may not change.
    """
    schedule = now.schedule
    if 0 < schedule.warmup < 1 and (was.steps != now.steps or was.schedule.warmup >= 1):
        begun = was.schedule.lengths(was.steps)[0]
        if was.schedule.warmup >= 1 and schedule.lengths(now.steps)[0] != begun:
            warnings.warn(f"schedule.warmup stays {begun:,} steps, with which the run in {folder} began", stacklevel=5)
        now = replace(now, schedule=replace(schedule, warmup=begun))
        was = replace(was, schedule=replace(was.schedule, warmup=begun))
    values = dict(keys(was))
    changed = [
        f"{name} was {values[name]!r} and is {value!r}"
        for name, value in keys(now)
        if value != values[name] and name not in FREE_TO_CHANGE
    ]
    if changed:
        raise ResumeMismatch(f"the run in {folder} has another config: {'; '.join(changed)}")
    return now


def _warn_not_compiled(error: Exception) -> None:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    warnings.warn(f"torch.compile failed ({reason}); training goes on without it", stacklevel=2)


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
