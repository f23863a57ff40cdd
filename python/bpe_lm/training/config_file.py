"""A run's config as a TOML file for people, which `resolve` reads back as the same config."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args, get_origin

from bpe_lm.fields import keys, kinds, meanings
from bpe_lm.training.config import TrainConfig

_HEAD = "# A training run. Once [data] names token files, it starts with: bpe-lm pretrain THIS_FILE --out FOLDER\n\n"


def config_toml(config: TrainConfig) -> str:
    """Write every key of a config as TOML, with its meaning as a comment. With `tokens`, `steps` is a comment too."""
    words, types = dict(meanings(config)), kinds(TrainConfig)
    tables: dict[str, list[str]] = {"": [_HEAD]}
    for key, value in keys(config):
        table, _, name = key.rpartition(".")
        if table not in tables:
            tables[table] = [f"\n[{table}]\n"]
        choices = f"; one of {', '.join(get_args(types[key]))}" if get_origin(types[key]) is Literal else ""
        hidden = "# " if key == "steps" and config.tokens else ""
        tables[table].append(f"{hidden}{name} = {_toml(value)}  # {words[key]}{choices}\n")
    return "".join(line for lines in tables.values() for line in lines)


def _toml(value: Any) -> str:
    """Write a value as TOML. TOML's strings are those of JSON, except that it forbids the character DEL."""
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)
