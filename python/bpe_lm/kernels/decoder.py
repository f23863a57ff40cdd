"""The logits of the next tokens of a few texts on a CPU: a model's whole forward pass in one call of src/decoder.

torch's operations take 2 to 10 microseconds each for a token, and a layer needs thirty. The kernel reads each matrix
once for all texts, by all threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bpe_lm import _core
from bpe_lm.kernels.cpu import as_array, as_output

MOST_TEXTS = 16
"""The number of texts up to which the kernel is used. Of more, a product by torch is faster."""

_IS_AVAILABLE = _core.decoder_is_available()


@dataclass(frozen=True)
class Block:
    """The weights of a block as arrays. The attributes are those of src/decoder/check.rs."""

    norm1: Any
    qkv: list[Any]
    output: Any
    norm2: Any
    up: list[Any]
    down: Any


@dataclass(frozen=True)
class Model:
    """The weights of a model as arrays, and what else its formula depends on."""

    blocks: list[Block]
    is_post_norm: bool
    is_relu2: bool
    norm_final: Any
    head: Any
    angles: tuple[Any, Any] | None
    num_heads: int
    context: int
    eps: float


def supports_decoder(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether the kernel runs on this machine, for weights on this device and of this type."""
    return _IS_AVAILABLE and device.type == "cpu" and dtype in (torch.float32, torch.bfloat16)


def array_of(weight: Tensor | None) -> Any:
    """Return a matrix in its number format, or the weights of a norm in float32, as an array."""
    if weight is None:
        return None
    return as_array(weight if weight.ndim > 1 else weight.float())


def next_logits(model: Model, caches: tuple[Any, Any], x: Tensor, positions: Sequence[int]) -> Tensor:
    """Return the logits of each text's next token, and write the last token's keys and values into the caches.

    Args:
        model: The weights.
        caches: Keys as (layer, slot, head, d_k, context) and values as (layer, slot, head, context, d_k), as arrays.
        x: The embeddings of the last tokens: (text, d_model) in float32. They are overwritten.
        positions: The position of each text's last token.
    """
    logits = torch.empty(len(model.head), len(x))
    _core.next_logits(model, caches, as_output(x), list(positions), torch.get_num_threads(), as_output(logits))
    return logits.T
