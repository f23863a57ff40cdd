"""Which names of devices this machine opens, and what a name that it lacks says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from bpe_lm.errors import ConfigError
from bpe_lm.training.batches import get_batch
from bpe_lm.training.devices import device_of


def measure(names: Sequence[str]) -> dict[str, Any]:
    """Open each device by its name. Also get a batch on a GPU that no machine has, which must raise an error."""
    found = {name: _opened(name) for name in names}
    try:
        get_batch(torch.arange(100).numpy(), 2, 8, "cuda:99")
        bad = "no error"
    except (RuntimeError, AssertionError) as error:
        bad = type(error).__name__
    tf32 = torch.get_float32_matmul_precision() != "highest"
    return {"devices": found, "get_batch on cuda:99": bad, "tf32": tf32}


def _opened(name: str) -> str:
    try:
        return f"opens as {device_of(name)}"
    except ConfigError as error:
        return f"refused: {error}"
