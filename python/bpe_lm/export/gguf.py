"""A trained model as a GGUF file for llama.cpp, which runs it as a Llama."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

from bpe_lm.errors import ExportError, FileError, MissingExtra, OutputExists
from bpe_lm.export.llama import check_exportable, end_ids, renamed_weights
from bpe_lm.files import StrPath, check_file_target, sync
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.layers import EPS
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer

_MAGIC = b"GGUF"

_NAMES = {
    "token_embeddings": "token_embd",
    "ln_final": "output_norm",
    "lm_head": "output",
    "layers.{}.ln1": "blk.{}.attn_norm",
    "layers.{}.ln2": "blk.{}.ffn_norm",
    "layers.{}.attn.q_proj": "blk.{}.attn_q",
    "layers.{}.attn.k_proj": "blk.{}.attn_k",
    "layers.{}.attn.v_proj": "blk.{}.attn_v",
    "layers.{}.attn.output_proj": "blk.{}.attn_output",
    "layers.{}.ffn.w1": "blk.{}.ffn_gate",
    "layers.{}.ffn.w2": "blk.{}.ffn_down",
    "layers.{}.ffn.w3": "blk.{}.ffn_up",
}


def export_gguf(model: TransformerLM, tokenizer: Tokenizer, path: StrPath, *, force: bool = False) -> None:
    """Write a GGUF file in float32, which llama.cpp runs.

    Raises:
        ExportError: The architecture is not Llama's, the tokenizer has ids that the model does not know, or the
            tokenizer has another pattern than GPT-2's.
        OutputExists: The file exists and `force` is not given, or something other than a GGUF file exists.
        FileError: The file could not be written.
        MissingExtra: The package gguf is not installed.
    """
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise MissingExtra("GGUF is written with the package gguf: pip install gguf") from error
    check_file_target(path)
    target = Path(os.path.realpath(path))
    check_exportable(model.config, tokenizer)
    if tokenizer.pattern != "gpt2":
        raise ExportError(
            f"the tokenizer has the pattern {tokenizer.pattern!r}, and a GGUF file can name only GPT-2's; export to "
            "huggingface, or train a tokenizer with the pattern gpt2"
        )
    if tokenizer.ignore_merges:
        raise ExportError(
            "the tokenizer has tokens that no merge makes (ignore_merges), and a GGUF file with GPT-2's pattern cannot "
            "name them; export to huggingface"
        )
    _check_file(target, force)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(partial, "llama")
        _add_architecture(writer, model.config)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        _add_tokenizer(writer, tokenizer, model.config.vocab_size, gguf.TokenType)
        for name, tensor in renamed_weights(model, _NAMES).items():
            writer.add_tensor(name, tensor.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    except OSError as error:
        raise FileError(f"could not write {target}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def _add_architecture(writer: Any, config: ModelConfig) -> None:
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.d_model)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_heads)
    writer.add_layer_norm_rms_eps(EPS)
    writer.add_rope_dimension_count(config.d_model // config.num_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_vocab_size(config.vocab_size)


def _add_tokenizer(writer: Any, tokenizer: Tokenizer, vocab_size: int, types: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder, force=True)
        content = json.loads((Path(folder) / "tokenizer.json").read_bytes())
    ids = {number: token for token, number in content["model"]["vocab"].items()}
    special = {token["id"]: token["content"] for token in content["added_tokens"]}
    # Every row of the embedding needs a name, even a row without a token.
    unused = {number: f"<|unused {number}|>" for number in range(vocab_size) if number not in ids.keys() | special}
    tokens = unused | ids | special
    other_types = dict.fromkeys(unused, types.UNUSED) | dict.fromkeys(special, types.CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[number] for number in range(vocab_size)])
    writer.add_token_types([other_types.get(number, types.NORMAL) for number in range(vocab_size)])
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_add_bos_token(False)
    for name, number in end_ids(tokenizer).items():
        if number is None:
            warnings.warn(f"the tokenizer has no {END_OF_TEXT}: llama.cpp uses token 11 in its place", stacklevel=3)
            break
        getattr(writer, f"add_{name}")(number)


def _check_file(target: Path, force: bool) -> None:
    if not target.exists():
        return
    if not force:
        raise OutputExists(f"{target} exists; name another file, or give --force")
    try:
        with target.open("rb") as file:
            is_gguf = file.read(len(_MAGIC)) == _MAGIC
    except OSError as error:
        raise FileError(f"could not read {target}: {error.strerror}") from error
    if not is_gguf:
        raise OutputExists(f"{target} is not a GGUF file, and --force replaces nothing else; name another file")
