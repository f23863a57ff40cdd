"""Token files of random ids, as `bpe-lm encode` writes them."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from pathlib import Path

import numpy as np
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.tokenizer.token_file import open_tokens

_BLOCK = 64 << 20


def write_token_file(path: Path, count: int, vocab_size: int, seed: int) -> Path:
    """Write `count` random ids below `vocab_size`, and their description, and return the path."""
    ids = np.random.default_rng(seed).integers(0, vocab_size, count, dtype=np.uint16)
    content = ids.astype("<u2").tobytes()
    path.write_bytes(content)
    checksums = [f"{zlib.crc32(content[at : at + _BLOCK]):08x}" for at in range(0, len(content), _BLOCK)]
    manifest = Manifest(
        dtype="uint16",
        count=count,
        data_offset=0,
        tokenizer="0" * 64,
        vocab_size=vocab_size,
        special=None,
        separator=None,
        text_bytes=4 * count,
        skipped_lines=0,
        sources=[],
        shard=None,
        index=None,
        block_bytes=_BLOCK,
        crc32=checksums,
    )
    about = {"format": "bpe_lm token file", "version": 1, "byte_order": "little", **asdict(manifest)}
    Path(f"{path}.json").write_text(json.dumps(about))
    assert len(open_tokens(path)) == count
    return path
