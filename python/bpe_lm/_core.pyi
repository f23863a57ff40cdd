from collections.abc import Callable, Iterator, Sequence
from os import PathLike

__all__ = [
    "DEBUG_BUILD",
    "FILE_NAMES",
    "__version__",
    "encode_naive",
    "load_gpt2",
    "load_tiktoken",
    "load_tokenizer_json",
    "load_training",
    "pretokenize",
    "save_tokenizer",
    "train",
    "write_sample",
]

DEBUG_BUILD: bool
FILE_NAMES: list[str]
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
    input_format: str,
    json_field: str,
    bad_lines: str,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]], str]: ...
def save_tokenizer(
    folder: str | PathLike[str],
    vocab: dict[int, bytes],
    merges: Sequence[tuple[bytes, bytes]],
    special_tokens: Sequence[str],
    pattern: str,
    training: str | None,
    replace: bool,
) -> None: ...
def load_gpt2(vocab_path: str | PathLike[str], merges_path: str | PathLike[str]) -> _Parts: ...
def load_tokenizer_json(path: str | PathLike[str]) -> _Parts: ...
def load_tiktoken(
    path: str | PathLike[str], pattern: str | None, special_tokens: Sequence[tuple[str, int]] | None
) -> _Parts: ...
def load_training(path: str | PathLike[str]) -> str: ...
def encode_naive(
    text: bytes,
    vocab: dict[int, bytes],
    merges: Sequence[tuple[bytes, bytes]],
    special_tokens: Sequence[str],
    pattern: str,
) -> list[int]: ...
def pretokenize(text: bytes, pattern: str) -> list[tuple[int, int]]: ...
def write_sample(path: str | PathLike[str], num_bytes: int, seed: int, validation: bool) -> int: ...
