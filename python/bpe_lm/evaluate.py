"""How well a model predicts a token file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from bpe_lm.batches import Tokens, check_ids
from bpe_lm.errors import TokenFileError
from bpe_lm.loss import bits_per_byte, linear_cross_entropy, perplexity
from bpe_lm.model import TransformerLM
from bpe_lm.progress import Callback, shown

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
    dtype: str = "float32",
    progress: bool | Callback = False,
) -> Evaluation:
    """Every token but the first, each once, predicted from those before it in its stretch of `context_length`.

    Args:
        model: It is not changed.
        tokens: Shape (count,).
        text_bytes: Of the text that all tokens stand for, to give bits per byte.
        limit: Look at the first so many only (in whole stretches), which then has no bits per byte.
        dtype: "bfloat16" for mixed precision.
        progress: True shows it on stderr; a function is called with ("evaluate", tokens done, all).

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
    weight = model.lm_head.weight
    batch = max(_BATCH_TOKENS // context, 1) * context
    nats, done = 0.0, 0
    with shown(progress) as show:
        while done < total:
            # Whole stretches together; the last, which may be shorter, alone.
            number = min(batch, (total - done) // context * context) or total - done
            piece = np.asarray(tokens[done : done + number + 1]).astype(np.int64)
            check_ids(tokens, np.array([done]), int(piece.max()), model.config.vocab_size, "validation")
            ids = torch.from_numpy(piece).to(weight.device)
            rows = max(number // context, 1)
            x, y = ids[:-1].reshape(rows, -1), ids[1:].reshape(rows, -1)
            with torch.autocast(weight.device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
                loss = linear_cross_entropy(model.hidden(x), weight, y)
            nats += float(loss) * number
            done += number
            if show is not None:
                show("evaluate", done, total)
    bits = bits_per_byte(nats, text_bytes) if text_bytes and total == len(tokens) - 1 else None
    return Evaluation(nats / total, perplexity(nats / total), bits, total)
