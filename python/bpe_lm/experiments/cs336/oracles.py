"""What the layers should compute: the course's formulas in float64, with plain loops and numpy.

Nothing here calls the model, the optimizers or torch. The checks of the report compare the layers with these functions.
Weights go by the names of the course's state dict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, localcontext
from math import sqrt

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Weights = Mapping[str, Array]

EPS = 1e-5
"""The eps of the course's RMSNorm."""


# Layers


def linear(weight: Array, x: Array) -> Array:
    """y_i = sum_j W_ij x_j, for each vector x."""
    y = np.zeros((*x.shape[:-1], len(weight)))
    for i, row in enumerate(weight):
        y[..., i] = (row * x).sum(-1)
    return y


def embedding(weight: Array, ids: Ints) -> Array:
    """The row W[id], for each id."""
    y = np.zeros((*ids.shape, weight.shape[-1]))
    for place in np.ndindex(ids.shape):
        y[place] = weight[ids[place]]
    return y


def rmsnorm(weight: Array, x: Array, eps: float = EPS) -> Array:
    """y_i = x_i / sqrt(mean of x_j^2 + eps) * weight_i, for each vector x."""
    y = np.zeros(x.shape)
    for place in np.ndindex(x.shape[:-1]):
        y[place] = x[place] / sqrt((x[place] ** 2).mean() + eps) * weight
    return y


def silu(x: Array) -> Array:
    """x / (1 + e^-x)."""
    return x / (1 + np.exp(-x))


def swiglu(w1: Array, w2: Array, w3: Array, x: Array) -> Array:
    """W2 (silu(W1 x) * W3 x)."""
    return (silu(x @ w1.T) * (x @ w3.T)) @ w2.T


def feed_forward(w1: Array, w2: Array, activation: Callable[[Array], Array], x: Array) -> Array:
    """W2 f(W1 x)."""
    return activation(x @ w1.T) @ w2.T


def rope(x: Array, positions: Ints, theta: float) -> Array:
    """The pair (x_2k, x_2k+1) is a complex number, and is multiplied by e^(i position theta^(-2k / d))."""
    y = np.zeros(x.shape)
    for k in range(0, x.shape[-1], 2):
        turned = (x[..., k] + 1j * x[..., k + 1]) * np.exp(1j * positions * theta ** (-k / x.shape[-1]))
        y[..., k], y[..., k + 1] = turned.real, turned.imag
    return y


def softmax(x: Array) -> Array:
    """e^x_i / sum_j e^x_j of the last dimension, after its largest number is taken from each."""
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def attention(q: Array, k: Array, v: Array, mask: npt.NDArray[np.bool_] | None = None) -> Array:
    """Each query: the mean of the values of the keys that it sees, weighted by softmax(q . k / sqrt(d)); 0 for none."""
    y = np.zeros((*q.shape[:-1], v.shape[-1]))
    for *batch, i in np.ndindex(q.shape[:-1]):
        keys, values, query = k[tuple(batch)], v[tuple(batch)], q[(*batch, i)]
        seen = range(len(keys)) if mask is None else np.flatnonzero(mask[(*batch, i)])
        if len(seen):
            y[(*batch, i)] = softmax(keys[seen] @ query / sqrt(len(query))) @ values[seen]
    return y


def causal_attention(q: Array, k: Array, v: Array) -> Array:
    """The queries are the last of the keys' places, and each sees the keys up to its own place."""
    queries, keys = q.shape[-2], k.shape[-2]
    mask = np.array([[j <= i + keys - queries for j in range(keys)] for i in range(queries)])
    return attention(q, k, v, np.broadcast_to(mask, (*q.shape[:-1], keys)))


def self_attention(weights: Weights, x: Array, num_heads: int, positions: Ints | None, theta: float) -> Array:
    """W_O of the heads side by side. Head h has the rows h d .. (h + 1) d of W_Q, W_K, W_V; RoPE turns Q and K."""
    d = x.shape[-1] // num_heads
    heads = []
    for h in range(num_heads):
        q, k, v = (x @ weights[f"{name}_proj.weight"][h * d : (h + 1) * d].T for name in "qkv")
        if positions is not None:
            q, k = rope(q, positions, theta), rope(k, positions, theta)
        heads.append(causal_attention(q, k, v))
    return np.concatenate(heads, -1) @ weights["output_proj.weight"].T


def transformer_block(weights: Weights, x: Array, num_heads: int, theta: float) -> Array:
    """z = x + attention(norm(x)), y = z + ffn(norm(z))."""
    positions = np.arange(x.shape[-2])
    z = x + self_attention(below("attn", weights), rmsnorm(weights["ln1.weight"], x), num_heads, positions, theta)
    w1, w2, w3 = (weights[f"ffn.w{number}.weight"] for number in (1, 2, 3))
    return z + swiglu(w1, w2, w3, rmsnorm(weights["ln2.weight"], z))


def transformer_lm(weights: Weights, ids: Ints, num_layers: int, num_heads: int, theta: float) -> Array:
    """The logits: head(norm(block_L(... block_1(embedding(ids)))))."""
    x = weights["token_embeddings.weight"][ids]
    for layer in range(num_layers):
        x = transformer_block(below(f"layers.{layer}", weights), x, num_heads, theta)
    return rmsnorm(weights["ln_final.weight"], x) @ weights["lm_head.weight"].T


def below(name: str, weights: Weights) -> Weights:
    """Return the weights of a part, by their names within it."""
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


# Losses and decoding


def cross_entropy(logits: Array, targets: Ints) -> float:
    """The mean of -log softmax(logits)_target."""
    losses = []
    for place in np.ndindex(targets.shape):
        row = logits[place] - logits[place].max()
        losses.append(np.log(np.exp(row).sum()) - row[targets[place]])
    return float(np.mean(losses))


def cross_entropy_gradient(logits: Array, targets: Ints) -> Array:
    """(softmax(logits) - 1 at the target) / the number of targets."""
    gradient = softmax(logits)
    for place in np.ndindex(targets.shape):
        gradient[(*place, targets[place])] -= 1
    return gradient / targets.size


def draw_probabilities(logits: Array, temperature: float, top_p: float) -> Array:
    """softmax(logits / temperature), where only the fewest likeliest that sum to `top_p` stay, scaled to sum to 1."""
    probabilities, kept, total = softmax(logits / temperature), np.zeros(len(logits)), 0.0
    for token in sorted(range(len(logits)), key=lambda token: -probabilities[token]):
        if total >= top_p:
            break
        kept[token] = probabilities[token]
        total += probabilities[token]
    return kept / total


# Training


def adamw(
    weight: Array,
    gradient: Callable[[int, Array], Array],
    steps: int,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> Array:
    """Decay, then move by the mean of gradients over the root of the mean of squares, both corrected for bias."""
    m, v = np.zeros(weight.shape), np.zeros(weight.shape)
    for t in range(1, steps + 1):
        g = gradient(t - 1, weight)
        m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g**2
        weight = weight - lr * weight_decay * weight
        weight = weight - lr * (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + eps)
    return weight


def cosine_schedule(it: int, highest: Decimal, lowest: Decimal, warmup: int, end: int) -> float:
    """Warm-up it / warmup, half a cosine, and the lowest rate; the cosine is its Taylor series in 40 digits."""
    if it < warmup:
        return float(highest * it / warmup)
    if it > end:
        return float(lowest)
    return float(lowest + (1 + _cosine_of_pi_times(it - warmup, end - warmup)) / 2 * (highest - lowest))


def _cosine_of_pi_times(numerator: int, denominator: int) -> Decimal:
    """1 - x^2 / 2! + x^4 / 4! - ..., for x = pi numerator / denominator."""
    with localcontext(prec=40):
        x = Decimal("3.141592653589793238462643383279502884197") * numerator / denominator
        term = total = Decimal(1)
        for n in range(2, 60, 2):
            term = -term * x * x / (n * (n - 1))
            total += term
        return total


def clipped(gradients: Sequence[Array], max_l2_norm: float, eps: float = 1e-6) -> list[Array]:
    """All gradients times max / (norm + eps), if the norm of all their numbers together is above max."""
    norm = sqrt(sum(float(number) ** 2 for gradient in gradients for number in gradient.flat))
    factor = max_l2_norm / (norm + eps) if norm > max_l2_norm else 1.0
    return [gradient * factor for gradient in gradients]


def toy_sgd_losses(lr: float, weights: Array, steps: int) -> list[float]:
    """The losses mean(w^2) before each step. Step t multiplies every weight by 1 - lr / sqrt(t + 1) * 2 / number."""
    losses = []
    for t in range(steps):
        losses.append(float((weights**2).mean()))
        weights = weights * (1 - lr / sqrt(t + 1) * 2 / weights.size)
    return losses
