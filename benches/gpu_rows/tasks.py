"""The argument with which the process of a variant is started."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from gpu_rows.variants import Variant


def task_of(variant: Variant, options: dict[str, Any]) -> str:
    """Return the argument of the process of a variant."""
    return json.dumps({"variant": asdict(variant), "options": options})


def first_task(variants: list[Variant], options: dict[str, Any]) -> str:
    """Return the argument of the process that describes the machine, and chooses the kernels of all variants."""
    return json.dumps({"variant": None, "variants": [asdict(variant) for variant in variants], "options": options})
