"""Compile a model with torch.compile. If the compiler fails, warn and keep the eager model."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from bpe_lm.kernels.compiler import is_compiler_error
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.memory import is_out_of_memory


def compiled(module: nn.Module, *, begins: bool = True) -> nn.Module | None:
    """Compile a module for fixed shapes: a second shape is compiled on its own, and none is compiled for all shapes.

    If that fails at once, warn and return None. Most failures appear only in the first call.

    Args:
        module: The module, which may average gradients over processes (DDP): then torch compiles a part of it for
            each group of gradients, so that one group is exchanged while the next is computed.
        begins: Forget everything that the process compiled before.
    """
    try:
        if begins:
            # torch keeps everything that a process compiles, and without a reset runs the ninth model eagerly.
            torch.compiler.reset()
        result: Any = torch.compile(module, dynamic=False)
    except Exception as error:
        warn_not_compiled(error)
        return None
    return result


def compile_blocks(model: TransformerLM) -> bool:
    """Compile each block of a model in place, as FSDP wants it, which gathers a block's weights between blocks.

    If that fails at once, warn and return False.
    """
    try:
        torch.compiler.reset()
        for block in model.layers:
            block.compile(dynamic=False)
    except Exception as error:
        warn_not_compiled(error)
        return False
    return True


def is_failed_compilation(error: Exception) -> bool:
    """Return whether an error comes from the compiler itself, and not from a lack of memory."""
    return is_compiler_error(error) and not is_out_of_memory(error)


def warn_not_compiled(error: Exception) -> None:
    """Warn that training goes on without the compiler."""
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    warnings.warn(f"torch.compile failed ({reason}); training goes on without it", stacklevel=2)
