"""Texts that a run's model writes, over a grid of temperature and top-p, and how much each repeats itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpe_lm.errors import ConfigError
from bpe_lm.model.generate import generate_ids
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from bpe_lm.training.config import BEST, CHECKPOINTS, CONFIG, TrainConfig
from bpe_lm.training.devices import device_of
from bpe_lm.training.run_checkpoint import load_newest

LENGTH = 4
"""The number of tokens of the sequences whose repetitions are counted."""


def measure(
    run: str,
    tokenizer: str,
    prompt: str,
    temperatures: Sequence[float],
    top_ps: Sequence[float],
    seeds: Sequence[int],
    max_tokens: int = 256,
    device: str = "cpu",
) -> dict[str, Any]:
    """Return a text for each temperature, top-p and seed. At temperature 0 these do not matter, and one is written."""
    model, coder = _load(Path(run), device), Tokenizer.load(tokenizer)
    choices = [(temperature, top_p, seed) for temperature in temperatures for top_p in top_ps for seed in seeds]
    choices = [choice for choice in choices if choice[0] > 0 or choice[1:] == (top_ps[0], seeds[0])]
    return {"texts": [_text(model, coder, prompt, max_tokens, *choice) for choice in choices]}


def _load(run: Path, device: str) -> TransformerLM:
    model = TransformerLM.from_config(TrainConfig.load(run / CONFIG).model)
    if load_newest(run / BEST, model) is None and load_newest(run / CHECKPOINTS, model) is None:
        raise ConfigError(f"{run} has no checkpoint; train it for longer")
    return model.to(device_of(device)).eval()


def _text(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompt: str,
    max_tokens: int,
    temperature: float,
    top_p: float,
    seed: int,
) -> dict[str, Any]:
    stop = tokenizer.special_ids.get(END_OF_TEXT)
    ids = list(
        generate_ids(
            model,
            tokenizer.encode(prompt),
            max_tokens,
            temperature=temperature,
            top_p=top_p,
            seed=seed,
            stop_id=stop,
            num_ids=tokenizer.vocab_size,
        )
    )
    return {
        "temperature": temperature,
        "top_p": top_p,
        "seed": seed,
        "text": prompt + tokenizer.decode(ids),
        "tokens": len(ids),
        "has_ended": len(ids) < max_tokens,
        "repeated": repeated(ids),
    }


def repeated(ids: Sequence[int], length: int = LENGTH) -> float:
    """Return the share of the sequences of `length` ids that occurred before in the same text."""
    grams = [tuple(ids[start : start + length]) for start in range(len(ids) - length + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0
