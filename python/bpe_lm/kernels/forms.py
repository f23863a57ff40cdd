"""The form of an operation that this process uses, for code that torch may compile."""

from __future__ import annotations

import torch

from bpe_lm.kernels import choices
from bpe_lm.kernels.choices import Operation


def form_of(operation: Operation, device: str) -> str:
    """Return the form that this process uses for an operation on a kind of device."""
    name: str = getattr(choices.in_use(), operation)
    return _preferred(operation, device) if name == "auto" else name


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _preferred(operation: Operation, device: str) -> str:
    """Ask what the machine has, which a compiler cannot follow."""
    return choices.preferred(operation, device)
