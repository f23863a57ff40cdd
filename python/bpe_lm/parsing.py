"""What a person types: whole numbers, yes or no, and the known word that was meant."""

import difflib
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
"""The words of a switch, in lower case."""

_MOST_DIGITS = 30


def parse_whole(text: str) -> int:
    """Return the whole number that a text is, such as 10000, 10_000 or 1e4.

    Raises:
        ValueError: It is none, or has more than 30 digits.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not a whole number") from None
    if not number.is_finite() or number.adjusted() >= _MOST_DIGITS or number != number.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number")
    return int(number)


def parse_truth(text: str) -> bool:
    """Return whether a text is true, yes, on or 1, or false, no, off or 0.

    Raises:
        ValueError: It is none of these.
    """
    try:
        return TRUTH[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is not true or false") from None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known name that was most likely meant; of names with dots, the last part may be meant alone.

    Tried in turn: the same last part (in another table), a few letters that differ, initials (lr for learning-rate),
    a part of the name.
    """
    names = {_plain(name): name for name in known}
    lasts: dict[str, str] = {}
    for plain, name in names.items():
        lasts.setdefault(_last(plain), name)
    plain = _plain(word)
    last = _last(plain)
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
    """Return a clause for an error that names the nearest word, or nothing."""
    close = nearest(word, known)
    return f"; did you mean {close}?" if close else ""


def _plain(name: str) -> str:
    return name.lstrip("-").replace("_", "-").lower()


def _last(name: str) -> str:
    return name.rpartition(".")[2]
