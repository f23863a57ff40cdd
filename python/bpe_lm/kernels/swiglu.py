"""silu(W1 x) * W3 x on a CPU, in a run in bfloat16: all of a SwiGLU but its last product.

The kernel between the products, src/kernels/swiglu.rs, passes once over both. Backward it writes both gradients side by
side, so that one product gives the gradient of x, summed in float32, and one the gradients of both weights. Forward
there are two products, because one of twice as many columns takes longer (benches/record/6-gpu-and-intel.md).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bpe_lm import _core
from bpe_lm.kernels.cpu import as_array, as_output, is_recording, supports_layers
from bpe_lm.kernels.linear import mixed_gradients
from bpe_lm.kernels.operator import operator, shapes_of


def supports_swiglu(x: Tensor, w1: Tensor, w3: Tensor) -> bool:
    """Return whether the kernel computes the middle of this SwiGLU here, in place of the formula."""
    return w1.dtype == w3.dtype == torch.float32 and w1.shape == w3.shape and supports_layers(x, len(w1))


def fused_swiglu(x: Tensor, w1: Tensor, w3: Tensor) -> Tensor:
    """Return silu(W1 x) * W3 x in bfloat16. Shapes: (..., d) and (d_ff, d) twice -> (..., d_ff)."""
    rows = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
    narrow = torch.cat([weight.detach().to(torch.bfloat16) for weight in (w1, w3)])
    function = _forward if is_recording() else _run
    outputs, _ = function(rows, w1, w3, narrow)
    return outputs.view(*x.shape[:-1], len(w1))


def _empty(x: Tensor, w1: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(len(x), len(w1)), x.new_empty(2 * len(x), len(w1))


def _run(x: Tensor, w1: Tensor, w3: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    """Return silu(a) * b, and the rows of a = W1 x before those of b = W3 x. `narrow` has W1 and W3 in bfloat16."""
    outputs, halves = _empty(x, w1)
    for half, weight in zip(halves.chunk(2), narrow.chunk(2), strict=True):
        torch.mm(x, weight.T, out=half)
    _core.swiglu_forward(as_array(halves), torch.get_num_threads(), as_output(outputs))
    return outputs, halves


@operator("swiglu")
def _forward(x: Tensor, w1: Tensor, w3: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    return _run(x, w1, w3, narrow)


@shapes_of(_forward)
def _(x: Tensor, w1: Tensor, w3: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    return _empty(x, w1)


@operator("swiglu_gradients")
def _backward(gradient: Tensor, halves: Tensor, x: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x, and of W1 and W3 one below the other."""
    both = halves_gradient(gradient, halves)
    return mixed_gradients(both, x, narrow)


def halves_gradient(gradient: Tensor, halves: Tensor) -> Tensor:
    """Return the gradients of a and b side by side. Shapes: (rows, d_ff), (2 rows, d_ff) -> (rows, 2 d_ff)."""
    both = halves.new_empty(len(gradient), 2 * gradient.shape[1])
    _core.swiglu_backward(as_array(gradient), as_array(halves), torch.get_num_threads(), as_output(both))
    return both


@shapes_of(_backward)
def _(gradient: Tensor, halves: Tensor, x: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(narrow, dtype=torch.float32)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1], inputs[0], inputs[3])
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
    if gradient is None:
        return None, None, None, None
    x_gradient, weights_gradient = _backward(gradient, *ctx.saved_tensors)
    return x_gradient, *weights_gradient.chunk(2), None


torch.library.register_autograd(_forward, _gradients, setup_context=_save)
