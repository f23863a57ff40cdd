"""Compile a model with torch.compile. If the compiler fails, warn and keep the eager model."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from bpe_lm.kernels.compiler import is_compiler_error
from bpe_lm.training.memory import is_out_of_memory


def compiled(module: nn.Module) -> nn.Module | None:
    """Compile a module. If that fails at once, warn and return None. Most failures appear only in the first call."""
    try:
        # torch keeps everything that a process compiles, and without a reset runs the ninth model eagerly.
        torch.compiler.reset()
        result: Any = torch.compile(module)
    except Exception as error:
        warn_not_compiled(error)
        return None
    return result


def is_failed_compilation(error: Exception) -> bool:
    """Return whether an error comes from the compiler itself, and not from a lack of memory."""
    return is_compiler_error(error) and not is_out_of_memory(error)


def warn_not_compiled(error: Exception) -> None:
    """Warn that training goes on without the compiler."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    warnings.warn(f"torch.compile failed ({reason}); training goes on without it", stacklevel=2)
