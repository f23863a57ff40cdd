"""The commands of training: pretrain, account."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpe_lm.cli.arguments import Parser
from bpe_lm.cli.config import CONFIG_HELP, KEYS_HELP, add_keys, written
from bpe_lm.cli.guard import Stopped, language_model
from bpe_lm.cli.options import add_json_option, add_quiet_option, size
from bpe_lm.cli.tables import print_json, print_rows
from bpe_lm.errors import FileError, TrainingDiverged
from bpe_lm.fields import keys
from bpe_lm.training.config import CONFIG, PROFILE
from bpe_lm.training.presets import resolve

if TYPE_CHECKING:
    from bpe_lm.training.run_folder import TrainResult
    from bpe_lm.training.trainer import Trainer


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's."""
    _add_pretrain(commands)
    _add_account(commands)


def _add_pretrain(commands: Any) -> None:
    parser = commands.add_parser(
        "pretrain",
        usage="%(prog)s [CONFIG] --out FOLDER [--resume | --force] [--KEY VALUE ...]",
        help="train a Transformer on token files",
        description="Train a Transformer on token files. A flag changes a key of CONFIG. The defaults below are those "
        "without a preset; `bpe-lm config show CONFIG` prints the values of a preset.",
        epilog=KEYS_HELP,
    )
    parser.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help=f"{CONFIG_HELP}; with --resume the default is the config of the run in FOLDER",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for config, records and checkpoints")
    old = parser.add_mutually_exclusive_group()
    old.add_argument("--resume", action="store_true", help="continue the run in FOLDER, or begin if it has none")
    old.add_argument("--force", action="store_true", help="replace the run in FOLDER")
    parser.add_argument("--profile", action="store_true", help="write into FOLDER/profile where a step spends its time")
    add_json_option(parser)
    add_quiet_option(parser)
    add_keys(parser)
    parser.set_defaults(run=lambda options: _pretrain(_with_config(parser, options)))


def _with_config(parser: Parser, options: argparse.Namespace) -> argparse.Namespace:
    """Take the run in FOLDER as the config if no config is named and the run is to be resumed.

    Raises:
        OutputExists: FOLDER has checkpoints without a config, or something that is not a run.
        FileError: FOLDER has no run.
    """
    if options.config is not None:
        return options
    if not options.resume:
        parser.error(f"CONFIG is missing: {CONFIG_HELP}; or --resume, to go on with the run in FOLDER")
    if not (Path(options.out) / CONFIG).is_file():
        with language_model():
            from bpe_lm.training.run_folder import RunFolder

            RunFolder(Path(options.out)).check(resume=True, force=False)
        raise FileError(f"{options.out} has no run to go on with; name a config, to begin one: {CONFIG_HELP}")
    options.config = options.out
    return options


def _pretrain(options: argparse.Namespace) -> None:
    config = resolve(options.config, options.flags)
    with language_model():
        from bpe_lm.training.trainer import Trainer

        with Trainer(
            config, options.out, resume=options.resume, force=options.force, progress=not options.quiet
        ) as trainer:
            is_first, was_over = trainer.world.is_first, trainer.result is not None
            if not was_over and is_first and not options.quiet:
                _print_beginning(trainer)
            try:
                result = trainer.run(profile=options.profile)
            except TrainingDiverged:
                if options.json and is_first and trainer.result is not None:
                    print_json(trainer.result.as_dict())
                raise
    if not is_first:
        return
    if was_over:
        print(f"the run in {result.folder} is over, and was left as it is{_more(result)}", file=sys.stderr)
    if options.json:
        print_json(result.as_dict())
    else:
        _print_result(result, trainer)
    if trainer.profile is not None:
        print(f"{trainer.profile.verdict()} See {result.folder / PROFILE}", file=sys.stderr)
    if result.signal is not None:
        print(f"{result.signal}: saved; the same command with --resume goes on from there", file=sys.stderr)
        raise Stopped(130 if result.signal == "SIGINT" else 143)


def _print_beginning(trainer: Trainer) -> None:
    """Print from which step a run goes on, and what was chosen for this machine and why."""
    if trainer.step:
        print(f"going on from step {trainer.step:,}", file=sys.stderr)
    values = dict(keys(trainer.config))
    for key in ("dtype", "residual", "compile"):
        if key in trainer.reasons:
            print(f"{key} {written(values[key])}: {trainer.reasons[key]}", file=sys.stderr)
    kernels = [f"{key.removeprefix('kernels.')} {values[key]}" for key in trainer.reasons if key.startswith("kernels.")]
    if kernels:
        print(f"kernels: {', '.join(kernels)} (`bpe-lm doctor` says why)", file=sys.stderr)


def _print_result(result: TrainResult, trainer: Trainer) -> None:
    print_rows(
        [
            ("parameters", f"{trainer.model.num_parameters():,}"),
            ("steps", f"{result.step:,} of {trainer.config.steps:,}{_ended(result)}"),
            ("tokens", f"{result.tokens:,}"),
            ("validation loss", _losses(result.loss, result.best_loss)),
            ("time", f"{result.seconds:.1f} s"),
            ("written to", str(result.folder)),
        ]
    )


def _more(result: TrainResult) -> str:
    """Return the option with which a finished run goes on."""
    more = {
        "finished": "a larger --steps",
        "time": "a larger --max-time",
        "worse": "a larger --stop-when-worse",
        "diverged": "a larger --max-skipped-steps or --max-loss",
    }
    return f"; {more[result.reason]} makes it go on" if result.reason in more else ""


def _losses(last: float | None, best: float | None) -> str:
    if last is None:
        return "none"
    return f"{last:.4f}" + ("" if best is None else f" (best {best:.4f})")


def _ended(result: TrainResult) -> str:
    """Return the reason why a run ended before its last step."""
    reasons = {
        "time": ", max_time is over",
        "worse": ", validation became no better",
        "diverged": ", diverged",
        "signal": f", stopped by {result.signal}",
    }
    return reasons.get(result.reason, "")


def _add_account(commands: Any) -> None:
    parser = commands.add_parser(
        "account",
        usage="%(prog)s CONFIG [--memory SIZE] [--json] [--KEY VALUE ...]",
        help="compute what a run will cost: parameters, FLOPs, memory",
        description="Compute parameters, floating-point operations (FLOPs) and memory of a config, before training. "
        "Every key of the config is a flag, as `bpe-lm pretrain --help` lists them. `--device cuda` predicts the "
        "memory of a GPU, which need not be here.",
    )
    parser.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument(
        "--memory",
        type=size,
        metavar="SIZE",
        help="memory of a device, such as 80GB (default: this machine's, its GPU's, or 80GB for a GPU elsewhere)",
    )
    add_json_option(parser)
    add_keys(parser, are_shown=False)
    parser.set_defaults(run=_account)


def _account(options: argparse.Namespace) -> None:
    config = resolve(options.config, options.flags)
    with language_model():
        from bpe_lm.cli.account import print_account
        from bpe_lm.training.account import Account

        found = Account.of(config, options.memory)
    if options.json:
        print_json(found.as_dict())
    else:
        print_account(found)
