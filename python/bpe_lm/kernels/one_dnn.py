"""oneDNN's product of float32 matrices, which torch contains and has no public name for."""

from __future__ import annotations

import torch
from torch import Tensor

HAS_ONE_DNN: bool = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]
"""Whether this torch can be asked for the product."""


def one_dnn(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W^T by oneDNN. Shapes: (rows, d_in) and (d_out, d_in) -> (rows, d_out).

    If x is not contiguous, the smaller matrix goes first, because oneDNN copies its first argument.
    """
    if not x.is_contiguous() and len(weight) < len(x):
        return torch.ops.mkldnn._linear_pointwise(weight, x, None, "none", [], "").T.contiguous()
    return torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
