"""Checks of the arguments that a tokenizer's functions share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bpe_lm import checks
from bpe_lm.errors import OptionError, SpecialTokenError
from bpe_lm.files import StrPath

_MOST_THREADS = 1024
_MOST_SHARDS = 1 << 20


def special_tokens_and_ids(given: Sequence[str] | Mapping[str, int] | None) -> tuple[list[str], list[int] | None]:
    """Return the texts of special tokens, and their ids if a mapping gives them.

    Raises:
        SpecialTokenError: An id is negative, or needs more than 32 bits.
        ArgumentTypeError: A text is not a str, or an id is not an int.
    """
    tokens = checks.strings("special_tokens", given or ())
    if not isinstance(given, Mapping):
        return tokens, None
    ids = [checks.integer(f"special_tokens[{token!r}]", id) for token, id in given.items()]
    for token, id in zip(tokens, ids, strict=True):
        if not 0 <= id < 2**32:
            raise SpecialTokenError(f"special token {token!r} has the id {id}, which is negative or beyond 32 bits")
    return tokens, ids


def file_in(path: StrPath, name: str) -> Path:
    """Return the path of a file, or of the file of this name if the path is a folder."""
    path = Path(checks.path("path", path))
    return path / name if path.is_dir() else path


def encoding_options(
    special: str | None, separator: str | None, threads: int | None, input_format: str, json_field: str, bad_lines: str
) -> dict[str, Any]:
    """Return the options with which files are encoded, by name, after a check of their types.

    Raises:
        OptionError: `threads` is out of range.
        ArgumentTypeError: An option is of the wrong type.
    """
    optional = {"special": special, "separator": separator}
    return {
        **{name: None if value is None else checks.string(name, value) for name, value in optional.items()},
        "threads": checked_threads(threads),
        "input_format": checks.string("input_format", input_format),
        "json_field": checks.string("json_field", json_field),
        "bad_lines": checks.string("bad_lines", bad_lines),
    }


def checked_shard(shard: tuple[int, int]) -> tuple[int, int]:
    """Return the number of a part, and the number of all parts.

    Raises:
        OptionError: There is no such part.
        ArgumentTypeError: A number is not an int, or they are not two.
    """
    if not isinstance(shard, tuple | list) or len(shard) != 2:
        raise checks.wrong_type("shard", shard, "two ints, such as (0, 8)")
    index, of = checks.integer("shard[0]", shard[0]), checks.integer("shard[1]", shard[1])
    if not 0 <= index < of <= _MOST_SHARDS:
        raise OptionError(f"shard {index}/{of} is not possible: it must be i/n, i from 0 to n - 1, n at most 1048576")
    return index, of


def checked_threads(threads: int | None) -> int | None:
    """Return a number of threads; None means one thread for each core.

    Raises:
        OptionError: The number is not from 1 to 1024.
        ArgumentTypeError: The number is not an int.
    """
    if threads is not None and not 1 <= checks.integer("threads", threads) <= _MOST_THREADS:
        raise OptionError(f"threads = {threads} is not possible: it must be a number from 1 to {_MOST_THREADS}")
    return threads
