"""x W^T: this matrix product takes most of a step.

Why not `x @ W.T` alone? In float32 torch calls MKL, which does not use AVX-512 on AMD processors. On 2 cores of a Zen 5
it reaches 220 GFLOP/s, and oneDNN, which torch also contains, 500. On 2 cores of an Intel Xeon with AMX, MKL is as fast
in two of the three products of a step (310 to 330 GFLOP/s), and faster in the third, the gradient of a weight: 310
against 205. So machines with AMX get torch's product. In bfloat16 torch calls oneDNN itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from bpe_lm.kernels.amx import multiply
from bpe_lm.kernels.cpu import is_recording
from bpe_lm.kernels.forms import form_of
from bpe_lm.kernels.one_dnn import HAS_ONE_DNN, one_dnn
from bpe_lm.kernels.operator import operator, shapes_of

_MIN_MULTIPLICATIONS = 1 << 24
"""The number of multiplications from which oneDNN is faster, although its call takes longer."""

Library = Literal["onednn", "torch"]
"""What multiplies matrices of float32 on a CPU: oneDNN, or whatever `x @ W.T` calls in torch."""


def faster_float32_library(usual: str, size: int = 1024) -> str:
    """Measure the three products of a training step, in some 0.1 s. Returns the faster library.

    The `usual` library stays unless the other one takes less than 95 % of its time. Without oneDNN it is "torch".
    """
    if not HAS_ONE_DNN:
        return "torch"
    x = torch.rand(size, size)
    functions: dict[Library, Callable[[Tensor, Tensor], Tensor]] = {"onednn": one_dnn, "torch": _torch_linear}
    seconds: dict[str, list[float]] = {library: [] for library in functions}
    with torch.no_grad():
        for _ in range(4):
            for library, function in functions.items():
                start = time.perf_counter()
                for a, b in ((x, x), (x, x.T), (x.T, x.T)):
                    function(a, b)
                seconds[library].append(time.perf_counter() - start)
    other: Library = "torch" if usual == "onednn" else "onednn"
    # The first round also loads code.
    return other if min(seconds[other][1:]) < 0.95 * min(seconds[usual][1:]) else usual


def _is_mixed(x: Tensor) -> bool:
    """Return whether autocast would compute a product with x in bfloat16, and AMX has a form of its gradient."""
    if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu") or not torch.is_grad_enabled():
        return False
    is_narrow = torch.get_autocast_dtype("cpu") == torch.bfloat16 and x.dtype in (torch.float32, torch.bfloat16)
    return is_narrow and form_of("products", "cpu") == "amx"


def _torch_linear(x: Tensor, weight: Tensor) -> Tensor:
    return x @ weight.T


def linear(x: Float[Tensor, "... d_in"], weight: Float[Tensor, "d_out d_in"]) -> Float[Tensor, "... d_out"]:
    """Return x W^T. Shapes: (..., d_in) and (d_out, d_in) -> (..., d_out)."""
    is_one_row = x.device.type == "cpu" and x.numel() == x.shape[-1] and not torch.is_grad_enabled()
    return _one_row(x, weight) if is_one_row else linear_of_rows(x, weight)


def linear_of_rows(x: Float[Tensor, "... d_in"], weight: Float[Tensor, "d_out d_in"]) -> Float[Tensor, "... d_out"]:
    """Return x W^T for an x of many rows. Shapes as in `linear`."""
    if _is_mixed(x) and weight.dtype == torch.float32 and x.numel() and len(weight):
        narrow = weight.detach().to(torch.bfloat16)
        y: Tensor = _mixed_linear(x.reshape(-1, x.shape[-1]).to(torch.bfloat16), weight, narrow)
        return y.view(*x.shape[:-1], len(weight))
    is_wide = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    if (
        is_wide
        and x.numel() * len(weight) >= _MIN_MULTIPLICATIONS
        and form_of("linear", "cpu") == "onednn"
        and not torch.is_autocast_enabled("cpu")
    ):
        function = _linear if is_recording() else one_dnn
        return function(x.reshape(-1, x.shape[-1]), weight).view(*x.shape[:-1], len(weight))
    return x @ weight.T


def _one_row(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W^T for a single row, computed by all threads.

    torch multiplies one row with one thread, at a quarter of the speed. The row is passed as a transposed view, because
    torch 2.15 multiplies a column with stride 1 in a loop that is eleven times as slow.
    """
    threads = torch.get_num_threads()
    parts = weight.view(threads if len(weight) % threads == 0 else 1, -1, x.shape[-1])
    return torch.bmm(parts, x.reshape(1, 1, -1).expand(len(parts), -1, -1).mT).view(*x.shape[:-1], len(weight))


@operator("linear")
def _linear(x: Tensor, weight: Tensor) -> Tensor:
    return one_dnn(x, weight)


@shapes_of(_linear)
def _(x: Tensor, weight: Tensor) -> Tensor:
    return x.new_empty(len(x), len(weight))


def _save(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
    x, weight = ctx.saved_tensors
    needs_x, needs_weight = ctx.needs_input_grad
    return (
        _linear(gradient, weight.T) if needs_x else None,
        _linear(gradient.T, x.T) if needs_weight else None,
    )


torch.library.register_autograd(_linear, _gradients, setup_context=_save)


@operator("mixed_linear")
def _mixed_linear(x: Tensor, weight: Tensor, narrow: Tensor) -> Tensor:
    """Return x W^T in bfloat16. Shapes: (rows, d_in) and (d_out, d_in) twice -> (rows, d_out).

    W is float32, and `narrow` is W in bfloat16, which both passes read. A compiler rounds it together with others.
    """
    return x @ narrow.T


@shapes_of(_mixed_linear)
def _(x: Tensor, weight: Tensor, narrow: Tensor) -> Tensor:
    return x.new_empty(len(x), len(weight))


def mixed_gradients(gradient: Tensor, x: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of x W^T for a W in bfloat16: of x, in bfloat16, and of W, in float32.

    AMX sums the gradient of W in float32. torch rounds it to bfloat16 before it is converted.
    """
    if form_of("products", "cpu") == "amx":
        weight_gradient = torch.empty_like(narrow, dtype=torch.float32)
        multiply(gradient.T, x.T, weight_gradient)
    else:
        weight_gradient = (gradient.T @ x).float()
    return gradient @ narrow, weight_gradient


@operator("mixed_linear_gradients")
def _mixed_gradients(gradient: Tensor, x: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    return mixed_gradients(gradient, x, narrow)


@shapes_of(_mixed_gradients)
def _(gradient: Tensor, x: Tensor, narrow: Tensor) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), torch.empty_like(narrow, dtype=torch.float32)


def _save_narrow(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(inputs[0], inputs[2])


def _both_gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    return *_mixed_gradients(gradient, *ctx.saved_tensors), None


torch.library.register_autograd(_mixed_linear, _both_gradients, setup_context=_save_narrow)
