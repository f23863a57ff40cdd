"""Which form computes an operation: the dispatch table, and the forms that this process uses.

A form is chosen by what the machine has (its instruction sets, its kind of device) and by a measurement: one that is
recorded in benches/record, or one on this machine where two machines with the same instructions differ. No choice
depends on the name of a vendor or a model. A run keeps its choices in config.json, because another form rounds
otherwise.

This file imports no torch, so that a config can be read without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from typing import Literal

from bpe_lm import _core
from bpe_lm.errors import ConfigError
from bpe_lm.fields import check_types, key

Operation = Literal["linear", "products", "attention", "layers", "loss"]
LinearForm = Literal["auto", "onednn", "torch"]
ProductsForm = Literal["auto", "amx", "torch"]
AttentionForm = Literal["auto", "amx", "avx512", "torch", "triton", "flash", "flash3", "cudnn", "efficient", "math"]
LayersForm = Literal["auto", "avx512", "torch"]
LossForm = Literal["auto", "avx512", "triton", "torch"]


@dataclass(frozen=True)
class Kernels:
    """The forms of the operations that a step is made of; auto is replaced when a run begins."""

    linear: LinearForm = key("auto", "matrix products in float32")
    products: ProductsForm = key("auto", "gradients of weights in a run in bfloat16")
    attention: AttentionForm = key("auto", "self-attention")
    layers: LayersForm = key("auto", "norms and SwiGLU between products of bfloat16 on a CPU")
    loss: LossForm = key("auto", "cross-entropy of the head")

    def __post_init__(self) -> None:
        check_types(self, "kernels")


def _has_avx512_bf16() -> bool:
    return _core.kernels_are_available()


def _has_amx() -> bool:
    return _core.amx_is_available()


def _has_one_dnn() -> bool:
    from bpe_lm.kernels.one_dnn import HAS_ONE_DNN

    return HAS_ONE_DNN and _has_avx512_bf16()


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_triton() -> bool:
    from bpe_lm.kernels.gpu import runs_triton

    return runs_triton(None)


def _has_flash_3() -> bool:
    from bpe_lm.kernels.gpu_attention import why_no_flash_3

    return not why_no_flash_3()


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Form:
    """A row of the dispatch table: a way to compute an operation, and when it is taken."""

    operation: Operation
    name: str
    device: str
    """The kind of device that it runs on, or "any"."""
    needs: str
    """What the machine must have, in words."""
    because: str
    """The measurement that decided it."""
    is_here: Callable[[], bool]
    """Whether the machine has what it needs."""


_MEASURED = "chosen if it is the fastest for the shape when a run begins"

_DEVICES_RECORD = "benches/record/6-gpu-and-intel.md"
_RECORD = "benches/record/4-language-model.md"

TABLE = (
    Form(
        "linear",
        "torch",
        "cpu",
        "AMX, and the faster of two libraries here",
        f"Xeon with AMX: gradients of weights at 310 GFLOP/s, oneDNN's at 205 ({_DEVICES_RECORD})",
        _has_amx,
    ),
    Form(
        "linear",
        "onednn",
        "cpu",
        "AVX512-BF16, and the faster of two libraries here",
        f"Zen 5: a step takes 1.15 s, not 2.18 ({_RECORD})",
        _has_one_dnn,
    ),
    Form("linear", "torch", "any", "nothing", "every other machine", _always),
    Form(
        "products",
        "amx",
        "cpu",
        "AMX, by permission of the operating system",
        f"Xeon with AMX: oneDNN takes 1.4 times as long ({_DEVICES_RECORD})",
        _has_amx,
    ),
    Form("products", "torch", "any", "nothing", "torch calls oneDNN or cuBLAS", _always),
    Form(
        "attention",
        "amx",
        "cpu",
        "AMX, by permission of the operating system; float32 takes AVX-512",
        f"Xeon with AMX: both passes take 16 ms, by AVX512-BF16 34 ({_DEVICES_RECORD})",
        _has_amx,
    ),
    Form(
        "attention",
        "avx512",
        "cpu",
        "AVX512-BF16",
        f"Zen 5: both passes take 10 ms, torch's 67 ({_RECORD})",
        _has_avx512_bf16,
    ),
    Form("attention", "torch", "any", "nothing", "torch picks a kernel by its own rules", _always),
    Form("attention", "triton", "cuda", "Triton and an NVIDIA GPU from Ampere on", _MEASURED, _has_triton),
    Form("attention", "cudnn", "cuda", "cuDNN, bfloat16", _MEASURED, _has_cuda),
    Form("attention", "flash", "cuda", "an NVIDIA GPU, bfloat16", _MEASURED, _has_cuda),
    Form("attention", "flash3", "cuda", "Hopper and flash_attn_interface, bfloat16", _MEASURED, _has_flash_3),
    Form("attention", "efficient", "cuda", "an NVIDIA GPU", _MEASURED, _has_cuda),
    Form("attention", "math", "any", "nothing", "never chosen: it writes all scores", _always),
    Form(
        "layers",
        "avx512",
        "cpu",
        "AVX512-BF16",
        f"Xeon with AMX: one pass over the rows in place of three ({_DEVICES_RECORD})",
        _has_avx512_bf16,
    ),
    Form("layers", "torch", "any", "nothing", "every other machine", _always),
    Form(
        "loss",
        "triton",
        "cuda",
        "Triton and an NVIDIA GPU from Ampere on",
        f"H200: a compiled loss of all logits takes 1.04 of the time and 2.6 times the memory ({_DEVICES_RECORD})",
        _has_triton,
    ),
    Form(
        "loss",
        "avx512",
        "cpu",
        "AVX512-BF16",
        f"Zen 5: 179 ms, torch's operations 219 ({_RECORD})",
        _has_avx512_bf16,
    ),
    Form("loss", "torch", "any", "nothing", "every other machine", _always),
)
"""All forms of each operation, the preferred first."""


def forms_here(operation: Operation, device: str) -> list[Form]:
    """Return the forms of an operation that this machine can run on a kind of device, the preferred first."""
    return [form for form in TABLE if form.operation == operation and form.device in (device, "any") and form.is_here()]


@cache
def preferred(operation: Operation, device: str) -> str:
    """Return the name of the form that is taken where nothing was measured."""
    return forms_here(operation, device)[0].name


def check_is_here(operation: Operation, name: str, device: str) -> None:
    """Check that this machine can run a form.

    Raises:
        ConfigError: It cannot; the message names the forms that it can run.
    """
    here = [form.name for form in forms_here(operation, device)]
    if name in here:
        return
    needs = next((form.needs for form in TABLE if (form.operation, form.name) == (operation, name)), "another device")
    raise ConfigError(
        f"kernels.{operation} is {name}, which needs {needs}, and this machine runs {', '.join(here)} on {device}; "
        f"give --kernels.{operation} {here[0]}, which rounds otherwise"
    )


_in_use = Kernels()


def in_use() -> Kernels:
    """Return the forms that this process uses; auto is the preferred one."""
    return _in_use


@contextmanager
def using(kernels: Kernels) -> Iterator[None]:
    """Use these forms in the whole process while the context lasts."""
    global _in_use
    before, _in_use = _in_use, kernels
    try:
        yield
    finally:
        _in_use = before


OPERATIONS: tuple[Operation, ...] = tuple(f.name for f in fields(Kernels))  # type: ignore[misc]
