"""The private functions of torch that the package uses. A new torch that changes one of them fails a test here."""

import ast
import importlib
import inspect
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import bpe_lm
import pytest
import torch
from bpe_lm.kernels.compiler import compiling_deterministically, constant_when_compiled

PRIVATE = {
    "torch:_foreach_add_": "kernels/adamw.py",
    "torch:_foreach_div_": "kernels/norms.py",
    "torch:_foreach_mul_": "kernels/norms.py",
    "torch:_foreach_norm": "kernels/norms.py",
    "torch:_fused_adamw_": "kernels/adamw.py",
    "torch:ops.aten.embedding_dense_backward": "kernels/embedding.py",
    "torch:ops.mkldnn._linear_pointwise": "kernels/one_dnn.py",
    "torch._dynamo.exc:TorchDynamoException": "kernels/compiler.py",
    "torch._inductor:config": "kernels/compiler.py",
    "torch._inductor.config:patch": "kernels/compiler.py",
    "torch._inductor.exc:CppCompileError": "kernels/compiler.py",
    "torch._inductor.exc:InvalidCxxCompiler": "kernels/compiler.py",
    "torch._inductor.exc:OperatorIssue": "kernels/compiler.py",
    "torch._subclasses.fake_tensor:FakeTensorMode": "kernels/allocation.py",
    "torch.distributed.distributed_c10d:PrefixStore": "kernels/rendezvous.py",
    "torch.distributed.rendezvous:rendezvous": "kernels/rendezvous.py",
    "torch.utils._python_dispatch:TorchDispatchMode": "kernels/allocation.py",
    "torch.utils._pytree:tree_leaves": "kernels/allocation.py",
}
"""Module:name of each private thing, and the file that uses it."""

ATTRIBUTES = {"_cdata": "kernels/allocation.py"}
"""Each private attribute of torch's objects, and the file that reads it."""

UNDOCUMENTED = ("torch.distributed.distributed_c10d", "torch.distributed.rendezvous")
"""Modules that are private although their names have no underscore."""


@pytest.mark.parametrize("name", PRIVATE)
def test_torch_has_the_private_names_that_the_package_uses(name):
    module, attribute = name.split(":")
    try:
        attrgetter(attribute)(importlib.import_module(module))
    except (AttributeError, ImportError) as error:
        pytest.fail(f"torch {torch.__version__} has no {name}, which {PRIVATE[name]} uses: {error}")


def test_they_take_the_same_arguments():
    schemas = {
        torch.ops.aten.embedding_dense_backward.default: "grad_output indices num_weights padding_idx "
        "scale_grad_by_freq",
        torch.ops.aten._fused_adamw_.default: "self grads exp_avgs exp_avg_sqs max_exp_avg_sqs state_steps lr beta1 "
        "beta2 weight_decay eps amsgrad maximize",
        torch.ops.mkldnn._linear_pointwise.default: "X W B attr scalars algorithm",
    }
    for operator, names in schemas.items():
        found = [argument.name for argument in operator._schema.arguments]
        assert found[: len(names.split())] == names.split(), f"torch {torch.__version__}: {operator} takes {found}"


def test_the_compiler_has_a_deterministic_mode():
    from torch._inductor import config

    before = config.deterministic
    with compiling_deterministically():
        assert config.deterministic, f"torch {torch.__version__} does not set it"
    assert config.deterministic == before


def test_a_constant_is_marked_as_torch_marks_it():
    ours, torchs = constant_when_compiled(lambda: 1), torch.compiler.assume_constant_result(lambda: 1)
    assert vars(ours) == vars(torchs), f"torch {torch.__version__} marks it by {vars(torchs)}"


def test_one_dnn_multiplies_by_the_transposed_weight():
    x, weight = torch.arange(6.0).view(2, 3), torch.arange(12.0).view(4, 3)
    found = torch.ops.mkldnn._linear_pointwise(x, weight, None, "none", [], "")
    assert torch.equal(found, x @ weight.T), f"torch {torch.__version__}: mkldnn._linear_pointwise is not x W^T"


def test_the_gradient_of_an_embedding_adds_up_the_rows_of_equal_ids():
    gradient, ids = torch.ones(3, 2), torch.tensor([1, 3, 1])
    found = torch.ops.aten.embedding_dense_backward(gradient, ids, 4, -1, False)
    expected = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 0.0], [1.0, 1.0]])
    assert torch.equal(found, expected), f"torch {torch.__version__}: embedding_dense_backward gives {found}"


def test_the_address_of_a_storage_is_the_same_for_all_its_tensors_and_no_others():
    tensor = torch.zeros(4)
    address = tensor.untyped_storage()._cdata
    assert isinstance(address, int), f"torch {torch.__version__}: the _cdata of a storage is {address!r}"
    assert tensor[2:].untyped_storage()._cdata == address, f"torch {torch.__version__}: a view has another _cdata"
    assert torch.zeros(4).untyped_storage()._cdata != address, f"torch {torch.__version__}: _cdata is not an address"


def private_names(code: str) -> set[str]:
    """The dotted paths of torch's private names in a file: imported, used, or asked for by getattr or hasattr."""
    nodes = list(ast.walk(ast.parse(code)))
    modules, found = {"torch": "torch"}, set()
    for node in nodes:
        if isinstance(node, ast.Import):
            modules |= {alias.asname: alias.name for alias in node.names if alias.asname}
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            modules |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    inner = {node.value for node in nodes if isinstance(node, ast.Attribute)}
    return set(filter(is_private, found.union(*(paths(node, modules) for node in nodes if node not in inner))))


def paths(node: ast.AST, modules: dict[str, str]) -> Iterator[str]:
    """The dotted path of an attribute of an imported module, such as torch.ops.mkldnn._linear_pointwise."""
    if isinstance(node, ast.Attribute):
        yield from (f"{path}.{node.attr}" for path in paths(node.value, modules))
    elif isinstance(node, ast.Name) and node.id in modules:
        yield modules[node.id]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
        base, name, *_ = node.args
        if isinstance(name, ast.Constant):
            yield from (f"{path}.{name.value}" for path in paths(base, modules))


def is_private(path: str) -> bool:
    """Whether a dotted path is torch's, and in an undocumented module, below an underscore, or an internal operator."""
    parts = path.split(".")
    if parts[0] != "torch":
        return False
    has_underscore = any(part.startswith("_") and not part.endswith("__") for part in parts)
    is_operator = parts[1:2] == ["ops"] and len(parts) == 4
    return has_underscore or is_operator or path.startswith(UNDOCUMENTED)


def uses() -> dict[str, set[str]]:
    """Each file of the package with the private names in it."""
    package = Path(inspect.getfile(bpe_lm)).parent
    files = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    return {file: private_names(code) for file, code in sorted(files.items())}


def private_attributes(code: str) -> set[str]:
    """The names with one underscore that a file reads from objects, without those that it defines or sets itself."""
    nodes = list(ast.walk(ast.parse(code)))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    own |= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    own |= {node.target.id for node in nodes if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)}
    read = {node.attr for node in attributes if not ast.unparse(node).startswith("torch.")}
    return {name for name in read - own if name.startswith("_") and not name.endswith("__")}


def test_private_attributes_of_objects_are_read_where_the_table_says():
    package = Path(inspect.getfile(bpe_lm)).parent
    files = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    found = {(name, file) for file, code in files.items() for name in private_attributes(code)}
    from_argparse = {(name, file) for name, file in found if file == "cli/arguments.py"}
    assert found - from_argparse == set(ATTRIBUTES.items()), "move these into kernels/, and test what they do"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("storage._cdata", {"_cdata"}),
        ("def f(parameter):\n return parameter.grad._version", {"_version"}),
        ("class A:\n _size: int = 0\n def _f(self):\n  self._x = 1\n  return self._f(), self._x, self._size", set()),
        ("import torch\ntorch._foreach_mul_(x, y)\nx.__class__", set()),
    ],
)
def test_a_private_attribute_is_recognized(code, expected):
    assert private_attributes(code) == expected


def test_the_table_has_all_that_are_used():
    table = {name.replace(":", ".") for name in PRIVATE}
    for file, names in uses().items():
        assert names <= table, f"{file} uses {names - table}; add it to the table, and a test of what it does"


def test_private_names_are_used_in_kernels_only_and_where_the_table_says():
    found = {file: names for file, names in uses().items() if names}
    outside = {file: names for file, names in found.items() if not file.startswith("kernels/")}
    assert not outside, "move these into kernels/"
    table = [(name.replace(":", "."), file) for name, file in PRIVATE.items()]
    assert sorted(table) == sorted((name, file) for file, names in found.items() for name in names)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import torch\ntorch._foreach_mul_(x, y)", "torch._foreach_mul_"),
        ("import torch\nhasattr(torch.ops.mkldnn, '_linear_pointwise')", "torch.ops.mkldnn._linear_pointwise"),
        ("import torch\nprint(torch.__version__, torch.ops.bpe_lm)", ""),
        ("from torch._dynamo import exc", "torch._dynamo.exc"),
        ("from torch import _dynamo as d", "torch._dynamo"),
        ("def f():\n import torch._dynamo", "torch._dynamo"),
        ("import torch.distributed as dist\ndist._private()", "torch.distributed._private"),
        ("from torch.distributed.rendezvous import rendezvous", "torch.distributed.rendezvous.rendezvous"),
        ("from torch import nn\nfrom bpe_lm import _core\n_core.f(), nn.Module(), self._x", ""),
    ],
)
def test_a_private_name_is_recognized(code, expected):
    assert private_names(code) == ({expected} if expected else set())
