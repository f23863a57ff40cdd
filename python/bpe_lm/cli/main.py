"""The command `bpe-lm`. Results go to stdout, progress and errors to stderr.

The exit status is 0, or 1 after an error, 2 after wrong usage, 130 after Ctrl-C and 143 after SIGTERM.
"""

from collections.abc import Sequence

from bpe_lm import _core
from bpe_lm.cli import (
    config,
    counts,
    data,
    doctor,
    export,
    figures,
    replay,
    report,
    reproduce,
    sweep,
    token_files,
    tokenizer,
    tokens,
    training,
)
from bpe_lm.cli.arguments import Parser
from bpe_lm.cli.guard import guarded, run

FILES = (
    data,
    tokenizer,
    counts,
    token_files,
    tokens,
    config,
    training,
    sweep,
    reproduce,
    report,
    export,
    figures,
    replay,
    doctor,
)
"""The files that add commands, in the order of --help: the way from text to a model."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    return guarded(lambda: run(new_parser().parse_args(arguments)))


def new_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="bpe-lm", description="Byte-level BPE tokenizers, and a small Transformer language model.")
    parser.add_argument("--version", action="version", version=f"bpe-lm {_core.__version__}", help="show the version")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for file in FILES:
        file.add_commands(commands)
    return parser
