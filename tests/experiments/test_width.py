"""The question of widths: what its runs are, and what the answer says of their results."""

from dataclasses import dataclass, field
from math import log
from pathlib import Path
from typing import Any

import pytest
from bpe_lm.experiments.blocks import Missing, Picture, Table, Text
from bpe_lm.experiments.cs336 import width
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import Setting
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.work import Job, Training
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.presets import demo, tinystories

GUESSING = log(4_000)


@dataclass(frozen=True)
class Known(Results):
    """Results that are given by hand: losses by width and rate, and the sizes of the coordinate check."""

    losses: dict[tuple[int, float], float | None] = field(default_factory=dict)
    sizes: list[dict[str, list[float]]] | None = None
    has_tokens: bool = True

    def described(self, corpus, split) -> dict[str, Any] | None:
        return {"count": 1} if self.has_tokens else None

    def measured(self, job) -> dict[str, Any] | None:
        return None if self.sizes is None else {"sizes": self.sizes}

    def finished(self, training: Training) -> RunRecord | None:
        key = (training.config.model.d_model, training.config.schedule.max_learning_rate)
        if key not in self.losses:
            return None
        loss = self.losses[key]
        result = {"loss": loss, "step": 7, "reason": "finished"}
        state = "diverged" if loss is None else "finished"
        return RunRecord(training.name, Path(training.name), state, training.config, result, {}, [], [])


def known(scale="cpu", small: TrainConfig | None = None, **more) -> Known:
    small = override(small or demo(), {"data": {"train": "train.bin", "valid": "valid.bin", "tokenizer": "t"}})
    return Known(Setting(scale, Path("folder"), {}, {}, small, small, 1.0), **more)


def answer(results: Known) -> dict[type, list]:
    found: dict[type, list] = {Text: [], Table: [], Picture: [], Missing: []}
    for block in width.QUESTION.answer(results):
        found[type(block)].append(block)
    return found


def words_of(results: Known) -> str:
    return "\n".join(block.text for block in answer(results)[Text])


def all_losses(best: dict[int, float], scale="cpu") -> dict[tuple[int, float], float | None]:
    """Losses that are least at a rate of each width, and grow with the square of the distance on a log scale."""
    rates = width.SIZES[scale].rates
    return {(w, rate): 3 + 0.1 * log(rate / at) ** 2 for w, at in best.items() for rate in rates}


@pytest.mark.parametrize("scale", ["smoke", "cpu", "gpu"])
def test_runs_differ_in_width_and_rate_alone(scale):
    results = known(scale, demo() if scale != "gpu" else tinystories())
    job, *trainings = width.QUESTION.work(results)
    size = width.SIZES[scale]
    assert isinstance(job, Job)
    assert len(trainings) == len({t.name for t in trainings}) == len(size.widths) * len(size.rates)
    for training in trainings:
        config = training.config
        assert config.model.d_model // config.model.num_heads == width.HEAD
        assert abs(config.model.d_ff / config.model.d_model - 8 / 3) < 0.17
        assert config.steps == size.steps
        assert config.validate_every == config.steps, "the loss of the last step is all that is asked for"
        same = override(config, {"model": {"d_model": 64, "num_heads": 2, "d_ff": 176}})
        assert override(same, {"schedule": {"max_learning_rate": 1e-3}}) == width.run_at(results, 64, 1e-3).config


def test_nothing_is_run_before_the_tokens_are_there():
    assert list(width.QUESTION.work(known(has_tokens=False))) == []


def test_a_length_in_tokens_does_not_hide_the_number_of_steps():
    small = override(demo(), {"tokens": 10_000_000})
    assert width.short_config(known(small=small).setting).steps == width.SIZES["cpu"].steps


def test_without_results_the_answer_says_what_is_missing():
    found = answer(known())
    assert [block.what for block in found[Missing]] == [
        "the coordinate check",
        "15 of the 15 runs by width and learning rate",
    ]
    assert not found[Picture]


def test_an_exponent_is_that_of_a_power():
    assert width.exponent((64, 128, 512), [3 * w**0.7 for w in (64, 128, 512)]) == pytest.approx(0.7)
    assert width.exponent((64, 128, 256), [1.0, None, 16.0]) == pytest.approx(2)
    assert width.exponent((64, 128), [1.0, None]) is None
    assert width.exponent((64, 128), [0.0, 1.0]) is None


def test_a_best_rate_is_the_vertex_of_the_parabola():
    rates = (1e-3, 3e-3, 1e-2, 3e-2)
    assert width.best_rate({rate: log(rate / 5e-3) ** 2 for rate in rates}) == pytest.approx(5e-3)
    assert width.best_rate({1e-3: 2.0, 3e-3: 1.0, 1e-2: None}) == 3e-3, "its neighbour diverged"
    assert width.best_rate({1e-3: 1.0, 3e-3: 2.0, 1e-2: 3.0}) == 1e-3, "it is at an end"
    assert width.best_rate({1e-3: 1.0, 3e-3: 1.0, 1e-2: 1.0}) == 1e-3
    assert width.best_rate({1e-3: None}) is None


def test_the_answer_says_how_the_best_rate_moves_with_the_width():
    results = known(losses=all_losses({64: 2e-2, 128: 1e-2, 256: 5e-3}))
    found, words = answer(results), words_of(results)
    assert "the best rate of width 256 is a factor of 10 below that of width 64" in words, "3e-2 and 3e-3 on the grid"
    assert "goes as width^-1.00" in words
    carried = next(table for table in found[Table] if "difference" in table.header)
    assert [row[0] for row in carried.rows] == [64, 128, 256]
    assert carried.rows[0][-1] == 0
    assert carried.rows[2][-1] > 0
    assert not [block for block in found[Missing] if "runs" in block.what]
    assert len(found[Picture]) == 1


def test_a_best_rate_at_an_end_is_no_base_for_an_exponent():
    words = words_of(known(losses=all_losses({64: 1e-1, 128: 1e-2, 256: 1e-2})))
    assert "width^" not in words
    assert "at an end of the rates" in words


def test_a_run_that_diverged_or_is_worse_than_guessing_is_a_cross():
    losses = all_losses({64: 1e-2, 128: 1e-2, 256: 3e-3})
    losses[256, 1e-2] = None
    losses[256, 1e-1] = GUESSING + 5
    found = answer(known(losses=losses))
    table = found[Table][0]
    by_rate = {row[0]: row[3] for row in table.rows}
    assert by_rate["1e-2"] == "diverged at step 7"
    assert by_rate["1e-1"] == "13.294, worse than guessing"
    assert "at the best rate of width 64 diverges" in words_of(known(losses=losses))
    figure = found[Picture][0].draw()
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert sorted(x for line in crosses for x in line.get_xdata()) == [1e-2, 1e-1]


def test_every_run_that_diverged_is_an_answer_too():
    losses = dict.fromkeys(all_losses({64: 0.01, 128: 0.01, 256: 0.01}))
    assert "nothing can be said" in words_of(known(losses=losses))


def test_the_coordinate_check_names_what_grows_with_the_width():
    def of(width):
        return {"embedding": [1.0] * 5, "logits": [1.0, 1, 1, 1, width / 64], "attention": [1.0, 1, 1, 1, 64 / width]}

    found = answer(known(sizes=[of(w) for w in width.SIZES["cpu"].checked]))
    words = found[Text][1].text
    assert "grow with the width: logits (width^1.00)" in words
    assert "After 4 updates, these fall with the width: attention (width^-1.00)." in words
    rows = {row[0]: row[1:] for row in found[Table][0].rows}
    assert rows["logits"] == (1, 1, "0.00", 1, 8, "1.00")
    found[Picture][0].draw().canvas.draw()
    flat = [{"embedding": [1.0] * 5} for _ in width.SIZES["cpu"].checked]
    assert "no kind of activation depends on the width" in answer(known(sizes=flat))[Text][1].text
