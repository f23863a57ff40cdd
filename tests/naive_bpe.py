"""The definition of BPE in Python, too simple to be wrong: count every pair anew, merge, repeat."""

from collections import Counter
from collections.abc import Sequence
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


def merged(pretoken: bytes, ranks: dict[tuple[bytes, bytes], int]) -> tuple[bytes, ...]:
    word = tuple(bytes([b]) for b in pretoken)
    while candidates := [pair for pair in pairwise(word) if pair in ranks]:
        word = merge(word, min(candidates, key=ranks.__getitem__))
    return word


def train(
    texts: list[bytes], num_merges: int, special_tokens: list[str], init: Sequence[tuple[bytes, bytes]] = ()
) -> list[tuple[bytes, bytes]]:
    """The merges, after those of `init`. A pair whose bytes are a token of `init` is never merged."""
    words: Counter[tuple[bytes, ...]] = Counter()
    ranks = {pair: rank for rank, pair in enumerate(init)}
    for text in texts:
        for stretch, is_special in split(text, special_tokens):
            if not is_special:
                words.update(merged(pretoken, ranks) for pretoken in pretokens(stretch))
    merges, known = [*init], {left + right for left, right in init}
    while len(merges) < len(init) + num_merges:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, count in words.items():
            for pair in pairwise(word):
                if b"".join(pair) not in known:
                    pairs[pair] += count
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        new_words: Counter[tuple[bytes, ...]] = Counter()
        for word, count in words.items():
            new_words[merge(word, best)] += count
        words = new_words
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
            out += [ids[token] for token in merged(pretoken, ranks)]
    return out
