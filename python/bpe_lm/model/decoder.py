"""Several texts that grow by an id at a time: prepared weights, a cache of fixed size, and a step over both.

The step reads and writes tensors that stay at their places: the last id and the position of each text, keys and values,
the uniform numbers of the draws, and the ids that were drawn. So a CUDA graph can hold it, and on a CPU the same
function is called. Texts occupy slots. A step advances the first slots, all at once, and each sees its own tokens only:
keys of later positions, which another text or the padding of a prompt left behind, are masked until they are replaced.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from bpe_lm.kernels.attention import fast_causal_attention
from bpe_lm.kernels.cpu import as_array, as_output
from bpe_lm.kernels.decoder import MOST_TEXTS, Block, Model, array_of, next_logits, supports_decoder
from bpe_lm.kernels.linear import linear
from bpe_lm.model.config import FIRST, ModelConfig
from bpe_lm.model.layers import EPS, Embedding, RMSNorm, RotaryPositionalEmbedding, SwiGLU, soft_capped, unit_rms
from bpe_lm.model.sampling import Sampling
from bpe_lm.model.transformer import TransformerBlock, TransformerLM

BLOCK = 16
"""The largest number of steps between two looks at the drawn ids. A CPU looks after each step, which costs nothing."""

_WARM_UPS = 2
"""Calls of a step before it is captured, in which libraries allocate their workspaces."""

Attend = Callable[[int, Tensor], Tensor]
"""Attention of a layer, by its number, from queries, keys and values: (..., 3 d_model) -> (..., d_model)."""


@dataclass(frozen=True)
class Weights:
    """The weights of a block. Matrices that multiply the same rows are in one tuple. An absent norm is None."""

    norm1: Tensor | None
    qkv: tuple[Tensor, ...]
    output: Tensor
    norm2: Tensor | None
    up: tuple[Tensor, ...]
    down: Tensor
    value_mix: tuple[float, ...] | None
    skip_weight: float | None


def weights_of(block: TransformerBlock, dtype: torch.dtype) -> Weights:
    """Return the weights of a block in a number format. On a CPU, those of the right format are not copied."""
    ffn = block.ffn
    up = (ffn.w1, ffn.w3) if isinstance(ffn, SwiGLU) else (ffn.w1,)
    return Weights(
        _norm_weight(block.ln1, dtype),
        _joined([block.attn.qkv_proj.weight], dtype),
        block.attn.output_proj.weight.detach().to(dtype),
        _norm_weight(block.ln2, dtype),
        _joined([layer.weight for layer in up], dtype),
        ffn.w2.weight.detach().to(dtype),
        None if block.attn.value_mix is None else tuple(block.attn.value_mix.tolist()),
        None if block.skip_weight is None else block.skip_weight.item(),
    )


def _needs_torch(config: ModelConfig) -> bool:
    """Return whether the model has a switch inside its blocks that the kernel does not compute."""
    return config.qk_norm or any(place != FIRST for place in config.places())


def _joined(matrices: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Join matrices into one on a GPU, where each product costs a launch. On a CPU the copies would cost more."""
    converted = tuple(matrix.detach().to(dtype) for matrix in matrices)
    return converted if converted[0].device.type == "cpu" else (torch.cat(converted),)


def _norm_weight(layer: torch.nn.Module, dtype: torch.dtype) -> Tensor | None:
    return layer.weight.detach().to(dtype) if isinstance(layer, RMSNorm) else None


class Decoder:
    """Draws the next ids of several texts. The model must not change while it is in use."""

    def __init__(
        self,
        model: TransformerLM,
        texts: int,
        sampling: Sampling,
        dtype: torch.dtype | None = None,
        *,
        is_static: bool | None = None,
    ):
        """Prepare the weights and allocate the cache.

        Args:
            model: The model.
            texts: The number of slots.
            sampling: How ids are drawn.
            dtype: The number format of weights, products and cache; None for that of the model's weights.
            is_static: Whether each step has the same sizes, as a CUDA graph needs them: the attention looks at the
                whole context, and the number of slots is a power of two or all. None for yes on a GPU.
        """
        self.config, self.sampling = model.config, sampling
        head = model.lm_head.weight.detach()
        self.device, self.dtype = head.device, dtype or head.dtype
        self.is_static = self.device.type == "cuda" if is_static is None else is_static
        self.captures = self.is_static and self.device.type == "cuda"
        self.block = BLOCK if self.is_static else 1
        scale = self.config.embedding_scale
        embeddings = model.token_embeddings.weight.detach()
        self.embeddings, self.head = embeddings if scale == 1 else embeddings * scale, head.to(self.dtype)
        self.tables = [cast(Embedding, table).weight.detach() for table in model.value_embeddings]
        self.places = self.config.places()
        self.norm_final = _norm_weight(model.ln_final, self.dtype)
        blocks = [cast(TransformerBlock, block) for block in model.layers]
        self.layers = [weights_of(block, self.dtype) for block in blocks]
        rope = blocks[0].attn.rope
        self.rotations = None if rope is None else torch.complex(rope.cos, rope.sin)
        heads, context = self.config.num_heads, self.config.context_length
        width = self.config.d_model // heads

        def cache(*sizes: int) -> Tensor:
            return torch.zeros(len(self.layers), texts, heads, *sizes, dtype=self.dtype, device=self.device)

        self.keys, self.values = cache(width, context), cache(context, width)
        self.kernel = None
        if not self.is_static and supports_decoder(self.device, self.dtype) and not _needs_torch(self.config):
            self.kernel = self._kernel_model(rope)
            self.caches = as_output(self.keys), as_output(self.values)

        def integers(*sizes: int) -> Tensor:
            return torch.zeros(sizes, dtype=torch.long, device=self.device)

        self.slots = torch.arange(texts, device=self.device)
        self.ids, self.positions, self.column = integers(texts), integers(texts), integers(1)
        self.drawn = integers(texts, self.block)
        self.uniforms = torch.zeros(texts, self.block, device=self.device)
        self.lengths = [0] * texts  # The positions, as the host knows them.
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}

    @torch.no_grad()
    def fill(self, slots: Sequence[int], windows: Sequence[Sequence[int]]) -> None:
        """Begin texts of 1 to `context_length` ids in some slots. The last id of each is left for the next step."""
        padded = max(len(window) for window in windows) - 1
        rows = [[*window[:-1], *[0] * (padded + 1 - len(window))] for window in windows]
        where = torch.tensor(slots, device=self.device)
        if padded:
            self._hidden(torch.tensor(rows, device=self.device), self._prompt_attention(where, padded))
        self.ids[where] = torch.tensor([window[-1] for window in windows], device=self.device)
        for slot, window in zip(slots, windows, strict=True):
            self.lengths[slot] = len(window) - 1

    def move(self, source: int, target: int) -> None:
        """Move a text to another slot. The text that is there ends."""
        for cache in (self.keys, self.values):
            cache[:, target] = cache[:, source]
        self.ids[target] = self.ids[source]
        self.lengths[target] = self.lengths[source]

    @torch.no_grad()
    def advance(self, texts: int, steps: int, uniforms: Float[Tensor, "texts steps"] | None) -> list[list[int]]:
        """Draw `steps` ids of each of the first `texts` slots. Returns each text's ids, and -1 for logits with NaN.

        No text may reach a length above `context_length`. Greedy sampling needs no uniform numbers.
        """
        rows = min(1 << (texts - 1).bit_length(), len(self.lengths)) if self.is_static else texts
        # Slots without a text are computed too. Their positions start at 0, so they stay inside of the cache.
        self.lengths[texts:] = [0] * (len(self.lengths) - texts)
        self.positions.copy_(torch.tensor(self.lengths))
        self.column.zero_()
        if uniforms is not None:
            self.uniforms[:texts, :steps] = uniforms.to(self.device)
        for _ in range(steps):
            self._run(rows, self.config.context_length if self.is_static else max(self.lengths[:texts]) + 1)
            self.lengths[:texts] = [length + 1 for length in self.lengths[:texts]]
        return self.drawn[:texts, :steps].tolist()

    def _step(self, rows: int, width: int) -> None:
        """Draw an id of each of the first slots from its last id. No text is longer than `width`."""
        positions = self.positions[:rows]
        ids = self.ids[:rows]
        logits = self._logits(ids, rows, width)
        drawn = self.sampling.ids(logits, self.uniforms[:rows].index_select(1, self.column).squeeze(1))
        self.drawn[:rows].index_copy_(1, self.column, drawn[:, None])
        ids.copy_(drawn.clamp(min=0))
        positions.add_(1)
        self.column.add_(1)

    def _logits(self, ids: Int[Tensor, " texts"], rows: int, width: int) -> Float[Tensor, "texts vocab_size"]:
        """Return the logits of the next ids: by the kernel, or by torch's operations."""
        if self.kernel is not None and rows <= MOST_TEXTS:
            x = functional.embedding(ids, self.embeddings).float()
            products = next_logits(self.kernel, self.caches, x, self.lengths[:rows])
        else:
            products = linear(self._hidden(ids, self._step_attention(rows, width)), self.head)
        return soft_capped(products, self.config.logit_softcap)

    def _kernel_model(self, rope: RotaryPositionalEmbedding | None) -> Model:
        blocks = [
            Block(
                array_of(weights.norm1),
                [array_of(matrix) for matrix in weights.qkv],
                array_of(weights.output),
                array_of(weights.norm2),
                [array_of(matrix) for matrix in weights.up],
                array_of(weights.down),
            )
            for weights in self.layers
        ]
        return Model(
            blocks,
            is_post_norm=self.config.norm == "post",
            is_relu2=self.config.ffn == "relu2",
            norm_final=array_of(self.norm_final),
            head=array_of(self.head),
            angles=None if rope is None else (as_array(rope.cos), as_array(rope.sin)),
            num_heads=self.config.num_heads,
            context=self.config.context_length,
            eps=EPS,
        )

    def _hidden(self, ids: Int[Tensor, "*shape"], attend: Attend) -> Float[Tensor, "*shape d_model"]:
        """Return the final hidden states, as `TransformerLM.hidden` does."""
        x = functional.embedding(ids, self.embeddings).to(self.dtype)
        rows = [functional.embedding(ids, table).to(self.dtype) for table in self.tables]
        outputs: list[Tensor] = []
        for number, (weights, place) in enumerate(zip(self.layers, self.places, strict=True)):
            values = None if place.table is None else rows[place.table]
            if place.mirror is not None and weights.skip_weight is not None:
                x = x + weights.skip_weight * outputs[place.mirror]
            if self.config.norm == "post":
                x = self._norm(x + self._attention(number, x, values, attend), weights.norm1)
                x = self._norm(x + self._feed_forward(x, weights), weights.norm2)
            else:
                x = x + self._attention(number, self._norm(x, weights.norm1), values, attend)
                x = x + self._feed_forward(self._norm(x, weights.norm2), weights)
            outputs.append(x)
        return self._norm(x, self.norm_final)

    def _attention(self, number: int, x: Tensor, values: Tensor | None, attend: Attend) -> Tensor:
        weights = self.layers[number]
        qkv = _products(x, weights.qkv)
        if values is not None and weights.value_mix is not None:
            a, b = weights.value_mix
            start = 2 * self.config.d_model
            qkv = torch.cat((qkv[..., :start], a * qkv[..., start:] + b * values), -1)
        return linear(attend(number, qkv), weights.output)

    def _norm(self, x: Tensor, weight: Tensor | None) -> Tensor:
        return x if weight is None else functional.rms_norm(x, (x.shape[-1],), weight, EPS)

    def _feed_forward(self, x: Tensor, weights: Weights) -> Tensor:
        up = _products(x, weights.up)
        if self.config.ffn == "swiglu":
            gate, value = up.chunk(2, -1)
            return linear(functional.silu(gate) * value, weights.down)
        return linear(functional.silu(up) if self.config.ffn == "silu" else torch.relu(up).square(), weights.down)

    def _prompt_attention(self, slots: Tensor, length: int) -> Attend:
        """Return attention over the first `length` positions of some texts, which writes the cache."""

        def attend(number: int, qkv: Tensor) -> Tensor:
            q, k, v = self._heads(qkv, slice(length)).permute(2, 0, 3, 1, 4)  # (text, head, seq, d_k) thrice
            self.keys[number][slots, ..., :length] = k.mT
            self.values[number][slots, :, :length] = v
            return fast_causal_attention(q, k, v, self.places[number].reach).transpose(1, 2).flatten(2)

        return attend

    def _step_attention(self, rows: int, width: int) -> Attend:
        """Return attention of one token of each text to the text's tokens so far, which writes the cache."""
        slots, positions = self.slots[:rows], self.positions[:rows]
        are_equal = not self.is_static and len(set(self.lengths[:rows])) == 1
        columns = torch.arange(width, device=self.device)
        unwritten = None if are_equal else (columns > positions[:, None])[:, None, None]

        def hidden_keys(reach: int) -> Tensor | None:
            if not 0 < reach < width:
                return unwritten
            too_old = (columns <= positions[:, None] - reach)[:, None, None]
            return too_old if unwritten is None else too_old | unwritten

        masks = {reach: hidden_keys(reach) for reach in {place.reach for place in self.places}}

        def attend(number: int, qkv: Tensor) -> Tensor:
            q, k, v = self._heads(qkv, positions).unbind(1)  # (text, head, d_k) thrice
            keys, values = self.keys[number], self.values[number]
            keys[slots, ..., positions] = k
            values[slots, :, positions] = v
            scores = q[:, :, None] / q.shape[-1] ** 0.5 @ keys[:rows, ..., :width]
            mask = masks[self.places[number].reach]
            scores = scores if mask is None else scores.masked_fill(mask, -torch.inf)
            return (torch.softmax(scores, -1) @ values[:rows, :, :width]).flatten(1)

        return attend

    def _heads(self, qkv: Tensor, positions: Tensor | slice) -> Float[Tensor, "*shape three head d_k"]:
        """Split queries, keys and values into heads, and normalize and rotate queries and keys."""
        heads = qkv.view(*qkv.shape[:-1], 3, self.config.num_heads, -1)
        if self.config.qk_norm:
            heads = torch.cat([unit_rms(heads[..., :2, :, :]), heads[..., 2:, :, :]], -3)
        if self.rotations is None:
            return heads
        # A pair (a, b) is the complex number a + b i, which cos + i sin rotates.
        halves = heads[..., :2, :, :].to(torch.promote_types(self.dtype, torch.float32))
        pairs = torch.view_as_complex(halves.view(*halves.shape[:-1], -1, 2))
        rotated = torch.view_as_real(pairs * self.rotations[positions][..., None, None, :]).flatten(-2)
        return torch.cat([rotated.to(self.dtype), heads[..., 2:, :, :]], -3)

    def _run(self, rows: int, width: int) -> None:
        """Take a step: on a GPU by its graph, which is captured the first time, or else by calling it."""
        if not self.captures:
            self._step(rows, width)
            return
        with torch.cuda.device(self.device):
            if rows not in self.graphs:
                self._warm_up(rows, width)
                self._capture(rows, width)
            if self.captures:
                self.graphs[rows].replay()
            else:
                self._step(rows, width)

    def _warm_up(self, rows: int, width: int) -> None:
        """Take steps and undo them, except for the keys and values, which the next step writes again."""
        state = [(tensor, tensor.clone()) for tensor in (self.ids, self.positions, self.column)]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                self._step(rows, width)
                for tensor, copy in state:
                    tensor.copy_(copy)
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self, rows: int, width: int) -> None:
        """Capture a step. If that fails, which no test has shown, steps are called from then on."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._step(rows, width)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            warnings.warn(f"CUDA could not capture a step ({error}); generation is slower without", stacklevel=2)
            self.captures = False
            return
        self.graphs[rows] = graph


def _products(x: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    """Return x W^T of each matrix, one after another along the last dimension."""
    products = [linear(x, matrix) for matrix in matrices]
    return products[0] if len(products) == 1 else torch.cat(products, -1)
