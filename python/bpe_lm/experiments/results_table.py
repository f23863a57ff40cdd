"""The file results.tsv of a study: a line for each run, for spreadsheets and scripts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bpe_lm.experiments.runs import Listed, list_runs, shown_loss
from bpe_lm.experiments.study import written
from bpe_lm.files import write_whole

RESULTS = "results.tsv"

COLUMNS = (
    "name",
    "state",
    "changes",
    "step",
    "tokens",
    "loss",
    "best_loss",
    "perplexity",
    "seconds",
    "tokens_per_second",
    "seed",
    "config_sha256",
    "commit",
    "processor",
    "started",
    "losses",
)
"""The columns. An empty field is not known: the loss of a run that diverged, or has no validation yet.

`losses` are all validations as SECONDS:LOSS, with the seconds of training until then.
"""


def write_results(folder: Path) -> None:
    """Write the results.tsv of a study.

    Raises:
        FileError: The file cannot be written.
    """
    lines = [COLUMNS, *(row(listed) for listed in list_runs(folder) if not listed.is_job)]
    text = "".join("\t".join(line) + "\n" for line in lines)
    write_whole(folder / RESULTS, text.encode())


def row(listed: Listed) -> Sequence[str]:
    """Return the fields of a run."""
    values: dict[str, Any] = {
        "name": listed.name,
        "state": listed.state,
        "changes": changes_in_words(listed),
    }
    record = listed.record
    if record is not None:
        last = record.result or (record.train[-1] if record.train else {})
        loss = shown_loss(record)
        values |= {
            "step": record.step,
            "tokens": last.get("tokens"),
            "loss": loss,
            "best_loss": (record.result or {}).get("best_loss"),
            "perplexity": _perplexity(loss),
            "seconds": last.get("seconds"),
            "tokens_per_second": record.tokens_per_second,
            "seed": record.config.seed,
            "config_sha256": record.first.get("config_sha256"),
            "commit": record.first.get("commit"),
            "processor": (record.first.get("machine") or {}).get("processor"),
            "started": _time(record.first.get("time")),
            "losses": _losses(record.valid),
        }
    return [_field(values.get(column)) for column in COLUMNS]


def changes_in_words(listed: Listed) -> str:
    """Return the keys in which a run differs from the base config, with their values."""
    return ", ".join(f"{key}={written(value)}" for key, value in listed.changes.items())


def _losses(validations: Sequence[Mapping[str, Any]]) -> str:
    """Write the losses against the seconds of training. A validation whose loss is not finite is left out."""
    return " ".join(
        f"{one['seconds']:.6g}:{one['loss']:.6g}" for one in validations if None not in (one["seconds"], one["loss"])
    )


def _perplexity(loss: float | None) -> float | None:
    return math.exp(loss) if loss is not None and loss < 700 else None


def _time(seconds: Any) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)) if isinstance(seconds, int | float) else ""


def _field(value: Any) -> str:
    """Write a value without the characters that end a field or a line."""
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return " ".join(text.split())
