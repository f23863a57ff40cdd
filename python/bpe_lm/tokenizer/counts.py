"""Count files: the pretokens of a corpus and their counts, which several machines make and any of them adds.

`train_bpe` imports this file, so only what every call needs is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping

from bpe_lm import _core, checks
from bpe_lm.errors import CountFileError, OptionError
from bpe_lm.tokenizer.corpus import checked_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from typing import Any

    from bpe_lm.files import StrPath
    from bpe_lm.progress import Progress
    from bpe_lm.tokenizer.corpus import Corpus

    Described = tuple[str, list[str], int, int, int, int]


class Counts:
    """The description of a count file, which `train_bpe` takes in place of a corpus.

    path: The file.
    pattern: The pattern with which the texts were split.
    special_tokens: The special tokens, which are not counted, in the order of their bytes.
    num_distinct_pretokens, num_pretokens: The number of different pretokens, and the sum of their counts.
    num_bytes: The size of the texts in bytes, special tokens included. Weights leave it as it is.
    skipped_lines: The number of JSON lines without a text, which were skipped.
    """

    def __init__(self, path: str, described: tuple[str, list[str], int, int, int, int]):
        self.path = path
        self.pattern, self.special_tokens, *numbers = described
        self.num_distinct_pretokens, self.num_pretokens, self.num_bytes, self.skipped_lines = numbers

    def as_dict(self) -> dict[str, object]:
        """Return the description as JSON values."""
        return dict(vars(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Counts) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.path, self.num_distinct_pretokens, self.num_pretokens))

    def __repr__(self) -> str:
        return f"Counts({self.path!r}, {self.num_distinct_pretokens:,} distinct of {self.num_pretokens:,} pretokens)"


def open_counts(path: StrPath) -> Counts:
    """Read the description of a count file.

    Raises:
        CountFileError: The file is not a count file, or its beginning is damaged.
        FileError: The file could not be read.
    """
    path = checks.path("path", path)
    if _is_table(path):
        raise CountFileError(f"{path} is a table; make a count file of it (bpe-lm count --merge, merge_counts)")
    return Counts(path, _core.open_count_file(path))


def count_pretokens(
    corpus: Corpus,
    out: StrPath,
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    shard: tuple[int, int] | None = None,
    threads: int | None = None,
    memory_limit: int | None = None,
    force: bool = False,
    progress: Progress = False,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> Counts:
    """Count the pretokens of a corpus, or of a shard of it, into a file that appears whole or not at all.

    The file depends on the texts, the pattern and the special tokens alone. `merge_counts` adds the files of all shards
    to the file of the whole corpus.

    Args:
        corpus: The texts, as for `train_bpe`, which also explains the options that are not listed here.
        out: The file to write. A name that ends in .parquet makes it a table with the columns `pretoken` (binary) and
            `count` (uint64), which needs pyarrow, and which `merge_counts` turns into a count file.
        special_tokens: Texts that are one token each, and are not counted. Their order does not matter.
        shard: (i, n) counts shard i, from 0, of n; None counts everything. The bytes of all files in this order are
            divided into n equal stretches, whose ends move to places where no pretoken is split. A file that cannot
            be cut, because it is compressed, a table, at an address, or the pattern is a regular expression of your
            own, belongs whole to the shard that has its beginning. Shards may be empty.
        memory_limit: The most memory in bytes that the process may hold, with what it holds when the call begins.
            Counts that do not fit are sorted on the disk, in the folder of `out`, in files without a name. The file is
            the same. A line of JSON, or a stretch of text that cannot be cut, has to fit (docs/memory.md).
        force: Replace a file that exists.
        progress: As for `train_bpe`; the stages are "count" in bytes and "sum" in pretokens.

    Raises:
        OutputExists: Before any work: the file exists and `force` is False, it is one of the texts, or something other
            than a file has its name.
        OptionError: An option is not possible, or a shard is asked of pipes or of texts from an iterable.
        CorpusError: As for `train_bpe`.
        MemoryLimitExceeded: Before any work: the limit is below the least that counting needs, which the message has.
        LimitExceeded: The corpus has 2**64 pretokens or more; a line of JSON, or a stretch of text that cannot be cut,
            is longer than fits `memory_limit`, or than 2 GiB without one.
        FileError: The file could not be written.
    """
    options = {"input_format": input_format, "json_field": json_field, "bad_lines": bad_lines}
    source = checked_source(corpus, options)
    out, special_tokens = checks.path("out", out), checks.strings("special_tokens", special_tokens)
    for name, size in (("threads", threads), ("memory_limit", memory_limit)):
        if size is not None and not 1 <= checks.integer(name, size) < 2**63:
            raise OptionError(f"{name} = {size} is not possible: it must be at least 1, and less than 2**63")
    from bpe_lm.progress import shown
    from bpe_lm.tokenizer.arguments import checked_shard

    def count(path: str, force: bool, callback: Any) -> Described:
        return _core.count(
            source,
            path,
            special_tokens,
            pattern=checks.string("pattern", pattern),
            shard=None if shard is None else checked_shard(shard),
            threads=threads,
            memory_limit=memory_limit,
            force=force,
            progress=callback,
            input_format=input_format,
            json_field=json_field,
            bad_lines=bad_lines,
        )

    with shown(progress) as callback:
        if not _is_table(out):
            return Counts(out, count(out, bool(force), callback))
        from bpe_lm.tokenizer.count_tables import check_target, export_counts, temporary

        check_target(out, bool(force))
        with temporary(out) as partial:
            found = count(partial, False, callback)
            export_counts(partial, out, found, callback)
    return Counts(out, found)


def merge_counts(
    paths: StrPath | Sequence[StrPath],
    out: StrPath,
    *,
    weights: Mapping[StrPath, int | float | str | Decimal] | None = None,
    pattern: str | None = None,
    special_tokens: Sequence[str] | None = None,
    force: bool = False,
    progress: Progress = False,
) -> Counts:
    """Add count files into one, in memory that depends neither on their size nor on their number.

    Args:
        paths: The files. They may be in any order, and `out` may be one of them. Files named .parquet are tables of
            counts, which `count_pretokens` or another program wrote (docs/tokenizer.md).
        out: The file to write. A name that ends in .parquet makes it a table.
        weights: For some of the paths, a number above 0 such as 2.5, with which each count of that file is multiplied.
            It is taken as the decimal number that Python prints, with 9 decimals at most. The product is rounded to
            the nearest whole number, a half is rounded up, and a pretoken whose product is rounded to 0 is left out.
            So merge the shards of a source first, and weight their sum.
        pattern, special_tokens: How the tables were counted that do not say so, because another program wrote them.
        force: Replace a file that exists.
        progress: As for `train_bpe`; the stage is "sum", in pretokens.

    Raises:
        CountFileError: A file is damaged, or was counted with another pattern or other special tokens than the first.
        OptionError: A weight is not possible, or belongs to none of the paths; or a table does not say how it was
            counted, and `pattern` is None.
        LimitExceeded: A count, or the sum of all counts, is 2**64 or more.
        MissingExtra: pyarrow, which tables need, is not installed.
        OutputExists: The file exists and `force` is False, or something other than a file has its name.
        FileError: A file could not be read or written.
    """
    names = [checks.path("path", path) for path in checks.paths("paths", paths)]
    out = checks.path("out", out)
    given = weights or {}
    checks.instance("weights", given, Mapping, "a dict of paths and numbers")
    by_name = {checks.path("a path of weights", path): _weight(weight) for path, weight in given.items()}
    for name in by_name:
        if name not in names:
            raise OptionError(f"there is a weight for {name}, which is not one of the files to add: {', '.join(names)}")
    from bpe_lm.progress import shown

    rules = pattern, None if special_tokens is None else checks.strings("special_tokens", special_tokens)
    parts = [(name, by_name.get(name, "1")) for name in names]
    with shown(progress) as callback:
        if any(map(_is_table, [*names, out])):
            return Counts(out, _merge_tables(parts, out, rules, bool(force), callback))
        if rules != (None, None):
            raise OptionError(
                "pattern and special_tokens (--pattern, --special-token) are for tables that do not say how they were "
                "counted, and count files say it"
            )
        return Counts(out, _core.add_count_files(parts, out, force=bool(force), progress=callback))


def _is_table(path: str) -> bool:
    return path.lower().endswith(".parquet")


def _merge_tables(
    parts: list[tuple[str, str]],
    out: str,
    given: tuple[str | None, list[str] | None],
    force: bool,
    callback: Any,
) -> Described:
    """Add count files and tables. Tables become count files first, beside `out`."""
    from bpe_lm.tokenizer.count_tables import check_target, export_counts, import_counts, read_metadata, temporary

    described = {path: read_metadata(path, *given) for path, _ in parts if _is_table(path)}
    rules = {path: _core.open_count_file(path)[:2] for path, _ in parts if not _is_table(path)}
    rules |= {path: (found.pattern, found.special_tokens) for path, found in described.items()}
    first = parts[0][0] if parts else ""
    for path, found in rules.items():
        if found != rules[first]:
            raise CountFileError(
                f"{path}: it was counted with the pattern {found[0]!r} and the special tokens {found[1]}, and {first} "
                f"with {rules[first][0]!r} and {rules[first][1]}; count both in the same way"
            )
    if _is_table(out):
        check_target(out, force)
    with temporary(out) as partial:
        files = []
        for number, (path, weight) in enumerate(parts):
            file = f"{partial}.{number}" if path in described else path
            if path in described:
                import_counts(path, described[path], file, callback)
            files.append((file, weight))
        if not _is_table(out):
            return _core.add_count_files(files, out, force=force, progress=callback)
        result = _core.add_count_files(files, partial, force=True, progress=callback)
        export_counts(partial, out, result, callback)
    return result


def _weight(weight: Any) -> str:
    """Return the decimal number in digits, without an exponent."""
    if isinstance(weight, str):
        return checks.string("a weight", weight)
    if isinstance(weight, float):
        from decimal import Decimal

        return f"{Decimal(repr(weight)):f}"
    return f"{weight:f}" if hasattr(weight, "as_tuple") else str(checks.integer("a weight", weight))
