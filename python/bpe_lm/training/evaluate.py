"""How well a model predicts a token file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from bpe_lm.errors import TokenFileError
from bpe_lm.kernels.implementation import Dtype
from bpe_lm.model.loss import LanguageModelLoss, bits_per_byte, perplexity
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.progress import Callback, shown
from bpe_lm.training.batches import Tokens, check_ids
from bpe_lm.training.parallel import World

_BATCH_TOKENS = 8192


@dataclass(frozen=True)
class Evaluation:
    """`loss` in nats per token; `bits_per_byte` where the bytes of the text are known."""

    loss: float
    perplexity: float
    bits_per_byte: float | None
    tokens: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@torch.no_grad()
def evaluate(
    model: TransformerLM,
    tokens: Tokens,
    *,
    text_bytes: int | None = None,
    limit: int | None = None,
    dtype: Dtype = "float32",
    progress: bool | Callback = False,
    loss: nn.Module | None = None,
    world: World | None = None,
) -> Evaluation:
    """Every token but the first, each once, predicted from those before it in its stretch of `context_length`.

    Args:
        model: It is not changed.
        tokens: Shape (count,).
        text_bytes: Of the text that all tokens stand for, to give bits per byte.
        limit: Look at the first so many only (in whole stretches), which then has no bits per byte.
        dtype: "bfloat16" for mixed precision.
        progress: True shows it on stderr; a function is called with ("evaluate", tokens done, all).
        loss: What computes it, if the model is divided between processes.
        world: Those processes. Each takes its share, and gets the result of all.

    Raises:
        TokenFileError: There are fewer tokens than a context and the one that follows, or an id is beyond the
            vocabulary.
    """
    context = model.config.context_length
    if len(tokens) < context + 1:
        raise TokenFileError(
            f"the validation file has {len(tokens):,} tokens, fewer than a context of {context} and the one that "
            "follows; encode more text, or make model.context_length smaller"
        )
    total = len(tokens) - 1
    if limit is not None and limit < total:
        total = max(limit // context, 1) * context
    device = model.lm_head.weight.device
    loss, world = loss or LanguageModelLoss(model, dtype=dtype), world or World()
    pieces = list(_pieces(total, context))
    nats, done = 0.0, 0
    with shown(progress) as show:
        for first in range(0, len(pieces), world.size):
            # All processes compute together, to the last: one that has nothing left does again what counts no more.
            number = first + world.rank
            start, length = pieces[min(number, len(pieces) - 1)]
            piece = np.asarray(tokens[start : start + length + 1]).astype(np.int64)
            check_ids(tokens, np.array([start]), int(piece.max()), model.config.vocab_size, "validation")
            ids = torch.from_numpy(piece).to(device)
            rows = max(length // context, 1)
            found = float(loss(ids[:-1].view(rows, -1), ids[1:].view(rows, -1)))
            if number < len(pieces):
                nats += found * length
            done = sum(pieces[min(first + world.size, len(pieces)) - 1])
            if show is not None:
                show("evaluate", done, total)
    mean = world.all_reduce_sum(nats)[0] / total
    bits = bits_per_byte(mean * total, text_bytes) if text_bytes and total == len(tokens) - 1 else None
    return Evaluation(mean, perplexity(mean), bits, total)


def _pieces(total: int, context: int) -> Iterator[tuple[int, int]]:
    """Start and length: whole stretches together, and the last, which may be shorter, alone."""
    batch, start = max(_BATCH_TOKENS // context, 1) * context, 0
    while start < total:
        length = min(batch, (total - start) // context * context) or total - start
        yield start, length
        start += length
