from collections.abc import Callable, Iterator, Sequence
from os import PathLike

from bpe_lm.tokenizer import Summary

__all__ = [
    "DEBUG_BUILD",
    "__version__",
    "encode_naive",
    "load_gpt2",
    "load_tokenizer_json",
    "pretokenize",
    "save_tokenizer",
    "train",
    "write_sample",
]

DEBUG_BUILD: bool
__version__: str

_Parts = tuple[dict[int, bytes], list[tuple[bytes, bytes]], list[str], str]

def train(
    source: Sequence[str | PathLike[str]] | Iterator[str | bytes],
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str,
    threads: int | None,
    progress: Callable[[str, int, int | None], object] | None,
    pattern: str,
    min_frequency: int,
    max_token_length: int | None,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]], Summary]: ...
def save_tokenizer(
    folder: str | PathLike[str],
    vocab: dict[int, bytes],
    merges: Sequence[tuple[bytes, bytes]],
    special_tokens: Sequence[str],
    pattern: str,
    replace: bool,
) -> None: ...
def load_gpt2(vocab_path: str | PathLike[str], merges_path: str | PathLike[str]) -> _Parts: ...
def load_tokenizer_json(path: str | PathLike[str]) -> _Parts: ...
def encode_naive(
    text: bytes,
    vocab: dict[int, bytes],
    merges: Sequence[tuple[bytes, bytes]],
    special_tokens: Sequence[str],
    pattern: str,
) -> list[int]: ...
def pretokenize(text: bytes, pattern: str) -> list[tuple[int, int]]: ...
def write_sample(path: str | PathLike[str], num_bytes: int, seed: int, validation: bool) -> int: ...
