"""cross_entropy: is the loss the mean of -log softmax(logits)_target, also for large logits and in the fast form?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes, within 2e-5, of 1e-4, for logits of
size 1,000, and 3e-8 otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import (
    BATCH,
    D_MODEL,
    IMPLEMENTATIONS,
    SEQ,
    VOCAB_SIZE,
    compared,
    normal,
    source,
    tensor,
)
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

LIMIT, GRADIENT_LIMIT = 1e-4, 1e-6
ORACLE = "the formula, computed place by place in float64,"


def answer(results: Results) -> Iterator[Block]:
    """Compare the loss of logits, and both forms of the loss of a linear head, with their gradients."""
    yield Text(
        "`cross_entropy(logits, targets)` is the mean over all places of `log sum_j e^logits_j - logits_target`, after "
        "the largest logit is taken from each. `linear_cross_entropy` is the same of the head's logits; its fast form "
        "computes them and the gradients chunk by chunk. Write-up 2 reports faults in the dimensions of its gather and "
        "its mean. The course's limit is 1e-4, also for 1,000 times the logits. The oracle:"
    )
    yield source(oracles.cross_entropy, oracles.cross_entropy_gradient)
    yield from _of_logits()
    yield from _of_a_head()


def _of_logits() -> Iterator[Check]:
    import torch

    from bpe_lm.model.loss import cross_entropy

    for what, shape, size in (
        ("8 places, 5 tokens", (8, 5), 1),
        ("8 places, 5 tokens, 1,000 times the logits", (8, 5), 1000),
        ("4 x 12 places, 10,000 tokens", (BATCH, SEQ, VOCAB_SIZE), 1),
    ):
        # Multiples of 1/1024, so that 1,000 times the logits are exact in float32.
        logits = size * np.round(1024 * normal(1, *shape)) / 1024
        targets = np.random.default_rng(2).integers(0, shape[-1], shape[:-1])
        found = cross_entropy(tensor(logits), torch.from_numpy(targets))
        yield compared(f"of logits: {what}", found, oracles.cross_entropy(logits, targets), LIMIT, ORACLE)


def _of_a_head() -> Iterator[Check]:
    import torch

    from bpe_lm.model.loss import linear_cross_entropy

    hidden, weight = normal(3, BATCH, SEQ, D_MODEL), normal(4, VOCAB_SIZE, D_MODEL, std=0.125)
    targets = np.random.default_rng(5).integers(0, VOCAB_SIZE, (BATCH, SEQ))
    logits = hidden @ weight.T
    gradient = oracles.cross_entropy_gradient(logits, targets)
    of_weight = np.einsum("btv, btd -> vd", gradient, hidden)
    for form in IMPLEMENTATIONS:
        given = (tensor(hidden).requires_grad_(), tensor(weight).requires_grad_())
        loss = linear_cross_entropy(*given, torch.from_numpy(targets), implementation=form)
        found = torch.autograd.grad(loss, given)
        yield compared(f"{form}, of a head", loss, oracles.cross_entropy(logits, targets), LIMIT, ORACLE)
        for name, one, expected in zip(("input", "weights"), found, (gradient @ weight, of_weight), strict=True):
            what = f"{form}, of a head: the gradient of its {name}"
            yield compared(what, one, expected, GRADIENT_LIMIT, "(softmax - onehot) / n in float64")


QUESTION = Question(
    row=19,
    name="cross_entropy",
    points=0,
    kind="check",
    asked="Write the cross-entropy of logits and targets, averaged over all places and stable for large logits.",
    answer=guarded(answer),
)
