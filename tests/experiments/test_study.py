"""A study's runs have the changes, the seeds and the names that were asked for."""

import json
from collections import Counter

import pytest
from bpe_lm.errors import ConfigError
from bpe_lm.experiments.study import (
    Study,
    changed,
    check_names,
    grid,
    random_draws,
    read_study,
    record_works,
    run_name,
    variants,
    written,
)
from bpe_lm.experiments.work import Job, Training
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.presets import resolve
from hypothesis import given
from hypothesis import strategies as st

BASE = resolve("debug")
RATES = {"schedule.max_learning_rate": [1e-4, 3e-3]}


def test_a_grid_has_each_combination_once():
    runs = Study(BASE, grid(RATES | {"batch_size": [4, 8, 16]})).trainings()
    pairs = [(run.config.schedule.max_learning_rate, run.config.batch_size) for run in runs]
    assert pairs == [(rate, size) for rate in (1e-4, 3e-3) for size in (4, 8, 16)]
    assert runs[0].name == "max_learning_rate=1e-4,batch_size=4"
    assert runs[0].changes == {"schedule.max_learning_rate": 1e-4, "batch_size": 4}


def test_variants_are_the_base_and_each_change_alone():
    changes = [{"model.qk_norm": True}, {"model.ffn": "relu2", "model.d_ff": 96}]
    runs = Study(BASE, variants(BASE, changes), seeds=2).trainings()
    names = ["base", "qk_norm=true", "ffn=relu2,d_ff=96"]
    assert [run.name for run in runs] == [*names, "seed=337", *(f"{name},seed=337" for name in names[1:])]
    assert runs[0].config == BASE
    assert runs[2].config == changed(BASE, changes[1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([{"batch_size": BASE.batch_size}], "the variant batch_size=8 is the config as it is"),
        ([{"batch_size": 4}, {"batch_size": 4}], "the variant batch_size=4 is given twice"),
    ],
)
def test_a_variant_that_changes_nothing_new_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        variants(BASE, changes)


def test_a_run_differs_from_the_base_in_its_changes_alone():
    for run in Study(BASE, grid(RATES), seeds=2).trainings():
        assert changed(BASE, run.changes) == run.config
        assert changed(run.config, {"schedule.max_learning_rate": 1e-3, "seed": BASE.seed}) == BASE


def test_batches_of_other_sizes_have_the_same_tokens_if_the_base_says_tokens():
    base = resolve("debug", ["--tokens", "12800"])
    runs = Study(base, grid({"batch_size": [4, 8, 16]})).trainings()
    assert [(run.config.steps, run.config.tokens) for run in runs] == [(200, 12800), (100, 12800), (50, 12800)]


def test_more_seeds_and_more_values_rename_no_run():
    few = {run.name: run.config for run in Study(BASE, grid(RATES)).trainings()}
    more = Study(BASE, grid({"schedule.max_learning_rate": [1e-4, 3e-3, 1e-2]}), seeds=3).trainings()
    assert len(more) == 9
    assert {run.name: run.config for run in more}.items() > few.items()
    assert {run.config.seed for run in more} == {BASE.seed, BASE.seed + 1, BASE.seed + 2}


def test_one_run_of_each_change_comes_before_the_second_seed():
    runs = Study(BASE, grid(RATES), seeds=2).trainings()
    assert [run.config.seed - BASE.seed for run in runs] == [0, 0, 1, 1]


def test_a_value_that_makes_no_sense_names_the_run():
    with pytest.raises(ConfigError, match="the run d_model=33: model.d_model is 33"):
        Study(BASE, grid({"model.d_model": [32, 33]})).trainings()


def test_draws_lie_in_their_ranges_and_a_larger_count_adds_to_them():
    ranges = {"schedule.max_learning_rate": (1e-4, 1e-2), "batch_size": (1, 64)}
    draws = random_draws(200, {"model.norm": ["pre", "none"]}, ranges, seed=1)
    rates = [draw["schedule.max_learning_rate"] for draw in draws]
    assert all(1e-4 <= rate <= 1e-2 and float(f"{rate:.3g}") == rate for rate in rates)
    assert 0.4 < sum(rate < 1e-3 for rate in rates) / len(rates) < 0.6, "the middle of the logarithms"
    assert {type(draw["batch_size"]) for draw in draws} == {int}
    assert min(draw["batch_size"] for draw in draws) < 8 < 40 < max(draw["batch_size"] for draw in draws)
    assert 70 < Counter(draw["model.norm"] for draw in draws)["pre"] < 130
    assert random_draws(50, {"model.norm": ["pre", "none"]}, ranges, seed=1) == draws[:50]
    assert len({run.name for run in Study(BASE, draws).trainings()}) == 200


def test_a_length_is_drawn_as_a_fraction_or_as_whole_steps():
    draws = random_draws(60, {}, {"schedule.warmup": (0.01, 15)}, seed=1)
    values = [draw["schedule.warmup"] for draw in draws]
    assert {type(value) for value in values if value < 1} == {float}
    assert {type(value) for value in values if value >= 1} == {int}
    Study(resolve("debug", ["--steps", "100"]), draws).trainings()


def test_draws_are_different_or_refused():
    sizes = {"batch_size": [1, 2, 3]}
    assert sorted(draw["batch_size"] for draw in random_draws(3, sizes, {}, 0)) == [1, 2, 3]
    with pytest.raises(ConfigError, match="only 3 different runs"):
        random_draws(4, sizes, {}, 0)


@pytest.mark.parametrize("bounds", [(0, 1), (2, 1), (1, float("inf")), (float("nan"), 1), (-1, 1)])
def test_a_range_without_a_logarithm_is_refused(bounds):
    with pytest.raises(ConfigError, match="0 < low < high"):
        random_draws(1, {}, {"schedule.max_learning_rate": bounds}, 0)


def test_a_key_that_is_no_number_has_no_range():
    with pytest.raises(ConfigError, match="model.norm is not a number"):
        random_draws(1, {}, {"model.norm": (1, 2)}, 0)


# Names


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3e-4, "3e-4"),
        (1.5e-3, "1.5e-3"),
        (0.01, "0.01"),
        (0.1, "0.1"),
        (1.0, "1"),
        (0.0, "0"),
        (123456.0, "123456"),
        (1e10, "1e10"),
        (-2.5e-7, "-2.5e-7"),
        (32, "32"),
        (True, "true"),
        ("none", "none"),
    ],
)
def test_values_are_written_as_a_person_would(value, text):
    assert written(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_no_digit_of_a_number_is_lost(value):
    assert float(written(value)) == value


def test_names_say_no_more_than_they_must():
    assert run_name({}) == "base"
    assert run_name({"model.norm": "none"}) == "norm=none"
    both = run_name({"data.train": "x", "other.train": "y"})
    assert both == "data.train=x,other.train=y"


@given(st.lists(st.text(max_size=300), min_size=1, max_size=4, unique=True))
def test_any_text_gives_a_safe_name_and_two_texts_two_names(texts):
    names = [run_name({"data.train": text}) for text in texts]
    assert len(set(names)) == len(texts)
    check_names([Training(name, BASE) for name in names])
    assert max(map(len, names)) < 150


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/../b", "/a", "a//b", ".hidden", "a b", "é", "a\nb", "logs/x"]
)
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(ConfigError):
        check_names([Training(name, BASE)])


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("x/y/z", "x")])
def test_no_two_works_share_a_folder(names):
    with pytest.raises(ConfigError, match="a|x"):
        check_names([Training(name, BASE) for name in names])
    check_names([Training("a/b", BASE), Training("a/c", BASE), Job("ab", "json")])


# study.json

WRONG = ('{"base": 3}', '{"jobs": [3]}', '{"runs": [{"name": "../x"}]}', '{"runs": [{"name": 3}]}', '{"jobs": ["/x"]}')


def test_study_json_has_the_works_of_all_calls(tmp_path):
    runs = Study(BASE, grid(RATES)).trainings()
    record_works(tmp_path, runs[:1], name="rates", base=BASE)
    record_works(tmp_path, [runs[1], Job("job", "json")], base=BASE)
    study = read_study(tmp_path)
    assert study is not None
    assert (study.name, list(study.runs), study.jobs) == ("rates", [run.name for run in runs], ("job",))
    assert study.runs[runs[0].name] == runs[0].changes
    assert TrainConfig.from_dict(study.base) == BASE


def test_a_base_config_that_is_only_watched_otherwise_takes_no_run_out(tmp_path):
    runs = Study(BASE, grid(RATES)).trainings()
    record_works(tmp_path, runs, base=BASE)
    watched = resolve("debug", ["--log-every", "7", "--tensorboard"])
    record_works(tmp_path, [Training("base", watched)], base=watched)
    assert list(read_study(tmp_path).runs) == [*(run.name for run in runs), "base"]
    other_tokens = resolve("debug", ["--data.train", "other.bin"])
    record_works(tmp_path, [Training("base", other_tokens)], base=other_tokens)
    assert list(read_study(tmp_path).runs) == ["base"]


def test_the_runs_of_another_base_config_are_taken_out(tmp_path):
    record_works(tmp_path, Study(BASE, grid(RATES)).trainings(), base=BASE)
    other = resolve("debug", ["--steps", "30"])
    record_works(tmp_path, [Training("base", other)], base=other)
    assert list(read_study(tmp_path).runs) == ["base"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"runs": [1]}', '{"runs": 3}', '{"runs": [{}]}', *WRONG])
def test_a_damaged_study_json_is_none(tmp_path, text):
    assert read_study(tmp_path) is None
    (tmp_path / "study.json").write_text(text)
    assert read_study(tmp_path) is None
    record_works(tmp_path, [Training("base", BASE)], base=BASE)
    assert json.loads((tmp_path / "study.json").read_text())["runs"] == [{"name": "base", "changes": {}}]
