"""Joined token files: a list of files that are read as one, without a copy of their ids."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bpe_lm import checks
from bpe_lm.errors import FileError, FormatError, OutputExists, TokenFileError
from bpe_lm.files import StrPath, check_file_target, check_is_local, write_whole
from bpe_lm.tokenizer.manifest import Identified, Manifest, read_manifest

FORMAT, VERSION = "bpe_lm joined token files", 1


@dataclass(frozen=True)
class Part:
    """One of the joined files."""

    path: str
    manifest: Manifest


@dataclass(frozen=True)
class JoinedManifest(Manifest):
    """The description of joined token files, as if they were one file. `parts` are the files, in order.

    `crc32` has the checksums of all parts, `sources` their sources, each once, and `skipped_lines` and `text_bytes` are
    sums.
    """

    parts: tuple[Part, ...]


def is_joined(path: StrPath) -> bool:
    """Return whether a path names joined files: it has a description, and no file of ids."""
    return not os.path.exists(path) and os.path.exists(f"{os.fspath(path)}.json")


def join_tokens(parts: Sequence[StrPath], out: StrPath, *, force: bool = False) -> JoinedManifest:
    """Write `OUT.json`, by which `open_tokens(OUT)` reads token files as one. The ids stay where they are.

    Args:
        parts: Token files in order, or joined files, which stand for their parts. Shards of a corpus must be all of its
            shards, in order.
        out: The name of the joined files. Beside it only `OUT.json` is written.
        force: Replace an `OUT.json` of joined files.

    Raises:
        TokenFileError: A part is incomplete, or has another tokenizer or type of ids than the first; a shard is missing
            or out of order.
        OutputExists: `out` or its description exists.
        FileError: A file could not be read or written.
    """
    paths, target = [os.fspath(path) for path in checks.paths("parts", parts)], checks.path("out", out)
    description = check_joined_target(target, force=force)
    found = [part for path in paths for part in _parts_of(path)]
    _check_alike(found)
    _check_shards(found)
    folder = description.parent
    folder.mkdir(parents=True, exist_ok=True)
    entries = [{"path": _beside(part.path, folder), **_identity(part.manifest)} for part in found]
    first = found[0].manifest
    values = {
        "format": FORMAT,
        "version": VERSION,
        "dtype": first.dtype,
        "count": sum(part.manifest.count for part in found),
        "tokenizer": first.tokenizer,
        "parts": entries,
    }
    write_whole(description, (json.dumps(values) + "\n").encode())
    return read_joined(target)


def check_joined_target(out: str, *, force: bool) -> Path:
    """Return the path of the description of joined files.

    Raises:
        OutputExists: It exists and `force` is False, or a file has the name of the joined files.
        FileError: The path cannot be examined, or is an address on another machine.
    """
    check_is_local(out)
    description = Path(f"{out}.json")
    check_file_target(description)
    if os.path.lexists(out):
        raise OutputExists(f"{out} exists, and joined files have no file of this name; name another path")
    if os.path.lexists(description) and not force:
        raise OutputExists(f"{description} exists already; name another path, or give --force (force=True)")
    return description


def manifest_of(path: StrPath, *, tokenizer: Identified | None = None, dtype: str | None = None) -> Manifest:
    """Read the description of a token file or of joined files, and check the lengths of the files.

    Raises:
        TokenFileError: A file is incomplete, or has another type or another tokenizer; or a joined file was moved or
            changed.
        FormatError: The description of joined files is damaged.
        FileError: A file could not be read.
    """
    read = read_joined if is_joined(path) else read_manifest
    return read(path, tokenizer=tokenizer, dtype=dtype)


def read_joined(path: StrPath, *, tokenizer: Identified | None = None, dtype: str | None = None) -> JoinedManifest:
    """Read the description of joined files, and compare it with those of its parts.

    Raises:
        TokenFileError: A part was moved, changed or cut off since; the message names it.
        FormatError: The description is damaged.
        FileError: A file could not be read.
    """
    name = f"{os.fspath(path)}.json"
    entries, values = _entries(name)
    parts = []
    for entry in entries:
        file = os.path.join(os.path.dirname(name), entry["path"])
        if not os.path.exists(file):
            raise TokenFileError(
                f"{file}, a part of {os.fspath(path)}, does not exist; move it back, or join the parts again"
            )
        manifest = read_manifest(file, tokenizer=tokenizer, dtype=dtype)
        if _identity(manifest) != {key: entry[key] for key in entry if key != "path"}:
            raise TokenFileError(
                f"{file} was changed since it became a part of {os.fspath(path)}; join the parts again"
            )
        parts.append(Part(file, manifest))
    _check_alike(parts)
    joined = _described(parts)
    if [values.get(key) for key in ("dtype", "count", "tokenizer")] != [joined.dtype, joined.count, joined.tokenizer]:
        raise FormatError(f"{name} contradicts the descriptions of its parts; join the parts again")
    return joined


def _described(parts: Sequence[Part]) -> JoinedManifest:
    manifests = [part.manifest for part in parts]
    first = manifests[0]
    sources = {json.dumps(source): source for manifest in manifests for source in manifest.sources}
    index = None
    if all(manifest.index is not None for manifest in manifests):
        index = {"documents": sum(manifest.documents or 0 for manifest in manifests)}
    return JoinedManifest(
        dtype=first.dtype,
        count=sum(manifest.count for manifest in manifests),
        data_offset=0,
        tokenizer=first.tokenizer,
        vocab_size=max(manifest.vocab_size for manifest in manifests),
        special=first.special,
        separator=first.separator,
        text_bytes=sum(manifest.text_bytes for manifest in manifests),
        skipped_lines=sum(manifest.skipped_lines for manifest in manifests),
        sources=list(sources.values()),
        shard=None,
        index=index,
        block_bytes=first.block_bytes,
        crc32=[sum_ for manifest in manifests for sum_ in manifest.crc32],
        parts=tuple(parts),
    )


def _parts_of(path: str) -> list[Part]:
    return list(read_joined(path).parts) if is_joined(path) else [Part(path, read_manifest(path))]


def _identity(manifest: Manifest) -> dict[str, Any]:
    return {"count": manifest.count, "index": manifest.index, "shard": manifest.shard, "crc32": manifest.crc32}


def _check_alike(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        if part.manifest.tokenizer != first.manifest.tokenizer:
            raise TokenFileError(
                f"{part.path} was made by another tokenizer ({part.manifest.tokenizer:.12}...) than {first.path} "
                f"({first.manifest.tokenizer:.12}...); encode its texts with the same"
            )
        if part.manifest.dtype != first.manifest.dtype:
            raise TokenFileError(
                f"the ids of {part.path} are {part.manifest.dtype}, and those of {first.path} {first.manifest.dtype}; "
                "encode its texts with the same --dtype (dtype)"
            )


def _check_shards(parts: Sequence[Part]) -> None:
    """Check that each shard follows the one before it, and that the last one of its corpus is there."""
    due, corpus = (0, 0), None
    for part in parts:
        shard, sources = part.manifest.shard, part.manifest.sources
        found = (shard["index"], shard["of"]) if shard else (0, 1)
        if due[0] and (found != due or sources != corpus):
            raise TokenFileError(
                f"shard {due[0]}/{due[1]} is missing before {part.path}; join all shards in their order"
            )
        if not due[0] and found[0]:
            raise TokenFileError(f"shard 0/{found[1]} is missing before {part.path}; join all shards in their order")
        due, corpus = ((found[0] + 1) % found[1], found[1]), sources
    if due[0]:
        raise TokenFileError(
            f"shard {due[0]}/{due[1]} is missing after {parts[-1].path}; join all shards in their order"
        )


def _beside(part: str, folder: Path) -> str:
    """Return the path of a part from the folder of the description, if it lies below it, else the absolute path."""
    path, base = os.path.realpath(part), os.path.realpath(folder)
    return os.path.relpath(path, base) if path.startswith(base.rstrip(os.sep) + os.sep) else path


def _entries(name: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    try:
        with open(name, encoding="utf-8") as file:
            values = json.load(file)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{name} is not JSON: {error}") from None
    except OSError as error:
        raise FileError(f"could not read {name}: {error.strerror}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise TokenFileError(f"{name} describes a token file that does not exist; encode it again, or move it back")
    if values.get("version") != VERSION:
        raise FormatError(f"{name} has version {values.get('version')!r}, and this version of bpe-lm reads {VERSION}")
    entries = values.get("parts")
    if not isinstance(entries, list) or not entries or not all(map(_is_entry, entries)):
        raise FormatError(f"{name} lists no parts, or not as they are written; join the parts again")
    return entries, values


def _is_entry(entry: Any) -> bool:
    names = {"path", "count", "index", "shard", "crc32"}
    return isinstance(entry, dict) and set(entry) == names and isinstance(entry["path"], str)
