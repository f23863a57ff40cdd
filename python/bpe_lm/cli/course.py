"""Run the course's two training scripts: find the corpus, train, report, compare."""

import argparse
import cProfile
import pstats
import sys
from dataclasses import dataclass
from pathlib import Path

from bpe_lm.cli.guard import guarded
from bpe_lm.cli.tables import console
from bpe_lm.cli.tokenizer import print_training_report
from bpe_lm.data.sample import write_samples
from bpe_lm.errors import CorpusError
from bpe_lm.tokenizer.report import train_tokenizer
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.tokenizer.tokens import longest_learned, quoted

SPECIAL_TOKENS = ["<|endoftext|>"]
SAMPLE_MEGABYTES = 20


@dataclass(frozen=True)
class Experiment:
    """A corpus of the course, and the tokenizer that is trained on it.

    `corpus` is the unpacked text file. The same name with .gz is read if the unpacked file does not exist.
    """

    name: str
    corpus: Path
    vocab_size: int
    folder: Path
    how_to_get: str

    def existing_corpus(self) -> Path | None:
        """Return the unpacked or the packed corpus, whichever exists, or None."""
        packed = self.corpus.with_name(self.corpus.name + ".gz")
        return next((path for path in (self.corpus, packed) if path.exists()), None)


def run(experiment: Experiment, description: str, other: Experiment | None = None) -> int:
    """Train with the options of the command line; return the exit status."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--corpus",
        type=Path,
        metavar="FILE",
        help=f"the text to train on (default: {experiment.corpus}, or the same name with .gz)",
    )
    source.add_argument(
        "--sample", action="store_true", help=f"write {SAMPLE_MEGABYTES} MB of made-up stories and train on them"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=experiment.folder,
        metavar="FOLDER",
        help=f"where the tokenizer is written (default: {experiment.folder})",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="number of threads (default: one per core)")
    parser.add_argument(
        "--profile", action="store_true", help="print cProfile's 20 slowest functions after the result (default: off)"
    )
    options = parser.parse_args()
    return guarded(lambda: _train(experiment, other, options))


def _train(experiment: Experiment, other: Experiment | None, options: argparse.Namespace) -> None:
    corpus = _find_corpus(experiment, options)
    profile = cProfile.Profile()
    if options.profile:
        profile.enable()
    report = train_tokenizer(
        [str(corpus)],
        experiment.vocab_size,
        SPECIAL_TOKENS,
        options.out,
        progress=True,
        threads=options.threads,
        force=True,
    )
    profile.disable()
    print_training_report(report)
    if options.profile:
        pstats.Stats(profile, stream=sys.stdout).sort_stats("cumulative").print_stats(20)
        print(f"seconds: count {report.count_seconds:.2f}, merge {report.merge_seconds:.2f}")
    if other and (other.folder / "tokenizer.json").exists():
        _compare({experiment.name: (options.out, corpus), other.name: (other.folder, other.existing_corpus())})


def _find_corpus(experiment: Experiment, options: argparse.Namespace) -> Path:
    if options.sample:
        return write_samples("data", SAMPLE_MEGABYTES)[0]
    corpus = options.corpus or experiment.existing_corpus()
    if corpus is None:
        raise CorpusError(
            f"neither {experiment.corpus} nor {experiment.corpus}.gz exists. {experiment.how_to_get}\n"
            "Or train on a file of your own with --corpus FILE, or on made-up stories with --sample."
        )
    return Path(corpus)


def _compare(trained: dict[str, tuple[Path, Path | None]]) -> None:
    """Print how many tokens two vocabularies share, and how well each compresses either corpus."""
    from rich.table import Table

    tokenizers = {name: Tokenizer.load(folder) for name, (folder, _) in trained.items()}
    shared = set.intersection(*(set(tokenizer.vocab.values()) for tokenizer in tokenizers.values()))
    table = Table("tokenizer", "tokens", "in both", "longest token", title="The two vocabularies")
    corpora = {name: corpus for name, (_, corpus) in trained.items() if corpus}
    for name in corpora:
        table.add_column(f"bytes per token on {name}")
    for name, tokenizer in tokenizers.items():
        measured = [f"{_bytes_per_token(tokenizer, corpus):.2f}" for corpus in corpora.values()]
        longest = quoted(longest_learned(tokenizer, 1)[0])
        table.add_row(name, f"{len(tokenizer.vocab):,}", f"{len(shared):,}", longest, *measured)
    console().print(table)


def _bytes_per_token(tokenizer: Tokenizer, corpus: Path) -> float:
    num_tokens, num_bytes = tokenizer.count_tokens(corpus, progress=True)
    return num_bytes / num_tokens
