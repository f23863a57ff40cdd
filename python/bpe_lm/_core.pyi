"""The Rust extension. The other modules of the package check arguments, call it, and convert results."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
from typing_extensions import Buffer

__all__ = [
    "BYTE_ALPHABET",
    "DEBUG_BUILD",
    "FILE_NAMES",
    "CountBatches",
    "CountCollector",
    "EncodeIterator",
    "Sink",
    "StreamDecoder",
    "Tokenizer",
    "__version__",
    "add_count_files",
    "amx_is_available",
    "attention_backward",
    "attention_forward",
    "check_special_tokens",
    "count",
    "cross_entropy",
    "decoder_is_available",
    "instruction_sets",
    "kernel_sources_sha256",
    "kernels_are_available",
    "load_training",
    "next_logits",
    "norm_backward",
    "norm_forward",
    "open_count_file",
    "open_document_index",
    "open_mp_library",
    "open_token_file",
    "panic",
    "pretokenize",
    "product",
    "sum_of_squares",
    "swiglu_backward",
    "swiglu_forward",
    "train",
    "train_from_count_file",
    "verify_token_file",
    "write_sample",
]

DEBUG_BUILD: bool
FILE_NAMES: list[str]
BYTE_ALPHABET: str
"""The 256 characters of GPT-2's alphabet, in the order of the bytes that they stand for."""
__version__: str

_Path = str | PathLike[str]
_Progress = Callable[[str, int, int | None], object]

def train(
    source: Sequence[_Path] | Iterator[str | bytes] | tuple[Any],
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str,
    threads: int | None,
    progress: _Progress | None,
    pattern: str,
    min_frequency: int,
    max_token_length: int | None,
    memory_limit: int | None,
    init: Tokenizer | None,
    input_format: str,
    json_field: str,
    bad_lines: str,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]], str]: ...
def train_from_count_file(
    path: _Path,
    vocab_size: int,
    special_tokens: Sequence[str],
    *,
    tie_break: str,
    threads: int | None,
    progress: _Progress | None,
    pattern: str,
    min_frequency: int,
    max_token_length: int | None,
    memory_limit: int | None,
    init: Tokenizer | None,
) -> tuple[dict[int, bytes], list[tuple[bytes, bytes]], str]: ...

_Counts = tuple[str, list[str], int, int, int, int]
"""Pattern, special tokens, distinct pretokens, pretokens, bytes of text, skipped lines."""

def count(
    source: Sequence[_Path] | Iterator[str | bytes] | tuple[Any],
    out: _Path,
    special_tokens: Sequence[str],
    *,
    pattern: str,
    shard: tuple[int, int] | None,
    threads: int | None,
    memory_limit: int | None,
    force: bool,
    progress: _Progress | None,
    input_format: str,
    json_field: str,
    bad_lines: str,
) -> _Counts: ...
def add_count_files(
    parts: Sequence[tuple[_Path, str]], out: _Path, force: bool, progress: _Progress | None
) -> _Counts: ...
def open_count_file(path: _Path) -> _Counts: ...

@final
class CountBatches:
    def __new__(cls, path: _Path) -> CountBatches: ...
    @property
    def rules(self) -> str: ...
    def __iter__(self) -> CountBatches: ...
    def __next__(self) -> tuple[bytes, bytes, bytes]: ...

@final
class CountCollector:
    def __new__(
        cls, out: _Path, rules: str | None, pattern: str, special_tokens: Sequence[str], replace: bool
    ) -> CountCollector: ...
    def add(self, data: Buffer, borders: Buffer, counts: Buffer) -> None: ...
    def finish(self, num_bytes: int | None, skipped_lines: int, progress: _Progress | None) -> _Counts: ...

@final
class Sink:
    def put_look(self, len: int | None, version: int) -> bool: ...
    def put_bytes(self, bytes: bytes) -> bool: ...
    def put_rows(
        self,
        data: Buffer,
        offsets: Buffer,
        width: int,
        first: int,
        nulls: Sequence[int],
        input_bytes: int,
    ) -> bool: ...
    def end(self) -> None: ...
    def fail(self, error: BaseException) -> None: ...

@final
class Tokenizer:
    def __new__(
        cls,
        vocab: dict[int, bytes],
        merges: Iterable[tuple[bytes, bytes]],
        special_tokens: Sequence[str],
        special_ids: Sequence[int] | None,
        apart: Sequence[int],
        pattern: str,
        ignore_merges: bool,
    ) -> Tokenizer: ...
    @staticmethod
    def load_gpt2(
        vocab_path: _Path, merges_path: _Path, special_tokens: Sequence[str] | None, pattern: str
    ) -> Tokenizer: ...
    @staticmethod
    def load_tokenizer_json(path: _Path, texts_are_nfc: bool) -> tuple[Tokenizer, list[str]]: ...
    @staticmethod
    def load_tiktoken(
        path: _Path, pattern: str | None, special_tokens: Sequence[tuple[str, int]] | None
    ) -> Tokenizer: ...
    def save(self, folder: _Path, training: str | None, replace: bool) -> str | None: ...
    def truncate(self, vocab_size: int) -> Tokenizer: ...
    def truncate_training(self, vocab_size: int, training: str) -> str: ...
    @property
    def vocab(self) -> dict[int, bytes]: ...
    @property
    def merges(self) -> list[tuple[bytes, bytes]]: ...
    @property
    def special_tokens(self) -> list[tuple[str, int]]: ...
    @property
    def apart(self) -> list[int]: ...
    @property
    def ignores_merges(self) -> bool: ...
    @property
    def splits(self) -> list[str]: ...
    @property
    def has_scanner(self) -> bool: ...
    def tiktoken_ranks(self) -> dict[bytes, int]: ...
    def to_tokenizer_json(self) -> tuple[str, str | None]: ...
    @property
    def pattern(self) -> str: ...
    @property
    def greatest_id(self) -> int: ...
    @property
    def sha256(self) -> str: ...
    def encode(self, text: str | bytes, special: str) -> list[int]: ...
    def encode_to_numpy(
        self, text: str | bytes, special: str, threads: int | None, dtype: str
    ) -> npt.NDArray[np.uint32]: ...
    def encode_iterable(self, iterable: Iterable[str | bytes], special: str) -> EncodeIterator: ...
    def encode_batch(
        self, iterable: Iterable[str | bytes], special: str, threads: int | None, dtype: str
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]: ...
    def encode_with_offsets(
        self, text: str | bytes, special: str
    ) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]: ...
    def encode_file(
        self,
        paths: Sequence[_Path],
        out: _Path,
        arguments: Mapping[str, Any],
        dtype: str | None,
        index: bool,
        shard: tuple[int, int] | None,
        resume: bool,
        force: bool,
        progress: _Progress | None,
    ) -> str: ...
    def count_tokens(
        self, paths: Sequence[_Path], arguments: Mapping[str, Any], progress: _Progress | None
    ) -> tuple[int, int]: ...
    def decode(self, ids: Iterable[int] | npt.NDArray[Any]) -> str: ...
    def decode_bytes(self, ids: Iterable[int] | npt.NDArray[Any]) -> bytes: ...
    def stream_decoder(self) -> StreamDecoder: ...

@final
class EncodeIterator:
    def __iter__(self) -> EncodeIterator: ...
    def __next__(self) -> int: ...

@final
class StreamDecoder:
    def push(self, id: int) -> str: ...
    def finish(self) -> str: ...

_Numbers = npt.NDArray[np.float32] | npt.NDArray[np.uint16]
"""Numbers in float32, or the bits of numbers in bfloat16."""

_Wide = npt.NDArray[np.float32]

def attention_forward(
    qkv: _Numbers,
    angles: tuple[_Wide, _Wide] | None,
    reach: int,
    form: str,
    threads: int,
    outputs: _Numbers,
    log_sums: _Wide,
) -> None: ...
def attention_backward(
    gradient: _Numbers,
    qkv: _Numbers,
    angles: tuple[_Wide, _Wide] | None,
    outputs: _Numbers,
    log_sums: _Wide,
    reach: int,
    form: str,
    threads: int,
    qkv_gradient: _Numbers,
) -> None: ...
def cross_entropy(
    logits: _Numbers,
    targets: npt.NDArray[np.int64],
    cap: float | None,
    threads: int,
    wants_gradient: bool,
    losses: _Wide,
) -> None: ...
def product(
    a: _Numbers, a_is_across: bool, b: _Numbers, b_is_across: bool, threads: int, adds: bool, to: _Numbers
) -> None: ...
def norm_forward(
    x: _Wide,
    branch: npt.NDArray[np.uint16] | None,
    weight: _Wide,
    eps: float,
    threads: int,
    sums: _Wide | None,
    outputs: npt.NDArray[np.uint16],
    scales: _Wide,
) -> None: ...
def norm_backward(
    gradient: npt.NDArray[np.uint16],
    outer: _Wide | None,
    sums: _Wide,
    scales: _Wide,
    weight: _Wide,
    threads: int,
    x_gradient: _Wide,
    branch_gradient: npt.NDArray[np.uint16] | None,
    weight_gradient: _Wide,
) -> None: ...
def sum_of_squares(arrays: list[_Wide], threads: int) -> float: ...
def swiglu_forward(halves: npt.NDArray[np.uint16], threads: int, outputs: npt.NDArray[np.uint16]) -> None: ...
def swiglu_backward(
    gradient: npt.NDArray[np.uint16],
    halves: npt.NDArray[np.uint16],
    threads: int,
    halves_gradient: npt.NDArray[np.uint16],
) -> None: ...
def amx_is_available() -> bool: ...
def next_logits(
    model: Any,
    caches: tuple[_Numbers, _Numbers],
    x: _Wide,
    positions: Sequence[int],
    threads: int,
    logits: _Wide,
) -> None: ...
def decoder_is_available() -> bool: ...
def kernel_sources_sha256() -> str: ...
def kernels_are_available() -> bool: ...
def open_mp_library() -> str | None: ...
def panic(message: str, is_long: bool) -> None: ...
def check_special_tokens(special_tokens: Sequence[str]) -> None: ...
def open_document_index(path: _Path) -> tuple[Path, int, int]: ...
def open_token_file(path: _Path, dtype: str | None, tokenizer: str | None) -> str: ...
def verify_token_file(path: _Path, tokenizer: str | None, progress: _Progress | None) -> str: ...
def instruction_sets() -> list[str]: ...
def load_training(path: _Path) -> str: ...
def pretokenize(text: bytes, pattern: str) -> list[tuple[int, int]]: ...
def write_sample(path: _Path, num_bytes: int, seed: int, validation: bool) -> int: ...
