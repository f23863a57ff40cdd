"""The bytes that tensors would take, counted without allocating them.

Three of torch's classes for this are private, or are documented only in their source: `FakeTensorMode` gives tensors a
shape and no content, `TorchDispatchMode` sees the result of each operation, and `TorchFunctionMode` the call of a
function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bpe_lm.kernels.choices import Kernels, using
from bpe_lm.kernels.simulated import SimulatedDevice, simulating

LOSSES = ("bpe_lm::linear_cross_entropy", "bpe_lm::gpu_cross_entropy")
"""The operators of the fast loss, whose temporaries no simulation sees."""


@contextmanager
def simulated_tensors(temporaries: Mapping[str, int] | None = None) -> Iterator[AllocatedBytes]:
    """Give tensors that are created in this context no content, and count the bytes that they would take.

    `temporaries` has, by the name of an operator, the bytes that it takes and frees again while it runs.
    """
    with FakeTensorMode(allow_non_fake_inputs=True), AllocatedBytes(temporaries or {}) as allocated:
        yield allocated


@contextmanager
def simulated_gpu(kernels: Kernels, temporaries: Mapping[str, int]) -> Iterator[AllocatedBytes]:
    """Count the bytes as `simulated_tensors` does, of the tensors that a GPU with these kernels would keep.

    The tensors say that they are on the CPU. Kernels are chosen as on a GPU, and attention and RMSNorm keep what
    torch's kernels for GPUs keep.
    """
    with (
        using(kernels),
        simulating(SimulatedDevice("cuda", has_triton=kernels.loss == "triton")),
        simulated_tensors(temporaries) as allocated,
        _GpuFunctions(),
    ):
        yield allocated


class AllocatedBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that operations in this context created and that are alive: `now`, and at the `peak`."""

    def __init__(self, temporaries: Mapping[str, int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}
        self._temporaries = temporaries

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        if self._temporaries:
            self.peak = max(self.peak, self.now + self._temporaries.get(function.name().partition(".")[0], 0))
        return result

    def _add(self, storage: Any) -> None:
        address = storage._cdata
        if address not in self._sizes:
            self._sizes[address] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            finalize(storage, self._free, address)

    def _free(self, address: int) -> None:
        self.now -= self._sizes.pop(address, 0)


class _GpuFunctions(TorchFunctionMode):
    """Replace functions whose kernels for GPUs keep other tensors by operations that keep those, and compute nothing.

    On a CPU, torch composes both of other operations.
    """

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function is functional.rms_norm:
            return _SimulatedRmsNorm.apply(args[0], kwargs["weight"] if "weight" in kwargs else args[2])
        if function is not functional.scaled_dot_product_attention:
            return function(*args, **kwargs)
        q, k, v = args[:3]
        if torch.is_autocast_enabled("cpu"):
            q, k, v = (tensor.to(torch.get_autocast_dtype("cpu")) for tensor in (q, k, v))
        return _SimulatedAttention.apply(q, k, v)


class _SimulatedRmsNorm(torch.autograd.Function):
    """What torch's fused RMSNorm keeps: input and weight, and for each row the reciprocal of its root mean square."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight, x.new_empty(x.shape[:-1]))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        x, weight, _ = ctx.saved_tensors
        return torch.empty_like(x), None if weight is None else torch.empty_like(weight)


class _SimulatedAttention(torch.autograd.Function):
    """What FlashAttention 2 (bfloat16) and the memory-efficient kernel (float32) keep and take, by their sources.

    Both keep q, k, v, the outputs, and for each query the logarithm of its sum of exponentials. The backward pass
    needs one number for each query, and FlashAttention a gradient of q in float32, whose sizes are rounded up. cuDNN's
    kernel keeps the same tensors; the size of its workspace is not documented.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        batch, heads, length, _ = q.shape
        outputs = q.new_empty(batch, length, heads, v.shape[-1]).transpose(1, 2)
        ctx.save_for_backward(q, k, v, outputs, q.new_empty(batch, heads, length, dtype=torch.float32))
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v, *_ = ctx.saved_tensors
        batch, heads, length, d = q.shape
        rows, columns = 128 * ceil(length / 128), 32 * ceil(d / 32)
        wide = q.new_empty(batch, heads, rows, columns if q.dtype != torch.float32 else 0, dtype=torch.float32)
        sums = q.new_empty(batch, heads, rows, dtype=torch.float32)
        results = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        del wide, sums
        return results
