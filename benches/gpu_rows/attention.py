"""The time of both passes of attention by each kernel, at the shape of a model."""

from __future__ import annotations

import torch
from bpe_lm.kernels.attention_times import measure_attention

from gpu_rows.variants import Shape


def attention_times(shape: Shape, device: str) -> dict[str, float | str]:
    """Return seconds by the name of each kernel, or why it does not work; the fastest is in use then."""
    model = shape.model
    sizes = shape.rows, model.num_heads, model.context_length, model.d_model // model.num_heads
    found = measure_attention(*sizes, torch.bfloat16, torch.device(device))
    return {**found.seconds, **found.refused}
