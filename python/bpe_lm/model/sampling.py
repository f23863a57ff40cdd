"""Draws of token ids from logits: by temperature, top-k and top-p.

A draw reads one uniform number: the id is the first whose cumulative probability is above it. So a text's ids depend on
the text's own numbers only, and not on the other texts of a batch or on the device. All rows are drawn at once by
operations that a CUDA graph can hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from bpe_lm.errors import OptionError

_ARGMAX_BELOW = 1e-30
"""Temperatures below this count as 0, because dividing float32 logits by them would overflow."""

_CANDIDATES = 512
"""The number of likeliest ids that top-p looks at first on a CPU. A sort of 10,000 takes 25 times as long as them."""


@dataclass(frozen=True)
class Sampling:
    """How an id is drawn. `num_ids` leaves out the ids from this number on, which the tokenizer does not have."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    num_ids: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise OptionError(f"temperature is {self.temperature}, and must be 0 or more")
        if self.top_k is not None and self.top_k < 1:
            raise OptionError(f"top_k is {self.top_k}, and must be at least 1")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p is {self.top_p}, and must be above 0 and at most 1")

    @property
    def is_greedy(self) -> bool:
        """Whether the likeliest id is taken, and no uniform number is read."""
        return self.temperature < _ARGMAX_BELOW

    def ids(
        self, logits: Float[Tensor, "texts vocab_size"], uniforms: Float[Tensor, " texts"]
    ) -> Int[Tensor, " texts"]:
        """Return an id for each row: the likeliest, or the one that a number from 0 up to but not including 1 selects.

        The id has probability softmax(logits / temperature) among the ids that `top_k` and `top_p` allow. A row with
        NaN, or with a largest logit that is infinite, gets -1.
        """
        logits = logits[:, : self.num_ids].float()
        largest, likeliest = logits.max(-1, keepdim=True)
        ids = likeliest if self.is_greedy else self._drawn((logits - largest) / self.temperature, uniforms)
        return ids.where(largest.abs() < torch.inf, -1).squeeze(-1)

    def _drawn(self, scaled: Tensor, uniforms: Tensor) -> Int[Tensor, "texts 1"]:
        if self.top_k is not None and self.top_k < scaled.shape[-1]:
            values, order = scaled.topk(self.top_k)
            return order.gather(-1, _selected(self._nucleus(torch.softmax(values, -1)), uniforms))
        probabilities = torch.softmax(scaled, -1)
        if self.top_p == 1:
            return _selected(probabilities, uniforms)
        ordered, order = self._likeliest(probabilities)
        return order.gather(-1, _selected(self._nucleus(ordered), uniforms))

    def _likeliest(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Return the largest probabilities, which add up to `top_p` or more, in descending order, and their ids."""
        if probabilities.device.type == "cpu" and probabilities.shape[-1] > _CANDIDATES:
            ordered, order = probabilities.topk(_CANDIDATES)
            # A margin of 1e-5 covers the rounding of the sum.
            if bool((ordered.sum(-1) > self.top_p + 1e-5).all()):
                return ordered, order
        ordered, order = probabilities.sort(descending=True)
        return ordered, order

    def _nucleus(self, ordered: Tensor) -> Tensor:
        """Set a probability to 0 if the larger ones already add up to `top_p`."""
        return ordered.masked_fill(ordered.cumsum(-1) - ordered >= self.top_p, 0) if self.top_p < 1 else ordered


def _selected(weights: Float[Tensor, "texts ids"], uniforms: Float[Tensor, " texts"]) -> Int[Tensor, "texts 1"]:
    """Return the first place of each row where the cumulative weight exceeds the row's number times their sum.

    Sums are float64, so that rounding cannot select a weight of 0: uniform float32 numbers are at most 1 - 2^-24. mps
    has no float64.
    """
    wide = torch.float32 if weights.device.type == "mps" else torch.float64
    sums = weights.cumsum(-1, dtype=wide)
    thresholds = uniforms.to(wide)[:, None] * sums[:, -1:]
    return ((sums > thresholds) & (weights > 0)).to(torch.uint8).argmax(-1, keepdim=True)


def draw(
    logits: Float[Tensor, " vocab_size"],
    temperature: float,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> int:
    """Draw an id with probability softmax(logits / temperature), among those that `top_k` and `top_p` allow.

    Args:
        logits: The logits of all ids.
        temperature: The divisor of the logits; 0 takes the likeliest id.
        top_k: Draw only among this many likeliest ids.
        top_p: Draw only among the fewest likeliest ids whose probabilities add up to this.
        generator: A generator of the CPU.

    Raises:
        OptionError: An option makes no sense, or a logit is NaN.
    """
    uniforms = torch.rand(1, generator=generator).to(logits.device)
    return checked(int(Sampling(temperature, top_k, top_p).ids(logits[None], uniforms)))


def checked(token: int) -> int:
    """Return an id, or refuse the -1 that stands for logits that are not numbers.

    Raises:
        OptionError: The id is -1.
    """
    if token < 0:
        raise OptionError("the model's logits are not numbers; its weights are damaged, or training diverged")
    return token
