"""Byte-level BPE tokenizers, trained and used exactly and fast."""

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

if DEBUG_BUILD:
    import warnings

    warnings.warn("bpe_lm is a debug build, 10 to 50 times slower: maturin develop --release", stacklevel=2)
