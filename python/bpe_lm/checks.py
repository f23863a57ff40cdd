"""Arguments of the wrong type, refused by name before any work."""

import operator
import os
from collections.abc import Iterable, Mapping
from typing import Any

from bpe_lm.errors import ArgumentTypeError


def integer(name: str, value: Any) -> int:
    """Return an int, or what stands for one, such as numpy's.

    Raises:
        ArgumentTypeError: It is of another type, or a bool.
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
        ArgumentTypeError: It is of another type, or has a surrogate, which no UTF-8 has.
    """
    if isinstance(value, str):
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise ArgumentTypeError(f"{name} is {value!r}, which has a surrogate; give a str of whole characters")
        return value
    raise wrong_type(name, value, "a str")


def strings(name: str, value: Any) -> list[str]:
    """Return a list of str.

    Raises:
        ArgumentTypeError: It is one str, no iterable, or has something else.
    """
    if isinstance(value, str | bytes | bytearray) or not isinstance(value, Iterable):
        raise wrong_type(name, value, "a list of str")
    return [string(f"{name}[{i}]", item) for i, item in enumerate(value)]


def path(name: str, value: Any) -> str:
    """Return a path as it was written: a Path would drop what tells `shards/` and `s3://` from files.

    Raises:
        ArgumentTypeError: It is neither a str nor an os.PathLike.
    """
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str):
            return text
    raise wrong_type(name, value, "a path: a str or a pathlib.Path")


def paths(name: str, value: Any) -> list[str | os.PathLike[str]]:
    """Return a list of paths, of one if one is given.

    Raises:
        ArgumentTypeError: There is something else.
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
    """Refuse what is not of a type.

    Raises:
        ArgumentTypeError: It is of another.
    """
    if not isinstance(value, kind):
        raise wrong_type(name, value, wanted)


def wrong_type(name: str, value: Any, wanted: str) -> ArgumentTypeError:
    """The error for a value of another type than is wanted."""
    return ArgumentTypeError(f"{name} is of type {type(value).__name__}; give {wanted}")
