"""The report of a study: what its runs differ in, how each ended, and what the final loss depends on."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from statistics import mean
from typing import Any

from bpe_lm.data.download import CORPORA
from bpe_lm.errors import BpeLmError
from bpe_lm.experiments.blocks import Block, Missing, Picture, Section, Table, Text, literal
from bpe_lm.experiments.charts import Line, final_losses, loss_curves
from bpe_lm.experiments.effects import Effect, Ended, effect
from bpe_lm.experiments.figures import WORSE_THAN_GUESSING, losses_of
from bpe_lm.experiments.labels import LONGEST
from bpe_lm.experiments.prose import NOT_RUN, listed_in_words
from bpe_lm.experiments.runs import DONE, Listed, RunRecord, list_runs, shown_loss
from bpe_lm.experiments.seeds import standard_error
from bpe_lm.experiments.study import flat, read_study, written
from bpe_lm.fields import keys
from bpe_lm.files import read_json
from bpe_lm.training.identity import sources_sha256

SEED, DATA = "seed", ("data.train", "data.mixture", "data.valid", "data.tokenizer")

COUNTS_AS_DIVERGED = f"A run whose losses end above {WORSE_THAN_GUESSING:g} times that of guessing counts as diverged."

NO_LOSS = "not measured"
"""Stands in place of the loss of a run that is over, and had no validation."""

MOST_CURVES = 12
"""The greatest number of runs whose losses are drawn in one figure."""

MOST_LINES = 7
"""The greatest number of lines in a figure of final losses. Of more, the least loss at each value is drawn."""

MOST_NAMED = 5
"""The greatest number of runs that a sentence names."""

LEAST_LOG_RATIO = 4.0
"""An axis is logarithmic if its greatest value is at least so many times its least."""


@dataclass(frozen=True)
class Outcome:
    """The runs that differ in nothing but their seeds. `losses` are those of the runs that are over and converged.

    `over` is the number of runs that are over. One that diverged has no loss, nor has one without validation.
    """

    changes: Mapping[str, Any]
    runs: Sequence[Listed]
    losses: Sequence[float]
    diverged: int
    over: int

    @property
    def mean(self) -> float | None:
        """The mean of the losses; None if no run converged."""
        return mean(self.losses) if self.losses else None

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean; None for fewer than two losses."""
        return standard_error(self.losses)

    @property
    def is_base(self) -> bool:
        """Whether the runs are of the base config as it is."""
        return all(map(is_base, self.runs))

    @property
    def is_known(self) -> bool:
        """Whether a run has a loss or diverged."""
        return bool(self.losses) or self.diverged > 0


class StudyResults:
    """The runs of a study, and what is computed from them."""

    def __init__(self, folder: Path):
        """Read the runs.

        Raises:
            FileError: The folder does not exist, or has neither a study nor a run.
        """
        study = read_study(folder)
        everything = list_runs(folder)
        self.name = study.name if study is not None else folder.resolve().name
        self.runs = [listed for listed in everything if not listed.is_job]
        self.jobs = [listed for listed in everything if listed.is_job]
        self.base = dict(flat(study.base)) if study is not None and study.base else {}
        self.varied = list(dict.fromkeys(key for run in self.runs for key in run.changes))
        self.swept = [key for key in self.varied if key != SEED]
        self._names_of_paths = {key: _names(self._text_values(key)) for key in DATA}

    @property
    def has_variants(self) -> bool:
        """Whether there are runs of the base config as it is, and others beside them."""
        return any(is_base(run) for run in self.runs) and not all(is_base(run) for run in self.runs)

    def value(self, run: Listed, key: str) -> Any:
        """Return the value of a key in a run, or None if it is not known."""
        if key in run.changes:
            return run.changes[key]
        if run.record is not None:
            return dict(keys(run.record.config)).get(key)
        return self.base.get(key)

    def _text_values(self, key: str) -> list[str]:
        """Return each text that a key has in the base config or in a run."""
        values = (self.base.get(key), *(self.value(run, key) for run in self.runs))
        return [value for value in values if isinstance(value, str)]

    def in_words(self, key: str, value: Any) -> str:
        """Return the value of a key as words. Of a path they have what differs between the runs alone."""
        names = self._names_of_paths.get(key, {})
        return names.get(value, value) if isinstance(value, str) else written(value)

    def outcomes(self) -> list[Outcome]:
        """Return the runs, those that differ in their seeds together, in the order of the study."""
        groups: dict[tuple[str, ...], list[Listed]] = defaultdict(list)
        for run in self.runs:
            groups[tuple(written(self.value(run, key)) for key in self.swept)].append(run)
        return [self._outcome(runs) for runs in groups.values()]

    def _outcome(self, runs: Sequence[Listed]) -> Outcome:
        over = [run.record for run in runs if run.record is not None and run.state in DONE]
        losses = [record.loss for record in over if record.loss is not None and not has_diverged(record)]
        changes = {key: self.value(runs[0], key) for key in self.swept}
        return Outcome(changes, runs, losses, sum(map(has_diverged, over)), len(over))


def is_base(run: Listed) -> bool:
    """Return whether a run is of the base config, with any seed."""
    return run.changes.keys() <= {SEED}


def _names(paths: Iterable[str]) -> dict[str, str]:
    """Return the name of each path: the path without the folders that all of them have in common."""
    whole = {path: os.path.abspath(path) for path in paths if path}
    common = os.path.commonpath([os.path.dirname(path) for path in whole.values()]) if whole else ""
    return {path: os.path.relpath(absolute, common) for path, absolute in whole.items()}


def has_diverged(record: RunRecord) -> bool:
    """Return whether a run diverged, or went on to its end with losses that are clearly worse than guessing."""
    losses = losses_of(record)
    return record.diverged or (losses is not None and losses.diverged_at is not None)


def study_report(folder: Path) -> tuple[list[Section], str, list[Block]]:
    """Return the sections, the title and the first lines of the report of a study, complete or not.

    Raises:
        FileError: The folder does not exist, or has neither a study nor a run.
    """
    results = StudyResults(folder)
    answers = [
        ("What differs", "Which keys of the config differ between the runs?", _differences(results)),
        ("The runs", "How did each run end?", _runs(results)),
        ("Losses", "How did the losses fall?", _curves(results)),
        ("Final losses", "What does the final loss depend on?", _final_losses(results)),
        ("Effects", "What does each variant change?", _effects(results)),
        ("Seeds", "How much do seeds change the final loss?", _seeds(results)),
        ("Origin", "Which machine and which code trained the runs?", _origin(results)),
    ]
    found = [(name, asked, tuple(blocks)) for name, asked, blocks in answers]
    sections = [
        Section(row, name, 0, "measured", asked, blocks)
        for row, (name, asked, blocks) in enumerate([each for each in found if each[2]], 1)
    ]
    return sections, f"The study {literal(results.name)}", list(_preface(results))


def _preface(results: StudyResults) -> Iterable[Block]:
    yield Text(_texts(results))
    states = Counter(run.state for run in results.runs)
    yield Text(
        f"{len(results.runs):,} run{'s' * (len(results.runs) != 1)}: "
        + listed_in_words(f"{count:,} {state}" for state, count in states.items())
        + "."
    )
    best = min((o for o in results.outcomes() if o.losses), key=lambda o: o.mean or 0.0, default=None)
    if best is not None:
        error = "" if best.standard_error is None else f" ± {best.standard_error:.4f} ({len(best.losses)} seeds)"
        diverged = f" {best.diverged} of its {best.over} seeds diverged." if best.diverged else ""
        yield Text(
            f"The least final validation loss is **{best.mean:.4f}**{error} nats per token, of "
            f"{literal(best.runs[0].name)}.{diverged}"
        )


def _texts(results: StudyResults) -> str:
    """Say which token files the runs were trained on, by their names alone, and of which texts these are."""
    paths = {
        key.partition(".")[2]: list(dict.fromkeys(path for run in results.runs if (path := results.value(run, key))))
        for key in DATA
    }
    if not paths["train"]:
        return "**Texts:** no run names its token files yet."
    shown = {
        what: listed_in_words(literal(results.in_words(f"data.{what}", path)) for path in found)
        for what, found in paths.items()
    }
    valid = f", validated on {shown['valid']}" if paths["valid"] else ", without validation"
    tokenizer = f"; tokenizer {shown['tokenizer']}" if paths["tokenizer"] else ""
    return (
        f"**Texts:** trained on {shown['train']}{valid}{tokenizer}.{_origin_of_texts(paths['train'])} "
        "Losses compare with those of others only if these are the same texts and the same tokenizer."
    )


def _origin_of_texts(token_files: Sequence[str]) -> str:
    """Say which texts the token files hold, and whether they have the names of the course's corpora."""
    names = dict.fromkeys(name for path in token_files for name in _source_names(Path(f"{path}.json")))
    if not names:
        return ""
    course = {name.removesuffix(".gz") for _, files in CORPORA.values() for name in files}
    is_course = all(name.removesuffix(".gz") in course for name in names)
    return (
        f" The tokens are those of {listed_in_words(map(literal, names))}, by name "
        f"{'the corpora of the course' if is_course else '**not** the corpora of the course'}."
    )


def _source_names(manifest: Path) -> list[str]:
    """Return the names of the texts in a token file, or nothing if its description is not there."""
    try:
        sources = read_json(manifest).get("sources")
    except BpeLmError:
        return []
    found = [_mapping(source).get("name") for source in sources] if isinstance(sources, list) else []
    return [Path(str(name)).name for name in found if name]


def _differences(results: StudyResults) -> Iterable[Block]:
    rows = []
    for key in results.varied:
        values = dict.fromkeys(_cell(results, key, results.value(run, key)) or NOT_RUN for run in results.runs)
        rows.append((literal(key), _cell(results, key, results.base.get(key)) or "", ", ".join(values)))
    if rows:
        yield Table(("key", "base config", "values"), rows)
    else:
        yield Text("The study has one run, of the base config.")
    yield from _base_table(results)


_SHOWN = (
    "model.num_layers",
    "model.d_model",
    "model.num_heads",
    "model.d_ff",
    "model.vocab_size",
    "model.context_length",
    "batch_size",
    "steps",
    "optimizer.name",
    "schedule.shape",
    "schedule.max_learning_rate",
    "dtype",
    "device",
)
"""Keys of the base config that the report shows where they are the same in all runs."""


def _base_table(results: StudyResults) -> Iterable[Block]:
    rows = []
    for key in _SHOWN:
        values = {written(results.value(run, key)) for run in results.runs if results.value(run, key) is not None}
        if len(values) == 1 and key not in results.varied:
            rows.append((literal(key), values.pop()))
    if rows:
        yield Table(("key", "value"), rows, "The same in all runs:")


def _runs(results: StudyResults) -> Iterable[Block]:
    names = [key.rpartition(".")[2] for key in results.varied]
    header = (*names, "state", "step", "validation loss", "seconds", "tokens per second", "run")
    yield Table(header, [_run_row(results, run) for run in results.runs])
    messages: dict[str, list[str]] = defaultdict(list)
    for run in results.runs:
        if run.message:
            messages[run.message].append(run.name)
    for message, names_of_failed in messages.items():
        yield Text(f"**Failed:** {listed_in_words(map(literal, names_of_failed))}: {literal(message)}")
    for job in results.jobs:
        yield Text(f"The job {literal(job.name)}: {job.state}.")


def _run_row(results: StudyResults, run: Listed) -> Sequence[Any]:
    values = [_cell(results, key, results.value(run, key)) for key in results.varied]
    record = run.record
    if record is None:
        return (*values, run.state, None, None, None, None, literal(run.name))
    loss = shown_loss(record)
    last = record.result or (record.train[-1] if record.train else {})
    speed = record.tokens_per_second
    return (
        *values,
        run.state,
        f"{record.step:,} of {record.config.steps:,}",
        "diverged" if record.diverged else NO_LOSS if loss is None and run.state in DONE else loss,
        last.get("seconds"),
        None if speed is None else round(speed),
        literal(run.name),
    )


def _cell(results: StudyResults, key: str, value: Any) -> str | None:
    """Return the value of a key as a cell, in which no character of a text has a meaning; None if it is not known."""
    if value is None:
        return None
    words = results.in_words(key, value)
    return literal(words) if isinstance(value, str) else words


def _curves(results: StudyResults) -> Iterable[Block]:
    begun = [(run, run.record) for run in results.runs if run.record is not None]
    names = {run.name: run.name for run in results.runs}
    are_long = (
        not results.has_variants and len(results.varied) > 1 and any(len(name) > LONGEST for name in names.values())
    )
    if are_long:
        names = {
            run.name: ", ".join(results.in_words(key, results.value(run, key)) for key in results.varied)
            for run in results.runs
        }
    best = sorted(begun, key=lambda each: inf if (loss := shown_loss(each[1])) is None else loss)[:MOST_CURVES]
    found = [losses_of(record, names[run.name]) for run, record in begun if (run, record) in best]
    losses = [run for run in found if run is not None]
    if not losses:
        yield Missing("no run has records yet")
        return
    of = "" if len(begun) <= MOST_CURVES else f" of the {MOST_CURVES} runs with the least loss, of {len(begun)},"
    caption = (
        f"Losses{of} against steps, tokens and time. Thick with markers: validation. Thin: training, the mean of some "
        "steps. A cross: the run diverged."
    )
    if are_long:
        caption += f" The names are the values of {listed_in_words(map(literal, results.varied))}."
    yield Picture("losses", partial(loss_curves, losses, f"Losses of {results.name}"), caption)


def _final_losses(results: StudyResults) -> Iterable[Block]:
    numeric = [key for key in results.swept if _is_numeric(results, key)]
    if not numeric or results.has_variants:
        return
    outcomes = results.outcomes()
    for key in numeric:
        known = [outcome for outcome in outcomes if outcome.is_known]
        if not known:
            why = "no run has a validation" if any(outcome.over for outcome in outcomes) else "no run is over"
            yield Missing(f"{why}, so that the loss by {literal(key)} is not known")
            continue
        lines, errors = _lines(results, key, known)
        caption = f"The final validation loss by {literal(key)}." + _explained(lines, len(results.swept) > 1)
        yield Picture(f"loss-by-{key}", partial(_draw, key, lines, errors), caption)


def _explained(lines: Sequence[Line], has_others: bool) -> str:
    text = " The ring is the least." if len(lines) == 1 else " A ring is the least of a line."
    if has_others and len(lines) == 1:
        text += " Each point is the least loss over the values of the other keys."
    if any(line.missing for line in lines):
        text += f" A cross stands for runs that diverged. {COUNTS_AS_DIVERGED}"
    return text


def _draw(key: str, lines: Sequence[Line], errors: Mapping[float, float]) -> Any:
    places = [x for line in lines for x in line.x]
    log = min(places) > 0 and max(places) >= LEAST_LOG_RATIO * min(places)
    return final_losses(lines, key, log_x=log, errors=errors if len(lines) == 1 else None)


def _lines(results: StudyResults, key: str, known: Sequence[Outcome]) -> tuple[list[Line], dict[float, float]]:
    """Return a line for each combination of the other keys, and the standard errors of the first, by its places."""
    others = [other for other in results.swept if other != key]
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in known:
        name = ", ".join(
            f"{other.rpartition('.')[2]}={results.in_words(other, outcome.changes[other])}" for other in others
        )
        groups[name].append(outcome)
    if len(groups) > MOST_LINES or all(len(group) == 1 for group in groups.values()):
        groups = {"": _least_by(key, known)}
    lines = [
        Line(name, [float(o.changes[key]) for o in group], [o.mean for o in group]) for name, group in groups.items()
    ]
    first = next(iter(groups.values()))
    errors = {float(o.changes[key]): o.standard_error for o in first}
    return lines, {place: error for place, error in errors.items() if error is not None}


def _least_by(key: str, known: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcome with the least loss at each value of a key."""
    least: dict[float, Outcome] = {}
    for outcome in known:
        place = float(outcome.changes[key])
        old = least.get(place)
        if old is None or (outcome.mean is not None and (old.mean is None or outcome.mean < old.mean)):
            least[place] = outcome
    return list(least.values())


def _is_numeric(results: StudyResults, key: str) -> bool:
    values = [results.value(run, key) for run in results.runs]
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values) and len(set(values)) > 1


def _effects(results: StudyResults) -> Iterable[Block]:
    outcomes = results.outcomes()
    if not results.has_variants:
        return
    base = next(outcome for outcome in outcomes if outcome.is_base)
    rows = [
        (_variant_in_words(results, outcome), *_effect_cells(effect(_ended(base), _ended(outcome)), outcome))
        for outcome in outcomes
        if outcome is not base
    ]
    yield Table(
        ("variant", "seeds", "difference in nats", "standard error", "least", "greatest", "times the speed"),
        rows,
        "The final validation loss of each variant less that of the base config with the same seed: below 0 is better. "
        "The speed is in tokens per second.",
    )


def _variant_in_words(results: StudyResults, outcome: Outcome) -> str:
    changes = {key: value for key, value in outcome.runs[0].changes.items() if key != SEED}
    return ", ".join(f"{literal(key)} {_cell(results, key, value)}" for key, value in changes.items())


def _ended(outcome: Outcome) -> dict[int, Ended]:
    """Return how the runs ended that are over and converged, by their seeds."""
    return {
        record.config.seed: Ended(record.loss, record.tokens_per_second)
        for run in outcome.runs
        if (record := run.record) is not None
        and run.state in DONE
        and record.loss is not None
        and not has_diverged(record)
    }


def _effect_cells(found: Effect | None, outcome: Outcome) -> Sequence[Any]:
    if found is None:
        return [0, *["diverged" if outcome.diverged else NO_LOSS if outcome.over else None] * 4, None]
    error = "one seed" if found.standard_error is None else found.standard_error
    ends = min(found.differences), max(found.differences)
    return [len(found.differences), found.mean, error, *ends, found.speed]


def _seeds(results: StudyResults) -> Iterable[Block]:
    several = [outcome for outcome in results.outcomes() if len(outcome.runs) > 1]
    if not several:
        return
    header = (
        *(key.rpartition(".")[2] for key in results.swept),
        "seeds",
        "converged",
        "diverged",
        "mean loss",
        "standard error",
        "least",
        "greatest",
    )
    rows = [
        (
            *(_cell(results, key, value) for key, value in outcome.changes.items()),
            len(outcome.runs),
            len(outcome.losses),
            outcome.diverged,
            *_statistics(outcome),
        )
        for outcome in several
    ]
    yield Table(
        header,
        rows,
        f"Runs that differ in their seeds only. Runs that diverged have no part in the mean. {COUNTS_AS_DIVERGED}",
    )


def _statistics(outcome: Outcome) -> Sequence[Any]:
    """Return the mean of the losses, its standard error, the least and the greatest loss, as cells."""
    if not outcome.losses:
        return ["diverged" if outcome.diverged else NO_LOSS if outcome.over else None] * 4
    error = outcome.standard_error
    return [outcome.mean, "one run" if error is None else error, min(outcome.losses), max(outcome.losses)]


def _origin(results: StudyResults) -> Iterable[Block]:
    records = [run.record for run in results.runs if run.record is not None and run.record.first]
    rows: Counter[tuple[str, ...]] = Counter()
    for record in records:
        machine, versions = record.first.get("machine"), record.first.get("versions")
        versions_in_words = ", ".join(f"{name} {value}" for name, value in _mapping(versions).items())
        commit = record.first.get("commit")
        rows[machine_in_words(machine), literal(str(commit)[:12]) if commit else "not known", versions_in_words] += 1
    if rows:
        yield Table(("machine", "commit", "versions", "runs"), [(*row, count) for row, count in rows.items()])
    code = sources_sha256()
    old = [run.name for run in results.runs if run.record is not None and run.record.is_of_other_code(code)]
    if old:
        runs = listed_in_words(map(literal, old)) if len(old) <= MOST_NAMED else f"{len(old):,} of {len(records):,}"
        yield Text(f"**Other code:** model, kernels and training have changed since these runs: {runs}.")


def machine_in_words(machine: Any) -> str:
    """Describe the machine of a run's first record."""
    values = _mapping(machine)
    memory = values.get("memory")
    parts = [
        values.get("gpu"),
        values.get("processor"),
        f"{values['cores']} cores" if values.get("cores") else None,
        f"{memory / 1e9:.0f} GB" if isinstance(memory, int | float) else None,
    ]
    return ", ".join(str(part) for part in parts if part) or "not known"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
