"""Byte-level BPE tokenizers, trained and used exactly and fast, and a small Transformer language model.

A name is imported when it is first used, because the names of the language model import torch, which takes a second.
A public name is therefore listed three times: for type checkers, in `__all__`, and in `_NAMES` with its module.
"""

from __future__ import annotations

from bpe_lm._core import DEBUG_BUILD, StreamDecoder, __version__

TYPE_CHECKING = False
"""True for a type checker. It is not imported from `typing`, which takes longer to import than this whole file."""

if TYPE_CHECKING:
    from typing import Any

    from bpe_lm import errors
    from bpe_lm.cluster.counting import count_on_ray
    from bpe_lm.cluster.encoding import encode_on_ray
    from bpe_lm.errors import BpeLmError
    from bpe_lm.export.folder import evaluate_folder, export_folder, generate_from_folder, generate_texts_from_folder
    from bpe_lm.export.load import load_model
    from bpe_lm.model.attention import MultiheadSelfAttention, scaled_dot_product_attention, softmax
    from bpe_lm.model.config import ModelConfig
    from bpe_lm.model.generate import generate_batch, generate_ids
    from bpe_lm.model.layers import Embedding, Linear, RMSNorm, RotaryPositionalEmbedding, SwiGLU, silu
    from bpe_lm.model.loss import cross_entropy, perplexity
    from bpe_lm.model.transformer import TransformerBlock, TransformerLM
    from bpe_lm.tokenizer.counts import Counts, count_pretokens, merge_counts, open_counts
    from bpe_lm.tokenizer.joined import join_tokens
    from bpe_lm.tokenizer.manifest import Manifest
    from bpe_lm.tokenizer.record import Training, load_training
    from bpe_lm.tokenizer.report import train_tokenizer, train_tokenizers
    from bpe_lm.tokenizer.token_export import export_tokens
    from bpe_lm.tokenizer.token_file import open_tokens, verify
    from bpe_lm.tokenizer.tokenizer import Tokenizer
    from bpe_lm.tokenizer.train import train_and_record, train_bpe
    from bpe_lm.training.batches import get_batch
    from bpe_lm.training.checkpoint import load_checkpoint, save_checkpoint
    from bpe_lm.training.config import TrainConfig
    from bpe_lm.training.optimizers.adamw import AdamW
    from bpe_lm.training.optimizers.clipping import clip_gradients
    from bpe_lm.training.optimizers.sgd import SGD
    from bpe_lm.training.schedules import cosine_schedule
    from bpe_lm.training.trainer import Trainer

__all__ = [
    "DEBUG_BUILD",
    "SGD",
    "AdamW",
    "BpeLmError",
    "Counts",
    "Embedding",
    "Linear",
    "Manifest",
    "ModelConfig",
    "MultiheadSelfAttention",
    "RMSNorm",
    "RotaryPositionalEmbedding",
    "StreamDecoder",
    "SwiGLU",
    "Tokenizer",
    "TrainConfig",
    "Trainer",
    "Training",
    "TransformerBlock",
    "TransformerLM",
    "__version__",
    "clip_gradients",
    "cosine_schedule",
    "count_on_ray",
    "count_pretokens",
    "cross_entropy",
    "encode_on_ray",
    "errors",
    "evaluate_folder",
    "export_folder",
    "export_tokens",
    "generate_batch",
    "generate_from_folder",
    "generate_ids",
    "generate_texts_from_folder",
    "get_batch",
    "join_tokens",
    "load_checkpoint",
    "load_model",
    "load_training",
    "merge_counts",
    "open_counts",
    "open_tokens",
    "perplexity",
    "save_checkpoint",
    "scaled_dot_product_attention",
    "silu",
    "softmax",
    "train_and_record",
    "train_bpe",
    "train_tokenizer",
    "train_tokenizers",
    "verify",
]

_NAMES = {
    "errors": ["BpeLmError"],
    "tokenizer.counts": ["Counts", "count_pretokens", "merge_counts", "open_counts"],
    "tokenizer.record": ["Training", "load_training"],
    "tokenizer.report": ["train_tokenizer", "train_tokenizers"],
    "tokenizer.joined": ["join_tokens"],
    "tokenizer.manifest": ["Manifest"],
    "tokenizer.token_export": ["export_tokens"],
    "tokenizer.token_file": ["open_tokens", "verify"],
    "tokenizer.tokenizer": ["Tokenizer"],
    "tokenizer.train": ["train_and_record", "train_bpe"],
    "cluster.counting": ["count_on_ray"],
    "cluster.encoding": ["encode_on_ray"],
    "model.attention": ["MultiheadSelfAttention", "scaled_dot_product_attention", "softmax"],
    "model.config": ["ModelConfig"],
    "model.generate": ["generate_batch", "generate_ids"],
    "model.layers": ["Embedding", "Linear", "RMSNorm", "RotaryPositionalEmbedding", "SwiGLU", "silu"],
    "model.loss": ["cross_entropy", "perplexity"],
    "model.transformer": ["TransformerBlock", "TransformerLM"],
    "training.batches": ["get_batch"],
    "training.checkpoint": ["load_checkpoint", "save_checkpoint"],
    "training.config": ["TrainConfig"],
    "training.optimizers.adamw": ["AdamW"],
    "training.optimizers.clipping": ["clip_gradients"],
    "training.optimizers.sgd": ["SGD"],
    "training.schedules": ["cosine_schedule"],
    "training.trainer": ["Trainer"],
    "export.folder": ["evaluate_folder", "export_folder", "generate_from_folder", "generate_texts_from_folder"],
    "export.load": ["load_model"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "errors":
        return import_module("bpe_lm.errors")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(f"bpe_lm.{_MODULES[name]}"), name)
    except ModuleNotFoundError as error:
        from bpe_lm.errors import MissingExtra

        raise MissingExtra(
            f"{name} needs the language model's packages ({error}): pip install '.[lm]' in a clone of bpe_lm"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if DEBUG_BUILD:
    import warnings

    warnings.warn("bpe_lm is a debug build, 10 to 50 times slower: maturin develop --release", stacklevel=2)
