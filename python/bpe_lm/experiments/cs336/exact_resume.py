"""Kill a run in the middle, go on with it, and compare its weights with those of a run that was never killed."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bpe_lm.errors import InternalError
from bpe_lm.training.config import CHECKPOINTS, TrainConfig
from bpe_lm.training.run_checkpoint import MODEL, OPTIMIZER, find_checkpoints
from bpe_lm.training.run_log import METRICS, read_records

PATIENCE = 600.0
"""Seconds after which a run that makes no step is given up."""


def measure(config: Mapping[str, Any], steps: int = 60, rows: int = 4) -> dict[str, Any]:
    """Train a run twice, and kill one of them by SIGKILL in the middle. Both are on the CPU, in float32 and eager.

    Returns:
        The step of the kill, the step from which the run went on, and whether weights, optimizer and the losses of
        training are equal to the bit.
    """
    run = replace(
        TrainConfig.from_dict(config),
        device="cpu",
        dtype="float32",
        compile=False,
        steps=steps,
        batch_size=rows,
        micro_batch_size=0,
        log_every=1,
        validate_every=10**9,
        checkpoint_every=max(steps // 6, 1),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "config.json").write_text(json.dumps(run.as_dict()), encoding="utf-8")
        _train(folder, "whole")
        killed_at = _train(folder, "killed", kill_after=steps // 2)
        checkpoints = find_checkpoints(folder / "killed" / CHECKPOINTS)
        going_on = int(checkpoints[0].name.partition("-")[2]) if checkpoints else 0
        _train(folder, "killed")
        return {
            "steps": steps,
            "killed_at": killed_at,
            "resumed_from": going_on,
            "same_weights": _last(folder / "whole", MODEL) == _last(folder / "killed", MODEL),
            "same_optimizer": _last(folder / "whole", OPTIMIZER) == _last(folder / "killed", OPTIMIZER),
            "same_losses": _losses(folder / "whole") == _losses(folder / "killed"),
        }


def _train(folder: Path, name: str, kill_after: int = 0) -> int:
    """Train to the end, or kill the process once it has recorded this step. Returns the last step in the records."""
    command = (sys.executable, "-m", "bpe_lm", "pretrain", str(folder / "config.json"), "--out", str(folder / name))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--resume", "--quiet"], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + PATIENCE
            while process.poll() is None:
                if kill_after and _last_step(folder / name) >= kill_after:
                    process.send_signal(signal.SIGKILL)
                if time.monotonic() > deadline:
                    raise InternalError(f"a run of {name} made no progress for {PATIENCE:.0f} seconds")
                time.sleep(0.002 if kill_after else 0.05)
        finally:
            process.kill()
            process.wait()
    if process.returncode and not kill_after:
        words = (folder / "log").read_text(encoding="utf-8", errors="replace").strip()
        raise InternalError(f"a run that should have gone on ended with {process.returncode}: {words[-400:]}")
    return _last_step(folder / name)


def _last_step(run: Path) -> int:
    return max((record.get("step", 0) for record in read_records(run / METRICS)), default=0)


def _losses(run: Path) -> dict[int, float]:
    return {r["step"]: r["loss"] for r in read_records(run / METRICS) if r.get("kind") == "train"}


def _last(run: Path, name: str) -> str:
    newest = find_checkpoints(run / CHECKPOINTS)[0]
    return hashlib.sha256((newest / name).read_bytes()).hexdigest()
