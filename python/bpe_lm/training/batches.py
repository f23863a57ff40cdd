"""Batches: each is a function of (seed, step), so that a resumed run needs no record of earlier batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Int
from torch import Tensor

from bpe_lm.errors import TokenFileError
from bpe_lm.tokenizer.token_array import Joined
from bpe_lm.training.mixture import Mixture

if TYPE_CHECKING:
    from bpe_lm.model.layers import Device

Tokens = npt.NDArray[np.integer] | Joined


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
    return to_device(rows_of(dataset, starts, context_length + 1).astype(np.int64), device)


def rows_of(dataset: Tokens, starts: npt.NDArray[np.int64], length: int) -> npt.NDArray[np.integer]:
    """Return rows of tokens that begin at `starts`. Shape (batch, length)."""
    if isinstance(dataset, Joined):
        return np.stack([dataset[start : start + length] for start in starts.tolist()])
    rows: npt.NDArray[np.integer] = dataset[starts[:, None] + np.arange(length)]
    return rows


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
    """The batches of a run. Each step has its own stream of a counter-based generator (Philox).

    A row is as likely to begin at any place of the dataset as at any other. With a `mixture`, the dataset has several
    files one after another, the mixture chooses the file of each row, and no row reaches from one file into the next.
    """

    def __init__(
        self,
        dataset: Tokens,
        batch_size: int,
        context_length: int,
        seed: int,
        vocab_size: int,
        mixture: Mixture | None = None,
    ):
        if len(dataset) < context_length + 1:
            raise TokenFileError(
                f"the training file has {len(dataset):,} tokens, fewer than a context of {context_length} and the "
                "token after it; encode more text, or make model.context_length smaller"
            )
        self.dataset, self.batch_size, self.context_length = dataset, batch_size, context_length
        self.seed, self.vocab_size, self.mixture = seed, vocab_size, mixture

    def starts(self, step: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the tokens with which the rows of a batch begin. Shape (batch,)."""
        generator = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step]))
        if self.mixture is None:
            return generator.integers(0, len(self.dataset) - self.context_length, self.batch_size)
        sources = self.sources(step)
        return self.mixture.offsets[sources] + generator.integers(
            0, self.mixture.lengths[sources] - self.context_length
        )

    def sources(self, step: int) -> npt.NDArray[np.int64]:
        """Return the numbers of the files that the rows of a batch come from. Shape (batch,)."""
        if self.mixture is None:
            return np.zeros(self.batch_size, dtype=np.int64)
        return self.mixture.sources(step * self.batch_size, self.batch_size)

    def __call__(
        self, step: int, device: Device, rows: slice = slice(None)
    ) -> tuple[Int[Tensor, "batch seq"], Int[Tensor, "batch seq"]]:
        """Return the inputs and targets of a step, or some rows of them.

        Raises:
            TokenFileError: An id is beyond the vocabulary.
        """
        starts = self.starts(step)[rows]
        tokens = rows_of(self.dataset, starts, self.context_length + 1).astype(np.int64)
        check_ids(tokens, starts, self.vocab_size)
        return to_device(tokens, device)


def check_ids(
    rows: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], vocab_size: int, kind: str = "training"
) -> None:
    """Check that the greatest id of some rows, which begin at the tokens `starts`, is in the vocabulary.

    Raises:
        TokenFileError: The id is beyond the vocabulary; the message names its place.
    """
    greatest = int(rows.max())
    if greatest < vocab_size:
        return
    row, place = np.argwhere(rows == greatest)[0].tolist()
    raise TokenFileError(
        f"token {int(starts[row]) + place:,} of the {kind} file is {greatest:,}, and model.vocab_size is "
        f"{vocab_size:,}; encode it with the tokenizer of the run"
    )
