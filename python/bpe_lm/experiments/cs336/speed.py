"""The speed of training steps, measured on ids that stand for no text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.automatic import resolve_auto
from bpe_lm.training.compilation import compiled
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.devices import device_of
from bpe_lm.training.memory import enough_memory, keep_freed_memory
from bpe_lm.training.optimizers.clipping import clip_gradients
from bpe_lm.training.optimizers.registry import new_optimizer

STEPS, SECONDS = 10, 10.0
"""A measurement ends after this many steps, or after the step in which these seconds are over."""

WARM_UP = 2
"""The steps before the measurement: the first allocates memory, and compiles if the config says so."""


def measure(config: Mapping[str, Any], steps: int = STEPS, seconds: float = SECONDS) -> dict[str, Any]:
    """Return the mean seconds of a step of a config, and the peak memory of a GPU in bytes."""
    run = TrainConfig.from_dict(config)
    device = device_of(run.device)
    run = resolve_auto(run, device).config
    if device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(run.seed)
    model = TransformerLM.from_config(run.model, implementation=run.implementation).to(device)
    model.narrows_residual = run.narrows_residual
    loss: torch.nn.Module = LanguageModelLoss(model, implementation=run.implementation, dtype=run.products_in)
    loss = (compiled(loss) if run.is_compiled else None) or loss
    optimizer = new_optimizer(run, model)
    rows = run.micro_batch_size or run.batch_size
    ids = torch.randint(run.model.vocab_size, (rows, run.model.context_length), device=device)
    done, start, began = 0, 0.0, time.perf_counter()
    with enough_memory(f"batch_size is {run.batch_size}; make it or the model smaller"):
        while done < WARM_UP + steps:
            if done == WARM_UP:
                _wait(device)
                start = time.perf_counter()
            optimizer.zero_grad(set_to_none=True)
            for _ in range(run.batch_size // rows):
                loss(ids, ids).backward()
            clip_gradients(model.parameters(), run.optimizer.max_l2_norm or float("inf"))
            optimizer.step()
            done += 1
            if done > WARM_UP and time.perf_counter() - began > seconds:
                break
        _wait(device)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return {"seconds": (time.perf_counter() - start) / (done - WARM_UP), "steps": done - WARM_UP, "peak_memory": peak}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
