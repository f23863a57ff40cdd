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
from torch import Tensor

from bpe_lm.errors import InternalError, TrainingDiverged
from bpe_lm.fields import keys
from bpe_lm.files import StrPath
from bpe_lm.machine import commit, describe_machine, peak_memory
from bpe_lm.model.flops import training_flops_per_token
from bpe_lm.progress import Display, megabytes
from bpe_lm.tokenizer.token_file import Verification
from bpe_lm.training.automatic import as_asked, automatic_keys, check_can_run, resolve_auto, taken_from
from bpe_lm.training.batches import Batches, Tokens
from bpe_lm.training.checkpoint_writer import CheckpointWriter
from bpe_lm.training.config import BEST, CHECKPOINTS, CONFIG, PROFILE, TrainConfig
from bpe_lm.training.data import check_same_data, open_data, with_absolute_paths
from bpe_lm.training.devices import device_of, gpu_name, peak_flops
from bpe_lm.training.divergence import BEGIN_ANEW, diverged_by_loss, first_bad_value, weights_are_finite
from bpe_lm.training.evaluate import Evaluation, evaluate
from bpe_lm.training.garbage import collect_new_garbage, no_garbage_collection
from bpe_lm.training.identity import run_identity
from bpe_lm.training.measures import Launched, Reading, Wishes, read
from bpe_lm.training.memory import enough_memory, is_out_of_memory, keep_freed_memory
from bpe_lm.training.messages import Json
from bpe_lm.training.numerics import numerics, prepare
from bpe_lm.training.parallel import check_rows, join_world
from bpe_lm.training.prefetch import Batch, Prefetch
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
from bpe_lm.training.run_folder import Chosen, RunFolder, TrainResult
from bpe_lm.training.run_log import RunLog, config_sha256
from bpe_lm.training.schedules import learning_rate
from bpe_lm.training.signals import received_signals
from bpe_lm.training.step_records import Window, is_record_due, train_record, valid_record
from bpe_lm.training.time_budget import TimeBudget
from bpe_lm.training.trackers import wanted
from bpe_lm.training.train_step import TrainStep


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
        prepare(config, self.device)
        self.world = join_world(self.device)
        check_rows(config.batch_size, config.micro_batch_size, self.world)
        self.data = open_data(config)
        self.batches = Batches(
            self.data.train,
            config.batch_size,
            config.model.context_length,
            config.seed,
            config.model.vocab_size,
            self.data.mixture,
        )
        # Prefetching pays where a step leaves the host time: on a CPU both would share its cores.
        self._prefetch = (
            Prefetch(self.batches, self.world.rows(config.batch_size), self.device)
            if self.device.type == "cuda"
            else None
        )
        self._has_bad_ids: Tensor | None = None
        self._writer = CheckpointWriter()
        self._reads_each_step = self.device.type != "cuda"
        self._launched: list[tuple[int, Launched]] = []
        self._first_launch = 0.0
        self._received: list[int] = []
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
        chosen = Chosen(self.device.type, automatic_keys(self.config))
        old = None
        if is_resumed:
            old, chosen = world.on_each(self._resume_config)
        self._resolve()
        self._begin_verification()
        self._steps = TrainStep(self.config, self.device, world)
        self.model, self.loss, self.optimizer = self._steps.model, self._steps.loss, self._steps.optimizer
        self.progress, self.step = RunState(), 0
        if old is not None:
            self._load(old)
        identity = run_identity(as_asked(self.config, chosen.keys), self.data.train_manifests, self.data.valid_manifest)
        go_on_with_identity(
            self.progress, identity, self.step, self.folder, warns=world.is_first and self.result is None
        )
        self._steps.prepare()
        self._time_budget = TimeBudget(self.config.max_time, self.progress, self.step)
        self._peak = peak_flops(self.device, self.config.products_in)
        self._warmup = self.config.schedule.lengths(self.config.steps)[0]
        if self.result is None:
            compare_validation(self.progress, self.data.validated_on, self.step, warns=world.is_first)
            world.on_each(self._finish_verification)
            # All checks are done. Nothing in the folder was changed before this line.
            world.broadcast_from_first(lambda: self._begin_folder(chosen, is_resumed=is_resumed))

    def _resume_config(self) -> tuple[TrainConfig, Chosen]:
        """Set the config with which the run in the folder goes on. Return the config that it had, and what was chosen.

        A key that was chosen and is now given another value is not chosen any more.
        """
        path = self.folder / CONFIG
        old, chosen = TrainConfig.load(path), Chosen.read(path) or Chosen(self.device.type, [])
        on_same_device = chosen.device == self.device.type
        new = taken_from(self.config, old, self.device, on_same_device=on_same_device)
        self.config = resumed_config(old, new, self.folder)
        check_same_data(self.folder, self.data.identity)
        values, old_values = dict(keys(self.config)), dict(keys(old))
        kept = [name for name in chosen.keys if values[name] in (old_values[name], "auto")]
        return old, Chosen(self.device.type, kept)

    def _resolve(self) -> None:
        """Replace each "auto" of the config, in all processes as in the first, and keep the `reasons`."""

        def first() -> Json:
            resolved = resolve_auto(self.config, self.device)
            return [resolved.config.as_dict(), resolved.reasons]

        values, self.reasons = self.world.broadcast_from_first(first)
        self.config = TrainConfig.from_dict(values)
        self.world.on_each(lambda: check_can_run(self.config, self.device))

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
            self._verification = Verification(dict.fromkeys(path for _, path in self.config.data.files()))

    def _finish_verification(self) -> None:
        if self._verification is not None:
            self._verification.finish()

    def _begin_folder(self, chosen: Chosen, *, is_resumed: bool) -> None:
        if is_resumed:
            self._run_folder.go_on(self.config, chosen, self.step)
        else:
            self._run_folder.begin(self.config, chosen, self.data.identity)
        tracker_id = self._run_folder.tracker_id() if wanted(self.config) else ""
        about = {
            "identity": self.progress.identity,
            "machine": describe_machine(gpu_name(self.device)),
            "processes": self.world.size,
            "chosen": self.reasons,
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
        is_over = self._why_stop(self._wishes_of_all()) is not None
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
            self._writer.close()
            if self._prefetch is not None:
                self._prefetch.close()
            if self._verification is not None:
                self._verification.cancel()
            if hasattr(self, "log"):
                self.log.close()
            if hasattr(self, "_steps"):
                self._steps.drop_graph()
        finally:
            if not is_failing:
                self.world.leave()
            self._run_folder.close()

    def run(self, *, profile: bool = False, on_step: Callable[[Step], object] | None = None) -> TrainResult:
        """Train to the last step, to the end of `max_time`, or to a signal, and save a checkpoint in each case.

        The clock of `seconds` and `max_time` stops during validations, and while a validation saves the best weights. A
        run whose learning rate falls by the clock is validated at the end of `max_time`, too.
        A run that is over already is left as it is. On a CPU with glibc the whole process keeps the memory that it
        frees from now on (`bpe_lm.training.memory`).

        Args:
            profile: Record three steps after the first three: a trace and a table in `profile/`, and `self.profile`.
            on_step: Called after each step, in each process, before the step is recorded. Its time is no part of the
                run's. With it or `profile`, no step is a CUDA graph: each runs the hooks of the model's modules.

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
        config = self.config
        self._start = time.perf_counter() - self.progress.seconds
        window = Window()
        display = Display(is_wanted=self._show_progress, width=62, is_first_line_due=True)
        watches_each = profile or on_step is not None
        with (
            numerics(config, self.device),
            received_signals() as self._received,
            self._enough_memory(),
            display,
            no_garbage_collection(),
            self._profiler(profile) as profiler,
            self._all_written(),
        ):
            try:
                reason = self._why_stop(self._wishes_of_all())
                while reason is None:
                    self._launch_step(window)
                    readings = self._read(window) if watches_each or self._is_read_due() else []
                    if readings and not watches_each:  # A graph would hide the operations of a step.
                        self._steps.note_speed(len(readings), time.perf_counter() - self._first_launch)
                    profiler.step()
                    for reading in readings:
                        self._take(reading, on_step)
                        self._read_clock(reading)
                        self._log_if_due(reading, window, display)
                        self._check_loss(reading)
                    if readings:
                        self._validate_if_due(self._wishes_after(readings[-1]))
                        reason = self._why_stop(self._wishes_after(readings[-1]))
                        self._save_if_due(reason)
            except TrainingDiverged as error:
                self._end("diverged", message=str(error))
                raise
            received = self._received
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

    @contextmanager
    def _all_written(self) -> Iterator[None]:
        """Wait at the end, also after an error, until checkpoints are written. `_end` raises the errors of that."""
        try:
            yield
        finally:
            self._writer.wait()

    def _launch_step(self, window: Window) -> None:
        """Launch a step. On a GPU the device may still compute earlier ones."""
        if self.world.size == 1:  # Several processes learn of a failed write together: see `_wishes_after`.
            self._writer.check()
        start = time.perf_counter()
        with phase("data"):
            x, y = self.next_batch()
        waiting = time.perf_counter() - start
        launched = Launched(*self._train_step(x, y))
        self.step += 1
        self._launched.append((self.step, launched))
        window.add(waiting, time.perf_counter() - start)

    def _is_read_due(self) -> bool:
        """Return whether the host waits for the device after this step, to record, validate, save or end."""
        config, step = self.config, self.step
        if self._reads_each_step or is_record_due(config, step) or step % config.checkpoint_every == 0:
            return True
        if self._is_validation_due():
            return True
        if self.world.size > 1:  # All processes read after the same steps.
            return False
        is_over = config.max_time > 0 and time.perf_counter() - self._start >= config.max_time
        return is_over or bool(self._received) or self._writer.has_failed

    def _read(self, window: Window) -> list[Reading]:
        """Wait for the steps that were launched, and read what they measured."""
        start = time.perf_counter()
        readings, self._launched = read(self._launched), []
        window.wait(time.perf_counter() - start)
        return readings

    def _take(self, reading: Reading, on_step: Callable[[Step], object] | None) -> None:
        """Take the measures of a step into the state of the run, and show them."""
        self._check_step(reading)
        progress = self.progress
        progress.seconds = time.perf_counter() - self._start
        if isfinite(reading.loss):
            progress.train_loss = reading.loss
        if on_step is not None:
            with self._outside_clock():
                on_step(Step(reading.step, reading.loss, reading.norm, reading.learning_rate, progress.seconds))

    def _read_clock(self, reading: Reading) -> None:
        """Take the time, in all processes that of the first. Several processes speak of it only at records."""
        if self.config.schedule.clock == "steps" or reading.step != self.step:
            return
        if self.world.size == 1 or is_record_due(self.config, reading.step):
            self._time_budget.read(reading.step, self.world.broadcast_from_first(lambda: self.progress.seconds))

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Return this process's inputs and targets of the next step.

        Raises:
            TokenFileError: An id is beyond the vocabulary. On a GPU the step finds that out, and changes nothing.
        """
        if self._prefetch is None:
            return self.batches(self.step, self.device, self.world.rows(self.config.batch_size))
        x, y, self._has_bad_ids = self._prefetch(self.step)
        return x, y

    def advance(self) -> tuple[float, float, float]:
        """Do the next step, and no record, validation or checkpoint. Returns loss, norm and learning rate.

        Raises:
            TrainingDiverged: As `run` raises it.
            TokenFileError: An id is beyond the vocabulary.
            OutOfMemory: The step does not fit.
        """
        with self._enough_memory(), numerics(self.config, self.device):
            self._launch_step(Window())
            (reading,) = self._read(Window())
        self._check_step(reading)
        return reading.loss, reading.norm, reading.learning_rate

    def next_learning_rate(self) -> float:
        """Return the learning rate of the next step."""
        schedule = self.config.schedule
        time_over = self._time_budget.over_after(self.step + 1) if schedule.clock == "time" else 0.0
        return learning_rate(schedule, self.config.steps, self.step, time_over)

    def next_gradients(self) -> tuple[float, float]:
        """Compute the gradients of the next step, which is not done. Returns its loss and the norm of the gradients.

        Both are those that the step records, to the bit. The gradients are not clipped.

        Raises:
            OutOfMemory: The step does not fit.
        """
        with self._enough_memory(), numerics(self.config, self.device):
            total = self._steps.gradients(*self.next_batch())
            measures = self._steps.measures(total, self._has_bad_ids, self._own_wishes())
            (reading,) = read([(self.step + 1, Launched(measures.loss, measures.norm, learning_rate=0.0))])
        return reading.loss, reading.norm

    def _log_if_due(self, reading: Reading, window: Window, display: Display) -> None:
        config, progress = self.config, self.progress
        if not is_record_due(config, reading.step):
            return
        record = train_record(config, reading, progress.seconds, window, self._peak)
        self._record(record)
        window.clear()
        text = f"step {reading.step:,} of {config.steps:,}, loss {reading.loss:.3f}"
        if progress.loss is not None:
            text += f", validation {progress.loss:.3f} at step {progress.loss_step:,}"
        text += f", {record['tokens_per_second']:,.0f} tokens/s, {megabytes(self._memory())}"
        display.update("train", reading.step, config.steps, text)

    def _check_loss(self, reading: Reading) -> None:
        """Count the steps in a row whose loss is above the bound; a loss that is not finite is above it.

        Raises:
            TrainingDiverged: They are `max_loss_steps`. The guard refused later steps that were launched.
        """
        config, progress = self.config, self.progress
        if not config.max_loss or reading.step <= self._warmup:
            return
        progress.above_max_loss = 0 if reading.loss <= config.max_loss else progress.above_max_loss + 1
        if progress.above_max_loss >= config.max_loss_steps:
            self.step = reading.step
            raise diverged_by_loss(config, reading.step, reading.loss, progress.above_max_loss)

    def _memory(self) -> int:
        """Return the peak bytes of the GPU, or of this process."""
        is_cuda = self.device.type == "cuda"
        return torch.cuda.max_memory_allocated(self.device) if is_cuda else peak_memory()

    def _end(self, reason: str, name: str | None = None, message: str | None = None) -> TrainResult:
        """Wait until the checkpoints are on the disk, and write how the run ended."""
        self.world.on_each(self._writer.finish)
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

    def _own_wishes(self) -> Wishes:
        """Return this process's reasons to end now."""
        config = self.config
        is_over = config.max_time > 0 and self.progress.seconds >= config.max_time
        return Wishes(self._received[0] if self._received else 0, is_over, self._writer.has_failed)

    def _wishes_of_all(self) -> Wishes:
        """Ask all processes for their reasons to end now."""
        return Wishes(*self.world.all_reduce_sum(*self._own_wishes()))

    def _wishes_after(self, reading: Reading) -> Wishes:
        """Return the reasons of all processes to end after a step, which each had before its gradients were shared.

        Raises:
            FileError: A process could not write a checkpoint.
        """
        if self.world.size == 1:
            return self._own_wishes()
        if reading.wishes.failed_write:
            self.world.on_each(self._writer.check)
        return reading.wishes

    def _why_stop(self, wishes: Wishes) -> str | None:
        """Return the reason to end now, or None. It is the same in all processes, even if only one has a reason."""
        config, progress = self.config, self.progress
        if self.step >= config.steps:
            return "finished"
        if config.stop_when_worse and progress.worse >= config.stop_when_worse:
            return "worse"
        if wishes.signal:
            return "signal"
        return "time" if wishes.time else None

    def _record(self, record: dict[str, Any]) -> None:
        if self.world.is_first:
            self.log.write(record)

    def _train_step(self, x: Tensor, y: Tensor) -> Launched:
        """Launch an update of the weights. Nothing is read from the device.

        A step whose loss or norm is not finite changes nothing.
        """
        if not self._launched:
            self._first_launch = time.perf_counter()
            self._steps.guard.begin(self.progress.skipped, self.progress.above_max_loss)
        rate, batch = self.next_learning_rate(), Batch(x, y, self._has_bad_ids)
        measures = self._steps(self.step + 1, batch, rate, self._own_wishes())
        return Launched(measures.loss, measures.norm, rate, measures.has_bad_ids, measures.wishes)

    def _weights_are_finite(self) -> bool:
        return self.world.all_reduce_sum(not weights_are_finite(self.model)) == [0]

    def _check_step(self, reading: Reading) -> None:
        """Count the steps in a row that were not finite, and changed nothing.

        Raises:
            TrainingDiverged: They are more than `max_skipped_steps`.
            TokenFileError: An id of the batch is beyond the vocabulary.
        """
        if reading.has_bad_ids:
            self.step = reading.step - 1
            self.batches(self.step, "cpu")
            raise InternalError(f"step {reading.step} has an id beyond the vocabulary, which only the device finds")
        if isfinite(reading.loss) and isfinite(reading.norm):
            self.progress.skipped = 0
            return
        self.progress.skipped += 1
        record = {"kind": "skip", "step": reading.step, "loss": reading.loss, "gradient_norm": reading.norm}
        self._record(record)
        text = f"loss {reading.loss}, gradient norm {reading.norm}"
        if self.progress.skipped <= self.config.max_skipped_steps:
            warnings.warn(f"step {reading.step} is skipped: {text}", stacklevel=2)
            return
        starts = ", ".join(map(str, self.batches.starts(reading.step - 1)[:4]))
        raise TrainingDiverged(
            f"step {reading.step}: {text}, after {self.progress.skipped - 1} skipped steps; "
            f"{self._first_bad_value(reading)}; the batch's texts begin at the tokens {starts}, ...; {BEGIN_ANEW}"
        )

    def _first_bad_value(self, reading: Reading) -> str:
        """Name the first value that is not finite in a step, which is done again. The run ends before that step."""
        is_latest, self.step = reading.step == self.step, reading.step - 1
        self._steps.drop_graph()  # Its memory is needed.
        x, y = self.next_batch()
        if not is_latest:
            # The gradients are those of a later step. Weights have not changed since.
            self._steps.gradients(x, y)
        batches = self._steps.micro_batches(x, y) if self.world.size == 1 else []
        return first_bad_value(self.loss, batches, reading.loss)

    def _validate_if_due(self, wishes: Wishes) -> None:
        is_last = bool(wishes.time) and self.config.schedule.clock == "time"  # Other runs may go on after `max_time`.
        if self.data.valid is not None and (is_last or self._is_validation_due()):
            with self._outside_clock():
                self._validate(self.data.valid)

    def _is_validation_due(self) -> bool:
        config = self.config
        return self.data.valid is not None and (self.step % config.validate_every == 0 or self.step >= config.steps)

    def _validate(self, tokens: Tokens) -> None:
        config, progress = self.config, self.progress
        result = self._evaluated(tokens)
        progress.loss, progress.loss_step = result.loss, self.step
        self._record(valid_record(config, self.step, progress.seconds, result))
        if isfinite(result.loss) and (progress.best_loss is None or result.loss < progress.best_loss):
            progress.best_loss, progress.worse = result.loss, 0
            self._save(BEST)
        else:
            progress.worse += 1

    def _evaluated(self, tokens: Tokens) -> Evaluation:
        """Evaluate the model. If memory is short because a graph keeps that of a step, do so again without the graph.

        A launched step leaves its memory to the validation after it.
        """
        try:
            return self._evaluate(tokens)
        except RuntimeError as error:
            if not (is_out_of_memory(error) and self._steps.drop_graph()):
                raise
        warnings.warn("memory is short for a validation; steps are launched one by one from now on", stacklevel=2)
        return self._evaluate(tokens)

    def _evaluate(self, tokens: Tokens) -> Evaluation:
        limit = self.config.validation_tokens or None
        rows, loss = self._steps.validation_batch()
        return evaluate(
            self.model, tokens, limit=limit, loss=self.loss, world=self.world, rows=rows, loss_of_full_batch=loss
        )

    def _save_if_due(self, reason: str | None) -> None:
        if reason is not None or self.step % self.config.checkpoint_every == 0:
            self._save(CHECKPOINTS)

    def _save(self, name: str) -> None:
        """Copy the weights, and the optimizer's state except with the best. A thread writes them."""
        if not self._weights_are_finite():
            return  # No run can go on from such weights, and the earlier checkpoints must stay.
        folder, number, is_best = self.folder / name, self.config.checkpoints_kept, name == BEST
        save_run_checkpoint(
            folder,
            self.model,
            None if is_best else self.optimizer,
            self.step,
            vars(self.progress),
            self.world,
            after=keep_only if is_best else lambda saved: keep_newest(folder, number),
            writer=self._writer,
        )
        collect_new_garbage()
