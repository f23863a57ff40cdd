"""Problem main_experiment: the same model and steps on OpenWebText. How do the losses compare, and the texts?

Losses per token depend on the tokenizer. So they are compared per byte too.

Answer: not yet known on the course's texts. On 5.7 MB of TinyStories and 170 MB of web text (2026-11-27, commit
b356817, 2 cores of an Intel Xeon with AVX512-BF16): 2.659 and 4.828 nats per token, 0.969 and 2.018 bits per byte. The
texts on the web have fifty times as many words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Table, Text
from bpe_lm.experiments.cs336.base_run import base
from bpe_lm.experiments.cs336.corpora import PLACES
from bpe_lm.experiments.cs336.evaluation import evaluated, evaluation
from bpe_lm.experiments.cs336.generate import (
    SHOWN,
    base_texts,
    known_words,
    share_of_words,
    text_blocks,
    texts_job,
    texts_of,
)
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.scales import changes_of, with_bound, with_data, with_vocab
from bpe_lm.experiments.cs336.setting import NAMES, CorpusKey
from bpe_lm.experiments.cs336.shown import (
    LOSSES,
    missing_runs,
    model_in_words,
    overlay,
    runs_table,
    seeds_in_words,
    standing,
)
from bpe_lm.experiments.cs336.wording import listed, percent, titles
from bpe_lm.experiments.work import Job, Training, Work

PROMPTS: dict[CorpusKey, str] = {"tinystories": "Once upon a time", "owt": "The"}
REPORTED = "write-up 1: a much higher loss (no number), and an incoherent text. The handout allows 3 hours of an H100."


def main_run(results: Results) -> Training:
    """Return the run of the base config on OpenWebText, with OpenWebText's vocabulary."""
    setting = results.setting
    config = with_vocab(with_data(setting.base, setting, "owt"), setting.vocab_sizes["owt"])
    config = with_bound(config)
    return Training("main", config, {**changes_of(config, setting), "data": "owt"})


def runs(results: Results) -> dict[CorpusKey, Training]:
    """Return the runs that are compared."""
    return {"tinystories": base(results), "owt": main_run(results)}


def texts(results: Results) -> Job | None:
    """Return the job that writes texts with the model of the run on OpenWebText."""
    return texts_job(results, main_run(results), "generation-owt", PROMPTS["owt"])


def _comparison(results: Results, found: Mapping[CorpusKey, Training]) -> Iterable[Block]:
    """Say how the losses of the two corpora differ, what that means, and which difference of the texts is known."""
    losses = {key: evaluated(results, training) for key, training in found.items()}
    if not all(losses.values()):
        return
    names = titles(results.setting)
    first, second = losses["tinystories"], losses["owt"]
    yield Text(
        f"On {names['owt']} the loss per token is {_more(second['loss'] - first['loss'], 'nats')} than on "
        f"{names['tinystories']}, and the loss per byte "
        f"{_more(second['bits_per_byte'] - first['bits_per_byte'], 'bits')}. "
        "A loss per token compares only texts of one tokenizer: a token of a larger vocabulary stands for more bytes, "
        "and is one of more choices. Bits per byte compare: the difference that is left is that of the texts."
    )
    words = {key: results.measured(f"tokenizer-{key}") for key in found}
    counts = [f"{w['distinct_pretokens']:,} in {names[key]}" for key, w in words.items() if w is not None]
    if len(counts) == len(words):
        yield Text(
            f"Why: model and steps are the same, and the texts are not. Distinct pretokens: {listed(counts)}. The more "
            "words, topics and styles a text has, the less of each the same weights learn in the same steps."
        )


def _fluency(results: Results, written: Sequence[Mapping[str, Any]]) -> Iterable[Block]:
    """Compare the words of both models' texts with those of their validation texts."""
    names = titles(results.setting)
    texts: dict[CorpusKey, Sequence[Mapping[str, Any]]] = {
        "tinystories": texts_of(results, base_texts(results)),
        "owt": written,
    }
    shares = {
        key: share_of_words(own, SHOWN, known_words(results.setting.corpora[key].valid)) for key, own in texts.items()
    }
    said = [f"{percent(share, 0)} for {names[key]}" for key, share in shares.items() if share is not None]
    if len(said) == len(shares):
        yield Text(
            f"**Fluency.** At temperature {SHOWN[0]:g} and top-p {SHOWN[1]:g}, this share of the words of a model's "
            f"texts is in its validation text: {listed(said)}. Row 34 has the texts of the first model."
        )


def _more(difference: float, unit: str) -> str:
    return f"{abs(difference):.3f} {unit} {'higher' if difference >= 0 else 'lower'}"


def _answer(results: Results) -> Iterable[Block]:
    found = runs(results)
    other = results.setting.vocab_sizes["owt"]
    yield Text(
        f"The run on the first corpus: {model_in_words(results.setting.base)}. The second corpus has a vocabulary of "
        f"its own, of {other:,}; everything else is the same."
    )
    yield from standing(results, "tinystories", "owt")
    labelled = [(titles(results.setting)[key], training) for key, training in found.items()]
    yield runs_table(results, labelled, "corpus", f"Losses on the tokens that are validated while training. {LOSSES}")
    rows = []
    for key, training in found.items():
        values, described = evaluated(results, training), results.described(key, "valid") or {}
        has_bytes = described.get("count") and described.get("text_bytes")
        rows.append(
            (
                titles(results.setting)[key],
                values.get("loss"),
                values.get("perplexity"),
                described["text_bytes"] / described["count"] if has_bytes else None,
                values.get("bits_per_byte"),
                f"{values['tokens']:,}" if values else None,
            )
        )
    header = ("corpus", "nats per token", "perplexity", "bytes per token", "bits per byte", "tokens predicted")
    yield Table(header, rows, f"Losses on the whole validation texts. Reported: {REPORTED}")
    ready = {key: results.finished(training) for key, training in found.items()}
    yield from _comparison(results, found)
    official = {key: results.setting.corpora[key].is_official for key in ready}
    shown = [(NAMES[key] if official[key] else f"in {PLACES[key]}", record) for key, record in ready.items()]
    yield from overlay("main_experiment", shown, "The same model on both corpora", "Losses per token.")
    written = texts_of(results, texts(results))
    if written:
        yield Text(f"Texts of the model that was trained on {titles(results.setting)['owt']}:")
        yield from text_blocks(written)
        yield from _fluency(results, written)
    else:
        yield Missing("texts of the model on the second corpus")
    yield from seeds_in_words(record for record in ready.values() if record is not None)
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
