"""A trained model as a Llama in the folder format of Hugging Face's transformers, written and read.

The course's architecture is Llama's: pre-norm, SwiGLU, rotary positions, no biases. The order of a head's rows in the
projections of queries and keys differs. This package rotates the pairs (2k, 2k + 1), as llama.cpp does;
Hugging Face rotates (k, k + d_k / 2). A model with its rows in the wrong order loads without an error, and generates
nonsense.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bpe_lm.errors import BpeLmError, CheckpointError, ExportError, FileError, OutputExists
from bpe_lm.files import (
    StrPath,
    check_folder_target,
    read_bytes,
    read_json,
    replace_folder,
    restore_folder,
    write_whole,
)
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.layers import EPS
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from bpe_lm.training.checkpoint import check_model

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_FILES = {CONFIG, WEIGHTS, "generation_config.json", "tokenizer.json", "tokenizer_config.json"}

_ANY_VALUE = {
    "vocab_size",
    "context_length",
    "d_model",
    "num_layers",
    "num_heads",
    "d_ff",
    "rope_theta",
    "tied_head",
    "zero_init",
}
"""The fields of ModelConfig that a Llama may have with any value. `zero_init` is about initial weights alone."""
_LLAMA: Mapping[str, Any] = {
    field.name: field.metadata["llama"] for field in dataclasses.fields(ModelConfig) if "llama" in field.metadata
}
"""The other fields of ModelConfig that a Llama has, with the values that they state for it."""

_HUGGING_FACE = {
    "token_embeddings": "model.embed_tokens",
    "ln_final": "model.norm",
    "lm_head": "lm_head",
    "layers.{}.ln1": "model.layers.{}.input_layernorm",
    "layers.{}.ln2": "model.layers.{}.post_attention_layernorm",
    "layers.{}.attn.q_proj": "model.layers.{}.self_attn.q_proj",
    "layers.{}.attn.k_proj": "model.layers.{}.self_attn.k_proj",
    "layers.{}.attn.v_proj": "model.layers.{}.self_attn.v_proj",
    "layers.{}.attn.output_proj": "model.layers.{}.self_attn.o_proj",
    "layers.{}.ffn.w1": "model.layers.{}.mlp.gate_proj",
    "layers.{}.ffn.w2": "model.layers.{}.mlp.down_proj",
    "layers.{}.ffn.w3": "model.layers.{}.mlp.up_proj",
}


def export_huggingface(model: TransformerLM, tokenizer: Tokenizer, folder: StrPath, *, force: bool = False) -> None:
    """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` open, with the same ids and the same logits.

    Raises:
        ExportError: The architecture is not Llama's, or the tokenizer has ids that the model does not know.
        OutputExists: The folder is not empty and `force` is not given, or it holds something other than an export.
        FileError: The folder could not be written. Its old content is unchanged.
    """
    check_folder_target(folder)
    target = Path(os.path.realpath(folder))
    check_exportable(model.config, tokenizer)
    try:
        restore_folder(target)
        _check_folder(target, force)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as temporary:
            partial = Path(temporary) / "new"
            partial.mkdir()
            for name, content in _tokenizer_files(tokenizer, model.config).items():
                write_whole(partial / name, content)
            write_whole(partial / CONFIG, _json(_llama_config(model, tokenizer)))
            write_whole(partial / "generation_config.json", _json(end_ids(tokenizer)))
            write_whole(partial / WEIGHTS, save(llama_state(model), {"format": "pt"}))
            replace_folder(partial, target)
    except OSError as error:
        if isinstance(error, BpeLmError):
            raise
        raise FileError(f"could not write {target}: {error.strerror}") from error


def load_exported(folder: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Read a folder in Hugging Face's format as our config and our weights.

    Raises:
        ExportError: The model is not a Llama, or a Llama that `TransformerLM` cannot represent.
        CheckpointError: The weights are damaged, or do not fit the config.
        FileError: A file could not be read.
    """
    config = _our_config(folder, read_json(folder / CONFIG))
    try:
        state = load(read_bytes(folder / WEIGHTS))
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is damaged: {error}") from error
    if config.tied_head and "lm_head.weight" not in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    weights = _our_state(config, state)
    with torch.device("meta"):
        check_model(TransformerLM.from_config(config), weights, folder / WEIGHTS)
    return config, weights


def llama_state(model: TransformerLM) -> dict[str, Tensor]:
    """Return the weights of `LlamaForCausalLM`, by its names and in its order of rows."""
    return {
        name: rearrange(tensor, "(h k two) d -> (h two k) d", two=2, h=model.config.num_heads).contiguous()
        if _is_rotated(name)
        else tensor
        for name, tensor in renamed_weights(model, _HUGGING_FACE).items()
    }


def _our_state(config: ModelConfig, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights of `LlamaForCausalLM` by our names and in our order of rows."""
    names = {theirs: ours for ours, theirs in _names(_HUGGING_FACE, config.num_layers).items()}
    weights = {
        names.get(name, name): tensor for name, tensor in state.items() if not name.endswith("rotary_emb.inv_freq")
    }
    for name, tensor in weights.items():
        if _is_rotated(name) and tensor.shape == (config.d_model, config.d_model):
            weights[name] = rearrange(tensor, "(h two k) d -> (h k two) d", two=2, h=config.num_heads)
    return weights


def _is_rotated(name: str) -> bool:
    return name.endswith(("q_proj.weight", "k_proj.weight"))


def renamed_weights(model: TransformerLM, table: Mapping[str, str]) -> dict[str, Tensor]:
    """Return copies of the weights in float32 on the CPU, by the names of a table; a tied head is left out."""
    state, names = model.state_dict(), _names(table, model.config.num_layers)
    if model.config.tied_head:
        # Readers of both formats use the embedding in place of a missing head.
        del state["lm_head.weight"]
    return {names[name]: tensor.detach().float().cpu().contiguous().clone() for name, tensor in state.items()}


def _names(table: Mapping[str, str], num_layers: int) -> dict[str, str]:
    """Return the other program's name for each of our weights."""
    return {
        f"{ours.format(number)}.weight": f"{theirs.format(number)}.weight"
        for ours, theirs in table.items()
        for number in range(num_layers if "{}" in ours else 1)
    }


def check_exportable(config: ModelConfig, tokenizer: Tokenizer) -> None:
    """Check that a Llama can represent the model, and that the model knows all ids of the tokenizer.

    Raises:
        ExportError: A Llama cannot represent the model, or the tokenizer has ids that the model does not know.
    """
    _check_is_llama(config)
    if tokenizer.vocab_size > config.vocab_size:
        raise ExportError(
            f"the tokenizer has {tokenizer.vocab_size:,} tokens and the model {config.vocab_size:,}; "
            "give the tokenizer that the model was trained with"
        )


def _check_is_llama(config: ModelConfig) -> None:
    """Refuse each field that has another value than Llama's, or that does not state Llama's value."""
    fields = [field for field in dataclasses.fields(config) if field.name not in _ANY_VALUE]
    values = [(field, getattr(config, field.name)) for field in fields]
    other = {field.name: value for field, value in values if field.metadata.get("llama", ...) != value}
    if other:
        found = "; ".join(f"model.{key} is {value!r}" for key, value in other.items())
        llama = ", ".join(f"{key} {value!r}" for key, value in _LLAMA.items())
        raise ExportError(f"{found}: no Llama has that; a Llama has {llama}, any sizes, and no other switches")


def _check_folder(target: Path, force: bool) -> None:
    names = {path.name for path in target.iterdir()} if target.exists() else set()
    if names and not force:
        raise OutputExists(f"{target} is not empty; name another folder, or give --force")
    if names - _FILES:
        raise OutputExists(f"{target} has {min(names - _FILES)}, which no export writes; name another folder")
    if names and not _is_export(target):
        raise OutputExists(f"{target} has no exported model, and --force replaces nothing else; name another folder")


def _is_export(folder: Path) -> bool:
    try:
        return "model_type" in read_json(folder / CONFIG) and (folder / WEIGHTS).is_file()
    except BpeLmError:
        return False


def end_ids(tokenizer: Tokenizer) -> dict[str, int | None]:
    """Return the ids that begin and end a text, by the names of both formats: the id of `<|endoftext|>`, or None."""
    end = tokenizer.special_ids.get(END_OF_TEXT)
    return {"bos_token_id": end, "eos_token_id": end}


def _llama_config(model: TransformerLM, tokenizer: Tokenizer) -> dict[str, Any]:
    config = model.config
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "hidden_size": config.d_model,
        "intermediate_size": config.d_ff,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_heads,
        "head_dim": config.d_model // config.num_heads,
        "max_position_embeddings": config.context_length,
        "hidden_act": "silu",
        "rms_norm_eps": EPS,
        # transformers 5 reads rope_parameters, earlier versions rope_theta.
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tied_head,
        "initializer_range": 0.02,
        "use_cache": True,
        "dtype": "float32",
        "torch_dtype": "float32",
        **end_ids(tokenizer),
    }


def _our_config(folder: Path, theirs: Mapping[str, Any]) -> ModelConfig:
    try:
        heads = theirs["num_attention_heads"]
        rope = theirs.get("rope_parameters") or {"rope_theta": theirs.get("rope_theta", 10_000.0)}
        config = ModelConfig(
            vocab_size=theirs["vocab_size"],
            context_length=theirs["max_position_embeddings"],
            d_model=theirs["hidden_size"],
            num_layers=theirs["num_hidden_layers"],
            num_heads=heads,
            d_ff=theirs["intermediate_size"],
            rope_theta=float(rope["rope_theta"]),
            tied_head=theirs.get("tie_word_embeddings", False),
            **_LLAMA,
        )
        other = {
            "model_type": ("llama", theirs.get("model_type")),
            "num_key_value_heads": (heads, theirs.get("num_key_value_heads", heads)),
            "head_dim": (config.d_model // heads, theirs.get("head_dim") or config.d_model // heads),
            "hidden_act": ("silu", theirs.get("hidden_act", "silu")),
            "rms_norm_eps": (EPS, theirs.get("rms_norm_eps")),
            "rope_type": ("default", rope.get("rope_type", "default")),
            "rope_scaling": (None, theirs.get("rope_scaling")),
            "partial_rotary_factor": (1, rope.get("partial_rotary_factor", theirs.get("partial_rotary_factor", 1))),
            "attention_bias": (False, theirs.get("attention_bias", False)),
            "mlp_bias": (False, theirs.get("mlp_bias", False)),
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(f"{folder / CONFIG} is not the config of a Llama: {error!r}") from error
    wrong = [f"{key} is {found!r}, and must be {wanted!r}" for key, (wanted, found) in other.items() if found != wanted]
    if wrong:
        raise ExportError(f"{folder / CONFIG} describes another architecture: {'; '.join(wrong)}")
    _check_is_llama(config)
    return config


def _tokenizer_files(tokenizer: Tokenizer, config: ModelConfig) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save(folder, force=True)
        content = json.loads((Path(folder) / "tokenizer_config.json").read_bytes())
        content["model_max_length"] = config.context_length
        return {
            "tokenizer.json": (Path(folder) / "tokenizer.json").read_bytes(),
            "tokenizer_config.json": _json(content),
        }


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
