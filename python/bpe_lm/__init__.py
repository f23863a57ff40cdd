"""Byte-level BPE tokenizers, trained and used exactly and fast; and a small Transformer to train on what they make.

The names of the language model are found here too, and import torch when they are first used.
"""

from importlib import import_module
from typing import Any

from bpe_lm import errors
from bpe_lm._core import DEBUG_BUILD, StreamDecoder, __version__
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
_HOMES = {name: module for module, names in _LANGUAGE_MODEL.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"bpe_lm.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        raise errors.MissingExtra(
            f"{name} needs the language model's packages ({error}): pip install '.[lm]' in a clone of bpe_lm"
        ) from error


if DEBUG_BUILD:
    import warnings

    warnings.warn("bpe_lm is a debug build, 10 to 50 times slower: maturin develop --release", stacklevel=2)
