"""The course's definition of BPE in plain Python: the oracle of the checks of `train_bpe` and `Tokenizer`.

It shares no code with the Rust crate. Pretokens follow GPT-2's pattern by the categories of `unicodedata`. Each round
of training counts all pairs anew, and encoding applies the earliest merge until none applies.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

Pair = tuple[bytes, bytes]
Word = tuple[bytes, ...]

_CONTRACTION = re.compile("'(?:[sdmt]|ll|ve|re)")
_SPACES = set("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | set(map(chr, range(0x2000, 0x200B)))


def pretokens(text: str) -> list[str]:
    r"""Split a text by GPT-2's pattern.

    The pattern is `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.
    """
    found = []
    start = 0
    while start < len(text):
        end = _end_of_pretoken(text, start)
        found.append(text[start:end])
        start = end
    return found


def _end_of_pretoken(text: str, start: int) -> int:
    if contraction := _CONTRACTION.match(text, start):
        return contraction.end()
    first = start + 1 if text[start] == " " and start + 1 < len(text) and _kind(text[start + 1]) != "space" else start
    kind = _kind(text[first])
    end = first
    while end < len(text) and _kind(text[end]) == kind:
        end += 1
    is_before_word = kind == "space" and end < len(text)
    return end - 1 if is_before_word and end - start > 1 else end


def _kind(character: str) -> str:
    if character in _SPACES:
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(character)[0], "other")


def split_special(text: str, special_tokens: Sequence[str]) -> list[tuple[str, bool]]:
    """Return the stretches of a text, and whether each is a special token. The leftmost wins, then the longest."""
    if not special_tokens:
        return [(text, False)]
    choices = "|".join(re.escape(token) for token in sorted(special_tokens, key=len, reverse=True))
    return [(part, bool(number % 2)) for number, part in enumerate(re.split(f"({choices})", text)) if part]


def learn_merges(text: str, number: int, special_tokens: Sequence[str]) -> list[Pair]:
    """Merge the most frequent pair `number` times. Of pairs with the same count, the greater pair of bytes wins."""
    words: Counter[Word] = Counter()
    for stretch, is_special in split_special(text, special_tokens):
        if not is_special:
            words.update(_as_word(pretoken) for pretoken in pretokens(stretch))
    merges: list[Pair] = []
    while len(merges) < number:
        counts: Counter[Pair] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                counts[pair] += count
        if not counts:
            break
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        words = _apply_to_all(words, merges[-1])
    return merges


def encode(text: str, vocab: dict[int, bytes], merges: Sequence[Pair], special_tokens: Sequence[str]) -> list[int]:
    """Return the ids of a text: in each pretoken, apply the earliest merge until none applies."""
    ids = {token: id for id, token in vocab.items()}
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    found: list[int] = []
    for stretch, is_special in split_special(text, special_tokens):
        for pretoken in [stretch] if is_special else pretokens(stretch):
            word = (stretch.encode(),) if is_special else _as_word(pretoken)
            while known := [pair for pair in pairwise(word) if pair in ranks]:
                word = _merged(word, min(known, key=ranks.__getitem__))
            found += [ids[token] for token in word]
    return found


def _as_word(pretoken: str) -> Word:
    return tuple(bytes([byte]) for byte in pretoken.encode())


def _apply_to_all(words: Counter[Word], pair: Pair) -> Counter[Word]:
    found: Counter[Word] = Counter()
    for word, count in words.items():
        found[_merged(word, pair)] += count
    return found


def _merged(word: Word, pair: Pair) -> Word:
    if pair not in pairwise(word):
        return word
    found: list[bytes] = []
    at = 0
    while at < len(word):
        width = 2 if word[at : at + 2] == pair else 1
        found.append(b"".join(word[at : at + width]))
        at += width
    return tuple(found)
