"""What a runner will do with a work, by what is in its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bpe_lm.errors import BpeLmError
from bpe_lm.experiments.attempts import CONFIGS, read_attempt
from bpe_lm.experiments.identities import Identity, differences, identity_of
from bpe_lm.experiments.runs import DONE, has_run
from bpe_lm.experiments.work import RESULT, Job, Work
from bpe_lm.files import read_json, write_whole
from bpe_lm.training.config import CONFIG_FORMAT, TrainConfig

Standing = Literal["done", "goes on", "begins", "begins anew"]
"""What a runner will do with a work; "begins anew" where its folder has another identity."""


def plan_all(works: Sequence[Work], folder: Path, *, keep_old_code: bool = False) -> list[Standing]:
    """Return what `run_all` will do with each work."""
    return [standing(work, folder, keep_old_code=keep_old_code) for work in works]


def standing(work: Work, folder: Path, *, keep_old_code: bool = False) -> Standing:
    """Return what a runner will do with a work. A work whose identity is unknown, for want of a file, begins."""
    if not has_run(folder / work.name):
        return "begins"
    try:
        wanted = identity_of(work, folder)
    except BpeLmError:
        return "begins"
    if differences(known_identity(folder, work.name), wanted, keep_old_code=keep_old_code):
        return "begins anew"
    result = read_result(folder / work.name)
    return "done" if result is not None and _is_over(work, result) else "goes on"


def _is_over(work: Work, result: Mapping[str, Any]) -> bool:
    if isinstance(work, Job):
        return all(path.exists() for path in work.outputs)
    return result.get("reason") in DONE


def write_config(folder: Path, name: str, config: TrainConfig) -> Path:
    """Write the config of a run into the folder `configs` of a study. Returns its path."""
    path = folder / CONFIGS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"format": CONFIG_FORMAT} | config.as_dict()
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())
    return path


def known_identity(folder: Path, name: str) -> Identity | None:
    """Return the identity of what is in the folder of a work, or None if nothing says it.

    The result says it, or else the record of the attempt that computed what is there.
    """
    found = (read_result(folder / name) or {}).get("identity")
    if isinstance(found, dict):
        return found
    attempt = read_attempt(folder, name)
    return attempt.identity if attempt is not None and attempt.identity else None


def read_result(folder: Path) -> dict[str, Any] | None:
    """Read the result.json of a work. Returns None if there is none, or if it is damaged."""
    try:
        return read_json(folder / RESULT)
    except BpeLmError:
        return None
