"""The course's 44 rows in their order, and the sections of the report that answer them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bpe_lm.errors import BpeLmError
from bpe_lm.experiments.blocks import Block, Missing, Section, Text
from bpe_lm.experiments.cs336.preparation import preparation
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import CORPORA, HERE, SETTING, Setting
from bpe_lm.experiments.cs336.shown import origins
from bpe_lm.experiments.identities import SOURCES, identity_of
from bpe_lm.experiments.planning import known_identity
from bpe_lm.experiments.work import Job
from bpe_lm.files import read_json
from bpe_lm.training.identity import sources_sha256

ROWS: Sequence[str] = (
    "unicode1",
    "unicode2",
    "train_bpe",
    "train_bpe_tinystories",
    "train_bpe_owt",
    "tokenizer",
    "tokenizer_experiments",
    "linear",
    "embedding",
    "rmsnorm",
    "feed_forward",
    "rope",
    "softmax",
    "attention",
    "multihead_attention",
    "transformer_block",
    "transformer_lm",
    "transformer_accounting",
    "cross_entropy",
    "perplexity",
    "sgd",
    "adamw",
    "adamw_accounting",
    "learning_rate_schedule",
    "gradient_clipping",
    "data_loading",
    "checkpointing",
    "training_together",
    "decoding",
    "experiment_log",
    "base_run",
    "learning_rate",
    "batch_size",
    "generate",
    "layer_norm_ablation",
    "pre_norm_ablation",
    "no_pos_emb",
    "swiglu_ablation",
    "main_experiment",
    "leaderboard",
    "low_resource",
    "parameter_tree",
    "profile",
    "open_ground",
)
"""The file of each row, the first being that of row 1."""

MORE: Sequence[str] = ("width",)
"""Files of questions beyond the course's rows, shown after them."""

SCALES = {
    "smoke": "a toy model and toy vocabularies, which show that everything runs; no figure means anything else",
    "cpu": "every run is sized from a budget of hours on a CPU; sweeps and ablations have a small model",
    "gpu": "the course's model and tokens",
}


def questions() -> list[Question]:
    """Return the question of each row, then those beyond the rows."""
    return [_question(name, row) for row, name in enumerate((*ROWS, *MORE), 1)]


def _question(name: str, row: int) -> Question:
    module = f"{__package__}.{name}"
    try:
        found: Question = importlib.import_module(module).QUESTION
        return found
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
    return Question(row, name, 0, "measured", "This row has no file yet.", lambda results: [Missing(name)])


def read_setting(folder: Path) -> Setting:
    """Read the setting of a reproduction.

    Raises:
        FileError: The folder has none.
        ConfigError: It is damaged, or of another version.
    """
    values = read_json(folder / SETTING)
    return Setting.from_dict(_with_folder(values.get("setting", {}), str(folder.resolve())), folder.resolve())


def _with_folder(value: Any, folder: str) -> Any:
    """Put the path of the folder into texts that begin with the word for it."""
    if isinstance(value, str):
        return folder + value.removeprefix(HERE) if value.startswith(HERE) else value
    if isinstance(value, Mapping):
        return {key: _with_folder(item, folder) for key, item in value.items()}
    return value


def sections(folder: Path, known: dict[int, Section] | None = None) -> list[Section]:
    """Return the sections of the report: what the folder of a reproduction answers, complete or not.

    Args:
        folder: The folder of a reproduction.
        known: Sections by row that depend on no run and no job, as an earlier call computed them; new ones are added.
            They take seconds, so a report that is written again after each round does not compute them again.

    Raises:
        FileError: The folder has no setting.
        ConfigError: The setting is damaged.
    """
    results, known = Results(read_setting(folder)), {} if known is None else known
    return [known.get(question.row) or _section(question, results, known) for question in questions()]


def _section(question: Question, results: Results, known: dict[int, Section]) -> Section:
    q = question
    section = Section(q.row, q.name, q.points, q.kind, q.asked, tuple(guarded(q.answer)(results)))
    if not q.needs_work:
        known[q.row] = section
    return section


def preface(folder: Path) -> tuple[Block, ...]:
    """Return the beginning of the report. Its first line says which texts the figures are of.

    Raises:
        FileError: The folder has no setting.
        ConfigError: The setting is damaged.
    """
    setting = read_setting(folder)
    results = Results(setting)
    return (*_preface(setting), *origins(results), *_old_code(results))


def _old_code(results: Results) -> Iterable[Block]:
    """Say which results other code of this package computed, if there are any."""
    code = sources_sha256()
    old = [results.name_of(record) for record in results.runs() if record.is_of_other_code(code)]
    old += [job.name for job in _jobs(results) if _is_of_other_code(results, job)]
    if old:
        yield Text(f"**Other code** of this package than today's computed {len(old)} of the results: {', '.join(old)}.")


def _jobs(results: Results) -> Iterable[Job]:
    works = (*preparation(results), *(work for question in questions() for work in question.work(results)))
    return {work.name: work for work in works if isinstance(work, Job)}.values()


def _is_of_other_code(results: Results, job: Job) -> bool:
    """Whether other sources than today's computed the result of a job, as far as that is known."""
    known = known_identity(results.setting.folder, job.name)
    if known is None or SOURCES not in known or results.measured(job) is None:
        return False
    try:
        return identity_of(job, results.setting.folder)[SOURCES] != known[SOURCES]
    except BpeLmError:
        return False


def _preface(setting: Setting) -> Iterable[Block]:
    texts = "; ".join(setting.corpora[key].title for key in CORPORA)
    strange = not all(corpus.is_official for corpus in setting.corpora.values())
    warning = " Figures of the handout and of the write-ups stand beside them for orientation only." if strange else ""
    yield Text(f"**Texts:** {texts}.{warning}")
    hours = f"{setting.hours:g} hour{'' if setting.hours == 1 else 's'}"
    budget = f" The budget is {hours}." if setting.scale == "cpu" else ""
    yield Text(f"Scale `{setting.scale}`: {SCALES[setting.scale]}.{budget}")
