"""Settings of a reproduction, its rounds of work, and what a kill leaves."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from bpe_lm.cli.main import main
from bpe_lm.errors import ConfigError, CorpusError, InternalError, OptionError, OutputExists, ResumeMismatch
from bpe_lm.experiments import reproduce as module
from bpe_lm.experiments.blocks import Missing, Text
from bpe_lm.experiments.cs336 import corpora as corpora_module
from bpe_lm.experiments.cs336 import course, leaderboard, learning_rate, training_together, unicode1
from bpe_lm.experiments.cs336.budget import (
    OVERHEAD,
    START,
    Load,
    check_steps,
    seconds_of,
    shape_of,
    tokens_of,
    with_tokens,
)
from bpe_lm.experiments.cs336.corpora import Given, find_corpora, split_off_end
from bpe_lm.experiments.cs336.preparation import preparation
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.scales import ENOUGH_STEPS, MODELS, setting_of, with_rows
from bpe_lm.experiments.identities import identity_of
from bpe_lm.experiments.predict import checkpoint_bytes
from bpe_lm.experiments.reproduce import Planned, Request, open_setting, plan, reproduce, selected
from bpe_lm.experiments.runner import Outcome, Report
from bpe_lm.experiments.work import Job
from bpe_lm.model.flops import count_parameters
from bpe_lm.training.identity import sources_sha256
from bpe_lm.training.presets import tinystories, tinystories_low_resource
from written_runs import small_setting, write_run

STORIES = "".join(f"Story {number}. It is short.\n<|endoftext|>\n" for number in range(200)).encode()


def flops_speed(rate):
    """A machine whose steps take their weights' FLOPs at a rate."""
    return lambda config: 6 * config.tokens_per_step * config.model.d_model * config.model.vocab_size / rate


# Corpora


def test_the_last_documents_are_split_off_where_no_text_to_validate_on_is_given(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(STORIES)
    found = find_corpora(tmp_path / "out", {"owt": Given(path)}, None, {"tinystories": 30_000, "owt": 1})
    corpus = found["owt"]
    assert corpus.train.read_bytes() + corpus.valid.read_bytes() == STORIES
    assert corpus.valid.read_bytes().startswith(b"Story ")
    assert corpus.train.read_bytes().endswith(b"<|endoftext|>\n")
    assert 0.05 < len(corpus.valid.read_bytes()) / len(STORIES) <= 0.1
    assert corpus.title == "mine.txt (0.0 MB) in OpenWebText's place"
    assert found["tinystories"].title.startswith("made-up stories")
    assert not found["tinystories"].is_official


def test_lines_are_split_where_documents_have_no_mark(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"a line of text\n" * 100)
    train, valid = split_off_end(path, tmp_path / "texts", "owt")
    assert train.read_bytes() + valid.read_bytes() == path.read_bytes()
    assert valid.read_bytes() == b"a line of text\n" * 9
    path.write_bytes(b"x" * 1000)
    with pytest.raises(OptionError, match="--owt-valid"):
        split_off_end(path, tmp_path / "texts", "owt")


def test_a_part_of_the_corpus_is_not_the_corpus(tmp_path):
    (tmp_path / "TinyStoriesV2-GPT4-train.txt").write_bytes(STORIES)
    found = find_corpora(tmp_path / "out", {}, tmp_path, {"tinystories": 1, "owt": 30_000})["tinystories"]
    assert found.title == "a part of TinyStories (0.0 MB)"
    assert not found.is_official


def test_the_whole_corpus_is_official(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora_module, "LEAST_BYTES", dict.fromkeys(corpora_module.LEAST_BYTES, 10))
    (tmp_path / "owt_train.txt.gz").write_bytes(gzip.compress(STORIES))
    with pytest.raises(OptionError, match="is packed.*--owt-valid"):
        find_corpora(tmp_path / "out", {}, tmp_path, {"tinystories": 30_000, "owt": 1})
    (tmp_path / "owt_valid.txt.gz").write_bytes(gzip.compress(STORIES))
    found = find_corpora(tmp_path / "out", {}, tmp_path, {"tinystories": 30_000, "owt": 1})["owt"]
    assert (found.title, found.is_official) == ("OpenWebText", True)
    first = find_corpora(tmp_path / "out", {}, tmp_path, {"tinystories": 30_000, "owt": 1}, most_valid=3_000)["owt"]
    assert first.is_official
    assert STORIES.startswith(first.valid.read_bytes())
    assert first.valid.read_bytes().endswith(b"<|endoftext|>")
    assert 2_900 < len(first.valid.read_bytes()) <= 3_000


def test_the_corpus_with_another_text_to_validate_on_is_not_official(tmp_path, monkeypatch):
    monkeypatch.setattr(corpora_module, "LEAST_BYTES", dict.fromkeys(corpora_module.LEAST_BYTES, 10))
    train, mine = tmp_path / "TinyStoriesV2-GPT4-train.txt", tmp_path / "mine.txt"
    train.write_bytes(STORIES)
    mine.write_bytes(STORIES)
    sizes = {"tinystories": 1, "owt": 30_000}
    found = find_corpora(tmp_path / "out", {"tinystories": Given(train, mine)}, None, sizes)["tinystories"]
    assert (found.title, found.is_official) == ("TinyStories (validation on mine.txt, 0.0 MB)", False)


def test_texts_that_cannot_be_are_refused(tmp_path):
    sizes = {"tinystories": 30_000, "owt": 30_000}
    with pytest.raises(CorpusError, match="nothing.txt is not a file"):
        find_corpora(tmp_path, {"owt": Given(tmp_path / "nothing.txt")}, None, sizes)
    with pytest.raises(OptionError, match="--tinystories-valid is given without --tinystories"):
        find_corpora(tmp_path, {"tinystories": Given(None, tmp_path / "valid.txt")}, None, sizes)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(CorpusError, match="is empty"):
        find_corpora(tmp_path, {"owt": Given(tmp_path / "empty.txt")}, None, sizes)


# Budgets


def test_the_tokens_of_runs_fill_the_seconds(tmp_path):
    config = small_setting(tmp_path).small
    loads = [Load(with_rows(config, 1), 3), Load(with_rows(config, 64), 5)]
    speeds = {shape_of(loads[0].config): 0.01, shape_of(loads[1].config): 0.2}
    tokens = tokens_of(1000.0, loads, speeds)
    total = sum(load.runs * seconds_of(with_tokens(load.config, tokens), speeds) for load in loads)
    assert total == pytest.approx(1000.0, rel=0.02)
    assert tokens_of(10.0, loads, speeds) == 0.0
    assert seconds_of(config, {}) is None
    assert seconds_of(replace(config, steps=100), {shape_of(config): 0.5}) == START + OVERHEAD * 50
    with pytest.raises(OptionError, match=r"0.1 hours leave 19 steps.*--hours"):
        check_steps(config, 19.5 * config.tokens_per_step, 0.1)


@pytest.mark.parametrize("hours", [1.0, 8.0, 40.0])
@pytest.mark.parametrize("rate", [3e11, 2e13])
def test_a_budget_in_hours_is_shared_by_all_runs(tmp_path, monkeypatch, hours, rate):
    monkeypatch.setattr("bpe_lm.experiments.cs336.scales.SAMPLE_BYTES", {"cpu": {"tinystories": 9_000, "owt": 9_000}})
    setting = setting_of("cpu", tmp_path, hours, measure=flops_speed(rate))
    low = (
        replace(tinystories_low_resource(), device="cpu", dtype=setting.low_resource.dtype)
        if (setting.low_resource)
        else None
    )
    low_seconds = START + OVERHEAD * flops_speed(rate)(tinystories_low_resource()) * 5000
    assert (low is not None) == (low_seconds <= hours * 1200)
    assert setting.vocab_sizes["tinystories"] == (10_000 if low else 4_000)
    assert setting.base.model.d_model >= setting.small.model.d_model
    if setting.small.model.d_model == MODELS[0].d_model:
        assert setting.small.steps >= ENOUGH_STEPS
    assert setting.base.model.vocab_size == setting.vocab_sizes["tinystories"]
    assert min(setting.base.steps, setting.small.steps) >= 20
    base = seconds_of(setting.base, setting.speeds)
    small = seconds_of(setting.small, setting.speeds)
    rest = hours * 3600 - (low_seconds if low else 0)
    assert base <= 0.25 * rest
    assert 18 * small <= 0.45 * rest
    speedruns = leaderboard.runs(Results(setting))
    assert sum(training.config.max_time for _, training in speedruns) == pytest.approx(0.1 * 3600 * hours)


def test_a_budget_that_is_too_small_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("bpe_lm.experiments.cs336.scales.SAMPLE_BYTES", {"cpu": {"tinystories": 9_000, "owt": 9_000}})
    with pytest.raises(OptionError, match="0.05 hours leave .* steps"):
        setting_of("cpu", tmp_path, 0.05, measure=flops_speed(1e12))


def test_the_scale_gpu_is_the_courses(tmp_path, monkeypatch):
    monkeypatch.setattr("bpe_lm.experiments.cs336.scales.SAMPLE_BYTES", {"gpu": {"tinystories": 9_000, "owt": 9_000}})
    setting = setting_of("gpu", tmp_path, measure=lambda config: 0.01)
    assert setting.base.model == tinystories().model
    assert setting.base.steps * setting.base.tokens_per_step == 327_680_000
    assert setting.small == setting.base
    assert setting.low_resource.steps * setting.low_resource.tokens_per_step == 40_960_000
    assert dict(setting.vocab_sizes) == {"tinystories": 10_000, "owt": 32_000}


# The setting of a folder


def test_a_setting_is_saved_whole_and_the_folder_can_be_moved(tmp_path):
    made = open_setting(tmp_path / "a", Request("smoke"))
    again = open_setting(tmp_path / "a", Request("smoke"))
    assert again == made
    (tmp_path / "a").rename(tmp_path / "b")
    moved = open_setting(tmp_path / "b", Request("smoke"))
    assert moved.base.data.train == str(tmp_path / "b" / "tokens" / "tinystories-train.bin")
    assert moved.corpora["owt"].train.is_file()
    assert str(tmp_path) not in (tmp_path / "b" / "setting.json").read_text()


def test_a_text_beside_a_folder_that_moves_stays_where_it_is(tmp_path):
    text = tmp_path / "a-texts" / "mine.txt"
    text.parent.mkdir()
    text.write_bytes(STORIES * 20)
    request = Request("smoke", given={"owt": Given(text, text)})
    open_setting(tmp_path / "a", request)
    (tmp_path / "a").rename(tmp_path / "b")
    assert open_setting(tmp_path / "b", request).corpora["owt"].train == text


def test_another_request_in_the_same_folder_is_refused(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(STORIES)
    out = tmp_path / "out"
    open_setting(out, Request("smoke"))
    with pytest.raises(ResumeMismatch, match="scale was smoke and is gpu.*--out"):
        open_setting(out, Request("gpu"))
    with pytest.raises(ResumeMismatch, match="the text of owt-train is another"):
        open_setting(out, Request("smoke", given={"owt": Given(path)}))
    (out / "setting.json").write_text("{}")
    with pytest.raises(ResumeMismatch, match="damaged"):
        open_setting(out, Request("smoke"))
    with pytest.raises(ConfigError, match="is not the setting of a reproduction"):
        course.read_setting(out)


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "letters.txt").write_text("mine")
    with pytest.raises(OutputExists, match="letters.txt"):
        open_setting(tmp_path, Request("smoke"))
    assert os.listdir(tmp_path) == ["letters.txt"]


# Questions and rounds


def test_all_rows_are_there_in_order():
    found = course.questions()
    assert [question.row for question in found] == list(range(1, 46))
    assert len(course.ROWS) == 44
    assert len({question.name for question in found}) == 45


def test_questions_are_selected_by_name_file_or_row():
    assert [question.row for question in selected(["generate", "33", "batch_size", "batch_size_experiment"])] == [
        33,
        34,
    ]
    assert len(selected()) == 45
    with pytest.raises(OptionError, match="there is no question learning_rat; did you mean learning_rate"):
        selected(["learning_rat"])


def test_the_first_line_says_which_texts_were_used(tmp_path):
    setting = open_setting(tmp_path, Request("smoke"))
    first, second = course.preface(tmp_path)
    assert all(corpus.title in first.text for corpus in setting.corpora.values())
    assert "orientation only" in first.text
    assert "`smoke`" in second.text


def test_the_report_says_which_results_other_code_computed(tmp_path):
    setting = open_setting(tmp_path, Request("smoke"))
    for training, sources in zip(learning_rate.sweep(Results(setting)), (sources_sha256(), "old", None), strict=True):
        write_run(setting, training, 2.0)
        path = tmp_path / training.name / "result.json"
        identity = {"identity": {"sources": sources}} if sources else {}
        path.write_text(json.dumps(json.loads(path.read_text()) | identity))
    job = next(job for job in preparation(Results(setting)) if job.name == "tokenizer-owt")
    path = tmp_path / job.name / "result.json"
    path.parent.mkdir()
    for known, more in ((identity_of(job, tmp_path), ""), ({"sources": "old"}, ", tokenizer-owt")):
        path.write_text(json.dumps({"result": {}, "identity": known}))
        said = course.preface(tmp_path)[-1].text
        number = 1 + bool(more)
        assert said == (
            f"**Other code** of this package than today's computed {number} of the results: learning_rate/1e-2{more}."
        )


def test_the_first_lines_name_each_machine_and_commit_once(tmp_path):
    setting = open_setting(tmp_path, Request("smoke"))
    assert not any("Machine" in block.text for block in course.preface(tmp_path))
    runs = learning_rate.sweep(Results(setting))
    for training in runs:
        write_run(setting, training, 2.0)
    said = [block.text for block in course.preface(tmp_path) if "Machine" in block.text]
    assert said == ["**All runs and jobs.** Machine: P, 2 cores. Commit: abc1234."]
    path = tmp_path / "job" / "result.json"
    path.parent.mkdir()
    machine = {"processor": "Q", "cores": 4, "memory": 16e9, "gpu": "G"}
    path.write_text(json.dumps({"result": {}, "machine": machine, "commit": "def5678"}))
    most, other = [block.text for block in course.preface(tmp_path) if "Machine" in block.text]
    assert most.startswith("**Most runs and jobs.** Machine: P, 2 cores.")
    assert other == "**Others:** job. Machine: G, Q, 4 cores, 16 GB of memory. Commit: def5678."


@pytest.fixture
def light(monkeypatch):
    """A reproduction without tokenizers and without a report."""
    written = []
    monkeypatch.setattr(module, "preparation", lambda results: [])
    monkeypatch.setattr(module, "write", lambda setting, known=None: written.append(setting.folder))
    monkeypatch.setattr(Results, "is_prepared", True)
    return written


def question(work, row=1):
    return Question(row, f"question{row}", 0, "measured", "", lambda results: [Missing("all")], work)


class Machine:
    """A runner that writes runs at once: a rate above 0.02 diverges."""

    def __init__(self):
        self.rounds = []

    def __call__(self, works, folder, **options):
        self.rounds.append([work.name for work in works])
        setting = options["base"]
        del setting
        for work in works:
            rate = work.config.schedule.max_learning_rate
            write_run(
                small_setting(folder),
                work,
                None if rate > 0.02 else 3 - rate,
                "diverged" if rate > 0.02 else "finished",
            )
        return Report([Outcome(work.name, "finished") for work in works])


def test_questions_are_asked_again_until_nothing_is_left(tmp_path, monkeypatch, light):
    machine = Machine()
    monkeypatch.setattr(module, "run_all", machine)
    setting = small_setting(tmp_path)
    found = reproduce(setting, asked=[learning_rate.QUESTION])
    assert len(machine.rounds[0]) == len(learning_rate.RATES["cpu"])
    bisected = [[name for name in names if ",seed=" not in name] for names in machine.rounds[1:]]
    assert all(len(names) == 1 for names in bisected)
    names = [name for names in machine.rounds for name in names]
    assert len(set(names)) == len(names) == len(found.outcomes)
    assert learning_rate.search(Results(setting))[1].diverges <= 0.03
    assert len(light) == len(machine.rounds)


def test_a_section_that_shows_runs_is_computed_again_once_they_are_there(tmp_path, monkeypatch):
    setting = open_setting(tmp_path, Request("smoke"))
    monkeypatch.setattr(course, "questions", lambda: [training_together.QUESTION, unicode1.QUESTION])
    known: dict = {}

    def is_missing():
        texts = [block.text for block in course.sections(tmp_path, known)[0].blocks if isinstance(block, Text)]
        return any("The base run has no record yet" in text for text in texts)

    assert is_missing()
    assert known.keys() == {1}
    write_run(setting, replace(training_together.base(Results(setting)), config=small_setting(tmp_path).base), 2.0)
    assert not is_missing()


def test_a_work_that_fails_is_not_tried_twice_in_one_call(tmp_path, monkeypatch, light):
    rounds = []

    def fail(works, folder, **options):
        rounds.append(works)
        return Report([Outcome(work.name, "failed", message="no") for work in works])

    monkeypatch.setattr(module, "run_all", fail)
    job = Job("job", "bpe_lm", ("nothing",))
    found = reproduce(small_setting(tmp_path), asked=[question(lambda results: [job])])
    assert len(rounds) == 1
    assert [outcome.message for outcome in found.failed] == ["no"]


def test_a_signal_ends_the_rounds(tmp_path, monkeypatch, light):
    stopped = Report([Outcome("job", "signal")], signal.SIGINT)
    monkeypatch.setattr(module, "run_all", lambda works, folder, **options: stopped)
    asked = [question(lambda results: [Job(f"job{number}", "bpe_lm") for number in range(len(light) + 1)])]
    assert reproduce(small_setting(tmp_path), asked=asked).signal == signal.SIGINT
    assert len(light) == 1

    def signalled(works, folder, **options):
        os.kill(os.getpid(), signal.SIGTERM)
        return Report([])

    monkeypatch.setattr(module, "run_all", signalled)
    assert reproduce(small_setting(tmp_path), asked=asked).signal == signal.SIGTERM


def test_two_questions_may_share_a_work_and_not_a_name(tmp_path, monkeypatch, light):
    rounds = []
    monkeypatch.setattr(module, "run_all", lambda works, folder, **options: rounds.append(works) or Report([]))
    job, other = Job("job", "bpe_lm", ("a",)), Job("job", "bpe_lm", ("b",))
    reproduce(small_setting(tmp_path), asked=[question(lambda results: [job], row) for row in (1, 2)])
    assert rounds == [[job]]
    with pytest.raises(InternalError, match="different works of the name job"):
        reproduce(
            small_setting(tmp_path), asked=[question(lambda results: [job]), question(lambda results: [other], 2)]
        )


def test_a_job_whose_input_changed_is_run_again(tmp_path, monkeypatch, light):
    path = tmp_path / "input"
    path.write_text("1")
    job = Job("job", "bpe_lm", inputs=(path,))
    rounds = []

    def change(works, folder, **options):
        rounds.append(works)
        path.write_text("2")
        return Report([])

    monkeypatch.setattr(module, "run_all", change)
    reproduce(small_setting(tmp_path), asked=[question(lambda results: [job])])
    assert rounds == [[job], [job]]


def test_the_plan_has_the_runs_that_are_known_and_their_time(tmp_path):
    setting = open_setting(tmp_path, Request("smoke"))
    planned = {work.name: work for work in plan(setting, ["learning_rate"], measure=lambda config: 0.5)}
    rates = [name for name in planned if name.startswith("learning_rate/")]
    assert len(rates) == len(learning_rate.RATES["smoke"])
    assert planned[rates[0]].seconds == START + OVERHEAD * 0.5 * setting.small.steps
    assert planned[rates[0]].disk == checkpoint_bytes(setting.small)
    assert planned[rates[0]].memory > 4 * 4 * count_parameters(setting.small.model)  # Weights, gradients, two moments.
    assert planned["tokenizer-owt"] == Planned("tokenizer-owt")


def test_the_command_refuses_what_it_does_not_know(tmp_path, capsys):
    assert main(["reproduce", "--out", str(tmp_path / "out"), "--only", "nothing", "--quiet"]) == 1
    assert "there is no question nothing" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    if not torch.cuda.is_available():
        assert main(["reproduce", "--out", str(tmp_path / "out"), "--scale", "gpu", "--quiet"]) == 1
        assert "--scale gpu needs a CUDA GPU, and this machine has none" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
    assert (
        main(["reproduce", "--out", str(tmp_path / "out"), "--tinystories", str(tmp_path / "no.txt"), "--quiet"]) == 1
    )
    assert "no.txt is not a file" in capsys.readouterr().err


def test_what_other_code_computed_is_planned_again(tmp_path):
    setting = open_setting(tmp_path, Request("smoke"))
    job = next(job for job in preparation(Results(setting)) if job.name == "tokenizer-owt")
    for output in job.outputs:
        output.parent.mkdir(parents=True)
        output.touch()
    result = tmp_path / job.name / "result.json"
    result.parent.mkdir()
    for identity, is_planned in ((identity_of(job, tmp_path), False), ({"sources": "old"}, True)):
        result.write_text(json.dumps({"result": {}, "identity": identity}))
        assert (Planned(job.name) in plan(setting, ["unicode1"])) == is_planned


def test_a_text_may_be_moved(tmp_path):
    paths = [tmp_path / "train.txt", tmp_path / "valid.txt"]
    for path in paths:
        path.write_bytes(STORIES)
    out = tmp_path / "out"
    open_setting(out, Request("smoke", given={"owt": Given(*paths)}))
    moved = [path.rename(tmp_path / f"moved-{path.name}") for path in paths]
    corpus = open_setting(out, Request("smoke", given={"owt": Given(*moved)})).corpora["owt"]
    assert [corpus.train, corpus.valid] == moved
    assert course.read_setting(out).corpora["owt"] == corpus


def test_a_dry_run_prints_the_plan_and_makes_no_folder(tmp_path, capsys, monkeypatch):
    planned = [Planned("tokenizer-owt"), Planned("base", 200, 102_400, 90.0, 10**9, 10**7)]
    asked = []
    monkeypatch.setattr(
        module, "plan", lambda setting, only, keep: asked.append((setting.scale, only, keep)) or planned
    )
    out = str(tmp_path / "out")
    assert main(["reproduce", "--out", out, "--dry-run", "--only", "base_run,34"]) == 0
    text = capsys.readouterr().out
    assert "base" in text
    assert "90.0 seconds and 10.0 MB on the disk for 1 runs, and 1 jobs whose cost is not predicted" in text
    assert main(["reproduce", "--out", out, "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[1] == vars(planned[1])
    assert asked == [("smoke", ["base_run", "34"], False), ("smoke", [], False)]
    assert not (tmp_path / "out").exists()


# A kill in the middle

CHILD = """
import sys
from pathlib import Path
from bpe_lm.experiments import reproduce as module
from bpe_lm.experiments.blocks import Missing, Text
from bpe_lm.experiments.cs336.preparation import preparation
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.work import measurement
from written_runs import small_setting

folder = Path(sys.argv[1])
module.preparation = lambda results: []
module.write = lambda setting, known=None: None
Results.is_prepared = True
jobs = [measurement(f"job{n}", "slow_measurement", {"log": sys.argv[2], "number": n}) for n in range(4)]
asked = [Question(1, "jobs", 0, "measured", "", lambda results: [Missing("all")], lambda results: jobs)]
found = module.reproduce(small_setting(folder), asked=asked)
print(sum(outcome.was_done for outcome in found.outcomes), sum(outcome.is_done for outcome in found.outcomes))
"""

SLOW = """
import os, time

def measure(log, number):
    with open(log, "a") as file:
        file.write(f"begin {number}\\n")
    time.sleep(0.6)
    with open(log, "a") as file:
        file.write(f"end {number}\\n")
    return {"number": number}
"""


def test_after_a_kill_it_goes_on_and_repeats_nothing_that_is_done(tmp_path):
    (tmp_path / "slow_measurement.py").write_text(SLOW)
    log = tmp_path / "log"
    log.touch()
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parent)])
    command = [sys.executable, "-c", CHILD, str(tmp_path / "out"), str(log)]
    options = {"env": {**os.environ, "PYTHONPATH": path}, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **options) as process:
        deadline = time.monotonic() + 120
        while "begin 2" not in log.read_text():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    done = subprocess.run(command, check=True, timeout=120, **options)
    assert done.stdout.split() == ["2", "4"]
    lines = log.read_text().splitlines()
    assert [lines.count(f"begin {number}") for number in (0, 1, 3)] == [1, 1, 1]
    assert all(lines.count(f"end {number}") >= 1 for number in range(4))
    found = [json.loads((tmp_path / "out" / f"job{number}" / "result.json").read_text()) for number in range(4)]
    assert [result["result"] for result in found] == [{"number": number} for number in range(4)]
