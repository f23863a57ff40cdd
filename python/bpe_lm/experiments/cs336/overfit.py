"""Learn one batch by heart: the loss must come close to 0, and the norms of weights and gradients are watched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.automatic import resolve_auto
from bpe_lm.training.batches import Batches
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.data import open_data
from bpe_lm.training.devices import device_of
from bpe_lm.training.memory import keep_freed_memory
from bpe_lm.training.optimizers.clipping import clip_gradients
from bpe_lm.training.optimizers.registry import new_optimizer

ROWS = 4
"""Texts of the batch."""

RECORDS = 12


def measure(config: Mapping[str, Any], steps: int, rate: float, rows: int = ROWS) -> dict[str, Any]:
    """Train on the first batch of a run again and again, without weight decay, at a constant rate.

    Returns:
        `losses` by step, the records of the norms, and `final`, the loss after the last step.
    """
    run = replace(TrainConfig.from_dict(config), batch_size=rows, micro_batch_size=0)
    device = device_of(run.device)
    run = replace(resolve_auto(run, device).config, optimizer=replace(run.optimizer, weight_decay=0.0))
    if device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(run.seed)
    model = TransformerLM.from_config(run.model, implementation=run.implementation).to(device)
    model.narrows_residual = run.narrows_residual
    loss_of = LanguageModelLoss(model, implementation=run.implementation, dtype=run.products_in)
    optimizer = new_optimizer(run, model)
    tokens = open_data(run).train
    x, y = Batches(tokens, rows, run.model.context_length, run.seed, run.model.vocab_size)(0, device)
    optimizer.set_learning_rate(rate)
    records = []
    for step in range(1, steps + 1):
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        norm = clip_gradients(model.parameters(), run.optimizer.max_l2_norm or float("inf"))
        if step == 1 or step % max(steps // RECORDS, 1) == 0:
            records.append({"step": step, "loss": float(loss), "gradient_norm": float(norm), **_norms(model)})
        optimizer.step()
    with torch.no_grad():
        final = float(loss_of(x, y))
    return {"final": final, "steps": steps, "rate": rate, "rows": rows, "records": records}


def _norms(model: TransformerLM) -> dict[str, float]:
    """Return the norm of all weights, and the root mean square of the weights of the embedding, blocks and head."""
    weights = {name: parameter.detach().float() for name, parameter in model.named_parameters()}
    parts = {"embedding": "token_embeddings", "blocks": "layers", "head": "lm_head"}
    norms = {"weight_norm": float(torch.stack([w.norm() for w in weights.values()]).norm())}
    for part, start in parts.items():
        own = [weight.square().mean() for name, weight in weights.items() if name.startswith(start) and weight.ndim > 1]
        norms[f"rms_{part}"] = float(torch.stack(own).mean().sqrt()) if own else 0.0
    return norms
