"""Which errors of a compiled function are the compiler's own.

The classes are in private modules of torch, and a test looks for each.
"""

from __future__ import annotations


def is_compiler_error(error: BaseException) -> bool:
    """Whether `torch.compile` failed, in place of the code that it compiled. It wraps a lack of memory as well."""
    # Importing the compiler takes seconds.
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler, OperatorIssue

    return isinstance(error, TorchDynamoException | OperatorIssue | CppCompileError | InvalidCxxCompiler)
