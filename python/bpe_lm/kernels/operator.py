"""An operator of torch: a function that a compiler calls and does not look into.

`torch.library.custom_op` makes one as well. The first call of that one imports the compiler, which takes two seconds of
each process that trains, also of those that compile nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeAlias, TypeVar

import torch

Operator: TypeAlias = Any
"""What `torch.ops` has by the name of an operator, and `torch.library.register_autograd` takes."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def operator(name: str, schema: str | None = None) -> Callable[[Callable[..., Any]], Operator]:
    """Make the function that is decorated an operator that writes into none of its arguments.

    Args:
        name: Its name in `torch.ops.bpe_lm`.
        schema: Its arguments and results. None reads them from the types of the function.
    """

    def made(function: Callable[..., Any]) -> Operator:
        full = f"bpe_lm::{name}"
        signature = schema or torch.library.infer_schema(function, mutates_args=())
        torch.library.define(full, signature, tags=torch.Tag.pt2_compliant_tag)
        torch.library.impl(full, "default", function)
        return attrgetter(f"{name}.default")(torch.ops.bpe_lm)

    return made


def shapes_of(of: Operator) -> Callable[[_Function], _Function]:
    """Have a compiler call the function that is decorated in place of an operator. Its tensors are without data."""

    def registered(function: _Function) -> _Function:
        torch.library.register_fake(of, function)
        return function

    return registered
