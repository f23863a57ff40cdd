"""Draw the README's pictures from the figures in benches/record/.

    python benches/pictures.py    rewrite docs/pictures/*.svg

A picture is SVG written by hand: a few boxes, bars and lines need no library, and the same figures give the same file.
Each picture has a white ground of its own, so that it can be read on a dark page.
"""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Sequence
from html import escape
from math import log2
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "benches" / "record"
PICTURES = ROOT / "docs" / "pictures"

INK, FAINT, LINE = "#1f2328", "#59636e", "#d0d7de"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#8c959f"

STAGES = ["text", "tokenizer", "tokens", "model", "text"]
COMMANDS = ["train-tokenizer", "encode", "pretrain", "generate"]
EXAMPLES = ["Once upon a time", "10,000 tokens", "uint16 ids on disk", "a Transformer", "… there lived a"]


def svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """Return a picture with a white ground; `title` is what a screen reader says."""
    style = "font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" style="{style}">',
            f"<title>{escape(title)}</title>",
            f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="#ffffff" stroke="{LINE}"/>',
            *parts,
            "</svg>\n",
        ]
    )


def text(x: float, y: float, words: str, size: int = 13, **attributes: Any) -> str:
    """Return a line of text; attributes are SVG's with _ for -, and dark ink is the default."""
    found = {"fill": INK, "font_size": size, **attributes}
    shown = " ".join(f'{name.replace("_", "-")}="{value}"' for name, value in found.items())
    return f'<text x="{x:g}" y="{y:g}" {shown}>{escape(words)}</text>'


def box(x: float, y: float, width: float, height: float, fill: str, **attributes: Any) -> str:
    """Return a rectangle with round corners."""
    shown = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in attributes.items())
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="{fill}"{shown}/>'


def path(points: Sequence[tuple[float, float]], colour: str, width: float = 1.5) -> str:
    """Return a line through points."""
    steps = " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<path d="M{steps}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'


def pipeline() -> str:
    """Return the picture of the pipeline: each stage a box, each command an arrow."""
    size, gap, top = 114, 116, 20
    parts = []
    for number, (stage, example) in enumerate(zip(STAGES, EXAMPLES, strict=True)):
        x = 20 + number * (size + gap)
        parts.append(box(x, top, size, 58, "#eef4fb", stroke=BLUE))
        parts.append(text(x + size / 2, top + 25, stage, 15, text_anchor="middle", font_weight=600))
        parts.append(text(x + size / 2, top + 44, example, 11, text_anchor="middle", fill=FAINT))
    for number, command in enumerate(COMMANDS):
        start, middle = 20 + size + number * (size + gap), top + 29
        end = start + gap - 4
        parts.append(path([(start + 4, middle), (end - 6, middle)], INK))
        parts.append(f'<path d="M{end - 8},{middle - 4} L{end},{middle} L{end - 8},{middle + 4} Z" fill="{INK}"/>')
        parts.append(text(start + gap / 2, middle - 10, command, 11, text_anchor="middle", font_family="monospace"))
    title = "The pipeline: text, train-tokenizer, tokenizer, encode, tokens, pretrain, model, generate, text"
    return svg(5 * size + 4 * gap + 40, 98, title, parts)


def loss_curve() -> str:
    """Return the picture of the demo's losses against its steps, on a logarithmic axis."""
    comments, rows = read_losses()
    left, right, top, bottom = 52, 496, 58, 252
    most = max(float(row["train_loss"]) for row in rows)
    last = int(rows[-1]["step"])

    def at(step: float, loss: float) -> tuple[float, float]:
        low, high = log2(1), log2(most * 1.1)
        x = left + (right - left) * step / last
        return x, bottom - (bottom - top) * (log2(loss) - low) / (high - low)

    train = [at(int(row["step"]), float(row["train_loss"])) for row in rows]
    valid = [at(int(row["step"]), float(row["validation_loss"])) for row in rows if row["validation_loss"]]
    parts = [text(20, 26, "make demo: the losses of its model", 15, font_weight=600)]
    for loss in (1, 2, 4, 8):
        _, y = at(0, loss)
        parts.append(path([(left, y), (right, y)], LINE, 1))
        parts.append(text(left - 8, y + 4, str(loss), 11, text_anchor="end", fill=FAINT))
    for step in range(0, last + 1, 100):
        parts.append(text(at(step, 1)[0], bottom + 18, str(step), 11, text_anchor="middle", fill=FAINT))
    parts += [path(train, BLUE, 2), *(_dot(x, y) for x, y in valid)]
    parts += [path([(330, 86), (350, 86)], BLUE, 2), text(358, 90, "training", 12)]
    parts += [_dot(340, 106), text(358, 110, "validation", 12)]
    parts.append(text(20, 42, "nats per token, against steps of 32 x 128 tokens", 11, fill=FAINT))
    parts += [text(20, 288 + 14 * number, words, 10, fill=FAINT) for number, words in enumerate(comments[1:])]
    return svg(520, 316, "The losses of make demo fall from 8.3 to 1.4 nats per token in 600 steps", parts)


def _dot(x: float, y: float) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{ORANGE}"/>'


def read_losses() -> tuple[list[str], list[dict[str, str]]]:
    """Return the comments and the rows of the demo's losses."""
    lines = (RECORD / "demo-loss.csv").read_text(encoding="utf-8").splitlines()
    comments = [line.removeprefix("# ") for line in lines if line.startswith("#")]
    return comments, list(csv.DictReader(line for line in lines if not line.startswith("#")))


def speed() -> str:
    """Return the bar charts of speed beside other programs."""
    charts = tomllib.loads((RECORD / "figures.toml").read_text(encoding="utf-8"))["chart"]
    parts, y = [], 28.0
    for chart in charts:
        parts.append(text(20, y, chart["title"], 15, font_weight=600))
        parts.append(text(20, y + 17, chart["detail"], 11, fill=FAINT))
        y += 28
        most = max(_number(bar["value"]) for bar in chart["bars"])
        for bar in chart["bars"]:
            width = max(230 * _number(bar["value"]) / most, 2)
            is_ours = bar["name"].startswith("bpe_lm")
            parts.append(text(138, y + 13, bar["name"], 12, text_anchor="end", font_weight=600 if is_ours else 400))
            parts.append(box(146, y, width, 17, BLUE if is_ours else GREY))
            parts.append(text(152 + width, y + 13, f"{bar['value']} {chart['unit']}", 12))
            y += 22
        parts.append(text(20, y + 11, f"{chart['machine']}; commit {chart['commit']}", 10, fill=FAINT))
        y += 44
    return svg(520, round(y - 20), "Speed beside other programs; the figures are in docs/benchmarks.md", parts)


def _number(value: str) -> float:
    return float(value.replace(",", ""))


def drawn() -> dict[Path, str]:
    """Return each picture's file and content."""
    return {
        PICTURES / "pipeline.svg": pipeline(),
        PICTURES / "demo-loss.svg": loss_curve(),
        PICTURES / "speed.svg": speed(),
    }


if __name__ == "__main__":
    PICTURES.mkdir(parents=True, exist_ok=True)
    for file, content in drawn().items():
        file.write_text(content, encoding="utf-8")
