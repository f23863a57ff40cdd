"""Checks of the kernels in Triton against their formulas in float64.

On a CPU Triton's interpreter runs the kernels, and the checks are called with "cpu"; on a GPU, with "cuda".
"""

from __future__ import annotations

from math import ceil

import torch
from bpe_lm.kernels.attention import fused_attention
from bpe_lm.kernels.choices import Kernels, using
from bpe_lm.kernels.gpu_cross_entropy import gpu_cross_entropy
from bpe_lm.kernels.rotation import split_and_rotate
from bpe_lm.kernels.triton_cross_entropy import losses_of_rows
from tensors import randn
from torch import Tensor
from torch.nn import functional


def width(dtype: torch.dtype, device: str) -> float:
    """The largest relative error of one rounding to a number format. Triton's interpreter cuts bfloat16 off."""
    return 2.0**-24 if dtype == torch.float32 else 2.0**-8 if device == "cuda" else 2.0**-7


OUTER = 3.0


def padded_logits(logits: Tensor) -> Tensor:
    """Logits in a matrix whose rows begin at multiples of 64 numbers, with NaN between them."""
    columns = ceil(logits.shape[1] / 64) * 64
    padded = torch.full((len(logits), columns), float("nan"), dtype=logits.dtype, device=logits.device)
    padded[:, : logits.shape[1]] = logits
    return padded


def check_rows(logits: Tensor, scale: float, cap: float = 0) -> None:
    """The losses and the gradients of rows of logits, and that without a gradient the logits stay."""
    rows, vocab_size = logits.shape
    targets = torch.arange(rows, device=logits.device).mul_(7919).remainder_(vocab_size)
    targets[-1] = vocab_size - 1
    wide = logits.double().requires_grad_()
    capped = cap * torch.tanh(wide / cap) if cap else wide
    expected = functional.cross_entropy(capped, targets, reduction="none")
    (gradient,) = torch.autograd.grad(expected.sum() * scale, wide)

    padded, losses = padded_logits(logits), torch.empty(rows, device=logits.device)
    losses_of_rows(padded, targets, losses, vocab_size=vocab_size, scale=scale, needs_gradient=False, cap=cap)
    assert torch.equal(padded[:, :vocab_size], logits)
    magnitude = expected.detach() + logits.double().abs().amax(1)
    assert ((losses - expected).abs() <= 2e-6 * magnitude + 1e-6).all()

    again = torch.empty_like(losses)
    losses_of_rows(padded, targets, again, vocab_size=vocab_size, scale=scale, needs_gradient=True, cap=cap)
    assert torch.equal(again, losses)
    # A probability has the error of an exponential of a difference of logits, and the gradient at the target that of 1.
    error = (padded[:, :vocab_size] - gradient).abs()
    # A capped logit has the rounding error of a number as large as the cap.
    spread = (logits.double().amax(1, keepdim=True) - logits).clamp(max=100) + 2 * cap
    allowed = (width(logits.dtype, logits.device.type) + (spread + 8) * 2.0**-22) * gradient.abs() + scale * 2.0**-21
    assert (error <= allowed).all(), (error / allowed).max()
    assert not padded[:, vocab_size:].any()


def check_loss(
    device: str, shape: tuple[int, int, int], dtype: torch.dtype, *, compiled: bool = False, scale: float = 0.01
) -> list[Tensor]:
    """The loss and both gradients of (rows, d_model, vocab_size), by autocast. Returns them."""
    rows, d_model, vocab_size = shape
    hidden = randn(1, rows, d_model).to(device).requires_grad_()
    weight = (randn(2, vocab_size, d_model) / d_model**0.5).to(device).requires_grad_()
    targets = torch.arange(rows, device=device).mul_(7919).remainder_(vocab_size)

    def loss_of(hidden: Tensor, weight: Tensor) -> Tensor:
        with torch.autocast(device, torch.bfloat16, enabled=dtype == torch.bfloat16):
            return gpu_cross_entropy(hidden, weight, targets, scale) * OUTER

    function = torch.compile(loss_of, fullgraph=True) if compiled else loss_of
    loss = function(hidden, weight)
    found = [loss.detach(), *torch.autograd.grad(loss, (hidden, weight))]
    with torch.no_grad():
        assert torch.equal(loss_of(hidden, weight), loss)

    # A product's rounding errors grow with the root of the number of its terms, in whatever order they are summed.
    terms = max(4, max(rows, vocab_size) ** 0.5 / 4)
    h, w = (tensor.detach().double().requires_grad_() for tensor in (hidden, weight))
    exact = functional.cross_entropy(h @ w.T, targets, reduction="sum") * scale * OUTER
    for value, expected in zip(found, [exact, *torch.autograd.grad(exact, (h, w))], strict=True):
        assert value.dtype == torch.float32
        assert (value - expected).norm() <= terms * width(dtype, device) * expected.norm() + 1e-6 * scale
        if rows and value.ndim:
            # The last row, which a wrong split would leave out.
            last, other = value[-1], expected[-1]
            assert (last - other).norm() <= 2 * terms * width(dtype, device) * other.norm() + 1e-6 * scale
    return found


def check_rotation(
    device: str, shape: tuple[int, int, int, int], dtype: torch.dtype, *, compiled: bool = False
) -> None:
    """Values and gradients of (batch, seq, head, d_k), also of inputs and gradients with strides."""
    batch, length, heads, d_k = shape
    angles = torch.arange(length * d_k // 2, dtype=torch.float64, device=device).view(length, d_k // 2) / 3
    function = torch.compile(split_and_rotate, fullgraph=True) if compiled else split_and_rotate
    for is_strided in (False, True):
        whole = randn(1, batch, length, 2, 3, heads, d_k).to(device, dtype)
        qkv = (whole[:, :, 0] if is_strided else whole[:, :, 0].contiguous()).requires_grad_()
        outer = [randn(seed, batch, heads, length, d_k).to(device, dtype) for seed in (2, 3, 4)]
        # As attention gives them: the heads of a token are adjacent.
        outer = [part.transpose(1, 2).contiguous().transpose(1, 2) for part in outer]
        if is_strided:
            outer[0] = outer[0].mT.contiguous().mT
            outer[1] = outer[1].contiguous()[:1, :1].expand(batch, heads, length, d_k)
            outer[2] = randn(4, batch, heads + 1, length, d_k).to(device, dtype)[:, 1:]
        found = function(qkv, angles.cos().float(), angles.sin().float())
        gradient = torch.autograd.grad(found, qkv, outer)[0]
        assert gradient.is_contiguous()
        for part in found:
            assert part.transpose(1, 2).is_contiguous()
            assert part.dtype == dtype

        exact = qkv.detach().double().requires_grad_()
        expected = rotated_formula(exact, angles)
        exact_gradient = torch.autograd.grad(expected, exact, [part.double() for part in outer])[0]
        for value, other in zip([*found, gradient], [*expected, exact_gradient], strict=True):
            size = other.detach().abs().amax()
            assert ((value - other).abs() <= 2 * width(dtype, device) * other.abs() + 4e-7 * size).all()
        assert torch.equal(found[2], qkv[:, :, 2].transpose(1, 2))


def rotated_formula(qkv: Tensor, angles: Tensor) -> list[Tensor]:
    """q, k and v, where q and k are complex numbers times e^(i angle)."""
    q, k, v = qkv.transpose(1, 3).unbind(2)
    turn = torch.polar(torch.ones_like(angles), angles)
    turned = [torch.view_as_real(torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * turn) for x in (q, k)]
    return [*(x.flatten(-2) for x in turned), v]


def check_attention(
    device: str,
    shape: tuple[int, int, int, int],
    dtype: torch.dtype,
    *,
    rotates: bool = True,
    compiled: bool = False,
    reach: int = 0,
) -> list[Tensor]:
    """The heads of (batch, seq, head, d_k) and the gradient of their product, twice. Returns both."""
    batch, length, heads, d_k = shape
    qkv = randn(1, batch, length, 3, heads, d_k).to(device, dtype).requires_grad_()
    outer = randn(2, batch, length, heads, d_k).to(device, dtype)
    angles = torch.arange(length * d_k // 2, dtype=torch.float64, device=device).view(length, d_k // 2) / 3
    tables = (angles.cos().float(), angles.sin().float()) if rotates else (None, None)
    function = torch.compile(fused_attention, fullgraph=True) if compiled else fused_attention
    found = []
    with using(Kernels(attention="triton")):
        for _ in range(2):
            output = function(qkv, *tables, reach)
            found.append([output.detach(), *torch.autograd.grad(output, qkv, outer)])
        with torch.no_grad():
            assert torch.equal(fused_attention(qkv, *tables, reach), found[0][0])
    assert all(map(torch.equal, *found))

    exact = qkv.detach().double().requires_grad_()
    q, k, v = rotated_formula(exact, angles) if rotates else exact.transpose(1, 3).unbind(2)
    mask = torch.ones(length, length, dtype=torch.bool, device=device).triu(1)
    if reach:
        mask |= mask.logical_not().tril(-reach)
    heads_of = (q @ k.mT / d_k**0.5).masked_fill(mask, -torch.inf).softmax(-1) @ v
    expected = [heads_of.transpose(1, 2), *torch.autograd.grad(heads_of.transpose(1, 2), exact, outer.double())]
    error = 1e-6 if dtype == torch.float32 else 4 * width(dtype, device)
    for value, other in zip(found[0], expected, strict=True):
        assert (value - other).norm() <= error * other.norm()
        for token in (0, -1):
            assert (value[:, token] - other[:, token]).norm() <= 4 * error * (other[:, token].norm() + 1)
    return found[0]
