"""The command `doctor`: what this machine has, to report a defect or to find out why something is slow."""

import argparse
import importlib.util
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from bpe_lm import _core
from bpe_lm.cli.options import add_json_option
from bpe_lm.cli.tables import print_json, print_rows
from bpe_lm.machine import available_cores, total_memory
from bpe_lm.progress import megabytes

PACKAGES = ["numpy", "rich", "matplotlib", "torch", "einops", "tokenizers", "transformers", "tiktoken"]


def add_commands(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = commands.add_parser(
        "doctor",
        help="show versions, processors and memory of this machine",
        description="Show the versions, the processors and the memory of this machine.",
    )
    add_json_option(parser)
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    found = examine()
    if options.json:
        print_json(found)
    else:
        print_rows(list(found.items()))


def examine() -> dict[str, str]:
    """Return what this machine and its packages are, by name."""
    sets = _core.instruction_sets()
    found = {
        "bpe_lm": _core.__version__ + (" (debug build: slow)" if _core.DEBUG_BUILD else ""),
        "python": f"{platform.python_version()} at {sys.executable}",
        "system": platform.platform(),
        "processors": f"{available_cores()} of {os.cpu_count()} for this process",
        "instruction sets": f"{', '.join(sets)} (in use: {sets[-1]})",
        "memory": _memory(),
        "disk here": f"{megabytes(shutil.disk_usage(Path.cwd()).free)} free",
    }
    found |= {name: _version(name) for name in PACKAGES}
    return found | {"torch device": _torch_device(), "OpenMP": _open_mp()} | _forms()


def _forms() -> dict[str, str]:
    """Return which form each operation of a training step has here, on each kind of device, and why."""
    if importlib.util.find_spec("torch") is None:
        return {}
    import torch

    from bpe_lm.kernels.choices import OPERATIONS, forms_here

    devices = ["cpu"] + ["cuda"] * torch.cuda.is_available()
    found = {}
    for device in devices:
        for operation in OPERATIONS:
            form, *others = forms_here(operation, device)
            names = [other.name for other in others if other.name != form.name]
            rest = f"; also here: {', '.join(names)}" if names else ""
            found[f"{operation} on {device}"] = f"{form.name}: needs {form.needs}; {form.because}{rest}"
    has_decoder = _core.decoder_is_available()
    found["generation on cpu"] = "one call a token: needs AVX2" if has_decoder else "torch's operations: no AVX2"
    return found


def _memory() -> str:
    limit = Path("/sys/fs/cgroup/memory.max")
    amount = megabytes(total_memory())
    if limit.exists() and (text := limit.read_text().strip()).isdigit():
        return f"{amount}, of which this group may use {megabytes(int(text))}"
    return amount


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version  # 15 ms, and every command imports this module.

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _open_mp() -> str:
    """The OpenMP library whose threads our kernels use; torch, which is imported by now, may have loaded others."""
    library = _core.open_mp_library()
    if library is None:
        return "none, kernels on the CPU make threads of their own"
    others = sorted(_loaded_open_mp() - {os.path.realpath(library)})
    return library + "".join(f"; also loaded: {other} (slow if that is torch's)" for other in others)


def _loaded_open_mp() -> set[str]:
    maps = Path("/proc/self/maps")
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = {os.path.realpath(line[line.index("/") :]) for line in lines if "/" in line}
    return {path for path in paths if re.match(r"lib(gomp|omp|iomp5)\b", Path(path).name)}


def _torch_device() -> str:
    if importlib.util.find_spec("torch") is None:
        return "none, torch is not installed"
    import torch

    if torch.cuda.is_available():
        return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return "mps" if torch.backends.mps.is_available() else "cpu"
