"""Tokens for people and files: the learned tokens of a tokenizer, as text and in GPT-2's alphabet."""

import codecs
import unicodedata

from bpe_lm import _core
from bpe_lm.tokenizer.tokenizer import Tokenizer

SHOWN_CHARACTERS = 60
"""The columns of a terminal that `shortened` gives a token."""

_BYTES = {character: byte for byte, character in enumerate(_core.BYTE_ALPHABET)}


def to_alphabet(token: bytes) -> str:
    """Write bytes in GPT-2's alphabet: one printable character for each byte, as in vocab.json."""
    return "".join(_core.BYTE_ALPHABET[byte] for byte in token)


def from_alphabet(text: str) -> bytes:
    """Return the bytes that `to_alphabet` wrote."""
    return bytes(_BYTES[character] for character in text)


def learned_tokens(tokenizer: Tokenizer) -> list[bytes]:
    """Return the tokens that are not special, in the order of their ids."""
    special = set(tokenizer.special_ids.values())
    return [token for id, token in tokenizer.vocab.items() if id not in special]


def longest_learned(tokenizer: Tokenizer, number: int) -> list[bytes]:
    """Return the longest tokens that are not special. Tokens of equal length are in the order of their bytes."""
    return sorted(learned_tokens(tokenizer), key=lambda token: (-len(token), token))[:number]


def quoted(token: bytes) -> str:
    """Write a token as a Python literal: a str if it is UTF-8, else bytes."""
    return repr(as_text(token))


def as_text(token: bytes, *, is_cut: bool = False) -> str | bytes:
    """Decode a token if it is UTF-8, else return its bytes.

    With `is_cut`, the token is the beginning of a longer one, and half a character at its end is left out.
    """
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(token, final=not is_cut)
    except UnicodeDecodeError:
        return token


def shortened(token: bytes, characters: int = SHOWN_CHARACTERS, length: int | None = None) -> str:
    """Write a token as `quoted` does, cut to `characters` columns of a terminal. Three dots stand for the rest.

    `length` is the length of the whole token in bytes, where `token` is only its beginning.
    """
    is_cut = len(token) < (length or 0)
    text = start = as_text(token, is_cut=is_cut)[:characters]
    while terminal_width(repr(start)) > characters:
        start = start[:-1]
    is_whole = len(start) == len(text) == len(as_text(token, is_cut=is_cut))
    return repr(start) + ("" if is_whole and not is_cut else "...")


def terminal_width(text: str) -> int:
    """Return the number of columns of a terminal that a text takes."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)
