"""Typed fields of config dataclasses, and the flags and words that a person types for them.

A config is a frozen dataclass whose fields are values or config dataclasses themselves. The dotted name of a field,
such as `model.num_layers`, is its key, and `--model.num-layers` is its flag.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, fields, is_dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, TypeVar, get_args, get_origin

from bpe_lm.errors import ConfigError

_T = TypeVar("_T")

TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
"""The words for a switch that is on or off, in lower case."""

Switch = bool | Literal["auto"]
"""On, off, or "auto": on where it pays."""

SWITCH_WORDS: dict[Any, tuple[str, ...]] = {bool: tuple(TRUTH), Switch: (*TRUTH, "auto")}
"""The words that may follow a switch, in lower case; without one it is true."""

_MOST_DIGITS = 30


def parse_whole(text: str) -> int:
    """Parse a whole number, such as 10000, 10_000 or 1e4.

    Raises:
        ValueError: The text is no whole number, or has more than 30 digits.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a whole number") from None
    if not number.is_finite() or number.adjusted() >= _MOST_DIGITS or number != number.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number")
    return int(number)


def parse_truth(text: str) -> bool:
    """Parse true, yes, on or 1, or false, no, off or 0.

    Raises:
        ValueError: The text is none of these.
    """
    try:
        return TRUTH[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is not true or false") from None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that a person most likely meant. The last part of a name with dots is enough.

    The tests in order: the last part as a word of a name in the same table (layers for num-layers), the same last part
    in another table, a few different letters, initials (lr for learning-rate), a part of the name.
    """
    names = {_plain(name): name for name in known}
    lasts: dict[str, str] = {}
    for plain, name in names.items():
        lasts.setdefault(_last(plain), name)
    plain = _plain(word)
    last = _last(plain)
    table = plain.removesuffix(last)
    for plain_name, name in names.items():
        if table and plain_name.startswith(table) and last in _last(plain_name).split("-"):
            return name
    if last in lasts:
        return lasts[last]
    for wanted, found, cutoff in ((plain, names, 0.75), (last, lasts, 0.65)):
        for close in difflib.get_close_matches(wanted, found, 1, cutoff):
            return found[close]
    if len(last) >= 2:
        for name in lasts:
            if "".join(part[:1] for part in name.split("-")).endswith(last):
                return lasts[name]
    if len(last) >= 3:
        for name in lasts:
            if last in name:
                return lasts[name]
    for close in difflib.get_close_matches(plain, names, 1, 0.6):
        return names[close]
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a clause for an error that names the nearest word, or an empty text."""
    close = nearest(word, known)
    return f"; did you mean {close}?" if close else ""


def _plain(name: str) -> str:
    return name.lstrip("-").replace("_", "-").lower()


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def key(default: _T, meaning: str, *, unit: str = "", **notes: Any) -> _T:
    """Declare a key: a field with a default, its meaning for --help, the unit of its number, and other metadata."""
    declared: _T = field(default=default, metadata={"meaning": meaning, "unit": unit, **notes})
    return declared


def keys(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted name and the value of each key of a config."""
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from keys(value, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", value


def meanings(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the meaning of each key of a config."""
    return _metadata(config, "meaning", prefix)


def units(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted name and the unit of each key of a config; the unit is empty where a value has none."""
    return _metadata(config, "unit", prefix)


def _metadata(config: Any, name: str, prefix: str) -> Iterator[tuple[str, str]]:
    for f in fields(config):
        value = getattr(config, f.name)
        if is_dataclass(value):
            yield from _metadata(value, name, f"{prefix}{f.name}.")
        else:
            yield f"{prefix}{f.name}", f.metadata.get(name, "")


@cache
def kinds(table: Hashable) -> dict[str, Any]:
    """Return the type of each key of a config's class, by the key's dotted name."""
    return dict(_kinds(table, ""))


def _kinds(table: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, kind in typing.get_type_hints(table).items():
        if is_dataclass(kind):
            yield from _kinds(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", kind


def key_of(text: str) -> str:
    """Return the key that a flag or a name in a file stands for; - and _ are the same."""
    return text.removeprefix("--").replace("-", "_")


def flag_of(key: str) -> str:
    """Return the flag of a key, such as `--model.num-layers`."""
    return f"--{key.replace('_', '-')}"


def values_by_field(
    config: Any, values: Mapping[str, Any], renamed: Mapping[str, str], *, root: Any = None, prefix: str = ""
) -> dict[str, Any]:
    """Return nested values by the names of a config's fields, with - and _ as the same.

    Args:
        config: The config whose fields the values are for.
        values: Values by name, nested as the config is.
        renamed: Each key of an older version, with a text that names its replacement.
        root: The whole config, where `config` is one of its tables.
        prefix: The dotted name of that table.

    Raises:
        ConfigError: A key is unknown or of an older version, is given twice, or is a table without its keys.
    """
    root = config if root is None else root
    names = [f.name for f in fields(config)]
    result: dict[str, Any] = {}
    for key, value in values.items():
        name = key_of(key)
        if new := renamed.get(f"{prefix}{name}"):
            raise ConfigError(f"{prefix}{name} is no longer a key; use {new}")
        if name not in names:
            meant = did_you_mean(f"{prefix}{name}", kinds(root.__class__))
            raise ConfigError(f"unknown key {prefix}{key}" + (meant or f"; the keys are {', '.join(names)}"))
        if name in result:
            raise ConfigError(f"{prefix}{name} is given twice, once with - and once with _")
        table = getattr(config, name)
        if is_dataclass(table):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{prefix}{name} is a table with keys of its own, not {value!r}")
            result[name] = values_by_field(table, value, renamed, root=root, prefix=f"{prefix}{name}.")
        else:
            result[name] = value
    return result


def replace_nested(config: Any, values: Mapping[str, Any]) -> Any:
    """Return a config with some values replaced. The values are nested as the config's tables are."""
    changed = {
        name: replace_nested(getattr(config, name), value) if is_dataclass(getattr(config, name)) else value
        for name, value in values.items()
    }
    return replace(config, **changed)


def merge_nested(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values with the changes put over them."""
    result = dict(values)
    for name, change in changes.items():
        old = result.get(name)
        if isinstance(old, Mapping) and isinstance(change, Mapping):
            result[name] = merge_nested(old, change)
        else:
            result[name] = change
    return result


def parse_flags(flags: Sequence[str], table: type, renamed: Mapping[str, str]) -> dict[str, Any]:
    """Parse flags into nested values: `--key value` or `--key=value`; a switch may stand alone.

    Raises:
        ConfigError: A flag is unknown, or its value is not of the key's type.
    """
    known = kinds(table)
    values: dict[str, Any] = {}
    rest = list(flags)
    while rest:
        flag, has_value, text = rest.pop(0).partition("=")
        key = key_of(flag)
        if not flag.startswith("--"):
            raise ConfigError(f"{flag!r} is not a flag; write --key value, as in --model.num-layers 6")
        if key not in known:
            raise ConfigError(unknown_flag(flag, list(map(flag_of, known)), table, renamed))
        kind = known[key]
        if not has_value:
            words = SWITCH_WORDS.get(kind)
            text = "true"
            if rest and (words is None or rest[0].lower() in words):
                text = rest.pop(0)
            elif words is None:
                raise ConfigError(f"{flag} lacks its value")
        *tables, name = key.split(".")
        place = values
        for part in tables:
            place = place.setdefault(part, {})
        place[name] = _parse_as(kind, text, flag_of(key))
    return values


def unknown_flag(flag: str, known: Sequence[str], table: type, renamed: Mapping[str, str]) -> str:
    """Return the text of an error for an unknown flag, with the known flag that was most likely meant."""
    key = key_of(flag)
    if new := renamed.get(key):
        return f"{flag_of(key)} is no longer a flag; use {new}"
    if of_table := [name for name in kinds(table) if name.startswith(f"{key}.")]:
        return f"{flag} is a table; give one of its keys, such as {flag_of(of_table[0])}"
    return f"there is no flag {flag}{did_you_mean(flag, known)}"


def _parse_as(kind: Any, text: str, flag: str) -> Any:
    """Parse a text as a value of this type. The choices of a `Literal` are checked with the whole config."""
    try:
        if kind is bool:
            return parse_truth(text)
        if kind == Switch:
            return text if text == "auto" else parse_truth(text)
        if kind is int:
            return parse_whole(text)
        if kind is float:
            return float(text)
        if kind == int | float:
            return float(text) if "." in text or "e-" in text.lower() else parse_whole(text)
    except ValueError:
        raise ConfigError(f"{flag} is {text!r}, and must be {_WORDS[kind]}") from None
    return text


def check_types(config: Any, table: str) -> None:
    """Check that each field of a config has a value of its type, and convert numbers to it.

    A float field takes a whole number, and a field of whole numbers takes a float without a fraction, such as 1e4 of
    TOML and JSON. `table` is the prefix of the keys.

    Raises:
        ConfigError: A value is of another type or not a choice, or a number is infinite or too large.
    """
    hints = typing.get_type_hints(type(config))
    for f in fields(config):
        value, kind = getattr(config, f.name), hints[f.name]
        name = f"{table}.{f.name}".lstrip(".")
        if get_origin(kind) is Literal:
            if value not in get_args(kind):
                meant = did_you_mean(str(value), get_args(kind))
                raise ConfigError(f"{name} is {value!r}, and must be one of {', '.join(get_args(kind))}{meant}")
        elif kind == Switch:
            if type(value) is not bool and value != "auto":
                raise ConfigError(f"{name} is {value!r}, and must be {_WORDS[Switch]}")
        elif kind in (float, int | float):
            if type(value) not in (int, float):
                raise ConfigError(f"{name} is {value!r}, and must be a number")
            if not abs(value) < float("inf"):
                raise ConfigError(f"{name} is {value}, and must be finite")
            if kind is float:
                object.__setattr__(config, f.name, float(value))
        elif kind is int and type(value) is float and value.is_integer():
            object.__setattr__(config, f.name, int(value))
        elif type(value) is not kind and not is_dataclass(value):
            raise ConfigError(f"{name} is {value!r}, and must be {_WORDS.get(kind, kind.__name__)}")
        if kind is int and abs(getattr(config, f.name)) >= 2**63:
            raise ConfigError(f"{name} is {value}, and must be below 2^63")


_WORDS = {
    int: "a whole number",
    float: "a number",
    int | float: "a fraction of the run, below 1, or a whole number of steps",
    str: "a text",
    bool: "true or false",
    Switch: "true, false or auto",
}


def at_least(config: Any, table: str, name: str, least: float) -> None:
    """Check that a field is not below a limit. `table` is the prefix of its key.

    Raises:
        ConfigError: The field is below the limit.
    """
    value = getattr(config, name)
    if value < least:
        raise ConfigError(f"{f'{table}.{name}'.lstrip('.')} is {value}, and must be at least {least}")
