"""torch.compile where it works; where the compiler fails, a warning and the eager model."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from bpe_lm.kernels.compiler import is_compiler_error
from bpe_lm.training.memory import is_out_of_memory


def compiled(module: nn.Module) -> nn.Module | None:
    """Compile a module, or warn and return None if that fails at once. Most failures come with the first call."""
    try:
        # torch keeps everything that a process compiles, and runs eager code from the ninth model on.
        torch.compiler.reset()
        found: Any = torch.compile(module)
    except Exception as error:
        warn_not_compiled(error)
        return None
    return found


def is_failed_compilation(error: Exception) -> bool:
    """Whether the compiler failed, in place of the code that it compiled, and memory did not run out in it."""
    return is_compiler_error(error) and not is_out_of_memory(error)


def warn_not_compiled(error: Exception) -> None:
    """Warn that training goes on without the compiler."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    warnings.warn(f"torch.compile failed ({reason}); training goes on without it", stacklevel=2)
