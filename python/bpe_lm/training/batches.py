"""Batches: each is a function of (seed, step), so that a resumed run needs no record of earlier batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from bpe_lm.errors import TokenFileError

if TYPE_CHECKING:
    from bpe_lm.model.layers import Device

Tokens = npt.NDArray[np.integer]


def get_batch(
    dataset: Tokens, batch_size: int, context_length: int, device: Device, generator: np.random.Generator | None = None
) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
    """Cut inputs x, and targets y (the next tokens), at uniformly random places of a 1-D array or memory map.

    Raises:
        ValueError: The array has fewer than `context_length` + 1 tokens.
        RuntimeError: The machine lacks the device.
    """
    number = len(dataset) - context_length
    if number < 1:
        raise ValueError(f"{len(dataset)} tokens are fewer than a context of {context_length} and the token after it")
    generator = generator or np.random.default_rng()
    starts = generator.integers(0, number, batch_size)
    return to_device(dataset[starts[:, None] + np.arange(context_length + 1)].astype(np.int64), device)


def to_device(
    tokens: npt.NDArray[np.int64], device: Device
) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
    """Move rows of tokens to a device. Returns all columns except the last, and all except the first."""
    both = torch.from_numpy(tokens)
    target = torch.device(device) if device is not None else torch.device("cpu")
    if target.type == "cuda":
        both = both.pin_memory().to(target, non_blocking=True)
    elif target.type != "cpu":
        both = both.to(target)
    return both[:, :-1], both[:, 1:]


class Batches:
    """The batches of a run. Each step has its own stream of a counter-based generator (Philox)."""

    def __init__(self, dataset: Tokens, batch_size: int, context_length: int, seed: int, vocab_size: int):
        if len(dataset) < context_length + 1:
            raise TokenFileError(
                f"the training file has {len(dataset):,} tokens, fewer than a context of {context_length} and the "
                "token after it; encode more text, or make model.context_length smaller"
            )
        self.dataset, self.batch_size, self.context_length = dataset, batch_size, context_length
        self.seed, self.vocab_size = seed, vocab_size

    def starts(self, step: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the tokens with which the rows of a batch begin. Shape (batch,)."""
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step]))
        return generator.integers(0, len(self.dataset) - self.context_length, self.batch_size)

    def __call__(
        self, step: int, device: Device, rows: slice = slice(None)
    ) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
        """Return the inputs and targets of a step, or some rows of them.

        Raises:
            TokenFileError: An id is beyond the vocabulary.
        """
        starts = self.starts(step)[rows]
        tokens = self.dataset[starts[:, None] + np.arange(self.context_length + 1)].astype(np.int64)
        check_ids(self.dataset, starts, int(tokens.max()), self.vocab_size)
        return to_device(tokens, device)


def check_ids(
    dataset: Tokens, starts: npt.NDArray[np.int64], greatest: int, vocab_size: int, kind: str = "training"
) -> None:
    """Check that the greatest id of some rows, which begin at `starts`, is in the vocabulary.

    Raises:
        TokenFileError: The id is beyond the vocabulary; the message names its place.
    """
    if greatest < vocab_size:
        return
    place = next(int(s) + int(np.argmax(dataset[s:] == greatest)) for s in starts if (dataset[s:] == greatest).any())
    raise TokenFileError(
        f"token {place:,} of the {kind} file is {greatest:,}, and model.vocab_size is {vocab_size:,}; "
        "encode it with the tokenizer of the run"
    )
