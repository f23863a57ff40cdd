"""The command `config show`, and the flags that name keys of a run's config."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, get_args

from bpe_lm.cli.arguments import Key, Parser
from bpe_lm.fields import SWITCH_WORDS, Switch, flag_of, keys, kinds, meanings, unknown_flag
from bpe_lm.training.config import RENAMED, TrainConfig
from bpe_lm.training.config_file import config_toml
from bpe_lm.training.presets import PRESETS, resolve

CONFIG_HELP = f"a preset ({', '.join(PRESETS)}), a TOML or JSON file, or a run's folder"

KEYS_HELP = (
    "Every key of the config is a flag. N is a whole number (1e4 and 10_000 too), X a number, and TEXT a text; "
    "a switch may stand alone for true. "
    "In a file, keys have _ for -: max_learning_rate in the table [schedule] is --schedule.max-learning-rate."
)

_METAVARS = {int: "N", float: "X", int | float: "N|X", bool: "true|false", Switch: "true|false|auto", str: "TEXT"}


def add_commands(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = commands.add_parser(
        "config", help="show the config of a run as TOML", description="Show the config of a run."
    )
    show = parser.add_subparsers(required=True, metavar="WHAT").add_parser(
        "show",
        usage="%(prog)s CONFIG [--KEY VALUE ...]",
        help="print a preset, a file or a run's config as TOML",
        description="Print a config as TOML, with the meaning of each key. `bpe-lm pretrain` takes the output as a "
        "file. Every key of the config is a flag, as `bpe-lm pretrain --help` lists them.",
    )
    show.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    add_keys(show, are_shown=False)
    show.set_defaults(run=_show)


def _show(options: argparse.Namespace) -> None:
    print(config_toml(resolve(options.config, options.flags)), end="")


def add_keys(parser: Parser, *, are_shown: bool = True) -> None:
    """Add every key of the config as a flag. With `are_shown`, the help has a group for each table."""
    parser.explain = _unknown_flag
    config = TrainConfig()
    defaults, words = dict(keys(config)), dict(meanings(config))
    groups: dict[str, Any] = {}
    for key, kind in kinds(TrainConfig).items():
        table = key.rpartition(".")[0]
        if table not in groups:
            groups[table] = _group(parser, config, table) if are_shown else parser
        shown = f"{words[key]} (default: {written(defaults[key])})"
        groups[table].add_argument(
            flag_of(key),
            action=Key,
            words=SWITCH_WORDS.get(kind, ()),
            metavar=_METAVARS.get(kind) or "|".join(get_args(kind)),
            help=shown.replace("%", "%%") if are_shown else argparse.SUPPRESS,
        )


def _group(parser: Parser, config: TrainConfig, table: str) -> Any:
    """Add a group of flags for a table of the config, with the first line of the docstring of the table's class."""
    if not table:
        return parser.add_argument_group("the run")
    about = type(attrgetter(table)(config)).__doc__ or ""
    return parser.add_argument_group(f"[{table}]", about.partition("\n")[0])


def written(default: Any) -> str:
    """Return a default as a person would type it."""
    if isinstance(default, bool):
        return str(default).lower()
    return (f"{default:g}" if isinstance(default, float) else str(default)) or "none"


def _unknown_flag(flag: str, known: Sequence[str]) -> str:
    return unknown_flag(flag, known, TrainConfig, RENAMED)
