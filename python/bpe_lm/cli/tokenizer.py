"""The commands of a tokenizer: train-tokenizer, truncate, inspect, compare."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpe_lm.cli.guard import notes_afterwards
from bpe_lm.cli.inspection import print_inspection
from bpe_lm.cli.options import (
    add_input_options,
    add_json_option,
    add_memory_limit_option,
    add_pretokens_options,
    add_quiet_option,
    add_threads_option,
    add_tokenizer_option,
    one_of,
    sizes,
    whole,
)
from bpe_lm.cli.tables import duration, print_json, print_rows, print_table
from bpe_lm.errors import OptionError
from bpe_lm.picture import check_picture
from bpe_lm.progress import megabytes
from bpe_lm.tokenizer.comparison import PILE_BYTES, Compression, compare
from bpe_lm.tokenizer.counts import open_counts
from bpe_lm.tokenizer.figures import draw_lengths
from bpe_lm.tokenizer.inspection import inspect
from bpe_lm.tokenizer.report import TrainingReport, train_tokenizers, truncate_folder
from bpe_lm.tokenizer.tokenizer import Tokenizer


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's."""
    _add_train_tokenizer(commands)
    _add_truncate(commands)
    _add_inspect(commands)
    _add_compare(commands)


def _add_train_tokenizer(commands: Any) -> None:
    parser = commands.add_parser(
        "train-tokenizer",
        help="train a byte-level BPE tokenizer on text files",
        description="Train a byte-level BPE tokenizer on text files, or on the counts of texts, and save it in a "
        "folder in every format.",
    )
    parser.add_argument(
        "corpus",
        nargs="*",
        help="files of text or JSON lines, plain, gzip or zstd, tables (.parquet, .arrow), or addresses (s3://...); - "
        "for standard input",
    )
    parser.add_argument(
        "--from-counts",
        metavar="FILE",
        help="count file of bpe-lm count to train on, in place of texts (default: the texts are counted)",
    )
    parser.add_argument(
        "--vocab-size",
        type=sizes,
        required=True,
        metavar="N",
        help="number of tokens: 256 bytes, merges and special tokens; several, such as 4000,8000, are written into "
        "folders of these names in FOLDER",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write the tokenizer into")
    parser.add_argument(
        "--init",
        metavar="PATH",
        help="tokenizer to extend: its ids and merges stay, and new ones are learned after them (default: the bytes)",
    )
    add_pretokens_options(parser, more=", or as in the counts")
    add_input_options(parser)
    parser.add_argument(
        "--tie-break",
        type=one_of("bytes", "hf"),
        default="bytes",
        metavar="RULE",
        help="which of several pairs with the same count is merged: bytes (the course's rule) or hf (Hugging Face's)",
    )
    parser.add_argument(
        "--min-frequency", type=whole(), default=1, metavar="N", help="stop at a pair that occurs less often"
    )
    parser.add_argument(
        "--max-token-length",
        type=whole(),
        metavar="BYTES",
        help="never merge into longer tokens (default: no limit)",
    )
    add_threads_option(parser)
    add_memory_limit_option(parser, "the folder for temporary files (TMPDIR)")
    parser.add_argument("--force", action="store_true", help="replace the tokenizer in FOLDER")
    add_json_option(parser)
    add_quiet_option(parser)
    parser.set_defaults(run=_train_tokenizer)


def _train_tokenizer(options: argparse.Namespace) -> None:
    if (options.from_counts is None) == (not options.corpus):
        raise OptionError("give either files of text or --from-counts FILE")
    counts = None if options.from_counts is None else open_counts(options.from_counts)
    sizes: list[int] = options.vocab_size
    folders = {options.out if len(sizes) == 1 else str(Path(options.out) / str(size)): size for size in sizes}
    with notes_afterwards():
        reports = train_tokenizers(
            counts or options.corpus,
            folders,
            options.special_token or (counts.special_tokens if counts else []),
            progress=not options.quiet,
            force=options.force,
            pattern=options.pattern,
            tie_break=options.tie_break,
            threads=options.threads,
            min_frequency=options.min_frequency,
            max_token_length=options.max_token_length,
            memory_limit=options.memory_limit,
            init=None if options.init is None else Tokenizer.load(options.init),
            input_format=options.input_format,
            json_field=options.json_field,
            bad_lines=options.bad_lines,
        )
    if options.json:
        found = [report.as_dict() for report in reports]
        print_json(found[0] if len(found) == 1 else found)
    else:
        for report in reports:
            print_training_report(report)


def _add_truncate(commands: Any) -> None:
    parser = commands.add_parser(
        "truncate",
        help="write a smaller tokenizer: the first merges of one",
        description="Leave out the last merges of a tokenizer, and save what is left in a folder in every format. "
        "It is the tokenizer that train-tokenizer writes for this size on the same texts. Special tokens that come "
        "last move down, and all other tokens keep their ids.",
    )
    parser.add_argument("tokenizer", help="a folder, a tokenizer.json or a .tiktoken file")
    parser.add_argument(
        "--vocab-size", type=whole(), required=True, metavar="N", help="number of ids that the new tokenizer has"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder to write the tokenizer into")
    parser.add_argument("--force", action="store_true", help="replace the tokenizer in FOLDER")
    parser.set_defaults(run=_truncate)


def _truncate(options: argparse.Namespace) -> None:
    with notes_afterwards():
        tokenizer = truncate_folder(options.tokenizer, options.vocab_size, options.out, force=options.force)
    print_rows(
        [
            ("vocabulary", f"{tokenizer.vocab_size:,} ids, {len(tokenizer.merges):,} merges"),
            ("special tokens", ", ".join(f"{token!r} {id}" for token, id in tokenizer.special_ids.items()) or "none"),
            ("written to", options.out),
        ]
    )


def print_training_report(report: TrainingReport) -> None:
    """Print the figures of a tokenizer's training as a table."""
    counting = f"{report.count_seconds:.2f} s ({report.bytes_per_second / 1e6:,.0f} MB/s)"
    print_rows(
        [
            ("corpus", f"{', '.join(report.corpus)} ({megabytes(report.corpus_bytes)})"),
            *([("bad lines skipped", f"{report.skipped_lines:,}")] if report.skipped_lines else []),
            ("distinct pretokens", f"{report.distinct_pretokens:,}"),
            ("vocabulary", f"{report.vocab_size:,} tokens, {report.merges:,} merges"),
            *([("fewer than asked for", report.why_smaller)] if report.why_smaller else []),
            *([("pretokenize and count", counting)] if report.count_seconds else []),
            ("merge", f"{report.merge_seconds:.2f} s"),
            ("in all", f"{report.total_seconds:.2f} s"),
            ("peak memory", megabytes(report.peak_memory)),
            ("bytes per token", f"{report.bytes_per_token:.2f}"),
            ("longest tokens", "\n".join(report.longest_tokens)),
            ("written to", report.folder),
        ]
    )


def _add_inspect(commands: Any) -> None:
    parser = commands.add_parser(
        "inspect",
        help="show what is in a tokenizer: longest tokens, lengths, unused tokens",
        description="Show the longest tokens of a tokenizer, the lengths of its tokens and, if train-tokenizer wrote "
        "it, its most and least frequent merges and the tokens that are never used.",
    )
    parser.add_argument("tokenizer", help="a folder, a tokenizer.json or a .tiktoken file")
    parser.add_argument(
        "--longest", type=whole(0, 10**6 - 1), default=10, metavar="N", help="number of longest tokens and pretokens"
    )
    parser.add_argument(
        "--png",
        metavar="FILE",
        help="draw the lengths of the tokens in a .png or .svg file; needs matplotlib (default: no picture)",
    )
    add_json_option(parser)
    parser.set_defaults(run=_inspect)


def _inspect(options: argparse.Namespace) -> None:
    if options.png:
        check_picture(options.png)
    inspection = inspect(options.tokenizer, options.longest)
    if options.png:
        draw_lengths(inspection, options.png)
    if options.json:
        print_json(inspection.as_dict())
        return
    print_inspection(inspection)
    if options.png:
        print(f"drawn in {options.png}")


def _add_compare(commands: Any) -> None:
    parser = commands.add_parser(
        "compare",
        help="compare tokenizers on texts: bytes per token and speed",
        description="Encode each file with each tokenizer. Print bytes per token, the speed, and the time for the Pile "
        "(825 GB of text) at this speed.",
    )
    parser.add_argument("corpus", nargs="+", help="files of text, JSON lines or tables, or addresses")
    add_tokenizer_option(parser, action="append", more="; give it again for more")
    add_threads_option(parser)
    add_json_option(parser)
    add_quiet_option(parser)
    parser.set_defaults(run=_compare)


def _compare(options: argparse.Namespace) -> None:
    tokenizers = {path: Tokenizer.load(path) for path in options.tokenizer}
    found = compare(tokenizers, options.corpus, threads=options.threads, progress=not options.quiet)
    if options.json:
        print_json([compression.as_dict() for compression in found])
    else:
        _print_compressions(found)


def _print_compressions(compressions: Sequence[Compression]) -> None:
    """Print a table with a row for each tokenizer and a column for each corpus."""
    corpora = list(dict.fromkeys(found.corpus for found in compressions))
    headings = ["tokenizer", *(f"bytes per token\n{Path(corpus).name}" for corpus in corpora), "MB/s", "the Pile in"]
    rows = []
    for name in dict.fromkeys(found.tokenizer for found in compressions):
        own = [found for found in compressions if found.tokenizer == name]
        speed = sum(found.text_bytes for found in own) / max(sum(found.seconds for found in own), 1e-9)
        by_corpus = {found.corpus: f"{found.bytes_per_token:.2f}" for found in own}
        cells = [by_corpus[corpus] for corpus in corpora]
        rows.append([name, *cells, f"{speed / 1e6:,.0f}", duration(PILE_BYTES / speed)])
    print_table(headings, rows)
