"""A trained model where others read it: a folder for Hugging Face's transformers, a file for llama.cpp.

Both take our architecture for Llama's, which it is: pre-norm, SwiGLU, rotary positions, no biases. What is not the
same is the order of a head's rows in the projections of queries and keys. We turn the pairs (2k, 2k + 1), and so does
llama.cpp; Hugging Face turns (k, k + d_k / 2). A model in the wrong order loads without a word, and writes nonsense.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from bpe_lm.errors import BpeLmError, CheckpointError, ExportError, FileError, MissingExtra, OutputExists
from bpe_lm.files import check_file_target, check_folder_target, read_json, replace_folder, restore_folder, write_whole
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.layers import EPS
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from bpe_lm.training.checkpoint import check_model

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_FILES = {CONFIG, WEIGHTS, "generation_config.json", "tokenizer.json", "tokenizer_config.json"}
_GGUF_MAGIC = b"GGUF"

_SIZES = {"vocab_size", "context_length", "d_model", "num_layers", "num_heads", "d_ff", "rope_theta", "tied_head"}
"""Fields of ModelConfig that a Llama has with any value."""
_LLAMA: Mapping[str, Any] = {"norm": "pre", "position": "rope", "ffn": "swiglu"}
"""All its other fields, with the value that a Llama has. A field that is in neither is refused."""

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
_GGUF = {
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


def export_huggingface(
    model: TransformerLM, tokenizer: Tokenizer, folder: str | os.PathLike[str], *, force: bool = False
) -> None:
    """Write a folder that `AutoModelForCausalLM` and `AutoTokenizer` open: the same ids, the same logits.

    Raises:
        ExportError: The architecture is not Llama's, or the tokenizer has ids that the model has not.
        OutputExists: The folder is not empty and `force` is not given, or something other than an export is there.
        FileError: It could not be written; what was there before is still there.
    """
    check_folder_target(folder)
    target = Path(os.path.realpath(folder))
    _check(model.config, tokenizer)
    try:
        restore_folder(target)
        _check_folder(target, force)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as made:
            partial = Path(made) / "new"
            partial.mkdir()
            for name, content in _tokenizer_files(tokenizer, model.config).items():
                write_whole(partial / name, content)
            write_whole(partial / CONFIG, _json(_llama_config(model, tokenizer)))
            write_whole(partial / "generation_config.json", _json(_ends(tokenizer)))
            write_whole(partial / WEIGHTS, save(llama_state(model), {"format": "pt"}))
            replace_folder(partial, target)
    except OSError as error:
        if isinstance(error, BpeLmError):
            raise
        raise FileError(f"could not write {target}: {error.strerror}") from error


def export_gguf(
    model: TransformerLM, tokenizer: Tokenizer, path: str | os.PathLike[str], *, force: bool = False
) -> None:
    """Write a file that llama.cpp runs, in float32.

    Raises:
        ExportError: The architecture is not Llama's, the tokenizer has ids that the model has not, or a pattern other
            than GPT-2's.
        OutputExists: The file is there and `force` is not given, or something other than a GGUF file is there.
        FileError: It could not be written.
        MissingExtra: The package gguf is not installed.
    """
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise MissingExtra("GGUF is written with the package gguf: pip install gguf") from error
    check_file_target(path)
    target, config = Path(os.path.realpath(path)), model.config
    _check(config, tokenizer)
    if tokenizer.pattern != "gpt2":
        raise ExportError(f"llama.cpp knows GPT-2's pattern, and the tokenizer has {tokenizer.pattern!r}")
    _check_file(target, force)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(partial, "llama")
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
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        _add_tokenizer(writer, tokenizer, config.vocab_size, gguf.TokenType)
        for name, tensor in _renamed(model, _GGUF).items():
            writer.add_tensor(name, tensor.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        partial.replace(target)
    except OSError as error:
        raise FileError(f"could not write {target}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def load_exported(folder: Path) -> tuple[ModelConfig, dict[str, Tensor]]:
    """Config and weights of a folder in Hugging Face's form, as ours.

    Raises:
        ExportError: It is no Llama that we can be.
        CheckpointError: It is damaged.
        FileError: It could not be read.
    """
    config = _our_config(folder, read_json(folder / CONFIG))
    try:
        state = load((folder / WEIGHTS).read_bytes())
    except OSError as error:
        raise FileError(f"could not read {folder / WEIGHTS}: {error.strerror}") from error
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is damaged: {error}") from error
    if config.tied_head and "lm_head.weight" not in state:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    names = {theirs: ours for ours, theirs in _names(_HUGGING_FACE, config.num_layers).items()}
    found = {
        names.get(name, name): tensor for name, tensor in state.items() if not name.endswith("rotary_emb.inv_freq")
    }
    for name, tensor in found.items():
        if _is_turned(name) and tensor.shape == (config.d_model, config.d_model):
            found[name] = rearrange(tensor, "(h two k) d -> (h k two) d", two=2, h=config.num_heads)
    with torch.device("meta"):
        check_model(TransformerLM.from_config(config), found, folder / WEIGHTS)
    return config, found


def _check(config: ModelConfig, tokenizer: Tokenizer) -> None:
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    other = {key: value for key, value in values.items() if key not in _SIZES and _LLAMA.get(key, ...) != value}
    if other:
        found = "; ".join(f"model.{key} is {value!r}" for key, value in other.items())
        wanted = ", ".join(f"{key} {value!r}" for key, value in _LLAMA.items())
        raise ExportError(f"{found}: Llama has no such thing, and nobody could open it; it has {wanted}")
    if tokenizer.vocab_size > config.vocab_size:
        raise ExportError(
            f"the tokenizer has {tokenizer.vocab_size:,} tokens and the model {config.vocab_size:,}; "
            "give the one that it was trained with"
        )


def _check_folder(target: Path, force: bool) -> None:
    there = {path.name for path in target.iterdir()} if target.exists() else set()
    if there and not force:
        raise OutputExists(f"{target} is not empty; name another folder, or give --force")
    if there - _FILES:
        raise OutputExists(f"{target} has {min(there - _FILES)}, which is not of an export; name another folder")
    if there and not _is_export(target):
        raise OutputExists(f"{target} has no model that was exported, and --force replaces nothing else; name another")


def _is_export(folder: Path) -> bool:
    try:
        return "model_type" in read_json(folder / CONFIG) and (folder / WEIGHTS).is_file()
    except BpeLmError:
        return False


def _check_file(target: Path, force: bool) -> None:
    if not target.exists():
        return
    if not force:
        raise OutputExists(f"{target} exists; name another file, or give --force")
    try:
        with target.open("rb") as file:
            is_gguf = file.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC
    except OSError as error:
        raise FileError(f"could not read {target}: {error.strerror}") from error
    if not is_gguf:
        raise OutputExists(f"{target} is no GGUF file, and --force replaces nothing else; name another")


def _names(table: Mapping[str, str], num_layers: int) -> dict[str, str]:
    """Our names of weights, and theirs."""
    return {
        f"{ours.format(number)}.weight": f"{theirs.format(number)}.weight"
        for ours, theirs in table.items()
        for number in range(num_layers if "{}" in ours else 1)
    }


def _renamed(model: TransformerLM, table: Mapping[str, str]) -> dict[str, Tensor]:
    state, names = model.state_dict(), _names(table, model.config.num_layers)
    if model.config.tied_head:
        # Both read the head from the embedding where it is missing.
        del state["lm_head.weight"]
    return {names[name]: tensor.detach().float().cpu().contiguous().clone() for name, tensor in state.items()}


def _is_turned(name: str) -> bool:
    return name.endswith(("q_proj.weight", "k_proj.weight"))


def llama_state(model: TransformerLM) -> dict[str, Tensor]:
    """The weights of `LlamaForCausalLM`, by its names and in its order."""
    return {
        name: rearrange(tensor, "(h k two) d -> (h two k) d", two=2, h=model.config.num_heads).contiguous()
        if _is_turned(name)
        else tensor
        for name, tensor in _renamed(model, _HUGGING_FACE).items()
    }


def _ends(tokenizer: Tokenizer) -> dict[str, Any]:
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
        # transformers 5 reads the second, everything before it the first.
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": config.rope_theta},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": config.tied_head,
        "initializer_range": 0.02,
        "use_cache": True,
        "dtype": "float32",
        "torch_dtype": "float32",
        **_ends(tokenizer),
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
        raise ExportError(f"{folder / CONFIG} is no config of a Llama: {error!r}") from error
    wrong = [f"{key} is {found!r}, and ours {wanted!r}" for key, (wanted, found) in other.items() if found != wanted]
    if wrong:
        raise ExportError(f"{folder / CONFIG} is of another architecture: {'; '.join(wrong)}")
    return config


def _tokenizer_files(tokenizer: Tokenizer, config: ModelConfig) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as made:
        tokenizer.save(made, force=True)
        content = json.loads((Path(made) / "tokenizer_config.json").read_bytes())
        content["model_max_length"] = config.context_length
        return {
            "tokenizer.json": (Path(made) / "tokenizer.json").read_bytes(),
            "tokenizer_config.json": _json(content),
        }


def _add_tokenizer(writer: Any, tokenizer: Tokenizer, vocab_size: int, kinds: Any) -> None:
    with tempfile.TemporaryDirectory() as made:
        tokenizer.save(made, force=True)
        content = json.loads((Path(made) / "tokenizer.json").read_bytes())
    ids = {number: token for token, number in content["model"]["vocab"].items()}
    special = {token["id"]: token["content"] for token in content["added_tokens"]}
    # Rows of the embedding that no token has.
    unused = {number: f"<|unused {number}|>" for number in range(vocab_size) if number not in ids.keys() | special}
    tokens = unused | ids | special
    types = dict.fromkeys(unused, kinds.UNUSED) | dict.fromkeys(special, kinds.CONTROL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([tokens[number] for number in range(vocab_size)])
    writer.add_token_types([types.get(number, kinds.NORMAL) for number in range(vocab_size)])
    writer.add_token_merges([" ".join(pair) for pair in content["model"]["merges"]])
    writer.add_add_bos_token(False)
    for name, number in _ends(tokenizer).items():
        if number is None:
            warnings.warn(f"the tokenizer has no {END_OF_TEXT}: llama.cpp takes the token 11 for it", stacklevel=3)
            break
        getattr(writer, f"add_{name}")(number)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
