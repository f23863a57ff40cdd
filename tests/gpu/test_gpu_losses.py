"""Losses and gradients on a device, against those in float64 on the CPU."""

import pytest

LIMITS = {"float32": (1e-5, 1e-4), "bfloat16": (3e-3, 6e-2)}
"""The largest relative errors of a loss and of a gradient."""


@pytest.fixture(scope="module")
def found(device, script) -> dict[str, tuple[float, float]]:
    return script("compare_with_float64.py", device)


VALUES = {"pre", "post", "none", "rope", "swiglu", "silu", "relu2", "True", "False", "record"}


@pytest.mark.parametrize("mode", ["eager", "compiled"])
@pytest.mark.parametrize("dtype", LIMITS)
def test_losses_and_gradients_are_those_of_the_formulas_for_every_switch(found, device, dtype, mode):
    cases = {name: errors for name, errors in found.items() if name.endswith(f"{dtype} {mode}")}
    assert len(cases) == {"cuda": {"eager": 37, "compiled": 4}, "cpu": {"eager": 4, "compiled": 1}}[device][mode]
    if (device, mode) != ("cpu", "compiled"):
        assert {word for name in cases for word in name.split()} >= VALUES
    for name, errors in cases.items():
        assert errors[0] < LIMITS[dtype][0], (name, errors)
        assert errors[1] < LIMITS[dtype][1], (name, errors)


def test_bfloat16_is_not_float32(found):
    """The check above would also pass if the number format had no effect."""
    wide, narrow = (
        [errors[1] for name, errors in found.items() if name.split()[-2] == dtype] for dtype in ("float32", "bfloat16")
    )
    assert min(narrow) > 10 * max(wide)
