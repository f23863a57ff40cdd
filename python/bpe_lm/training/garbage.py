"""Python's garbage collector, which pauses a step for tens of milliseconds, and is switched off in the loop."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Switch the collector off in this context, and let it never look again at the objects that exist before it.

    Afterwards the collector is what it was, also after an error. `collect_new_garbage` collects in between.
    """
    was_enabled, had_frozen = gc.isenabled(), gc.get_freeze_count()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        if not had_frozen:
            gc.unfreeze()
        if was_enabled:
            gc.enable()


def collect_new_garbage() -> None:
    """Collect the objects that became unreachable since the collector was switched off: few, so it takes little."""
    gc.collect()
