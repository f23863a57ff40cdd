"""What was measured, and the table of it in Markdown and JSON."""

from __future__ import annotations

import json
import os
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bpe_lm.model.flops import training_flops_per_token

from gpu_rows.variants import TEXTS, TINYSTORIES_TOKENS, TITLES, VALIDATIONS, Variant, shape_of

NOT_MEASURED = "not measured"
PARITY = 2e-2
"""The largest difference of the first losses of the same weights in two programs, in bfloat16."""

COLUMNS = ("variant", "ms", "tokens/s", "MFU", "ratio", "peak GB", "compile s, cold / warm", "first losses")


@dataclass
class Result:
    """The measurements of a variant. `rounds` has the seconds of a step (or a text) by the number of the round."""

    variant: Variant
    status: str = NOT_MEASURED
    rounds: dict[int, float] = field(default_factory=dict)
    tokens: int = 0
    cold: float | None = None
    warm: float | None = None
    peak: int | None = None
    losses: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    validations: list[float] = field(default_factory=list)
    kernels: dict[str, float | str] = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """The median over the rounds."""
        return statistics.median(self.rounds.values()) if self.rounds else None


class Results:
    """The measurements of all variants, in the order of the table."""

    def __init__(self, variants: list[Variant], about: dict[str, Any], *, is_quick: bool):
        self.about, self.is_quick = about, is_quick
        self._by_key = {variant.key: Result(variant) for variant in variants}

    def __getitem__(self, variant: Variant) -> Result:
        return self._by_key[variant.key]

    def _tokens(self, result: Result) -> int:
        return result.tokens or shape_of(result.variant.group, is_quick=self.is_quick).tokens

    def ratio(self, result: Result) -> float | None:
        """Return how many times as fast a variant is as the one it is compared with: the median of common rounds."""
        other = self._by_key.get(f"{result.variant.group}: {result.variant.against}")
        if other is None:
            return None
        common = result.rounds.keys() & other.rounds.keys()
        speeds = [other.rounds[number] / result.rounds[number] for number in common]
        return statistics.median(speeds) if speeds else None

    def mfu(self, result: Result) -> float | None:
        """Return the model's FLOPs a second, as a fraction of the card's peak in bfloat16."""
        peak, seconds, group = self.about.get("peak_flops"), result.seconds, result.variant.group
        if not peak or seconds is None or group not in ("gpt2", "tinystories", "large"):
            return None
        flops = training_flops_per_token(shape_of(group, is_quick=self.is_quick).model)
        return flops * self._tokens(result) / seconds / peak

    def row(self, variant: Variant) -> str:
        """Return the line of a variant in Markdown."""
        result = self[variant]
        if result.kernels:
            times = ", ".join(f"{name} {_milliseconds(value)}" for name, value in result.kernels.items())
            return f"| {variant.name}: {times} |" + " |" * (len(COLUMNS) - 1)
        if result.seconds is None:
            return f"| {variant.name} | {result.status} |" + " |" * (len(COLUMNS) - 2)
        name = variant.name + ("" if result.status == "measured" else f" ({result.status})")
        compiling = f"{_number(result.cold, '.0f')} / {_number(result.warm, '.0f')}"
        cells = (
            name,
            f"{1e3 * result.seconds:,.2f}",
            f"{self._tokens(result) / result.seconds:,.0f}",
            _number(self.mfu(result), ".1%"),
            _ratio_in_words(self.ratio(result), variant.against),
            _number(None if result.peak is None else result.peak / 1e9, ".2f"),
            "-" if variant.group in TEXTS else compiling,
            " ".join(f"{loss:.4f}" for loss in result.losses) or "-",
        )
        return f"| {' | '.join(cells)} |"

    def lines(self) -> list[str]:
        """Return the whole table."""
        about = self.about
        lines = [", ".join(f"{name} {value}" for name, value in about.items() if value is not None), ""]
        groups = dict.fromkeys(result.variant.group for result in self._by_key.values())
        for group in groups:
            lines += [f"| {TITLES[group]} | {' | '.join(COLUMNS[1:])} |", "| --- " * len(COLUMNS) + "|"]
            lines += [self.row(r.variant) for r in self._by_key.values() if r.variant.group == group]
            lines.append("")
        return [*lines, *self.sentences()]

    def sentences(self) -> list[str]:
        """Return the course's run, computed from the Trainer's row, and whether programs agree on the loss."""
        return [self._course_run(), self._parity()]

    def _course_run(self) -> str:
        trainer = self._by_key.get("tinystories: the Trainer")
        label = "327.68 M tokens, computed from the Trainer"
        if trainer is None or trainer.seconds is None or self.is_quick:
            return f"{label}: {NOT_MEASURED}"
        seconds = TINYSTORIES_TOKENS / self._tokens(trainer) * trainer.seconds
        first, *rest = trainer.validations or [0.0]
        validating = f"{VALIDATIONS * statistics.median(rest):,.1f} s" if rest else NOT_MEASURED
        return (
            f"{label}: {seconds:,.0f} s, without compiling ({_number(trainer.cold, '.0f')} s cold; the first "
            f"validation took {first:.1f} s) and {VALIDATIONS} validations of 100,000 tokens ({validating}); "
            f"share of the time that waits for data: {statistics.median(trainer.waits or [0.0]):.1%}"
        )

    def _parity(self) -> str:
        ours, theirs = (self._by_key.get(f"tinystories: {name}") for name in ("bare step", "HF Llama"))
        if ours is None or theirs is None or not ours.losses or not theirs.losses:
            return f"first losses of bpe_lm and HF Llama, the same weights: {NOT_MEASURED}"
        difference = max(abs(a - b) for a, b in zip(ours.losses, theirs.losses, strict=True))
        verdict = "the same" if difference <= PARITY else "DIFFERENT"
        return f"first losses of bpe_lm and HF Llama, the same weights: {verdict}, within {difference:.1e}"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        rows = [
            {
                "group": result.variant.group,
                "variant": result.variant.name,
                **self.about,
                "status": result.status,
                "seconds": result.seconds,
                "rounds": list(result.rounds.values()),
                "tokens_per_second": self._tokens(result) / result.seconds if result.seconds else None,
                "mfu": self.mfu(result),
                "against": result.variant.against,
                "ratio": self.ratio(result),
                "peak_bytes": result.peak,
                "compile_cold": result.cold,
                "compile_warm": result.warm,
                "losses": result.losses,
                "data_waits": result.waits,
                "validations": result.validations,
                "kernels": result.kernels,
            }
            for result in self._by_key.values()
        ]
        return {"about": self.about, "rows": rows, "sentences": self.sentences()}

    def write(self, folder: Path) -> None:
        """Write results.md and results.json, each whole."""
        for name, text in (("md", "\n".join(self.lines())), ("json", json.dumps(self.as_dict(), indent=1))):
            path = folder / f"results.{name}"
            partial = path.with_suffix(".partial")
            partial.write_text(text + "\n")
            os.replace(partial, path)


def _number(value: float | None, how: str) -> str:
    return "-" if value is None else f"{value:{how}}"


def _ratio_in_words(ratio: float | None, against: str) -> str:
    return "-" if ratio is None else f"{ratio:.2f} of {against}"


def _milliseconds(value: float | str) -> str:
    return value if isinstance(value, str) else f"{1e3 * value:.3f} ms"
