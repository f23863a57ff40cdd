"""The command `reproduce`."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from signal import SIGINT
from typing import TYPE_CHECKING, Any, cast, get_args

from bpe_lm.cli.guard import Stopped, language_model, say, say_unless
from bpe_lm.cli.options import (
    add_devices_option,
    add_json_option,
    add_quiet_option,
    check_gpus,
    one_of,
    positive,
    whole,
)
from bpe_lm.cli.tables import duration, print_json, print_table
from bpe_lm.errors import OptionError
from bpe_lm.experiments.cs336.corpora import Given
from bpe_lm.experiments.cs336.setting import CORPORA, NAMES, SETTING, Scale
from bpe_lm.machine import available_cores
from bpe_lm.progress import megabytes

if TYPE_CHECKING:
    from bpe_lm.experiments.reproduce import Planned, Reproduced


def add_commands(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = commands.add_parser(
        "reproduce",
        help="answer the questions of the course's assignment by experiments, and write the report",
        description="Train the tokenizers and run every experiment of the course's first assignment, and write the "
        "report FOLDER/report.md and report.html. The same command goes on after any interruption, and repeats nothing "
        "that is done.",
    )
    parser.add_argument(
        "--scale",
        type=one_of(*get_args(Scale)),
        default="smoke",
        metavar="NAME",
        help="smoke: a toy model, minutes on two cores; cpu: sized by --hours; gpu: the course's model and tokens",
    )
    parser.add_argument(
        "--hours", type=positive(1e4), default=8.0, metavar="H", help="budget of all runs, at the scale cpu"
    )
    parser.add_argument("--out", metavar="FOLDER", help="folder for runs and report (default: runs/reproduce-SCALE)")
    parser.add_argument(
        "--data", default="data", metavar="FOLDER", help="folder with the course's corpora; not used at the scale smoke"
    )
    for key in CORPORA:
        parser.add_argument(
            f"--{key}", metavar="FILE", help=f"text in {NAMES[key]}'s place (default: the corpus in --data, or stories)"
        )
        parser.add_argument(
            f"--{key}-valid", metavar="FILE", help=f"text to validate on (default: the last documents of --{key})"
        )
    parser.add_argument(
        "--only", metavar="NAME,...", help="questions by name or row, and what they need (default: all)"
    )
    parser.add_argument(
        "--jobs",
        type=whole(1),
        metavar="N",
        help="processes at a time (default: one, or one per core at the scale smoke)",
    )
    add_devices_option(parser, "none is reserved")
    parser.add_argument("--dry-run", action="store_true", help="print the runs that are known now and their time")
    parser.add_argument("--keep-old-code", action="store_true", help="accept the results of other sources of bpe-lm")
    add_json_option(parser)
    add_quiet_option(parser)
    parser.set_defaults(run=_reproduce)


def _reproduce(options: argparse.Namespace) -> None:
    scale = cast(Scale, options.scale)
    folder = Path(options.out or f"runs/reproduce-{scale}")
    only = _words(options.only)
    given = {key: Given(_path(getattr(options, key)), _path(getattr(options, f"{key}_valid"))) for key in CORPORA}
    with language_model():
        from bpe_lm.experiments.reproduce import Request, open_setting, plan, reproduce, selected

        selected(only)
        _check_scale(scale)
        check_gpus(options.devices)
        request = Request(scale, options.hours, given, Path(options.data))
        if options.dry_run:
            with tempfile.TemporaryDirectory() as temporary:
                is_old = (folder / SETTING).exists()
                setting = open_setting(folder if is_old else Path(temporary), request)
                _print_plan(plan(setting, only, options.keep_old_code), options.json)
            return
        if scale != "smoke" and not (folder / SETTING).exists():
            say("measuring the speed of some steps")
        setting = open_setting(folder, request)
        found = reproduce(
            setting,
            only=only,
            jobs=options.jobs or (available_cores() if scale == "smoke" else 1),
            devices=options.devices,
            keep_old_code=options.keep_old_code,
            progress=not options.quiet,
            say=say_unless(options.quiet),
        )
    _print_result(found, folder, options.json)
    if found.signal is not None:
        say(f"{found.signal.name}: saved; the same command goes on from there")
        raise Stopped(130 if found.signal == SIGINT else 143)
    if found.failed:
        say("the same command tries again what failed")
        raise Stopped(1)


def _check_scale(scale: Scale) -> None:
    """Check that this machine can do a scale, before texts are written and speeds are measured.

    Raises:
        OptionError: The scale needs a GPU, and there is none.
    """
    import torch

    if scale == "gpu" and not torch.cuda.is_available():
        raise OptionError("--scale gpu needs a CUDA GPU, and this machine has none; try --scale cpu --hours 8")


def _words(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _print_plan(planned: list[Planned], is_json: bool) -> None:
    if is_json:
        print_json([vars(work) for work in planned])
        return
    rows = [
        (
            work.name,
            "" if work.steps is None else f"{work.steps:,}",
            "" if work.tokens is None else f"{work.tokens:,}",
            "" if work.seconds is None else duration(work.seconds),
            "" if work.memory is None else megabytes(work.memory),
            "" if work.disk is None else megabytes(work.disk),
        )
        for work in planned
    ]
    print_table(("work", "steps", "tokens", "time", "memory", "disk"), rows)
    seconds, disk = sum(work.seconds or 0.0 for work in planned), sum(work.disk or 0 for work in planned)
    jobs = sum(work.seconds is None for work in planned)
    print(
        f"{duration(seconds)} and {megabytes(disk)} on the disk for {len(planned) - jobs} runs, and {jobs} jobs "
        "whose cost is not predicted. More runs follow from the results: the edge of stability, the rates of each "
        "batch size, the ablations at the best rate."
    )


def _print_result(found: Reproduced, folder: Path, is_json: bool) -> None:
    if is_json:
        works = [
            {"name": o.name, "state": o.state, "was_done": o.was_done, "message": o.message} for o in found.outcomes
        ]
        print_json({"report": str(folder / "report.md"), "works": works})
        return
    states = [outcome.state for outcome in found.outcomes]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    print(
        f"{len(states)} works: {counts or 'none'}; {sum(o.was_done for o in found.outcomes)} of them were done before"
    )
    for outcome in found.failed:
        print(f"failed: {outcome.name}: {outcome.message}")
    print(f"the report is {folder / 'report.md'} and {folder / 'report.html'}")
