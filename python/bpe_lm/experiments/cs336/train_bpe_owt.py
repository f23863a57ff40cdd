"""Problem train_bpe_expts_owt: train a tokenizer of 32,000 tokens on OpenWebText, and compare it with TinyStories'.

(a) What is the longest token, and does it make sense? (b) Compare the two tokenizers. The handout's limits are 12 hours
and 100 GB.

Answer: not yet known on the course's text. On 170 MB of web text (2026-11-27, commit b356817, 2 cores of an Intel Xeon
with AVX512-BF16): 8,000 tokens take 0.63 s and 65 MB. The longest token is a rule of 48 hyphens. Of the first 3,999
tokens, 44 % are those of TinyStories. The job `tokenizer-owt` measures it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bpe_lm.errors import BpeLmError
from bpe_lm.experiments.blocks import Block, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import token_lengths
from bpe_lm.experiments.cs336.preparation import is_trained, tokenizer_job
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.train_bpe_tinystories import longest_stage, sense, training_blocks
from bpe_lm.experiments.cs336.wording import NOT_STATED, explained, percent, titles
from bpe_lm.experiments.work import Work
from bpe_lm.tokenizer.inspection import Inspection, inspect
from bpe_lm.tokenizer.tokens import learned_tokens, quoted

REPORTED = {
    "write-up 1": (NOT_STATED, NOT_STATED, NOT_STATED, NOT_STATED),
    "write-up 2": ("5 min 17 s, 283 % of a processor", "14.7 GB", "' telecommunications', 19 bytes", NOT_STATED),
    "handout": ("at most 12 h", "at most 100 GB", "", ""),
}

LONG = 10
"""Tokens of at least this many bytes count as long."""

SHOWN = 8
"""Tokens that a cell lists."""


def comparison_table(inspections: Mapping[str, Inspection]) -> Table:
    """Return a table that compares vocabularies: sizes, lengths, what only one of them has."""
    tokens = {name: learned_tokens(found.tokenizer) for name, found in inspections.items()}
    rows: list[tuple[Any, ...]] = [
        ("learned tokens, 256 bytes among them", *map(len, tokens.values())),
        ("mean length in bytes", *(_mean(list(map(len, own))) for own in tokens.values())),
        ("longest in bytes", *(max(map(len, own)) for own in tokens.values())),
        (f"of at least {LONG} bytes", *(percent(_share(own, _is_long), 1) for own in tokens.values())),
        ("words with a space before them", *(percent(_share(own, _is_word), 1) for own in tokens.values())),
        ("with a capital letter", *(percent(_share(own, _has_capital), 1) for own in tokens.values())),
        ("with a digit", *(percent(_share(own, _has_digit), 1) for own in tokens.values())),
        ("with bytes outside ASCII", *(percent(_share(own, _is_foreign), 1) for own in tokens.values())),
        ("never used in its text when all merges are applied", *(len(found.unused) for found in inspections.values())),
    ]
    for other in tokens:
        rows.append((f"shared with {other}", *(len(set(own) & set(tokens[other])) for own in tokens.values())))
    rows.append(("first merges that only it has", *_first_of_each(list(tokens.values()))))
    return Table(("", *tokens), rows, "The two vocabularies, without special tokens.")


def _first_of_each(tokens: Sequence[Sequence[bytes]]) -> list[str]:
    """Return the earliest tokens of each vocabulary that no other one has."""
    cells = []
    for number, own in enumerate(tokens):
        others = {token for place, other in enumerate(tokens) if place != number for token in other}
        cells.append(", ".join(quoted(token) for token in [token for token in own if token not in others][:SHOWN]))
    return cells


def overlap(first: Sequence[bytes], second: Sequence[bytes]) -> tuple[int, float]:
    """Return the size of the smaller vocabulary, and the share of the larger's first tokens of that number in it."""
    size = min(len(first), len(second))
    return size, len(set(first[:size]) & set(second[:size])) / size


def _mean(values: Sequence[int]) -> float:
    return sum(values) / max(len(values), 1)


def _share(tokens: Sequence[bytes], has: Any) -> float:
    return sum(map(has, tokens)) / max(len(tokens), 1)


def _is_long(token: bytes) -> bool:
    return len(token) >= LONG


def _is_word(token: bytes) -> bool:
    return token.startswith(b" ") and token[1:].decode(errors="replace").isalpha()


def _has_capital(token: bytes) -> bool:
    return any(letter.isupper() for letter in token.decode(errors="ignore"))


def _has_digit(token: bytes) -> bool:
    return any(48 <= byte < 58 for byte in token)


def _is_foreign(token: bytes) -> bool:
    return not token.isascii()


def _inspections(results: Results) -> dict[str, Inspection]:
    """Return the tokenizers that are trained, by the names of their texts."""
    found = {}
    for key, title in titles(results.setting).items():
        try:
            if is_trained(results, key):
                found[title] = inspect(results.setting.tokenizer(key))
        except BpeLmError:
            continue
    return found


def _comparison(results: Results) -> Iterable[Block]:
    inspections = _inspections(results)
    if len(inspections) < len(results.setting.corpora):
        yield Missing("the comparison of the two tokenizers")
        return
    yield comparison_table(inspections)
    (first, one), (second, other) = list(inspections.items())[:2]
    number, shared = overlap(learned_tokens(one.tokenizer), learned_tokens(other.tokenizer))
    yield Text(
        f"**(b)** Of the first {number:,} tokens of each, {percent(shared, 1)} are the same. The rest follows the "
        f"texts: the rows on capitals, digits and bytes outside ASCII say how {first} and {second} differ."
    )
    lengths = [found.lengths for found in inspections.values()]
    yield Picture(
        "token_lengths",
        lambda: token_lengths(dict(zip(results.setting.corpora, lengths, strict=True))),
        f"The number of tokens of each length in the two vocabularies. {explained(results.setting)}",
    )


def _answer(results: Results) -> Iterable[Block]:
    yield from training_blocks(results, "owt", REPORTED)
    trained = results.measured("tokenizer-owt")
    if trained is not None and is_trained(results, "owt"):
        yield Text(f"**(a)** {sense(trained)} {longest_stage(trained)}")
        yield Text(
            "Write-up 2 met pretokens of up to 120,000 bytes in OpenWebText, whose places overflowed its 16-bit "
            "integers. Here places have 32 bits, and counts 64. It states the handout's limit as 100 hours; it is 12."
        )
    yield from _comparison(results)


def _work(results: Results) -> Iterable[Work]:
    for corpus in results.setting.corpora:
        yield tokenizer_job(results, corpus)


QUESTION = Question(
    row=5,
    name="train_bpe_expts_owt",
    points=2,
    kind="measured",
    asked="Train a tokenizer of 32,000 tokens on OpenWebText. What is the longest token, and how does this tokenizer "
    "differ from that of TinyStories?",
    answer=_answer,
    work=_work,
)
