"""Problem train_bpe_tinystories: train a tokenizer of 10,000 tokens on TinyStories.

(a) How long does it take, how much memory, and what is the longest token? Does it make sense? (b) What part of the
training takes the most time? The handout's limits are 30 minutes and 30 GB.

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): 4,000 tokens take 0.05 s and 36 MB, of which writing is 58 %. The longest token is ' compassionate'. The
job `tokenizer-tinystories` measures it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Table, Text
from bpe_lm.experiments.cs336.preparation import is_trained, tokenizer_job
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.scales import OFFICIAL_VOCAB
from bpe_lm.experiments.cs336.setting import CorpusKey
from bpe_lm.experiments.cs336.shown import standing
from bpe_lm.experiments.cs336.wording import NOT_STATED, percent, seconds, size, titles
from bpe_lm.experiments.work import Work
from bpe_lm.tokenizer.tokens import shortened

SHOWN = 40
"""Characters of a token that a table shows."""

REPORTED = {
    "write-up 1": (
        "265 s, with a profiler",
        NOT_STATED,
        "' accomplishment', 15 bytes",
        "most of it waiting for the pool of processes",
    ),
    "write-up 2": (
        "7.70 s; from Python 10.23 s",
        "2.2 to 2.65 GB",
        "' responsibility', 15 bytes",
        "pretokenize and count 6 to 7 s, merge 0.5 s",
    ),
    "handout": ("at most 30 min; less than 2 min is possible", "at most 30 GB", "", ""),
}
"""Time, memory, longest token, and what takes the most time."""


def figures_table(trained: Mapping[str, Any], title: str, reported: Mapping[str, Sequence[str]]) -> Table:
    """Return a table of the figures of a training beside those that others report.

    Args:
        trained: What `bpe-lm train-tokenizer --json` printed.
        title: The name of the text that it was trained on.
        reported: By source: time, memory, longest token, and what takes the most time.
    """
    total = trained["total_seconds"]
    here = (
        seconds(total),
        size(trained["peak_memory"]),
        next(iter(longest_tokens(trained)), "none"),
        ", ".join(
            f"{name} {seconds(part)} ({percent(share(part, total), 0)})" for name, part in stages(trained).items()
        ),
    )
    names = ("time in all", "peak memory", "longest token", "where the time goes")
    rows = [(name, *cells) for name, *cells in zip(names, here, *reported.values(), strict=True)]
    own = f"here: {title}, {size(trained['corpus_bytes'])}"
    return Table(("figure", own, *reported), rows, f"Training of {trained['vocab_size']:,} tokens.")


def share(part: float, whole: float) -> float:
    """Return a part as a fraction of the whole; 0 of nothing."""
    return part / whole if whole > 0 else 0.0


def sizes_table(trained: Mapping[str, Any]) -> Table:
    """Return a table of what was learned from the text."""
    asked = f" of {trained['asked_vocab_size']:,} asked for" if trained["why_smaller"] else ""
    rows = [
        ("text", size(trained["corpus_bytes"])),
        ("distinct pretokens", trained["distinct_pretokens"]),
        ("tokens", f"{trained['vocab_size']:,}{asked}"),
        ("bytes per token of this text", trained["bytes_per_token"]),
        ("longest tokens", "; ".join(longest_tokens(trained))),
    ]
    return Table(("", "value"), rows)


def stages(trained: Mapping[str, Any]) -> dict[str, float]:
    """Return the seconds of each stage of training. The rest is to write the tokenizer in every format."""
    count, merge = trained["count_seconds"], trained["merge_seconds"]
    return {"pretokenize and count": count, "merge": merge, "write": trained["total_seconds"] - count - merge}


def longest_tokens(trained: Mapping[str, Any]) -> list[str]:
    """Return the longest tokens with their lengths. Of a token that is too long for a table, the beginning is shown."""
    return [f"{shortened(token, SHOWN)}, {len(token)} bytes" for token in _tokens(trained)]


def _tokens(trained: Mapping[str, Any]) -> list[bytes]:
    found = [ast.literal_eval(line.rpartition(", ")[0]) for line in trained["longest_tokens"]]
    return [token if isinstance(token, bytes) else token.encode() for token in found]


def sense(trained: Mapping[str, Any]) -> str:
    """Say how many of the longest tokens are words, and why."""
    tokens = _tokens(trained)
    words = [token for token in tokens if token.strip().isalpha()]  # Of bytes: ASCII letters.
    sentences = [f"Of the {len(tokens)} longest tokens, {len(words)} are words of ASCII letters, or parts of words."]
    if words:
        sentences.append("A frequent word is merged to its end, with the space before it.")
    if len(words) < len(tokens):
        sentences.append(
            "The others are what the text repeats without a break, such as rows of a character, or badly decoded text."
        )
    return " ".join(sentences)


def longest_stage(trained: Mapping[str, Any]) -> str:
    """Say which stage of training takes the most time, with its share."""
    parts = stages(trained)
    name = max(parts, key=parts.__getitem__)
    said = f"The stage `{name}` takes the most time: {percent(share(parts[name], trained['total_seconds']), 0)}."
    small = " The text is small: counting takes longer with a longer text, and writing does not."
    return said + small if name == "write" else said


def training_blocks(results: Results, key: CorpusKey, reported: Mapping[str, Sequence[str]]) -> list[Block]:
    """Return the figures of a corpus's tokenizer, or what is missing."""
    corpus, trained = results.setting.corpora[key], results.measured(f"tokenizer-{key}")
    if trained is None or not is_trained(results, key):
        return [Missing(f"the tokenizer of {corpus.title}")]
    return [
        *standing(results, key),
        *_on_size(key, trained["vocab_size"]),
        figures_table(trained, titles(results.setting)[key], reported),
        sizes_table(trained),
        Text(f"The vocabulary and the merges are in `tokenizers/{key}`, in each of the usual formats."),
    ]


def _on_size(key: CorpusKey, number: int) -> Iterable[Block]:
    if number != OFFICIAL_VOCAB[key]:
        yield Text(f"The vocabulary has {number:,} tokens, and {OFFICIAL_VOCAB[key]:,} in the course.")


def _answer(results: Results) -> Iterable[Block]:
    yield from training_blocks(results, "tinystories", REPORTED)
    trained = results.measured("tokenizer-tinystories")
    if trained is not None and is_trained(results, "tinystories"):
        yield Text(f"**(a)** {sense(trained)}")
        yield Text(f"**(b)** {longest_stage(trained)}")


def _work(results: Results) -> Iterable[Work]:
    yield tokenizer_job(results, "tinystories")


QUESTION = Question(
    row=4,
    name="train_bpe_tinystories",
    points=2,
    kind="measured",
    asked="Train a tokenizer of 10,000 tokens on TinyStories. How long does it take, how much memory, what is the "
    "longest token, and what takes the most time?",
    answer=_answer,
    work=_work,
)
