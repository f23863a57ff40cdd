"""The files that every situation starts from: texts of different lengths, and a tokenizer by the pattern of Llama 3."""

import bpe_lm
from bpe_lm import _core
from tools import END_OF_TEXT, PATTERN

VOCAB_SIZE, SMALL_VOCAB_SIZE = 2000, 300


def build(folder):
    """Write texts of 1, 20 and 80 MB, a tokenizer of them, and in `small` a tokenizer whose files are soon read."""
    for name, size in (("train.txt", 1_000_000), ("20mb.txt", 20_000_000), ("80mb.txt", 80_000_000)):
        _core.write_sample(folder / name, size, 1, False)
    text = (folder / "train.txt").read_text(encoding="utf-8")
    save(folder, [text], VOCAB_SIZE)
    small = folder / "small"
    small.mkdir()
    (small / "small.txt").write_text(text[:3000], encoding="utf-8")
    save(small, [text[:3000]], SMALL_VOCAB_SIZE)


def save(folder, texts, size):
    vocab, merges = bpe_lm.train_bpe(iter(texts), size, [END_OF_TEXT], pattern=PATTERN)
    bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT], pattern=PATTERN).save(folder)
