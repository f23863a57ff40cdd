"""The command `replay`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpe_lm.cli.guard import language_model
from bpe_lm.cli.options import add_json_option, add_quiet_option, whole
from bpe_lm.cli.tables import console, print_json, print_rows, print_table
from bpe_lm.errors import FileError
from bpe_lm.files import check_file_target, write_whole
from bpe_lm.progress import Display

if TYPE_CHECKING:
    from rich.text import Text

    from bpe_lm.experiments.replay import Replay, Row

NUM_HARDEST = 10
"""The number of tokens in the table of those with the greatest loss."""


def add_commands(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = commands.add_parser(
        "replay",
        help="show a step of a run again: its batch, the loss of each token, norms by module",
        description="Do a step of a run again, from the newest checkpoint before it, and show its batch as text with "
        "the loss of each token, and the norms of gradients and weights by module. Nothing in RUN changes.",
    )
    parser.add_argument("run_folder", metavar="RUN", help="a folder that pretrain wrote")
    parser.add_argument("--step", type=whole(1), required=True, metavar="N", help="number of the step; the first is 1")
    parser.add_argument(
        "--rows", type=whole(0), default=8, metavar="N", help="rows of the batch to print; 0 prints all"
    )
    parser.add_argument("--html", metavar="FILE", help="page to write, with all rows (default: none)")
    parser.add_argument(
        "--device", metavar="NAME", help="cpu, cuda, mps, or auto: the fastest here (default: the run's)"
    )
    parser.add_argument("--data.train", dest="train", metavar="FILE", help="token file (default: the run's)")
    parser.add_argument(
        "--tokenizer",
        "--data.tokenizer",
        dest="tokenizer",
        metavar="PATH",
        help="tokenizer of the token file (default: the run's)",
    )
    add_json_option(parser)
    add_quiet_option(parser)
    parser.set_defaults(run=_replay)


def _replay(options: argparse.Namespace) -> None:
    if options.html:
        _check_page(Path(options.html))
    with language_model():
        from bpe_lm.experiments.replay import replay
        from bpe_lm.experiments.replay_page import page

        with Display(is_wanted=not options.quiet, width=62, is_first_line_due=True) as display:
            found = replay(
                options.run_folder,
                options.step,
                device=options.device,
                train=options.train,
                tokenizer=options.tokenizer,
                redone=lambda step, steps: _show_progress(display, step, steps),
            )
    if options.html:
        write_whole(Path(options.html), page(found, Path(options.run_folder).resolve().name).encode(errors="replace"))
        print(f"written to {options.html}", file=sys.stderr)
    if options.json:
        print_json(found.as_dict())
    elif not options.html:
        print_replay(found, options.rows)


def _check_page(path: Path) -> None:
    """Check before the work begins that a page can be written to a path."""
    check_file_target(path)
    if not path.parent.is_dir():
        raise FileError(f"there is no folder {path.parent}; make it, or name another file with --html")


def _show_progress(display: Display, step: int, steps: range) -> None:
    origin = f"the checkpoint of step {steps.start - 1:,}" if steps.start > 1 else "the weights of the seed"
    done = step - steps.start + 1
    display.update("replay", done, len(steps), f"{done:,} of {len(steps):,} steps done again, from {origin}")


def print_replay(replay: Replay, num_rows: int) -> None:
    """Print a replay on stdout. Tokens are coloured by their loss where stdout is a terminal."""
    print_rows(replay.figures())
    print()
    print_table(("module", "weights", "weight norm", "gradient norm"), replay.norms())
    print("\nTokens with the greatest loss")
    hardest = [(f"{loss:.3f}", f"{at:,}", _quoted(text)) for loss, at, text in replay.hardest(NUM_HARDEST)]
    print_table(("loss", "token of the file", "text"), hardest)
    printer = console()
    printer.print("\nThe batch, coloured by the loss of each token in nats:", _legend())
    rows = replay.rows[: num_rows or None]
    for number, row in enumerate(rows, 1):
        of_file = f" of {row.file}" if len({row.file for row in replay.rows}) > 1 else ""
        printer.print(
            f"\nrow {number:,}, from token {row.start:,}{of_file}, mean loss {row.mean_loss:.4f}", style="bold"
        )
        printer.print(_coloured(row, is_ascii=printer.options.ascii_only), soft_wrap=True)
    hidden = len(replay.rows) - len(rows)
    if hidden:
        print(f"\n{hidden:,} more rows: --rows 0 prints all, and --html writes them")


def _quoted(text: str) -> str:
    return f'"{text}"'.replace("\n", "\\n").replace("\t", "\\t")


def _legend() -> Text:
    from rich.text import Text

    from bpe_lm.experiments.replay import level_names

    return Text(" ").join(Text(f" {name} ", _style(level)) for level, name in enumerate(level_names()))


def _coloured(row: Row, *, is_ascii: bool) -> Text:
    from rich.text import Text

    from bpe_lm.experiments.replay import level_of

    line_end = "\\n\n" if is_ascii else "\u21b5\n"
    styles = ["underline", *(_style(level_of(loss)) for loss in row.losses)]
    text = Text()
    for token, style in zip(row.texts, styles, strict=True):
        text.append(token.replace("\n", line_end), style)
    return text


def _style(level: int) -> str:
    from bpe_lm.experiments.replay import COLOURS, ink_of

    return f"{ink_of(level)} on {COLOURS[level]}"
