"""Training: a loop that loses nothing and resumes exactly.

The result of a step depends only on the config, the weights and the optimizer's state: its batch is a function of
(seed, step), and nothing else is random. So a run that was killed goes on from its last checkpoint and repeats the
steps after it. It ends with the weights of a run that was never killed, to the bit (on a CPU: one process, float32,
eager, the same number of threads).
"""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from bpe_lm.errors import ConfigError, TrainingDiverged
from bpe_lm.files import StrPath
from bpe_lm.machine import commit, describe_machine, peak_memory
from bpe_lm.model.flops import training_flops_per_token
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.progress import Display, megabytes
from bpe_lm.tokenizer.token_file import Verification
from bpe_lm.training.batches import Batches, Tokens
from bpe_lm.training.compilation import compiled, is_failed_compilation, warn_not_compiled
from bpe_lm.training.config import BEST, CHECKPOINTS, CONFIG, PROFILE, TrainConfig
from bpe_lm.training.data import check_same_data, open_data, with_absolute_paths
from bpe_lm.training.devices import device_of, gpu_name, peak_flops
from bpe_lm.training.divergence import first_bad_value, weights_are_finite
from bpe_lm.training.evaluate import evaluate
from bpe_lm.training.identity import run_identity
from bpe_lm.training.memory import enough_memory, keep_freed_memory
from bpe_lm.training.optimizers import new_optimizer
from bpe_lm.training.parallel import World, clip_sharded_gradients, join_world, replicate, shard, synchronized
from bpe_lm.training.profiling import NoProfiler, Profiler, StepProfile, phase
from bpe_lm.training.resume import (
    RunState,
    allows_more,
    check_enough_steps,
    compare_validation,
    go_on_with_identity,
    resumed_config,
    warn_of_another_schedule,
)
from bpe_lm.training.run_checkpoint import keep_newest, keep_only, load_newest, save_run_checkpoint
from bpe_lm.training.run_folder import RunFolder, TrainResult
from bpe_lm.training.run_log import RunLog, config_sha256
from bpe_lm.training.schedules import learning_rate
from bpe_lm.training.signals import received_signals
from bpe_lm.training.trackers import wanted


@dataclass
class _Window:
    """The number of steps since the last record, and the seconds of these steps: `waiting` for data, and `total`."""

    steps: int = 0
    waiting: float = 0.0
    total: float = 0.0

    def add(self, waiting: float, total: float) -> None:
        """Count a step."""
        self.steps, self.waiting, self.total = self.steps + 1, self.waiting + waiting, self.total + total

    def clear(self) -> None:
        """Begin again after a record."""
        self.steps, self.waiting, self.total = 0, 0.0, 0.0


@dataclass(frozen=True)
class Step:
    """A step that was done: its number from 1 on, its loss, the norm of its gradients and its learning rate.

    `seconds` is the time of the run so far. Loss or norm is not finite in a step that changed no weight.
    """

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    seconds: float


class Trainer:
    """A run in a folder: config.json, data.json, metrics.jsonl, checkpoints/, best/, a lock, and finally result.json.

    `result` says how the run ended. `run` sets it; for a run that is over already, it is set at once.
    """

    def __init__(
        self,
        config: TrainConfig,
        folder: StrPath,
        *,
        resume: bool = False,
        force: bool = False,
        progress: bool = False,
    ):
        """Check everything that can be checked before the first step.

        Args:
            config: The run. Data paths become absolute.
            folder: The folder of the run.
            resume: Go on with the run in the folder, or begin if it has none. It may have more steps than before.
            force: Replace the run in the folder.
            progress: Show progress on stderr.

        Raises:
            OutputExists: The folder has a run, and neither `resume` nor `force` is given; the run has lost its
                checkpoints; or the folder has something else.
            OutputBusy: Another process trains in the folder.
            ResumeMismatch: The run in the folder has another config, or other data.
            ConfigError: The machine lacks the device; the run in the folder is of an older version, or has done more
                steps.
            TokenFileError: A token file is of another tokenizer, too short, or damaged.
            CheckpointError: Every checkpoint in the folder is damaged.
            OutOfMemory: The model does not fit.
            FileError: A file could not be read or written.
        """
        self.folder = Path(folder)
        self.config = config = with_absolute_paths(config)
        self.device = device_of(config.device)
        self.world = join_world(self.device)
        _check_rows(config, self.world)
        self.data = open_data(config)
        self.batches = Batches(
            self.data.train, config.batch_size, config.model.context_length, config.seed, config.model.vocab_size
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
        world = self.world
        is_resumed = world.broadcast_from_first(lambda: self._run_folder.enter(resume=resume, force=force))
        old = world.on_each(self._resume_config) if is_resumed else None
        self._begin_verification()
        self._build()
        self.progress, self.step = RunState(), 0
        if old is not None:
            self._load(old)
        identity = run_identity(self.config, *self.data.manifests)
        go_on_with_identity(
            self.progress, identity, self.step, self.folder, warns=world.is_first and self.result is None
        )
        self._is_compiled, self._has_stepped = self.config.compile, False
        self._loss = self._loss_of_step()
        self._peak = peak_flops(self.device, self.config.dtype)
        self._warmup = self.config.schedule.lengths(self.config.steps)[0]
        if self.result is None:
            compare_validation(self.progress, self.data.validated_on, self.step, warns=world.is_first)
            world.on_each(self._finish_verification)
            # All checks are done. Nothing in the folder was changed before this line.
            world.broadcast_from_first(lambda: self._begin_folder(is_resumed))

    def _resume_config(self) -> TrainConfig:
        """Set the config with which the run in the folder goes on, and return the config that it had."""
        old = TrainConfig.load(self.folder / CONFIG)
        self.config = resumed_config(old, self.config, self.folder)
        check_same_data(self.folder, self.data.identity)
        return old

    def _build(self) -> None:
        """Create the model, its loss and its optimizer."""
        config = self.config
        torch.manual_seed(config.seed)
        self.model = TransformerLM.from_config(config.model, implementation=config.implementation).to(self.device)
        self.model.checkpoints_activations = config.activation_checkpointing
        self.loss = LanguageModelLoss(self.model, implementation=config.implementation, dtype=config.dtype)
        if config.parallel == "fsdp" and self.world.size > 1:
            shard(self.loss, self.world, self.device.type)
        self.optimizer = new_optimizer(config, self.model)

    def _load(self, old: TrainConfig) -> None:
        """Load the newest checkpoint of the run in the folder, which had the config `old`."""
        saved = load_newest(self.folder / CHECKPOINTS, self.model, self.optimizer, self.world)
        if saved is None:
            self.world.broadcast_from_first(lambda: self._run_folder.check_lost_none(old.checkpoint_every))
        else:
            self.step, self.progress = saved.step, RunState.of(saved.progress)
        check_enough_steps(self.config, self.step, self.folder)
        if self.world.is_first:
            warn_of_another_schedule(old, self.config, self.step)
        self.result = self._result_if_over(old)

    def _begin_verification(self) -> None:
        """Read the token files in the background, once on each machine."""
        if self.world.local_rank == 0:
            data = self.config.data
            self._verification = Verification(dict.fromkeys(path for path in (data.train, data.valid) if path))

    def _finish_verification(self) -> None:
        if self._verification is not None:
            self._verification.finish()

    def _begin_folder(self, is_resumed: bool) -> None:
        if is_resumed:
            self._run_folder.go_on(self.config, self.step)
        else:
            self._run_folder.begin(self.config, self.data.identity)
        tracker_id = self._run_folder.tracker_id() if wanted(self.config) else ""
        about = {
            "identity": self.progress.identity,
            "machine": describe_machine(gpu_name(self.device)),
            "processes": self.world.size,
            "commit": commit(),
        }
        self.log = RunLog(self.folder, self.config, self.step, about, tracker_id)

    def _result_if_over(self, old: TrainConfig) -> TrainResult | None:
        """Return how the run ended, or None if a signal ended it or the config lets it go on."""
        content = self.world.broadcast_from_first(self._run_folder.result_as_dict)
        result = None if content is None else TrainResult.of(content, self.folder)
        if result is None or result.reason == "signal":
            return None
        if result.reason == "diverged":
            return None if allows_more(old, self.config) else result
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
        """Release the lock of the folder and wait for the other processes; a failing process does not wait."""
        try:
            if self._verification is not None:
                self._verification.cancel()
            if hasattr(self, "log"):
                self.log.close()
        finally:
            if not is_failing:
                self.world.leave()
            self._run_folder.close()

    def run(self, *, profile: bool = False, on_step: Callable[[Step], object] | None = None) -> TrainResult:
        """Train to the last step, to the end of `max_time`, or to a signal, and save a checkpoint in each case.

        The clock of `seconds` and `max_time` stops during validations, and while a validation saves the best weights.
        A run that is over already is left as it is. On a CPU with glibc the whole process keeps the memory that it
        frees from now on (`bpe_lm.training.memory`).

        Args:
            profile: Record three steps after the first three: a trace and a table in `profile/`, and `self.profile`.
            on_step: Called after each step, in each process, before the step is recorded. Its time is no part of the
                run's.

        Raises:
            TrainingDiverged: More than `max_skipped_steps` steps in a row were not finite (the message names the first
                bad tensor), or the loss was above `max_loss` in `max_loss_steps` steps in a row after the warm-up.
            TokenFileError: An id is beyond the vocabulary.
            OutOfMemory: A step does not fit.
            FileError: The disk is full; earlier checkpoints are kept.
            KeyboardInterrupt: A second signal was received.
        """
        if self.result is not None:
            return self.result
        if self.device.type == "cpu":
            keep_freed_memory()
        self._start = time.perf_counter() - self.progress.seconds
        window = _Window()
        display = Display(is_wanted=self._show_progress, width=62, is_first_line_due=True)
        with received_signals() as received, self._enough_memory(), display, self._profiler(profile) as profiler:
            try:
                reason = self._why_stop(received)
                while reason is None:
                    loss, norm, rate = self._timed_step(window)
                    profiler.step()
                    if on_step is not None:
                        with self._outside_clock():
                            on_step(Step(self.step, loss, norm, rate, self.progress.seconds))
                    self._log_if_due(window, display, loss, norm, rate)
                    self._check_loss(loss)
                    self._validate_if_due()
                    reason = self._why_stop(received)
                    self._save_if_due(reason)
            except TrainingDiverged as error:
                self._end("diverged", message=str(error))
                raise
            name = signal.Signals(received[0] if received else signal.SIGTERM).name if reason == "signal" else None
            result = self._end(reason, name)
        if isinstance(profiler, Profiler):
            self.profile = profiler.result
        return result

    @contextmanager
    def _outside_clock(self) -> Iterator[None]:
        """Leave the time in this context out of the run's seconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._start += time.perf_counter() - start

    def _timed_step(self, window: _Window) -> tuple[float, float, float]:
        """Do a step. Returns its loss, the norm of its gradients and its learning rate."""
        start = time.perf_counter()
        with phase("data"):
            x, y = self.next_batch()
        waiting = time.perf_counter() - start
        loss, norm, rate = self._train_step(x, y)
        self.step += 1
        now = time.perf_counter()
        window.add(waiting, now - start)
        self.progress.seconds = now - self._start
        if isfinite(loss):
            self.progress.train_loss = loss
        return loss, norm, rate

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return this process's inputs and targets of the next step.

        Raises:
            TokenFileError: An id is beyond the vocabulary.
        """
        return self.batches(self.step, self.device, self.world.rows(self.config.batch_size))

    def advance(self) -> tuple[float, float, float]:
        """Do the next step, and no record, validation or checkpoint. Returns what `_train_step` returns.

        Raises:
            TrainingDiverged: As `run` raises it.
            OutOfMemory: The step does not fit.
        """
        with self._enough_memory():
            found = self._train_step(*self.next_batch())
        self.step += 1
        return found

    def next_learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        return learning_rate(self.config.schedule, self.config.steps, self.step)

    def next_gradients(self) -> tuple[float, float]:
        """Compute the gradients of the next step, which is not done. Returns its loss and the norm of the gradients.

        Both are those that the step records, to the bit. The gradients are not clipped.

        Raises:
            OutOfMemory: The step does not fit.
        """
        with self._enough_memory():
            total = self._gradients(*self.next_batch())
        norm = clip_sharded_gradients(self.model.parameters(), float("inf"))
        return self._mean_loss(total), float(norm)

    def _mean_loss(self, total: Tensor) -> float:
        """Return the mean over the processes of the losses of their rows."""
        return self.world.all_reduce_sum(float(total))[0] / self.world.size

    def _log_if_due(self, window: _Window, display: Display, loss: float, norm: float, rate: float) -> None:
        config, progress = self.config, self.progress
        is_last = self.step == config.steps
        if not (self.step % config.log_every == 0 or is_last or self.step == 1):
            return
        tokens, flops_per_token = self.step * config.tokens_per_step, training_flops_per_token(config.model)
        speed = window.steps * config.tokens_per_step / window.total
        record = {
            "kind": "train",
            "step": self.step,
            "tokens": tokens,
            "seconds": progress.seconds,
            "flops": tokens * flops_per_token,
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens_per_second": speed,
            "mfu": speed * flops_per_token / self._peak if self._peak else None,
            "data_wait": window.waiting / window.total,
        }
        self._record(record)
        window.clear()
        text = f"step {self.step:,} of {config.steps:,}, loss {loss:.3f}"
        if progress.loss is not None:
            text += f", validation {progress.loss:.3f} at step {progress.loss_step:,}"
        text += f", {speed:,.0f} tokens/s, {megabytes(self._memory())}"
        display.update("train", self.step, config.steps, text)

    def _check_loss(self, loss: float) -> None:
        """Count the steps in a row whose loss is above the bound; a loss that is not finite is above it.

        Raises:
            TrainingDiverged: They are `max_loss_steps`.
        """
        config, progress = self.config, self.progress
        if not config.max_loss or self.step <= self._warmup:
            return
        progress.above_max_loss = 0 if loss <= config.max_loss else progress.above_max_loss + 1
        if progress.above_max_loss >= config.max_loss_steps:
            raise TrainingDiverged(
                f"step {self.step}: loss {loss:.4g}, and the loss was above max_loss, {config.max_loss:g}, in the last "
                f"{progress.above_max_loss:,} steps (max_loss_steps is {config.max_loss_steps:,}); begin anew with a "
                "lower schedule.max_learning_rate or another seed, or set a higher max_loss"
            )

    def _memory(self) -> int:
        """Return the peak bytes of the GPU, or of this process."""
        is_cuda = self.device.type == "cuda"
        return torch.cuda.max_memory_allocated(self.device) if is_cuda else peak_memory()

    def _end(self, reason: str, name: str | None = None, message: str | None = None) -> TrainResult:
        progress = self.progress
        tokens = self.step * self.config.tokens_per_step
        losses = (progress.train_loss, progress.loss, progress.best_loss)
        identity = (config_sha256(self.config), dict(progress.identity or {}))
        self.result = TrainResult(
            reason, self.step, tokens, progress.seconds, *losses, *identity, self.folder, name, message
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
        """Return the reason to end now, or None. It is the same in all processes, even if only one has a reason."""
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
        """Update the weights. Returns loss, norm of the gradients and learning rate.

        A step whose loss or norm is not finite changes nothing.
        """
        config = self.config
        rate = self.next_learning_rate()
        total = self._gradients(x, y)
        with phase("clip"):
            norm = clip_sharded_gradients(self.model.parameters(), config.optimizer.max_l2_norm or float("inf"))
        loss, norm_value = self._mean_loss(total), float(norm)
        if not (isfinite(loss) and isfinite(norm_value)):
            self._skip(x, y, loss, norm_value)
            return loss, norm_value, rate
        self.progress.skipped = 0
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with phase("optimizer"):
            self.optimizer.step()
        return loss, norm_value, rate

    def _gradients(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the gradients of these rows, and return their loss. If the compiler fails at first, go on eagerly."""
        try:
            total = self._accumulated_gradients(x, y)
        except Exception as error:
            # Other processes may have compiled without an error, and wait for this one.
            may_go_on = self._is_compiled and not self._has_stepped and self.world.size == 1
            if not (may_go_on and is_failed_compilation(error)):
                raise
            warn_not_compiled(error)
            self._is_compiled = False
            self._loss = self._loss_of_step()
            total = self._accumulated_gradients(x, y)
        self._has_stepped = True
        return total

    def _accumulated_gradients(self, x: Tensor, y: Tensor) -> Tensor:
        """Add up gradients over micro-batches, each weighted by its share of the tokens."""
        total = torch.zeros((), device=self.device)
        self.optimizer.zero_grad(set_to_none=True)
        micro_batches = self._micro_batches(x, y)
        for number, (inputs, targets) in enumerate(micro_batches):
            with synchronized(self._loss, number == len(micro_batches) - 1):
                with phase("forward"):
                    loss = self._loss(inputs, targets) * (targets.numel() / y.numel())
                with phase("backward"):
                    loss.backward()
            total += loss.detach()
        return total

    def _micro_batches(self, x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        rows = self.config.micro_batch_size or len(x)
        return list(zip(torch.split(x, rows), torch.split(y, rows), strict=True))

    def _loss_of_step(self) -> nn.Module:
        """Return the loss that a step calls: compiled, and with gradients averaged over processes."""
        loss: nn.Module = self.loss
        if self._is_compiled:
            result = compiled(loss)
            self._is_compiled = result is not None
            loss = self.loss if result is None else result
        return replicate(loss) if self.config.parallel == "ddp" and self.world.size > 1 else loss

    def _weights_are_finite(self) -> bool:
        return self.world.all_reduce_sum(not weights_are_finite(self.model)) == [0]

    def _skip(self, x: Tensor, y: Tensor, loss: float, norm: float) -> None:
        self.progress.skipped += 1
        self._record({"kind": "skip", "step": self.step + 1, "loss": loss, "gradient_norm": norm})
        if self.progress.skipped <= self.config.max_skipped_steps:
            warnings.warn(f"step {self.step + 1} is skipped: loss {loss}, gradient norm {norm}", stacklevel=2)
            return
        starts = ", ".join(map(str, self.batches.starts(self.step)[:4]))
        micro_batches = self._micro_batches(x, y) if self.world.size == 1 else []
        raise TrainingDiverged(
            f"step {self.step + 1}: loss {loss}, gradient norm {norm}, after {self.progress.skipped - 1} skipped "
            f"steps; {first_bad_value(self.loss, micro_batches, loss)}; the batch's texts begin at the "
            f"tokens {starts}, ...; begin anew with a lower schedule.max_learning_rate or another seed"
        )

    def _validate_if_due(self) -> None:
        config = self.config
        if self.data.valid is None or (self.step % config.validate_every and self.step < config.steps):
            return
        with self._outside_clock():
            self._validate(self.data.valid)

    def _validate(self, tokens: Tokens) -> None:
        config, progress = self.config, self.progress
        limit = config.validation_tokens or None
        result = evaluate(self.model, tokens, limit=limit, loss=self.loss, world=self.world)
        progress.loss, progress.loss_step = result.loss, self.step
        self._record(
            {
                "kind": "valid",
                "step": self.step,
                "tokens": self.step * config.tokens_per_step,
                "seconds": progress.seconds,
                "loss": result.loss,
                "perplexity": result.perplexity,
            }
        )
        if isfinite(result.loss) and (progress.best_loss is None or result.loss < progress.best_loss):
            progress.best_loss, progress.worse = result.loss, 0
            self._save(BEST)
        else:
            progress.worse += 1

    def _save_if_due(self, reason: str | None) -> None:
        if reason is not None or self.step % self.config.checkpoint_every == 0:
            self._save(CHECKPOINTS)

    def _save(self, name: str) -> None:
        if not self._weights_are_finite():
            return  # No run can go on from such weights, and the earlier checkpoints must stay.
        folder = self.folder / name
        saved = save_run_checkpoint(folder, self.model, self.optimizer, self.step, vars(self.progress), self.world)
        if self.world.is_first and name == BEST:
            keep_only(saved)
        elif self.world.is_first:
            keep_newest(folder, self.config.checkpoints_kept)


def _check_rows(config: TrainConfig, world: World) -> None:
    """Refuse a batch that the processes cannot share equally, in whole micro-batches."""
    rows = config.batch_size // world.size
    if config.batch_size % world.size or rows % (config.micro_batch_size or rows or 1):
        raise ConfigError(
            f"batch_size is {config.batch_size}, which {world.size} processes cannot share"
            + (f" in micro-batches of {config.micro_batch_size}" if config.micro_batch_size else "")
            + "; make it a multiple"
        )
