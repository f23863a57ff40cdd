"""Byte-level BPE tokenizers, trained and used exactly and fast; and a small Transformer to train on what they make.

Each name is imported when it is first used: the language model's import torch, and a command answers Ctrl-C at once.
"""

from __future__ import annotations

from bpe_lm._core import DEBUG_BUILD, StreamDecoder, __version__

TYPE_CHECKING = False
"""For a type checker it is true; `typing` takes longer to import than all that is here."""

if TYPE_CHECKING:
    from typing import Any

    from bpe_lm import errors
    from bpe_lm.errors import BpeLmError
    from bpe_lm.token_file import Manifest, open_tokens, verify
    from bpe_lm.tokenizer import Tokenizer
    from bpe_lm.training import Training, load_training, train_and_record, train_bpe

__all__ = [
    "DEBUG_BUILD",
    "BpeLmError",
    "Manifest",
    "StreamDecoder",
    "Tokenizer",
    "Training",
    "__version__",
    "errors",
    "load_training",
    "open_tokens",
    "train_and_record",
    "train_bpe",
    "verify",
]

_TOKENIZER = {
    "errors": ["BpeLmError"],
    "token_file": ["Manifest", "open_tokens", "verify"],
    "tokenizer": ["Tokenizer"],
    "training": ["Training", "load_training", "train_and_record", "train_bpe"],
}
_LANGUAGE_MODEL = {
    "attention": ["MultiheadSelfAttention", "scaled_dot_product_attention", "softmax"],
    "batches": ["get_batch"],
    "checkpoint": ["load_checkpoint", "save_checkpoint"],
    "config": ["ModelConfig", "TrainConfig"],
    "generate": ["generate_ids"],
    "layers": ["Embedding", "Linear", "RMSNorm", "RotaryPositionalEmbedding", "SwiGLU", "silu"],
    "loss": ["cross_entropy", "perplexity"],
    "model": ["TransformerBlock", "TransformerLM"],
    "optimizer": ["SGD", "AdamW", "clip_gradients"],
    "schedule": ["cosine_schedule"],
    "train": ["Trainer"],
}
_HOMES = {name: module for table in (_TOKENIZER, _LANGUAGE_MODEL) for module, names in table.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _TOKENIZER:
        return import_module(f"bpe_lm.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        found = getattr(import_module(f"bpe_lm.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        from bpe_lm.errors import MissingExtra

        raise MissingExtra(
            f"{name} needs the language model's packages ({error}): pip install '.[lm]' in a clone of bpe_lm"
        ) from error
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_TOKENIZER, *_HOMES})


if DEBUG_BUILD:
    import warnings

    warnings.warn("bpe_lm is a debug build, 10 to 50 times slower: maturin develop --release", stacklevel=2)
