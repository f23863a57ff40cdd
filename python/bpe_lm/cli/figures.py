"""The command `plot`."""

from __future__ import annotations

import argparse
from typing import Any

from bpe_lm.cli.guard import language_model


def add_commands(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = commands.add_parser(
        "plot",
        help="draw the losses of runs",
        description="Draw the losses of runs against steps, tokens and time, all runs in one picture.",
    )
    parser.add_argument("run_folder", nargs="+", metavar="RUN", help="folders that pretrain wrote")
    parser.add_argument("--out", default="losses.png", metavar="FILE", help="picture to write, .png or .svg")
    parser.set_defaults(run=_plot)


def _plot(options: argparse.Namespace) -> None:
    with language_model():
        from bpe_lm.experiments.figures import draw_losses

        draw_losses(options.run_folder, options.out)
    print(f"drawn in {options.out}")
