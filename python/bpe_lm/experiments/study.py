"""A study as data: a base config, the changes of each run, and seeds.

A run is named after its changes, such as `max_learning_rate=3e-4,batch_size=32`. The first seed is the base config's
and is not in the name; further seeds are, such as `max_learning_rate=3e-4,seed=337`. So more seeds or more values add
runs to a study, and rename none.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from bpe_lm.errors import BpeLmError, ConfigError
from bpe_lm.experiments.work import Job, Training, Work
from bpe_lm.fields import did_you_mean, keys, kinds, merge_nested
from bpe_lm.files import read_json, write_whole
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.identity import is_part_of_identity

STUDY, STUDY_FORMAT = "study.json", 1

Changes = Mapping[str, Any]
"""Values of keys of a config by their dotted names."""

_LONGEST_NAME = 120
"""Characters of a run's name. Systems allow 255 bytes of a file's name, and files of the run add a suffix."""


@dataclass(frozen=True)
class Study:
    """A base config, the changes of each run to it, and the number of seeds with which each is run."""

    base: TrainConfig
    changes: Sequence[Changes] = ({},)
    seeds: int = 1
    name: str = "sweep"

    def trainings(self) -> list[Training]:
        """Return the runs, seed by seed, so that an early stop leaves one run of each change.

        Raises:
            ConfigError: A key is unknown, or values make no sense together; the message names the run.
        """
        runs: dict[str, Training] = {}
        for number, changes in itertools.product(range(self.seeds), self.changes):
            all_changes = dict(changes) | ({"seed": self._seed(changes, number)} if number else {})
            name = run_name(all_changes)
            try:
                config = changed(self.base, all_changes)
            except ConfigError as error:
                raise ConfigError(f"the run {name}: {error}") from None
            runs.setdefault(name, Training(name, config, all_changes))
        return list(runs.values())

    def _seed(self, changes: Changes, number: int) -> int:
        return int(changes.get("seed", self.base.seed)) + number


def differing(base: TrainConfig, config: TrainConfig) -> Changes:
    """Return the keys of a config that differ from a base's, without its data and what only watches a run."""
    old = dict(keys(base))
    return {key: value for key, value in keys(config) if value != old[key] and is_part_of_identity(key)}


def changed(config: TrainConfig, changes: Changes) -> TrainConfig:
    """Return a config with the values of some keys replaced.

    Raises:
        ConfigError: A key is unknown, or a value makes no sense.
    """
    nested: dict[str, Any] = {}
    for key, value in changes.items():
        for part in reversed(key.split(".")):
            value = {part: value}
        nested = merge_nested(nested, value)
    return override(config, nested)


def grid(choices: Mapping[str, Sequence[Any]]) -> list[Changes]:
    """Return the changes of a run for each combination of values; the last key changes fastest."""
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def variants(base: TrainConfig, changes: Sequence[Changes]) -> list[Changes]:
    """Return the changes of a run of the base config, and those of each variant, for a report on what each does.

    Raises:
        ConfigError: A variant has the base's values, or its changes are those of another.
    """
    now: dict[str, Any] = dict(keys(base))
    found: dict[str, Changes] = {run_name({}): {}}
    for change in changes:
        name = run_name(change)
        if all(now[key] == value for key, value in change.items()):
            raise ConfigError(f"the variant {name} is the config as it is; give another value")
        if name in found:
            raise ConfigError(f"the variant {name} is given twice")
        found[name] = change
    return list(found.values())


def random_draws(
    count: int, choices: Mapping[str, Sequence[Any]], ranges: Mapping[str, tuple[float, float]], seed: int
) -> list[Changes]:
    """Draw the changes of `count` different runs. A larger count begins with the draws of a smaller one.

    Args:
        count: The number of runs.
        choices: The values of a key, of which each is equally likely.
        ranges: The least and the greatest value of a key, whose logarithm is uniform between them. A value has three
            significant digits, or is a whole number if the key is.
        seed: The seed of the draws.

    Raises:
        ConfigError: There are fewer than `count` different runs, or a range is not one of a key with numbers.
    """
    types = kinds(TrainConfig)
    for key, (low, high) in ranges.items():
        if not (0 < low < high < math.inf):
            raise ConfigError(f"the range of {key} is {low:g} to {high:g}, and must have two numbers, 0 < low < high")
        if types.get(key) not in (int, float, int | float):
            raise ConfigError(f"{key} is not a number, and has no range; give its values with --grid")
    chance = random.Random(seed)
    draws: dict[str, Changes] = {}
    for _ in range(100 * count):
        if len(draws) == count:
            break
        draw = {key: chance.choice(values) for key, values in choices.items()}
        for key, (low, high) in ranges.items():
            draw[key] = _log_uniform(chance, low, high, types[key])
        draws.setdefault(run_name(draw), draw)
    if len(draws) < count:
        raise ConfigError(
            f"there are only {len(draws):,} different runs, fewer than the {count:,} that are to be drawn; give more "
            "values or ranges"
        )
    return list(draws.values())


def _log_uniform(chance: random.Random, low: float, high: float, kind: Any) -> float:
    """Draw a value of a key's type: whole for an int, and whole from 1 on for a fraction of the run or its steps."""
    value = math.exp(chance.uniform(math.log(low), math.log(high)))
    is_whole = kind is int or (kind is not float and value >= 1)
    return round(value) if is_whole else float(f"{value:.3g}")


def check_key(key: str) -> str:
    """Return a key of a run's config.

    Raises:
        ConfigError: There is no such key; the message names the nearest one.
    """
    known = kinds(TrainConfig)
    if key not in known:
        raise ConfigError(f"there is no key {key}{did_you_mean(key, known)}")
    return key


def run_name(changes: Changes) -> str:
    """Return the name of a run, which is also a safe name of a folder. A run without changes is named "base".

    A key is named by its last part. Two different changes have different names: a text that is not safe, or is long, is
    shortened, and a hash is added.
    """
    text = ",".join(in_words(changes)) or "base"
    safe = re.sub(r"[^\w.,=+-]", "_", text, flags=re.ASCII)
    if safe == text and len(text) <= _LONGEST_NAME:
        return text
    return f"{safe[:_LONGEST_NAME]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def in_words(changes: Changes) -> list[str]:
    """Return each change as key=value. A key is named by its last part, if no other change has the same."""
    lasts = Counter(key.rpartition(".")[2] for key in changes)
    short = {key: last if lasts[last := key.rpartition(".")[2]] == 1 else key for key in changes}
    return [f"{short[key]}={written(value)}" for key, value in changes.items()]


def written(value: Any) -> str:
    """Write a value as a person would: 3e-4, 0.05, 32, true. The text has all digits of the number."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, float) or not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    if 0.01 <= abs(value) < 1e6:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    first, rest = digits[0], "".join(map(str, digits[1:]))
    return f"{'-' if sign else ''}{first}{'.' if rest else ''}{rest}e{int(exponent) + len(digits) - 1}"


# The file study.json


@dataclass(frozen=True)
class StudyFile:
    """The content of study.json: what the folder of a study has, whether it has run or not.

    `base` is the base config as JSON values, or None. `runs` has the changes of each run, and `jobs` the names of jobs.
    """

    name: str
    base: Mapping[str, Any] | None = None
    runs: Mapping[str, Changes] = field(default_factory=dict)
    jobs: Sequence[str] = ()


def read_study(folder: Path) -> StudyFile | None:
    """Read the study.json of a folder. Returns None if there is none, or if it is damaged."""
    try:
        found = read_json(folder / STUDY)
        runs = {run["name"]: dict(run.get("changes") or {}) for run in found.get("runs", [])}
        study = StudyFile(str(found.get("name", folder.name)), found.get("base"), runs, tuple(found.get("jobs", ())))
        is_whole = all(map(_is_safe, (*runs, *study.jobs))) and isinstance(study.base, Mapping | None)
        return study if is_whole else None
    except (BpeLmError, KeyError, TypeError, AttributeError, ValueError):
        return None


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested mappings by dotted names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _trains_alike(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> bool:
    """Return whether two base configs differ at most in keys that only watch a run."""

    def essence(base: Mapping[str, Any] | None) -> dict[str, Any] | None:
        if base is None:
            return None
        return {key: value for key, value in flat(base) if is_part_of_identity(key) or key.startswith("data.")}

    return essence(old) == essence(new)


def record_works(folder: Path, works: Iterable[Work], *, name: str = "", base: TrainConfig | None = None) -> StudyFile:
    """Add works to the study.json of a folder. The works of a base config that trains otherwise are taken out of it.

    Raises:
        FileError: The file cannot be written.
    """
    old = read_study(folder) or StudyFile(name or folder.resolve().name)
    base_values = old.base if base is None else json.loads(json.dumps(base.as_dict()))
    stay = _trains_alike(old.base, base_values)
    runs, jobs = (dict(old.runs), dict.fromkeys(old.jobs)) if stay else ({}, {})
    for work in works:
        if isinstance(work, Job):
            jobs[work.name] = None
        else:
            runs[work.name] = dict(work.changes)
    new = StudyFile(name or old.name, base_values, runs, tuple(jobs))
    content = {
        "format": STUDY_FORMAT,
        "name": new.name,
        "base": new.base,
        "runs": [{"name": run, "changes": changes} for run, changes in runs.items()],
        "jobs": list(jobs),
    }
    text = json.dumps(content, indent=2) + "\n"
    if not (folder / STUDY).exists() or (folder / STUDY).read_text(encoding="utf-8") != text:
        write_whole(folder / STUDY, text.encode())
    return new


def check_names(works: Sequence[Work]) -> None:
    """Check that each work has a folder for itself.

    Raises:
        ConfigError: Two works have the same name, a name is not safe, or the folder of one is inside another's.
    """
    names = Counter(work.name for work in works)
    for name, count in names.items():
        parts = name.split("/")
        if not _is_safe(name):
            raise ConfigError(f"{name!r} is not a safe name of a folder; use letters, digits and . , = + - _")
        if count > 1:
            raise ConfigError(f"two works have the name {name}; give each its own")
        for end in range(1, len(parts)):
            if (parent := "/".join(parts[:end])) in names:
                raise ConfigError(
                    f"the folder of {name} would be inside that of {parent}; name one of them differently"
                )
        if parts[0] in RESERVED:
            raise ConfigError(f"{name} would be inside the study's own folder {parts[0]}; use another name")


def _is_safe(name: str) -> bool:
    """Return whether a name is that of a folder below the study, in letters that every system takes."""
    return all(re.fullmatch(r"[\w=+-][\w.,=+-]*", part, flags=re.ASCII) for part in name.split("/"))


RESERVED = frozenset({"logs", "configs", "figures"})
"""Folders of a study that are not runs."""
