"""Problem generate: let the model write at least 256 tokens, and name two factors that the quality depends on.

The two factors are measured: the validation loss by tokens of training, and how much texts repeat themselves by
temperature and top-p.

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): the stories have sentences and persons, and lose their thread. At temperature 0, 12 % of the sequences of
4 tokens occurred before; at 1.5 none, and 81 % of the words are known. Five times the tokens of training lower the loss
from 3.37 to 2.67 nats.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import exp
from pathlib import Path
from statistics import mean
from typing import Any

from bpe_lm.experiments.blocks import Block, Code, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import Line, loss_by_tokens, repetition
from bpe_lm.experiments.cs336.base_run import base
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.shown import standing
from bpe_lm.experiments.cs336.train_bpe import beginning
from bpe_lm.experiments.cs336.wording import percent
from bpe_lm.experiments.work import RESULT, Job, Training, Work, measurement

PROMPT = "Once upon a time"
TOKENS = 256
TEMPERATURES, TOP_PS = (0.0, 0.5, 0.8, 1.0, 1.5), (1.0, 0.9, 0.5)
SEEDS = 3
SHOWN = (0.8, 0.9)
"""The temperature and top-p of texts that are usually fluent."""

CHOICES = ((0.0, 1.0), SHOWN, (1.5, 1.0))
"""The temperature and top-p of the texts that the report shows."""

VOCABULARY_BYTES = 10_000_000
"""The bytes of the validation text whose words count as known."""

MODULE = "bpe_lm.experiments.cs336.generation"


def texts_job(results: Results, training: Training, name: str, prompt: str = PROMPT) -> Job | None:
    """Return the job that writes texts with the model of a run, or None if the run has no model."""
    record = results.finished(training)
    if record is None or record.loss is None:
        return None
    is_smoke = results.setting.scale == "smoke"
    values = {
        "run": str(record.folder),
        "tokenizer": training.config.data.tokenizer,
        "prompt": prompt,
        "temperatures": [0.0, 0.8, 1.5] if is_smoke else list(TEMPERATURES),
        "top_ps": [1.0, 0.9] if is_smoke else list(TOP_PS),
        "seeds": list(range(1 if is_smoke else SEEDS)),
        "max_tokens": TOKENS,
        "device": training.config.device,
    }
    return measurement(
        name, MODULE, values, inputs=(record.folder / RESULT,), sources=("model", "kernels", "tokenizer")
    )


def base_texts(results: Results) -> Job | None:
    """Return the job that writes texts with the model of the base run."""
    return texts_job(results, base(results), "generation")


def texts_of(results: Results, job: Job | None) -> list[Mapping[str, Any]]:
    """Return the texts that a job wrote, or none."""
    found = None if job is None else results.measured(job)
    return [] if found is None else found["texts"]


def text_blocks(
    texts: Sequence[Mapping[str, Any]], choices: Iterable[tuple[float, float]] = CHOICES
) -> Iterable[Block]:
    """Yield a text for each pair of temperature and top-p, if there is one, or else for the first text's."""
    for temperature, top_p in choices:
        found = [t for t in texts if (t["temperature"], t["top_p"]) == (temperature, top_p)] or texts
        text = found[0]
        end = "ended by the model" if text["has_ended"] else f"cut at {TOKENS} tokens"
        yield Text(f"Temperature {text['temperature']:g}, top-p {text['top_p']:g}, {text['tokens']} tokens; {end}:")
        yield Code(text["text"])


def grid(texts: Sequence[Mapping[str, Any]]) -> list[tuple[float, float, float, float, int]]:
    """Return a row for each temperature and top-p: the means of repetition and of length, and the number of texts."""
    pairs = dict.fromkeys((text["temperature"], text["top_p"]) for text in texts)
    rows = []
    for temperature, top_p in pairs:
        own = [text for text in texts if (text["temperature"], text["top_p"]) == (temperature, top_p)]
        rows.append((temperature, top_p, mean(t["repeated"] for t in own), mean(t["tokens"] for t in own), len(own)))
    return rows


def known_words(path: Path) -> frozenset[str]:
    """Return the words at the beginning of a text, in small letters; none if the text is missing or packed."""
    return _known_words(path, path.stat().st_mtime_ns) if path.is_file() else frozenset()


@cache
def _known_words(path: Path, changed: int) -> frozenset[str]:
    """Return the words of a file, which was changed last at a time. Reports are written often, and read it once."""
    text = beginning(path, VOCABULARY_BYTES)
    return frozenset() if text is None else frozenset(_words(text))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def share_of_words(
    texts: Sequence[Mapping[str, Any]], choice: tuple[float, float], known: frozenset[str]
) -> float | None:
    """Return which share of the words of some texts is known; None if there is no word, or none is known.

    Args:
        texts: All texts.
        choice: The temperature and top-p of the texts that count.
        known: The words that are known.
    """
    own = [text["text"] for text in texts if (text["temperature"], text["top_p"]) == choice]
    words = [word for text in own for word in _words(text)]
    return sum(word in known for word in words) / len(words) if words and known else None


def _on_drawing(rows: Sequence[tuple[float, float, float, float, int]], shares: Sequence[float | None]) -> str:
    """Say how fluent the texts are by the two figures that are measured, and what temperature and top-p change."""
    figures = {row[:2]: (row[2], share) for row, share in zip(rows, shares, strict=True)}
    low, high = (choose(row[0] for row in rows) for choose in (min, max))
    wide, narrow = (choose(row[1] for row in rows) for choose in (max, min))
    cold = next(row[:2] for row in rows if row[0] == low)
    points = [point for point in dict.fromkeys((cold, (high, wide), (high, narrow))) if point in figures]
    return " ".join(
        [
            "**Fluency.** Two figures of it can be counted: how much a text repeats itself, and how many of its words "
            "the validation text has. Whether sentences make sense, the texts above show. **Factor 1** is how the next "
            "token is drawn, by temperature and top-p.",
            *(_at(*point, *figures[point]) for point in points),
        ]
    )


def _at(temperature: float, top_p: float, repeated: float, share: float | None) -> str:
    words = "" if share is None else f", and {percent(share, 0)} of the words are known"
    return (
        f"At temperature {temperature:g} and top-p {top_p:g}, {percent(repeated, 0)} of the sequences of 4 tokens "
        f"occurred before{words}."
    )


RISE = 0.01
"""A validation loss that ends so many nats above the least has risen again; less is the noise of validations."""


def _on_training(points: Sequence[tuple[int, float]]) -> str:
    """Say what the tokens of training change."""
    (first, start), (last, end) = points[0], points[-1]
    said = "**Factor 2** is how well the model predicts, which depends on the tokens of training."
    if len(points) == 1:
        return f"{said} After {first:,} tokens, the validation loss is {start:.3f} nats."
    least = min(points, key=lambda point: point[1])
    more = "" if end - least[1] < RISE else f" It is least after {least[0]:,} tokens, {least[1]:.3f}, and rises again."
    return (
        f"{said} From {first:,} to {last:,} tokens, the validation loss goes from {start:.3f} to {end:.3f} nats per "
        f"token.{more}"
    )


def _answer(results: Results) -> Iterable[Block]:
    yield from standing(results, "tinystories")
    texts = texts_of(results, base_texts(results))
    if texts:
        yield from text_blocks(texts)
        words = known_words(results.setting.corpora["tinystories"].valid)
        rows = grid(texts)
        shares = [share_of_words(texts, row[:2], words) for row in rows]
        yield Text(_on_drawing(rows, shares))
        header = ("temperature", "top-p", "share of repeated sequences of 4 tokens", "mean tokens", "texts")
        more = ["share of words that the validation text has"] if words else []
        cells = [(*row, *([share] if words else [])) for row, share in zip(rows, shares, strict=True)]
        yield Table((*header, *more), cells, "Means over the texts of each temperature and top-p.")
        lines = [
            Line(
                f"top-p {top_p:g}",
                [row[0] for row in rows if row[1] == top_p],
                [row[2] for row in rows if row[1] == top_p],
            )
            for top_p in dict.fromkeys(row[1] for row in rows)
        ]
        title = "Repetition by temperature"
        yield Picture("repetition", lambda: repetition(lines, title), "Sequences of 4 tokens that occurred before.")
    else:
        yield Missing("texts of the base run")
    record = results.finished(base(results))
    if record is None or not record.valid:
        yield Missing("the validation loss by tokens of training")
        return
    points = [(valid["tokens"], valid["loss"]) for valid in record.valid]
    yield Text(_on_training(points))
    header_of_losses = ("tokens of training", "validation loss in nats per token", "perplexity")
    yield Table(header_of_losses, [(f"{tokens:,}", loss, exp(loss)) for tokens, loss in points])
    line = Line("base", [float(tokens) for tokens, _ in points], [loss for _, loss in points])
    title_of_losses = "Loss by tokens of training"
    yield Picture(
        "loss_by_tokens", lambda: loss_by_tokens([line], title_of_losses), "Validation losses of the base run."
    )


def _work(results: Results) -> Iterable[Work]:
    yield base(results)
    job = base_texts(results)
    if job is not None:
        yield job


QUESTION = Question(
    row=34,
    name="generate",
    points=1,
    kind="measured",
    asked="Let the model write at least 256 tokens, or to the end of a text. How fluent is it, and which two factors "
    "does that depend on?",
    answer=_answer,
    work=_work,
)
