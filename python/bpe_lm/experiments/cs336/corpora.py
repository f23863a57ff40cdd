"""The texts of a reproduction: given files, the course's corpora if they are there, or made-up stories."""

from __future__ import annotations

import gzip
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bpe_lm import _core
from bpe_lm.errors import CorpusError, FileError, OptionError
from bpe_lm.experiments.cs336.setting import CORPORA, NAMES, Corpus, CorpusKey, Split
from bpe_lm.files import write_whole

OFFICIAL: Mapping[CorpusKey, Mapping[Split, tuple[str, ...]]] = {
    "tinystories": {"train": ("TinyStoriesV2-GPT4-train.txt",), "valid": ("TinyStoriesV2-GPT4-valid.txt",)},
    "owt": {"train": ("owt_train.txt", "owt_train.txt.gz"), "valid": ("owt_valid.txt", "owt_valid.txt.gz")},
}
"""The names of the course's files."""

LEAST_BYTES: Mapping[str, float] = {
    "TinyStoriesV2-GPT4-train.txt": 2.2e9,
    "TinyStoriesV2-GPT4-valid.txt": 2.2e7,
    "owt_train.txt": 11.5e9,
    "owt_train.txt.gz": 4e9,
    "owt_valid.txt": 2.8e8,
    "owt_valid.txt.gz": 1e8,
}
"""A file of the course's name that is smaller than this is a part of the corpus."""

PLACES: Mapping[CorpusKey, str] = {"tinystories": "TinyStories' place", "owt": "OpenWebText's place"}
SEEDS: Mapping[CorpusKey, int] = {"tinystories": 336, "owt": 1337}
SEPARATOR = b"<|endoftext|>"
VALID_SHARE, MOST_VALID = 0.1, 10_000_000
"""The share of a text, and the most bytes, that are split off for validation where no file for it is given."""

TEXTS = "texts"
"""The folder of the texts that a reproduction makes itself."""


@dataclass(frozen=True)
class Given:
    """The files of a corpus that a person named. Without `train`, the corpus is looked for, or made up."""

    train: Path | None = None
    valid: Path | None = None


def find_corpora(
    folder: Path,
    given: Mapping[CorpusKey, Given],
    data: Path | None,
    sample_bytes: Mapping[CorpusKey, int],
    most_valid: int | None = None,
) -> dict[CorpusKey, Corpus]:
    """Return both corpora. What has to be made is written into `folder`/texts.

    Args:
        folder: The folder of the reproduction.
        given: The files that a person named.
        data: Where the course's files are looked for; None looks nowhere.
        sample_bytes: The bytes of made-up stories to train on, in the place of each corpus that is not found.
        most_valid: The bytes of a text to validate on that are used; None uses all of it.

    Raises:
        OptionError: A validation file is given without a file to train on, or a text cannot be split.
        CorpusError: A given file does not exist.
        FileError: A file could not be written.
    """
    texts = folder / TEXTS
    found = {key: _find(key, texts, given.get(key, Given()), data, sample_bytes[key]) for key in CORPORA}
    return {key: _with_most(key, corpus, texts, most_valid) for key, corpus in found.items()}


def _find(key: CorpusKey, texts: Path, given: Given, data: Path | None, sample_bytes: int) -> Corpus:
    if given.train is None and given.valid is not None:
        raise OptionError(f"--{key}-valid is given without --{key}, the text to train on; give both")
    if given.train is not None:
        for path in (given.train, given.valid):
            if path is not None and not path.is_file():
                raise CorpusError(f"{path} is not a file; name a text with --{key} and --{key}-valid")
        return _corpus(key, given.train, given.valid, texts)
    train = official(key, "train", data)
    return (
        _sample(key, texts, sample_bytes) if train is None else _corpus(key, train, official(key, "valid", data), texts)
    )


def _corpus(key: CorpusKey, train: Path, valid: Path | None, texts: Path) -> Corpus:
    title = _title(key, train)
    if valid is None:
        return Corpus(title, *split_off_end(train, texts, key), is_official=False)
    is_official = _is_official(key, "train", train)
    if is_official and not _is_official(key, "valid", valid):
        title, is_official = f"{title} (validation on {valid.name}, {valid.stat().st_size / 1e6:,.1f} MB)", False
    return Corpus(title, train.resolve(), valid.resolve(), is_official)


def _with_most(key: CorpusKey, corpus: Corpus, texts: Path, most: int | None) -> Corpus:
    """Return a corpus with at most `most` bytes to validate on: the first documents of its text."""
    packed = corpus.valid.suffix == ".gz"
    if most is None or (not packed and corpus.valid.stat().st_size <= most):
        return corpus
    try:
        with gzip.open(corpus.valid) if packed else corpus.valid.open("rb") as file:
            start = file.read(most)
    except OSError as error:
        raise CorpusError(f"could not read {corpus.valid}: {error}") from error
    ends = (start.rfind(mark) + len(mark) for mark in (SEPARATOR, b"\n") if mark in start)
    texts.mkdir(parents=True, exist_ok=True)
    target = texts / f"{key}-valid-first.txt"
    write_whole(target, start[: next(ends, len(start))])
    title = f"{corpus.title} (validation on its first {most / 1e6:,.1f} MB)"
    return Corpus(title, corpus.train, target, corpus.is_official)


def official(key: CorpusKey, split: Split, data: Path | None) -> Path | None:
    """Return the course's file of a split of a corpus, if it is in a folder."""
    paths = [] if data is None else [data / name for name in OFFICIAL[key][split]]
    return next((path for path in paths if path.is_file()), None)


def _is_official(key: CorpusKey, split: Split, path: Path) -> bool:
    return path.name in OFFICIAL[key][split] and path.stat().st_size >= LEAST_BYTES[path.name]


def _title(key: CorpusKey, train: Path) -> str:
    """Name a corpus, and say so if it is another text than the course's."""
    if _is_official(key, "train", train):
        return NAMES[key]
    if train.name in OFFICIAL[key]["train"]:
        return f"a part of {NAMES[key]} ({train.stat().st_size / 1e6:,.1f} MB)"
    return f"{train.name} ({train.stat().st_size / 1e6:,.1f} MB) in {PLACES[key]}"


def _sample(key: CorpusKey, texts: Path, sample_bytes: int) -> Corpus:
    texts.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split, size in (("train", sample_bytes), ("valid", max(sample_bytes // 10, 20_000))):
        path = paths[split] = texts / f"{key}-{split}.txt"
        if not path.exists():
            partial = path.with_name(f".{path.name}.partial")
            _core.write_sample(partial, size, SEEDS[key], split == "valid")
            partial.replace(path)
    title = f"made-up stories ({sample_bytes / 1e6:,.1f} MB, seed {SEEDS[key]}) in {PLACES[key]}"
    return Corpus(title, paths["train"].resolve(), paths["valid"].resolve(), is_official=False)


def split_off_end(path: Path, texts: Path, key: CorpusKey) -> tuple[Path, Path]:
    """Write all documents of a text except the last ones into one file, and the last ones into another.

    A document ends with `<|endoftext|>`, or with a line where a text has no such marks.

    Raises:
        OptionError: The text is packed, or has no place to split it at.
        FileError: A file could not be written.
    """
    remedy = f"name a text to validate on with --{key}-valid"
    if path.suffix in (".gz", ".zst"):
        raise OptionError(f"{path} is packed, so its last documents cannot be split off; {remedy}")
    place = _last_part(path)
    if place is None:
        raise OptionError(
            f"the last tenth of {path} has neither <|endoftext|> nor a line's end to split it at; {remedy}"
        )
    texts.mkdir(parents=True, exist_ok=True)
    targets = texts / f"{key}-train{path.suffix}", texts / f"{key}-valid{path.suffix}"
    size = path.stat().st_size
    for target, start, end in ((targets[0], 0, place), (targets[1], place, size)):
        if not (target.exists() and target.stat().st_size == end - start):
            _copy(path, start, end, target)
    return targets[0].resolve(), targets[1].resolve()


def _last_part(path: Path) -> int | None:
    """Return where the last documents begin, or None."""
    size = path.stat().st_size
    if size == 0:
        raise CorpusError(f"{path} is empty")
    first = size - min(max(int(VALID_SHARE * size), 1), MOST_VALID)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for mark in (SEPARATOR + b"\n", SEPARATOR, b"\n"):
            found = text.find(mark, first)
            if found >= 0 and found + len(mark) < size:
                return found + len(mark)
    return None


def _copy(path: Path, start: int, end: int, target: Path) -> None:
    """Copy a part of a file, whole or not at all."""
    partial = target.with_name(f".{target.name}.partial")
    try:
        with path.open("rb") as source, partial.open("wb") as file:
            source.seek(start)
            left = end - start
            while left:
                data = source.read(min(left, 1 << 24))
                if not data:
                    raise CorpusError(f"{path} became shorter while it was read")
                file.write(data)
                left -= len(data)
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, CorpusError):
            raise
        raise FileError(f"could not write {target}: {error.strerror}") from error
