"""Answer the course's questions: ask each for its runs and jobs, run them, and ask again until nothing is left.

A question that needs the results of others yields its runs once these results are there. So the order needs no plan,
and a reproduction that was killed goes on from what its folder has.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from signal import Signals
from typing import Any

from bpe_lm.errors import InternalError, OptionError, ResumeMismatch
from bpe_lm.experiments.blocks import Section
from bpe_lm.experiments.cs336.budget import Measure, measured_step, seconds_of, shape_of
from bpe_lm.experiments.cs336.corpora import TEXTS, Given, official
from bpe_lm.experiments.cs336.course import MORE, ROWS, preface, questions, read_setting, sections
from bpe_lm.experiments.cs336.preparation import preparation
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.scales import setting_of
from bpe_lm.experiments.cs336.setting import CORPORA, HERE, SETTING, SPLITS, CorpusKey, Scale, Setting, Split
from bpe_lm.experiments.moving import without_folder
from bpe_lm.experiments.planning import standing
from bpe_lm.experiments.predict import checkpoint_bytes, peak_memory
from bpe_lm.experiments.report import write_report
from bpe_lm.experiments.runner import Outcome, check_is_ours, run_all
from bpe_lm.experiments.work import Job, Training, Work, input_sha256
from bpe_lm.fields import did_you_mean
from bpe_lm.files import check_folder_target, read_json, write_whole
from bpe_lm.training.signals import received_signals

TITLE = "The course's experiments, reproduced"

REPORT_PAUSE = 10
"""The time between two writings of a growing report, as a multiple of the time that the writing takes."""

Say = Callable[[str], object]


@dataclass(frozen=True)
class Request:
    """What a person asks for. A folder takes one request only, and the same one goes on in it.

    `hours` is the budget at the scale cpu. `given` are files in the place of the corpora, which are looked for in
    `data` otherwise.
    """

    scale: Scale
    hours: float = 8.0
    given: Mapping[CorpusKey, Given] = field(default_factory=dict)
    data: Path | None = None

    def as_dict(self) -> dict[str, Any]:
        """The request as JSON values. A text is identified by its content, so it may be moved."""
        texts = {f"{key}-{split}": _identity(self.text(key, split)) for key in CORPORA for split in SPLITS}
        return {"scale": self.scale, "hours": self.hours if self.scale == "cpu" else 0.0, **texts}

    def text(self, key: CorpusKey, split: Split) -> Path | None:
        """Return the file of a split of a corpus, or None if it has to be made."""
        given = self.given.get(key, Given())
        if given.train is not None or given.valid is not None:
            return given.train if split == "train" else given.valid
        return None if self.scale == "smoke" else official(key, split, self.data)


def _identity(path: Path | None) -> str | None:
    return input_sha256(path) if path is not None and path.is_file() else None


def open_setting(folder: Path, request: Request, measure: Measure = measured_step) -> Setting:
    """Return the setting of a folder that has one, or make and save one.

    Raises:
        ResumeMismatch: The folder has the setting of another request.
        OutputExists: The folder has something else.
        OptionError: The budget is too small, or a text cannot be split.
        CorpusError: A given text does not exist.
    """
    check_folder_target(folder)
    path = folder / SETTING
    asked = request.as_dict()
    if path.exists():
        _check_same(read_json(path).get("request"), asked, folder)
        setting = _with_texts_of(read_setting(folder), request)
        _write_setting(setting, asked)
        return setting
    check_is_ours(folder, SETTING, also=(TEXTS,))
    folder.mkdir(parents=True, exist_ok=True)
    setting = setting_of(request.scale, folder, request.hours, request.given, request.data, measure)
    _write_setting(setting, asked)
    return read_setting(folder)


def _with_texts_of(setting: Setting, request: Request) -> Setting:
    """Return a setting whose texts, which are the request's, are where the request names them."""
    own = setting.folder / TEXTS

    def path(key: CorpusKey, split: Split) -> Path:
        old, named = setting.corpora[key].path(split), request.text(key, split)
        return old if named is None or own in old.parents else named.resolve()

    corpora = {
        key: replace(corpus, train=path(key, "train"), valid=path(key, "valid"))
        for key, corpus in setting.corpora.items()
    }
    return replace(setting, corpora=corpora)


def _write_setting(setting: Setting, asked: Mapping[str, Any]) -> None:
    text = json.dumps({"request": asked, "setting": setting.as_dict()}, indent=2)
    write_whole(setting.folder / SETTING, without_folder(text, setting.folder, HERE).encode())


def _check_same(old: Any, asked: Mapping[str, Any], folder: Path) -> None:
    if old == asked:
        return
    if not isinstance(old, Mapping):
        raise ResumeMismatch(f"{folder / SETTING} is damaged; name another folder with --out")
    different = [key for key in asked if old.get(key) != asked[key]]
    words = ", ".join(
        f"{key} was {old.get(key)} and is {asked[key]}"
        if key in ("scale", "hours")
        else f"the text of {key} is another"
        for key in different
    )
    raise ResumeMismatch(
        f"{folder} has another reproduction: {words}; name another folder with --out, or the same options"
    )


@dataclass(frozen=True)
class Reproduced:
    """What became of the works of a call. `signal` is the signal that stopped it, or None."""

    outcomes: Sequence[Outcome]
    signal: Signals | None = None

    @property
    def failed(self) -> list[Outcome]:
        """The works whose process ended with an error."""
        return [outcome for outcome in self.outcomes if outcome.state == "failed"]


def selected(only: Sequence[str] = ()) -> list[Question]:
    """Return the questions of these names, or all. A name is the question's, its file's, or its row.

    Raises:
        OptionError: There is no such question.
    """
    found = questions()
    if not only:
        return found
    files = (*ROWS, *MORE)
    names: dict[str, Question] = {str(question.row): question for question in found}
    names |= {question.name: question for question in found} | dict(zip(files, found, strict=True))
    for name in only:
        if name not in names:
            raise OptionError(f"there is no question {name}{did_you_mean(name, names) or '; give a row, 1 to 44'}")
    wanted = {names[name].row for name in only}
    return [question for question in found if question.row in wanted]


def reproduce(
    setting: Setting,
    *,
    only: Sequence[str] = (),
    jobs: int = 1,
    devices: Sequence[str] = (),
    keep_old_code: bool = False,
    progress: bool = False,
    say: Say = lambda line: None,
    asked: Sequence[Question] | None = None,
) -> Reproduced:
    """Run everything that the questions need and that is not done. Write the report as it grows, and at the end.

    Args:
        setting: The setting, as `open_setting` returns it.
        only: Names of questions; none stands for all. What they need from others is run too.
        jobs: Processes at a time.
        devices: GPUs for them.
        keep_old_code: Accept results of other sources of this package.
        progress: Show progress on stderr.
        say: Called with sentences for the user.
        asked: The questions, in place of those of `only`.

    Raises:
        OptionError: There is no question of a name.
        OutputBusy: Another process works in the folder.
        FileError: The folder cannot be written.
    """
    chosen = selected(only) if asked is None else list(asked)
    results = Results(setting)
    done: dict[str, tuple[Work, tuple[str, ...]]] = {}
    outcomes: dict[str, Outcome] = {}
    stages: tuple[Callable[[], Iterable[Work]], ...] = (
        lambda: preparation(results),
        lambda: _works(results, chosen),
    )
    report = _GrowingReport(setting)
    with received_signals() as received:  # Also while questions are asked, and while the report is written.
        for stage in stages:
            while new := _new(stage(), done):
                found = run_all(
                    new,
                    setting.folder,
                    jobs=jobs,
                    devices=devices,
                    keep_old_code=keep_old_code,
                    progress=progress,
                    say=say,
                    base=setting.small,
                )
                outcomes |= {outcome.name: outcome for outcome in found.outcomes}
                report.update()
                if found.signal is not None or received:
                    report.finish()
                    return Reproduced(list(outcomes.values()), found.signal or Signals(received[0]))
            if not results.is_prepared:
                break  # Runs need token files. The report says what failed.
        report.finish()
    return Reproduced(list(outcomes.values()))


class _GrowingReport:
    """The report, written after a round of works unless that would take more than a small part of the time."""

    def __init__(self, setting: Setting):
        self._setting, self._known = setting, dict[int, Section]()
        self._due, self._is_old = 0.0, True

    def update(self) -> None:
        """Write the report if enough time has passed since it was written."""
        self._is_old = True
        if time.monotonic() >= self._due:
            self.finish()

    def finish(self) -> None:
        """Write the report if there is anything new."""
        if not self._is_old:
            return
        began = time.monotonic()
        write(self._setting, self._known)
        ended = time.monotonic()
        self._due, self._is_old = ended + REPORT_PAUSE * (ended - began), False


def _works(results: Results, chosen: Sequence[Question]) -> Iterable[Work]:
    for question in chosen:
        yield from question.work(results)


def _new(works: Iterable[Work], done: dict[str, tuple[Work, tuple[str, ...]]]) -> list[Work]:
    """Return the works that were not run yet, or whose inputs have changed since, and note them as run.

    Raises:
        InternalError: Two questions ask for different works of the same name.
    """
    named: dict[str, Work] = {}
    for work in works:
        if named.setdefault(work.name, work) != work:
            raise InternalError(f"two questions ask for different works of the name {work.name}")
    new = []
    for name, work in named.items():
        inputs = tuple(_identity(path) or "" for path in work.inputs) if isinstance(work, Job) else ()
        if done.get(name) != (work, inputs):
            done[name] = (work, inputs)
            new.append(work)
    return new


def write(setting: Setting, known: dict[int, Section] | None = None) -> None:
    """Write the report of a folder, complete or not. `known` is that of `course.sections`."""
    write_report(sections(setting.folder, known), TITLE, preface(setting.folder), setting.folder)


@dataclass(frozen=True)
class Planned:
    """A work that is known before anything has run. A job has nothing but a name: its cost is not predicted.

    `memory` is the peak of a process on a CPU, and `disk` that of checkpoints, in bytes.
    """

    name: str
    steps: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    memory: int | None = None
    disk: int | None = None


def plan(
    setting: Setting, only: Sequence[str] = (), keep_old_code: bool = False, measure: Measure = measured_step
) -> list[Planned]:
    """Return the works that are known now and are not done, with the cost of runs: time is by measured steps.

    Raises:
        OptionError: There is no question of a name.
        ConfigError: A step could not be measured.
    """
    results = Results(setting)
    works: dict[str, Work] = {}
    for work in (*preparation(results), *_works(results, selected(only))):
        works.setdefault(work.name, work)
    speeds, memories = dict(setting.speeds), dict[str, int]()
    planned = []
    for work in works.values():
        if standing(work, setting.folder, keep_old_code=keep_old_code) == "done":
            continue
        if isinstance(work, Training):
            config = work.config
            shape = shape_of(config)
            if shape not in speeds:
                speeds[shape] = measure(config)
            memory = memories[shape] = memories.get(shape) or peak_memory(config)
            tokens, seconds = config.steps * config.tokens_per_step, seconds_of(config, speeds)
            planned.append(Planned(work.name, config.steps, tokens, seconds, memory, checkpoint_bytes(config)))
        else:
            planned.append(Planned(work.name))
    return planned
