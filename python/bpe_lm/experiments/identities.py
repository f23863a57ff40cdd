"""The identity of a work: what its result depends on. A result with this identity need not be computed again."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from bpe_lm import _core
from bpe_lm.errors import FileError, InternalError
from bpe_lm.experiments.moving import without_folder
from bpe_lm.experiments.work import Job, Work, input_sha256
from bpe_lm.training.identity import planned_identity

PACKAGE = Path(__file__).parents[1]

SOURCES = "sources"
"""The key of an identity that `keep_old_code` ignores."""

REASONS = {
    "config": "its config is another",
    "data": "its tokens are others",
    "command": "its command is another",
    "inputs": "the files that it reads are others",
    SOURCES: "the code that computes it is other code",
}
"""What it means that a key of two identities differs."""

Identity = Mapping[str, str]


def identity_of(work: Work, folder: Path) -> dict[str, str]:
    """Return the identity of a work of the study in `folder`. The study may be moved without changing it.

    Raises:
        FileError: An input does not exist, or could not be read.
    """
    if not isinstance(work, Job):
        return planned_identity(work.config)
    command = json.dumps([work.module, *(without_folder(argument, folder, ".") for argument in work.arguments)])
    modules = (work.module, *work.arguments[:1]) if work.module == "bpe_lm.experiments.job" else (work.module,)
    try:
        return {
            "command": _sha256(command),
            "inputs": _sha256(json.dumps([input_sha256(path) for path in work.inputs])),
            SOURCES: _sha256(json.dumps([sources_sha256(work.sources), *map(_module_sha256, modules)])),
        }
    except OSError as error:
        raise FileError(f"{work.name} reads {error.filename}, which cannot be read: {error.strerror}") from error


def differences(old: Identity | None, new: Identity, *, keep_old_code: bool = False) -> list[str]:
    """Return the keys in which an old identity differs from a new one; None, which is not known, differs in all."""
    wanted = [key for key in new if not (keep_old_code and key == SOURCES)]
    return [key for key in wanted if old is None or old.get(key) != new[key]]


def reasons(keys: Iterable[str]) -> str:
    """Return the differences of two identities as words."""
    return ", and ".join(REASONS.get(key, f"its {key} is another") for key in keys)


def sources_sha256(folders: Iterable[str]) -> str:
    """Return the hash of the Python files in folders of this package, and of the code in Rust that they call.

    The sources of the tokenizer in Rust are not known here: the whole compiled library stands for them.
    """
    names = sorted(set(folders))
    paths = sorted(path for name in names for path in (PACKAGE / name).rglob("*.py"))
    files = {path.relative_to(PACKAGE).as_posix(): _sha256(path.read_text("utf-8")) for path in paths}
    if "kernels" in names:
        files["kernels in Rust"] = _core.kernel_sources_sha256()
    if "tokenizer" in names:
        library = Path(_core.__file__)
        files["library"] = _library_sha256(library, library.stat().st_mtime_ns)
    return _sha256(json.dumps(files))


@cache
def _library_sha256(path: Path, modified: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _module_sha256(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise InternalError(f"there is no module {module}")
    return _sha256(Path(spec.origin).read_text("utf-8"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
