"""The form of an operation that this process uses, for code that torch may compile."""

from __future__ import annotations

from bpe_lm.kernels import choices
from bpe_lm.kernels.choices import Operation
from bpe_lm.kernels.compiler import constant_when_compiled


def form_of(operation: Operation, device: str) -> str:
    """Return the form that this process uses for an operation on a kind of device."""
    name: str = getattr(choices.in_use(), operation)
    return _preferred(operation, device) if name == "auto" else name


@constant_when_compiled
def _preferred(operation: Operation, device: str) -> str:
    """Ask what the machine has, which a compiler cannot follow."""
    return choices.preferred(operation, device)
