"""A coordinate check: the size of the activations of models over their first steps of training.

The size is the root of the mean of squares over all coordinates, tokens and layers. If it grows or falls with the width
of the model, then wide models train unlike narrow ones at the same learning rate. Yang et al. 2022, arXiv:2203.03466.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bpe_lm.files import finite
from bpe_lm.model.layers import Stream, soft_capped, total
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.trainer import Trainer


def measure(configs: Sequence[Mapping[str, Any]], steps: int) -> dict[str, Any]:
    """Return the sizes of the activations of each config, by their kind, in the forward pass of each step."""
    return finite({"sizes": [sizes(TrainConfig.from_dict(config), steps) for config in configs]})


def sizes(config: TrainConfig, steps: int) -> dict[str, list[float]]:
    """Train some steps, and return the sizes of the activations by their kind, a number for each step.

    The first step's are those of the initial weights.
    """
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bpe-lm-") as folder, Trainer(config, folder) as trainer:
        for _ in range(steps):
            with recorded(trainer.model) as squares:
                trainer.advance()
            for kind, means in squares.items():
                found.setdefault(kind, []).append((sum(means) / len(means)) ** 0.5)
    return found


@contextmanager
def recorded(model: TransformerLM) -> Iterator[dict[str, list[float]]]:
    """Collect the means of squares of a model's activations, by their kind, while forward passes are made."""
    squares: dict[str, list[float]] = {}

    def record(kind: str, activations: Tensor | Stream) -> None:
        squares.setdefault(kind, []).append(float(total(activations).detach().float().square().mean()))

    def hook(kind: str) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda module, inputs, output: record(kind, output)

    def record_logits(module: nn.Module, inputs: Any, output: Tensor | tuple[Tensor, Tensor]) -> None:
        normed = output[1] if isinstance(output, tuple) else output
        # The loss computes logits in chunks, and not by a module.
        with torch.no_grad():
            products = normed @ model.lm_head.weight.to(normed.dtype).T
            record("logits", soft_capped(products, model.config.logit_softcap))

    layers: list[Any] = list(model.layers)
    hooks = [
        model.token_embeddings.register_forward_hook(hook("embedding")),
        *(layer.attn.register_forward_hook(hook("attention")) for layer in layers),
        *(layer.ffn.register_forward_hook(hook("feed-forward network")) for layer in layers),
        layers[-1].register_forward_hook(hook("last block")),
        model.ln_final.register_forward_hook(record_logits),
    ]
    try:
        yield squares
    finally:
        for handle in hooks:
            handle.remove()
