"""The loss of a model on a token file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bpe_lm.errors import TokenFileError
from bpe_lm.kernels.implementation import Dtype
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.loss import LanguageModelLoss, bits_per_byte, perplexity
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.progress import Progress, shown
from bpe_lm.training.batches import Tokens, check_ids
from bpe_lm.training.parallel import World

_BATCH_TOKENS = 8192


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation: `loss` in nats per token, and `bits_per_byte` if the text's size is known."""

    loss: float
    perplexity: float
    bits_per_byte: float | None
    tokens: int

    def as_dict(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)


@torch.no_grad()
def evaluate(
    model: TransformerLM,
    tokens: Tokens,
    *,
    text_bytes: int | None = None,
    limit: int | None = None,
    dtype: Dtype = "float32",
    progress: Progress = False,
    loss: nn.Module | None = None,
    world: World | None = None,
    rows: int | None = None,
    loss_of_full_batch: nn.Module | None = None,
) -> Evaluation:
    """Predict every token except the first once, from the tokens before it in its window of `context_length`.

    Args:
        model: The model, which is not changed.
        tokens: Shape (count,).
        text_bytes: The bytes of the text that the tokens stand for, from which bits per byte are computed.
        limit: Predict only this many tokens from the beginning, in whole windows. If that leaves out tokens,
                `bits_per_byte` is None.
        dtype: "bfloat16" for mixed precision.
        progress: True shows progress on stderr; a function is called with ("evaluate", tokens done, all tokens).
        loss: The module that computes the loss, if the model is sharded over processes.
        world: The processes. Each evaluates its share of the windows and gets the result of all.
        rows: The number of windows at once; None chooses it.
        loss_of_full_batch: A module that computes the same loss faster for `rows` windows, and for no other number.

    Raises:
        TokenFileError: The file has fewer than `context_length` + 1 tokens, or an id is beyond the vocabulary.
    """
    context = model.config.context_length
    if len(tokens) < context + 1:
        raise TokenFileError(
            f"the validation file has {len(tokens):,} tokens, fewer than a context of {context} and the token "
            "after it; encode more text, or make model.context_length smaller"
        )
    total = len(tokens) - 1
    if limit is not None and limit < total:
        total = max(limit // context, 1) * context
    device = model.lm_head.weight.device
    loss = LanguageModelLoss(model, dtype=dtype) if loss is None else loss
    world = world or World()
    rows = rows or max(_BATCH_TOKENS // context, 1)
    batches = list(_batches(total, context, rows))
    means: list[Tensor] = []
    with shown(progress) as show:
        for first in range(0, len(batches), world.size):
            # Ranks without work repeat the last batch, and its result is ignored, so that collectives stay in step.
            start, length = batches[min(first + world.rank, len(batches) - 1)]
            inputs, targets = _on_device(tokens, start, length, model.config, device)
            is_full = inputs.shape == (rows, context)
            # A module may have a length, so that it is asked for None, and not for its truth.
            loss_of_batch = loss if loss_of_full_batch is None or not is_full else loss_of_full_batch
            means.append(loss_of_batch(inputs, targets))
            if show is not None:
                means[-1] = means[-1].cpu()  # Waits for the device, which would fall behind what is shown.
                last_start, last_length = batches[min(first + world.size, len(batches)) - 1]
                show("evaluate", last_start + last_length, total)
    lengths = [length for _, length in batches[world.rank :: world.size]]
    # On a GPU this is the only time that the host waits for it.
    values = torch.stack(means).tolist() if show is None else [float(mean) for mean in means]
    nats = 0.0
    for value, length in zip(values, lengths, strict=False):
        nats += value * length
    mean = world.all_reduce_sum(nats)[0] / total
    bits = bits_per_byte(mean * total, text_bytes) if text_bytes and total == len(tokens) - 1 else None
    return Evaluation(mean, perplexity(mean), bits, total)


def _on_device(
    tokens: Tokens, start: int, length: int, config: ModelConfig, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return inputs and targets of the windows in a batch. On a GPU the host does not wait for the copy."""
    batch = np.asarray(tokens[start : start + length + 1]).astype(np.int64)
    check_ids(batch[None], np.array([start]), config.vocab_size, "validation")
    ids = torch.from_numpy(batch)
    if device.type == "cuda":
        ids = ids.pin_memory()
    ids = ids.to(device, non_blocking=device.type == "cuda")
    rows = max(length // config.context_length, 1)
    return ids[:-1].view(rows, -1), ids[1:].view(rows, -1)


def _batches(total: int, context: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield the start and the length of batches of whole windows, and of the last window, which may be shorter."""
    start = 0
    while start < total:
        length = min(rows * context, (total - start) // context * context) or total - start
        yield start, length
        start += length
