"""Generation of text by a model, one token at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from bpe_lm.errors import OptionError
from bpe_lm.model.attention import softmax
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer

_ARGMAX_BELOW = 1e-30
"""Temperatures below this count as 0, because dividing float32 logits by them would overflow."""


@torch.no_grad()
def generate_ids(
    model: TransformerLM,
    prompt: list[int],
    max_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int | None = None,
    stop_id: int | None = None,
    num_ids: int | None = None,
    is_cached: bool = True,
) -> Iterator[int]:
    """Yield the ids that follow a prompt, as they are drawn. Drawing `stop_id` ends the text; that id is not yielded.

    When the context is full, its older half is dropped. Without the cache, the model computes the whole context for
    each token; the ids are the same.

    Args:
        model: The model that predicts the next id. It is not changed.
        prompt: At least one id. Only the last `context_length` of them are used.
        max_tokens: The largest number of ids to draw.
        temperature: The divisor of the logits; 0 takes the most likely id.
        top_k: Draw only among this many most likely ids.
        top_p: Draw only among the fewest most likely ids whose probabilities add up to this.
        seed: The same seed gives the same ids; None draws a new seed.
        stop_id: The id that ends a text, usually that of `<|endoftext|>`.
        num_ids: Draw only ids below this number, for a model whose vocabulary is larger than the tokenizer's.
        is_cached: Whether to store keys and values between tokens.

    Raises:
        OptionError: An option makes no sense, or an id of the prompt is not in the vocabulary.
    """
    _check(model, prompt, max_tokens, temperature, top_k, top_p)
    if seed is not None and not 0 <= seed < 2**63:
        raise OptionError(f"seed is {seed}, and must be from 0 to 2^63 - 1")
    device = model.lm_head.weight.device
    generator = torch.Generator(device)
    _ = generator.seed() if seed is None else generator.manual_seed(seed)
    context = model.config.context_length
    window = prompt[-context:]
    caches, new = (model.new_caches() if is_cached else None), window
    for _ in range(max_tokens):
        if len(window) > context:
            window = window[-(context // 2 or 1) :]
            caches, new = (model.new_caches() if is_cached else None), window
        given = torch.tensor([window if caches is None else new], device=device)
        logits = model.lm_head(model.hidden(given, caches=caches)[0, -1])
        token = draw(logits[:num_ids].float(), temperature, top_k, top_p, generator)
        if token == stop_id:
            return
        yield token
        window, new = [*window, token], [token]


def draw(
    logits: Float[Tensor, " vocab_size"],
    temperature: float,
    top_k: int | None = None,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> int:
    """Draw an id with probability softmax(logits / temperature), among those that `top_k` and `top_p` allow."""
    if temperature < _ARGMAX_BELOW:
        return int(logits.argmax())
    scaled = (logits - logits.max()) / temperature
    if top_k is not None and top_k < len(scaled):
        likeliest = scaled.topk(top_k).indices
        scaled = torch.full_like(scaled, -torch.inf).index_copy(0, likeliest, scaled[likeliest])
    probabilities = softmax(scaled, -1)
    if top_p < 1:
        ordered, order = probabilities.sort(descending=True)
        # An id is left out if the more likely ids already add up to top_p.
        is_left_out = ordered.cumsum(0) - ordered >= top_p
        probabilities = probabilities.index_fill(0, order[is_left_out], 0.0)
    return int(torch.multinomial(probabilities, 1, generator=generator))


def generate(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompt: str,
    max_tokens: int = 256,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int | None = None,
    is_cached: bool = True,
) -> Iterator[str]:
    """Yield the text that follows a prompt, piece by piece, until `<|endoftext|>`. A piece has whole characters only.

    An empty prompt stands for `<|endoftext|>`, after which a new text begins. Special tokens in a prompt are encoded as
    special tokens.

    Raises:
        OptionError: As in `generate_ids`.
    """
    stop_id = tokenizer.special_ids.get(END_OF_TEXT)
    ids = tokenizer.encode(prompt) or ([] if stop_id is None else [stop_id])
    decoder = tokenizer.stream_decoder()
    drawn = generate_ids(
        model,
        ids,
        max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop_id=stop_id,
        num_ids=tokenizer.vocab_size,
        is_cached=is_cached,
    )
    for token in drawn:
        if text := decoder.push(token):
            yield text
    if text := decoder.finish():
        yield text


def _check(
    model: TransformerLM, prompt: list[int], max_tokens: int, temperature: float, top_k: int | None, top_p: float
) -> None:
    if not prompt:
        raise OptionError("the prompt has no token to continue; give at least one")
    wrong = [number for number in prompt if not 0 <= number < model.config.vocab_size]
    if wrong:
        raise OptionError(
            f"the prompt has the id {wrong[0]}, and the model knows {model.config.vocab_size:,} tokens; "
            "use the tokenizer that the model was trained with"
        )
    if max_tokens < 0:
        raise OptionError(f"max_tokens is {max_tokens}, and must be 0 or more")
    if not 0 <= temperature < float("inf"):
        raise OptionError(f"temperature is {temperature}, and must be 0 or more")
    if top_k is not None and top_k < 1:
        raise OptionError(f"top_k is {top_k}, and must be at least 1")
    if not 0 < top_p <= 1:
        raise OptionError(f"top_p is {top_p}, and must be above 0 and at most 1")
