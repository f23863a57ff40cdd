"""The rooms of the Python package and the doors between them: which file imports which, and whether it may.

    python tests/rooms.py            exit with 1 if an import runs sideways or upwards, or if there is a circle
    python tests/rooms.py --draw     rewrite the drawing in docs/architecture.md

Every import counts: at the top of a file, inside a function, and for a type checker alone.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "bpe_lm"
LAYERS: tuple[tuple[str, ...], ...] = (
    ("root",),
    ("tokenizer", "data", "kernels"),
    ("model",),
    ("training",),
    ("export", "experiments"),
    ("cli",),
    ("top",),
)
"""From the lowest. A file imports from its own room and from the rooms of lower layers."""

Graph = dict[str, set[str]]
"""A file's module, and the modules of the package that it imports."""


def room_of(module: str) -> str:
    """The folder of a module; `root` for a file beside the folders, `top` for the package itself and __main__."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__main__":
        return "top"
    return parts[1] if len(parts) > 2 else "root"


def imports(package: Path) -> Graph:
    """Every module of a package with the modules of the package that it imports."""
    files = {module_of(path, package): path for path in sorted(package.rglob("*.py"))}
    stubs = {module_of(path, package): path for path in sorted(package.rglob("*.pyi"))}
    modules = files.keys() | stubs.keys()
    return {
        module: {found for name in _imported(path, module) if (found := _nearest(name, modules)) and found != module}
        for module, path in files.items()
    }


def module_of(path: Path, package: Path) -> str:
    """The dotted name of a file: a folder's `__init__.py` is the folder."""
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(path: Path, module: str) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            ancestors = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*ancestors, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _nearest(name: str, modules: set[str]) -> str | None:
    """The module that a dotted name is in: `bpe_lm.files.write_whole` is in `bpe_lm.files`."""
    while name not in modules:
        name = name.rpartition(".")[0]
        if not name:
            return None
    return name


def wrong_imports(graph: Graph) -> list[str]:
    """Imports that run sideways or upwards, one sentence each."""
    height = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
    found = []
    for module, others in sorted(graph.items()):
        room = room_of(module)
        if room not in height:
            found.append(f"{module} is in no known room; the rooms are {', '.join(height)}")
            continue
        for other in sorted(others):
            other_room = room_of(other)
            if other_room != room and height.get(other_room, len(LAYERS)) >= height[room]:
                found.append(f"{module} imports {other}, which is not below it")
    return found


def circles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import each other, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(graph.get(module, ())):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            start = stack.index(module)
            group = sorted(stack[start:])
            del stack[start:]
            if len(group) > 1:
                found.append(group)

    for module in sorted(graph):
        if module not in index:
            visit(module)
    return found


def faults(package: Path) -> list[str]:
    """What is wrong with the imports of a package, one sentence each."""
    graph = imports(package)
    return wrong_imports(graph) + [f"a circle of imports: {', '.join(group)}" for group in circles(graph)]


if __name__ == "__main__":
    found = faults(Path("python", PACKAGE))
    print("\n".join(found), end="\n" if found else "")
    sys.exit(bool(found))
