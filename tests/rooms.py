"""The folders of the Python package, and the imports between them.

    python tests/rooms.py           report each import that is not allowed; exit with 1 if there is any
    python tests/rooms.py --draw    rewrite the drawings of the imports in docs/architecture.md

The folders lie in layers, and a file imports from its own folder and from lower layers. Every import counts: at the top
of a file, inside a function, under `if TYPE_CHECKING:`, and by the name of a module as a string.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import rust_modules
from rust_modules import Graph, circles, reachable

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "python" / "bpe_lm"
PAGE = ROOT / "docs" / "architecture.md"

BASE, TOP = "base", "top"
"""The names of two layers without a folder: helpers such as errors.py, and the package's `__init__` and `__main__`."""

LAYERS: tuple[tuple[str, ...], ...] = (
    (BASE,),
    ("tokenizer", "data", "kernels"),
    ("model", "cluster"),
    ("training",),
    ("export", "experiments"),
    ("cli",),
    (TOP,),
)
"""The folders of each layer, the lowest layer first."""

HEIGHT = {folder: height for height, folders in enumerate(LAYERS) for folder in folders}

_IS_MODULE = re.compile(rf"{PACKAGE.name}(\.\w+)+")


def folder_of(module: str, packages: set[str]) -> str:
    """Return the folder of a module, `base` for a file beside the folders, or `top` for the package itself."""
    parts = module.split(".")
    if len(parts) == 1 or parts[1] == "__main__":
        return TOP
    return parts[1] if len(parts) > 2 or module in packages else BASE


def imports(package: Path) -> Graph:
    """Return each module of a package with the modules of the package that it imports."""
    files = {module_of(path, package): path for path in sorted(package.rglob("*.py"))}
    modules = files.keys() | {module_of(path, package) for path in package.rglob("*.pyi")}
    graph = {}
    for module, path in files.items():
        imported = {_module_in(name, modules) for name in _imported_names(path, module)}
        graph[module] = {other for other in imported if other is not None and other != module}
    return graph


def module_of(path: Path, package: Path) -> str:
    """Return the dotted name of a file; that of `__init__.py` is its folder's."""
    parts = [package.name, *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def packages_in(package: Path) -> set[str]:
    """Return the dotted names of the package's folders that have an `__init__.py`."""
    return {module_of(path, package) for path in package.rglob("__init__.py")}


def _imported_names(path: Path, module: str) -> Iterator[str]:
    """Yield the dotted name of everything that a file imports; relative imports are resolved."""
    parents = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) + 1 - node.level] if node.level else []
            for alias in node.names:
                yield ".".join([*base, *([node.module] if node.module else []), alias.name])
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _IS_MODULE.fullmatch(node.value):
            yield node.value  # As importlib.import_module takes it.


def _module_in(name: str, modules: set[str]) -> str | None:
    """Return the module that a dotted name leads to: `bpe_lm.files.write_whole` leads to `bpe_lm.files`."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def forbidden_imports(graph: Graph, packages: set[str]) -> list[str]:
    """Return one sentence for each import that does not lead to a lower layer or the same folder."""
    faults = []
    for module, others in sorted(graph.items()):
        folder = folder_of(module, packages)
        if folder not in HEIGHT:
            faults.append(f"{module}: {folder} is in no layer; add it to LAYERS in tests/rooms.py")
            continue
        for other in sorted(others):
            other_folder = folder_of(other, packages)
            if other_folder == TOP:
                faults.append(f"{module} imports {other}: import from the file that defines the name")
            elif other_folder != folder and HEIGHT.get(other_folder, len(LAYERS)) >= HEIGHT[folder]:
                faults.append(f"{module} imports {other}: {other_folder} is not in a layer below {folder}")
    return faults


def faults(package: Path) -> list[str]:
    """Return one sentence for each import of a package that is not allowed, and for each circle."""
    graph = imports(package)
    found = forbidden_imports(graph, packages_in(package))
    return found + [f"a circle of imports: {', '.join(group)}" for group in circles(graph)]


# The drawings


def folder_graph(package: Path) -> Graph:
    """Return each folder of a package with the other folders that its files import."""
    packages = packages_in(package)
    graph: Graph = defaultdict(set)
    for module, others in imports(package).items():
        folder = folder_of(module, packages)
        graph[folder] |= {folder_of(other, packages) for other in others} - {folder}
    return dict(graph)


def reduced(graph: Graph) -> Graph:
    """Return a graph without the arrows that a chain of other arrows implies.

    Raises:
        ValueError: The graph has a circle.
    """
    if found := circles(graph):
        raise ValueError(f"a circle cannot be drawn downward: {', '.join(found[0])}")
    return {
        name: {other for other in others if not any(other in reachable(graph, third) for third in others)}
        for name, others in graph.items()
    }


def mermaid(graph: Graph) -> str:
    """Return a graph as a Mermaid flowchart whose arrows run downward."""
    lines = [f"    {name} --> {other}" for name in sorted(graph) for other in sorted(graph[name])]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def rust_graph() -> Graph:
    """Return the crate's folders, and its files beside them, with those that they use.

    `lib` is left out, because it declares all of them.
    """
    graph = rust_modules.folders(rust_modules.imports(ROOT / "src"))
    return {name: others for name, others in graph.items() if name != "lib"}


def drawings() -> dict[str, str]:
    """Return the text of each drawing by the name in its markers."""
    graphs = {"python": folder_graph(PACKAGE), "rust": rust_graph()}
    return {name: mermaid(reduced(graph)) for name, graph in graphs.items()}


def drawn(page: str) -> str:
    """Return a page with the drawings between `<!-- drawing NAME -->` and `<!-- end -->` as they should be."""
    for name, drawing in drawings().items():
        start = f"<!-- drawing {name}, by `python tests/rooms.py --draw` -->"
        if start not in page:
            raise ValueError(f"{PAGE} lacks the marker {start}")
        before, _, rest = page.partition(start)
        page = f"{before}{start}\n{drawing}\n<!-- end -->{rest.partition('<!-- end -->')[2]}"
    return page


def main() -> int:
    """Draw, or report; return the exit status."""
    if sys.argv[1:] == ["--draw"]:
        PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    found = faults(PACKAGE)
    for fault in found:
        print(fault)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
