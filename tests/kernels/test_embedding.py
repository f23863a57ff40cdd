"""The gradient of an embedding: an operator where its order is fixed, and the compiler's own elsewhere."""

import pytest
import torch
from bpe_lm.kernels.embedding import embedding
from bpe_lm.kernels.simulated import SimulatedDevice, simulating

OPERATOR = "bpe_lm.embedding.default"


@pytest.fixture
def deterministic():
    """Set torch's deterministic algorithms, which the end of the test resets."""
    yield torch.use_deterministic_algorithms
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("device", "is_deterministic", "is_hidden"),
    [("cpu", False, True), ("cpu", True, True), ("cuda", False, False), ("cuda", True, True), ("mps", True, False)],
)
def test_a_compiler_sees_the_gradient_where_any_order_is_allowed_on_a_gpu(
    device, is_deterministic, is_hidden, deterministic
):
    """The settings of the process decide when it compiles, and a change of them compiles again."""
    weight, ids = torch.randn(10, 4, requires_grad=True), torch.tensor([[1, 3], [3, 9]])
    seen = []

    def backend(graph, inputs):
        seen.append([str(node.target) for node in graph.graph.nodes])
        return graph

    torch.compiler.reset()
    compiled = torch.compile(lambda table, rows: embedding(table, rows).sin(), dynamic=False, backend=backend)
    with simulating(SimulatedDevice(device, has_triton=False)):
        for setting in (not is_deterministic, is_deterministic, is_deterministic):
            deterministic(setting)
            found = compiled(weight, ids)
    assert (OPERATOR in seen[-1]) == is_hidden
    assert len(seen) == 2 if device == "cuda" else 1 <= len(seen) <= 2
    assert torch.equal(found, weight[ids].sin())


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("is_deterministic", [False, True])
def test_the_gradient_adds_up_the_rows_of_equal_ids(device, is_deterministic, deterministic):
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(7, 3, generator=generator, requires_grad=True)
    ids = torch.randint(7, (4, 50), generator=generator)
    outer = torch.randint(-8, 8, (4, 50, 3), generator=generator).float()  # Sums that no order changes.
    deterministic(is_deterministic)
    with simulating(SimulatedDevice(device, has_triton=False)):
        (found,) = torch.autograd.grad(embedding(weight, ids), weight, outer)
    expected = torch.zeros(7, 3)
    for row, gradient in zip(ids.flatten().tolist(), outer.flatten(0, 1), strict=True):
        expected[row] += gradient
    assert torch.equal(found, expected)
