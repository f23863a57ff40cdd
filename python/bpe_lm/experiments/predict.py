"""The cost of works before they run: time by ten steps of each shape, memory by the account, disk by checkpoints."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bpe_lm.errors import BpeLmError, FileError
from bpe_lm.experiments.attempts import LOGS, last_words, start
from bpe_lm.experiments.identities import identity_of
from bpe_lm.experiments.places import on_devices, places
from bpe_lm.experiments.planning import Standing, plan_all, write_config
from bpe_lm.experiments.runs import read_run
from bpe_lm.experiments.work import Job, Work
from bpe_lm.model.flops import count_parameters
from bpe_lm.tokenizer.joined import manifest_of
from bpe_lm.training.config import DataConfig, ScheduleConfig, TrainConfig
from bpe_lm.training.optimizers.config import MuonConfig, OptimizerConfig

STEPS = 10
"""The steps that are measured, after the first, in which buffers are made and code is compiled."""

_MANY = 10**6


@dataclass(frozen=True)
class Speed:
    """The measured seconds of a step, and of everything before the second step: imports, checks, compilation."""

    step: float
    start: float


@dataclass(frozen=True)
class Prediction:
    """What a work will take. None is not known: a job's time, or that of a shape whose steps failed.

    `steps` are those still to do. `memory` is the peak of a process on a CPU, and `disk` that of checkpoints, in bytes.
    """

    name: str
    standing: Standing
    steps: int = 0
    seconds: float | None = None
    memory: int | None = None
    disk: int = 0
    message: str = ""


@dataclass(frozen=True)
class Predicted:
    """What all works will take. `seconds` leaves out works whose time is not known."""

    works: Sequence[Prediction]
    seconds: float

    @property
    def disk(self) -> int:
        """The bytes of all checkpoints."""
        return sum(work.disk for work in self.works)

    @property
    def memory(self) -> int:
        """The bytes of the largest process."""
        return max((work.memory or 0 for work in self.works), default=0)


def predict(
    works: Sequence[Work],
    folder: Path,
    *,
    jobs: int = 1,
    devices: Sequence[str] = (),
    keep_old_code: bool = False,
    say: Callable[[str], object] = lambda line: None,
) -> Predicted:
    """Predict what works will take. Nothing in the folder is changed.

    The time of each distinct shape is measured in a process of its own, with the threads that it will have. Processes
    that run beside each other share the memory's bandwidth, so several take longer than this predicts.
    """
    works = on_devices(works, devices)
    environment = places(jobs, devices)[0]
    speeds: dict[TrainConfig, Speed | BpeLmError] = {}
    memories: dict[TrainConfig, int] = {}
    found = []
    for work, standing in zip(works, plan_all(works, folder, keep_old_code=keep_old_code), strict=True):
        if isinstance(work, Job) or standing == "done":
            found.append(Prediction(work.name, standing))
            continue
        shape = shape_of(work.config)
        if shape not in speeds:
            memories[shape] = peak_memory(shape)
            try:
                identity_of(work, folder)  # Raises what would stop the run before its first step.
                say(f"measuring {STEPS} steps of the shape of {work.name}")
                speeds[shape] = measure_speed(work.config, environment)
            except BpeLmError as error:
                speeds[shape] = error
        found.append(_prediction(work.name, work.config, standing, folder / work.name, speeds[shape], memories[shape]))
    return Predicted(found, _in_parallel([work.seconds or 0.0 for work in found], len(places(jobs, devices))))


def _prediction(
    name: str, config: TrainConfig, standing: Standing, folder: Path, speed: Speed | BpeLmError, memory: int
) -> Prediction:
    record = read_run(folder) if standing == "goes on" else None
    steps = max(config.steps - (record.step if record is not None else 0), 0)
    if isinstance(speed, BpeLmError):
        return Prediction(name, standing, steps, None, memory, checkpoint_bytes(config), str(speed))
    return Prediction(name, standing, steps, run_seconds(config, speed, steps), memory, checkpoint_bytes(config))


def run_seconds(config: TrainConfig, speed: Speed, steps: int | None = None) -> float:
    """Return the seconds of a run, with its validations: a forward pass takes a third of a step."""
    steps = config.steps if steps is None else steps
    training = steps * speed.step
    if config.max_time:
        training = min(training, config.max_time)
    validations = -(-steps // config.validate_every) if config.data.valid else 0
    validation = _validation_tokens(config) / config.tokens_per_step * speed.step / 3
    return speed.start + training + validations * validation


def _validation_tokens(config: TrainConfig) -> int:
    if config.validation_tokens or not config.data.valid:
        return config.validation_tokens
    try:
        return manifest_of(config.data.valid).count
    except BpeLmError:
        return 0


def checkpoint_bytes(config: TrainConfig) -> int:
    """Return the bytes of the checkpoints that a run keeps, and of one more, which is there while it is written."""
    kept = min(config.checkpoints_kept, -(-config.steps // config.checkpoint_every)) + 1
    best = bool(config.data.valid)  # Without the optimizer's state.
    weights = 4 * count_parameters(config.model)
    return weights * (kept + best) + _state_bytes(config) * kept


def _state_bytes(config: TrainConfig) -> int:
    """Return the bytes of an optimizer's state."""
    from bpe_lm.training.optimizers.cost import group_costs  # Planning imports torch only where it counts bytes.

    return sum(group.state_bytes for group in group_costs(config))


def shape_of(config: TrainConfig) -> TrainConfig:
    """Return a config that is equal for all runs whose steps take the same time, and that trains without an end."""
    clips = config.optimizer.max_l2_norm > 0
    muon = config.optimizer.muon
    return TrainConfig(
        model=config.model,
        data=DataConfig(train=config.data.train, mixture=config.data.mixture),
        optimizer=OptimizerConfig(
            name=config.optimizer.name,
            max_l2_norm=float(clips),
            muon=MuonConfig(iterations=muon.iterations, dtype=muon.dtype),
        ),
        schedule=ScheduleConfig("constant", max_learning_rate=1e-5, warmup=0),
        steps=_MANY,
        batch_size=config.batch_size,
        micro_batch_size=config.micro_batch_size,
        device=config.device,
        dtype=config.dtype,
        residual=config.residual,
        implementation=config.implementation,
        compile=is_compiled(config),
        parallel=config.parallel,
        activation_checkpointing=config.activation_checkpointing,
        log_every=1,
        validate_every=_MANY,
        checkpoint_every=_MANY,
    )


def is_compiled(config: TrainConfig) -> bool:
    """Return whether a run of this config is compiled on this machine."""
    if config.compile != "auto":
        return config.compile
    from bpe_lm.training.automatic import resolve_auto
    from bpe_lm.training.devices import device_of_run

    return resolve_auto(config, device_of_run(config.device)).config.is_compiled


def measure_speed(config: TrainConfig, environment: Mapping[str, str] | None = None) -> Speed:
    """Measure a few steps of a config in a process, which is killed afterwards and so writes no checkpoint.

    Raises:
        FileError: The process ended with an error.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        study = Path(name)
        (study / LOGS).mkdir()
        path, log_file = write_config(study, "run", shape_of(config)), study / LOGS / "run.log"
        arguments = ("pretrain", str(path), "--out", str(study / "run"), "--quiet")
        with log_file.open("ab") as log:
            process = start("bpe_lm", arguments, log, None, environment or {})
        try:
            while True:
                record = read_run(study / "run")
                train = record.train if record is not None else ()
                if len(train) > STEPS:
                    break
                if process.poll() is not None:
                    raise FileError(f"{STEPS} steps could not be measured: {last_words(log_file)}")
                time.sleep(0.05)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    tokens = config.tokens_per_step
    seconds = [tokens / record["tokens_per_second"] for record in train]
    step = median(seconds[1 : STEPS + 1])
    return Speed(step, max(time.monotonic() - began - sum(seconds[1:]), 0.0))


def peak_memory(config: TrainConfig) -> int:
    """Return the bytes that a run's process takes on a CPU at most, by the account of its step."""
    from bpe_lm.training.step_memory import step_memory

    return step_memory(config).peak


def _in_parallel(seconds: Sequence[float], count: int) -> float:
    """Return the time in which `count` processes do works, each process taking the next when it has ended one."""
    ends = [0.0] * count
    for one in seconds:
        first = ends.index(min(ends))
        ends[first] += one
    return max(ends)
