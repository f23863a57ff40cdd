"""The command of count files: count, which also adds them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bpe_lm.cli.guard import Terminated, notes_afterwards, say
from bpe_lm.cli.options import (
    add_input_options,
    add_json_option,
    add_memory_limit_option,
    add_pretokens_options,
    add_quiet_option,
    add_ray_options,
    add_shard_option,
    add_threads_option,
    ray_options,
)
from bpe_lm.cli.tables import print_json, print_rows
from bpe_lm.cluster.counting import count_on_ray
from bpe_lm.cluster.parts import JOB
from bpe_lm.errors import FileError, OptionError
from bpe_lm.machine import peak_memory
from bpe_lm.progress import megabytes
from bpe_lm.tokenizer.counts import Counts, count_pretokens, merge_counts


def add_commands(commands: Any) -> None:
    """Add the command to a parser's."""
    parser = commands.add_parser(
        "count",
        help="count the pretokens of texts, in shards on several machines, and add the counts",
        description="Count the pretokens of texts into a file, from which train-tokenizer trains. Several machines can "
        "count a shard each, and with --merge any of them adds their files.",
    )
    parser.add_argument(
        "corpus",
        metavar="PATH",
        nargs="+",
        help="files of text or JSON lines, plain, gzip or zstd, tables (.parquet, .arrow), or addresses (s3://...), in "
        "the same order for each shard; - for standard input; with --merge, count files, or .parquet files of counts",
    )
    parser.add_argument(
        "-o", "--out", required=True, metavar="FILE", help="count file to write; FILE.parquet is a table of counts"
    )
    add_shard_option(parser, "count")
    parser.add_argument("--merge", action="store_true", help="add count files instead of counting texts")
    parser.add_argument(
        "--weight",
        type=weight,
        action="append",
        default=[],
        metavar="FILE=W",
        help="with --merge, multiply the counts of this file by W, such as 2.5, and round halves up; give it again for "
        "other files (default: 1)",
    )
    add_pretokens_options(parser)
    add_input_options(parser)
    add_threads_option(parser)
    add_memory_limit_option(parser, "the folder of FILE")
    add_ray_options(parser, "count")
    parser.add_argument("--force", action="store_true", help="replace FILE, and with --ray delete FILE.parts")
    parser.add_argument(
        "--resume", action="store_true", help="with --ray, keep the shards that an interrupted command has counted"
    )
    add_json_option(parser)
    add_quiet_option(parser)
    parser.set_defaults(run=_count)


def weight(text: str) -> tuple[str, str]:
    """Parse FILE=W."""
    path, equals, number = text.rpartition("=")
    if not (equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not a weight; write FILE=2.5")
    return path, number


def _count(options: argparse.Namespace) -> None:
    try:
        with notes_afterwards():
            counts = _merge(options) if options.merge else _count_texts(options)
    except (KeyboardInterrupt, Terminated, FileError):
        if options.ray is not None and Path(f"{options.out}.parts", JOB).exists():
            say("the shards that were counted are kept; the same command with --resume goes on from there")
        raise
    if options.json:
        print_json(counts.as_dict())
        return
    print_rows(
        [
            ("texts", megabytes(counts.num_bytes)),
            *([("bad lines skipped", f"{counts.skipped_lines:,}")] if counts.skipped_lines else []),
            ("pretokens", f"{counts.num_pretokens:,}"),
            ("distinct pretokens", f"{counts.num_distinct_pretokens:,}"),
            ("pattern", counts.pattern),
            ("special tokens", " ".join(counts.special_tokens) or "none"),
            *([("peak memory", megabytes(peak_memory()))] if options.ray is None else []),
            ("written to", counts.path),
        ]
    )


def _merge(options: argparse.Namespace) -> Counts:
    for name in ("shard", "ray", "shards"):
        if getattr(options, name):
            flag = f"--{name.replace('_', '-')}"
            raise OptionError(f"{flag} says how texts are counted, and --merge adds files that were counted already")
    weights = dict(options.weight)
    if len(weights) < len(options.weight):
        raise OptionError("a file has two weights")
    return merge_counts(
        options.corpus,
        options.out,
        weights=weights,
        pattern=options.pattern,
        special_tokens=options.special_token or None,
        force=options.force,
        progress=not options.quiet,
    )


def _count_texts(options: argparse.Namespace) -> Counts:
    if options.weight:
        raise OptionError("--weight is for --merge: count each source into a file of its own, and weight that file")
    arguments: dict[str, Any] = {
        "special_tokens": options.special_token,
        "pattern": options.pattern or "gpt2",
        "memory_limit": options.memory_limit,
        "force": options.force,
        "progress": not options.quiet,
        "input_format": options.input_format,
        "json_field": options.json_field,
        "bad_lines": options.bad_lines,
    }
    on_ray = ray_options(options)
    if on_ray is not None:
        return count_on_ray(options.corpus, options.out, resume=options.resume, **on_ray, **arguments)
    if options.resume:
        raise OptionError("--resume is for --ray; a count without it is written whole or not at all")
    return count_pretokens(options.corpus, options.out, shard=options.shard, threads=options.threads, **arguments)
