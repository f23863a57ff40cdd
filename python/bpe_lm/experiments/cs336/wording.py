"""The wording of figures in answers, and of what a text is."""

from __future__ import annotations

from collections.abc import Iterable

from bpe_lm.experiments.cs336.setting import CorpusKey, Setting

NOT_STATED = "not stated"
"""The cell of a figure that a source does not give."""


def percent(share: float, decimals: int = 2) -> str:
    """Format a fraction as a percentage."""
    return f"{100 * share:.{decimals}f} %"


def power(number: float) -> str:
    """Format a large number with four significant digits, such as 3.517e12."""
    mantissa, exponent = f"{number:.3e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def size(number: float) -> str:
    """Format bytes in the largest unit that gives at least 1."""
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))
    unit, name = next((unit for unit in units if number >= unit[0]), units[-1])
    return f"{digits(number / unit, 4)} {name}"


def seconds(number: float) -> str:
    """Format seconds with three digits, or all digits before the point."""
    return f"{digits(number, 3)} s"


def digits(number: float, significant: int) -> str:
    """Format a number with this many significant digits, but never with an exponent if it is large."""
    is_large = number >= 10 ** (significant - 1)
    return f"{number:,.0f}" if is_large else f"{number:.{significant}g}"


def listed(words: Iterable[str]) -> str:
    """Join words as a sentence lists them: `a, b and c`."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def titles(setting: Setting) -> dict[CorpusKey, str]:
    """Return a short name for each corpus: its title without sizes. The key tells names apart that are the same."""
    short = {key: corpus.title.partition(" (")[0] for key, corpus in setting.corpora.items()}
    names = list(short.values())
    return {key: name if names.count(name) == 1 else f"{name} ({key})" for key, name in short.items()}


def explained(setting: Setting) -> str:
    """Say which text each key of a picture stands for."""
    return f"Here {listed(f'{key} is {name}' for key, name in titles(setting).items())}."
