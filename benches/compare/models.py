"""One training step, and generation, beside Hugging Face's Llama: the same shape, weights and batches, in turns.

    python benches/compare/models.py --rounds 5            # TinyStories' shape, batch 16 x 256
    python benches/compare/models.py --quick               # a toy, to see that it works

Each variant is a process of its own (compiled code and caches do not mix). Rounds go through all variants in turn, the
two of a kind next to each other, and every other round backwards, as a chip may be slower after a minute of AVX-512. A
ratio is the median of the rounds' ratios; of generation and of the loss over 32,000 tokens, which go in turns as well,
it is that of medians. A step is forward, loss, backward, clipping to 1.0 and AdamW. Loss parity comes first: in the
first round the first loss of each, from the same weights and batch, must be within 1e-3 of float32's (bfloat16: 2e-2).
"Roof" is the share of what a square matrix product of the same type reaches in the same process.
"""

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

SHAPES = {
    "tinystories": {"vocab": 10_000, "context": 256, "d": 512, "layers": 4, "heads": 16, "ff": 1344, "batch": 16},
    "toy": {"vocab": 500, "context": 32, "d": 64, "layers": 2, "heads": 4, "ff": 128, "batch": 4},
}
VARIANTS = [
    f"{tool} {dtype} {mode}"
    for dtype in ("float32", "bfloat16")
    for mode in ("eager", "compiled")
    for tool in ("bpe_lm", "llama")
]
KEPT = "llama bfloat16 compiled, memory kept"
"""Llama with the memory setting of our trainer. The comparison itself is with torch's own setting."""


def config_of(shape: dict[str, int]) -> Any:
    from bpe_lm.model.config import ModelConfig

    s = shape
    return ModelConfig(s["vocab"], s["context"], s["d"], s["layers"], s["heads"], s["ff"])


def ours(shape: dict[str, int]) -> Any:
    from bpe_lm.model.transformer import TransformerLM

    torch.manual_seed(1)
    return TransformerLM.from_config(config_of(shape))


def llama(shape: dict[str, int]) -> Any:
    """Return Hugging Face's Llama with our weights, as they are exported."""
    import transformers
    from bpe_lm.export.llama import llama_state

    s = shape
    config = transformers.LlamaConfig(
        vocab_size=s["vocab"],
        hidden_size=s["d"],
        intermediate_size=s["ff"],
        num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"],
        max_position_embeddings=s["context"],
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
    )
    model = transformers.LlamaForCausalLM(config)
    model.load_state_dict(llama_state(ours(shape)))
    return model


def roof(dtype: torch.dtype) -> float:
    """FLOP/s of a product of square matrices, the best of ten; in float32 by the faster of torch's two libraries."""
    from bpe_lm.kernels.linear import linear

    a, best = torch.ones(2048, 2048, dtype=dtype), float("inf")
    for _ in range(10):
        start = time.perf_counter()
        _ = linear(a, a)
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def train(variant: str, shape: dict[str, int], steps: int) -> dict[str, float]:
    from bpe_lm.kernels.norms import fast_norm_of_all
    from bpe_lm.model.flops import training_flops_per_token
    from bpe_lm.training.batches import Batches
    from bpe_lm.training.memory import keep_freed_memory
    from bpe_lm.training.optimizers.adamw import AdamW
    from bpe_lm.training.optimizers.clipping import clip_gradients, clip_within_step

    tool, dtype, mode = variant.removesuffix(", memory kept").split()
    if tool == "bpe_lm" or variant == KEPT:
        keep_freed_memory()
    narrow = dtype == "bfloat16"
    data = np.random.default_rng(1).integers(0, shape["vocab"], 100_000).astype(np.uint16)
    batches = Batches(data, shape["batch"], shape["context"], 1, shape["vocab"])
    model = ours(shape) if tool == "bpe_lm" else llama(shape)
    optimizer: Any
    if tool == "bpe_lm":
        from bpe_lm.model.loss import linear_cross_entropy

        optimizer = AdamW(model.parameters(), 1e-4)

        def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=narrow):
                return linear_cross_entropy(model.hidden(x), model.lm_head.weight, y)

        def clip() -> None:
            if not narrow:
                clip_gradients(model.parameters(), 1.0)
                return
            norm = fast_norm_of_all([p.grad for p in model.parameters() if p.grad is not None])
            clip_within_step(optimizer, norm, 1.0)
    else:
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)

        def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=narrow):
                logits = model(x, use_cache=False).logits
                return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), y.flatten())

        def clip() -> None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)

    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = (
        torch.compile(loss_of) if mode == "compiled" else loss_of
    )
    times, losses = [], []
    for step in range(steps + 2):
        x, y = batches(step, "cpu")
        x, y = x.contiguous(), y.contiguous()
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = function(x, y)
        loss.backward()
        clip()
        optimizer.step()
        times.append(time.perf_counter() - start)
        losses.append(loss.item())
    step_seconds = statistics.median(times[2:])
    tokens = shape["batch"] * shape["context"]
    flops = training_flops_per_token(config_of(shape))
    share = tokens / step_seconds * flops / roof(torch.bfloat16 if narrow else torch.float32)
    return {"tokens_per_second": tokens / step_seconds, "loss": losses[0], "roof": share}


def generate(tool: str, shape: dict[str, int], number: int) -> dict[str, Any]:
    from bpe_lm.model.generate import generate_ids

    model = ours(shape) if tool == "bpe_lm" else llama(shape)
    prompt = [1, 2, 3]
    start = time.perf_counter()
    with torch.no_grad():
        if tool == "bpe_lm":
            ids = list(generate_ids(model, prompt, number, temperature=0))
        else:
            found = model.generate(
                torch.tensor([prompt]), max_new_tokens=number, do_sample=False, use_cache=True, eos_token_id=None
            )
            ids = found[0, len(prompt) :].tolist()
    return {"tokens_per_second": number / (time.perf_counter() - start), "ids": ids}


LOSSES = ["unfused eager", "unfused compiled", "bpe_lm eager", "bpe_lm compiled"]


def loss(variant: str, quick: bool) -> dict[str, float]:
    """Forward and backward of the head and the loss: 16 x 1,024 tokens of 512, a vocabulary of 32,000, bfloat16."""
    from bpe_lm.model.loss import linear_cross_entropy
    from bpe_lm.training.memory import keep_freed_memory

    tool, mode = variant.split()
    tokens, d, vocab = (64, 32, 500) if quick else (16_384, 512, 32_000)
    keep_freed_memory()
    torch.manual_seed(1)
    hidden = torch.randn(1, tokens, d, requires_grad=True)
    weight = torch.nn.Parameter(torch.randn(vocab, d) * 0.02)
    targets = torch.randint(vocab, (1, tokens))

    def unfused(h: torch.Tensor, w: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy((h @ w.T).float().flatten(0, 1), y.flatten())

    function: Any = linear_cross_entropy if tool == "bpe_lm" else unfused
    function = torch.compile(function) if mode == "compiled" else function

    def step() -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = function(hidden, weight, targets)
        found.backward()
        return found

    times = []
    for _ in range(5):
        hidden.grad = weight.grad = None
        start = time.perf_counter()
        found = step()
        times.append(time.perf_counter() - start)
    # Once more, from a heap that is given back and with the kernel's mark of the peak set anew.
    hidden.grad = weight.grad = None
    ctypes.CDLL(None).malloc_trim(0)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    step()
    return {"seconds": statistics.median(times[2:]), "memory": resident("VmHWM") - before, "loss": found.item()}


def resident(name: str) -> int:
    lines = (line.split() for line in Path("/proc/self/status").read_text().splitlines())
    return next(1024 * int(words[1]) for words in lines if words[0] == f"{name}:")


def batch_speed() -> float:
    from bpe_lm.training.batches import Batches

    data = np.random.default_rng(1).integers(0, 10_000, 10_000_000).astype(np.uint16)
    batches = Batches(data, 16, 256, 1, 10_000)
    start = time.perf_counter()
    for step in range(500):
        batches(step, "cpu")
    return 500 * 16 * 256 / (time.perf_counter() - start)


def child(task: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"TRANSFORMERS_VERBOSITY": "error"})
    if done.returncode:
        raise SystemExit(f"{task} failed\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        task = json.loads(sys.argv[2])
        shape = SHAPES[task["shape"]]
        if task["job"] == "train":
            found = train(task["variant"], shape, task["steps"])
        elif task["job"] == "loss":
            found = loss(task["variant"], task["shape"] == "toy")
        else:
            found = generate(task["variant"], shape, task["number"])
        return print(json.dumps(found))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="timed, a round")
    parser.add_argument("--losses", action="store_true", help="only the loss over 32,000 tokens")
    parser.add_argument("--quick", action="store_true", help="a toy, one round")
    options = parser.parse_args()
    shape, rounds = ("toy", 1) if options.quick else ("tinystories", options.rounds)
    number = 20 if options.quick else 250
    if options.losses:
        return print_losses(shape, rounds)
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in (*VARIANTS, KEPT)}
    texts: dict[str, list[dict[str, Any]]] = {"bpe_lm": [], "llama": []}
    for number_of_round in range(rounds):
        for variant in list(runs)[:: -1 if number_of_round % 2 else 1]:
            runs[variant].append(child({"job": "train", "variant": variant, "shape": shape, "steps": options.steps}))
        check_losses({variant: found[0]["loss"] for variant, found in runs.items()})
        for tool in texts:
            texts[tool].append(child({"job": "generate", "variant": tool, "shape": shape, "number": number}))
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {shape}, losses equal\n")
    print("| step | tokens/s, median (least - most) | share of the roof |\n| --- | --- | --- |")
    medians = {}
    for variant, found in runs.items():
        speeds = [run["tokens_per_second"] for run in found]
        medians[variant] = statistics.median(speeds)
        share = statistics.median(run["roof"] for run in found)
        print(f"| {variant} | {medians[variant]:,.0f} ({min(speeds):,.0f} - {max(speeds):,.0f}) | {share:.0%} |")

    def best(tool: str, dtype: str = "") -> list[float]:
        variants = [variant for variant in VARIANTS if variant.startswith(f"{tool} {dtype}")]
        return [run["tokens_per_second"] for run in runs[max(variants, key=lambda variant: medians[variant])]]

    print(f"\nfloat32, best of two against best of two: {ratio(best('bpe_lm', 'float32'), best('llama', 'float32'))}")
    print(f"bfloat16 against the best of Llama's four: {ratio(best('bpe_lm', 'bfloat16'), best('llama'))}")
    kept = [run["tokens_per_second"] for run in runs[KEPT]]
    print(f"bfloat16 against the one whose memory is kept: {ratio(best('bpe_lm', 'bfloat16'), kept)}")
    speeds = {tool: statistics.median(run["tokens_per_second"] for run in found) for tool, found in texts.items()}
    same = texts["bpe_lm"][0]["ids"] == texts["llama"][0]["ids"]
    print(
        f"generation, greedy, {number} tokens, cache: {speeds['bpe_lm']:.0f} and {speeds['llama']:.0f} tokens/s, ",
        end="",
    )
    print(f"{speeds['bpe_lm'] / speeds['llama']:.2f} times as fast, ids {'the same' if same else 'DIFFER'}")
    print(f"batches: {batch_speed() / 1e6:.1f} million tokens/s\n")
    print_losses(shape, min(rounds, 3))


def check_losses(losses: dict[str, float]) -> None:
    expected = losses["llama float32 eager"]
    for variant, found in losses.items():
        if abs(found - expected) > (2e-2 if "bfloat16" in variant else 1e-3):
            raise SystemExit(f"loss parity: {variant} begins with {found}, not with {expected}")


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Format the ratios of neighbouring runs as: median (least - most)."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"


def print_losses(shape: str, rounds: int) -> None:
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in LOSSES}
    for _ in range(rounds):
        for variant, found in runs.items():
            found.append(child({"job": "loss", "variant": variant, "shape": shape}))
    print("| loss over 32,000 tokens | ms, median (least - most) | memory, MB | loss |\n| --- | --- | --- | --- |")
    for variant, found in runs.items():
        ms = sorted(1e3 * run["seconds"] for run in found)
        memory = statistics.median(run["memory"] for run in found) / 1e6
        span = f"{statistics.median(ms):,.0f} ({ms[0]:,.0f} - {ms[-1]:,.0f})"
        print(f"| {variant} | {span} | {memory:,.0f} | {found[0]['loss']:.4f} |")


if __name__ == "__main__":
    main()
