"""Problem main_experiment: the same model and steps on OpenWebText. How do the losses compare, and the texts?

Losses per token depend on the tokenizer. So they are compared per byte too.

Answer: not yet known on the course's texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Table, Text
from bpe_lm.experiments.cs336.base_run import base
from bpe_lm.experiments.cs336.corpora import PLACES
from bpe_lm.experiments.cs336.generate import text_blocks, texts_job, texts_of
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.scales import with_bound, with_data, with_vocab
from bpe_lm.experiments.cs336.setting import NAMES, CorpusKey
from bpe_lm.experiments.cs336.shown import missing_runs, model_in_words, overlay, provenance, runs_table, standing
from bpe_lm.experiments.work import RESULT, Job, Training, Work

PROMPTS: dict[CorpusKey, str] = {"tinystories": "Once upon a time", "owt": "The"}
EVALUATED = ("evaluate", "--json", "--quiet")


def main_run(results: Results) -> Training:
    """Return the run of the base config on OpenWebText, with OpenWebText's vocabulary."""
    setting = results.setting
    config = with_vocab(with_data(setting.base, setting, "owt"), setting.vocab_sizes["owt"])
    config = with_bound(config)
    return Training("main", config, {"model.vocab_size": config.model.vocab_size, "data": "owt"})


def runs(results: Results) -> dict[CorpusKey, Training]:
    """Return the runs that are compared."""
    return {"tinystories": base(results), "owt": main_run(results)}


def evaluation(results: Results, training: Training) -> Job | None:
    """Return the job that evaluates a run on its whole validation text, or None if the run has no model."""
    record = results.finished(training)
    if record is None or record.loss is None:
        return None
    command, *options = EVALUATED
    return Job(
        f"evaluate-{training.name}",
        "bpe_lm",
        (command, str(record.folder), *options),
        inputs=(record.folder / RESULT,),
        sources=("model", "kernels", "training"),
    )


def texts(results: Results) -> Job | None:
    """Return the job that writes texts with the model of the run on OpenWebText."""
    return texts_job(results, main_run(results), "generation-owt", PROMPTS["owt"])


def _evaluated(results: Results, training: Training) -> dict[str, Any]:
    job = evaluation(results, training)
    return (None if job is None else results.measured(job)) or {}


def _answer(results: Results) -> Iterable[Block]:
    found = runs(results)
    yield Text(f"On both: {model_in_words(results.setting.base)}; the vocabulary is each corpus's own.")
    yield from standing(results, "tinystories", "owt")
    labelled = [(results.setting.corpora[key].title, training) for key, training in found.items()]
    yield runs_table(results, labelled, "corpus", "Losses on the tokens that are validated while training.")
    rows = []
    for key, training in found.items():
        values, described = _evaluated(results, training), results.described(key, "valid") or {}
        has_bytes = described.get("count") and described.get("text_bytes")
        rows.append(
            (
                NAMES[key] if results.setting.corpora[key].is_official else results.setting.corpora[key].title,
                values.get("loss"),
                values.get("perplexity"),
                described["text_bytes"] / described["count"] if has_bytes else None,
                values.get("bits_per_byte"),
                f"{values['tokens']:,}" if values else None,
            )
        )
    header = ("corpus", "nats per token", "perplexity", "bytes per token", "bits per byte", "tokens predicted")
    yield Table(header, rows, "Losses on the whole validation texts. Write-up 1 gives no number: 'much higher'.")
    ready = {key: results.finished(training) for key, training in found.items()}
    if all(record is not None for record in ready.values()):
        yield Text(
            "A loss per token compares only texts of one tokenizer: a token of a larger vocabulary stands for more "
            "bytes, and is one of more choices. Bits per byte compare: the difference that is left is that of the "
            "texts."
        )
    official = {key: results.setting.corpora[key].is_official for key in ready}
    shown = [(NAMES[key] if official[key] else f"in {PLACES[key]}", record) for key, record in ready.items()]
    yield from overlay("main_experiment", shown, "The same model on both corpora", "Losses per token.")
    written = texts_of(results, texts(results))
    if written:
        yield Text("A text of the model that was trained on the second corpus:")
        yield from text_blocks(written)
    else:
        yield Missing("texts of the model on the second corpus")
    yield from provenance(record for record in ready.values() if record is not None)
    yield from missing_runs(results, labelled)


def _work(results: Results) -> Iterable[Work]:
    for training in runs(results).values():
        yield training
        job = evaluation(results, training)
        if job is not None:
            yield job
    job = texts(results)
    if job is not None:
        yield job


QUESTION = Question(
    row=39,
    name="main_experiment",
    points=2,
    kind="measured",
    asked="Train the same model with the same steps on OpenWebText. How do its losses compare with those on "
    "TinyStories, and how fluent are its texts? Why?",
    answer=_answer,
    work=_work,
)
