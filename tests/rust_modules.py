"""The graph of the crate's modules, read from its source, and the circles in it.

A module is a file. An edge leads from a file to each file whose items it names, in a `use` or in a path such as
`crate::job::Job`. A re-export is followed to the file that defines the item, so the `mod.rs` of a folder is a table of
contents and lies on no path. Comments, strings and `#[cfg(test)] mod` blocks are left out: a test may use any module.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

Graph = dict[str, set[str]]
Names = dict[str, list[str]]

# Text without paths: comments, strings, characters and the scopes of `pub(in ...)`.
SILENT = re.compile(
    r"""
      //[^\n]* | /\*.*?\*/
    | b?r(?P<hashes>\#*)".*?"(?P=hashes) | b?"(?:\\.|[^"\\])*" | b?'(?:\\.[^']*|[^'\\])'
    | \bpub\([^)]*\)
    """,
    re.DOTALL | re.VERBOSE,
)
TEST_MODULE = re.compile(r"#\[cfg\(test\)\](?:\s*#\[[^\]]*\])*\s*(?:pub\s+)?mod\s+\w+\s*\{")
INLINE_MODULE = re.compile(r"\bmod\s+(\w+)\s*\{")
USE = re.compile(r"\buse\s+(?P<tree>[^;]+);")
PATH = re.compile(r"(?<![\w:.])[a-z]\w*(?:\s*::\s*\w+)+")


def code(text: str) -> str:
    """Remove comments, strings and test modules."""
    text = SILENT.sub(" ", text)
    while match := TEST_MODULE.search(text):
        text = text[: match.start()] + text[end_of_block(text, match.end()) :]
    return text


def end_of_block(text: str, start: int) -> int:
    """The position behind the brace that closes the block whose first position is `start`."""
    depth = 1
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at + 1
    return len(text)


def leaves(tree: str) -> Iterator[tuple[list[str], str]]:
    """Yield the path of each item of a use tree, and the name that it gets. `a::{b, c::d as e}` has two."""
    head, brace, rest = tree.strip().partition("{")
    if not brace:
        path, _, alias = head.partition(" as ")
        parts = [part.strip() for part in path.split("::") if part.strip()]
        if parts[-1:] == ["self"] and len(parts) > 1:
            parts.pop()
        if parts:
            yield parts, alias.strip() or parts[-1]
        return
    prefix = [part.strip() for part in head.split("::") if part.strip()]
    inside, depth, start = rest.rpartition("}")[0], 0, 0
    for at, character in enumerate(inside + ","):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            for parts, name in leaves(inside[start:at]):
                yield (prefix, prefix[-1]) if parts == ["self"] and prefix else ([*prefix, *parts], name)
            start = at + 1


class Crate:
    """The files of a crate, by module path ("merges::pair"), and what each declares and re-exports."""

    def __init__(self, src: Path) -> None:
        self.files: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.exports: dict[str, Names] = {}
        self.globs: dict[str, list[list[str]]] = {}
        for path in sorted(src.rglob("*.rs")):
            parts = list(path.relative_to(src).with_suffix("").parts)
            name = "::".join(parts[:-1] if parts[-1] == "mod" else parts)
            module = "" if name == "lib" else name
            self.files[module] = "/".join(parts)
            self.texts[module] = code(path.read_text(encoding="utf-8"))
        for module, text in self.texts.items():
            self.exports[module], self.globs[module] = {}, []
            for use in USE.finditer(text):
                for parts, name in leaves(use["tree"]):
                    if name == "*":
                        self.globs[module].append(parts[:-1])
                    else:
                        self.exports[module][name] = parts

    def absolute(self, module: str, parts: list[str]) -> list[str] | None:
        """The path from the root of the crate, or None for a path that leads out of it."""
        here = module.split("::") if module else []
        if parts[0] == "crate":
            return parts[1:]
        if parts[0] in ("self", "super"):
            while parts and parts[0] in ("self", "super"):
                here = here[:-1] if parts[0] == "super" else here
                parts = parts[1:]
            return here + parts
        if "::".join([*here, parts[0]]) in self.files:
            return here + parts
        source = self.exports.get(module, {}).get(parts[0], parts)
        if source[0] != parts[0]:
            return self.absolute(module, source + parts[1:])
        for glob in self.globs.get(module, ()):
            base = self.absolute(module, glob) if glob[0] in ("crate", "self", "super") else None
            if base is not None and "::".join([*base, parts[0]]) in self.files:
                return base + parts
        return None

    def definer(self, parts: list[str], seen: frozenset[str] = frozenset()) -> str | None:
        """The module that defines the item of an absolute path: re-exports are followed."""
        path = "::".join(parts)
        if path in self.files:
            return path
        if path in seen or not parts:
            return None
        for length in range(len(parts) - 1, -1, -1):
            module = "::".join(parts[:length])
            if module not in self.files:
                continue
            name, rest = parts[length], parts[length + 1 :]
            if name in self.exports[module]:
                source = self.absolute(module, self.exports[module][name])
                return None if source is None else self.definer(source + rest, seen | {path})
            for glob in self.globs[module]:
                source = self.absolute(module, glob)
                found = None if source is None else self.definer([*source, name], seen | {path})
                if found is not None and re.search(rf"\b{name}\b", self.texts[found]):
                    return found
            return module
        return None

    def used(self, module: str) -> set[str]:
        """The other modules whose items a module names."""
        return self.named(module, self.texts[module]) - {module}

    def named(self, module: str, text: str) -> set[str]:
        """The modules whose items a text in a module names. In an inline module `super` is the module around it."""
        used = set()
        while match := INLINE_MODULE.search(text):
            end = end_of_block(text, match.end())
            used |= self.named(f"{module}::{match[1]}", text[match.end() : end - 1])
            text = text[: match.start()] + text[end:]
        paths = [parts for use in USE.finditer(text) for parts, _ in leaves(use["tree"])]
        paths += [re.split(r"\s*::\s*", match[0]) for match in PATH.finditer(USE.sub(" ", text))]
        for parts in paths:
            path = self.absolute(module, parts[:-1] if parts[-1] == "*" else parts)
            definer = None if path is None else self.definer(path)
            if definer is not None:
                used.add(definer)
        return used


def imports(src: Path) -> Graph:
    """The files that each file uses. A file is named by its path under `src` without `.rs`."""
    crate = Crate(src)
    return {file: {crate.files[used] for used in crate.used(module)} for module, file in crate.files.items()}


def folders(graph: Graph) -> Graph:
    """The same graph between the rooms: a folder at the top, or a file beside it."""
    rooms: Graph = {}
    for file, used in graph.items():
        room = file.split("/")[0]
        rooms.setdefault(room, set()).update(name.split("/")[0] for name in used)
        rooms[room].discard(room)
    return rooms


def circles(graph: Graph) -> list[list[str]]:
    """The strongly connected components of more than one node, each sorted."""
    reached = {node: reachable(graph, node) for node in graph}
    found: list[list[str]] = []
    for node in sorted(graph):
        circle = sorted(other for other in reached[node] if node in reached.get(other, ()))
        if len(circle) > 1 and circle not in found:
            found.append(circle)
    return found


def reachable(graph: Graph, start: str) -> set[str]:
    """The nodes at the end of some path from `start`."""
    seen: set[str] = set()
    ahead = [start]
    while ahead:
        for node in graph.get(ahead.pop(), ()):
            if node not in seen:
                seen.add(node)
                ahead.append(node)
    return seen


def main(src: Path) -> int:
    """Print each circle between files and between folders; return 1 if there is one."""
    graph = imports(src)
    if not graph:
        print(f"{src} has no Rust files; name the folder of the crate's sources", file=sys.stderr)
        return 1
    by_file = circles(graph)
    for circle in by_file + [circle for circle in circles(folders(graph)) if circle not in by_file]:
        print("these Rust modules use each other in a circle: " + ", ".join(circle))
        edges = [f"  {node} uses {used}" for node in circle for used in sorted(graph.get(node, set()) & set(circle))]
        print("\n".join(edges or ["  (folders: a file of each uses one of the next)"]))
    return 1 if by_file or circles(folders(graph)) else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "src")))
