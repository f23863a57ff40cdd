"""The memory that a process keeps, and that it does not get.

A training step frees and takes the same gigabyte again. glibc gives large blocks back to the system at once, which
hands them out again as pages of zeros, one fault for each 4 KiB: of a compiled step of 1.03 s in bfloat16 those were
0.18 s (TinyStories' shape, 2 cores, AMD Zen 5).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bpe_lm.errors import BpeLmError, OutOfMemory

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_TEXTS = (
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)


def keep_freed_memory() -> bool:
    """From now on what this process frees stays with it, to be used again. False where the C library is not glibc."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1) and mallopt(_TOP_PAD, 64 << 20))


@contextmanager
def enough_memory(remedy: str) -> Iterator[None]:
    """Turn what torch and numpy raise when memory runs out into one error that says what to do.

    Raises:
        OutOfMemory: It ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, BpeLmError) or not is_out_of_memory(error):
            raise
        reason = next(iter(str(error).strip().splitlines()), "no memory")
        raise OutOfMemory(f"out of memory ({reason}); {remedy}") from error


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out: torch has a type for that, or only a text. The compiler wraps both."""
    if error is None:
        return False
    says_so = isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or says_so or is_out_of_memory(error.__cause__)
