"""Problem tokenizer: encode text as token ids, and decode ids as text.

`Tokenizer(vocab, merges, special_tokens)` has `encode`, `encode_iterable`, which needs little memory, and `decode`,
which replaces what is not UTF-8 by U+FFFD.

Answer: the section takes each tokenizer of the report, and a small one that it trains itself. It compares ids with the
course's definition in plain Python (`naive_bpe.py`) and, where it is installed, with tiktoken.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec

from bpe_lm.errors import BpeLmError
from bpe_lm.experiments.blocks import Block, Check, Missing, Text
from bpe_lm.experiments.cs336 import naive_bpe
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.train_bpe import HARD_TEXT, count_differences, trained
from bpe_lm.experiments.cs336.wording import titles
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer

SPECIAL_TOKENS = [END_OF_TEXT, END_OF_TEXT * 2, "<|pad|>"]
"""One of them begins with another, so that the longest has to win."""

HARD_TEXTS = [
    "",
    " ",
    "\n",
    "s",
    "Hello, how are you?",
    HARD_TEXT,
    "🙃",
    "Héllò hôw are ü? 🙃",
    f"{END_OF_TEXT}Once upon a time{END_OF_TEXT}{END_OF_TEXT} there was{END_OF_TEXT * 3}\n\n",
    f"{END_OF_TEXT}\n\ntesting!",
    "<|endoftext|<|pad|><|pad",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa bbbbbbb",
    " \n \t  \r\n  x\u00a0\u00a0y   ",
    "12345678901234567890 3.14159 1e-5",
    "the " * 50,
]
"""Texts on which tokenizers are known to go wrong."""

PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


PIECES, LOOK_AHEAD = 1000, 10
"""Pieces of a text that arrives, and the most of them that are read before the first id."""


def pieces_before_an_id(tokenizer: Tokenizer) -> int:
    """Return how many pieces of a text `encode_iterable` reads before it returns the first id."""
    read = 0

    def pieces() -> Iterator[str]:
        nonlocal read
        while read < PIECES:
            read += 1
            yield "some words, and more\n"

    next(tokenizer.encode_iterable(pieces()))
    return read


def small_tokenizer() -> Tokenizer:
    """Train a tokenizer on the hard texts themselves, so that many merges apply to them."""
    vocab, merges = trained("\n".join(HARD_TEXTS) * 2, 500, SPECIAL_TOKENS)
    return Tokenizer(vocab, merges, SPECIAL_TOKENS)


def tokenizers(results: Results) -> Mapping[str, Tokenizer | None]:
    """Return the small tokenizer, and that of each corpus, or None where it is not trained yet."""
    found: dict[str, Tokenizer | None] = {"a small tokenizer": small_tokenizer()}
    for key, title in titles(results.setting).items():
        try:
            found[f"the tokenizer of {title}"] = Tokenizer.load(results.setting.tokenizer(key))
        except BpeLmError:
            found[f"the tokenizer of {title}"] = None
    return found


def checks(name: str, tokenizer: Tokenizer) -> Iterable[Check]:
    """Compare a tokenizer with the definition on the hard texts."""
    encoded = [tokenizer.encode(text) for text in HARD_TEXTS]
    number = len(HARD_TEXTS)
    decoded = [tokenizer.decode(ids) for ids in encoded]
    what = f"{number} texts, encoded and decoded by {name}"
    yield Check(what, count_differences(decoded, HARD_TEXTS), 0, "the texts themselves")
    streamed = [list(tokenizer.encode_iterable(text)) for text in HARD_TEXTS]
    what = f"{number} texts that arrive character by character, encoded by {name}"
    yield Check(what, count_differences(streamed, encoded), 0, "the ids of the whole text")
    what = f"pieces of {PIECES:,} that are read before {name} returns an id"
    yield Check(what, pieces_before_an_id(tokenizer), LOOK_AHEAD, "few: ids come as the text arrives")
    vocab, merges, special = tokenizer.vocab, tokenizer.merges, tokenizer.special_tokens
    expected = [naive_bpe.encode(text, vocab, merges, special) for text in HARD_TEXTS]
    what = f"{number} texts, encoded by {name}"
    yield Check(what, count_differences(encoded, expected), 0, "the definition in plain Python")
    alone = [tokenizer.decode([id]) for id in vocab]
    replaced = [token.decode(errors="replace") for token in vocab.values()]
    what = f"{len(vocab):,} tokens, each decoded alone by {name}"
    yield Check(what, count_differences(alone, replaced), 0, 'bytes.decode(errors="replace")')


def tiktoken_check(name: str, tokenizer: Tokenizer) -> Check:
    """Compare the ids of the hard texts with tiktoken's, which gets the same vocabulary."""
    import tiktoken

    special = tokenizer.special_ids
    ranks = {token: id for id, token in tokenizer.vocab.items() if id not in special.values()}
    other = tiktoken.Encoding("other", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)
    texts = [text for text in HARD_TEXTS if not _may_be_split_otherwise(text, list(special))]
    expected = [other.encode(text, allowed_special="all") for text in texts]
    difference = count_differences([tokenizer.encode(text) for text in texts], expected)
    return Check(f"{len(texts)} texts, encoded by {name}", difference, 0, "tiktoken")


def _may_be_split_otherwise(text: str, special: list[str]) -> bool:
    """Return whether several special tokens match at one place. There tiktoken need not take the longest."""
    return any(
        sum(text.startswith(token, match.start()) for token in special) > 1
        for match in re.finditer("|".join(map(re.escape, special)), text)
    )


def _answer(results: Results) -> Iterable[Block]:
    yield Text(
        f"{len(HARD_TEXTS)} texts on which tokenizers go wrong: empty, characters of several bytes, white space of all "
        "kinds, special tokens next to and within one another. Each check counts what differs. The small tokenizer has "
        "learned from these texts. Its special tokens are `<|endoftext|>`, the same twice in a row, and `<|pad|>`."
    )
    for name, tokenizer in tokenizers(results).items():
        if tokenizer is None:
            yield Missing(name)
            continue
        yield from checks(name, tokenizer)
        if find_spec("tiktoken"):
            yield tiktoken_check(name, tokenizer)
    if not find_spec("tiktoken"):
        yield Text("tiktoken is not installed here, so the ids are not compared with its ids.")


QUESTION = Question(
    row=6,
    name="tokenizer",
    points=15,
    kind="check",
    asked="Write a tokenizer that encodes text with given merges and special tokens, all at once or as it arrives, and "
    "that decodes any ids.",
    answer=_answer,
)
