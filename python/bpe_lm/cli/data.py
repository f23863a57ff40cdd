"""The commands of texts: data sample, data download."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from bpe_lm.cli.guard import Terminated
from bpe_lm.cli.options import add_quiet_option, one_of, positive, whole
from bpe_lm.data.sample import SAMPLE_SEED, write_samples
from bpe_lm.progress import megabytes


def add_commands(commands: Any) -> None:
    """Add the commands to a parser's."""
    parser = commands.add_parser(
        "data", help="write or download texts to try things on", description="Write or download texts."
    )
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    _add_sample(kinds)
    _add_download(kinds)


def _add_sample(commands: Any) -> None:
    parser = commands.add_parser(
        "sample",
        help="write made-up children's stories",
        description="Write made-up children's stories: FOLDER/sample-train.txt, and a tenth as many in "
        "FOLDER/sample-valid.txt. They are the same for the same seed.",
    )
    parser.add_argument(
        "--megabytes", type=positive(1e9), default=20, metavar="N", help="size of the training stories in MB"
    )
    parser.add_argument(
        "--seed", type=whole(0, 2**64 - 1), default=SAMPLE_SEED, metavar="N", help="seed of the random choices"
    )
    parser.add_argument("--out", default="data", metavar="FOLDER", help="folder to write into")
    parser.set_defaults(run=_sample)


def _sample(options: argparse.Namespace) -> None:
    for path in write_samples(options.out, options.megabytes, options.seed):
        print(f"{path} ({megabytes(path.stat().st_size)})")


def _add_download(commands: Any) -> None:
    parser = commands.add_parser(
        "download",
        help="fetch a corpus of CS336 from Hugging Face",
        description="Fetch a corpus of CS336 from Hugging Face. The same command resumes what was interrupted.",
        epilog="The environment variable HF_ENDPOINT replaces https://huggingface.co.",
    )
    parser.add_argument(
        "corpus",
        type=one_of("tinystories", "openwebtext"),
        help="tinystories (2.2 GB) or openwebtext (12 GB unpacked); each with its validation text",
    )
    parser.add_argument("--out", default="data", metavar="FOLDER", help="folder to write into")
    parser.add_argument("--force", action="store_true", help="fetch and replace files that are in FOLDER already")
    add_quiet_option(parser)
    parser.set_defaults(run=_download)


def _download(options: argparse.Namespace) -> None:
    from bpe_lm.data.download import download_corpus

    try:
        files = download_corpus(options.corpus, options.out, progress=not options.quiet, force=options.force)
    except (KeyboardInterrupt, Terminated):
        print(f"what has arrived is kept in {options.out}; the same command goes on from there", file=sys.stderr)
        raise
    for file in files:
        kept = "" if file.is_new else ", kept as it was: --force replaces it"
        print(f"{file.path} ({megabytes(file.path.stat().st_size)}{kept})")
