"""Causal attention: kernels for self-attention with its rotation, and torch's function for all other cases.

Both kernels read queries, keys and values from one product, rotate them, and write the heads in the order of the next
product. That on a CPU is src/kernels/attention.rs: both passes of 16 x 16 heads of 256 x 32 take 10 ms in bfloat16.
torch's function takes 62 ms, and the rotation before it 5 ms (2 cores, AMD Zen 5, torch 2.15). That on a GPU is
triton_attention.py.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bpe_lm import _core
from bpe_lm.kernels.cpu import as_array, as_output, is_recording, supports
from bpe_lm.kernels.forms import form_of
from bpe_lm.kernels.gpu import supports_triton
from bpe_lm.kernels.gpu_attention import attention_by, is_attention_kernel
from bpe_lm.kernels.operator import operator, shapes_of
from bpe_lm.kernels.simulated import kind_of


def fast_causal_attention(q: Tensor, k: Tensor, v: Tensor, reach: int = 0) -> Tensor:
    """Return softmax(Q K^T / sqrt(d_k)) V, where query i of n sees the keys 0 .. i + (keys - n).

    With a `reach` above 0, it sees the last `reach` of these. The kernel in use computes self-attention of several
    tokens that see all keys before them; torch picks one for all other cases.
    Shapes: (..., queries, d_k) and (..., keys, d_k) twice -> (..., queries, d_k).
    """
    queries, keys = q.shape[-2], k.shape[-2]
    if 0 < reach < keys:
        first = max(keys - queries - reach + 1, 0)
        k, v = k[..., first:, :], v[..., first:, :]
        mask = None if queries == 1 else causal_mask(queries, keys - first, q.device, reach)
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    form = form_of("attention", q.device.type)
    if queries == keys > 1 and is_attention_kernel(form):
        return attention_by(form, q, k, v, is_causal=True)
    if queries in (1, keys):
        return functional.scaled_dot_product_attention(q, k, v, is_causal=queries > 1)
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=causal_mask(queries, keys, q.device))


def causal_mask(queries: int, keys: int, device: torch.device, reach: int = 0) -> Tensor:
    """Return the Bool matrix (queries, keys) that is True where a query sees a key: the last `reach`, or with 0 all."""
    mask = torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)
    return mask.triu(keys - queries - reach + 1) if reach else mask


def supports_fused_attention(qkv: Tensor) -> bool:
    """Return whether a kernel for these queries, keys and values is in use, and runs on their device."""
    if kind_of(qkv) == "cuda":
        return form_of("attention", "cuda") == "triton" and supports_triton(qkv)
    return supports(qkv) and qkv.numel() > 0 and form_of("attention", "cpu") in ("amx", "avx512")


def fused_attention(qkv: Tensor, cos: Tensor | None, sin: Tensor | None, reach: int = 0) -> Tensor:
    """Return softmax(Q K^T / sqrt(d_k)) V, where query i sees the keys 0 .. i. cos and sin rotate Q and K first.

    With a `reach` above 0, a query sees the last `reach` of these keys, and no block of others is computed.
    Shapes: (..., seq, 3, head, d_k), and (seq, d_k / 2) twice -> (..., seq, head, d_k).
    """
    function = _forward if is_recording() else _run
    hides_keys = reach < qkv.shape[-4]
    outputs, _ = function(qkv.reshape(-1, *qkv.shape[-4:]), cos, sin, reach if hides_keys else 0)
    return outputs.view(*qkv.shape[:-3], *qkv.shape[-2:])


def _run(qkv: Tensor, cos: Tensor | None, sin: Tensor | None, reach: int) -> tuple[Tensor, Tensor]:
    """Return the outputs, and the base-2 logarithm of each query's sum of exponentials: (batch, head, seq)."""
    outputs, log_sums = _empty(qkv)
    if _is_for_triton(qkv):
        # Triton is on Linux only, and its import takes a moment.
        from bpe_lm.kernels.triton_attention import attend_into

        attend_into(qkv.contiguous(), *_tables(cos, sin), outputs, log_sums, reach)
        return outputs, log_sums
    _core.attention_forward(
        as_array(qkv),
        _angles(cos, sin),
        reach,
        form_of("attention", "cpu"),
        torch.get_num_threads(),
        as_output(outputs),
        as_output(log_sums),
    )
    return outputs, log_sums


@operator("causal_attention")
def _forward(qkv: Tensor, cos: Tensor | None, sin: Tensor | None, reach: int) -> tuple[Tensor, Tensor]:
    return _run(qkv, cos, sin, reach)


def _empty(qkv: Tensor) -> tuple[Tensor, Tensor]:
    batch, length, _, heads, d = qkv.shape
    return qkv.new_empty(batch, length, heads, d), qkv.new_empty(batch, heads, length, dtype=torch.float32)


def _is_for_triton(qkv: Tensor) -> bool:
    """Return whether the kernel is that for a GPU. Triton's interpreter runs it on a CPU too, if it is asked for."""
    return qkv.device.type == "cuda" or form_of("attention", "cpu") == "triton"


def _tables(cos: Tensor | None, sin: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if cos is None or sin is None else (cos.float().contiguous(), sin.float().contiguous())


def _angles(cos: Tensor | None, sin: Tensor | None) -> Any:
    return None if cos is None or sin is None else (as_array(cos.float()), as_array(sin.float()))


@shapes_of(_forward)
def _(qkv: Tensor, cos: Tensor | None, sin: Tensor | None, reach: int) -> tuple[Tensor, Tensor]:
    return _empty(qkv)


@operator("causal_attention_backward")
def _backward(
    gradient: Tensor,
    qkv: Tensor,
    cos: Tensor | None,
    sin: Tensor | None,
    outputs: Tensor,
    log_sums: Tensor,
    reach: int,
) -> Tensor:
    """Return the gradient of queries, keys and values. The probabilities are computed again, not stored."""
    qkv_gradient = qkv.new_empty(qkv.shape)
    if _is_for_triton(qkv):
        from bpe_lm.kernels.triton_attention import attention_gradients_into

        tables = _tables(cos, sin)
        gradient, qkv = gradient.contiguous(), qkv.contiguous()
        attention_gradients_into(gradient, qkv, *tables, outputs, log_sums, qkv_gradient, reach)
        return qkv_gradient
    arrays = as_array(gradient), as_array(qkv), _angles(cos, sin), as_array(outputs), as_array(log_sums)
    _core.attention_backward(
        *arrays, reach, form_of("attention", "cpu"), torch.get_num_threads(), as_output(qkv_gradient)
    )
    return qkv_gradient


@shapes_of(_backward)
def _(
    gradient: Tensor,
    qkv: Tensor,
    cos: Tensor | None,
    sin: Tensor | None,
    outputs: Tensor,
    log_sums: Tensor,
    reach: int,
) -> Tensor:
    return qkv.new_empty(qkv.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor | None, Tensor | None, int], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.reach = inputs
    ctx.save_for_backward(*tensors, *output)
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, gradient: Tensor | None, _: None) -> tuple[Tensor | None, None, None, None]:
    to_qkv = None if gradient is None else _backward(gradient, *ctx.saved_tensors, ctx.reach)
    return to_qkv, None, None, None


torch.library.register_autograd(_forward, _gradients, setup_context=_save)
