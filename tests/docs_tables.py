"""The table of all config keys in docs/training.md, made from the config's dataclasses.

python tests/docs_tables.py    rewrite the table
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from bpe_lm.fields import Switch, keys, kinds, meanings
from bpe_lm.training.config import TrainConfig

PAGE = Path(__file__).parents[1] / "docs" / "training.md"
START = "<!-- config keys, by `python tests/docs_tables.py` -->"
END = "<!-- end -->"

TYPES = {
    int: "whole number",
    float: "number",
    int | float: "number",
    bool: "true or false",
    Switch: "true, false or auto",
    str: "text",
}

UNITS = {
    "model.vocab_size": "tokens",
    "model.context_length": "tokens",
    "model.num_layers": "blocks",
    "model.num_heads": "heads",
    "schedule.warmup": "steps, or a fraction",
    "schedule.decay": "steps, or a fraction",
    "steps": "steps",
    "tokens": "tokens",
    "batch_size": "texts of context_length",
    "micro_batch_size": "texts of context_length",
    "max_time": "seconds",
    "log_every": "steps",
    "validate_every": "steps",
    "validation_tokens": "tokens",
    "checkpoint_every": "steps",
    "checkpoints_kept": "checkpoints",
    "max_skipped_steps": "steps",
    "max_loss": "nats per token",
    "max_loss_steps": "steps",
    "stop_when_worse": "validations",
}
"""The units of keys that have one."""


def config_keys() -> list[tuple[str, Any, Any, str]]:
    """Return each key with its type, default and meaning."""
    config = TrainConfig()
    values, words = dict(keys(config)), dict(meanings(config))
    return [(key, kind, values[key], words[key]) for key, kind in kinds(TrainConfig).items()]


def table() -> str:
    """Return the table in Markdown."""
    rows = ["| key | type | default | unit | meaning |", "| --- | --- | --- | --- | --- |"]
    for key, kind, default, meaning in config_keys():
        words = TYPES.get(kind) or ", ".join(f"`{choice}`" for choice in get_args(kind))
        rows.append(f"| `{key}` | {words} | {_shown(default)} | {UNITS.get(key, '')} | {meaning.replace('|', '/')} |")
    return "\n".join(rows)


def _shown(default: Any) -> str:
    if default == "":
        return ""
    return f"`{default:g}`" if type(default) is float else f"`{str(default).lower()}`"


def with_table(page: str) -> str:
    """Return a page with the table between its markers."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"{PAGE} lacks {START} or {END}")
    return f"{before}{START}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
