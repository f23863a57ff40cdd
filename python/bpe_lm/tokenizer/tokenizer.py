"""Text to token ids and back."""

import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bpe_lm import _core, checks
from bpe_lm._core import StreamDecoder
from bpe_lm.errors import ArgumentTypeError, FileError, FormatError, OptionError, SpecialTokenError
from bpe_lm.progress import shown
from bpe_lm.tokenizer.token_file import Manifest
from bpe_lm.tokenizer.train import Training

END_OF_TEXT = "<|endoftext|>"

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

StrPath: TypeAlias = str | os.PathLike[str]
Text: TypeAlias = str | bytes
Special: TypeAlias = Literal["allow", "text", "raise"]
Dtype: TypeAlias = Literal["uint16", "uint32"]
Progress: TypeAlias = bool | Callable[[str, int, int | None], object]


class Tokenizer:
    """A byte-level BPE tokenizer. Safe to use from many threads, and after a fork.

    A text is split at its special tokens, then into pretokens by the pattern, and the bytes of each pretoken are
    merged: while two neighbours have a merge, the earliest one. `special` says what special tokens in a text mean:
    themselves ("allow"), nothing ("text"), or that the text is refused ("raise"). Where several match, the longest
    does.

    Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019, Language Models are Unsupervised Multitask Learners.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Sequence[str] | Mapping[str, int] | None = None,
        *,
        pattern: str = "gpt2",
    ) -> None:
        """Put a tokenizer together. Special tokens that the vocabulary lacks are added to it, in order.

        Args:
            vocab: Ids and tokens. Every byte must be one; ids may have gaps. Several tokens may have the same bytes.
            merges: In order, each after those that make its parts.
            special_tokens: None for none. A list is looked up in the vocabulary by bytes; of several tokens with the
                same bytes the last is the special one if `train_bpe` numbered them, else give a mapping with ids, such
                as `special_ids`.
            pattern: `"gpt2"`, `"cl100k"`, `"o200k"`, or a regular expression (see `train_bpe`).

        Raises:
            FormatError: The parts do not fit: a byte has no token, a merge is of no tokens or makes none, two tokens
                have the same bytes and either may be special, an id of a special token is another token's.
            OptionError: SpecialTokenError, PatternError, ... tell which.
            ArgumentTypeError: An argument is of another type.
        """
        checks.instance("vocab", vocab, Mapping, "a dict of ids and bytes")
        tokens, ids = _special_tokens(special_tokens)
        self._core = _core.Tokenizer(dict(vocab), merges, tokens, ids, [], checks.string("pattern", pattern))

    @classmethod
    def _of(cls, core: _core.Tokenizer) -> "Tokenizer":
        tokenizer = cls.__new__(cls)
        tokenizer._core = core
        return tokenizer

    @classmethod
    def from_files(
        cls,
        vocab_filepath: StrPath,
        merges_filepath: StrPath,
        special_tokens: Sequence[str] | None = None,
        *,
        pattern: str = "gpt2",
    ) -> "Tokenizer":
        """Read GPT-2's vocab.json and merges.txt, which say neither the special tokens (None for none) nor the pattern.

        A special token has the id of its name in vocab.json, or else a new one.

        Raises:
            FormatError: Not such files; the message says where.
            FileError: They could not be read.
        """
        special = checks.strings("special_tokens", special_tokens or ())
        files = checks.path("vocab_filepath", vocab_filepath), checks.path("merges_filepath", merges_filepath)
        return cls._of(_core.Tokenizer.load_gpt2(*files, special, checks.string("pattern", pattern)))

    @classmethod
    def from_huggingface(cls, path: StrPath) -> "Tokenizer":
        """Read a tokenizer.json, or the one in a folder. What cannot be reproduced exactly is refused by name.

        An added token is its id and its text, whatever other tokens have the same bytes. Where Hugging Face gives it
        the id of a token that the file spells alike (`"é"` is the byte 0xE9 there), it has this id, and the id is
        decoded as that token. Truncation and padding, which transformers saves after a call that used them, are left
        out with a warning: `encode` gives all ids of a text and no others. A warning also says if the pre-tokenizer's
        regular expression has something that Hugging Face's engine reads otherwise (`^`, `\\w`, ...).

        Raises:
            FormatError: Not such a file, or it has a normalizer, adds tokens, ...; the message says where.
            FileError: It could not be read.
        """
        path = _file_of(path, "tokenizer.json")
        core, left_out = _core.Tokenizer.load_tokenizer_json(path)
        for sentence in left_out:
            warnings.warn(sentence, stacklevel=2)
        return cls._of(core)

    @classmethod
    def from_tiktoken(
        cls, path: StrPath, pattern: str | None = None, special_tokens: Mapping[str, int] | None = None
    ) -> "Tokenizer":
        """Read a .tiktoken file, or the tokenizer.tiktoken in a folder. The ranks are the ids; they imply the merges.

        Args:
            path: The file or folder.
            pattern: As in `train_bpe`. By default, what `NAME.tiktoken.json` beside `NAME.tiktoken` says.
            special_tokens: Each with its id, `{}` for none; the same default.

        Raises:
            FormatError: Not such a file, and the message says which line; or the pattern or the special tokens are
                known from nowhere.
            FileError: It could not be read.
        """
        path = _file_of(path, "tokenizer.tiktoken")
        pattern = None if pattern is None else checks.string("pattern", pattern)
        known = None
        if special_tokens is not None:
            checks.instance("special_tokens", special_tokens, Mapping, "a dict of texts and ids")
            tokens, ids = _special_tokens(special_tokens)
            known = list(zip(tokens, ids or (), strict=True))
        return cls._of(_core.Tokenizer.load_tiktoken(path, pattern, known))

    @classmethod
    def load(cls, path: StrPath) -> "Tokenizer":
        """Read a folder that `save` wrote, or any tokenizer.json or .tiktoken file.

        Raises:
            FormatError: Not such a file; the message says where.
            FileError: It could not be read.
        """
        name = checks.path("path", path)
        path = Path(name)
        if not path.exists():
            raise FileError(
                f"{name} names no file or folder; a tokenizer is a folder that train-tokenizer wrote, a tokenizer.json "
                "or a .tiktoken file. That of a model on Hugging Face: "
                "hf download MODEL tokenizer.json --local-dir FOLDER"
            )
        return cls.from_tiktoken(path) if path.suffix == ".tiktoken" else cls.from_huggingface(path)

    def save(self, folder: StrPath, *, training: Training | None = None, force: bool = False) -> None:
        """Write the tokenizer in every format into a folder, whole or not at all.

        vocab.json and merges.txt are GPT-2's, tokenizer.json and tokenizer_config.json Hugging Face's,
        tokenizer.tiktoken is tiktoken's, with tokenizer.tiktoken.json for what it leaves out. tiktoken's cannot be
        written, and are not, when ids are not in the order of the merges; this never happens to a tokenizer trained
        here. training.json is written when `training` is given (see `train_and_record`). With `force`, old files with
        these names that are not replaced are removed.

        What is written loads as the same tokenizer. vocab.json and tokenizer.json give each token a name, so a special
        token must not be spelled as they spell another one (`"("`, `"é"`, `"Ġthe"`). A warning says if the pattern is a
        regular expression that Hugging Face's engine reads otherwise (`^`, `\\w`, ...).

        Raises:
            FormatError: The training is another tokenizer's, or a special token would be written like another token.
            OutputExists: A file is there already, and `force` is False.
            FileError: A file could not be written.
        """
        folder = checks.path("folder", folder)
        if training is not None:
            checks.instance("training", training, dict, "what train_and_record returned")
        try:
            record = None if training is None else json.dumps(training)
        except TypeError as error:
            raise FormatError(f"training is not what train_and_record returned: {error}") from error
        note = self._core.save(folder, record, force)
        if note is not None:
            warnings.warn(note, stacklevel=2)

    @cached_property
    def vocab(self) -> dict[int, bytes]:
        """Ids and tokens."""
        return self._core.vocab

    @cached_property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges, in order."""
        return self._core.merges

    @property
    def special_tokens(self) -> list[str]:
        """The special tokens."""
        return [token for token, _ in self._core.special_tokens]

    @property
    def special_ids(self) -> dict[str, int]:
        """The special tokens' ids."""
        return dict(self._core.special_tokens)

    @property
    def pattern(self) -> str:
        """`"gpt2"`, `"cl100k"`, `"o200k"`, or a regular expression."""
        return self._core.pattern

    @property
    def vocab_size(self) -> int:
        """The greatest id and one: the rows that a model's embedding needs."""
        return self._core.greatest_id + 1

    @cached_property
    def sha256(self) -> str:
        """A name for all that ids depend on. Token files carry it."""
        return self._core.sha256

    def encode(self, text: Text, *, special: Special = "allow") -> list[int]:
        """The ids of a text.

        Raises:
            SpecialTokenFound: The text has a special token, and `special` is "raise".
        """
        return self._core.encode(text, special)

    def encode_iterable(self, iterable: Iterable[Text], *, special: Special = "allow") -> Iterator[int]:
        """The ids of a text that comes in pieces, such as the lines of a file, cut anywhere.

        They are those of `encode("".join(iterable))`, and come as soon as they are certain; memory holds what is not. A
        pattern that is a regular expression of your own gives no certainty but at special tokens.
        """
        return self._core.encode_iterable(iterable, special)

    def encode_batch(
        self,
        texts: Iterable[Text],
        *,
        special: Special = "allow",
        threads: int | None = None,
        dtype: Dtype = "uint32",
    ) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]":
        """The ids of many texts, each on its own, in parallel.

        Returns:
            All ids one after another, and offsets (one more than texts): `ids[offsets[i]:offsets[i + 1]]` are text
            i's.

        Raises:
            OptionError: `dtype` is "uint16" and the greatest id does not fit.
        """
        if isinstance(texts, str | bytes):
            raise ArgumentTypeError("texts is one text; give a list of them, or use encode_to_numpy")
        return self._core.encode_batch(texts, special, _checked(threads), dtype)

    def encode_to_numpy(
        self, text: Text, *, special: Special = "allow", threads: int | None = None, dtype: Dtype = "uint32"
    ) -> "npt.NDArray[np.uint32]":
        """The ids of one text as an array. A long text is cut where no pretoken is split, and encoded in parallel."""
        return self._core.encode_batch([text], special, _checked(threads), dtype)[0]

    def encode_file(
        self,
        paths: StrPath | Sequence[StrPath],
        out: StrPath,
        *,
        special: Special | None = None,
        separator: str | None = None,
        dtype: Dtype | None = None,
        resume: bool = False,
        force: bool = False,
        threads: int | None = None,
        progress: Progress = False,
        input_format: str = "auto",
        json_field: str = "text",
        bad_lines: str = "error",
    ) -> Manifest:
        """Encode files into one file of ids, which survives anything. One call a split: train, validation.

        Args:
            paths: Text or JSON lines, plain or compressed (gzip, zstd), pipes, or `"-"` for standard input; in this
                order. Text is encoded as it stands.
            out: Nothing but ids, little-endian, as nanoGPT reads; with numpy's header if it is named .npy. `OUT.json`
                beside it says what they are. Until all is written it is called `OUT.partial`.
            special: What special tokens in the texts mean; by default themselves in files of text, and nothing in
                fields of JSON, which may come from anybody.
            separator: A special token, by default the only one, or `<|endoftext|>`. It comes behind every text of JSON
                lines, and between files of text unless one stands there already, whitespace aside.
            dtype: By default uint16 if all ids fit, else uint32, with a warning.
            resume: Go on with what a run that did not end has left, if there is anything; the file is the same in the
                end, to the byte. Not for pipes.
            force: Replace `out`, and what a run that did not end has left.
            threads: By default one a core. Each takes up to 75 MiB of memory, whatever the length of the corpus.
            progress: As in `train_bpe`; the stage is "encode", in bytes.
            input_format: As in `train_bpe`.
            json_field: As in `train_bpe`.
            bad_lines: As in `train_bpe`.

        Returns:
            What `OUT.json` says.

        Raises:
            CorpusError: A file is missing, empty, no text, damaged, or was changed meanwhile; a bad line.
            OutputExists: `out` is there, or what another run has left; or it is no regular file, or a text.
            OutputBusy: Another process is writing it.
            ResumeMismatch: What another run has left is of other files, options or another tokenizer, or damaged.
            FileError: It could not be written, for instance because the disk is full. `resume` goes on from there.
            OptionError: An option makes no sense.
        """
        sources = checks.paths("paths", paths)
        target = checks.path("out", out)
        options = _options(special, separator, threads, input_format, json_field, bad_lines)
        if dtype is not None:
            checks.string("dtype", dtype)
        if dtype is None and self.vocab_size > 2**16:
            warnings.warn(
                f"ids up to {self.vocab_size - 1} need uint32; nanoGPT and its like read only uint16", stacklevel=2
            )
        with shown(progress) as callback:
            made = self._core.encode_file(sources, target, options, dtype, bool(resume), bool(force), callback)
        return Manifest.from_json(made)

    def count_tokens(
        self,
        paths: StrPath | Sequence[StrPath],
        *,
        special: Special | None = None,
        separator: str | None = None,
        threads: int | None = None,
        progress: Progress = False,
        input_format: str = "auto",
        json_field: str = "text",
        bad_lines: str = "error",
    ) -> tuple[int, int]:
        """The number of ids that `encode_file` would write, and the bytes of text that they stand for."""
        sources = checks.paths("paths", paths)
        options = _options(special, separator, threads, input_format, json_field, bad_lines)
        with shown(progress) as callback:
            return self._core.count_tokens(sources, options, callback)

    def decode(self, ids: "Iterable[int] | npt.NDArray[Any]") -> str:
        """The text that ids stand for. Bytes that are no UTF-8 become U+FFFD.

        Raises:
            TokenIdError: An id is no token.
        """
        return self._core.decode(ids)

    def decode_bytes(self, ids: "Iterable[int] | npt.NDArray[Any]") -> bytes:
        """The bytes that ids stand for: `decode_bytes(encode(b)) == b` for all bytes.

        Raises:
            TokenIdError: An id is no token.
        """
        return self._core.decode_bytes(ids)

    def stream_decoder(self) -> StreamDecoder:
        """A decoder for ids that come one by one: `push(id)` gives the text that is certain, `finish()` the rest.

        Half a character is never given out; together the texts are those of `decode`.
        """
        return self._core.stream_decoder()

    def __repr__(self) -> str:
        """Sizes, special tokens and pattern."""
        return (
            f"<Tokenizer of {len(self.vocab):,} tokens, {len(self.merges):,} merges, "
            f"special tokens {self.special_tokens}, pattern {self.pattern!r}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """For worker processes that are spawned: they put it together again."""
        return _put_together, (self.vocab, self.merges, self.special_ids, self._core.apart, self.pattern)


def _put_together(
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_ids: dict[str, int],
    apart: list[int],
    pattern: str,
) -> Tokenizer:
    tokens, ids = list(special_ids), list(special_ids.values())
    return Tokenizer._of(_core.Tokenizer(vocab, merges, tokens, ids, apart, pattern))


def _special_tokens(given: Sequence[str] | Mapping[str, int] | None) -> tuple[list[str], list[int] | None]:
    """The texts, and their ids where they are given."""
    tokens = checks.strings("special_tokens", given or ())
    if not isinstance(given, Mapping):
        return tokens, None
    ids = [checks.integer(f"special_tokens[{token!r}]", id) for token, id in given.items()]
    for token, id in zip(tokens, ids, strict=True):
        if not 0 <= id < 2**32:
            raise SpecialTokenError(f"special token {token!r} has the id {id}, which is negative or beyond 32 bits")
    return tokens, ids


def _file_of(path: StrPath, name: str) -> Path:
    """The file, or the one of this name in the folder."""
    path = Path(checks.path("path", path))
    return path / name if path.is_dir() else path


def _options(
    special: Special | None,
    separator: str | None,
    threads: int | None,
    input_format: str,
    json_field: str,
    bad_lines: str,
) -> dict[str, Any]:
    optional = {"special": special, "separator": separator}
    return {
        **{name: None if value is None else checks.string(name, value) for name, value in optional.items()},
        "threads": _checked(threads),
        "input_format": checks.string("input_format", input_format),
        "json_field": checks.string("json_field", json_field),
        "bad_lines": checks.string("bad_lines", bad_lines),
    }


def _checked(threads: int | None) -> int | None:
    if threads is not None and not 1 <= checks.integer("threads", threads) <= 1024:
        raise OptionError(f"threads = {threads} is not possible: it must be a number from 1 to 1024")
    return threads
