"""The orthogonal factor U V^T of a matrix U S V^T, by an iteration that needs only products of matrices.

Why not a singular value decomposition? It takes many times as long, and an optimizer needs no more than singular values
near 1. `bpe_lm.training.optimizers.polar_express` has the coefficients that come nearest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

Coefficients = tuple[float, float, float]
"""a, b and c of a polynomial p(s) = a s + b s^3 + c s^5."""

QUINTIC: Coefficients = (3.4445, -4.7750, 2.0315)
"""The coefficients of Jordan et al. 2024 (Muon: https://kellerjordan.github.io/posts/muon/): a is as large as it can be
while p, applied again and again, keeps singular values between about 0.7 and 1.2."""

EPS = 1e-7
"""The least norm by which a matrix is divided, so that zeros stay zeros."""


def orthogonalize(
    matrices: Float[Tensor, "n rows columns"], coefficients: Sequence[Coefficients]
) -> Float[Tensor, "n rows columns"]:
    """X <- X / |X|, then X <- a X + (b A + c A A) X with A = X X^T, for each (a, b, c) in turn.

    An iteration replaces each singular value s by p(s), and keeps U and V. |X| is Frobenius' norm, which is at least
    the largest singular value. The products are in the number format of the matrices, which have at most as many rows
    as columns: A is the smaller product.
    """
    wide = torch.promote_types(matrices.dtype, torch.float32)
    norms = torch.linalg.vector_norm(matrices, dim=(-2, -1), keepdim=True, dtype=wide)
    x = matrices / norms.clamp(min=EPS).to(matrices.dtype)
    for a, b, c in coefficients:
        products = x @ x.mT
        polynomial = torch.baddbmm(products, products, products, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x


def orthogonal_factors(
    parameters: Sequence[Tensor], numbers: Sequence[int], coefficients: Sequence[Coefficients]
) -> list[Tensor]:
    """Return U V^T of each matrix. A parameter may have several, one after another, as rows.

    Matrices of one shape are one batch of products. A matrix with more rows than columns is transposed for them.
    """
    matrices = [part for parameter, number in zip(parameters, numbers, strict=True) for part in parameter.chunk(number)]
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, matrix in enumerate(matrices):
        by_shape[tuple(sorted(matrix.shape))].append(i)
    for alike in by_shape.values():
        batch = orthogonalize(torch.stack([_wide(matrices[i]) for i in alike]), coefficients)
        for i, factor in zip(alike, batch.unbind(), strict=True):
            matrices[i] = factor if factor.shape == matrices[i].shape else factor.mT
    rest = iter(matrices)
    return [torch.cat([next(rest) for _ in range(number)]) if number > 1 else next(rest) for number in numbers]


def _wide(matrix: Tensor) -> Tensor:
    return matrix if matrix.shape[0] <= matrix.shape[1] else matrix.mT


def newton_schulz_flops(rows: int, columns: int, iterations: int) -> int:
    """Return the operations of products for one matrix: X X^T, A A and B X in each iteration."""
    short, long = sorted((rows, columns))
    return iterations * (4 * short * short * long + 2 * short**3)
