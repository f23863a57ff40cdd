"""The commands of token files: encode, decode, verify."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from bpe_lm.cli.guard import Terminated, notes_afterwards
from bpe_lm.cli.options import (
    add_input_options,
    add_json_option,
    add_quiet_option,
    add_ray_options,
    add_shard_option,
    add_threads_option,
    add_tokenizer_option,
    one_of,
    ray_options,
    whole,
)
from bpe_lm.cli.tables import print_json, print_rows
from bpe_lm.cluster.encoding import encode_on_ray
from bpe_lm.cluster.parts import JOB
from bpe_lm.errors import FileError
from bpe_lm.progress import megabytes
from bpe_lm.tokenizer.report import EncodingReport, encode_corpus
from bpe_lm.tokenizer.token_file import verify
from bpe_lm.tokenizer.tokenizer import Tokenizer


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's."""
    _add_encode(commands)
    _add_decode(commands)
    _add_verify(commands)


def _add_encode(commands: Any) -> None:
    parser = commands.add_parser(
        "encode",
        help="turn texts into one file of token ids",
        description="Turn texts into one file of token ids, uint16 or uint32. FILE.json describes it.",
    )
    parser.add_argument(
        "corpus",
        nargs="+",
        help="files of text or JSON lines, plain, gzip or zstd, tables (.parquet, .arrow), or addresses (s3://...), in "
        "this order; - for standard input",
    )
    add_tokenizer_option(parser)
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="file to write; .npy has numpy's header, any other name has none"
    )
    parser.add_argument("--resume", action="store_true", help="continue what an interrupted command has left, if any")
    parser.add_argument(
        "--force", action="store_true", help="replace FILE, and delete what an interrupted command has left"
    )
    parser.add_argument(
        "--special",
        type=one_of("allow", "text", "raise"),
        metavar="MEANING",
        help="how special tokens in the texts are encoded: allow: as their own ids, text: as ordinary text, "
        "raise: they are an error (default: allow in files of text, text in JSON lines)",
    )
    parser.add_argument(
        "--separator",
        metavar="TOKEN",
        help="special token after each text of JSON lines, and between files of text that lack it "
        "(default: the only special token, or <|endoftext|>)",
    )
    parser.add_argument(
        "--dtype",
        type=one_of("uint16", "uint32"),
        metavar="TYPE",
        help="type of the ids: uint16 or uint32 (default: uint16 if all ids fit)",
    )
    add_shard_option(parser, "encode")
    add_ray_options(parser, "encode")
    parser.add_argument(
        "--no-index",
        dest="index",
        action="store_false",
        help="leave out FILE.idx, which says where documents begin (8 bytes for each)",
    )
    add_input_options(parser)
    add_threads_option(parser)
    add_json_option(parser)
    add_quiet_option(parser)
    parser.set_defaults(run=_encode)


def _encode(options: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(options.tokenizer)
    try:
        with notes_afterwards():
            report = _encode_texts(options, tokenizer)
    except (KeyboardInterrupt, Terminated, FileError):
        left = f"{options.out}.partial.journal" if options.ray is None else f"{options.out}.parts/{JOB}"
        if Path(left).exists() and "-" not in options.corpus:
            print("what was written is kept; the same command with --resume goes on from there", file=sys.stderr)
        raise
    if options.json:
        print_json(report.as_dict())
    else:
        _print_encoding_report(report)


def _encode_texts(options: argparse.Namespace, tokenizer: Tokenizer) -> EncodingReport:
    arguments: dict[str, Any] = {
        "special": options.special,
        "separator": options.separator,
        "dtype": options.dtype,
        "index": options.index,
        "resume": options.resume,
        "force": options.force,
        "progress": not options.quiet,
        "input_format": options.input_format,
        "json_field": options.json_field,
        "bad_lines": options.bad_lines,
    }
    on_ray = ray_options(options)
    if on_ray is None:
        arguments |= {"shard": options.shard, "threads": options.threads}
        return encode_corpus(tokenizer, options.corpus, options.out, **arguments)
    start = time.perf_counter()
    manifest = encode_on_ray(options.corpus, tokenizer, options.out, **on_ray, **arguments)
    return EncodingReport(options.corpus, manifest, time.perf_counter() - start, None, options.out)


def _print_encoding_report(report: EncodingReport) -> None:
    manifest, speed = report.manifest, report.bytes_per_second / 1e6
    print_rows(
        [
            ("texts", f"{', '.join(report.corpus)} ({megabytes(manifest.text_bytes)})"),
            *([("bad lines skipped", f"{manifest.skipped_lines:,}")] if manifest.skipped_lines else []),
            ("tokens", f"{manifest.count:,} of {manifest.dtype}"),
            *([("documents", f"{manifest.documents:,}")] if manifest.documents is not None else []),
            ("bytes per token", f"{manifest.bytes_per_token:.2f}"),
            ("time", f"{report.seconds:.2f} s ({speed:,.0f} MB/s)"),
            *([("peak memory", megabytes(report.peak_memory))] if report.peak_memory is not None else []),
            ("written to", f"{report.out} and {report.out}.json"),
        ]
    )


def _add_decode(commands: Any) -> None:
    parser = commands.add_parser(
        "decode", help="print the text of a file of token ids", description="Print the text of a file of token ids."
    )
    parser.add_argument("file", help="a file that encode wrote")
    add_tokenizer_option(parser)
    parser.add_argument(
        "--start", type=whole(0), default=0, metavar="N", help="number of the first token, counted from 0"
    )
    parser.add_argument("--count", type=whole(0), metavar="N", help="number of tokens (default: all that follow)")
    parser.set_defaults(run=_decode)


def _decode(options: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(options.tokenizer)
    for text in tokenizer.decode_file(options.file, start=options.start, count=options.count):
        sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _add_verify(commands: Any) -> None:
    parser = commands.add_parser(
        "verify",
        help="read files of token ids and compare their checksums",
        description="Read files of token ids and compare their checksums with those that encode wrote.",
    )
    parser.add_argument("file", nargs="+", help="files that encode wrote")
    parser.add_argument(
        "--tokenizer", metavar="PATH", help="tokenizer that must have written them (default: any tokenizer)"
    )
    add_quiet_option(parser)
    parser.set_defaults(run=_verify)


def _verify(options: argparse.Namespace) -> None:
    tokenizer = Tokenizer.load(options.tokenizer) if options.tokenizer else None
    for path in options.file:
        manifest = verify(path, tokenizer=tokenizer, progress=not options.quiet)
        documents = "" if manifest.documents is None else f" in {manifest.documents:,} documents"
        print(f"{path}: {manifest.count:,} tokens of {manifest.dtype}{documents}, undamaged", flush=True)
