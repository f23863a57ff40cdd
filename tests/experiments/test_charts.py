"""Charts of reports: what is drawn where, whatever the data are, and that no label hides another."""

import itertools
import math
from itertools import pairwise

import pytest
from bpe_lm.experiments import charts
from bpe_lm.experiments.charts import Line
from bpe_lm.experiments.figures import Losses
from bpe_lm.experiments.labels import LONGEST, readable, shortened, spread
from bpe_lm.experiments.report import to_png
from bpe_lm.picture import COLOURS
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.text import Text

LONG = "schedule.max_learning_rate=0.0030000001,model.norm=post,batch_size=128,seed=1337"
NAN = float("nan")


def losses(
    name: str, end: float = 2.0, *, count: int = 60, diverged_at: int | None = None, valid: bool = True
) -> Losses:
    train = []
    for number in range(1, count + 1):
        loss = end + (9.2 - end) * math.exp(-6 * number / count) + 0.05 * (-1) ** number
        if diverged_at is not None and 10 * number > diverged_at:
            loss = 90.0
        train.append({"step": 10 * number, "tokens": 80_000 * number, "seconds": 20.0 * number, "loss": loss})
    return Losses(name, train, train[9::10] if valid else [], 11.5, diverged_at)


SWEEP = Line("run", [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 2e-2], [2.3, 1.7, 1.33, 1.36, None, NAN])
FAMILY = [
    Line(f"width {width}", [1e-4, 1e-3, 1e-2], [3 - width / 500, 2.2 - width / 900, None]) for width in (32, 64, 128)
]

CHARTS = {
    "curves": lambda: charts.loss_curves([losses("base"), losses("no norm", diverged_at=200), losses("NoPE", 2.1)]),
    "curves of one": lambda: charts.loss_curves([losses("$x_1$", valid=False)], "Base"),
    "curves of twelve": lambda: charts.loss_curves([losses(f"{LONG}{i}", 2 + i / 90) for i in range(12)], LONG * 3),
    "overlay": lambda: charts.loss_overlay([losses("base"), losses("post", 2.02), losses("short", count=30)], "step"),
    "overlay of fifty": lambda: charts.loss_overlay(
        [losses(f"run {i}", 2 + i / 900, count=10, valid=False) for i in range(50)], "seconds"
    ),
    "overlay of diverged": lambda: charts.loss_overlay([losses("a", diverged_at=20), losses("b", diverged_at=90)]),
    "overlay of none": lambda: charts.loss_overlay([]),
    "sweep": lambda: charts.final_losses([SWEEP], title="Learning rate"),
    "family": lambda: charts.final_losses(FAMILY),
    "one run": lambda: charts.final_losses([Line("x", [1e-3], [1.4])]),
    "all diverged": lambda: charts.final_losses([Line("x", [1e-2, 1e-1], [None, NAN])]),
    "nothing": lambda: charts.final_losses([]),
    "zero": lambda: charts.final_losses([Line("x", [0.0, 0.1], [1.5, 1.4])], "weight decay", log_x=False),
    "tokens": lambda: charts.loss_by_tokens([Line("a", [5e6, 4e7], [3, 2]), Line("b", [5e6, 1e7], [6, None])], "T"),
    "repetition": lambda: charts.repetition([Line(f"top-p {p}", [0, 0.6, 1], [0.9, p / 2, 0.1]) for p in (0.5, 0.9)]),
    "wide range": lambda: charts.line_chart(
        [Line(f"1e{k}", range(10), [10.0 ** (k * i - 3 * i) for i in range(10)]) for k in (1, 3, 6)],
        "iteration",
        "loss",
        log_y=True,
    ),
    "matrix": lambda: charts.compression_matrix({"TS": {"TS": 4.09, "OWT": 3.34}, LONG: {"TS": 3.9, LONG: None}}),
    "matrix of nothing": lambda: charts.compression_matrix({}),
    "lengths": lambda: charts.token_lengths({"TS": {1: 256, 5: 900, 9: 3}, "$_$": {1: 256, 6: 3000, 64: 1}}, "L"),
    "lengths of nothing": lambda: charts.token_lengths({"empty": {}}),
    "bars": lambda: charts.bars({LONG: 310.2, "b": None}, "MB/s", "Encoding", {"write-up 2": 3.51}),
    "bars of nothing": lambda: charts.bars({}, "MB/s"),
    "batches": lambda: charts.batch_sizes([1, 16, 64, 256], [3.1, 1.9, 1.85, None], [900, 3300, 3600, None]),
    "batches of nothing": lambda: charts.batch_sizes([4], [None], [None]),
}


@pytest.mark.parametrize("name", CHARTS)
def test_each_chart_is_a_small_picture_in_which_no_text_hides_another(name):
    figure = CHARTS[name]()
    assert len(to_png(figure)) < 60_000
    texts = [text for axes in figure.axes for text in axes.texts if text.get_text()]
    boxes = [Text.get_window_extent(text) for text in texts]  # An annotation's own has its line in it.
    for (one, a), (other, b) in itertools.combinations(zip(texts, boxes, strict=True), 2):
        overlap = min(a.y1, b.y1) - max(a.y0, b.y0)
        is_beside = min(a.x1, b.x1) <= max(a.x0, b.x0)
        assert is_beside or overlap < 0.25 * min(a.height, b.height), (one.get_text(), other.get_text())
    for text, box in zip(texts, boxes, strict=True):
        assert box.x0 >= -1, text.get_text()
        assert box.x1 <= figure.bbox.x1 + 1, text.get_text()


def marked(axes, marker: str) -> list[float]:
    return [float(x) for line in axes.lines if line.get_marker() == marker for x in line.get_xdata()]


def test_a_run_that_diverged_is_a_cross_above_the_losses_and_the_best_has_a_ring():
    figure = charts.final_losses([SWEEP])
    axes = figure.axes[0]
    assert marked(axes, "X") == [1e-2, 2e-2]
    crosses = [float(y) for line in axes.lines if line.get_marker() == "X" for y in line.get_ydata()]
    assert min(crosses) > 2.3
    rings = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    assert [(list(ring.get_xdata()), list(ring.get_ydata())) for ring in rings] == [([1e-3], [1.33])]
    assert "diverged" in [label.get_text() for label in axes.get_yticklabels()]
    assert "1.330 at 1e-3" in [text.get_text() for text in axes.texts]
    assert [label.get_text() for label in axes.get_xticklabels()][:3] == ["1e-4", "3e-4", "1e-3"]


def test_without_divergence_nothing_says_so():
    axes = charts.final_losses([Line("x", [1e-4, 1e-3], [2.0, 1.5])]).axes[0]
    assert marked(axes, "X") == []
    assert "diverged" not in [label.get_text() for label in axes.get_yticklabels()]


def test_the_crosses_of_two_lines_at_one_place_are_both_seen():
    axes = charts.final_losses(FAMILY).axes[0]
    heights = [float(y) for line in axes.lines if line.get_marker() == "X" for y in line.get_ydata()]
    assert len(set(heights)) == len(FAMILY)


def test_a_line_of_runs_that_all_diverged_is_named():
    axes = charts.final_losses([Line("good", [1, 2], [3.0, 2.0]), Line("bad", [1, 2], [None, None])]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["good", "bad"]


def test_standard_errors_are_drawn_inside_the_axes():
    axes = charts.final_losses([Line("x", [1, 2], [3.0, 2.0])], errors={1: 0.5, 2: 0.25}).axes[0]
    (lines,) = (c for c in axes.collections if hasattr(c, "get_segments"))
    assert [[round(float(y), 6) for _, y in segment] for segment in lines.get_segments()] == [[2.5, 3.5], [1.75, 2.25]]
    bottom, top = axes.get_ylim()
    assert bottom < 1.75
    assert top > 3.5


def test_losses_end_where_a_run_diverged():
    figure = charts.loss_overlay([losses("base"), losses("bad", diverged_at=200)], "step")
    axes = figure.axes[0]
    assert marked(axes, "X") == [200]
    bad = [line for line in axes.lines if line.get_color() == COLOURS[1]]
    assert max(float(x) for line in bad for x in line.get_xdata()) == 200
    assert axes.get_ylim()[1] < 12
    assert [text.get_text() for text in axes.texts] == ["2.068  base", "diverged  bad"]


def test_the_raw_losses_are_behind_the_smoothed_ones_of_few_runs():
    few = charts.loss_overlay([losses("base")], "step").axes[0]
    raw = [line for line in few.lines if line.get_alpha() is not None and line.get_alpha() < 0.3]
    assert list(raw[0].get_ydata()) == [record["loss"] for record in losses("base").train]
    many = charts.loss_overlay([losses(f"{i}") for i in range(8)], "step").axes[0]
    assert not [line for line in many.lines if line.get_alpha() is not None and line.get_alpha() < 0.3]


def test_of_too_many_lines_the_best_are_named_and_the_rest_counted():
    texts = [text.get_text() for text in CHARTS["overlay of fifty"]().axes[0].texts]
    assert len(texts) < 51
    assert f"and {51 - len(texts)} more" in texts
    assert any(text.endswith("run 0") for text in texts)
    assert not any(text.endswith("run 49") for text in texts)


def test_a_matrix_has_the_numbers_and_says_what_was_not_run():
    axes = charts.compression_matrix({"A": {"a": 4.094, "b": 3}, "B": {"b": NAN}}, "Compression").axes[0]
    assert [text.get_text() for text in axes.texts] == ["4.09", "3.00", "not run", "not run"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert axes.figure.get_suptitle() == "Compression (bytes per token)"


def test_the_last_bar_of_token_lengths_has_all_longer_tokens():
    counts = {1: 256, 2: 3000, 3: 2000, 4: 1, 40: 2, 64: 1}
    axes = charts.token_lengths({"a": counts}).axes[0]
    heights = list(axes.patches[0].get_data().values)
    assert heights == [256, 3000, 2000, 1, 3]
    assert axes.get_xticklabels()[-1].get_text() == "5+"
    assert "5,260 tokens, the longest 64 bytes" in axes.get_legend().get_texts()[0].get_text()


def test_bars_have_their_numbers_and_reported_ones_are_hatched():
    axes = charts.bars({"ours": 310.2, "none": None}, "MB/s", reported={"write-up 2": 3.51}).axes[0]
    assert [text.get_text().strip() for text in axes.texts] == ["310", "not run", "3.51"]
    assert [bool(patch.get_hatch()) for patch in axes.patches] == [False, True]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1e-4, "1e-4"),
        (0.0025, "2.5e-3"),
        (0.05, "0.05"),
        (1.5, "1.5"),
        (128, "128"),
        (4096, "4,096"),
        (16384, "16.4k"),
        (3.2768e8, "328M"),
        (2.1e9, "2.1G"),
        (1e18, "1e18"),
        (-3e-4, "-3e-4"),
    ],
)
def test_numbers_are_short(value, text):
    assert charts.number(value) == text


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0.001, 0.2))
def test_labels_are_spread_in_order_and_inside(wanted, distance):
    places = spread(wanted, distance, 0.0, 1.0)
    order = sorted(range(len(wanted)), key=lambda number: wanted[number])
    room = min(distance, 1 / max(len(wanted) - 1, 1))
    for one, other in pairwise(order):
        assert places[other] - places[one] >= room - 1e-9
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


def test_labels_that_have_room_stay_where_they_are():
    assert spread([0.9, 0.1, 0.5], 0.1, 0, 1) == pytest.approx([0.9, 0.1, 0.5])
    assert spread([0.5, 0.5], 0.1, 0, 1) == pytest.approx([0.45, 0.55])
    assert spread([], 0.1, 0, 1) == []


def test_long_names_lose_their_middle():
    assert shortened("short") == "short"
    assert len(shortened(LONG)) == LONGEST
    assert shortened(LONG).startswith("schedule.max")
    assert shortened(LONG).endswith("seed=1337")
    assert shortened("a\nb") == "a b"


@pytest.mark.parametrize("colour", COLOURS)
def test_labels_contrast_with_white(colour):
    parts = [int(readable(colour)[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (light + 0.05) >= 4.5
