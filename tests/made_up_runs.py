"""Made-up folders of runs and studies, for tests of reports."""

import json
import math
from pathlib import Path

from bpe_lm.experiments.study import Study
from bpe_lm.experiments.work import Training
from bpe_lm.training.config import CONFIG_FORMAT, TrainConfig, override

MACHINE = {"processor": "A <fast> processor", "cores": 2, "memory": 24e9, "gpu": None}


def base_config() -> TrainConfig:
    return override(
        TrainConfig(),
        {
            "steps": 100,
            "data": {"train": "/secret/train.bin", "valid": "/secret/valid.bin", "tokenizer": "/secret/tok"},
        },
    )


def write_run(
    folder: Path, config: TrainConfig, loss: float | None, *, state: str = "finished", sources: str = ""
) -> None:
    """Write the folder of a run. Without a state it has no result, as after a kill.

    Without a loss it has no validation.
    """
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.as_dict() | {"format": CONFIG_FORMAT}))
    first = {
        "kind": "run",
        "machine": MACHINE,
        "commit": "0123456789abcdef",
        "versions": {"torch": "2.11"},
        "time": 1.0,
    }
    records = [first]
    last = 20 if state == "finished" else 8
    for number in range(1, last + 1):
        place = {
            "step": 5 * number,
            "tokens": 500 * number,
            "seconds": 2.0 * number,
            "tokens_per_second": 250.0 + number,
        }
        end = 2.0 if loss is None else loss
        now = end + (math.log(config.model.vocab_size) - end) * math.exp(-number / 4)
        if state == "diverged" and number > 6:
            now = 50.0
        records.append({"kind": "train", **place, "loss": now})
        if number % 4 == 0 and loss is not None:
            records.append({"kind": "valid", **place, "loss": now})
    if loss is not None:
        records.append({"kind": "valid", "step": 5 * last, "tokens": 500 * last, "seconds": 2.0 * last, "loss": loss})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    if state:
        result = {"reason": state, "step": 5 * last, "tokens": 500 * last, "seconds": 2.0 * last, "loss": loss}
        result["identity"] = {"sources": sources}
        (folder / "result.json").write_text(json.dumps(result))


def write_study(folder: Path, study: Study) -> list[Training]:
    """Write study.json, and return the runs, none of which has begun."""
    works = study.trainings()
    runs = [{"name": work.name, "changes": dict(work.changes)} for work in works]
    folder.mkdir(parents=True, exist_ok=True)
    content = {"format": 1, "name": study.name, "base": study.base.as_dict(), "runs": runs, "jobs": []}
    (folder / "study.json").write_text(json.dumps(content))
    return works
