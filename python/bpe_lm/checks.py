"""Checks of the types of arguments. The error names the argument, its type, and the types to give."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping

from bpe_lm.errors import ArgumentTypeError

TYPE_CHECKING = False
"""True for a type checker. The imports below take longer than all others of `train_bpe` together."""

if TYPE_CHECKING:
    from typing import Any

    from bpe_lm.files import StrPath


def integer(name: str, value: Any) -> int:
    """Return a whole number as an int. An integer of numpy is a whole number too.

    Raises:
        ArgumentTypeError: The value is of another type, or a bool.
    """
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise wrong_type(name, value, "an int")


def string(name: str, value: Any) -> str:
    """Return a str.

    Raises:
        ArgumentTypeError: The value is of another type, or has a surrogate, which UTF-8 cannot encode.
    """
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ArgumentTypeError(f"{name} is {value!r}, which has a surrogate; give a str of whole characters")
        return value
    raise wrong_type(name, value, "a str")


def strings(name: str, value: Any) -> list[str]:
    """Return a list of str.

    Raises:
        ArgumentTypeError: The value is a single str, is not iterable, or has an item of another type.
    """
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Iterable):
        raise wrong_type(name, value, "a list of str")
    return [string(f"{name}[{i}]", item) for i, item in enumerate(value)]


def path(name: str, value: Any) -> str:
    """Return a path as it was written. A Path would drop the slashes that tell `shards/` and `s3://` from files.

    Raises:
        ArgumentTypeError: The value is neither a str nor an os.PathLike of str.
    """
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str):
            return text
    raise wrong_type(name, value, "a path: a str or a pathlib.Path")


def paths(name: str, value: Any) -> list[StrPath]:
    """Return a list of paths. A single path becomes a list of one.

    Raises:
        ArgumentTypeError: The value is neither a path nor an iterable of paths.
    """
    if isinstance(value, str | os.PathLike):
        path(name, value)
        return [value]
    if isinstance(value, bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise wrong_type(name, value, "a path or a list of paths")
    found = list(value)
    for i, item in enumerate(found):
        path(f"{name}[{i}]", item)
    return found


def instance(name: str, value: Any, kind: type, wanted: str) -> None:
    """Refuse a value that is not of a type.

    Raises:
        ArgumentTypeError: The value is of another type; `wanted` says in words what to give.
    """
    if not isinstance(value, kind):
        raise wrong_type(name, value, wanted)


def wrong_type(name: str, value: Any, wanted: str) -> ArgumentTypeError:
    """Return the error for a value of the wrong type."""
    return ArgumentTypeError(f"{name} is of type {type(value).__name__}; give {wanted}")
