"""Values and errors that the processes of a run send each other, as JSON in tensors of bytes.

torch's own collectives for Python objects pickle them, and a pickle can run code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from bpe_lm import errors
from bpe_lm.errors import BpeLmError, InternalError

Json = Any
"""A JSON value: None, a bool, a number, a text, or a list or dict of JSON values."""

T = TypeVar("T")


def broadcast(value: Json, source: int) -> Json:
    """Return the value of the process of rank `source`. All processes call this together."""
    device = device_of_messages()
    content = list(json.dumps(value).encode()) if dist.get_rank() == source else []
    size = torch.tensor(len(content), device=device)
    dist.broadcast(size, source)
    message = torch.tensor(content or [0] * int(size), dtype=torch.uint8, device=device)
    dist.broadcast(message, source)
    return json.loads(bytes(message.tolist()))


def gather(value: Json) -> list[Json]:
    """Return the values of all processes by rank. All processes call this together."""
    return [broadcast(value, source) for source in range(dist.get_world_size())]


def device_of_messages() -> str:
    """Return the kind of device that can exchange tensors with other processes."""
    return "cuda" if dist.get_backend() == "nccl" else "cpu"


def attempt(function: Callable[[], T]) -> tuple[T | None, Exception | None]:
    """Call a function. Returns its result, or its error as one that `error_as_json` can describe."""
    try:
        return function(), None
    except (BpeLmError, OSError) as error:
        return None, error
    except Exception as error:
        internal = InternalError(f"{type(error).__name__}: {error}")
        internal.__cause__ = error
        return None, internal


def error_as_json(error: Exception | None) -> Json:
    """Return an error of `attempt` as a JSON value."""
    if error is None:
        return None
    if isinstance(error, BpeLmError):
        return {"type": type(error).__name__, "message": str(error)}
    assert isinstance(error, OSError)
    return {"type": "OSError", "number": error.errno, "message": error.strerror or str(error), "file": error.filename}


def error_of_json(content: Json) -> Exception | None:
    """Return the error that another process described."""
    if content is None:
        return None
    if content["type"] != "OSError":
        kind = getattr(errors, content["type"])
        error: Exception = kind(content["message"])
        return error
    if content["number"] is None:
        return OSError(content["message"])
    return OSError(content["number"], content["message"], content["file"])
