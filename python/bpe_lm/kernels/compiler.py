"""What is said to torch's compiler, and asked of it, without importing it: that takes two seconds.

Some of it has private names in torch, and a test looks for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., Any])


def constant_when_compiled(function: _Function) -> _Function:
    """Have a compiler call the function as it compiles, and keep the result, as for what a machine has.

    `torch.compiler.assume_constant_result` does the same, and imports the compiler.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def is_compiler_error(error: BaseException) -> bool:
    """Return whether an error comes from `torch.compile` itself, which also wraps errors for a lack of memory."""
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
