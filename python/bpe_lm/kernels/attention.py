"""Causal self-attention on a CPU: an operator of torch around the kernel src/kernels/attention.rs.

One operator takes the product that makes queries, keys and values as it is, and gives the heads as the next product
takes them: 10 ms for both passes of 16 x 16 heads of 256 x 32 in bfloat16, where `scaled_dot_product_attention` needs
62, and the rotation around it 5 (2 cores, AMD Zen 5, torch 2.15).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bpe_lm import _core
from bpe_lm.kernels import cpu as kernels
from bpe_lm.kernels.cpu import as_array, as_output


def can_attend(qkv: Tensor) -> bool:
    """Whether the kernel is for such queries, keys and values, on this machine."""
    return kernels.take(qkv) and qkv.numel() > 0


def attend(qkv: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
    """softmax(Q K^T / sqrt(d_k)) V, where query i sees the keys 0 .. i, and with cos and sin Q and K are rotated.

    Shapes: (..., seq, 3, head, d_k), and (seq, d_k / 2) twice -> (..., seq, head, d_k).
    """
    function = _forward if kernels.needs_operator() else _run
    outputs, _ = function(qkv.reshape(-1, *qkv.shape[-4:]), cos, sin)
    return outputs.view(*qkv.shape[:-3], *qkv.shape[-2:])


def _run(qkv: Tensor, cos: Tensor | None, sin: Tensor | None) -> tuple[Tensor, Tensor]:
    """The outputs, and the logarithm to base 2 of each query's sum: (batch, head, seq)."""
    outputs, log_sums = _empty(qkv)
    _core.attention_forward(
        as_array(qkv), _angles(cos, sin), torch.get_num_threads(), as_output(outputs), as_output(log_sums)
    )
    return outputs, log_sums


@torch.library.custom_op("bpe_lm::causal_attention", mutates_args=())
def _forward(qkv: Tensor, cos: Tensor | None, sin: Tensor | None) -> tuple[Tensor, Tensor]:
    return _run(qkv, cos, sin)


def _empty(qkv: Tensor) -> tuple[Tensor, Tensor]:
    batch, length, _, heads, d = qkv.shape
    return qkv.new_empty(batch, length, heads, d), qkv.new_empty(batch, heads, length, dtype=torch.float32)


def _angles(cos: Tensor | None, sin: Tensor | None) -> Any:
    return None if cos is None or sin is None else (as_array(cos.float()), as_array(sin.float()))


@_forward.register_fake
def _(qkv: Tensor, cos: Tensor | None, sin: Tensor | None) -> tuple[Tensor, Tensor]:
    return _empty(qkv)


@torch.library.custom_op("bpe_lm::causal_attention_backward", mutates_args=())
def _backward(
    gradient: Tensor, qkv: Tensor, cos: Tensor | None, sin: Tensor | None, outputs: Tensor, log_sums: Tensor
) -> Tensor:
    """That of queries, keys and values. The probabilities are made again."""
    qkv_gradient = qkv.new_empty(qkv.shape)
    arrays = as_array(gradient), as_array(qkv), _angles(cos, sin), as_array(outputs), as_array(log_sums)
    _core.attention_backward(*arrays, torch.get_num_threads(), as_output(qkv_gradient))
    return qkv_gradient


@_backward.register_fake
def _(
    gradient: Tensor, qkv: Tensor, cos: Tensor | None, sin: Tensor | None, outputs: Tensor, log_sums: Tensor
) -> Tensor:
    return qkv.new_empty(qkv.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor | None, Tensor | None], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output)
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, None, None]:
    return None if gradient is None else _backward(gradient, *ctx.saved_tensors), None, None


_forward.register_autograd(_gradients, setup_context=_save)
