"""The questions that runs answer: which runs they ask for, and what they make of the results."""

import json
from dataclasses import replace
from math import log

import pytest
from bpe_lm.experiments.attempts import Attempt, write_attempt
from bpe_lm.experiments.blocks import Check, Missing, Picture, Table, Text
from bpe_lm.experiments.cs336 import (
    ablation,
    base_run,
    batch_size,
    generate,
    layer_norm_ablation,
    leaderboard,
    learning_rate,
    low_resource,
    main_experiment,
    no_pos_emb,
    open_ground,
    pre_norm_ablation,
    profile,
    swiglu_ablation,
)
from bpe_lm.experiments.cs336 import experiment_log as log_of_runs
from bpe_lm.experiments.cs336.evaluation import evaluation
from bpe_lm.experiments.cs336.generation import repeated
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.edge import Bracket, name_of
from bpe_lm.experiments.work import Job, Training
from bpe_lm.model.flops import count_parameters
from bpe_lm.training.presets import speedrun_owt, tinystories, tinystories_low_resource
from written_runs import cells, small_setting, write_job, write_run, write_tokens

QUESTIONS = [
    module.QUESTION
    for module in (
        log_of_runs,
        base_run,
        learning_rate,
        batch_size,
        generate,
        layer_norm_ablation,
        pre_norm_ablation,
        no_pos_emb,
        swiglu_ablation,
        main_experiment,
        leaderboard,
        low_resource,
        profile,
        open_ground,
    )
]


@pytest.fixture
def results(tmp_path):
    return Results(small_setting(tmp_path))


def texts_of(question, results):
    return " ".join(block.text for block in question.answer(results) if isinstance(block, Text))


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.name)
def test_a_folder_without_results_says_what_is_missing(results, question):
    blocks = list(question.answer(results))
    missing = cells(blocks, Missing) or [row for table in cells(blocks, Table) for row in table.rows if None in row]
    assert missing
    assert not cells(blocks, Picture)
    assert all(isinstance(work, Job | Training) for work in question.work(results))


@pytest.mark.parametrize("scale", ["smoke", "cpu", "gpu"])
def test_a_speedrun_has_three_seeds_and_the_time_of_its_scale(tmp_path, scale):
    configs = [training.config for _, training in leaderboard.runs(Results(small_setting(tmp_path, scale)))]
    assert [config.seed for config in configs] == [336, 337, 338]
    assert {config.max_time for config in configs} == {{"smoke": 0.0, "cpu": 120.0, "gpu": 5400.0}[scale]}
    assert {config.optimizer.name for config in configs} == {"muon"}
    if scale == "gpu":
        assert configs[0].model == speedrun_owt().model
        assert (configs[0].model.context_length, configs[0].device) == (512, "cuda")


def test_the_leaderboard_has_the_mean_of_its_seeds(results):
    for (_, training), loss in zip(leaderboard.runs(results), (3.0, 3.1, 3.2), strict=True):
        assert leaderboard.QUESTION.work(results)
        write_run(results.setting, training, loss, "time")
        job = evaluation(results, training)
        assert job in list(leaderboard.QUESTION.work(results))
        write_job(results.setting, job, {"loss": loss, "bits_per_byte": loss / 2, "tokens": 5_000})
    blocks = list(leaderboard.QUESTION.answer(results))
    rows = {row[0]: row[1] for table in cells(blocks, Table) for row in table.rows if len(row) == 2}
    # Losses of 3.0, 3.1 and 3.2: standard deviation 0.1, of the mean 0.1 / √3.
    assert rows["validation loss at a context of 16"] == "3.1000 ± 0.0577"
    assert rows["bits per byte"] == "1.5500 ± 0.0289"
    assert rows["validation tokens"] == "5,000"
    assert not cells(blocks, Missing)
    assert cells(blocks, Picture)


def do_sweep(results, losses=(3.0, 2.0, 1.5, 1.8, 2.5, None)):
    for training, loss in zip(learning_rate.sweep(results), losses, strict=True):
        write_run(results.setting, training, loss, "finished" if loss is not None else "diverged", 0 if loss else 8)


def test_rows_of_runs_are_what_the_folder_says(results):
    write_tokens(results.setting, {"tinystories-train": 20_480})
    do_sweep(results)
    table = next(t for t in cells(list(learning_rate.QUESTION.answer(results)), Table) if "learning rate" in t.header)
    assert len(table.rows) == len(learning_rate.sweep(results)) + 1  # The first rate of the bisection.
    rows = {row[0]: row for row in table.rows}
    for training in learning_rate.sweep(results):
        row = rows[training.name.removeprefix("learning_rate/")]
        found = json.loads((results.setting.folder / training.name / "result.json").read_text())
        cell = dict(zip(table.header, row, strict=True))
        assert cell["steps"] == f"{found['step']:,}"
        assert cell["tokens"] == f"{found['tokens']:,}"
        assert cell["epochs"] == pytest.approx(found["tokens"] / 20_480)
        assert cell["seconds"] == found["seconds"]
        if found["reason"] == "diverged":
            assert (cell["validation loss"], cell["state"]) == ("diverged", "diverged at step 8")
        else:
            assert cell["validation loss"] == found["loss"]


def test_the_best_rate_is_known_once_the_whole_sweep_is_over(results):
    runs = learning_rate.sweep(results)
    for training in runs[1:]:
        write_run(results.setting, training, 2.0 + training.config.schedule.max_learning_rate)
    assert learning_rate.best_run(results) is None
    assert list(learning_rate.QUESTION.work(results)) == runs
    write_run(results.setting, runs[0], 9.0)
    assert learning_rate.best_run(results) == runs[1]


def test_further_seeds_of_the_best_rate_say_how_much_of_a_difference_is_chance(results):
    do_sweep(results)
    best, *more = learning_rate.runs_of_seeds(results)
    assert best == learning_rate.best_run(results)
    assert [run.config for run in more] == [replace(best.config, seed=best.config.seed + n) for n in (1, 2)]
    assert {run.name for run in more} <= {work.name for work in learning_rate.QUESTION.work(results)}
    for run, loss in zip(more, (1.6, 1.7), strict=True):
        write_run(results.setting, run, loss)
    # Losses of 1.5, 1.6 and 1.7: mean 1.6, standard deviation 0.1.
    assert "with 3 seeds: 1.6000 ± 0.0577 nats" in texts_of(learning_rate.QUESTION, results)
    # Student's t with 2 degrees of freedom: 4.303 times the standard error of the difference, 0.1 √2.
    assert "differ by less than 0.6085 nats by chance in 95 of 100 cases" in texts_of(learning_rate.QUESTION, results)
    (training,) = no_pos_emb.runs(results).values()
    write_run(results.setting, training, 2.1)
    assert "No position (NoPE) ends 0.600 nats above the baseline, which may be chance." in texts_of(
        no_pos_emb.QUESTION, results
    )


def a_record(results, name, loss, reason="finished"):
    training = replace(base_run.base(results), name=name)
    write_run(results.setting, training, loss, reason)
    return results.run(name)


def test_an_ablation_says_what_its_run_did(results):
    baseline, better, worse = (a_record(results, name, loss) for name, loss in (("a", 2.0), ("b", 1.9), ("c", 2.25)))
    diverged = a_record(results, "d", None, "diverged")
    assert ablation.verdict("run b", better, baseline, 0.05) == (
        "Run b ends 0.100 nats below the baseline, more than chance explains."
    )
    assert "0.250 nats above the baseline, which may be chance" in ablation.verdict("c", worse, baseline, 0.3)
    assert "with one seed each, a small difference may be chance" in ablation.verdict("c", worse, baseline, None)
    assert ablation.verdict("d", diverged, baseline, 0.3) == "D diverges."
    blown_up = replace(worse, result=worse.result | {"best_loss": 1.0})
    assert "C counts as diverged: it ends more than 0.5 nats above" in ablation.verdict("c", blown_up, baseline, 0.3)
    assert "the baseline has no loss" in ablation.verdict("c", worse, diverged, 0.3)


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ((2.0, 2.5), "is stable at both rates"),
        ((None, 2.5), "is unstable at the best rate, and a tenth of it makes it stable"),
        ((2.0, None), "is stable at the best rate, and diverges at a tenth of it"),
        ((None, None), "is unstable at both rates"),
    ],
)
def test_the_model_without_norms_is_stable_where_its_runs_are(results, losses, words):
    do_sweep(results)
    assert "Without RMSNorm" not in texts_of(layer_norm_ablation.QUESTION, results)
    for training, loss in zip(layer_norm_ablation.runs(results).values(), losses, strict=True):
        write_run(results.setting, training, loss, "finished" if loss is not None else "diverged")
    assert f"Without RMSNorm, the model {words}." in texts_of(layer_norm_ablation.QUESTION, results)


def test_the_edge_is_compared_with_the_best_rate():
    said = learning_rate._edge_in_words(Bracket(0.04, 0.05), {0.003: 1.5, 0.04: 2.5}, 0.003)
    assert "is below the edge, a factor of 15 from it" in said
    assert "At 4e-2 the loss is 1.000 nats above that of the best rate: training becomes worse long before" in said
    near = learning_rate._edge_in_words(Bracket(0.04, 0.05), {0.03: 1.5, 0.04: 1.4}, 0.03)
    assert "is at the edge, a factor of 1.5 from it" in near
    assert near.endswith("At 4e-2 the loss is 0.100 nats below that of the best rate.")
    none = learning_rate._edge_in_words(Bracket(1e4, None), {1.0: 1.5, 1e4: 2.0}, 1.0)
    assert none == "No rate up to 1e4 diverges. The best rate of the sweep is 1e0."
    assert learning_rate._edge_in_words(Bracket(None, 1e-6), {}, None) == "Every rate down to 1e-6 diverges."
    assert "Every rate of the sweep diverges." in learning_rate._edge_in_words(Bracket(1e-5, 1e-4), {1e-5: 2.0}, None)


def test_the_least_loss_stands_beside_the_limit(results):
    assert "The least loss" not in texts_of(learning_rate.QUESTION, results)
    do_sweep(results)
    said = texts_of(learning_rate.QUESTION, results)
    assert "The least loss is 1.5000 nats, at 3e-3; the handout's limit is 1.45 (no verdict" in said
    assert "a lower one may be better" not in said


def test_a_best_rate_at_the_lower_end_is_said_to_be_there(results):
    do_sweep(results, (1.5, 2.0, 2.5, 2.8, 2.9, None))
    assert "It is the lowest rate that was tried" in texts_of(learning_rate.QUESTION, results)


def write_batches(results, losses):
    write_job(results.setting, batch_size.memory_job(results), {"largest": 128, "method": "predicted", "memory": 1e9})
    for size, loss in losses.items():
        while waiting := [t for t in batch_size.tried(results, size) if results.finished(t) is None]:
            for training in waiting:
                write_run(results.setting, training, loss, "finished" if loss is not None else "diverged")


def test_what_batch_sizes_change_follows_from_their_runs(results):
    do_sweep(results)
    write_batches(results, {1: 2.0, 8: 1.6, 32: 1.5, 64: 1.75, 128: 1.8})
    blocks = list(batch_size.QUESTION.answer(results))
    said = texts_of(batch_size.QUESTION, results)
    assert "batches of 32 end with the least loss, 1.500 nats, and batches of 1 with the greatest, 2.000" in said
    assert "From 32 to 128 texts, losses differ by 0.300 nats." in said
    assert "Batches of 128 are the fastest, with 128 times the tokens per second of batches of 1." in said
    assert [block.name for block in cells(blocks, Picture)] == ["batch_size", "batch_size_curves"]


def test_a_batch_size_at_which_every_rate_diverges_is_not_called_not_run(results):
    do_sweep(results)
    write_batches(results, {1: None})
    table = next(t for t in cells(list(batch_size.QUESTION.answer(results)), Table) if "best rate" in t.header)
    row = dict(zip(table.header, table.rows[0], strict=True))
    rates = [training.config.schedule.max_learning_rate for training in batch_size.tried(results, 1)]
    assert len(rates) == 7
    assert rates[3:] == sorted(rates[3:], reverse=True), "ever lower rates are tried"
    assert rates[3] < min(rates[:3])
    assert row["best rate"] == "all diverge"
    assert row["state"].startswith("diverged at step")


def test_a_run_of_another_config_or_that_a_signal_ended_is_not_finished(results):
    training = base_run.base(results)
    write_run(results.setting, training, 2.0, reason="signal")
    assert results.finished(training) is None
    other = replace(training, name="other")
    write_run(results.setting, other, 2.0)
    assert results.finished(other) is not None
    assert results.finished(replace(other, config=replace(other.config, batch_size=7))) is None
    assert results.finished(replace(other, config=replace(other.config, seed=7))) is None


def test_the_edge_is_bisected_between_a_rate_that_converges_and_one_that_diverges(results):
    do_sweep(results)
    for _ in range(20):
        more, edge = learning_rate.search(results)
        if edge is not None:
            break
        rate = more[-1].config.schedule.max_learning_rate
        assert more[-1] in list(learning_rate.QUESTION.work(results))
        write_run(results.setting, more[-1], None if rate > 0.05 else 2.6, "diverged" if rate > 0.05 else "finished")
    assert isinstance(edge, Bracket)
    assert edge.converges <= 0.05 < edge.diverges <= 1.5 * edge.converges
    rates = f"between {name_of(edge.converges)}, which converges, and {name_of(edge.diverges)}, which does not"
    assert rates in texts_of(learning_rate.QUESTION, results)


def test_a_rate_whose_run_learns_only_frequencies_is_above_the_edge(results, monkeypatch):
    monkeypatch.setattr(Results, "entropy_of_tokens", lambda self, corpus: 2.4)
    do_sweep(results, (3.0, 2.0, 1.5, 1.8, 2.5, 2.45))
    more, _ = learning_rate.search(results)
    assert 1e-2 < more[0].config.schedule.max_learning_rate < 3e-2
    assert not learning_rate.has_failed(results, results.finished(learning_rate.sweep(results)[0]))
    table = next(t for t in cells(list(learning_rate.QUESTION.answer(results)), Table) if "learning rate" in t.header)
    states = {row[0]: row[table.header.index("state")] for row in table.rows}
    assert [states[rate] for rate in ("3e-4", "1e-2", "3e-2")] == [
        "finished",
        "finished",
        "finished, counts as diverged",
    ]


def test_a_slow_run_below_the_best_rate_is_not_above_the_edge(results):
    do_sweep(results, (None, 2.0, 1.5, 1.8, None, None))
    more, _ = learning_rate.search(results)
    assert 1e-2 < more[0].config.schedule.max_learning_rate < 3e-2


def test_ablations_have_the_best_rate_and_one_other_part(results):
    assert list(no_pos_emb.QUESTION.work(results)) == learning_rate.sweep(results)
    do_sweep(results)
    best = learning_rate.best_run(results)
    wanted = {no_pos_emb: {"position": "none"}, pre_norm_ablation: {"norm": "post"}}
    for module, change in wanted.items():
        (training,) = module.runs(results).values()
        assert training.config == replace(best.config, model=replace(best.config.model, **change))
    at_best, lower = layer_norm_ablation.runs(results).values()
    assert at_best.config.model.norm == lower.config.model.norm == "none"
    assert lower.config.schedule.max_learning_rate == pytest.approx(best.config.schedule.max_learning_rate / 10)
    write_run(results.setting, at_best, None, "diverged", step=5)
    write_run(results.setting, lower, 2.25)
    blocks = list(layer_norm_ablation.QUESTION.answer(results))
    rows = {row[0]: row for row in cells(blocks, Table)[0].rows}
    assert rows["no RMSNorm at the best rate"][-1] == "diverged at step 5"
    assert rows["no RMSNorm at a tenth of it"][2] == pytest.approx(2.25 - 1.5)
    assert rows[ablation.BASELINE][3] == 1.5
    assert not cells(blocks, Missing)


def test_the_feed_forward_networks_that_are_compared_have_equal_weights(results):
    do_sweep(results)
    (training,) = swiglu_ablation.runs(results).values()
    model = training.config.model
    assert (model.ffn, model.d_ff) == ("silu", 4 * model.d_model)
    assert count_parameters(model) == count_parameters(results.setting.small.model)
    assert f"{model.d_ff}" in cells(list(swiglu_ablation.QUESTION.answer(results)), Table)[0].rows[1]


def test_every_batch_size_has_the_same_tokens_and_rates_around_its_own_best(results):
    do_sweep(results)
    assert [work.name for work in batch_size.QUESTION.work(results)][-1] == "largest-batch"
    write_job(results.setting, batch_size.memory_job(results), {"largest": 64, "method": "predicted", "memory": 1e9})
    assert batch_size.sizes(results) == [1, 8, 32, 64]
    for rows in batch_size.sizes(results):
        runs = batch_size.tried(results, rows)
        assert len(runs) == 3
        for training in runs:
            config = training.config
            assert (config.batch_size, config.steps * config.tokens_per_step) == (rows, batch_size.tokens(results))
    lowest, middle, highest = batch_size.tried(results, 8)
    for training, loss in ((lowest, 1.0), (middle, 2.0), (highest, 3.0)):
        write_run(results.setting, training, loss)
    found = batch_size.tried(results, 8)
    assert len(found) == 4
    assert found[-1].config.schedule.max_learning_rate < lowest.config.schedule.max_learning_rate
    write_run(results.setting, found[-1], 1.2)
    assert len(batch_size.tried(results, 8)) == 4
    assert batch_size.best_of(results, 8)[0] == lowest
    table = next(t for t in cells(list(batch_size.QUESTION.answer(results)), Table) if "best rate" in t.header)
    row = dict(zip(table.header, table.rows[1], strict=True))
    assert (row["batch size"], row["validation loss"]) == (8, 1.0)
    assert row["tokens per second"] == pytest.approx(batch_size.tokens(results) / row["seconds"])


def test_the_verdict_is_for_the_courses_model_and_text_only(tmp_path):
    course = tinystories()
    setting = small_setting(tmp_path, base=course, low_resource=tinystories_low_resource())
    official = {key: replace(corpus, is_official=True) for key, corpus in setting.corpora.items()}
    for name, corpora, loss, low_loss, wanted in (
        ("made-up", setting.corpora, 1.2, 1.2, ["no verdict: 1.45 is the limit on", "no verdict: 2.00 is the limit"]),
        ("good", official, 1.45, 1.99, ["meets the limit of 1.45", "meets the limit of 2.00"]),
        ("bad", official, 1.46, 2.01, ["misses the limit of 1.45", "misses the limit of 2.00"]),
    ):
        results = Results(replace(setting, folder=tmp_path / name, corpora=corpora))
        for (_, training), value in zip(base_run.base_runs(results), (loss, low_loss), strict=True):
            write_run(results.setting, training, 1.0)
            job = evaluation(results, training)
            assert job in list(base_run.QUESTION.work(results))
            write_job(results.setting, job, {"loss": value})
        table = next(t for t in cells(list(base_run.QUESTION.answer(results)), Table) if "verdict" in t.header[-1])
        for row, value, words in zip(table.rows, (loss, low_loss), wanted, strict=False):
            assert (row[1], row[-1][: len(words)]) == (value, words)
    small = Results(small_setting(tmp_path / "small", corpora=official))
    write_run(small.setting, base_run.base(small), 1.0)
    assert "the course's model and tokens" in base_run.verdict(
        small, base_run.base(small), small.finished(base_run.base(small))
    )


def test_the_changes_of_a_run_are_what_differs_from_the_small_runs(tmp_path):
    setting = small_setting(tmp_path)
    results = Results(replace(setting, base=replace(setting.base, steps=90, validate_every=7, log_every=3)))
    assert base_run.base(results).changes == {"steps": 90}
    assert main_experiment.main_run(results).changes == {"model.vocab_size": 320, "steps": 90, "data": "owt"}


def test_a_run_that_failed_is_missing_with_its_reason(results):
    attempt = Attempt(state="failed", message="there is no memory")
    write_attempt(results.setting.folder, "base", attempt)
    (missing,) = cells(list(base_run.QUESTION.answer(results)), Missing)
    assert missing.what == "the run base (base, failed: there is no memory)"


def test_the_cosine_is_checked_in_the_records(results):
    training = base_run.base(results)
    write_run(results.setting, training, 2.0)
    checks = cells(list(base_run.QUESTION.answer(results)), Check)
    assert len(checks) == 3
    assert all(check.passes for check in checks)
    path = results.setting.folder / "base" / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    last = [record for record in records if record["kind"] == "train"][-1]
    last["learning_rate"] *= 1.01
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    failed = [check for check in cells(list(low_resource.QUESTION.answer(results)), Check) if not check.passes]
    assert len(failed) == 1
    assert failed[0].difference == pytest.approx(0.01)


def test_losses_per_byte_come_from_the_evaluations(results):
    write_tokens(results.setting, {"tinystories-valid": 100, "owt-valid": 100})
    for number, training in enumerate(main_experiment.runs(results).values(), 1):
        write_run(results.setting, training, float(number))
        job = evaluation(results, training)
        assert job in list(main_experiment.QUESTION.work(results))
        write_job(
            results.setting,
            job,
            {"loss": number + 0.5, "perplexity": 9.0, "bits_per_byte": number / 4 / log(2), "tokens": 99},
        )
    table = next(t for t in cells(list(main_experiment.QUESTION.answer(results)), Table) if "bits per byte" in t.header)
    assert [row[1] for row in table.rows] == [1.5, 2.5]
    assert [row[3] for row in table.rows] == [4.0, 4.0]
    assert table.rows[1][4] == pytest.approx(2 / 4 / log(2))
    said = texts_of(main_experiment.QUESTION, results)
    assert "On made-up owt the loss per token is 1.000 nats higher than on made-up tinystories" in said
    assert f"the loss per byte {0.25 / log(2):.3f} bits higher" in said
    assert "Distinct pretokens" not in said
    for key, number in (("tinystories", 5_000), ("owt", 70_000)):
        write_job(results.setting, f"tokenizer-{key}", {"distinct_pretokens": number})
    assert "5,000 in made-up tinystories and 70,000 in made-up owt" in texts_of(main_experiment.QUESTION, results)


def test_the_run_on_the_second_corpus_differs_in_its_data_and_vocabulary_only(results):
    main, base = main_experiment.main_run(results), base_run.base(results)
    assert main.config.model == replace(base.config.model, vocab_size=320)
    assert "owt-train" in main.config.data.train
    assert main.config.max_loss == pytest.approx(0.99 * log(320))
    same = {key: getattr(base.config, key) for key in ("model", "data", "max_loss", "max_loss_steps")}
    assert replace(main.config, **same) == base.config


def test_texts_are_shown_with_their_repetition(results):
    training = base_run.base(results)
    assert list(generate.QUESTION.work(results)) == [training]
    write_run(results.setting, training, 2.0)
    job = list(generate.QUESTION.work(results))[-1]
    text = {"text": "Once upon", "tokens": 9, "has_ended": True, "top_p": 0.9, "seed": 0}
    written = [
        text | {"temperature": temperature, "repeated": share}
        for temperature, share in ((0.0, 0.75), (0.8, 0.25), (0.8, 0.35), (1.5, 0.0))
    ]
    write_job(results.setting, job, {"texts": written})
    blocks = list(generate.QUESTION.answer(results))
    assert next(t for t in cells(blocks, Table) if "top-p" in t.header).rows == [
        (0.0, 0.9, 0.75, 9, 1),
        (0.8, 0.9, pytest.approx(0.3), 9, 2),
        (1.5, 0.9, 0.0, 9, 1),
    ]
    assert [block.name for block in cells(blocks, Picture)] == ["repetition", "loss_by_tokens"]
    said = texts_of(generate.QUESTION, results)
    assert "At temperature 0 and top-p 0.9, 75 % of the sequences of 4 tokens occurred before." in said
    assert "At temperature 1.5 and top-p 0.9, 0 % of the sequences of 4 tokens occurred before." in said
    assert said.count("At temperature 1.5") == 1
    results.setting.corpora["tinystories"].valid.write_text("Once.")
    said = texts_of(generate.QUESTION, results)
    assert "75 % of the sequences of 4 tokens occurred before, and 50 % of the words are known." in said


def test_words_of_the_validation_text_are_known(results):
    path = results.setting.corpora["tinystories"].valid
    path.write_text("Once upon a time, Ben's dog ran.")
    known = generate.known_words(path)
    assert known == {"once", "upon", "a", "time", "ben", "s", "dog", "ran"}
    texts = [{"temperature": 1.0, "top_p": 1.0, "text": text} for text in ("Once, a dog", "the DOG")]
    assert generate.share_of_words(texts, (1.0, 1.0), known) == 4 / 5
    assert generate.share_of_words(texts, (0.5, 1.0), known) is None
    assert generate.share_of_words(texts, (1.0, 1.0), frozenset()) is None
    assert generate.known_words(path.with_name("missing.txt")) == frozenset()


def test_a_validation_loss_that_rises_again_is_said_to_rise():
    assert "from 2.000 to 1.500 nats per token." in generate._on_training([(10, 2.0), (20, 1.5)])
    rising = generate._on_training([(10, 2.0), (20, 1.5), (30, 1.75)])
    assert rising.endswith("It is least after 20 tokens, 1.500, and rises again.")
    assert "rises again" not in generate._on_training([(10, 2.0), (20, 1.5), (30, 1.501)])
    assert "After 10 tokens, the validation loss is 2.000 nats." in generate._on_training([(10, 2.0)])


def test_repetition_is_the_share_of_sequences_seen_before():
    assert repeated([1, 2, 3]) == 0.0
    assert repeated([1, 2, 3, 4, 5, 6]) == 0.0
    assert repeated([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)
    assert repeated([7] * 13) == pytest.approx(9 / 10)


def test_a_batch_that_was_not_learned_by_heart_fails_its_check(results):
    record = dict.fromkeys(("loss", "gradient_norm", "weight_norm", "rms_embedding", "rms_blocks", "rms_head"), 1.0)
    for final, passes in ((0.01, True), (0.06, False), (float("nan"), False)):
        found = {"final": final, "rows": 4, "steps": 300, "rate": 3e-3, "records": [record | {"step": 1}]}
        write_job(results.setting, low_resource.overfit_job(results), found)
        check = cells(list(low_resource.QUESTION.answer(results)), Check)[0]
        assert check.passes is passes


def test_a_run_that_does_not_go_on_exactly_fails_its_check(results):
    found = {"steps": 60, "killed_at": 31, "resumed_from": 30, "same_weights": True, "same_optimizer": True}
    for same, passes in ((True, 4), (False, 3)):
        write_job(results.setting, open_ground.resume_job(results), found | {"same_losses": same})
        checks = cells(list(open_ground.QUESTION.answer(results)), Check)
        assert sum(check.passes for check in checks) == passes
    for kill in ({"killed_at": 60}, {"resumed_from": 0}):
        write_job(results.setting, open_ground.resume_job(results), found | {"same_losses": True} | kill)
        failed = [c.what for c in cells(list(open_ground.QUESTION.answer(results)), Check) if not c.passes]
        assert failed == ["the number of kills before the first checkpoint or after the last step"]


def test_speeds_are_medians_of_the_records(results):
    training = base_run.base(results)
    write_run(results.setting, training, 2.0)
    table = next(t for t in cells(list(open_ground.QUESTION.answer(results)), Table) if "MFU" in t.header)
    records = (results.setting.folder / "base" / "metrics.jsonl").read_text().splitlines()
    speeds = sorted(json.loads(line).get("tokens_per_second", 0) for line in records)[2:]
    assert table.rows[0][1:] == (speeds[-1] - (speeds[-1] - speeds[-9]) / 2, "25.0 %", "1.00 %")


def test_the_log_lists_every_run_with_its_folder(results):
    do_sweep(results)
    write_run(results.setting, base_run.base(results), 2.0)
    (results.setting.folder / "learning_rate" / "1e-3").rename(results.setting.folder / "learning_rate" / "1e-3.old-1")
    table = cells(list(log_of_runs.QUESTION.answer(results)), Table)[0]
    names = [row[0] for row in table.rows]
    assert names[0] == "base"
    assert "learning_rate/3e-3" in names
    assert not any("old" in name for name in names)
    assert "diverged at step 8" in [row[-1] for row in table.rows]
    assert "P, 2 cores" in texts_of(log_of_runs.QUESTION, results)
    assert "abc1234" in texts_of(log_of_runs.QUESTION, results)


def test_a_text_that_is_not_the_courses_is_said_so(results):
    said = texts_of(main_experiment.QUESTION, results)
    assert "**Not the course's TinyStories and OpenWebText**: measured on made-up tinystories and made-up owt." in said
    official = {key: replace(corpus, is_official=True) for key, corpus in results.setting.corpora.items()}
    for scale, words in (("cpu", "of the scale `cpu`. Reported figures stand here for"), ("gpu", "may be compared")):
        setting = replace(results.setting, corpora=official, scale=scale)
        assert words in texts_of(main_experiment.QUESTION, Results(setting))
    assert "Not the course's" not in texts_of(
        main_experiment.QUESTION, Results(replace(results.setting, corpora=official))
    )
