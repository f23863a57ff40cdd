"""Workers that die or wait in the middle of a shard, when a test has put a file of that name into a folder.

A worker whose work is over before anybody is told of its progress dies or waits then. `install` changes the process
that calls it; the library knows nothing of it. A name is a verb, a shard and an end, such as count-1-kill, and only one
process follows it.
"""

import os
import signal
import time
from contextlib import suppress
from functools import partial, wraps
from pathlib import Path

FOLDER = "BPE_LM_DEATHS"


def install():
    from bpe_lm import _core
    from bpe_lm.tokenizer.tokenizer import Tokenizer

    _core.count = mortal(_core.count, "count")
    Tokenizer.encode_file = mortal(Tokenizer.encode_file, "encode")


def mortal(function, verb):
    @wraps(function)
    def call(*arguments, shard=None, **options):
        order = Path(os.environ[FOLDER], f"{verb}-{shard[0]}-kill")
        if is_taken(order):
            function(*arguments, shard=shard, **options | {"progress": partial(kill, order)})
            kill(order, "end", 0, 1)
        order = order.with_name(f"{verb}-{shard[0]}-stall")
        if is_taken(order):
            # The threads of the work do not wait for its callback, so the work is left in its middle first.
            with suppress(Left):
                function(*arguments, shard=shard, **options | {"progress": partial(leave, order)})
                leave(order, "end", 0, 1)
            time.sleep(300)
        return function(*arguments, shard=shard, **options)

    return call


def is_taken(order):
    try:
        order.rename(order.with_suffix(".taken"))
    except FileNotFoundError:
        return False
    return True


def is_middle(done, total):
    """The look for a shard's beginning has no total."""
    return total is not None and done < total


class Left(Exception):
    """The work is left in its middle."""


def kill(order, stage, done, total):
    if is_middle(done, total):
        order.with_suffix(".done").write_text(f"{stage} {done} {total}")
        os.kill(os.getpid(), signal.SIGKILL)


def leave(order, stage, done, total):
    if is_middle(done, total):
        order.with_suffix(".done").write_text(f"{stage} {done} {total}")
        raise Left
