"""What the package takes from torch without torch's promise that it stays: the next torch must still have it."""

import importlib
import inspect
import re
from operator import attrgetter
from pathlib import Path

import bpe_lm
import pytest
import torch

PRIVATE = {
    "torch:_foreach_add_": "kernels/adamw.py",
    "torch:_foreach_mul_": "kernels/norms.py",
    "torch:_fused_adamw_": "kernels/adamw.py",
    "torch:ops.mkldnn._linear_pointwise": "kernels/linear.py",
    "torch._dynamo.exc:TorchDynamoException": "kernels/compiler.py",
    "torch._inductor.exc:CppCompileError": "kernels/compiler.py",
    "torch._inductor.exc:InvalidCxxCompiler": "kernels/compiler.py",
    "torch._inductor.exc:OperatorIssue": "kernels/compiler.py",
    "torch._subclasses.fake_tensor:FakeTensorMode": "kernels/allocation.py",
    "torch.distributed.distributed_c10d:PrefixStore": "kernels/rendezvous.py",
    "torch.distributed.rendezvous:rendezvous": "kernels/rendezvous.py",
    "torch.utils._python_dispatch:TorchDispatchMode": "kernels/allocation.py",
    "torch.utils._pytree:tree_leaves": "kernels/allocation.py",
}
"""Modules and what is taken from them, and where it is used."""


@pytest.mark.parametrize("name", PRIVATE)
def test_torch_has_the_private_names_that_the_package_uses(name):
    module, attribute = name.split(":")
    try:
        attrgetter(attribute)(importlib.import_module(module))
    except (AttributeError, ImportError) as error:
        pytest.fail(f"torch {torch.__version__} has no {name}, which {PRIVATE[name]} uses: {error}")


def test_they_take_the_same_arguments():
    schemas = {
        torch.ops.aten._fused_adamw_.default: "self grads exp_avgs exp_avg_sqs max_exp_avg_sqs state_steps lr beta1 "
        "beta2 weight_decay eps amsgrad maximize",
        torch.ops.mkldnn._linear_pointwise.default: "X W B attr scalars algorithm",
    }
    for operator, names in schemas.items():
        found = [argument.name for argument in operator._schema.arguments]
        assert found[: len(names.split())] == names.split(), f"torch {torch.__version__}: {operator} takes {found}"


def test_the_table_has_all_that_are_used():
    used = set()
    for path in Path(inspect.getfile(bpe_lm)).parent.rglob("*.py"):
        code = path.read_text()
        used |= {name.replace(".", ":", 1) for name in re.findall(r"\btorch\.(?:\w+\.)*_[a-z]\w*(?= ?\()", code)}
        for module, names in re.findall(r"from (torch[\w.]*\._[\w.]+) import ([\w, ]+)", code):
            used |= {f"{module}:{name.split()[0]}" for name in names.split(",")}
    assert used
    assert used <= set(PRIVATE)


def test_they_are_used_in_kernels_alone():
    package = Path(inspect.getfile(bpe_lm)).parent
    private = re.compile(r"\btorch\.(?:\w+\.)*_[a-z]|^ *(?:from|import) torch[\w.]*\._", re.MULTILINE)
    users = {str(path.relative_to(package)) for path in package.rglob("*.py") if private.search(path.read_text())}
    assert users <= set(PRIVATE.values())
    assert all(place.startswith("kernels/") for place in PRIVATE.values())
