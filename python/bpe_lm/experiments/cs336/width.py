"""How do activations and the best learning rate depend on the width, and what of the best rate carries over?

The course does not ask this; it is our addition. A coordinate check measures the size of activations by width over the
first steps, and a small sweep the final loss by width and learning rate.

Answer: not yet known on the course's text. On 5.7 MB of it (2026-11-27, commit b356817, 2 cores of an Intel Xeon with
AVX512-BF16): activations and logits grow with the width after four updates, and the best rate falls as width^-1.2, so
it does not carry over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, isfinite, log
from pathlib import Path
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import Line, final_losses
from bpe_lm.experiments.coordinates_chart import coordinate_chart
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.scales import changes_of
from bpe_lm.experiments.cs336.setting import Scale, Setting
from bpe_lm.experiments.cs336.shown import outcome, seeds_in_words
from bpe_lm.experiments.cs336.wording import digits
from bpe_lm.experiments.edge import name_of
from bpe_lm.experiments.runs import RunRecord
from bpe_lm.experiments.work import Job, Training, Work, measurement
from bpe_lm.training.config import TrainConfig, override

HEAD = 32
"""The width of a head, which is the same in every model. So the number of heads grows with the width."""


@dataclass(frozen=True)
class Size:
    """The widths and the constant learning rate of the coordinate check, and the widths, rates and shape of the runs.

    `most_layers`, `most_context` and `most_rows` are limits on the model and the batches of sweeps.
    """

    checked: tuple[int, ...]
    checked_rate: float
    widths: tuple[int, ...]
    rates: tuple[float, ...]
    steps: int
    most_layers: int
    most_context: int
    most_rows: int


SIZES: Mapping[Scale, Size] = {
    "smoke": Size((32, 64, 128), 1e-2, (32, 64), (1e-2, 1e-1), 20, 2, 32, 8),
    "cpu": Size((64, 128, 256, 512), 2e-3, (64, 128, 256), (1e-3, 3e-3, 1e-2, 3e-2, 1e-1), 100, 2, 128, 8),
    "gpu": Size(
        (64, 128, 256, 512, 1024), 1e-3, (128, 256, 512, 1024), (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), 500, 4, 256, 128
    ),
}
"""At the scale cpu, all runs together take some minutes on two cores. The rate of the coordinate check is lower where
models are wider, because their activations soon stop growing at a high rate."""

CHECKED_STEPS = 5
"""The steps of the coordinate check: the forward passes before the first update, and after each of four."""

CHECKED_ROWS = 8
"""The texts of a batch of the coordinate check: means over so many tokens have little noise."""

FLAT = 0.1
"""An exponent within this of 0 counts as no dependence on the width: a factor of 1.07 when the width doubles."""

RATE = "schedule.max_learning_rate"


def at_width(config: TrainConfig, width: int) -> TrainConfig:
    """Return a config whose model has another width: heads of the same width, and d_ff = 8/3 of the width."""
    model = {"d_model": width, "num_heads": width // HEAD, "d_ff": 16 * round(width / 6)}
    return override(config, {"model": model})


def short_config(setting: Setting) -> TrainConfig:
    """Return the config of the runs, except for width and rate: that of sweeps, made smaller and shorter."""
    size, small = SIZES[setting.scale], setting.small
    return override(
        small,
        {
            "model": {
                "num_layers": min(small.model.num_layers, size.most_layers),
                "context_length": min(small.model.context_length, size.most_context),
            },
            "batch_size": min(small.batch_size, size.most_rows),
            "micro_batch_size": 0,
            "steps": size.steps,
            "schedule": {"shape": "cosine", "warmup": 0.1, "decay": 0},
            "validate_every": size.steps,
            "checkpoint_every": size.steps,
            # A run at a low rate stays near the loss of guessing for long.
            "max_loss": 0.0,
            "compile": False,
        },
    )


def run_at(results: Results, width: int, rate: float) -> Training:
    """Return the run of a width and a learning rate."""
    config = override(at_width(short_config(results.setting), width), {"schedule": {"max_learning_rate": rate}})
    return Training(f"width/{width}-{name_of(rate)}", config, changes_of(config, results.setting) | {RATE: rate})


def runs(results: Results) -> dict[int, list[Training]]:
    """Return the runs of each width."""
    size = SIZES[results.setting.scale]
    return {width: [run_at(results, width, rate) for rate in size.rates] for width in size.widths}


def check_job(results: Results) -> Job:
    """Return the job of the coordinate check."""
    setting = results.setting
    schedule = {"shape": "constant", "warmup": 0, "max_learning_rate": SIZES[setting.scale].checked_rate}
    short = short_config(setting)
    rows = min(short.batch_size, CHECKED_ROWS)
    config = override(short, {"schedule": schedule, "data": {"valid": ""}, "batch_size": rows})
    configs = [at_width(config, width).as_dict() for width in SIZES[setting.scale].checked]
    return measurement(
        "coordinates",
        "bpe_lm.experiments.coordinates",
        {"configs": configs, "steps": CHECKED_STEPS},
        inputs=(Path(config.data.train),),
        sources=("model", "kernels", "training"),
    )


def _work(results: Results) -> Iterable[Work]:
    if results.described("tinystories", "train") is None:
        return
    yield check_job(results)
    for trainings in runs(results).values():
        yield from trainings


def loss_of(record: RunRecord | None) -> float | None:
    """Return the final loss of a run. A run that ends worse than guessing counts as diverged, and has None."""
    if record is None or record.loss is None or record.loss > log(record.config.model.vocab_size):
        return None
    return record.loss


def exponent(widths: Sequence[float], values: Sequence[float | None]) -> float | None:
    """Fit value = c * width^a by least squares on log scales. Returns a, or None with fewer than two values above 0."""
    points = [(log(w), log(v)) for w, v in zip(widths, values, strict=True) if v is not None and isfinite(v) and v > 0]
    if len(points) < 2:
        return None
    x_mean, y_mean = sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)
    square = sum((x - x_mean) ** 2 for x, _ in points)
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / square if square else None


def best_rate(losses: Mapping[float, float | None]) -> float | None:
    """Return the rate of the least loss, refined by the parabola through it and its neighbours on a log scale.

    At an end of the rates that were tried, or beside a run that diverged, it is the rate itself.
    """
    rates = sorted(losses)
    known = {rate: loss for rate, loss in losses.items() if loss is not None}
    if not known:
        return None
    best = min(known, key=lambda rate: known[rate])
    place = rates.index(best)
    around = rates[max(place - 1, 0) : place + 2]
    if len(around) < 3 or any(rate not in known for rate in around):
        return best
    (x0, y0), (x1, y1), (x2, y2) = [(log(rate), known[rate]) for rate in around]
    left, right = (y0 - y1) * (x2 - x1), (y2 - y1) * (x1 - x0)
    # Both differences are at least 0, because y1 is the least; if both are 0, the loss is flat.
    if left + right == 0:
        return best
    return exp(x1 + (left * (x2 - x1) - right * (x1 - x0)) / (2 * (left + right)))


# The answer


def _answer(results: Results) -> Iterable[Block]:
    config, size = short_config(results.setting), SIZES[results.setting.scale]
    yield Text(
        f"This question is ours, and not the course's. The models have {config.model.num_layers} layers, heads of "
        f"{HEAD}, d_ff = 8/3 of the width, a vocabulary of {config.model.vocab_size:,} and a context of "
        f"{config.model.context_length}; a batch has {config.batch_size} texts. Initial weights and AdamW are the "
        "course's, which is called the standard parametrization."
    )
    yield from _check_blocks(results, size)
    yield from _rate_blocks(results, size)


def _check_blocks(results: Results, size: Size) -> Iterable[Block]:
    found = results.measured(check_job(results))
    if found is None:
        yield Missing("the coordinate check")
        return
    by_kind: dict[str, list[list[float | None]]] = {}
    for sizes in found["sizes"]:
        for kind, values in sizes.items():
            by_kind.setdefault(kind, []).append(values)
    title = "Size of activations by width over the first steps"
    yield Picture(
        "coordinates",
        lambda: coordinate_chart(by_kind, size.checked, title),
        f"The coordinate check: at a constant learning rate of {name_of(size.checked_rate)}, with {CHECKED_ROWS} texts "
        f"in a batch, before the first update (step 0) and after {CHECKED_STEPS - 1}.",
    )
    rows = [_check_row(kind, values, size.checked) for kind, values in by_kind.items()]
    narrow, wide = size.checked[0], size.checked[-1]
    last = CHECKED_STEPS - 1
    header = ("activations", f"step 0: width {narrow}", f"width {wide}", "exponent")
    yield Table(
        (*header, f"step {last}: width {narrow}", f"width {wide}", "exponent"),
        rows,
        "The root mean square of activations, and the exponent a of width^a that fits it best over all widths.",
    )
    yield Text(_check_in_words(rows, last))


def _check_row(kind: str, by_width: Sequence[Sequence[float | None]], widths: Sequence[int]) -> tuple[Any, ...]:
    cells: list[Any] = [kind]
    for step in (0, CHECKED_STEPS - 1):
        values = [values[step] for values in by_width]
        fitted = exponent(widths, values)
        cells += [values[0], values[-1], None if fitted is None else f"{fitted:.2f}"]
    return tuple(cells)


def _check_in_words(rows: Sequence[tuple[Any, ...]], last: int) -> str:
    exponents = {row[0]: row[-1] for row in rows if row[-1] is not None}
    growing = [f"{kind} (width^{fitted})" for kind, fitted in exponents.items() if float(fitted) > FLAT]
    falling = [f"{kind} (width^{fitted})" for kind, fitted in exponents.items() if float(fitted) < -FLAT]
    said = [
        f"After {last} updates, these grow with the width: {', '.join(growing)}." if growing else "",
        f"After {last} updates, these fall with the width: {', '.join(falling)}." if falling else "",
        "" if growing or falling else f"After {last} updates, no kind of activation depends on the width.",
        f"Exponents within {FLAT:g} of 0 count as no dependence.",
    ]
    return " ".join(part for part in said if part)


def _rate_blocks(results: Results, size: Size) -> Iterable[Block]:
    found = {
        width: {t.config.schedule.max_learning_rate: results.finished(t) for t in trainings}
        for width, trainings in runs(results).items()
    }
    header = ("learning rate", *(f"width {width}" for width in size.widths))
    rows = [(name_of(rate), *(_cell(found[width][rate]) for width in size.widths)) for rate in size.rates]
    yield Table(header, rows, f"The validation loss in nats per token after {size.steps} steps.")
    done = {w: {rate: loss_of(r) for rate, r in by_rate.items() if r is not None} for w, by_rate in found.items()}
    lines = [Line(f"width {width}", list(losses), list(losses.values())) for width, losses in done.items() if losses]
    if lines:
        title = "Final loss by learning rate and width"
        yield Picture("width", lambda: final_losses(lines, title=title), "Crosses are worse than guessing.")
    missing = sum(record is None for by_rate in found.values() for record in by_rate.values())
    if missing:
        yield Missing(f"{missing} of the {len(size.widths) * len(size.rates)} runs by width and learning rate")
    else:
        yield from _transfer(done)
    yield from seeds_in_words(record for by_rate in found.values() for record in by_rate.values() if record is not None)


def _cell(record: RunRecord | None) -> float | str | None:
    if record is None:
        return None
    loss = loss_of(record)
    if loss is not None:
        return loss
    return outcome(record) if record.loss is None else f"{record.loss:.3f}, worse than guessing"


def _transfer(losses: Mapping[int, Mapping[float, float | None]]) -> Iterable[Block]:
    """Yield the best rate of each width, and the loss there at the best rate of the narrowest model."""
    widths = list(losses)
    best = {width: _least(losses[width]) for width in widths}
    narrow = best[widths[0]]
    rows = []
    for width in widths:
        rate, carried = best[width], None if narrow is None else losses[width][narrow]
        least = None if rate is None else losses[width][rate]
        more = None if carried is None or least is None else carried - least
        refined = best_rate(losses[width])
        shown = [name_of(rate) if rate is not None else "all diverged", f"{refined:.2g}" if refined else "none"]
        rows.append((width, *shown, _or(least), _or(carried), _or(more)))
    yield Table(
        (
            "width",
            "best rate",
            "by a parabola",
            "loss there",
            f"loss at the best rate of width {widths[0]}",
            "difference",
        ),
        rows,
        "What of the best rate carries over from the narrowest model; losses in nats per token.",
    )
    yield Text(_transfer_in_words(losses, best))


def _or(loss: float | None) -> float | str:
    return "diverged" if loss is None else loss


def _least(losses: Mapping[float, float | None]) -> float | None:
    known = {rate: loss for rate, loss in losses.items() if loss is not None}
    return min(known, key=lambda rate: known[rate]) if known else None


def _transfer_in_words(losses: Mapping[int, Mapping[float, float | None]], best: Mapping[int, float | None]) -> str:
    widths = list(losses)
    narrow, wide = best[widths[0]], best[widths[-1]]
    if narrow is None or wide is None:
        return "Every rate diverges at one of the ends of the widths, so nothing can be said of the best rate."
    at_end = any(rate in (min(losses[width]), max(losses[width])) for width, rate in best.items())
    can_fit = len(widths) > 2 and not at_end
    slope = exponent(widths, [best_rate(losses[width]) for width in widths]) if can_fit else None
    same = (
        "the same as"
        if narrow == wide
        else f"a factor of {digits(max(narrow / wide, wide / narrow), 2)} " + ("below" if wide < narrow else "above")
    )
    carried, least = losses[widths[-1]][narrow], losses[widths[-1]][wide]
    assert least is not None
    cost = "diverges" if carried is None else f"costs {carried - least:.3f} nats"
    carries = (
        f" To train width {widths[-1]} at the best rate of width {widths[0]} {cost}."
        if narrow != wide
        else " So on this grid it carries over."
    )
    hint = " A best rate is at an end of the rates that were tried, and may lie beyond it." if at_end else ""
    fit = "" if slope is None else f" Over all widths the best rate goes as width^{slope:.2f}."
    return (
        f"On this grid, the best rate of width {widths[-1]} is {same} that of width {widths[0]}.{fit}{carries} Each "
        f"run has one seed, so small differences may be chance.{hint}"
    )


QUESTION = Question(
    row=45,
    name="width",
    points=0,
    kind="measured",
    asked="An addition of ours: how does the size of activations depend on the width of the model over the first "
    "steps, and what of the best learning rate of a narrow model carries over to a wide one?",
    answer=_answer,
    work=_work,
)
