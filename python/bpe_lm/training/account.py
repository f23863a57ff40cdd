"""What a run will cost, before it starts: parameters, floating-point operations, memory.

Operations are counted by formula, as the course does: 2 for each product and sum of a matrix product, nothing for the
rest, and three forward passes for a step. Memory is not: what is kept for the backward pass depends on each operation
and changes with each line of the model. So a step is done with tensors that have a shape and no content, and what would
be alive is added up; only what the loss takes inside is a formula.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bpe_lm.kernels.cross_entropy import workspace
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tables import print_table
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.devices import peak_flops
from bpe_lm.training.optimizers import clip_gradients, optimizer_of

_LIBRARIES = 180 << 20
"""Code and tables of torch that a first step touches: 172 MiB in float32, 188 in bfloat16 (torch 2.15, Linux)."""

_UNUSED, _UNUSED_CHECKPOINTED = 0.31, 1.05
"""What lies unused in the heap at the peak, as a share of activations: 0.24 to 0.38, and with activation checkpointing
0.8 to 1.3, for TinyStories' shape with 16 to 128 rows, in float32 and bfloat16 (glibc)."""


@dataclass(frozen=True)
class Flops:
    """Of a forward pass over one text of `context_length` tokens."""

    projections: float
    scores: float
    ffn: float
    head: float

    @property
    def total(self) -> float:
        """Of all parts."""
        return sum(asdict(self).values())

    def shares(self) -> dict[str, float]:
        """Each part's of all."""
        return {name: value / self.total for name, value in asdict(self).items()}


def forward_flops(config: ModelConfig, matrices: int | None = None) -> Flops:
    """With L layers, T tokens: 8 L T d^2 + 4 L T^2 d + 2 m L T d d_ff + 2 T d V, where m is the FFN's matrices."""
    layers, tokens, d = config.num_layers, config.context_length, config.d_model
    return Flops(
        projections=8.0 * layers * tokens * d**2,
        scores=4.0 * layers * tokens**2 * d,
        ffn=2.0 * (matrices or config.ffn_matrices) * layers * tokens * d * config.d_ff,
        head=2.0 * tokens * d * config.vocab_size,
    )


def count_parameters(config: ModelConfig, matrices: int | None = None) -> int:
    """All weights; a tied head counts once."""
    d, norms = config.d_model, config.norm != "none"
    block = 4 * d**2 + (matrices or config.ffn_matrices) * d * config.d_ff + 2 * d * norms
    embeddings = (1 if config.tied_head else 2) * config.vocab_size * d
    return config.num_layers * block + embeddings + d * norms


@dataclass(frozen=True)
class CourseMemory:
    """Training with AdamW in float32 by the course's formula: `fixed` + batch x `per_text`, in bytes."""

    fixed: int
    per_text: int

    def largest_batch(self, memory: float) -> int:
        """How many texts fit."""
        return max(int((memory - self.fixed) // self.per_text), 0)


def course_memory(config: ModelConfig, matrices: int | None = None) -> CourseMemory:
    """16 bytes a parameter (weight, gradient, m and v), and 4 for each value that an operation makes.

    Those are L ((8 T d + 2 (m - 1) T d_ff) + 2 h T^2) + T d + 2 T V; that nothing is fused or overwritten is the
    course's assumption, and not what happens.
    """
    layers, tokens, d = config.num_layers, config.context_length, config.d_model
    hidden = 2 * ((matrices or config.ffn_matrices) - 1) * tokens * config.d_ff
    block = 8 * tokens * d + hidden + 2 * config.num_heads * tokens**2
    values = layers * block + tokens * d + 2 * tokens * config.vocab_size
    return CourseMemory(16 * count_parameters(config, matrices), 4 * values)


def training_seconds(flops: Flops, batch: int, steps: int, peak: float, mfu: float) -> float:
    """Of so many steps at a share of a device's peak; a backward pass is two forward passes."""
    return 3 * flops.total * batch * steps / (peak * mfu)


@dataclass(frozen=True)
class StepMemory:
    """Bytes at the peak of a training step, of one process."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    loss: int
    unused: int

    @property
    def peak(self) -> int:
        """Resident memory above that of a process that has only imported torch."""
        return sum(asdict(self).values()) + _LIBRARIES


def step_memory(config: TrainConfig, rows: int | None = None) -> StepMemory:
    """What tensors take at the peak of an eager step on a CPU with so many rows at a time (default: the micro-batch).

    Those that exist only inside of the loss are added by a formula.
    """
    rows = rows or config.micro_batch_size or config.batch_size
    with torch.device("meta"):
        model = TransformerLM.from_config(config.model, implementation=config.implementation)
    model.checkpoints_activations = config.activation_checkpointing
    with FakeTensorMode(allow_non_fake_inputs=True), _Alive() as alive:
        model.to_empty(device="cpu")
        if config.model.tied_head:
            model.token_embeddings.weight = model.lm_head.weight
        parameters = alive.now
        loss = LanguageModelLoss(model, implementation=config.implementation, dtype=config.dtype)
        optimizer = optimizer_of(config, model)
        optimizer_bytes = 0
        for _ in range(2):  # The first has no state of the optimizer yet.
            ids = torch.zeros(rows, config.model.context_length, dtype=torch.int64)
            for _ in range(2 if config.micro_batch_size else 1):  # The second has gradients of the first beside it.
                loss(ids, ids).backward()
            clip_gradients(model.parameters(), 1.0)
            before = alive.now
            optimizer.step()
            optimizer_bytes = optimizer_bytes or alive.now - before
            gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
            optimizer.zero_grad(set_to_none=True)
    activations = alive.peak - parameters - gradients - optimizer_bytes
    within = 0
    if config.implementation == "fast":
        within = workspace(
            rows * config.model.context_length,
            config.model.d_model,
            config.model.vocab_size,
            2 if config.dtype == "bfloat16" else 4,
        )
    share = _UNUSED_CHECKPOINTED if config.activation_checkpointing else _UNUSED
    return StepMemory(parameters, gradients, optimizer_bytes, activations, within, int(share * activations))


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of all storages that were made and are not yet freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: Any) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


def largest_batch(config: TrainConfig, memory: float) -> int:
    """How many rows fit at a time: above some, activations grow in proportion to them."""
    rows = 16
    for _ in range(2):
        half, whole = (step_memory(config, number).peak for number in (rows // 2, rows))
        found = rows + int((memory - whole) // ((whole - half) / (rows - rows // 2)))
        rows = max(found, 2)
    while found > 0 and step_memory(config, found).peak > memory:
        found -= 1
    return max(found, 0)


def parameter_tree(model: TransformerLM) -> Iterator[str]:
    """Lines: each module with the number of its weights; layers that are alike are one line."""
    yield f"TransformerLM ({model.num_parameters():,} params)"
    children = [(name, child) for name, child in model.named_children() if name != "layers"]
    blocks: list[tuple[str, Any]] = [(f"layers: {len(model.layers)} x TransformerBlock", model.layers[0])]
    yield from _branches([*children[:1], *blocks, *children[1:]], "")


def _branches(children: list[tuple[str, Any]], indent: str) -> Iterator[str]:
    shown = [(name, child) for name, child in children if any(True for _ in child.parameters())]
    for number, (name, child) in enumerate(shown):
        is_last = number == len(shown) - 1
        count = sum(parameter.numel() for parameter in child.parameters())
        shapes = " x ".join(map(str, child.weight.shape)) if hasattr(child, "weight") else ""
        yield f"{indent}{'└── ' if is_last else '├── '}{name} ({count:,} params{', ' if shapes else ''}{shapes})"
        yield from _branches(list(child.named_children()), indent + ("    " if is_last else "│   "))


@dataclass(frozen=True)
class Account:
    """All that can be said of a run before it starts. Memory in bytes, of one process."""

    config: TrainConfig
    tree: list[str]
    memory: StepMemory
    device_memory: int
    largest_batch: int
    flops_per_second: float | None
    """What this machine's matrix products reach; of a GPU, what its data sheet says, where that is known."""

    @property
    def run_flops(self) -> float:
        """Of all steps; a backward pass is two forward passes."""
        return 3 * forward_flops(self.config.model).total * self.config.batch_size * self.config.steps

    @property
    def least_seconds(self) -> float | None:
        """Of all steps, were they nothing but matrix products at this machine's full rate."""
        return self.run_flops / self.flops_per_second if self.flops_per_second else None

    @classmethod
    def of(cls, config: TrainConfig, device_memory: int | None = None) -> Account:
        """Of a config, on a device with so much memory (default: this machine's)."""
        device_memory = device_memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        with torch.device("meta"):
            tree = list(parameter_tree(TransformerLM.from_config(config.model)))
        memory, batch = step_memory(config), largest_batch(config, device_memory)
        return cls(config, tree, memory, device_memory, batch, peak_flops(_device(config), config.dtype))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        model = self.config.model
        return {
            "parameters": count_parameters(model),
            "forward_flops_per_text": {m: asdict(forward_flops(model, m)) for m in (3, 2)},
            "flops_per_step": 3 * forward_flops(model).total * self.config.batch_size,
            "flops_of_run": self.run_flops,
            "flops_per_second": self.flops_per_second,
            "least_seconds": self.least_seconds,
            "memory_is_of": "cpu",
            "memory": asdict(self.memory) | {"peak": self.memory.peak},
            "course_memory": {m: asdict(course_memory(model, m)) for m in (3, 2)},
            "device_memory": self.device_memory,
            "largest_batch": self.largest_batch,
        }

    def print(self) -> None:
        """Tables on stdout."""
        model = self.config.model
        print("\n".join(self.tree), end="\n\n")
        own = model.ffn_matrices
        columns = [forward_flops(model, m) for m in (own, 5 - own)]
        print(f"Forward pass of one text of {model.context_length:,} tokens, FLOPs:")
        names = ("part", f"{own} matrices in the FFN (this model)", f"{5 - own} matrices")
        rows = [
            (part, *(f"{asdict(flops)[part]:.3e} ({flops.shares()[part]:.2%})" for flops in columns))
            for part in columns[0].shares()
        ]
        rows += [("all", *(f"{flops.total:.3e}" for flops in columns))]
        step = [f"{3 * flops.total * self.config.batch_size:.3e}" for flops in columns]
        print_table(names, [*rows, (f"step of {self.config.batch_size} texts", *step)])
        print(f"\nThe run: {self.config.steps:,} steps, {self.run_flops:.3e} FLOPs{self._time()}\n")
        rows_at_once = self.config.micro_batch_size or self.config.batch_size
        print(f"Memory of a step on a CPU, {rows_at_once} texts at a time, {self.config.dtype}, not compiled:")
        parts = asdict(self.memory) | {"libraries": _LIBRARIES, "peak": self.memory.peak}
        print_table(("part", "GB"), [(name, gigabytes(value)) for name, value in parts.items()])
        print(
            f"\nTexts at a time that fit into {gigabytes(self.device_memory)} GB: {self.largest_batch:,}, by these "
            "figures of a CPU (a GPU's kernels keep other tensors, which were not measured)"
        )
        for matrices in (own, 5 - own):
            course = course_memory(model, matrices)
            print(
                f"By the course's formula, {matrices} matrices: {gigabytes(course.per_text)} GB x batch + "
                f"{gigabytes(course.fixed)} GB, so {course.largest_batch(self.device_memory):,}"
            )

    def _time(self) -> str:
        if self.least_seconds is None or self.flops_per_second is None:
            return ""
        rate = f"{self.flops_per_second / 1e9:,.0f} GFLOP/s in {self.config.dtype}"
        if _device(self.config).type == "cpu":
            source = f"its matrix products reach {rate} now, with the number of threads that torch has"
        else:
            source = f"its data sheet says {rate}"
        return f"\nAt least {duration(self.least_seconds)} on this machine: {source}; a step reaches a part of that"


def _device(config: TrainConfig) -> torch.device:
    """Where the run would be on this machine; a CPU where it has no such GPU."""
    is_wanted = config.device == "auto" or config.device.startswith("cuda")
    return torch.device("cuda" if is_wanted and torch.cuda.is_available() else "cpu")


def duration(seconds: float) -> str:
    """In the greatest unit of which there are two."""
    units = (("days", 86_400), ("hours", 3600), ("minutes", 60))
    name, length = next(((name, length) for name, length in units if seconds >= 2 * length), ("seconds", 1))
    return f"{seconds / length:,.1f} {name}" if seconds >= 2 else f"{seconds:.2g} seconds"


def gigabytes(number: float) -> str:
    """With two decimals."""
    return f"{number / 1e9:,.2f}"
