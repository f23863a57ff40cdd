"""The folders of runs, read for tables and reports. Nothing here changes a folder, or imports torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, cast, get_args

from bpe_lm.errors import ConfigError, FileError
from bpe_lm.experiments.attempts import is_locked, log_path, read_attempt, study_of
from bpe_lm.experiments.study import RESERVED, read_study
from bpe_lm.experiments.work import RESULT
from bpe_lm.fields import key_of, keys
from bpe_lm.files import read_json
from bpe_lm.training.config import CHECKPOINTS, CONFIG, CONFIG_FORMAT, TrainConfig

State = Literal["waiting", "running", "killed", "finished", "time", "worse", "diverged", "signal", "failed"]

DONE = ("finished", "time", "worse", "diverged")
"""The states of a run that is over. A run in another state goes on when its work is run again."""

METRICS, LOCK = "metrics.jsonl", "lock"


@dataclass(frozen=True)
class RunRecord:
    """What a run's folder says.

    `name` is its folder below that of its study, or else the name of its folder. `result` is the content of
    result.json, or None; `train` and `valid` are the records of metrics.jsonl; `first` is the record that identifies
    the run. `state` is "failed" if the process ended with an error that is no divergence.
    """

    name: str
    folder: Path
    state: State
    config: TrainConfig
    result: Mapping[str, Any] | None
    first: Mapping[str, Any]
    train: Sequence[Mapping[str, Any]]
    valid: Sequence[Mapping[str, Any]]

    @property
    def diverged(self) -> bool:
        """Whether the run diverged."""
        return self.state == "diverged"

    def is_of_other_code(self, sources: str) -> bool:
        """Return whether other sources of this package than these computed the result, as far as is known."""
        identity = (self.result or {}).get("identity") or {}
        return identity.get("sources") not in (None, sources)

    @property
    def loss(self) -> float | None:
        """The last validation loss in nats per token, or None; None too for a run that diverged."""
        if self.diverged or self.result is None:
            return None
        return self.result.get("loss")

    @property
    def step(self) -> int:
        """The last step of which there is a record."""
        steps = [record["step"] for records in (self.train, self.valid) for record in records[-1:]]
        return max(steps, default=0) if self.result is None else int(self.result.get("step") or 0)

    @property
    def tokens_per_second(self) -> float | None:
        """The median of the records' speeds. The first, which has the start of everything in it, does not count."""
        speeds = [record["tokens_per_second"] for record in self.train if record.get("tokens_per_second")]
        return median(speeds[1:] or speeds) if speeds else None


def read_run(folder: Path) -> RunRecord | None:
    """Read a run. Returns None if the folder has none.

    A file that is missing, or damaged, counts as absent, so that a run can be read while it is written. The config of
    another version is read as far as its keys are known.
    """
    config = _read_config(folder / CONFIG)
    if config is None:
        return None
    result = _read(folder / RESULT)
    if result is not None and not (isinstance(result.get("step"), int) and "reason" in result and _is_sound(result)):
        result = None
    records = _read_records(folder / METRICS)
    first = next((record for record in records if record.get("kind") == "run"), {})
    train, valid = (_of_kind(records, kind) for kind in ("train", "valid"))
    found = study_of(folder)
    name = folder.resolve().name if found is None else found[1]
    return RunRecord(name, folder, _state(folder, found, result), config, result, first, train, valid)


def _of_kind(records: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    mine = [record for record in records if record.get("kind") == kind and "loss" in record]
    return [record for record in mine if isinstance(record.get("step"), int) and _is_sound(record)]


def _is_sound(values: Mapping[str, Any]) -> bool:
    """Return whether what a record or a result has of these numbers are numbers, or None for one that is not finite."""
    numbers = ("loss", "best_loss", "tokens", "seconds", "tokens_per_second")
    return all(isinstance(values.get(name), int | float | None) for name in numbers)


def _state(folder: Path, found: tuple[Path, str] | None, result: Mapping[str, Any] | None) -> State:
    # The log comes first: a look at a lock holds it for a moment, in which a process of a study must not want it.
    locks = [folder / LOCK] if found is None else [log_path(*found), folder / LOCK]
    if result is not None and result["reason"] in DONE:
        return cast(State, result["reason"])
    if any(map(is_locked, locks)):
        return "running"
    attempt = None if found is None else read_attempt(*found)
    if attempt is not None and attempt.state == "failed":
        return "failed"
    return "signal" if result is not None and result["reason"] == "signal" else "killed"


def _read_config(path: Path) -> TrainConfig | None:
    """Read the config of a run. Keys that this version does not know, and impossible values, are left out."""
    values = _read(path)
    if values is None or not {"model", "data", "optimizer", "schedule"} <= values.keys():
        return None
    number = values.pop("format", 1)
    try:
        return TrainConfig.from_dict(values)
    except (ConfigError, TypeError):
        pass
    if number != CONFIG_FORMAT:
        values.pop("schedule")  # Its keys have other meanings in other formats.
    try:
        return TrainConfig.from_dict(_known(TrainConfig(), values))
    except (ConfigError, TypeError):
        return None


def _known(config: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values whose names are those of a config's fields."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        default = getattr(config, key_of(name), None)
        if is_dataclass(default) and isinstance(value, Mapping):
            found[name] = _known(default, value)
        elif default is not None and not is_dataclass(default):
            found[name] = value
    return found


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except (FileError, ConfigError):
        return None


def _read_records(path: Path) -> list[dict[str, Any]]:
    try:
        return list(parse_records(path.read_bytes()))
    except OSError:
        return []


def parse_records(text: bytes) -> list[dict[str, Any]]:
    """Parse lines of JSON. A line that is no JSON object, such as one that is written now, is left out."""
    records = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records


def last_record(folder: Path) -> dict[str, Any] | None:
    """Return the last record of a training step, from the end of the file alone, or None."""
    try:
        with (folder / METRICS).open("rb") as file:
            file.seek(max(file.seek(0, 2) - 4096, 0))
            records = parse_records(file.read())
    except OSError:
        return None
    return next(iter(reversed(_of_kind(records, "train"))), None)


def has_run(folder: Path) -> bool:
    """Return whether something was computed in a folder: it has a config, a result or checkpoints."""
    return any((folder / name).exists() for name in (CONFIG, RESULT, CHECKPOINTS))


# All runs of a folder


@dataclass(frozen=True)
class Listed:
    """A work of a study. `record` is None for a job, and for a run that has no folder yet.

    `changes` are the keys in which the run differs from the base config. `message` says why it failed.
    """

    name: str
    state: State
    changes: Mapping[str, Any]
    record: RunRecord | None = None
    message: str = ""
    is_job: bool = False


def list_runs(folder: Path) -> list[Listed]:
    """List the runs and jobs of a study, begun or not, or else all runs in a folder.

    Raises:
        FileError: The folder does not exist, or has neither a study nor a run.
    """
    if not folder.is_dir():
        raise FileError(f"there is no folder {folder}")
    study = read_study(folder)
    if study is not None:
        runs = [_listed(folder, name, changes) for name, changes in study.runs.items()]
        return [*runs, *(_listed_job(folder, name) for name in study.jobs)]
    found = [record for path in _run_folders(folder) if (record := read_run(path)) is not None]
    if not found:
        raise FileError(f"{folder} has no study.json and no run; name a folder that bpe-lm sweep or pretrain wrote")
    values = [dict(keys(record.config)) for record in found]
    varying = [key for key in values[0] if not key.startswith("data.") and len({str(v.get(key)) for v in values}) > 1]
    listed = []
    for record, mine in zip(found, values, strict=True):
        name = str(record.folder.relative_to(folder))
        listed.append(
            Listed(record.name if name == "." else name, record.state, {key: mine[key] for key in varying}, record)
        )
    return listed


def _run_folders(folder: Path) -> list[Path]:
    """Return the folder itself and those in it, up to three levels deep, that have a config of a run."""
    found = [folder] if (folder / CONFIG).is_file() else []
    for depth in range(1, 4):
        pattern = "/".join(["*"] * depth)
        found += [path.parent for path in sorted(folder.glob(f"{pattern}/{CONFIG}"))]
    return [path for path in found if not RESERVED & set(path.relative_to(folder).parts)]


def _listed(folder: Path, name: str, changes: Mapping[str, Any]) -> Listed:
    record, attempt = read_run(folder / name), read_attempt(folder, name)
    message = attempt.message if attempt is not None else ""
    state = _state_of_attempt(folder, name) if record is None else record.state
    return Listed(name, state, changes, record, message if state == "failed" else "")


def _listed_job(folder: Path, name: str) -> Listed:
    attempt, state = read_attempt(folder, name), _state_of_attempt(folder, name)
    if state not in ("running", "failed") and _read(folder / name / RESULT) is not None:
        state = "finished"
    message = attempt.message if attempt is not None and state == "failed" else ""
    return Listed(name, state, {}, message=message, is_job=True)


def _state_of_attempt(folder: Path, name: str) -> State:
    """Return the state of a work whose folder has nothing. A result of its last attempt was deleted."""
    if is_locked(log_path(folder, name)):
        return "running"
    attempt = read_attempt(folder, name)
    if attempt is None or attempt.state in DONE:
        return "waiting"
    return cast(State, attempt.state) if attempt.state in get_args(State) else "killed"


def as_json(listed: Listed) -> dict[str, Any]:
    """Return what a list says of a work as JSON values."""
    record = listed.record
    return {
        "name": listed.name,
        "kind": "job" if listed.is_job else "run",
        "state": listed.state,
        "changes": dict(listed.changes),
        "message": listed.message,
        "step": record.step if record else None,
        "steps": record.config.steps if record else None,
        "loss": shown_loss(record) if record else None,
        "tokens_per_second": record.tokens_per_second if record else None,
        "result": record.result if record else None,
    }


def shown_loss(record: RunRecord) -> float | None:
    """Return the loss of a run that is over, or the last validation loss so far of another."""
    if record.result is not None or record.diverged:
        return record.loss
    return record.valid[-1]["loss"] if record.valid else None
