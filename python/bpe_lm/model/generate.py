"""Generation of text by a model: one text as it is drawn, or several at the same time.

`Decoder` draws the ids. Without the cache, or with `implementation="reference"`, the model itself computes the logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch

from bpe_lm.errors import OptionError
from bpe_lm.kernels.implementation import Dtype
from bpe_lm.model.decoder import Decoder
from bpe_lm.model.sampling import Sampling, checked, draw
from bpe_lm.model.transformer import TransformerBlock, TransformerLM
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer

__all__ = ["draw", "generate", "generate_batch", "generate_ids", "generate_texts"]


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
    dtype: Dtype | None = None,
    is_cached: bool = True,
) -> Iterator[int]:
    """Yield the ids that follow a prompt, as they are drawn. Drawing `stop_id` ends the text; that id is not yielded.

    When the context is full, its older half is dropped. Without the cache, the model computes the whole context for
    each token; the ids are the same. On a GPU, ids come in groups of `decoder.BLOCK`.

    Args:
        model: The model that predicts the next id. It must not change before the last id.
        prompt: At least one id. Only the last `context_length` of them are used.
        max_tokens: The largest number of ids to draw.
        temperature: The divisor of the logits; 0 takes the most likely id.
        top_k: Draw only among this many most likely ids.
        top_p: Draw only among the fewest most likely ids whose probabilities add up to this.
        seed: The same seed gives the same ids; None draws a new seed.
        stop_id: The id that ends a text, usually that of `<|endoftext|>`.
        num_ids: Draw only ids below this number, for a model whose vocabulary is larger than the tokenizer's.
        dtype: The number format of weights and products; None for that of the model's weights. bfloat16 reads half as
            many bytes a token, and its ids are not those of float32.
        is_cached: Whether to store keys and values between tokens.

    Raises:
        OptionError: An option makes no sense, an id of the prompt is not in the vocabulary, or the model's logits are
            not numbers.
    """
    sampling = Sampling(temperature, top_k, top_p, num_ids)
    _check(model, [prompt], max_tokens, seed)
    texts = [_Text.of(0, prompt, model, seed)]
    if is_cached and _is_fast(model):
        drawn = _drawn(_decoder(model, 1, sampling, dtype), texts, max_tokens, stop_id)
        return (token for _, token in drawn)
    if dtype is not None:
        raise OptionError(f"dtype is {dtype}, which needs the cache and the fast implementation; leave it out")
    return _drawn_by_model(model, texts[0], max_tokens, sampling, stop_id, is_cached=is_cached)


def generate_batch(
    model: TransformerLM,
    prompts: Sequence[list[int]],
    max_tokens: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int | None = None,
    stop_id: int | None = None,
    num_ids: int | None = None,
    dtype: Dtype | None = None,
) -> list[list[int]]:
    """Return the ids that follow each of several prompts, all drawn at the same time.

    Each result is that of `generate_ids` for the prompt alone; text i has the seed `seed + i`. The results of the two
    can differ where the rounding of products decides between two ids. Arguments and errors are those of `generate_ids`.
    """
    sampling = Sampling(temperature, top_k, top_p, num_ids)
    _check(model, prompts, max_tokens, seed)
    seeds = [None if seed is None else seed + number for number in range(len(prompts))]
    texts = [_Text.of(number, prompts[number], model, seeds[number]) for number in range(len(prompts))]
    found: list[list[int]] = [[] for _ in prompts]
    if not texts:
        return found
    if not _is_fast(model):
        return [list(_drawn_by_model(model, text, max_tokens, sampling, stop_id, is_cached=True)) for text in texts]
    for number, token in _drawn(_decoder(model, len(texts), sampling, dtype), texts, max_tokens, stop_id):
        found[number].append(token)
    return found


@dataclass
class _Text:
    """A text that grows. `window` is its part that the model sees: at most `context_length` ids and the last one."""

    number: int
    window: list[int]
    context: int
    generator: torch.Generator
    has_ended: bool = False

    @staticmethod
    def of(number: int, prompt: list[int], model: TransformerLM, seed: int | None) -> _Text:
        """Begin a text. Its draws come from a generator of its own, on the CPU for every device."""
        generator = torch.Generator()
        _ = generator.seed() if seed is None else generator.manual_seed(seed)
        context = model.config.context_length
        return _Text(number, prompt[-context:], context, generator)

    def drop_older_half(self) -> bool:
        """Drop the older half of a full context. Returns whether it was full."""
        is_full = len(self.window) > self.context
        if is_full:
            self.window = self.window[-(self.context // 2 or 1) :]
        return is_full

    def take(self, ids: list[int], stop_id: int | None) -> Iterator[int]:
        """Append ids up to `stop_id`, and yield each.

        Raises:
            OptionError: An id is -1, which stands for logits that are not numbers.
        """
        for token in ids:
            if token == stop_id:
                self.has_ended = True
                return
            self.window.append(checked(token))
            yield token


def _drawn(decoder: Decoder, texts: list[_Text], max_tokens: int, stop_id: int | None) -> Iterator[tuple[int, int]]:
    """Yield the number of a text and its next id, until all texts have ended or have `max_tokens` new ids."""
    texts, left = list(texts), max_tokens
    if left:
        decoder.fill(range(len(texts)), [text.window for text in texts])
    while texts and left:
        full = [slot for slot, text in enumerate(texts) if text.drop_older_half()]
        if full:
            decoder.fill(full, [texts[slot].window for slot in full])
        room = min(text.context + 1 - len(text.window) for text in texts)
        steps = min(decoder.block, left, room)
        uniforms = None
        if not decoder.sampling.is_greedy:
            uniforms = torch.stack([torch.rand(steps, generator=text.generator) for text in texts])
        for text, ids in zip(texts, decoder.advance(len(texts), steps, uniforms), strict=True):
            for token in text.take(ids, stop_id):
                yield text.number, token
        left -= steps
        _remove_ended(decoder, texts)


def _remove_ended(decoder: Decoder, texts: list[_Text]) -> None:
    """Give the slot of each text that has ended to the last text, so that later steps compute the others only."""
    for slot in reversed(range(len(texts))):
        if texts[slot].has_ended:
            last = texts.pop()
            if slot < len(texts):
                decoder.move(len(texts), slot)
                texts[slot] = last


@torch.no_grad()
def _drawn_by_model(
    model: TransformerLM, text: _Text, max_tokens: int, sampling: Sampling, stop_id: int | None, *, is_cached: bool
) -> Iterator[int]:
    """Yield the ids of a text, computed by the model itself: the formula that `Decoder` is tested against."""
    device = model.lm_head.weight.device
    caches, new = (model.new_caches() if is_cached else None), text.window
    for _ in range(max_tokens):
        if text.drop_older_half():
            caches, new = (model.new_caches() if is_cached else None), text.window
        given = torch.tensor([text.window if caches is None else new], device=device)
        logits = model.logits(model.hidden(given, caches=caches)[:, -1])
        uniforms = torch.rand(1, generator=text.generator).to(device)
        yield from text.take(sampling.ids(logits, uniforms).tolist(), stop_id)
        if text.has_ended:
            return
        new = text.window[-1:]


def _is_fast(model: TransformerLM) -> bool:
    return cast(TransformerBlock, model.layers[0]).attn.implementation == "fast"


def _decoder(model: TransformerLM, texts: int, sampling: Sampling, dtype: Dtype | None) -> Decoder:
    return Decoder(model, texts, sampling, None if dtype is None else getattr(torch, dtype))


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
    dtype: Dtype | None = None,
    is_cached: bool = True,
) -> Iterator[str]:
    """Yield the text that follows a prompt, piece by piece, until `<|endoftext|>`. A piece has whole characters only.

    An empty prompt stands for `<|endoftext|>`, after which a new text begins. Special tokens in a prompt are encoded as
    special tokens.

    Raises:
        OptionError: As in `generate_ids`.
    """
    decoder = tokenizer.stream_decoder()
    drawn = generate_ids(
        model,
        _encoded(tokenizer, prompt),
        max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop_id=tokenizer.special_ids.get(END_OF_TEXT),
        num_ids=tokenizer.vocab_size,
        dtype=dtype,
        is_cached=is_cached,
    )
    for token in drawn:
        if text := decoder.push(token):
            yield text
    if text := decoder.finish():
        yield text


def generate_texts(
    model: TransformerLM,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    max_tokens: int = 256,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    seed: int | None = None,
    dtype: Dtype | None = None,
) -> list[str]:
    """Return the text that follows each of several prompts, up to `<|endoftext|>`, all generated at the same time.

    Text i is what `generate` gives with the seed `seed + i`. Prompts are encoded as there.

    Raises:
        OptionError: As in `generate_ids`.
    """
    texts = generate_batch(
        model,
        [_encoded(tokenizer, prompt) for prompt in prompts],
        max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop_id=tokenizer.special_ids.get(END_OF_TEXT),
        num_ids=tokenizer.vocab_size,
        dtype=dtype,
    )
    return [tokenizer.decode(ids) for ids in texts]


def _encoded(tokenizer: Tokenizer, prompt: str) -> list[int]:
    stop_id = tokenizer.special_ids.get(END_OF_TEXT)
    return tokenizer.encode(prompt) or ([] if stop_id is None else [stop_id])


def _check(model: TransformerLM, prompts: Sequence[list[int]], max_tokens: int, seed: int | None) -> None:
    for prompt in prompts:
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
    if seed is not None and not 0 <= seed < 2**63 - len(prompts):
        raise OptionError(f"seed is {seed}, and must be from 0 to 2^63 - 1 - {len(prompts)}, the number of texts")
