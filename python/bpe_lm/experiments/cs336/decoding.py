"""decoding: does generation follow the model's probabilities, temperature and top-p, and end where it should?

Answer (2026-11-27, commit b356817, 2 cores of an Intel Xeon with AVX512-BF16): yes. Greedy ids are those of the model
in float64, and ids that top-p leaves out are never drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from bpe_lm.experiments.blocks import Block, Check, Text
from bpe_lm.experiments.cs336 import oracles
from bpe_lm.experiments.cs336.checks import (
    CONTEXT,
    D_FF,
    D_MODEL,
    IMPLEMENTATIONS,
    NUM_HEADS,
    THETA,
    counted,
    in_one_thread,
    model_weights,
    normal,
    source,
    tensor,
    tensors,
)
from bpe_lm.experiments.cs336.question import Question, guarded
from bpe_lm.experiments.cs336.results import Results

if TYPE_CHECKING:
    from bpe_lm.kernels.implementation import Implementation
    from bpe_lm.model.transformer import TransformerLM

VOCAB_SIZE, NUM_LAYERS = 300, 2
PROMPT = [5, 6, 7, 8]
DRAWS, SIGMAS = 400, 5.0
OPTIONS = ((1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.79), (1.0, 0.81), (0.7, 0.9), (1.0, 0.01))
"""Temperature and top-p of draws. Of the probabilities 0.5, 0.3, ... 0.79 takes two, and 0.81 three."""


def answer(results: Results) -> Iterator[Block]:
    """Compare greedy texts with the oracle's, draws with its probabilities, and the ends of texts."""
    yield Text(
        "`generate_ids` draws each next id from `softmax(logits / temperature)`, among the fewest likeliest ids whose "
        "probabilities sum to `top_p`, until it draws the end of text or has drawn `max_tokens`. Temperature 0 takes "
        "the likeliest. The fast form keeps keys and values of earlier tokens in a cache. The oracle of greedy "
        "decoding is the float64 model, which computes the whole text for each id; that of draws is a sampler in plain "
        "loops:"
    )
    yield source(oracles.draw_probabilities)
    yield from in_one_thread(_greedy())
    yield from in_one_thread(_cold())
    yield from in_one_thread(_draws(*options) for options in OPTIONS)
    yield from in_one_thread(_ends())


def _greedy() -> Iterator[Check]:
    weights, number = _weights(), CONTEXT - len(PROMPT)
    expected = _greedy_ids(weights, number)
    for form in IMPLEMENTATIONS:
        model = _model(weights, form)
        for is_cached in (True, False):
            what = f"{number} greedy ids of the {form} form {'with' if is_cached else 'without'} a cache"
            found = _generated(model, number, temperature=0.0, is_cached=is_cached)
            yield counted(f"{what} that differ from the float64 model's", _differing(found, expected))


def _greedy_ids(weights: oracles.Weights, number: int) -> list[int]:
    ids = list(PROMPT)
    for _ in range(number):
        logits = oracles.transformer_lm(weights, np.array(ids)[None], NUM_LAYERS, NUM_HEADS, THETA)
        ids.append(int(logits[0, -1].argmax()))
    return ids[len(PROMPT) :]


def _cold() -> Iterator[Check]:
    """Near temperature 0, every draw is the likeliest id."""
    import torch

    from bpe_lm.model.generate import draw

    generator = torch.Generator().manual_seed(1)
    rows = normal(2, 20, VOCAB_SIZE)
    for temperature in (1e-4, 1e-40, 0.0):
        drawn = [draw(tensor(row), temperature, generator=generator) for row in rows]
        wrong = _differing(drawn, [int(row.argmax()) for row in rows])
        yield counted(f"{len(rows)} draws at temperature {temperature:g} that are not the likeliest id", wrong)


def _draws(temperature: float, top_p: float) -> Check:
    """Compare the counts of ids, drawn from the probabilities 0.05, 0.5, 0.15 and 0.3, with the oracle's."""
    import torch

    from bpe_lm.model.generate import draw

    logits = np.log(np.array([0.05, 0.5, 0.15, 0.3]))
    generator = torch.Generator().manual_seed(336)
    given = tensor(logits)
    drawn = Counter(draw(given, temperature, top_p=top_p, generator=generator) for _ in range(DRAWS))
    expected = oracles.draw_probabilities(logits, temperature, top_p)
    worst = max(_deviation(drawn[token], p) for token, p in enumerate(expected))
    what = f"{DRAWS:,} draws at temperature {temperature:g}, top-p {top_p:g}: counts, in standard deviations"
    return Check(what, worst, SIGMAS, "the probabilities of the plain sampler")


def _deviation(count: int, p: float) -> float:
    """Return how far a count is from its mean. An id of probability 0 never comes, and one of probability 1 always."""
    if 1e-12 < p < 1 - 1e-12:
        return float(abs(count - DRAWS * p) / sqrt(DRAWS * p * (1 - p)))
    return 0.0 if count == round(DRAWS * p) else inf


def _ends() -> Iterator[Check]:
    """A text ends before the end of text, and after `max_tokens`; the same seed gives the same text."""
    model = _model(_weights(), "fast")
    greedy = _generated(model, 40, temperature=0.0)
    yield counted("ids more or fewer than max_tokens, 40, which is beyond the context", abs(len(greedy) - 40))
    stop = greedy[3]
    expected = greedy[: greedy.index(stop)]
    found = _generated(model, 40, temperature=0.0, stop_id=stop)
    yield counted("ids that differ from those before the end of text", _differing(found, expected))
    once, again, other = (_generated(model, 20, seed=seed) for seed in (7, 7, 8))
    yield counted("ids that differ with the same seed", _differing(once, again))
    yield counted("other seeds that give the same text", int(once == other))


def _weights() -> oracles.Weights:
    """Draw weights of a model that is sure enough of its choices for rounding not to change them."""
    weights = model_weights(VOCAB_SIZE, NUM_LAYERS)
    return weights | {"lm_head.weight": 20 * weights["lm_head.weight"]}


def _model(weights: oracles.Weights, form: Implementation) -> TransformerLM:
    from bpe_lm.model.transformer import TransformerLM

    model = TransformerLM(VOCAB_SIZE, CONTEXT, D_MODEL, NUM_LAYERS, NUM_HEADS, D_FF, THETA, implementation=form)
    model.load_state_dict(tensors(weights))
    return model


def _generated(model: TransformerLM, number: int, **options: Any) -> list[int]:
    from bpe_lm.model.generate import generate_ids

    return list(generate_ids(model, PROMPT, number, **options))


def _differing(found: list[int], expected: list[int]) -> int:
    return sum(one != other for one, other in zip_longest(found, expected))


QUESTION = Question(
    row=29,
    name="decoding",
    points=3,
    kind="check",
    asked="Write the generation of text with temperature and top-p, to the end of text or a given length.",
    answer=guarded(answer),
)
