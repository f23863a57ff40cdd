"""The command `bpe-lm`. stdout is the result; stderr is progress and errors; exit 0, 1 error, 2 usage, 130 Ctrl-C."""

import argparse
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from bpe_lm import _core
from bpe_lm.cli.arguments import Parser, one_of, positive, whole
from bpe_lm.cli.doctor import examine
from bpe_lm.cli.language_model import Stopped, add_commands
from bpe_lm.data.sample import SAMPLE_SEED, write_samples
from bpe_lm.errors import BpeLmError, FileError, OptionError
from bpe_lm.machine import peak_memory
from bpe_lm.progress import megabytes
from bpe_lm.tables import print_json, print_rows
from bpe_lm.tokenizer.comparison import compare, print_compressions
from bpe_lm.tokenizer.inspection import inspect
from bpe_lm.tokenizer.report import train_and_report
from bpe_lm.tokenizer.token_file import open_tokens, verify
from bpe_lm.tokenizer.tokenizer import Tokenizer

DECODED_AT_ONCE = 1 << 20
TOKENIZER_HELP = "a folder that train-tokenizer wrote, a tokenizer.json or a .tiktoken file"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    return guarded(lambda: _run(_parser().parse_args(arguments)))


def _run(options: argparse.Namespace) -> None:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _print_note
            options.run(options)
    except (BpeLmError, OSError, UnicodeError):
        if getattr(options, "debug", False):
            traceback.print_exc()
        raise


class Terminated(Exception):
    """SIGTERM came; what was half done is cleaned up."""


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated


def guarded(command: Callable[[], None]) -> int:
    """Run a command; turn its errors into one line and an exit status."""
    try:
        signal.signal(signal.SIGTERM, _terminate)
        command()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Stopped as stopped:
        return stopped.status
    except Terminated:
        print("terminated", file=sys.stderr)
        return 143
    except (BpeLmError, OSError, UnicodeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _print_note(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
    """Print a warning as a note of one line, whatever line of code gave it."""
    print(f"note: {message}", file=sys.stderr)


@contextmanager
def _notes() -> Iterator[None]:
    """Print warnings as notes, a line each, when the work is done."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            for warning in caught:
                _print_note(warning.message, warning.category)


def _train_tokenizer(options: argparse.Namespace) -> None:
    with _notes():
        report = train_and_report(
            options.corpus,
            options.vocab_size,
            options.special_token,
            options.out,
            progress=not options.quiet,
            force=options.force,
            pattern=options.pattern,
            tie_break=options.tie_break,
            threads=options.threads,
            min_frequency=options.min_frequency,
            max_token_length=options.max_token_length,
            input_format=options.input_format,
            json_field=options.json_field,
            bad_lines=options.bad_lines,
        )
    if options.json:
        print_json(report.as_dict())
    else:
        report.print()


def _encode(options: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(options.tokenizer)
    start = time.perf_counter()
    try:
        with _notes():
            manifest = tokenizer.encode_file(
                options.corpus,
                options.out,
                special=options.special,
                separator=options.separator,
                dtype=options.dtype,
                resume=options.resume,
                force=options.force,
                threads=options.threads,
                progress=not options.quiet,
                input_format=options.input_format,
                json_field=options.json_field,
                bad_lines=options.bad_lines,
            )
    except (KeyboardInterrupt, Terminated, FileError):
        if Path(f"{options.out}.partial.journal").exists() and "-" not in options.corpus:
            print("what was written is kept; the same command with --resume goes on from there", file=sys.stderr)
        raise
    seconds = time.perf_counter() - start
    if options.json:
        print_json(asdict(manifest) | {"seconds": seconds})
        return
    print_rows(
        [
            ("texts", f"{', '.join(options.corpus)} ({megabytes(manifest.text_bytes)})"),
            *([("bad lines skipped", f"{manifest.skipped_lines:,}")] if manifest.skipped_lines else []),
            ("tokens", f"{manifest.count:,} of {manifest.dtype}"),
            ("bytes per token", f"{manifest.bytes_per_token:.2f}"),
            ("time", f"{seconds:.2f} s ({manifest.text_bytes / seconds / 1e6:,.0f} MB/s)"),
            ("peak memory", megabytes(peak_memory())),
            ("written to", f"{options.out} and {options.out}.json"),
        ]
    )


def _decode(options: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(options.tokenizer)
    ids = open_tokens(options.file, tokenizer=tokenizer)
    if options.start > 0 and options.start >= len(ids):
        raise OptionError(
            f"--start {options.start} is behind the end: {options.file} has {len(ids):,} tokens, from 0 on"
        )
    end = len(ids) if options.count is None else min(len(ids), options.start + options.count)
    for start in range(options.start, end, DECODED_AT_ONCE):
        sys.stdout.buffer.write(tokenizer.decode_bytes(ids[start : min(end, start + DECODED_AT_ONCE)]))
    sys.stdout.buffer.flush()


def _compare(options: argparse.Namespace) -> None:
    tokenizers = {path: Tokenizer.load(path) for path in options.tokenizer}
    found = compare(tokenizers, options.corpus, threads=options.threads, progress=not options.quiet)
    if options.json:
        print_json([compression.as_dict() for compression in found])
    else:
        print_compressions(found)


def _verify(options: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(options.tokenizer) if options.tokenizer else None
    for path in options.file:
        manifest = verify(path, tokenizer=tokenizer, progress=not options.quiet)
        print(f"{path}: {manifest.count:,} tokens of {manifest.dtype}, undamaged", flush=True)


def _doctor(options: argparse.Namespace) -> None:
    found = examine()
    if options.json:
        print_json(found)
    else:
        print_rows(list(found.items()))


def _data_sample(options: argparse.Namespace) -> None:
    for path in write_samples(options.out, options.megabytes, options.seed):
        print(f"{path} ({megabytes(path.stat().st_size)})")


def _data_download(options: argparse.Namespace) -> None:
    from bpe_lm.data.download import download_corpus

    try:
        files = download_corpus(options.corpus, options.out, progress=not options.quiet, force=options.force)
    except (KeyboardInterrupt, Terminated):
        print(f"what has arrived is kept in {options.out}; the same command goes on from there", file=sys.stderr)
        raise
    for file in files:
        kept = "" if file.is_new else ", kept as it was: --force replaces it"
        print(f"{file.path} ({megabytes(file.path.stat().st_size)}{kept})")


def _inspect(options: argparse.Namespace) -> None:
    from bpe_lm.picture import check_picture
    from bpe_lm.tokenizer.figures import draw_lengths

    if options.png:
        check_picture(options.png)
    inspection = inspect(options.tokenizer, options.longest)
    if options.png:
        draw_lengths(inspection, options.png)
    if options.json:
        print_json(inspection.as_dict())
    else:
        inspection.print()
        if options.png:
            print(f"drawn in {options.png}")


def _add_input_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input-format",
        type=one_of("auto", "text", "jsonl"),
        default="auto",
        metavar="FORMAT",
        help="text, jsonl, or auto (default): JSON lines if named .jsonl, .ndjson or .json, else text; "
        "other content is an error",
    )
    parser.add_argument(
        "--json-field",
        default="text",
        metavar="NAME",
        help="of a JSON line's text (default: text); meta.text is the field text in meta",
    )
    parser.add_argument(
        "--bad-lines",
        type=one_of("error", "skip"),
        default="error",
        metavar="WHAT",
        help="error (default) or skip: JSON lines without a text",
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="bpe-lm", description="Byte-level BPE tokenizers, and a small Transformer.")
    parser.add_argument("--version", action="version", version=f"bpe-lm {_core.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser("train-tokenizer", help="train a byte-level BPE tokenizer on text files")
    train.add_argument(
        "corpus", nargs="+", help="text or JSON lines, plain, gzip or zstd; - for standard input; each file is one text"
    )
    train.add_argument(
        "--vocab-size", type=whole(), required=True, metavar="N", help="256 bytes, merges, special tokens"
    )
    train.add_argument("--out", required=True, metavar="FOLDER", help="for the tokenizer in every format")
    train.add_argument(
        "--special-token",
        action="append",
        metavar="TEXT",
        default=[],
        help="e.g. '<|endoftext|>'; give it again for more (default: none)",
    )
    train.add_argument(
        "--pattern", default="gpt2", metavar="REGEX", help="gpt2 (default), cl100k, o200k, or a regular expression"
    )
    _add_input_options(train)
    train.add_argument(
        "--tie-break",
        type=one_of("bytes", "hf"),
        default="bytes",
        metavar="RULE",
        help="bytes (default) or hf: for pairs of equal count",
    )
    train.add_argument("--min-frequency", type=whole(), default=1, metavar="N", help="stop at a pair that is rarer")
    train.add_argument("--max-token-length", type=whole(), metavar="BYTES", help="never merge into longer tokens")
    train.add_argument("--threads", type=whole(), metavar="N", help="default: one a core")
    train.add_argument("--force", action="store_true", help="replace the files in FOLDER")
    train.add_argument("--json", action="store_true", help="print the result as JSON")
    train.add_argument("--quiet", action="store_true", help="show no progress")
    train.set_defaults(run=_train_tokenizer)

    encode = commands.add_parser("encode", help="turn texts into one file of token ids, uint16 or uint32")
    encode.add_argument(
        "corpus", nargs="+", help="text or JSON lines, plain, gzip or zstd, in this order; - for standard input"
    )
    encode.add_argument("--tokenizer", required=True, metavar="PATH", help=TOKENIZER_HELP)
    encode.add_argument("--out", required=True, metavar="FILE", help="with numpy's header if named .npy, else raw")
    encode.add_argument("--resume", action="store_true", help="go on with a run that did not end; else begin")
    encode.add_argument("--force", action="store_true", help="replace FILE, and what a run that did not end has left")
    encode.add_argument(
        "--special",
        type=one_of("allow", "text", "raise"),
        metavar="MEANING",
        help="what special tokens in texts mean: allow: themselves (default for text), text: nothing (default for "
        "JSON), raise: an error",
    )
    encode.add_argument(
        "--separator",
        metavar="TOKEN",
        help="behind each text of JSON, between files of text that lack it "
        "(default: the only special token, or <|endoftext|>)",
    )
    encode.add_argument(
        "--dtype",
        type=one_of("uint16", "uint32"),
        metavar="TYPE",
        help="uint16 or uint32 (default: uint16 if all ids fit)",
    )
    _add_input_options(encode)
    encode.add_argument("--threads", type=whole(), metavar="N", help="default: one a core")
    encode.add_argument("--json", action="store_true", help="print the result as JSON")
    encode.add_argument("--quiet", action="store_true", help="show no progress")
    encode.set_defaults(run=_encode)

    decode = commands.add_parser("decode", help="print the text of a file of token ids")
    decode.add_argument("file", help="that encode wrote")
    decode.add_argument("--tokenizer", required=True, metavar="PATH", help=TOKENIZER_HELP)
    decode.add_argument("--start", type=whole(0), default=0, metavar="N", help="the first token (default: 0)")
    decode.add_argument("--count", type=whole(0), metavar="N", help="how many (default: all)")
    decode.set_defaults(run=_decode)

    comparison = commands.add_parser("compare", help="bytes per token and speed of tokenizers on texts")
    comparison.add_argument("corpus", nargs="+", help="as for encode")
    comparison.add_argument(
        "--tokenizer", required=True, action="append", metavar="PATH", help=f"{TOKENIZER_HELP}; give it again for more"
    )
    comparison.add_argument("--threads", type=whole(), metavar="N", help="default: one a core")
    comparison.add_argument("--json", action="store_true", help="print the result as JSON")
    comparison.add_argument("--quiet", action="store_true", help="show no progress")
    comparison.set_defaults(run=_compare)

    verification = commands.add_parser("verify", help="read files of token ids and compare their checksums")
    verification.add_argument("file", nargs="+", help="that encode wrote")
    verification.add_argument("--tokenizer", metavar="PATH", help="that must have made them")
    verification.add_argument("--quiet", action="store_true", help="show no progress")
    verification.set_defaults(run=_verify)

    add_commands(commands)

    doctor = commands.add_parser("doctor", help="show what this machine has")
    doctor.add_argument("--json", action="store_true", help="print it as JSON")
    doctor.set_defaults(run=_doctor)

    inspection = commands.add_parser(
        "inspect", help="show what is in a tokenizer: longest tokens, lengths, what is never used"
    )
    inspection.add_argument("tokenizer", help="a folder, a tokenizer.json or a .tiktoken file")
    inspection.add_argument(
        "--longest", type=whole(0, 10**6 - 1), default=10, metavar="N", help="tokens and pretokens (default: 10)"
    )
    inspection.add_argument(
        "--png", metavar="FILE", help="draw the lengths of the tokens (.png or .svg; needs matplotlib)"
    )
    inspection.add_argument("--json", action="store_true", help="print the result as JSON")
    inspection.set_defaults(run=_inspect)

    data = commands.add_parser("data", help="texts to try things on").add_subparsers(required=True, metavar="WHAT")
    sample = data.add_parser("sample", help="write children's stories, the same for the same seed")
    sample.add_argument(
        "--megabytes", type=positive(1e9), default=20, metavar="N", help="of training stories (default: 20)"
    )
    sample.add_argument("--seed", type=whole(0, 2**64 - 1), default=SAMPLE_SEED, metavar="N")
    sample.add_argument("--out", default="data", metavar="FOLDER", help="default: data")
    sample.set_defaults(run=_data_sample)

    download = data.add_parser(
        "download",
        help="fetch a corpus of CS336 from Hugging Face",
        description="Fetch a corpus of CS336 from Hugging Face. The same command resumes what was interrupted.",
        epilog="The environment variable HF_ENDPOINT replaces https://huggingface.co.",
    )
    download.add_argument(
        "corpus",
        type=one_of("tinystories", "openwebtext"),
        help="tinystories (2.2 GB) or openwebtext (12 GB unpacked); each with its validation text",
    )
    download.add_argument("--out", default="data", metavar="FOLDER", help="default: data")
    download.add_argument("--force", action="store_true", help="fetch what is in FOLDER already, and replace it")
    download.add_argument("--quiet", action="store_true", help="show no progress")
    download.set_defaults(run=_data_download)
    return parser
