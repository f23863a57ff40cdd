"""The place of a process among others on a machine: its share of the threads, and its GPU."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bpe_lm.experiments.work import Job, Work
from bpe_lm.machine import available_cores


def places(jobs: int, devices: Sequence[str]) -> list[Mapping[str, str]]:
    """Return the environment of the process at each place: its threads, and the GPU that it sees."""
    count = min(jobs, len(devices)) if devices else jobs
    gpus = [_gpu(device) for device in devices[:count]] or [{}] * count
    return [{**_threads(count), **gpu} for gpu in gpus]


def _threads(processes: int) -> dict[str, str]:
    """Return the environment in which each of several processes has its share of the threads."""
    if processes == 1:
        return {}
    given = os.environ.get("OMP_NUM_THREADS", "")
    all_threads = int(given) if given.isdigit() and given != "0" else available_cores()
    share = str(max(all_threads // processes, 1))
    return {"OMP_NUM_THREADS": share, "MKL_NUM_THREADS": share}


def _gpu(device: str) -> dict[str, str]:
    """Return the environment in which a process sees one GPU, such as "cuda:1", of those that this process sees."""
    number = device.partition(":")[2] or "0"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else []
    return {"CUDA_VISIBLE_DEVICES": names[int(number)] if int(number) < len(names) else number}


def on_devices(works: Sequence[Work], devices: Sequence[str]) -> Sequence[Work]:
    """Return works that train on the GPU that their process sees, whatever number their configs have."""
    return [_on_any_gpu(work) for work in works] if devices else works


def _on_any_gpu(work: Work) -> Work:
    """Return a work that trains on the GPU that its process sees, whatever number its config has."""
    if isinstance(work, Job) or not work.config.device.startswith("cuda:"):
        return work
    return replace(work, config=replace(work.config, device="cuda"))
