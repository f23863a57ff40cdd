"""Write tensors into a safetensors file without a second copy of them in memory.

`safetensors.torch.save` joins all tensors to one string of bytes, and holds Python's lock meanwhile, so a training loop
in another thread would wait. This module writes the same bytes, one tensor after another. The format is 8 bytes with
the length of the header, the header in JSON, and the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_NAMES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""The format's names of number formats, in the order in which safetensors writes them: the widest first."""

_ORDER = {dtype: number for number, dtype in enumerate(_NAMES)}

_AT_ONCE = 16 << 20
"""The number of bytes that are hashed and written at a time."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors of the CPU into a file, and wait until the disk has it.

    Returns:
        The SHA-256 of the bytes that were to be written. Nothing is read back.

    Raises:
        OSError: The file could not be written.
    """
    ordered = sorted(tensors.items(), key=lambda item: (_ORDER[item[1].dtype], item[0]))
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for part in (_header(ordered), *(_bytes_of(tensor) for _, tensor in ordered)):
            for start in range(0, len(part), _AT_ONCE):
                piece = part[start : start + _AT_ONCE]
                digest.update(piece)
                file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _header(tensors: list[tuple[str, Tensor]]) -> memoryview:
    described, end = {}, 0
    for name, tensor in tensors:
        start, end = end, end + tensor.numel() * tensor.element_size()
        described[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(described, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return memoryview(len(text).to_bytes(8, "little") + text)


def _bytes_of(tensor: Tensor) -> memoryview:
    """Return the memory of a tensor. The format is little-endian, as all machines are on which torch runs today."""
    array: Any = tensor.contiguous().reshape(-1).view(torch.uint8).numpy()
    return memoryview(array)
