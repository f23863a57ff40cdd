"""The definition of BPE in Python, too simple to be wrong: count every pair anew, merge, repeat."""

from collections import Counter
from itertools import pairwise

from bpe_lm import _core


def pretokens(text: bytes, pattern: str = "gpt2") -> list[bytes]:
    return [text[start:end] for start, end in _core.pretokenize(text, pattern)]


def split(text: bytes, special_tokens: list[str]) -> list[tuple[bytes, bool]]:
    """The stretches of a text, and whether each is a special token: leftmost, then longest."""
    tokens = sorted((token.encode() for token in special_tokens), key=len, reverse=True)
    stretches, start, at = [], 0, 0
    while at < len(text):
        token = next((token for token in tokens if text.startswith(token, at)), None)
        if token is None:
            at += 1
            continue
        stretches += [(text[start:at], False), (token, True)]
        start = at = at + len(token)
    return [*stretches, (text[start:], False)]


def merge(word: tuple[bytes, ...], pair: tuple[bytes, bytes]) -> tuple[bytes, ...]:
    out: list[bytes] = []
    i = 0
    while i < len(word):
        width = 2 if word[i : i + 2] == pair else 1
        out.append(b"".join(word[i : i + width]))
        i += width
    return tuple(out)


def train(texts: list[bytes], num_merges: int, special_tokens: list[str]) -> list[tuple[bytes, bytes]]:
    words: Counter[tuple[bytes, ...]] = Counter()
    for text in texts:
        for stretch, is_special in split(text, special_tokens):
            if not is_special:
                words.update(tuple(bytes([b]) for b in pretoken) for pretoken in pretokens(stretch))
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < num_merges:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        merged: Counter[tuple[bytes, ...]] = Counter()
        for word, count in words.items():
            merged[merge(word, best)] += count
        words = merged
    return merges


def encode(
    text: bytes,
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_tokens: list[str],
    pattern: str = "gpt2",
) -> list[int]:
    ids = {token: id for id, token in reversed(vocab.items())}
    special_ids = {token: id for id, token in vocab.items()}
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    out: list[int] = []
    for stretch, is_special in split(text, special_tokens):
        if is_special:
            out.append(special_ids[stretch])
            continue
        for pretoken in pretokens(stretch, pattern):
            word = tuple(bytes([b]) for b in pretoken)
            while candidates := [pair for pair in pairwise(word) if pair in ranks]:
                word = merge(word, min(candidates, key=ranks.__getitem__))
            out += [ids[token] for token in word]
    return out
