"""Training on one GPU: seconds, tokens per second and MFU of a step, and the loss over 32,000 tokens.

    python benches/gpu.py                                # meant for an H100, and for ten minutes
    python benches/gpu.py --train FILE --valid FILE      # and then the TinyStories run itself, with its loss
    python benches/gpu.py --quick --device cpu           # toys, to see that it works

Rows: the TinyStories model (22.7 M parameters, batch 128 x 256); the shape of GPT-2 (124 M, 1,024 tokens), ours and as
nanoGPT trains it, rebuilt from transformers' GPT-2 (no dropout, bfloat16 autocast, compiled, fused AdamW); 12 layers of
1,024 over 32,000 tokens; and the loss, fused and not. Variants go in turns, and one that fails is a row that says so.
MFU is of the data sheet's peak. These are steps alone: the trainer also waits for each step's loss, and has no CUDA
graphs. A machine without a network needs what torch does not bring:

    pip install --target build/gpu einops jaxtyping safetensors numpy rich transformers
    PYTHONPATH=python:build/gpu python benches/gpu.py

and python/bpe_lm/_core.abi3.so, which maturin builds, to be there.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import training_flops_per_token
from bpe_lm.model.loss import LanguageModelLoss, linear_cross_entropy
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.config import override
from bpe_lm.training.devices import peak_flops
from bpe_lm.training.optimizers import AdamW, clip_gradients
from bpe_lm.training.presets import resolve
from bpe_lm.training.trainer import Trainer

TINYSTORIES_TOKENS = 327_680_000
MODES: dict[str, dict[str, Any] | None] = {
    "eager": None,
    "compiled": {},
    "compiled, CUDA graphs": {"mode": "reduce-overhead"},
}
SHAPES = {
    "TinyStories": (ModelConfig(), 128),
    "GPT-2 124M": (ModelConfig(50_304, 1024, 768, 12, 12, 3072, ffn="silu", tied_head=True), 16),
    "12 x 1,024, V 32,000": (ModelConfig(32_000, 1024, 1024, 12, 8, 4096, ffn="relu2"), 16),
}
TOY = ModelConfig(vocab_size=300, context_length=32, d_model=64, num_layers=2, num_heads=4, d_ff=128)

Step = Callable[[], torch.Tensor]


def ours(config: ModelConfig, rows: int, device: torch.device, mode: dict[str, Any] | None) -> Step:
    torch.manual_seed(1)
    model = TransformerLM.from_config(config).to(device)
    loss_of: Any = LanguageModelLoss(model, dtype="bfloat16")
    loss_of = loss_of if mode is None else torch.compile(loss_of, **mode)
    optimizer = AdamW(model.parameters(), 1e-4)
    ids = torch.randint(config.vocab_size, (rows, config.context_length + 1), device=device)

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(ids[:, :-1], ids[:, 1:])
        loss.backward()
        clip_gradients(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach().clone()

    return step


def nanogpt(config: ModelConfig, rows: int, device: torch.device, mode: dict[str, Any] | None) -> Step:
    import transformers

    torch.manual_seed(1)
    shape = transformers.GPT2Config(
        vocab_size=config.vocab_size,
        n_positions=config.context_length,
        n_embd=config.d_model,
        n_layer=config.num_layers,
        n_head=config.num_heads,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    )
    model: Any = transformers.GPT2LMHeadModel(shape).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            logits = model(x, use_cache=False).logits
            return torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())

    called: Any = loss_of if mode is None else torch.compile(loss_of, **mode)
    ids = torch.randint(config.vocab_size, (rows, config.context_length + 1), device=device)

    def step() -> torch.Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = called(ids[:, :-1], ids[:, 1:])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.detach().clone()

    return step


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def seconds_of(step: Step, device: torch.device, steps: int) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    wait(device)
    return (time.perf_counter() - start) / steps


def peak_memory(work: Callable[[], Any], device: torch.device) -> float:
    """Bytes that `work` takes at its peak, on a GPU."""
    if device.type != "cuda":
        return float("nan")
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    wait(device)
    return torch.cuda.max_memory_allocated() - before


def steps_table(device: torch.device, peak: float | None, end: float, *, quick: bool) -> None:
    """Nothing is begun after `end`; a compilation that is under way then ends some time after it."""
    print("| model | variant | ms a step | tokens/s | MFU | first loss |\n| --- | --- | --- | --- | --- | --- |")
    for name, (config, rows) in SHAPES.items():
        if quick:
            config, rows = replace(TOY, ffn=config.ffn, tied_head=config.tied_head), 4
        makers = {"bpe_lm": ours} | ({"nanoGPT's (GPT-2)": nanogpt} if name.startswith("GPT-2") else {})
        made: dict[str, tuple[Step, float]] = {}
        for tool, maker in makers.items():
            for mode, options in MODES.items():
                label = f"{tool}, {mode}"
                if time.monotonic() > end:
                    print(f"| {name} | {label} | left out: no time | | | |", flush=True)
                    continue
                try:
                    step = maker(config, rows, device, options)
                    first = float(step())
                    for _ in range(3):
                        step()
                    made[label] = step, first
                except Exception as error:
                    print(
                        f"| {name} | {label} | failed: {next(iter(str(error).splitlines()), error)} | | | |", flush=True
                    )
        times: dict[str, list[float]] = {label: [] for label in made}
        for _ in range(2 if quick else 5):
            for label, (step, _) in made.items():
                times[label].append(seconds_of(step, device, 2 if quick else 10))
        for label, (_, first) in made.items():
            seconds = statistics.median(times[label])
            speed = rows * config.context_length / seconds
            mfu = f"{speed * training_flops_per_token(config) / peak:.1%}" if peak else "-"
            print(f"| {name} | {label} | {seconds * 1e3:,.2f} | {speed:,.0f} | {mfu} | {first:.4f} |", flush=True)
            if name == "TinyStories" and not quick:
                print(f"| | | {TINYSTORIES_TOKENS / speed:,.0f} s for 327.68 M tokens | | | |", flush=True)
        made.clear()
        gc.collect()
        torch._dynamo.reset()


def loss_table(device: torch.device, *, quick: bool) -> None:
    """Forward and backward of the head and the loss, 16,384 tokens of 1,024, bfloat16."""
    tokens, d, vocab = (64, 32, 500) if quick else (16_384, 1024, 32_000)
    hidden = torch.randn(1, tokens, d, device=device, requires_grad=True)
    weight = torch.nn.Parameter(torch.randn(vocab, d, device=device) * 0.02)
    targets = torch.randint(vocab, (1, tokens), device=device)

    def unfused(h: torch.Tensor, w: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy((h @ w.T).float().flatten(0, 1), y.flatten())

    def both(function: Any) -> Step:
        def step() -> torch.Tensor:
            hidden.grad = weight.grad = None
            with torch.autocast(device.type, dtype=torch.bfloat16):
                loss = function(hidden, weight, targets)
            loss.backward()
            return loss.detach()

        return step

    variants = {"unfused, compiled": torch.compile(unfused), "ours, eager": linear_cross_entropy}
    variants["ours, compiled"] = torch.compile(linear_cross_entropy)
    steps = {name: both(function) for name, function in variants.items()}
    losses = {name: [float(step()) for _ in range(3)][-1] for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(5):
        for name, step in steps.items():
            times[name].append(seconds_of(step, device, 5))
    print("\n| loss over 32,000 tokens | ms | peak MB | loss |\n| --- | --- | --- | --- |")
    if max(losses.values()) - min(losses.values()) > 2e-2:
        raise SystemExit(f"loss parity: {losses}")
    for name, step in steps.items():
        hidden.grad = weight.grad = None
        memory = peak_memory(step, device) / 1e6
        print(f"| {name} | {statistics.median(times[name]) * 1e3:,.2f} | {memory:,.0f} | {losses[name]:.5f} |")


def real_run(options: argparse.Namespace) -> None:
    files = {"train": options.train, "valid": options.valid}
    changes = {
        "data": files,
        "device": options.device,
        "dtype": "bfloat16",
        "compile": True,
        "max_time": options.max_time,
    }
    config = override(resolve("tinystories"), changes | {"validate_every": 1000, "checkpoint_every": 10_000})
    with Trainer(config, options.out, force=True, progress=True) as trainer:
        found = trainer.run()
    print(f"\nTinyStories: {found.step:,} steps in {found.seconds:,.0f} s, validation {found.loss} ({found.best_loss})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    parser.add_argument("--train", help="token file of TinyStories")
    parser.add_argument("--valid", help="its validation part")
    parser.add_argument("--out", default="runs/gpu", help="folder of that run")
    parser.add_argument("--max-time", type=float, default=240.0, help="seconds of that run, if so many are left")
    options = parser.parse_args()
    start = time.monotonic()
    for_steps = 210 if options.train and options.valid else 400
    device = torch.device(options.device)
    torch.set_float32_matmul_precision("high")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}\n", flush=True)
    steps_table(device, peak_flops(device, "bfloat16"), start + for_steps, quick=options.quick)
    try:
        loss_table(device, quick=options.quick)
    except Exception as error:
        print(f"the loss over 32,000 tokens failed: {error}", flush=True)
    if options.train and options.valid:
        options.max_time = min(options.max_time, max(start + 540 - time.monotonic(), 30))
        real_run(options)


if __name__ == "__main__":
    main()
