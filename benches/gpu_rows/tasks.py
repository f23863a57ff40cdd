"""The argument with which the process of a variant is started."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gpu_rows.variants import Variant


def task_of(variant: Variant | None, options: dict[str, Any]) -> str:
    """Return the argument; a variant of None asks for the machine."""
    return json.dumps({"variant": None if variant is None else asdict(variant), "options": options})
