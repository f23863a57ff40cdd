"""Print how far losses and gradients on a device are from those in float64 on the CPU, as JSON.

python compare_with_float64.py cpu|cuda

The keys are an architecture, a number format and a mode; the values are the relative errors of the loss and of the
gradient of the worst parameter: the norm of the difference by the norm of the gradient.
"""

import itertools
import json
import sys
from typing import Any

import torch
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM

RECORD: dict[str, Any] = {
    "qk_norm": True,
    "logit_softcap": 15.0,
    "value_embeddings": 1,
    "u_net_skips": True,
    "embedding_scale": 2.0,
    "window": 20,
    "global_every": 2,
}
"""The switches of a record's model, apart from those below."""

RECORDS = ("pre", "rope", "relu2", False, "record")
ALL: list[tuple[Any, ...]] = [
    *itertools.product(("pre", "post", "none"), ("rope", "none"), ("swiglu", "silu", "relu2"), (False, True)),
    RECORDS,
]
COMPILED: list[tuple[Any, ...]] = [
    ("pre", "rope", "swiglu", False),
    ("post", "none", "silu", True),
    ("none", "rope", "relu2", False),
    RECORDS,
]
"""Each value of each switch at least once."""


def config_of(switches: tuple[Any, ...]) -> ModelConfig:
    norm, position, ffn, tied_head, *record = switches
    sizes = (257, 48, 64, 2, 2, 96)
    more = RECORD if record else {}
    return ModelConfig(*sizes, norm=norm, position=position, ffn=ffn, tied_head=tied_head, **more)


def batch(config: ModelConfig, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(config.vocab_size, (3, config.context_length + 1), generator=generator).to(device)
    return ids[:, :-1], ids[:, 1:]


def gradients(loss_of: Any, model: TransformerLM, device: str) -> tuple[float, dict[str, torch.Tensor]]:
    loss = loss_of(*batch(model.config, device))
    loss.backward()
    found = {name: p.grad.double().cpu() for name, p in model.named_parameters() if p.grad is not None}
    return float(loss), found


def model_of(config: ModelConfig, implementation: str) -> TransformerLM:
    torch.manual_seed(1)
    model = TransformerLM.from_config(config, implementation=implementation)
    if config.norm == "none":  # Without a norm the residual stream of the initial weights is large.
        for parameter in model.parameters():
            parameter.data *= 0.5
    return model


def errors(switches: tuple[Any, ...], dtype: str, mode: str, device: str) -> tuple[float, float]:
    config = config_of(switches)
    oracle = model_of(config, "reference").double()
    expected, by_name = gradients(LanguageModelLoss(oracle, implementation="reference"), oracle, "cpu")
    model = model_of(config, "fast").to(device)
    loss_of: Any = LanguageModelLoss(model, dtype=dtype)
    if mode != "eager":
        torch.compiler.reset()
        # A CPU's compiler takes half a minute for each, so there the graph is traced and not compiled.
        loss_of = torch.compile(loss_of, dynamic=False, backend="inductor" if device == "cuda" else "aot_eager")
    found, its_by_name = gradients(loss_of, model, device)
    assert its_by_name.keys() == by_name.keys()
    # The terms of a scalar's gradient cancel, and its error is that of the terms.
    least = 0.02 * float(torch.stack([g.norm() for g in by_name.values()]).norm())
    sizes = {name: g.norm().clamp(min=least) if g.numel() <= 2 else g.norm() for name, g in by_name.items()}
    worst = max(float((its_by_name[name] - g).norm() / sizes[name]) for name, g in by_name.items())
    return abs(found - expected) / expected, worst


def cases_for(device: str) -> list[tuple[tuple[Any, ...], str]]:
    """Return architectures and modes: on a CPU, where this shows that the script works, the fewest with every value."""
    eager, compiled = (ALL, COMPILED) if device == "cuda" else (COMPILED, COMPILED[:1])
    return [(switches, "eager") for switches in eager] + [(switches, "compiled") for switches in compiled]


def main(device: str) -> None:
    found = {
        " ".join([*map(str, switches), dtype, mode]): errors(switches, dtype, mode, device)
        for switches, mode in cases_for(device)
        for dtype in ("float32", "bfloat16")
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
