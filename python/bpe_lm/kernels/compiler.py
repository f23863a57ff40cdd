"""The errors of a compiled function that come from the compiler, and not from the code that it compiled.

The classes of these errors are in private modules of torch, and a test looks for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def is_compiler_error(error: BaseException) -> bool:
    """Return whether an error comes from `torch.compile` itself, which also wraps errors for a lack of memory."""
    # Importing the compiler takes seconds.
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler, OperatorIssue

    return isinstance(error, TorchDynamoException | OperatorIssue | CppCompileError | InvalidCxxCompiler)


@contextmanager
def compiling_deterministically() -> Iterator[None]:
    """Compile without choosing between kernels by their time, where their results differ in the last bits."""
    from torch._inductor import config

    with config.patch(deterministic=True):
        yield


def uncompiled(module: Any) -> Any:
    """Return the module that torch.compile was given, or the module itself if it is not compiled."""
    return getattr(module, "_orig_mod", module)
