"""The commands of studies: sweep, runs."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bpe_lm.cli.arguments import Parser
from bpe_lm.cli.config import CONFIG_HELP, add_keys
from bpe_lm.cli.guard import Stopped, language_model, say, say_unless
from bpe_lm.cli.options import add_devices_option, add_json_option, add_quiet_option, check_gpus, whole
from bpe_lm.cli.tables import duration, print_json, print_table
from bpe_lm.errors import ConfigError, OptionError, OutputExists
from bpe_lm.experiments.cs336.setting import SETTING
from bpe_lm.experiments.results_table import RESULTS
from bpe_lm.experiments.runs import Listed, as_json, has_run, list_runs, shown_loss
from bpe_lm.experiments.study import STUDY, Changes, Study, check_key, grid, in_words, random_draws, run_name, variants
from bpe_lm.fields import key_of, parse_flags
from bpe_lm.progress import megabytes
from bpe_lm.training.config import RENAMED, TrainConfig
from bpe_lm.training.presets import resolve

if TYPE_CHECKING:
    from bpe_lm.experiments.predict import Predicted
    from bpe_lm.experiments.runner import Report


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's."""
    _add_sweep(commands)
    _add_runs(commands)


def _add_sweep(commands: Any) -> None:
    parser: Parser = commands.add_parser(
        "sweep",
        usage="%(prog)s CONFIG --grid KEY=V,V [--grid ...] --out FOLDER [--seeds N] [--jobs N] [--KEY VALUE ...]",
        help="train a run for each combination of some values, or for each variant of a config",
        description="Train a run for each combination of values of some keys, or the config and its variants, each run "
        "by `bpe-lm pretrain` in a process and a folder of its own. The same command goes on after a kill, skips the "
        "runs that are over, and adds those of new values. A run that diverges or fails does not stop the others.",
        epilog="Every key of the config is a flag, as `bpe-lm pretrain --help` lists them. An example, with token "
        "files that `bpe-lm encode` wrote: bpe-lm sweep demo --data.train train.bin --data.valid valid.bin "
        "--data.tokenizer tokenizer --grid schedule.max_learning_rate=1e-3,3e-3 --grid batch_size=16,32 --out "
        "runs/rates. Then `bpe-lm runs FOLDER` lists the runs, and `bpe-lm report FOLDER` writes tables and curves.",
    )
    parser.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder of the study, for the folders of runs")
    parser.add_argument(
        "--grid",
        action="append",
        type=_choices,
        metavar="KEY=V,V",
        help="values of a key, as in schedule.max_learning_rate=1e-4,3e-4,1e-3; may be given for several keys "
        "(default: the config's value)",
    )
    parser.add_argument(
        "--variant",
        action="append",
        type=_changes,
        metavar="KEY=V,KEY=V",
        help="a run of the config with these values, beside a run of the config as it is, as in model.qk_norm=true; "
        "may be given several times, and the report has the effect of each (default: none)",
    )
    parser.add_argument(
        "--random",
        type=whole(1),
        metavar="N",
        help="draw N runs of the values of --grid and the ranges of --log (default: all combinations of --grid)",
    )
    parser.add_argument(
        "--log",
        action="append",
        type=_range,
        metavar="KEY=LOW:HIGH",
        help="range of a key for --random, whose logarithm is uniform (default: no range)",
    )
    parser.add_argument(
        "--seeds",
        type=whole(1),
        default=1,
        metavar="N",
        help="number of seeds of each run: the key seed and the numbers after it",
    )
    parser.add_argument(
        "--jobs", type=whole(1), metavar="N", help="number of runs at a time (default: one, or one per device)"
    )
    add_devices_option(parser, "this machine's, as many as --jobs")
    parser.add_argument("--dry-run", action="store_true", help="print runs, time, memory and disk, and train nothing")
    parser.add_argument(
        "--keep-old-code", action="store_true", help="keep runs that other code of this package trained, or began"
    )
    add_json_option(parser)
    add_quiet_option(parser)
    add_keys(parser, are_shown=False)
    parser.set_defaults(run=_sweep)


def _sweep(options: argparse.Namespace) -> None:
    study = _study(options)
    works, folder = study.trainings(), Path(options.out)
    _check_folder(folder)
    with language_model():
        from bpe_lm.experiments.predict import predict
        from bpe_lm.experiments.runner import run_all

        devices = _devices(options.devices, study.base, options.jobs or 1)
        more: dict[str, Any] = {
            "jobs": options.jobs or len(devices) or 1,
            "devices": devices,
            "keep_old_code": options.keep_old_code,
            "say": say_unless(options.quiet),
        }
        if options.dry_run:
            _print_prediction(predict(works, folder, **more), is_json=options.json)
            return
        report = run_all(works, folder, **more, progress=not options.quiet, base=study.base)
    _print_report(report, folder, is_json=options.json)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that has something else than a study. The runner says by itself that a folder is a run.

    Raises:
        OutputExists: The folder has a reproduction, or something without a study.
    """
    from bpe_lm.experiments.runner import check_is_ours

    if (folder / SETTING).exists():
        raise OutputExists(f"{folder} has a reproduction; name another folder")
    if not has_run(folder):
        check_is_ours(folder, STUDY)


def _study(options: argparse.Namespace) -> Study:
    """Return the study that the options describe.

    Raises:
        OptionError: There is nothing to vary, no token file to train on, or a key that is given twice.
        ConfigError: A key is unknown, or a value makes no sense.
    """
    base = resolve(options.config, options.flags)
    given = [*(options.grid or ()), *(options.log or ())]
    names = [key for key, _ in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(f"{twice[0]} is given twice; write all of its values into one --grid")
    if options.log and options.random is None:
        raise OptionError("--log gives ranges to draw from; say how many runs with --random N")
    if "seed" in names and options.seeds > 1:
        raise OptionError("--grid has seed, and --seeds also; give one of them")
    choices: dict[str, Sequence[Any]] = {
        key: [_value(key, text) for text in texts] for key, texts in options.grid or ()
    }
    changes: Sequence[Changes]
    if options.variant:
        if given or options.random is not None:
            raise OptionError("--variant says what each run changes; leave out --grid, --random and --log")
        changes = variants(
            base, [{key: _value(key, text) for key, text in variant.items()} for variant in options.variant]
        )
    elif options.random is None:
        changes = grid(choices)
    else:
        changes = random_draws(options.random, choices, dict(options.log or ()), base.seed)
    if len(changes) == 1 and options.seeds == 1:
        raise OptionError("there is one run only; give values with --grid, --variant, --random or --seeds")
    if not base.data.training and not {"data.train", "data.mixture"} & set(names):
        raise OptionError("data.train is not set; name with --data.train a token file that bpe-lm encode wrote")
    return Study(base, changes, options.seeds, Path(options.out).resolve().name)


def _choices(text: str) -> tuple[str, list[str]]:
    key, _, values = text.partition("=")
    found = [value.strip() for value in values.split(",")]
    if not key or not all(found):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=V,V, as in batch_size=32,64")
    return _key(key), found


def _changes(text: str) -> dict[str, str]:
    pairs = [(key.strip(), value.strip()) for key, _, value in (part.partition("=") for part in text.split(","))]
    if not all(key and value for key, value in pairs):
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=V,KEY=V, as in model.ffn=relu2,model.d_ff=1024")
    found = {_key(key): value for key, value in pairs}
    if len(found) < len(pairs):
        raise argparse.ArgumentTypeError(f"{text!r} has a key twice")
    return found


def _range(text: str) -> tuple[str, tuple[float, float]]:
    key, _, values = text.partition("=")
    low, _, high = values.partition(":")
    try:
        bounds = float(low), float(high)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not KEY=LOW:HIGH, as in schedule.max_learning_rate=1e-4:1e-2"
        ) from None
    return _key(key), bounds


def _key(text: str) -> str:
    try:
        return check_key(key_of(text))
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _value(key: str, text: str) -> Any:
    """Parse the text of a value as the type of a key.

    Raises:
        ConfigError: The text is not of that type.
    """
    found: Any = parse_flags([f"--{key}={text}"], TrainConfig, RENAMED)
    for part in key.split("."):
        found = found[part]
    return found


def _devices(named: Sequence[str], config: TrainConfig, jobs: int) -> Sequence[str]:
    """Return the GPUs that are named, or one for each of several processes, or none where runs train on a CPU.

    Raises:
        OptionError: The machine lacks a GPU of these, or the config does not use it, or there are fewer than processes.
    """
    if named and config.device.partition(":")[0] not in ("auto", "cuda"):
        raise OptionError(f"--devices gives each run a GPU, and device is {config.device!r}; give one of them")
    check_gpus(named)
    if named or jobs == 1 or config.device not in ("auto", "cuda"):
        return named
    import torch

    count = torch.cuda.device_count()
    if 0 < count < jobs:
        raise OptionError(f"--jobs is {jobs}, and this machine has {count} GPUs; each run has one for itself")
    return [f"cuda:{number}" for number in range(jobs)] if count else []


def _print_report(report: Report, folder: Path, *, is_json: bool) -> None:
    """Print what became of the runs, and end with the status of a signal or a failure."""
    names = {outcome.name for outcome in report.outcomes}
    listed = [one for one in list_runs(folder) if one.name in names]
    if is_json:
        name = report.signal.name if report.signal else None
        print_json({"folder": str(folder), "signal": name, "runs": [as_json(one) for one in listed]})
    else:
        _print_runs(listed)
        print(f"{len(report.done)} of {len(names)} runs are over; written to {folder / RESULTS}")
    if report.signal is not None:
        say("the same command goes on from here")
        raise Stopped(130 if report.signal == signal.SIGINT else 143)
    if len(report.done) < len(names):
        say("the same command tries the runs again that are not over")
        raise Stopped(1)


def _print_prediction(predicted: Predicted, *, is_json: bool) -> None:
    from dataclasses import asdict

    if is_json:
        works = [asdict(work) for work in predicted.works]
        print_json({"runs": works, "seconds": predicted.seconds, "memory": predicted.memory, "disk": predicted.disk})
        return
    rows = [
        (
            work.name,
            work.standing,
            f"{work.steps:,}",
            "" if work.seconds is None else duration(work.seconds),
            "" if work.memory is None else megabytes(work.memory),
            megabytes(work.disk),
        )
        for work in predicted.works
    ]
    print_table(("run", "it", "steps", "time", "memory", "disk"), rows)
    for message in dict.fromkeys(work.message for work in predicted.works if work.message):
        print(f"no time for some runs: {message}")
    print(f"in all {duration(predicted.seconds)}, and {megabytes(predicted.disk)} on the disk")


def _add_runs(commands: Any) -> None:
    parser = commands.add_parser(
        "runs",
        help="list the runs of a folder: state, step, loss, speed",
        description="List the runs of a study, or all runs in a folder, with what differs between them.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="folder that sweep wrote, or that has folders of runs")
    add_json_option(parser)
    parser.set_defaults(run=_runs)


def _runs(options: argparse.Namespace) -> None:
    listed = list_runs(Path(options.folder))
    if options.json:
        print_json([as_json(one) for one in listed])
    else:
        _print_runs(listed)


def _print_runs(listed: Sequence[Listed]) -> None:
    """Print a table. It says in what runs differ only if the names of the runs do not say it already."""
    is_said = all(one.is_job or not one.changes or one.name == run_name(one.changes) for one in listed)
    headings = ("run", "state", "step", "loss", "tokens/s", *(() if is_said else ("differs in",)))
    print_table(headings, [_row(one)[: len(headings)] for one in listed])
    for one in listed:
        if one.message:
            print(f"{one.name} failed: {one.message}")


def _row(listed: Listed) -> Sequence[str]:
    record = listed.record
    changes = ", ".join(in_words(listed.changes))
    if record is None:
        return (listed.name, listed.state, "", "", "", changes)
    loss, speed = shown_loss(record), record.tokens_per_second
    return (
        listed.name,
        listed.state,
        f"{record.step:,} of {record.config.steps:,}",
        "" if loss is None else f"{loss:.4f}",
        "" if speed is None else f"{speed:,.0f}",
        changes,
    )
