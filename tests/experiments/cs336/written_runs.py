"""Folders of runs and jobs as a reproduction leaves them, written without training."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpe_lm.experiments.cs336.scales import with_data
from bpe_lm.experiments.cs336.setting import Corpus, Setting
from bpe_lm.experiments.work import Job, Training
from bpe_lm.model.config import ModelConfig
from bpe_lm.training.config import CONFIG_FORMAT, ScheduleConfig, TrainConfig
from bpe_lm.training.schedules import learning_rate


def small_setting(folder: Path, scale: str = "cpu", **changes: Any) -> Setting:
    """A setting of a toy model. Its texts and token files do not exist."""
    model = ModelConfig(vocab_size=300, context_length=16, d_model=48, num_layers=2, num_heads=4, d_ff=128)
    config = TrainConfig(model=model, schedule=ScheduleConfig(warmup=0.1), steps=80, batch_size=32, device="cpu")
    corpora = {
        key: Corpus(f"made-up {key}", folder / f"{key}-train.txt", folder / f"{key}-valid.txt", False)
        for key in ("tinystories", "owt")
    }
    setting = Setting(scale, folder, corpora, {"tinystories": 300, "owt": 320}, config, config, 1.0)
    data = {key: with_data(getattr(setting, key), setting, "tinystories") for key in ("base", "small")}
    return replace(setting, **(data | changes))


def write_run(
    setting: Setting, training: Training, loss: float | None, reason: str = "finished", step: int = 0
) -> None:
    """Write the folder of a run that is over: its config, ten records, a validation and its result."""
    folder, config = setting.folder / training.name, training.config
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.as_dict() | {"format": CONFIG_FORMAT}))
    last = step or config.steps
    steps = sorted({max(last * part // 10, 1) for part in range(1, 11)})
    records = [{"kind": "run", "config_sha256": "0", "commit": "abc1234", "machine": {"processor": "P", "cores": 2}}]
    for number in steps:
        records.append(
            {
                "kind": "train",
                "step": number,
                "tokens": number * config.tokens_per_step,
                "seconds": number / 100,
                "loss": (loss or 9.0) + 1 / number,
                "learning_rate": learning_rate(config.schedule, config.steps, number - 1),
                "gradient_norm": 1.0,
                "tokens_per_second": 1000.0 + number,
                "mfu": 0.25,
                "data_wait": 0.01,
            }
        )
    tokens = last * config.tokens_per_step
    if loss is not None:
        records.append(
            {"kind": "valid", "step": last, "tokens": tokens, "seconds": 1.0, "loss": loss, "perplexity": 1.0}
        )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    result = {
        "reason": reason,
        "step": last,
        "tokens": tokens,
        "seconds": last / 100,
        "train_loss": loss,
        "loss": loss,
        "best_loss": loss,
        "config_sha256": "0",
        "signal": None,
        "folder": str(folder),
    }
    (folder / "result.json").write_text(json.dumps(result))


def write_job(setting: Setting, job: Job | str, result: Mapping[str, Any]) -> None:
    """Write the result of a job."""
    folder = setting.folder / (job if isinstance(job, str) else job.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"result": result, "identity": {}, "seconds": 1.0}))


def write_tokens(setting: Setting, counts: Mapping[str, int]) -> None:
    """Write descriptions of token files with these numbers of tokens, four bytes of text each."""
    for name, count in counts.items():
        path = setting.folder / "tokens" / f"{name}.bin.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"count": count, "text_bytes": 4 * count}))


def cells(blocks: Sequence[Any], kind: type) -> list[Any]:
    """The blocks of a type."""
    return [block for block in blocks if isinstance(block, kind)]
