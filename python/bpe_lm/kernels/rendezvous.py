"""The store through which the processes of torchrun find each other.

`torch.distributed` lists neither `rendezvous` nor `PrefixStore` among its public names, so a test looks for both.
"""

from __future__ import annotations

from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous


def torchrun_store(prefix: str = "") -> tuple[PrefixStore, int, int]:
    """Open torchrun's store with a prefix for all keys. Returns it, this process's rank and the number of all."""
    store, rank, size = next(rendezvous("env://"))
    return PrefixStore(prefix, store), rank, size
