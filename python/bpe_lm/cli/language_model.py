"""The commands of the language model, from pretrain to account. torch is imported when one of them runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from bpe_lm.cli.arguments import Key, Parser, number, size, whole
from bpe_lm.errors import ConfigError, FileError, MissingExtra, OptionError, TokenFileError, TrainingDiverged
from bpe_lm.fields import flag_of, keys, kinds, meanings, unknown_flag
from bpe_lm.kernels.implementation import Dtype
from bpe_lm.tables import print_json, print_rows
from bpe_lm.training.config import CONFIG, PROFILE, RENAMED, TrainConfig
from bpe_lm.training.presets import PRESETS, resolve

if TYPE_CHECKING:
    from bpe_lm.export.load import Pretrained
    from bpe_lm.tokenizer.tokenizer import Tokenizer
    from bpe_lm.training.run_folder import TrainResult


CONFIG_HELP = f"a preset ({', '.join(PRESETS)}), a TOML or JSON file, or a run's folder"


_OTHER_DEVICE = "the model does not fit; name another device with --device"


class Stopped(Exception):
    """A signal ended training, after a checkpoint; `status` is what a shell expects."""

    def __init__(self, status: int):
        self.status = status


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's."""
    pretrain = commands.add_parser(
        "pretrain",
        usage="%(prog)s [CONFIG] --out FOLDER [--resume | --force] [--KEY VALUE ...]",
        help="train a Transformer on token files",
        description="Train a Transformer on token files. Every key of the config is a flag, below; "
        "the defaults are those without a preset.",
        epilog="Keys in files have _ for -: max_learning_rate in the table [schedule] is --schedule.max-learning-rate.",
    )
    pretrain.explain = _unknown_flag
    pretrain.add_argument(
        "config",
        nargs="?",
        metavar="CONFIG",
        help=f"{CONFIG_HELP}; with --resume it may be left out, for that of the run in FOLDER",
    )
    pretrain.add_argument("--out", required=True, metavar="FOLDER", help="for config, records and checkpoints")
    old = pretrain.add_mutually_exclusive_group()
    old.add_argument("--resume", action="store_true", help="go on with the run in FOLDER; else begin")
    old.add_argument("--force", action="store_true", help="replace the run in FOLDER")
    pretrain.add_argument(
        "--profile", action="store_true", help="write where the time of a step goes into FOLDER/profile"
    )
    pretrain.add_argument("--json", action="store_true", help="print the result as JSON")
    pretrain.add_argument("--quiet", action="store_true", help="show no progress")
    _add_keys(pretrain)
    pretrain.set_defaults(run=lambda options: _pretrain(_with_config(pretrain, options)))

    evaluation = commands.add_parser(
        "evaluate", help="loss, perplexity and bits per byte of a run on a whole token file"
    )
    _add_run(evaluation)
    evaluation.add_argument(
        "--tokens", "--data.valid", metavar="FILE", help="default: the run's data.valid; an exported model has none"
    )
    evaluation.add_argument("--dtype", choices=get_args(Dtype), help="default: the run's")
    evaluation.add_argument("--json", action="store_true", help="print the result as JSON")
    evaluation.add_argument("--quiet", action="store_true", help="show no progress")
    evaluation.set_defaults(run=_evaluate)

    generation = commands.add_parser("generate", help="let a run's model write")
    _add_run(generation)
    generation.add_argument("--prompt", default="", metavar="TEXT", help="default: the beginning of a text")
    generation.add_argument("--max-tokens", type=whole(), default=256, metavar="N", help="default: 256")
    generation.add_argument(
        "--temperature", type=number, default=0.8, metavar="T", help="0: the likeliest (default: 0.8)"
    )
    generation.add_argument("--top-k", type=whole(), metavar="K", help="default: all tokens")
    generation.add_argument("--top-p", type=number, default=0.95, metavar="P", help="default: 0.95")
    generation.add_argument("--seed", type=whole(), metavar="N", help="default: another one each time")
    generation.add_argument(
        "--tokenizer", "--data.tokenizer", metavar="PATH", help="default: the run's, or the exported model's own"
    )
    generation.set_defaults(run=_generate)

    export = commands.add_parser("export", help="write a run's model for transformers or llama.cpp")
    _add_run(export)
    export.add_argument(
        "--to",
        nargs=2,
        required=True,
        metavar=("FORMAT", "OUT"),
        help="huggingface FOLDER (AutoModelForCausalLM and AutoTokenizer open it), or gguf FILE (llama.cpp runs it)",
    )
    export.add_argument(
        "--tokenizer", "--data.tokenizer", metavar="PATH", help="default: the run's, or the exported model's own"
    )
    export.add_argument("--force", action="store_true", help="replace what is there")
    export.set_defaults(run=_export)

    account = commands.add_parser(
        "account",
        help="what a run will cost: parameters, operations, memory",
        description="Parameters, floating-point operations and memory of a config, before it is trained. Every key of "
        "the config is a flag, as `bpe-lm pretrain --help` lists them.",
    )
    account.explain = _unknown_flag
    account.add_argument("config", metavar="CONFIG", help=CONFIG_HELP)
    account.add_argument(
        "--memory", type=size, metavar="SIZE", help="of a device, such as 80GB (default: this machine's)"
    )
    account.add_argument("--json", action="store_true", help="print the figures as JSON")
    _add_keys(account, are_shown=False)
    account.set_defaults(run=_account)

    plot = commands.add_parser("plot", help="draw losses against steps, tokens and time")
    plot.add_argument("run_folder", nargs="+", metavar="RUN", help="a folder of pretrain; several in one picture")
    plot.add_argument("--out", default="losses.png", metavar="FILE", help=".png or .svg (default: losses.png)")
    plot.set_defaults(run=_plot)


def _add_keys(parser: argparse.ArgumentParser, *, are_shown: bool = True) -> None:
    """Every key of the config as a flag, in a group for each table."""
    groups: dict[str, Any] = {}
    values, words = dict(keys(TrainConfig())), dict(meanings(TrainConfig()))
    for key, kind in kinds(TrainConfig).items():
        table = key.rpartition(".")[0]
        if table not in groups:
            groups[table] = parser.add_argument_group(f"[{table}]" if table else "the run")
        value = values[key]
        default = f"{value:g}" if type(value) is float else str(value).lower() if type(value) is bool else value
        shown = f"{words[key]} (default: {default})" if value != "" else words[key]
        groups[table].add_argument(
            flag_of(key),
            action=Key,
            is_switch=kind is bool,
            metavar=_METAVARS.get(kind) or "|".join(get_args(kind)),
            help=shown.replace("%", "%%") if are_shown else argparse.SUPPRESS,
        )


_METAVARS = {int: "N", float: "X", int | float: "N|X", bool: "true|false", str: "TEXT"}


def _with_config(parser: Parser, options: argparse.Namespace) -> argparse.Namespace:
    """The config of the run in FOLDER, where none is named and the run is to go on.

    Raises:
        OutputExists: There are checkpoints without one, or something else.
        FileError: There is no run.
    """
    if options.config is None and not options.resume:
        parser.error(f"CONFIG is missing: {CONFIG_HELP}; or --resume, to go on with the run in FOLDER")
    if options.config is None:
        if not (Path(options.out) / CONFIG).is_file():
            with _language_model():
                from bpe_lm.training.run_folder import RunFolder

                RunFolder(Path(options.out)).check(resume=True, force=False)
            raise FileError(f"{options.out} has no run to go on with; name a config, to begin one: {CONFIG_HELP}")
        options.config = options.out
    return options


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="a folder of pretrain, or an exported one")
    parser.add_argument("--last", action="store_true", help="the newest checkpoint, not the best")
    parser.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda, mps (default: what is there)")


@contextmanager
def _language_model() -> Iterator[None]:
    """Name a package that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"the language model's packages are missing ({error}): pip install '.[lm]' in a clone of bpe_lm"
        ) from error


def _pretrain(options: argparse.Namespace) -> None:
    config = resolve(options.config, options.flags)
    with _language_model():
        from bpe_lm.training.trainer import Trainer

        with Trainer(
            config, options.out, resume=options.resume, force=options.force, progress=not options.quiet
        ) as trainer:
            is_first = trainer.world.is_first
            was_over = trainer.result is not None
            if trainer.step and not was_over and is_first and not options.quiet:
                print(f"going on from step {trainer.step:,}", file=sys.stderr)
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
        _print_result(result, trainer.config, trainer.model.num_parameters())
    if trainer.profile is not None:
        print(f"{trainer.profile.verdict()} See {result.folder / PROFILE}", file=sys.stderr)
    if result.signal is not None:
        print(f"{result.signal}: saved; the same command with --resume goes on from there", file=sys.stderr)
        raise Stopped(130 if result.signal == "SIGINT" else 143)


def _print_result(result: TrainResult, config: TrainConfig, parameters: int) -> None:
    rows = [
        ("parameters", f"{parameters:,}"),
        ("steps", f"{result.step:,} of {config.steps:,}{_ended(result)}"),
        ("tokens", f"{result.tokens:,}"),
        ("validation loss", _losses(result.loss, result.best_loss)),
        ("time", f"{result.seconds:.1f} s"),
        ("written to", str(result.folder)),
    ]
    print_rows(rows)


def _more(result: TrainResult) -> str:
    """What would make a run that is over go on."""
    more = {
        "finished": "a larger --steps",
        "time": "a larger --max-time",
        "worse": "a larger --stop-when-worse",
        "diverged": "a larger --max-skipped-steps",
    }
    return f"; {more[result.reason]} makes it go on" if result.reason in more else ""


def _losses(last: float | None, best: float | None) -> str:
    if last is None:
        return "none"
    return f"{last:.4f}" + ("" if best is None else f" (best {best:.4f})")


def _ended(result: TrainResult) -> str:
    """Why a run ended before its last step."""
    reasons = {
        "time": ", max_time is over",
        "worse": ", validation became no better",
        "diverged": ", diverged",
        "signal": f", stopped by {result.signal}",
    }
    return reasons.get(result.reason, "")


def _evaluate(options: argparse.Namespace) -> None:
    with _language_model():
        from bpe_lm.export.load import Pretrained
        from bpe_lm.tokenizer.token_file import Manifest, open_tokens, verify
        from bpe_lm.training.devices import device_of
        from bpe_lm.training.evaluate import evaluate
        from bpe_lm.training.memory import enough_memory

        trained = Pretrained.open(options.run_folder)
        path = _named(trained.folder, "data.valid", trained.data.valid, options.tokens, "--tokens")
        tokens = open_tokens(path)
        manifest = Manifest.from_json(Path(f"{path}.json").read_text(encoding="utf-8"))
        sha256 = trained.tokenizer_sha256()
        if sha256 is None:
            print(f"note: {trained.folder} does not say which tokenizer it was trained with", file=sys.stderr)
        elif manifest.tokenizer != sha256:
            raise TokenFileError(
                f"{path} is of another tokenizer than {trained.folder} was trained with; encode it with that one"
            )
        verify(path)
        device, dtype = device_of(options.device), options.dtype or trained.dtype
        with enough_memory(_OTHER_DEVICE):
            model = trained.model(last=options.last, device=device)
            found = evaluate(model, tokens, text_bytes=manifest.text_bytes, dtype=dtype, progress=not options.quiet)
    if options.json:
        print_json(found.as_dict() | {"dtype": dtype})
        return
    bits = "unknown" if found.bits_per_byte is None else f"{found.bits_per_byte:.4f}"
    rows = [
        ("tokens", f"{found.tokens:,} of {path}"),
        ("computed in", dtype),
        ("loss", f"{found.loss:.4f} nats per token"),
        ("perplexity", f"{found.perplexity:.3f}"),
        ("bits per byte", bits),
    ]
    print_rows(rows)


def _generate(options: argparse.Namespace) -> None:
    with _language_model():
        from bpe_lm.export.load import Pretrained
        from bpe_lm.model.generate import generate
        from bpe_lm.training.devices import device_of
        from bpe_lm.training.memory import enough_memory

        trained = Pretrained.open(options.run_folder)
        tokenizer = _tokenizer_of(trained, options.tokenizer)
        with enough_memory(_OTHER_DEVICE):
            pieces = generate(
                trained.model(last=options.last, device=device_of(options.device)),
                tokenizer,
                options.prompt,
                options.max_tokens,
                temperature=options.temperature,
                top_k=options.top_k,
                top_p=options.top_p,
                seed=options.seed,
            )
            first = next(pieces, "")
            print(options.prompt + first, end="", flush=True)
            for piece in pieces:
                print(piece, end="", flush=True)
            print()


def _export(options: argparse.Namespace) -> None:
    kind, out = options.to
    with _language_model():
        from bpe_lm.export.llama import export_gguf, export_huggingface
        from bpe_lm.export.load import Pretrained
        from bpe_lm.training.devices import device_of
        from bpe_lm.training.memory import enough_memory

        exports = {"huggingface": export_huggingface, "gguf": export_gguf}
        if kind not in exports:
            raise OptionError(f"--to {kind} is not known; there are {', '.join(exports)}")
        trained = Pretrained.open(options.run_folder)
        tokenizer = _tokenizer_of(trained, options.tokenizer)
        with enough_memory(_OTHER_DEVICE):
            model = trained.model(last=options.last, device=device_of(options.device))
            exports[kind](model, tokenizer, out, force=options.force)
    print(f"written to {out}")


def _named(folder: Path, key: str, known: str, given: str | None, flag: str) -> str:
    """The path that a flag gives, or the one that a run has.

    Raises:
        ConfigError: There is neither.
        FileError: The one that the run has is not there any more.
    """
    if given:
        return given
    if not known:
        raise ConfigError(f"{folder} has no {key}; name one with {flag}")
    if not Path(known).exists():
        raise FileError(f"{key} of {folder}, {known}, is not there; name it with {flag}, wherever it is now")
    return known


def _tokenizer_of(trained: Pretrained, given: str | None) -> Tokenizer:
    """The tokenizer that a model was trained with.

    Raises:
        ConfigError: It is another one, or there is none.
        FileError: It is not there.
    """
    from bpe_lm.tokenizer.tokenizer import Tokenizer

    path = _named(trained.folder, "data.tokenizer", trained.data.tokenizer, given, "--tokenizer")
    tokenizer = Tokenizer.load(path)
    if trained.tokenizer_sha256() not in (tokenizer.sha256, None):
        raise ConfigError(
            f"the model in {trained.folder} was trained with another tokenizer; name that one with --tokenizer"
        )
    return tokenizer


def _account(options: argparse.Namespace) -> None:
    config = resolve(options.config, options.flags)
    with _language_model():
        from bpe_lm.cli.account import print_account
        from bpe_lm.training.account import Account

        found = Account.of(config, options.memory)
    if options.json:
        print_json(found.as_dict())
    else:
        print_account(found)


def _plot(options: argparse.Namespace) -> None:
    with _language_model():
        from bpe_lm.experiments.figures import draw_losses

        draw_losses(options.run_folder, options.out)
    print(f"drawn in {options.out}")


def _unknown_flag(flag: str, known: Sequence[str]) -> str:
    return unknown_flag(flag, known, TrainConfig, RENAMED)
