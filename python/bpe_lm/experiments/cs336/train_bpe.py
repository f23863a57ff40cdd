"""Problem train_bpe: learn a byte-level BPE vocabulary from a text.

`train_bpe(input_path, vocab_size, special_tokens)` returns the vocabulary and the merges. Pretokens follow GPT-2's
pattern, of pairs with the same count the greater one is merged, and no merge touches a special token.

Answer: the section compares with the course's definition in plain Python (`naive_bpe.py`), on a text made of hard cases
and on the beginning of the corpus. Every merge and every id must be equal.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import naive_bpe
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.wording import titles
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT
from bpe_lm.tokenizer.train import Merges, Vocab, train_bpe

SPECIAL_TOKENS = [END_OF_TEXT]
NUM_MERGES = 200
CORPUS_BYTES = 16_000
"""Bytes of the corpus that are compared: the oracle takes about a second for them."""

PACKED = {".gz", ".zst", ".zstd"}
"""Endings of files that are not texts as they are."""

HARD_TEXT = (
    f"low low low lower lower widest widest newest newest{END_OF_TEXT}"
    f"aaaa aaaaa aaa  aa   a\n\n\n  indented\r\n\ttab{END_OF_TEXT}\n\n"
    "I'm, you're, they've, we'll, he'd, it's 'quoted' don't' ''s\u00a0no-break\u3000wide\u2009thin\n"
    f"12345 678.90 x2 2x ½ Ⅷ ٣٤٥ 牛你好牛 你好 Привет, мир! Über straße e\u0301 ñ{END_OF_TEXT}{END_OF_TEXT}"
    "🙂👍🏽👨‍👩‍👧 <|end <|endoftext <|endoftext||> |> <||> _under_score_ a+b==c; --- ... !!!\x00\x1c\x1f"
)
"""Ties, repeated letters, white space of all kinds, contractions, numbers, scripts, and halves of special tokens."""


def trained(text: str, vocab_size: int, special_tokens: Sequence[str]) -> tuple[Vocab, Merges]:
    """Train on a text as the course does: on a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_bytes(text.encode())
        return train_bpe(path, vocab_size, special_tokens)


def expected_vocab(merges: Merges, special_tokens: Sequence[str]) -> Vocab:
    """Return the vocabulary of merges: 256 bytes, the merged pairs in order, then the special tokens."""
    tokens = [bytes([byte]) for byte in range(256)] + [left + right for left, right in merges]
    return dict(enumerate(tokens + [token.encode() for token in special_tokens]))


def count_differences(found: Sequence[Any], expected: Sequence[Any]) -> int:
    """Count the places where two sequences differ. What one of them lacks counts too."""
    return sum(a != b for a, b in zip_longest(found, expected))


def beginning(path: Path, number: int) -> str | None:
    """Return the first bytes of a text, or None if it is missing or packed. Half a character at the end is left out."""
    if path.suffix in PACKED:
        return None
    try:
        with path.open("rb") as file:
            return file.read(number).decode(errors="ignore")
    except OSError:
        return None


def checks(name: str, text: str) -> Iterable[Check]:
    """Compare the merges and the vocabulary that a text gives with the oracle's."""
    expected = naive_bpe.learn_merges(text, NUM_MERGES, SPECIAL_TOKENS)
    vocab, merges = trained(text, 256 + len(expected) + len(SPECIAL_TOKENS), SPECIAL_TOKENS)
    oracle = "the definition in plain Python"
    yield Check(f"{len(expected):,} merges of {name}", count_differences(merges, expected), 0, oracle)
    items = sorted(vocab.items()), sorted(expected_vocab(expected, SPECIAL_TOKENS).items())
    yield Check(f"{len(vocab):,} ids of {name}", count_differences(*items), 0, oracle)


def special_check() -> Check:
    """Count learned tokens that have a part of the special token, in a text that is full of it."""
    text = f"one{END_OF_TEXT}two{END_OF_TEXT}one two " * 20
    vocab, _ = trained(text, 300, SPECIAL_TOKENS)
    wrong = [token for token in vocab.values() if b"<|" in token and token != END_OF_TEXT.encode()]
    return Check("learned tokens that contain `<|`", len(wrong), 0, "none")


def _answer(results: Results) -> Iterable[Block]:
    yield Text(
        "`bpe_lm.train_bpe` trains on the same texts as an implementation of the definition that shares no code with "
        f"it, and the differences are counted. The first text has {len(HARD_TEXT):,} characters: ties, repeated "
        "letters, white space of all kinds, many scripts, and parts of special tokens."
    )
    yield from checks("the hard cases", HARD_TEXT)
    for key, title in titles(results.setting).items():
        text = beginning(results.setting.corpora[key].train, CORPUS_BYTES)
        if text is None:
            yield Text(f"The text of {title} is not here, or is packed, so its beginning is not compared.")
        else:
            yield from checks(f"the first {len(text.encode()):,} bytes of {title}", text)
    yield special_check()
    yield Text(
        "The course's test also demands 500 merges of its `corpus.en` within 1.5 s; its own reference takes 0.38 s. "
        "Write-up 2 needed special handling of newlines and special tokens to pass, which it calls its ugliest change."
    )


QUESTION = Question(
    row=3,
    name="train_bpe",
    points=15,
    kind="check",
    asked="Write a function that learns a byte-level BPE vocabulary and its merges from a text, with special tokens.",
    answer=_answer,
)
