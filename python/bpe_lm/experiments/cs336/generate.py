"""Problem generate: let the model write at least 256 tokens, and name two factors that the quality depends on.

The two factors are measured: the validation loss by tokens of training, and how much texts repeat themselves by
temperature and top-p.

Answer: not yet known on the course's text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean
from typing import Any

from bpe_lm.experiments.blocks import Block, Code, Missing, Table, Text
from bpe_lm.experiments.charts import Line, loss_by_tokens, repetition
from bpe_lm.experiments.cs336.base_run import base
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.shown import picture, standing
from bpe_lm.experiments.work import RESULT, Job, Training, Work, measurement

PROMPT = "Once upon a time"
TOKENS = 256
TEMPERATURES, TOP_PS = (0.0, 0.5, 0.8, 1.0, 1.5), (1.0, 0.9, 0.5)
SEEDS = 3
SHOWN = (0.8, 0.9)
"""The temperature and top-p of the text that the report shows first."""

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
    texts: Sequence[Mapping[str, Any]], choices: Iterable[tuple[float, float]] = (SHOWN,)
) -> Iterable[Block]:
    """Yield a text for each pair of temperature and top-p, if there is one, or else for the first text's."""
    for temperature, top_p in choices:
        found = [t for t in texts if (t["temperature"], t["top_p"]) == (temperature, top_p)] or texts
        text = found[0]
        end = "it ended by itself" if text["has_ended"] else "it was cut"
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


def _answer(results: Results) -> Iterable[Block]:
    yield from standing(results, "tinystories")
    texts = texts_of(results, base_texts(results))
    if texts:
        yield from text_blocks(texts, ((0.0, 1.0), SHOWN, (1.5, 1.0)))
        yield Text(
            "**Factor 1** is how the next token is drawn. A low temperature repeats itself, and a high one writes "
            "words that do not belong together; top-p cuts off the unlikely tokens."
        )
        rows = grid(texts)
        header = ("temperature", "top-p", "share of repeated sequences of 4 tokens", "mean tokens", "texts")
        yield Table(header, rows, "Repetition within a text, by temperature and top-p.")
        lines = [
            Line(
                f"top-p {top_p:g}",
                [row[0] for row in rows if row[1] == top_p],
                [row[2] for row in rows if row[1] == top_p],
            )
            for top_p in dict.fromkeys(row[1] for row in rows)
        ]
        title = "Repetition by temperature"
        yield picture("repetition", lambda: repetition(lines, title), "Sequences of 4 tokens that occurred before.")
    else:
        yield Missing("texts of the base run")
    record = results.finished(base(results))
    if record is None or not record.valid:
        yield Missing("the validation loss by tokens of training")
        return
    yield Text("**Factor 2** is how well the model predicts, which grows with the tokens of training:")
    points = [(valid["tokens"], valid["loss"]) for valid in record.valid]
    yield Table(("tokens of training", "validation loss"), [(f"{tokens:,}", loss) for tokens, loss in points])
    line = Line("base", [float(tokens) for tokens, _ in points], [loss for _, loss in points])
    title_of_losses = "Loss by tokens of training"
    yield picture(
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
