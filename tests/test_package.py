"""The package as a whole: its names are typed and imported when they are used, and nothing in it prints by itself."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import bpe_lm
import pytest

PACKAGE = Path(bpe_lm.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

MAY_PRINT = {"__main__.py", "progress.py", "experiments/job.py"}
"""The files outside of cli/ that print: the start of the command, the display of progress, and the process of a
measurement, whose result is what it prints."""

MYPY = """
[mypy]
follow_imports = silent
mypy_path = {package}
[mypy-torch.*,numpy.*,jaxtyping.*,safetensors.*,einops.*,rich.*,matplotlib.*,IPython.*,gguf.*,wandb.*,trackio.*]
follow_imports = skip
follow_imports_for_stubs = True
ignore_missing_imports = True
"""
"""Without the packages of others, which would take minutes."""


def names_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports_of(source: str):
    """The names that a program imports from the package, also in programs that it has as strings."""
    try:
        nodes = list(ast.walk(ast.parse(dedent(source))))
    except SyntaxError:
        return
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "bpe_lm":
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "bpe_lm" in node.value:
            yield from imports_of(node.value)


@pytest.mark.parametrize("folder", ["tests", "benches", "."])
def test_programs_import_names_that_are_there(folder):
    """Also those that run for long or on a GPU, and are rarely tried."""
    root = PACKAGE.parents[1] / folder
    paths = root.glob("*.py" if folder == "." else "**/*.py")
    names = {name for path in paths for name in imports_of(path.read_text(encoding="utf-8"))}
    assert len(names) > 1
    for module, name in sorted(names):
        if not hasattr(importlib.import_module(module), name):
            importlib.import_module(f"{module}.{name}")


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name != "cli"], ids=names_of)
def test_no_library_prints(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    prints = [node.lineno for node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == "print"]
    writes = [node.lineno for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.stdout"]
    if names_of(path) in MAY_PRINT:
        assert not writes
    else:
        assert not prints + writes, f"{path} prints in the lines {prints + writes}; return the text, and print in cli/"


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "files.py"], ids=names_of)
def test_the_type_of_a_path_has_one_name(path):
    assert "os.PathLike[" not in path.read_text(encoding="utf-8"), f"{path}: take StrPath of bpe_lm.files"


def test_the_three_lists_of_public_names_agree():
    """Those for a type checker, for `from bpe_lm import *`, and for the import of each name when it is used."""
    imported = {}
    for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for statement in node.body:
                if statement.module != "typing":
                    imported |= {alias.name: statement.module for alias in statement.names}
    at_once = {"DEBUG_BUILD", "StreamDecoder", "__version__"}
    assert imported.pop("errors") == "bpe_lm"
    assert {name: f"bpe_lm.{module}" for name, module in bpe_lm._MODULES.items()} == imported
    assert sorted(bpe_lm.__all__) == sorted({*imported, *at_once, "errors"})
    assert len(set(bpe_lm.__all__)) == len(bpe_lm.__all__)


def test_every_public_name_is_there_and_listed():
    assert set(dir(bpe_lm)) >= set(bpe_lm.__all__)
    for name in bpe_lm.__all__:
        assert getattr(bpe_lm, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bpe_lm.nothing  # noqa: B018


def test_no_public_name_is_also_a_modules():
    """The import of a module `bpe_lm.x` would replace a function `bpe_lm.x`."""
    modules = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert set(bpe_lm.__all__) & modules == {"errors"}


def test_a_type_checker_sees_the_classes_and_functions(tmp_path):
    (tmp_path / "mypy.ini").write_text(MYPY.format(package=PACKAGE.parent))
    (tmp_path / "snippet.py").write_text(
        "import bpe_lm\nfrom bpe_lm import TransformerLM\nreveal_type(TransformerLM)\nreveal_type(bpe_lm.train_bpe)\n"
    )
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "snippet.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    model, train = [line for line in done.stdout.splitlines() if "Revealed type" in line]
    assert "-> bpe_lm.model.transformer.TransformerLM" in model
    assert "-> tuple[dict[int, bytes], list[tuple[bytes, bytes]]]" in train


def test_training_imports_no_slow_modules():
    """A small corpus is learned in some hundredths of a second, and these modules take one or two."""
    check = (
        "import sys; before = set(sys.modules); import bpe_lm; bpe_lm.train_bpe(iter(['a b']), 257, []); "
        "print(*{'json', 'pathlib', 're', 'typing'} & (set(sys.modules) - before))"
    )
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout
    assert found.split() == []
