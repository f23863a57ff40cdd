"""What is in a tokenizer: its longest tokens, their lengths and, where its training is known, how much each is used."""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bpe_lm import checks
from bpe_lm.errors import FormatError
from bpe_lm.tables import console
from bpe_lm.tokenizer.report import as_text, learned_tokens, longest_learned
from bpe_lm.tokenizer.tokenizer import StrPath, Tokenizer
from bpe_lm.tokenizer.train import Training, load_training

if TYPE_CHECKING:
    from rich.table import Table

NUM_SHOWN = 5
"""Merges, and tokens that are never used, that are printed."""

EXACT_LENGTHS = 16
"""Token lengths with a bar of their own. Longer ones share bars: 17 to 32, 33 to 64, and so on."""

SHOWN_CHARACTERS = 60
"""Of a longer token, the part that is printed."""

BAR_CHARACTERS = 40

_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_ALPHABET = {byte: chr(byte) for byte in _PRINTABLE} | {
    byte: chr(0x100 + i) for i, byte in enumerate(sorted(set(range(256)) - set(_PRINTABLE)))
}
_BYTES = {character: byte for byte, character in _ALPHABET.items()}


@dataclass(frozen=True)
class Inspection:
    """The figures of a tokenizer. Lengths are in bytes; special tokens count nowhere but in the vocabulary's size."""

    path: str
    tokenizer: Tokenizer
    training: Training | None
    num_longest: int

    @property
    def lengths(self) -> dict[int, int]:
        """How many tokens have each length."""
        return _count_lengths(learned_tokens(self.tokenizer))

    @property
    def unused(self) -> list[bytes]:
        """The tokens that do not occur in the corpus when all merges are applied, in the order of their ids."""
        uses = self.training["token_uses"] if self.training else []
        return [self.tokenizer.vocab[id] for id, count in enumerate(uses) if count == 0]

    @property
    def unused_lengths(self) -> dict[int, int]:
        """How many of them have each length."""
        return _count_lengths(self.unused)

    def as_dict(self) -> dict[str, object]:
        """For JSON. Tokens are written in GPT-2's alphabet; what only training.json tells is null without it."""
        tokens = longest_learned(self.tokenizer, self.num_longest)
        return {
            "path": self.path,
            "vocab_size": len(self.tokenizer.vocab),
            "merges": len(self.tokenizer.merges),
            "special_tokens": self.tokenizer.special_tokens,
            "pattern": self.tokenizer.pattern,
            "longest_tokens": [{"token": to_alphabet(token), "length": len(token)} for token in tokens],
            "token_lengths": self.lengths,
            "training": self.training and self._training_as_dict(self.training),
        }

    def _training_as_dict(self, training: Training) -> dict[str, object]:
        merges = [
            {"left": to_alphabet(left), "right": to_alphabet(right), "count": count}
            for (left, right), count in zip(self.tokenizer.merges, training["merge_counts"], strict=True)
        ]
        return {
            "num_bytes": training["num_bytes"],
            "num_pretokens": training["num_pretokens"],
            "num_distinct_pretokens": training["num_distinct_pretokens"],
            "unused_tokens": [to_alphabet(token) for token in self.unused],
            "first_merges": merges[:NUM_SHOWN],
            "last_merges": merges[-NUM_SHOWN:],
            "longest_pretokens": training["longest_pretokens"][: self.num_longest],
        }

    def print(self) -> None:
        """Print it on stdout. Tokens appear as Python writes str and bytes, so no control character gets out."""
        printer = console()
        sections = {"": self._summary()}
        if self.num_longest:
            sections["Longest tokens"] = self._longest_tokens()
        sections["Token lengths"] = _bars(self.lengths, "#" if printer.options.ascii_only else "█")
        if self.training:
            sections["Never used when all merges are applied"] = self._unused()
            sections["Most and least frequent merges"] = self._merges(self.training)
            if self.num_longest:
                sections["Longest pretokens of the corpus"] = self._longest_pretokens(self.training)
        for title, table in sections.items():
            if title:
                printer.print(f"\n{title}", style="bold")
            printer.print(table)
        if not self.training:
            printer.print(
                "\nTokens never used, merge counts and the longest pretokens are in training.json, which "
                "train-tokenizer writes; it is not beside this tokenizer."
            )

    def _summary(self) -> "Table":
        special = [repr(token) for token in self.tokenizer.special_tokens]
        table = _table()
        table.add_row("tokenizer", self.path)
        table.add_row("vocabulary", f"{len(self.tokenizer.vocab):,} tokens, {len(self.tokenizer.merges):,} merges")
        more = f" and {len(special) - NUM_SHOWN:,} more" if len(special) > NUM_SHOWN else ""
        table.add_row("special tokens", ", ".join(special[:NUM_SHOWN]) + more or "none")
        table.add_row(
            "pattern", self.tokenizer.pattern if self.tokenizer.pattern.isalnum() else repr(self.tokenizer.pattern)
        )
        if self.training:
            total, distinct = self.training["num_pretokens"], self.training["num_distinct_pretokens"]
            table.add_row("pretokens", f"{total:,}, {distinct:,} of them distinct")
        return table

    def _longest_tokens(self) -> "Table":
        table = _table("bytes", "token")
        for token in longest_learned(self.tokenizer, self.num_longest):
            table.add_row(f"{len(token):,}", shortened(token))
        return table

    def _unused(self) -> "Table":
        table = _table("of", "", "", "first of them")
        groups = {"bytes": (256, [t for t in self.unused if len(t) == 1])}
        if self.tokenizer.merges:
            groups["merges"] = (len(self.tokenizer.merges), [t for t in self.unused if len(t) > 1])
        for name, (total, tokens) in groups.items():
            share = f"{100 * len(tokens) / total:.1f} %"
            first = " ".join(shortened(token, SHOWN_CHARACTERS // NUM_SHOWN) for token in tokens[:NUM_SHOWN])
            dots = " ..." if len(tokens) > NUM_SHOWN else ""
            table.add_row(f"{total:,} {name}", f"{len(tokens):,}", share, first + dots)
        return table

    def _merges(self, training: Training) -> "Table":
        table = _table("number", "count", "pair")
        merges = list(zip(self.tokenizer.merges, training["merge_counts"], strict=True))
        hidden = range(NUM_SHOWN, len(merges) - NUM_SHOWN)
        for number, ((left, right), count) in enumerate(merges):
            if number not in hidden:
                pair = f"{shortened(left, SHOWN_CHARACTERS // 2)} + {shortened(right, SHOWN_CHARACTERS // 2)}"
                table.add_row(f"{number + 1:,}", f"{count:,}", pair)
            elif number == hidden.start:
                table.add_row("...", "", "")
        return table

    def _longest_pretokens(self, training: Training) -> "Table":
        table = _table("bytes", "count", "pretoken")
        for pretoken in training["longest_pretokens"][: self.num_longest]:
            start = shortened(from_alphabet(pretoken["start"]), length=pretoken["length"])
            table.add_row(f"{pretoken['length']:,}", f"{pretoken['count']:,}", start)
        return table


def inspect(path: StrPath, num_longest: int = 10) -> Inspection:
    """Read a folder, a tokenizer.json or a .tiktoken file, and the training.json there.

    Raises:
        FormatError: A file is not what its format says, or training.json is another tokenizer's.
        FileError: A file could not be read.
    """
    given = checks.path("path", path)
    num_longest = checks.integer("num_longest", num_longest)
    path = Path(given)
    tokenizer = _load(path) if path.exists() else Tokenizer.load(given)
    record = (path if path.is_dir() else path.parent) / "training.json"
    if not record.exists():
        return Inspection(str(path), tokenizer, None, num_longest)
    training = load_training(record)
    num_merges = len(tokenizer.merges)
    if (len(training["merge_counts"]), len(training["token_uses"])) != (num_merges, 256 + num_merges):
        known = len(training["merge_counts"])
        raise FormatError(f"{record} is another tokenizer's: it has {known:,} merges, {path} {num_merges:,}; remove it")
    return Inspection(str(path), tokenizer, training, num_longest)


def _load(path: Path) -> Tokenizer:
    if path.suffix == ".tiktoken" and not path.with_name(path.name + ".json").exists():
        return Tokenizer.from_tiktoken(path, "unknown", {})
    return Tokenizer.load(path)


def to_alphabet(token: bytes) -> str:
    """Bytes as text in GPT-2's alphabet: one printable character for each byte, as in vocab.json."""
    return "".join(_ALPHABET[byte] for byte in token)


def from_alphabet(text: str) -> bytes:
    """The bytes that `to_alphabet` wrote."""
    return bytes(_BYTES[character] for character in text)


def shortened(token: bytes, characters: int = SHOWN_CHARACTERS, length: int | None = None) -> str:
    """A token as Python writes it, text if it is text, with dots after so many characters of a terminal.

    `length` is that of all bytes, if there are more.
    """
    is_cut = len(token) < (length or 0)
    text = start = as_text(token, is_cut=is_cut)[:characters]
    while _width(repr(start)) > characters:
        start = start[:-1]
    is_whole = len(start) == len(text) == len(as_text(token, is_cut=is_cut))
    return repr(start) + ("" if is_whole and not is_cut else "...")


def _width(text: str) -> int:
    """The columns of a terminal that a text takes."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def _count_lengths(tokens: list[bytes]) -> dict[int, int]:
    return dict(sorted(Counter(map(len, tokens)).items()))


def _bars(lengths: dict[int, int], block: str) -> "Table":
    """One bar a length, then one for the lengths up to each power of two."""
    bars: dict[str, int] = {str(length): 0 for length in range(1, min(EXACT_LENGTHS, max(lengths)) + 1)}
    for length, count in lengths.items():
        end = 1 << (length - 1).bit_length()
        name = str(length) if length <= EXACT_LENGTHS else f"{end // 2 + 1:,} to {end:,}"
        bars[name] = bars.get(name, 0) + count
    table = _table("bytes", "tokens", "")
    for name, count in bars.items():
        width = -(-BAR_CHARACTERS * count // max(bars.values()))
        table.add_row(name, f"{count:,}", block * width)
    return table


def _table(*headings: str) -> "Table":
    """A table without lines. All columns but the last are of figures."""
    from rich.table import Table

    table = Table(box=None, show_header=bool(headings), header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for i, heading in enumerate(headings):
        last = i == len(headings) - 1
        table.add_column(heading, justify="left" if last else "right", no_wrap=not last, overflow="fold")
    return table
