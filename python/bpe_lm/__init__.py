"""Byte-level BPE tokenizers, trained exactly and fast."""

from bpe_lm import errors
from bpe_lm._core import DEBUG_BUILD, __version__
from bpe_lm.errors import BpeLmError
from bpe_lm.tokenizer import (
    TokenizerParts,
    Training,
    load_gpt2,
    load_tiktoken,
    load_tokenizer,
    load_training,
    save_tokenizer,
    train_and_record,
    train_bpe,
)

__all__ = [
    "BpeLmError",
    "TokenizerParts",
    "Training",
    "__version__",
    "errors",
    "load_gpt2",
    "load_tiktoken",
    "load_tokenizer",
    "load_training",
    "save_tokenizer",
    "train_and_record",
    "train_bpe",
]

if DEBUG_BUILD:
    import warnings

    warnings.warn("bpe_lm is a debug build, 10 to 50 times slower: maturin develop --release", stacklevel=2)
