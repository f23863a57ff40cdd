"""The questions that a formula answers: their figures follow the config, and are the write-ups'."""

from dataclasses import replace
from pathlib import Path

import pytest
from bpe_lm.experiments.blocks import Code, Table, Text
from bpe_lm.experiments.cs336 import adamw_accounting, parameter_tree, transformer_accounting
from bpe_lm.experiments.cs336.adamw_accounting import activations, days
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import Setting
from bpe_lm.experiments.cs336.transformer_accounting import XL, convention_of, gpt2_models
from bpe_lm.experiments.cs336.wording import percent, power, seconds, size
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import count_parameters, forward_flops, training_flops
from bpe_lm.training.account import conventions, course_memory, longer_context
from bpe_lm.training.optimizers.cost import ADAMW_FLOPS
from bpe_lm.training.presets import debug, tinystories

MODULES = (transformer_accounting, adamw_accounting, parameter_tree)


def results_of(base) -> Results:
    return Results(Setting("smoke", Path("none"), {}, {}, base, base, 1.0))


def blocks(module, results, kind):
    return [block for block in module.QUESTION.answer(results) if isinstance(block, kind)]


@pytest.mark.parametrize(
    "change", [{}, {"num_layers": 7}, {"d_ff": 100}, {"ffn": "silu"}, {"context_length": 64}, {"vocab_size": 999}]
)
def test_the_figures_of_the_base_run_follow_its_config(change):
    base = debug()
    model = replace(base.model, **change)
    results = results_of(replace(base, model=model))
    parameters, multiplies, flops, longer, _ = blocks(transformer_accounting, results, Table)
    assert multiplies.rows[-1][-2] == "3.517e12"
    assert parameters.rows[-1][2:] == (model.d_ff, count_parameters(model), size(4 * count_parameters(model)))
    found = forward_flops(model)
    assert flops.rows[-1][2:4] == (power(found.total), percent(found.projections / found.total))
    ratio = forward_flops(longer_context(model)).total / found.total
    assert longer.rows[-1][2] == 16 * model.context_length
    assert longer.rows[-1][4] == f"{ratio:.2f}"
    _, batches, _, optimizer, in_days, _ = blocks(adamw_accounting, results, Table)
    memory = course_memory(model)
    assert batches.rows[-2][3:] == (
        f"{size(memory.per_text)} x batch + {size(memory.fixed)}",
        memory.largest_batch(80e9),
    )
    assert optimizer.rows[-1][2:4] == (power(15 * count_parameters(model)), power(1024 * training_flops(model)))
    seconds = 400_000 * 1024 * training_flops(model) / (0.5 * 19.5e12)
    assert float(in_days.rows[-2][3]) == pytest.approx(seconds / 86_400, rel=1e-3)
    tree = blocks(parameter_tree, results, Code)[1].text
    assert tree.startswith(f"TransformerLM ({count_parameters(model):,} params)")
    assert f"layers: {model.num_layers} x TransformerBlock" in tree


def test_all_shapes_conventions_and_contexts_have_rows():
    results = results_of(tinystories())
    parameters, _, flops, longer, _ = blocks(transformer_accounting, results, Table)
    _, batches, _, _, in_days, _ = blocks(adamw_accounting, results, Table)
    for table, number in ((parameters, 13), (flops, 13), (longer, 13), (batches, 26), (in_days, 26)):
        assert len(table.rows) == number
        assert {row[0] for row in table.rows} == {*gpt2_models(), "the base run's model"}
    assert {row[2] for row in batches.rows} == {1024, 16_384, 256, 4096}


@pytest.mark.parametrize("name", [*gpt2_models(), "tinystories"])
def test_the_parts_of_the_memory_sum_to_the_courses_formula(name):
    model = (gpt2_models() | {"tinystories": tinystories().model})[name]
    for other in conventions(model):
        assert 4 * sum(each.values for each in activations(other)) == course_memory(other).per_text


def test_the_parts_of_adamw_sum_to_its_operations():
    assert sum(number for _, number in adamw_accounting.ADAMW.values()) == ADAMW_FLOPS


def test_the_figures_are_those_of_the_write_ups():
    found = blocks(transformer_accounting, results_of(debug()), Table)[-1].rows
    for name, _, here, _, reported in found:
        digits = [float(word.replace(",", "")) for word in reported.replace(", ", " ").replace(" %", "").split()]
        own = [float(word.replace(",", "")) for word in here.replace(", ", " ").replace(" %", "").split()]
        assert own == pytest.approx(digits, rel=4e-3), name
    batch, seconds = blocks(adamw_accounting, results_of(debug()), Table)[-1].rows
    assert batch[2] == batch[4] == "3"
    assert float(seconds[2]) == pytest.approx(float(seconds[4].split()[0]), rel=1e-3)


def test_the_figures_are_those_of_the_handouts():
    xl = gpt2_models()[XL]
    assert 24 * days(xl, 495e12) == pytest.approx(4850, abs=1)
    two = replace(xl, ffn="silu", d_ff=6400)
    assert days(two, 19.5e12) == pytest.approx(5115, abs=1)
    assert days(replace(two, ffn="swiglu"), 19.5e12) == pytest.approx(6584, abs=1)
    text = "\n".join(block.text for module in MODULES[:2] for block in blocks(module, results_of(debug()), Text))
    for figure in ("57.53 %", "37.98 times", "61.73 %", "16.37 GB x batch + 26.25 GB", "4,850 hours", "5,130 days"):
        assert figure in text
    memory = blocks(adamw_accounting, results_of(debug()), Table)[1]
    by_case = {(row[0], row[1], row[2]): row[4] for row in memory.rows}
    own = [by_case[XL, convention_of(case), 1024] for case in conventions(xl)]
    assert own == [3, 2, 3]


def test_the_answers_name_what_grows_and_what_falls():
    text = "\n".join(block.text for block in blocks(transformer_accounting, results_of(debug()), Text))
    growing, falling = text.partition("These fall: ")[::2]
    assert "feed-forward networks (39.76 % to 57.53 %)" in growing
    assert "head (27.10 % to 4.68 %)" in falling
    assert "scores of attention (13.25 % to 9.16 %)" in falling


def test_conventions_are_named_by_their_widths():
    model = ModelConfig(d_model=512, d_ff=1344)
    assert convention_of(model) == "3 matrices, 8/3 d (handout 2026)"
    assert convention_of(replace(model, d_ff=2048)) == "3 matrices, 4 d (handout 2025)"
    assert convention_of(replace(model, d_ff=2048, ffn="silu")) == "2 matrices, 4 d (write-up 1)"
    assert convention_of(replace(model, d_ff=100)) == "3 matrices"
    assert convention_of(replace(model, d_ff=100, ffn="relu2")) == "2 matrices"


def test_the_matrix_multiplies_sum_to_the_forward_pass():
    model = gpt2_models()[XL]
    table = transformer_accounting.multiplies_table(XL, model)
    *products, total = table.rows
    flops = sum(2 * times * m * k * n for _, _, times, m, k, n, _, _ in products)
    assert flops == forward_flops(model).total
    assert total[-2:] == (power(flops), "100.00 %")


def test_the_tree_of_xl_is_write_up_2s():
    tree = blocks(parameter_tree, results_of(debug()), Code)[0].text
    assert tree.startswith("TransformerLM (2,127,057,600 params)")
    assert "layers: 48 x TransformerBlock" in tree


def test_tables_are_as_wide_as_their_headers():
    for module in MODULES:
        for table in blocks(module, results_of(debug()), Table):
            assert {len(row) for row in table.rows} == {len(table.header)}


def test_the_questions_are_rows_of_the_course():
    found = [(m.QUESTION.row, m.QUESTION.name, m.QUESTION.points, m.QUESTION.kind) for m in MODULES]
    assert found == [
        (18, "transformer_accounting", 5, "calculated"),
        (23, "adamwAccounting", 2, "calculated"),
        (42, "parameter_tree", 0, "calculated"),
    ]
    assert all(list(m.QUESTION.work(results_of(debug()))) == [] for m in MODULES)


@pytest.mark.parametrize(
    ("number", "text"),
    [(6_561_811_200, "6.562 GB"), (16_000, "16 kB"), (999, "999 bytes"), (0, "0 bytes"), (2.7e13, "27,000 GB")],
)
def test_sizes_are_in_the_largest_unit(number, text):
    assert size(number) == text


@pytest.mark.parametrize(
    ("number", "text"), [(1234.5, "1,234 s"), (99.96, "100 s"), (7.704, "7.7 s"), (0.03662, "0.0366 s"), (0, "0 s")]
)
def test_seconds_have_no_exponent(number, text):
    assert seconds(number) == text


def test_large_numbers_have_four_digits():
    assert [power(3_516_769_894_400), power(1), power(0)] == ["3.517e12", "1.000e0", "0.000e0"]
