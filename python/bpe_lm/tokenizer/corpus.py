"""What a corpus can be: paths, an iterable of texts, or an Arrow table. `train_bpe` and `count_pretokens` share it.

A small corpus is learned in some hundredths of a second, so only what every call needs is imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from bpe_lm import checks
from bpe_lm.errors import ArgumentTypeError, CorpusError, OptionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Protocol, TypeAlias

    from bpe_lm.files import StrPath

    class Table(Protocol):
        """An object with an Arrow stream: a table or a column of pyarrow or Polars, a relation of DuckDB, ..."""

        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            """Return a capsule with a stream."""

    Corpus: TypeAlias = StrPath | Sequence[StrPath] | Iterable[str | bytes] | Table

OF_FILES = {"input_format": "auto", "json_field": "text", "bad_lines": "error"}
"""The options that only files have, with their defaults."""


def checked_source(corpus: Any, options: Mapping[str, Any]) -> Any:
    """Return a list of paths, a tuple of a table, or an iterator of texts, after a check of the options of files.

    Raises:
        OptionError: An option of files is given for texts.
        CorpusError: A list has a text instead of a path.
        ArgumentTypeError: The corpus, or an option, is of the wrong type.
    """
    for name in OF_FILES:
        checks.string(name, options[name])
    source = _source(corpus)
    if isinstance(source, tuple):
        if options["input_format"] != "auto":
            raise OptionError("input_format is for files; the corpus is a table already")
        return source
    if not isinstance(source, list) and any(options[name] != default for name, default in OF_FILES.items()):
        raise OptionError("input_format, json_field and bad_lines are for files; an iterable's items are texts already")
    return source


def _source(corpus: Any) -> Any:
    if isinstance(corpus, bytes | bytearray):
        raise ArgumentTypeError("the corpus is bytes; give a path, or iter([text]) for a text")
    if isinstance(corpus, str | os.PathLike):
        return [checks.path("the corpus", corpus)]
    if hasattr(corpus, "__arrow_c_stream__"):
        return (corpus,)
    if not isinstance(corpus, list | tuple):
        if not isinstance(corpus, Iterable):
            raise checks.wrong_type("the corpus", corpus, "a path, a list of paths, an iterable of texts, or a table")
        return iter(corpus)
    for path in corpus:
        if not isinstance(path, str | os.PathLike):
            raise ArgumentTypeError(
                f"the list has a {type(path).__name__}, and must have paths only; give iter(texts) for texts"
            )
        if " " in str(path) and "://" not in str(path) and not os.path.lexists(path):
            raise CorpusError(
                f"{str(path)[:200]!r} does not exist; a list must have paths only, give iter(texts) for texts"
            )
    return list(corpus)
