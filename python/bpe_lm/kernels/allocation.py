"""The bytes that tensors would take, counted without allocating them.

Both of torch's classes for this are private: `FakeTensorMode` gives tensors a shape and no content, and
`TorchDispatchMode` sees the result of each operation.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import finalize

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@contextmanager
def simulated_tensors() -> Iterator[AllocatedBytes]:
    """Give tensors that are created in this context no content, and count the bytes that they would take."""
    with FakeTensorMode(allow_non_fake_inputs=True), AllocatedBytes() as allocated:
        yield allocated


class AllocatedBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the storages that operations in this context created and that are alive: `now`, and at the `peak`."""

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
        address = storage._cdata
        if address not in self._sizes:
            self._sizes[address] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            finalize(storage, self._free, address)

    def _free(self, address: int) -> None:
        self.now -= self._sizes.pop(address, 0)
