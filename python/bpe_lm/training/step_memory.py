"""The memory of an eager training step, predicted from its config: of a CPU's process, or in a GPU's memory.

No formula gives the tensors that are kept for the backward pass: they depend on each operation, and change with each
line of the model. So this module simulates a step with tensors that have a shape and no content, and adds up the bytes
of those that are alive. Only the temporaries inside the loss and the unused part of a CPU's heap are formulas.

The prediction for a GPU is that of `torch.cuda.max_memory_allocated`. It needs no GPU. The CUDA context, some half a
gigabyte, and blocks that torch keeps between the sizes that it needs, come on top.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace

import torch
from torch.optim import Optimizer

from bpe_lm.kernels.allocation import LOSSES, AllocatedBytes, simulated_gpu, simulated_tensors
from bpe_lm.kernels.choices import Kernels
from bpe_lm.kernels.cross_entropy import workspace
from bpe_lm.kernels.gpu import runs_triton
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.automatic import resolve_auto
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.devices import accounted_device
from bpe_lm.training.optimizers.clipping import clip_gradients
from bpe_lm.training.optimizers.registry import new_optimizer

LIBRARIES = 40 << 20
"""Bytes of torch's code and tables that a first step touches (2.15, Linux)."""

COMPILER = 148 << 20
"""Bytes of torch's compiler. torch.utils.checkpoint imports it, also where nothing is compiled (2.15, Linux)."""

CUBLAS = 2 * (32 << 20)
"""Bytes of cuBLAS's workspaces on Hopper: 32 MiB for the thread of the forward pass, and for that of the backward pass.
torch allocates them, so they count as its own. They are smaller on older GPUs."""

_UNUSED, _UNUSED_CHECKPOINTED = 0.31, 1.05
"""Unused bytes of the heap at the peak, as a fraction of activations: 0.24 to 0.38, and 0.8 to 1.3 with activation
checkpointing, for TinyStories' shape with 16 to 128 rows, in float32 and bfloat16 (glibc)."""

_FEW_LAYERS = 4
"""The layers that are simulated, and one more to measure a layer: each further layer adds the same bytes. Of layers
that differ by their place, all are simulated."""


@dataclass(frozen=True)
class StepMemory:
    """Bytes at the peak of a training step, by their use: of one process on a CPU, or in the memory of one GPU."""

    parameters: int
    gradients: int
    optimizer: int
    activations: int
    loss: int
    unused: int
    libraries: int = LIBRARIES

    @property
    def peak(self) -> int:
        """Resident bytes above those of a process that has only imported torch, or allocated bytes of a GPU."""
        return sum(asdict(self).values())


def step_memory(config: TrainConfig, rows: int | None = None) -> StepMemory:
    """Predict the memory of an eager step that computes `rows` texts at a time (default: a micro-batch)."""
    config = as_accounted(config)
    device = accounted_device(config.device)
    config = resolve_auto(config, device).config
    rows = rows or config.micro_batch_size or config.batch_size
    layers = config.model.num_layers
    few = min(layers, _FEW_LAYERS) if len(set(config.model.places())) == 1 else layers
    parts = _parts_of(config, few, rows)
    if layers > few:
        more = _parts_of(config, few + 1, rows)
        parts = tuple(value + (layers - few) * (larger - value) for value, larger in zip(parts, more, strict=True))
    parameters, gradients, optimizer, activations, inside = parts
    if device.type == "cuda":
        return StepMemory(parameters, gradients, optimizer, activations, inside, 0, CUBLAS)
    is_again = config.activation_checkpointing
    unused = int((_UNUSED_CHECKPOINTED if is_again else _UNUSED) * activations)
    libraries = LIBRARIES + (COMPILER if is_again else 0)
    return StepMemory(parameters, gradients, optimizer, activations, inside, unused, libraries)


def as_accounted(config: TrainConfig) -> TrainConfig:
    """Return the config, on a GPU with those kernels that are chosen without a measurement.

    The kernels of attention keep about the same bytes. A GPU that is not here is taken for one from Ampere on, with
    bfloat16 and Triton.
    """
    if accounted_device(config.device).type != "cuda" or config.implementation != "fast":
        return config
    is_here = torch.cuda.is_available()
    dtype = "bfloat16" if config.dtype == "auto" and not is_here else config.dtype
    loss = config.kernels.loss
    if loss == "auto":
        loss = "triton" if not is_here or runs_triton(None) else "torch"
    return replace(
        config,
        dtype=dtype,
        kernels=Kernels(linear="torch", products="torch", attention="torch", layers="torch", loss=loss),
    )


def _parts_of(config: TrainConfig, layers: int, rows: int) -> tuple[int, ...]:
    """Return the bytes of parameters, gradients, optimizer state, activations, and temporaries inside the loss.

    On a CPU the last two are peaks of their own, whose sum is a little too high; freed memory stays with the process.
    On a GPU the last is what the loss adds to the peak of the step.
    """
    inside = _inside_the_loss(config, rows)
    if accounted_device(config.device).type != "cuda":
        return (*_tensors_of(config, layers, rows, 0), inside)
    tensors, with_loss = (_tensors_of(config, layers, rows, temporary) for temporary in (0, inside))
    return (*tensors, with_loss[-1] - tensors[-1])


def _tensors_of(config: TrainConfig, layers: int, rows: int, inside_loss: int) -> tuple[int, int, int, int]:
    """Return the bytes of parameters, gradients, optimizer state and activations of a model with `layers` layers."""
    model_config = replace(config.model, num_layers=layers)
    with torch.device("meta"):
        model = TransformerLM.from_config(model_config, implementation=config.implementation)
    model.checkpoints_activations = config.activation_checkpointing
    model.narrows_residual = config.narrows_residual
    with _simulation(config, inside_loss) as allocated:
        model.to_empty(device="cpu")
        if model_config.tied_head:
            model.token_embeddings.weight = model.lm_head.weight
        parameters = allocated.now
        loss = LanguageModelLoss(model, implementation=config.implementation, dtype=config.products_in)
        # The reference form reads the number of steps from a tensor, which has no content here.
        optimizer = new_optimizer(replace(config, implementation="fast"), model)
        _step(config, loss, optimizer, rows)
        state = allocated.now - parameters
        # The peak is that of a second step: in the first, the optimizer has no state yet.
        gradients = _step(config, loss, optimizer, rows)
    return parameters, gradients, state, allocated.peak - parameters - gradients - state


@contextmanager
def _simulation(config: TrainConfig, inside_loss: int) -> Iterator[AllocatedBytes]:
    if accounted_device(config.device).type == "cuda":
        with simulated_gpu(config.kernels, dict.fromkeys(LOSSES, inside_loss)) as allocated:
            yield allocated
    else:
        with simulated_tensors() as allocated:
            yield allocated


def _step(config: TrainConfig, loss: LanguageModelLoss, optimizer: Optimizer, rows: int) -> int:
    """Do a step, and return the bytes of its gradients."""
    ids = torch.zeros(rows, config.model.context_length, dtype=torch.int64)
    for _ in range(2 if config.micro_batch_size else 1):  # The second needs memory beside the first's gradients.
        loss(ids, ids).backward()
    clip_gradients(loss.model.parameters(), 1.0)
    optimizer.step()
    gradients = sum(p.grad.nbytes for p in loss.model.parameters() if p.grad is not None)
    optimizer.zero_grad(set_to_none=True)
    return gradients


def _inside_the_loss(config: TrainConfig, rows: int) -> int:
    """Return the bytes of the fast loss's temporaries, which the simulation does not see."""
    if config.implementation != "fast":
        return 0
    model, itemsize = config.model, 2 if config.products_in == "bfloat16" else 4
    device = accounted_device(config.device).type
    sizes = rows * model.context_length, model.d_model, model.vocab_size, itemsize
    kernels = config.kernels
    is_amx = device == "cpu" and itemsize == 2 and kernels.products == "amx"
    return workspace(*sizes, device, "amx" if is_amx else kernels.loss, is_capped=model.logit_softcap > 0)


def largest_batch(config: TrainConfig, memory: float) -> int:
    """Return the largest number of rows at a time whose step fits into `memory` bytes.

    Peaks grow nearly in proportion, so the line through two of them says where to look next. Steps that become longer
    end the search where peaks grow by leaps.
    """
    peaks = {rows: step_memory(config, rows).peak for rows in (8, 16)}
    while True:
        low = max((rows for rows, peak in peaks.items() if peak <= memory), default=0)
        high = min((rows for rows, peak in peaks.items() if peak > memory and rows > low), default=None)
        if high == low + 1:
            return low
        step = 2 ** max(len(peaks) - 8, 0)
        if low and high:
            a, b = low, high
        else:
            a, b = sorted(peaks)[:2] if high else sorted(peaks)[-2:]
        rows = a + int((memory - peaks[a]) * (b - a) / (peaks[b] - peaks[a]))
        if high:
            step = min(step, (high - low) // 2)
            rows = min(rows, high - step)
        rows = max(rows, low + step)
        peaks[rows] = step_memory(config, rows).peak
