"""The types of options' values, and the options that several commands share."""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any

from bpe_lm.errors import OptionError
from bpe_lm.fields import did_you_mean, parse_whole

_TOKENIZER_HELP = "a folder that train-tokenizer wrote, a tokenizer.json or a .tiktoken file"


def whole(least: int | None = None, most: int | None = None) -> Callable[[str], int]:
    """Return the type of whole numbers in a range."""
    bounds = "" if least is None else f" from {least} on" if most is None else f" from {least} to {most}"

    def parse(text: str) -> int:
        try:
            number = parse_whole(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number{bounds}") from None
        if (least is not None and number < least) or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{text} is not a whole number{bounds}")
        return number

    return parse


def sizes(text: str) -> list[int]:
    """Parse one or several sizes of vocabularies, such as 4000,8000."""
    found = [whole()(part.strip()) for part in text.split(",")]
    if len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{text!r} has a size twice")
    return found


def number(text: str) -> float:
    """Parse any number."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def positive(most: float) -> Callable[[str], float]:
    """Return the type of numbers above 0 and below `most`."""

    def parse(text: str) -> float:
        found = number(text)
        if not 0 < found < most:
            raise argparse.ArgumentTypeError(f"{text} is not a number above 0 and below {most:g}")
        return found

    return parse


def size(text: str) -> int:
    """Parse a number of bytes, such as 80GB or 24GiB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i)?B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; write 80GB or 24GiB")
    number, unit, is_binary = found.groups()
    return int(float(number) * (1024 if is_binary else 1000) ** ("KMGT".index(unit.upper()) + 1 if unit else 0))


def shard(text: str) -> tuple[int, int]:
    """Parse I/N."""
    index, slash, of = text.partition("/")
    if not (slash and index.isdecimal() and of.isdecimal() and int(index) < int(of)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a shard; write I/N with I from 0 to N - 1, such as 0/8")
    return int(index), int(of)


def add_shard_option(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add --shard. `verb` says what is done with the shard."""
    parser.add_argument(
        "--shard",
        type=shard,
        metavar="I/N",
        help=f"{verb} only shard I of N, from 0/N on, such as each on a machine of its own (default: everything)",
    )


def one_of(*choices: str) -> Callable[[str], str]:
    """Return the type of a few words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(choices)}{did_you_mean(text, choices)}")
        return text

    return parse


def add_devices_option(parser: argparse.ArgumentParser, default: str) -> None:
    """Add --devices, with words for what happens without it."""
    parser.add_argument(
        "--devices",
        type=gpus,
        default=(),
        metavar="NAMES",
        help=f"GPUs, such as cuda:0,cuda:1, of which each process has one (default: {default})",
    )


def gpus(text: str) -> list[str]:
    """Parse names of GPUs, such as cuda:0,cuda:1. Each number may be there once; cuda is cuda:0."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if re.fullmatch(r"cuda(:\d+)?", name, re.ASCII) is None:
            raise argparse.ArgumentTypeError(
                f"{name!r} is not a GPU; write cuda:0,cuda:1, or --device for other devices"
            )
    numbers = [int(name.partition(":")[2] or 0) for name in names]
    if len(set(numbers)) < len(numbers):
        raise argparse.ArgumentTypeError(f"{text!r} has a GPU twice; each run has one for itself")
    return [f"cuda:{number}" for number in numbers]


def check_gpus(names: Sequence[str]) -> None:
    """Check that this machine has the GPUs of these names.

    Raises:
        OptionError: It lacks one.
    """
    if not names:
        return
    import torch

    count = torch.cuda.device_count()
    for name in names:
        if int(name.partition(":")[2]) >= count:
            raise OptionError(f"--devices has {name}, and this machine has {count} GPUs")


def add_tokenizer_option(parser: argparse.ArgumentParser, *, action: str = "store", more: str = "") -> None:
    """Add --tokenizer, which is required."""
    parser.add_argument("--tokenizer", required=True, action=action, metavar="PATH", help=_TOKENIZER_HELP + more)


def add_pretokens_options(parser: argparse.ArgumentParser, *, more: str = "") -> None:
    """Add the options that say how texts become pretokens. `more` says what the defaults are otherwise."""
    parser.add_argument(
        "--special-token",
        action="append",
        metavar="TEXT",
        default=[],
        help=f"text that is one token, such as '<|endoftext|>'; give it again for more (default: none{more})",
    )
    parser.add_argument(
        "--pattern",
        metavar="REGEX",
        help="how texts are split before merging: a regular expression, or gpt2, cl100k, llama3, qwen2, qwen3.5, "
        f"o200k, tekken, kimi_k2, deepseek_v3 (default: gpt2{more})",
    )


def add_input_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how files of text are read."""
    parser.add_argument(
        "--input-format",
        type=one_of("auto", "text", "jsonl", "parquet", "arrow"),
        default="auto",
        metavar="FORMAT",
        help="text, jsonl, parquet, arrow, or auto: JSON lines in files named .jsonl, .ndjson or .json, tables in "
        "those named .parquet, .arrow or .feather, text in others, and an error if the content is something else",
    )
    parser.add_argument(
        "--json-field",
        default="text",
        metavar="NAME",
        help="field of a JSON line, or column of a table, that has the text; meta.text is the field text in meta",
    )
    parser.add_argument(
        "--bad-lines",
        type=one_of("error", "skip"),
        default="error",
        metavar="WHAT",
        help="meaning of a JSON line, or a row of a table, without a text: error: the command stops, skip: it is "
        "skipped and counted",
    )


def add_threads_option(parser: argparse.ArgumentParser) -> None:
    """Add --threads."""
    parser.add_argument("--threads", type=whole(), metavar="N", help="number of worker threads (default: one per core)")


def add_memory_limit_option(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add --memory-limit. `folder` says where counts go that do not fit."""
    parser.add_argument(
        "--memory-limit",
        type=size,
        metavar="SIZE",
        help="most memory that the process may hold, such as 256MiB; counts that do not fit are sorted on the disk, "
        f"in {folder} (default: no limit)",
    )


def add_ray_options(parser: argparse.ArgumentParser, verb: str) -> None:
    """Add --ray and --shards. `verb` says what is done on the cluster."""
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help=f"{verb} on a Ray cluster, whose machines all see the files: auto for the cluster that RAY_ADDRESS names "
        "or that runs on this machine, local for a Ray on this machine, or an address such as 10.0.0.1:6379. --threads "
        "is then the threads of a task (default: 1)",
    )
    parser.add_argument(
        "--shards",
        type=whole(1),
        metavar="N",
        help="with --ray, the number of shards, each a task (default: one for each 256 MiB, 4096 at most)",
    )


def ray_options(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the arguments of a function on Ray that its options say, or None without --ray.

    Raises:
        OptionError: An option contradicts --ray, or needs it.
    """
    if options.ray is None:
        if options.shards is not None:
            raise OptionError("--shards is the number of tasks of --ray; without it, --shard I/N names one shard")
        return None
    if options.shard is not None:
        raise OptionError("--shard names one shard, and --ray works on all of them; give --shards N for their number")
    threads = 1 if options.threads is None else options.threads
    return {"address": options.ray, "shards": options.shards, "threads": threads}


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_quiet_option(parser: argparse.ArgumentParser) -> None:
    """Add --quiet."""
    parser.add_argument("--quiet", action="store_true", help="show no progress")
