"""The tokenizer: it encodes text as token ids and decodes ids as text."""

import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from bpe_lm import _core, checks
from bpe_lm._core import StreamDecoder
from bpe_lm.errors import ArgumentTypeError, FileError, FormatError, OptionError, VocabTooSmall
from bpe_lm.files import StrPath
from bpe_lm.progress import Progress, shown
from bpe_lm.tokenizer.arguments import (
    checked_shard,
    checked_threads,
    encoding_options,
    file_in,
    special_tokens_and_ids,
)
from bpe_lm.tokenizer.conversion import to_huggingface, to_tiktoken
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.tokenizer.record import Training
from bpe_lm.tokenizer.token_file import open_tokens

END_OF_TEXT = "<|endoftext|>"

_DECODED_AT_ONCE = 1 << 20

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import tiktoken
    import tokenizers

Text: TypeAlias = str | bytes
Special: TypeAlias = Literal["allow", "text", "raise"]
Dtype: TypeAlias = Literal["uint16", "uint32"]


class Tokenizer:
    """A byte-level BPE tokenizer. It can be used from many threads, and after a fork.

    Encoding splits a text at its special tokens, then into pretokens by the pattern. Within each pretoken, which begins
    as single bytes, the earliest learned merge that two neighbours have is applied, until no neighbours have a merge.

    `special` says how a special token in a text is encoded: as its own id ("allow"), as ordinary text ("text"), or not
    at all, because the text is refused ("raise"). Where several special tokens match, the longest wins.

    Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019, Language Models are Unsupervised Multitask Learners.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Sequence[str] | Mapping[str, int] | None = None,
        *,
        pattern: str = "gpt2",
        ignore_merges: bool = False,
    ) -> None:
        """Make a tokenizer from its parts. Special tokens that are not in the vocabulary are added to it, in order.

        Args:
            vocab: The bytes of each token, by id. All 256 bytes must be tokens. Ids may have gaps, and several tokens
                may have the same bytes.
            merges: The pairs of tokens to merge, in order. A pair follows the merges that make its two tokens.
            special_tokens: A list, or a mapping to ids, such as `special_ids`; None for none. A list is looked up in
                the vocabulary by bytes. Of several tokens with the same bytes the last is the special one if
                `train_bpe` numbered them; otherwise a mapping is needed.
            pattern: The name of a pattern, or a regular expression (see `train_bpe`).
            ignore_merges: A pretoken that is a token becomes that token even if no merges make it. tiktoken always does
                so, and Hugging Face does if a tokenizer.json says so. Special tokens are not meant.

        Raises:
            FormatError: The parts do not fit together: a byte has no token, a merge joins or makes something that is
                not a token, either of two tokens with the same bytes may be the special one, or the id of a special
                token belongs to another token.
            OptionError: An option is not possible; the subclass (SpecialTokenError, PatternError, ...) says which.
            ArgumentTypeError: An argument is of the wrong type.
        """
        checks.instance("vocab", vocab, Mapping, "a dict of ids and bytes")
        tokens, ids = special_tokens_and_ids(special_tokens)
        pattern = checks.string("pattern", pattern)
        self._core = _core.Tokenizer(dict(vocab), merges, tokens, ids, [], pattern, bool(ignore_merges))

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
        """Read GPT-2's vocab.json and merges.txt.

        The files name neither the special tokens (None for none) nor the pattern. A special token that vocab.json lists
        keeps its id, and any other gets a new id.

        Raises:
            FormatError: A file does not follow its format, or merges.txt ends before vocab.json does; the message says
                where.
            FileError: A file could not be read.
        """
        special = checks.strings("special_tokens", special_tokens or ())
        files = checks.path("vocab_filepath", vocab_filepath), checks.path("merges_filepath", merges_filepath)
        return cls._of(_core.Tokenizer.load_gpt2(*files, special, checks.string("pattern", pattern)))

    @classmethod
    def from_huggingface(cls, path: StrPath, *, texts_are_nfc: bool = False) -> "Tokenizer":
        """Read a tokenizer.json, or the tokenizer.json in a folder.

        `encode` returns the ids that Hugging Face gives with `add_special_tokens=False`: those of the text and no
        others. So a post-processor that adds tokens at the ends (Llama 3's does), truncation and padding are left out
        with a warning. Any other feature that cannot be reproduced exactly is refused by name: a normalizer, an added
        token with `lstrip`, `rstrip` or `single_word`, ... A warning also says if the pre-tokenizer's regular
        expression has a construct that Hugging Face's engine reads differently (`^`, `\\w`, ...).

        Merges that never happen are dropped where they need tokens that are made only later. Converters from tiktoken
        write such merges.

        An added token keeps its id and its text, even if other tokens have the same bytes. Hugging Face may
        give it the id of a token that the file spells the same (`"é"` is the byte 0xE9 there). Then it has this id here
        too, and the id is decoded as that token.

        Args:
            path: The file or folder.
            texts_are_nfc: Read a file whose normalizer is NFC (Qwen's is) without it. Texts must be in NFC already, as
                `unicodedata.normalize("NFC", text)` returns them; nothing here normalizes them.

        Raises:
            FormatError: The file does not follow its format, or uses a feature that is refused; the message says where.
            FileError: The file could not be read.
        """
        path = file_in(path, "tokenizer.json")
        core, left_out = _core.Tokenizer.load_tokenizer_json(path, bool(texts_are_nfc))
        for sentence in left_out:
            warnings.warn(sentence, stacklevel=2)
        return cls._of(core)

    @classmethod
    def from_tiktoken(
        cls, path: StrPath, pattern: str | None = None, special_tokens: Mapping[str, int] | None = None
    ) -> "Tokenizer":
        """Read a .tiktoken file, or the tokenizer.tiktoken in a folder. The ranks are the ids; they imply the merges.

        A token that the lower ranks do not make is the token of a pretoken with its bytes, as in tiktoken.

        Args:
            path: The file or folder, such as the tiktoken.model of Kimi K2.
            pattern: As in `train_bpe`: `"cl100k"`, `"o200k"`, `"kimi_k2"`, ... The default is read from
                `NAME.tiktoken.json` beside `NAME.tiktoken`.
            special_tokens: Each special token with its id, `{}` for none. The default is read from the same file.

        Raises:
            FormatError: The file does not follow its format (the message names the line), it has another number of
                ranks than the .json file states, or neither the arguments nor that file say the pattern or the special
                tokens.
            FileError: The file could not be read.
        """
        path = file_in(path, "tokenizer.tiktoken")
        pattern = None if pattern is None else checks.string("pattern", pattern)
        known = None
        if special_tokens is not None:
            checks.instance("special_tokens", special_tokens, Mapping, "a dict of texts and ids")
            tokens, ids = special_tokens_and_ids(special_tokens)
            known = list(zip(tokens, ids or (), strict=True))
        return cls._of(_core.Tokenizer.load_tiktoken(path, pattern, known))

    @classmethod
    def load(cls, path: StrPath) -> "Tokenizer":
        """Read a folder that `save` wrote, or any tokenizer.json or .tiktoken file.

        Raises:
            FormatError: The file does not follow its format; the message says where.
            FileError: The path does not exist, or a file could not be read.
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
        """Write the tokenizer into a folder in every format. Either all files are written or none.

        GPT-2's files are vocab.json and merges.txt, Hugging Face's are tokenizer.json and tokenizer_config.json, and
        tiktoken's is tokenizer.tiktoken, with the pattern and the special tokens in tokenizer.tiktoken.json. tiktoken's
        format requires ids in the order of the merges. Its two files are left out for a tokenizer with other ids, which
        training here never makes. GPT-2's two files are left out if pretokens become tokens that no merge makes
        (`ignore_merges`), which they cannot say. training.json is written if `training` is given (see
        `train_and_record`). With `force`, old files of these names are replaced or removed.

        Each format loads as the same tokenizer. vocab.json and tokenizer.json name each token, so a special token must
        not have the name of another token there (`"("`, `"é"`, `"Ġthe"`). A warning says if the pattern is a regular
        expression that Hugging Face's engine reads differently (`^`, `\\w`, ...).

        Raises:
            FormatError: `training` belongs to another tokenizer, or a special token has the name of another token.
            OutputExists: A file exists already, and `force` is False.
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

    def truncate(self, vocab_size: int) -> "Tokenizer":
        """Return a tokenizer with the first merges only, so that its vocabulary has this size.

        It is the tokenizer that `train_bpe` gives with this `vocab_size` on the same texts. Special tokens come last
        there, so those with greater ids than a token that is left out move down. All other tokens keep their ids.

        Raises:
            VocabTooLarge: The size is greater than that of this tokenizer.
            VocabTooSmall: The size is smaller than that of the tokens that no merge makes.
            FormatError: A token that is not special would get another id, because ids are not in the order of merges or
                a token that no merge makes comes after them. The message names it.
        """
        vocab_size = checks.integer("vocab_size", vocab_size)
        if vocab_size < 0:
            raise VocabTooSmall(f"vocab size {vocab_size} is negative; it counts 256 bytes, merges and special tokens")
        return self._of(self._core.truncate(min(vocab_size, 2**63 - 1)))

    def truncated_training(self, vocab_size: int, training: Training) -> Training:
        """Return the record of the training that would give `truncate(vocab_size)`, from this tokenizer's record.

        The seconds stay those of the whole training.

        Raises:
            FormatError: The record belongs to another tokenizer, or has no counts of a merge that is left out.
            OptionError: As for `truncate`.
        """
        cut: Training = json.loads(self._core.truncate_training(vocab_size, json.dumps(training)))
        return cut

    def extended(
        self, vocab: Mapping[int, bytes], merges: Sequence[tuple[bytes, bytes]], special_tokens: Sequence[str] = ()
    ) -> "Tokenizer":
        """Return the tokenizer that `train_bpe(..., special_tokens, init=self)` learned: its vocabulary and merges.

        Pattern, special tokens with their ids, and `ignore_merges` are those of this tokenizer; new special tokens have
        the last ids.

        Raises:
            FormatError: The parts do not fit together.
        """
        checks.instance("vocab", vocab, Mapping, "a dict of ids and bytes")
        special = self.special_ids
        new = [token for token in checks.strings("special_tokens", special_tokens) if token not in special]
        special |= zip(new, range(max(vocab, default=0) + 1 - len(new), 2**32), strict=False)
        core = self._core
        texts, ids = list(special), list(special.values())
        made = _core.Tokenizer(dict(vocab), merges, texts, ids, core.apart, core.pattern, core.ignores_merges)
        return self._of(made)

    @cached_property
    def vocab(self) -> dict[int, bytes]:
        """The bytes of each token, by id."""
        return self._core.vocab

    @cached_property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The pairs of tokens that are merged, in order."""
        return self._core.merges

    @property
    def special_tokens(self) -> list[str]:
        """The texts of the special tokens."""
        return [token for token, _ in self._core.special_tokens]

    @property
    def special_ids(self) -> dict[str, int]:
        """The id of each special token."""
        return dict(self._core.special_tokens)

    @property
    def pattern(self) -> str:
        """The name of the pattern, such as `"gpt2"`, or a regular expression."""
        return self._core.pattern

    @property
    def ignore_merges(self) -> bool:
        """Whether some pretokens become a token that no merges make. It is False where no token needs it."""
        return self._core.ignores_merges

    @property
    def vocab_size(self) -> int:
        """The greatest id plus one, which is the number of rows that a model's embedding needs."""
        return self._core.greatest_id + 1

    @cached_property
    def sha256(self) -> str:
        """A hash of everything that ids depend on. Token files carry it."""
        return self._core.sha256

    def encode(self, text: Text, *, special: Special = "allow") -> list[int]:
        """Return the ids of a text.

        Raises:
            SpecialTokenFound: The text has a special token, and `special` is "raise".
        """
        return self._core.encode(text, special)

    def encode_iterable(self, iterable: Iterable[Text], *, special: Special = "allow") -> Iterator[int]:
        """Yield the ids of a text that arrives in pieces, such as the lines of a file, cut anywhere.

        The ids are those of `encode("".join(iterable))`. Each is yielded as soon as later text cannot change it, and
        memory holds the text that is still undecided. With a regular expression of your own as the pattern, only a
        special token decides the text before it.
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
        """Encode many texts in parallel, each independently of the others.

        Texts are taken while others are encoded. Until the call returns, do not change a list that you gave it.

        Returns:
            The ids of all texts in one array, and an array of offsets, one more than texts. The ids of text i are
            `ids[offsets[i]:offsets[i + 1]]`.

        Raises:
            OptionError: `dtype` is "uint16" and the greatest id does not fit.
        """
        if isinstance(texts, str | bytes):
            raise ArgumentTypeError("texts is one text; give a list of them, or use encode_to_numpy")
        return self._core.encode_batch(texts, special, checked_threads(threads), dtype)

    def encode_to_numpy(
        self, text: Text, *, special: Special = "allow", threads: int | None = None, dtype: Dtype = "uint32"
    ) -> "npt.NDArray[np.uint32]":
        """Return the ids of one text as an array. A long text is cut between pretokens and encoded in parallel."""
        if threads is not None:
            checked_threads(threads)
        return self._core.encode_to_numpy(text, special, threads, dtype)

    def encode_with_offsets(
        self, text: Text, *, special: Special = "allow"
    ) -> "tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]":
        """Return the ids of a text and the place of each token in it.

        Places are counted in bytes of UTF-8, from 0. A token may begin or end inside a character, so a place may, too.
        A special token that stands for itself has the place of its text.

        Returns:
            The ids of `encode`, and an array of offsets, one more than ids. Token i is the bytes
            `text[offsets[i]:offsets[i + 1]]`: tokens cover the text without gaps.

        Raises:
            SpecialTokenFound: The text has a special token, and `special` is "raise".
        """
        return self._core.encode_with_offsets(text, special)

    def encode_file(
        self,
        paths: StrPath | Sequence[StrPath],
        out: StrPath,
        *,
        special: Special | None = None,
        separator: str | None = None,
        dtype: Dtype | None = None,
        index: bool = True,
        shard: tuple[int, int] | None = None,
        resume: bool = False,
        force: bool = False,
        threads: int | None = None,
        progress: Progress = False,
        input_format: str = "auto",
        json_field: str = "text",
        bad_lines: str = "error",
    ) -> Manifest:
        """Encode files into one token file. A call that is interrupted at any moment can be resumed.

        Call it once for each split, such as training and validation.

        Args:
            paths: Files of text or JSON lines, in this order. They may be compressed (gzip, zstd) or pipes, and `"-"`
                is standard input. Text is encoded unchanged.
            out: The file to write: little-endian ids without a header, as nanoGPT reads, or with numpy's header if the
                name ends with .npy. `OUT.json` beside it describes the ids. Until the file is whole, its name is
                `OUT.partial`.
            special: How special tokens in the texts are encoded. The default is "allow" for files of text, and "text"
                for JSON lines and tables, whose texts may have been written by anybody.
            separator: The special token that is put after every text of JSON lines or of a table, and between two files
                of text that do not already have it there (white space aside). The default is the only special token,
                or `<|endoftext|>`.
            dtype: The default is uint16 if all ids fit, else uint32 with a warning.
            index: Write `OUT.idx`, which says where documents begin (`open_tokens(out).documents`). It has 8 bytes
                for each text of JSON lines or of a table, file of text, or text between separators.
            shard: Encode part (i, n) of the texts, with i from 0 to n - 1. The ids of the n parts, one after another,
                are those of all texts. A part has an n-th of the bytes, and compressed files are never divided. Pipes
                have no parts.
            resume: Continue from the files of an interrupted call, if there are any. The result is the same to
                the byte. Pipes cannot be resumed.
            force: Replace `out`, and delete the files of an interrupted call.
            threads: One for each core by default. Each takes up to 110 MiB of memory, however long the corpus is.
            progress: As in `train_bpe`; the stages are "seek" (what lies before a `shard`) and "encode", in bytes.
            input_format: As in `train_bpe`.
            json_field: As in `train_bpe`.
            bad_lines: As in `train_bpe`.

        Returns:
            The content of `OUT.json`.

        Raises:
            CorpusError: A file is missing, empty, not text, damaged, or changed while it was read; or a line is bad.
            OutputExists: `out` exists, or an interrupted call has left files; or `out` is not a regular file, or
                is one of the texts.
            OutputBusy: Another process is writing `out`.
            ResumeMismatch: The interrupted call had other files, options or tokenizer, or its files are damaged.
            FileError: A file could not be written, for example because the disk is full. `resume` continues from there.
            OptionError: An option is not possible.
        """
        sources = checks.paths("paths", paths)
        target = checks.path("out", out)
        options = encoding_options(special, separator, threads, input_format, json_field, bad_lines)
        part = None if shard is None else checked_shard(shard)
        if dtype is not None:
            checks.string("dtype", dtype)
        if dtype is None and self.vocab_size > 2**16:
            warnings.warn(
                f"ids up to {self.vocab_size - 1} need uint32; nanoGPT and similar programs read only uint16",
                stacklevel=2,
            )
        with shown(progress) as callback:
            manifest = self._core.encode_file(
                sources, target, options, dtype, bool(index), part, bool(resume), bool(force), callback
            )
        return Manifest.from_json(manifest)

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
        """Return the number of ids that `encode_file` would write, and the bytes of text that it would read."""
        sources = checks.paths("paths", paths)
        options = encoding_options(special, separator, threads, input_format, json_field, bad_lines)
        with shown(progress) as callback:
            return self._core.count_tokens(sources, options, callback)

    def decode(self, ids: "Iterable[int] | npt.NDArray[Any]") -> str:
        """Return the text of ids. Bytes that are not UTF-8 become U+FFFD.

        Raises:
            TokenIdError: An id has no token.
        """
        return self._core.decode(ids)

    def decode_bytes(self, ids: "Iterable[int] | npt.NDArray[Any]") -> bytes:
        """Return the bytes of ids: `decode_bytes(encode(b)) == b` for all bytes.

        Raises:
            TokenIdError: An id has no token.
        """
        return self._core.decode_bytes(ids)

    def decode_file(self, path: StrPath, *, start: int = 0, count: int | None = None) -> Iterator[bytes]:
        """Yield the bytes of a token file in pieces of up to a million tokens.

        Args:
            path: A file that `encode_file` wrote.
            start: The number of the first token to decode, counted from 0.
            count: The number of tokens to decode; None for all that follow.

        Raises:
            OptionError: The file ends before `start`, or a number is negative.
            TokenFileError: The file is incomplete, or was written with another tokenizer.
            FileError: The file could not be read.
        """
        ids = open_tokens(path, tokenizer=self)
        for name, number in (("start", start), ("count", count)):
            if number is not None and checks.integer(name, number) < 0:
                raise OptionError(f"{name} is {number}, and must not be negative")
        if start > 0 and start >= len(ids):
            raise OptionError(f"start {start} is beyond the end: {path} has {len(ids):,} tokens, counted from 0")
        end = len(ids) if count is None else min(len(ids), start + count)
        steps = range(start, end, _DECODED_AT_ONCE)
        return (self.decode_bytes(ids[first : min(end, first + _DECODED_AT_ONCE)]) for first in steps)

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder for ids that arrive one at a time.

        `push(id)` returns the text that later ids cannot change, and `finish()` the rest. No piece ends within a
        character, and the pieces together are the text of `decode`.
        """
        return self._core.stream_decoder()

    def as_tiktoken(self, name: str = "bpe_lm") -> "tiktoken.Encoding":
        """Return a `tiktoken.Encoding` that gives the same ids: `encoding.encode(text, allowed_special="all")`.

        Raises:
            FormatError: tiktoken cannot express the tokenizer: ids are not in the order of merges, the pattern has
                several expressions, or one special token begins with another.
            MissingExtra: tiktoken is not installed.
        """
        return to_tiktoken(self._core, checks.string("name", name))

    def as_huggingface(self) -> "tokenizers.Tokenizer":
        """Return a `tokenizers.Tokenizer` that gives the same ids: `tokenizer.encode(text).ids`.

        Raises:
            FormatError: Hugging Face's tokenizers cannot express the tokenizer: its regular expression has a construct
                that their engine reads differently, or a special token has the name of another token.
            MissingExtra: tokenizers is not installed.
        """
        return to_huggingface(self._core)

    def __repr__(self) -> str:
        """Show the sizes, the special tokens and the pattern."""
        return (
            f"<Tokenizer of {len(self.vocab):,} tokens, {len(self.merges):,} merges, "
            f"special tokens {self.special_tokens}, pattern {self.pattern!r}>"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the parts of the tokenizer, from which a spawned worker process rebuilds it."""
        parts = (self.vocab, self.merges, self.special_ids, self._core.apart, self.pattern, self.ignore_merges)
        return _put_together, parts


def _put_together(
    vocab: dict[int, bytes],
    merges: list[tuple[bytes, bytes]],
    special_ids: dict[str, int],
    apart: list[int],
    pattern: str,
    ignore_merges: bool,
) -> Tokenizer:
    tokens, ids = list(special_ids), list(special_ids.values())
    return Tokenizer._of(_core.Tokenizer(vocab, merges, tokens, ids, apart, pattern, ignore_merges))
