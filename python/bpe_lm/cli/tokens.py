"""The commands of whole token files: tokens join, tokens export."""

from __future__ import annotations

import argparse
from typing import Any

from bpe_lm.cli.options import one_of
from bpe_lm.tokenizer.joined import join_tokens
from bpe_lm.tokenizer.token_export import PROGRAMS, export_tokens


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's."""
    parser = commands.add_parser(
        "tokens",
        help="join token files, or export them for other programs",
        description="Join token files, or export them for other programs. The ids are not copied.",
    )
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    _add_join(kinds)
    _add_export(kinds)


def _add_join(commands: Any) -> None:
    parser = commands.add_parser(
        "join",
        help="read several token files as one",
        description="Write FILE.json, by which FILE stands for several token files in order, wherever a token file is "
        "read. The ids stay in the parts, which must keep their places.",
    )
    parser.add_argument("part", nargs="+", help="token files in order; all shards of a corpus, or whole files")
    parser.add_argument("--out", required=True, metavar="FILE", help="name of the joined files; FILE.json is written")
    parser.add_argument("--force", action="store_true", help="replace FILE.json")
    parser.set_defaults(run=_join)


def _join(options: argparse.Namespace) -> None:
    manifest = join_tokens(options.part, options.out, force=options.force)
    documents = "" if manifest.documents is None else f" in {manifest.documents:,} documents"
    print(f"{options.out}: {manifest.count:,} tokens of {manifest.dtype}{documents}, in {len(manifest.parts):,} parts")


def _add_export(commands: Any) -> None:
    parser = commands.add_parser(
        "export",
        help="write the index files of Megatron-LM, datatrove or OLMo-core",
        description="Write what Megatron-LM, datatrove or OLMo-core read beside the ids of a token file: OUT.idx; "
        "OUT.ds.index and OUT.ds.metadata; or OUT.csv.gz. The ids (OUT.bin, OUT.ds, OUT.npy) are a hard link to FILE.",
    )
    parser.add_argument("file", help="token file, or joined files (with --copy)")
    parser.add_argument("out", help="beginning of the names of the files to write")
    parser.add_argument("--to", required=True, type=one_of(*PROGRAMS), metavar="PROGRAM", help=f"{', '.join(PROGRAMS)}")
    parser.add_argument("--copy", action="store_true", help="copy the ids in place of the hard link")
    parser.add_argument("--force", action="store_true", help="replace files that exist")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    for path in export_tokens(options.file, options.out, options.to, copy=options.copy, force=options.force):
        print(path)
