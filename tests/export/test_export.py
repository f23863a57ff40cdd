"""A model is the same model elsewhere: the same ids, the same logits, the same text."""

import dataclasses
import json
import os
import random
from pathlib import Path

import bpe_lm
import pytest
import torch
from bpe_lm.cli.guard import Terminated
from bpe_lm.cli.main import main
from bpe_lm.errors import CheckpointError, ExportError, FileError, OutputExists
from bpe_lm.export import llama
from bpe_lm.export.gguf import export_gguf
from bpe_lm.export.llama import export_huggingface
from bpe_lm.export.load import load_model
from bpe_lm.fields import key
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.generate import generate_ids
from bpe_lm.model.transformer import TransformerLM

END_OF_TEXT = "<|endoftext|>"
CONFIG = ModelConfig(vocab_size=310, context_length=96, d_model=64, num_layers=3, num_heads=4, d_ff=176)
PROMPT = "Once upon a time, "
TEXTS = [PROMPT, "", " ", "naïve — 牛 🙂\n\n  x", f"a{END_OF_TEXT}b", "don't 1234", "\x00\t\r\n"]


@pytest.fixture(scope="module")
def tokenizer(sample) -> bpe_lm.Tokenizer:
    """It has 300 tokens, fewer than the model has rows."""
    vocab, merges = bpe_lm.train_bpe(sample, 300, [END_OF_TEXT])
    return bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT])


def model(**changes) -> TransformerLM:
    torch.manual_seed(1)
    made = TransformerLM.from_config(ModelConfig(**CONFIG.as_dict() | changes)).eval()
    for name, weight in made.named_parameters():
        if "ln" in name:  # Else all norms would be alike.
            weight.data = torch.rand_like(weight) + 0.5
        elif "token_embeddings" in name or "lm_head" in name:  # Of a size that makes greedy text vary.
            weight.data = torch.randn_like(weight) * 0.2
    return made


def greedy(made: TransformerLM, ids: list[int]) -> list[int]:
    return list(generate_ids(made, ids, 64, temperature=0))


@pytest.mark.row("R33")
@pytest.mark.parametrize("tied", [False, True])
def test_transformers_has_the_same_ids_logits_and_text(tokenizer, tmp_path, tied):
    transformers = pytest.importorskip("transformers")
    ours = model(tied_head=tied)
    export_huggingface(ours, tokenizer, tmp_path / "out")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert type(theirs).__name__ == "LlamaForCausalLM"
    assert theirs.dtype == torch.float32
    for text in TEXTS:
        assert reader(text)["input_ids"] == tokenizer.encode(text)
    ids = tokenizer.encode(PROMPT)
    long = torch.randint(310, (2, 96), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.allclose(ours(long), theirs(long).logits, atol=1e-4, rtol=0)
    found = theirs.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids)),
        max_new_tokens=64,
        do_sample=False,
        eos_token_id=None,
    )
    assert found[0, len(ids) :].tolist() == greedy(ours, ids)
    assert len(set(greedy(ours, ids))) > (1 if tied else 5)


@pytest.mark.row("R33", few=300, many=10_000)
def test_transformers_reads_the_exported_tokenizer_to_the_same_ids(tokenizer, sample, tmp_path, cases):
    transformers = pytest.importorskip("transformers")
    export_huggingface(model(), tokenizer, tmp_path / "out")
    reader = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    rng, stories = random.Random(33), sample.read_text()
    odd = [
        "  ",
        "\n\n",
        "\t",
        "'s",
        "'LL",
        "é",
        "e\u0301",
        "中文",
        "🙂",
        "\u00a0",
        "\u3000",
        "1234",
        "...",
        "<|",
        END_OF_TEXT,
    ]
    for _ in cases:
        start = rng.randrange(len(stories) - 100)
        text = stories[start : start + rng.randrange(80)] + "".join(rng.choices(odd, k=rng.randrange(8)))
        assert reader(text)["input_ids"] == tokenizer.encode(text)


@pytest.mark.parametrize("tied", [False, True])
def test_what_was_exported_comes_back_to_the_bit(tokenizer, tmp_path, tied):
    ours = model(tied_head=tied)
    export_huggingface(ours, tokenizer, tmp_path / "out")
    again = load_model(tmp_path / "out")
    assert again.config == ours.config
    assert all(torch.equal(weight, again.state_dict()[name]) for name, weight in ours.state_dict().items())


@pytest.mark.parametrize("tied", [False, True])
def test_gguf_has_the_tensors_and_the_tokenizer(tokenizer, tmp_path, tied):
    gguf = pytest.importorskip("gguf")
    ours = model(tied_head=tied)
    export_gguf(ours, tokenizer, tmp_path / "model.gguf")
    reader = gguf.GGUFReader(tmp_path / "model.gguf")

    def field(name: str):
        return reader.fields[name].contents()

    assert field("general.architecture") == "llama"
    assert field("llama.attention.head_count") == 4
    assert field("llama.rope.dimension_count") == 16
    assert field("llama.attention.layer_norm_rms_epsilon") == pytest.approx(1e-5)
    assert (field("tokenizer.ggml.model"), field("tokenizer.ggml.pre")) == ("gpt2", "gpt-2")
    tokens, types = field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type")
    assert len(set(tokens)) == len(types) == 310
    assert [tokens[number] for number in (32, 256)] == ["Ġ", "".join(field("tokenizer.ggml.merges")[0].split(" "))]
    end = tokenizer.special_ids[END_OF_TEXT]
    assert (tokens[end], types[end], field("tokenizer.ggml.eos_token_id")) == (END_OF_TEXT, 3, end)
    assert types[300:] == [5] * 10
    tensors = {tensor.name: torch.tensor(tensor.data) for tensor in reader.tensors}
    assert ("output.weight" in tensors) != tied
    assert torch.equal(tensors["blk.2.attn_q.weight"], ours.layers[2].attn.qkv_proj.weight[: ours.config.d_model])
    assert torch.equal(tensors["blk.0.ffn_up.weight"], ours.layers[0].ffn.w3.weight)


@pytest.mark.row("R33")
def test_llama_cpp_writes_the_same_text(tokenizer, tmp_path):
    llama_cpp = pytest.importorskip("llama_cpp")
    ours = model()
    export_gguf(ours, tokenizer, tmp_path / "model.gguf")
    theirs = llama_cpp.Llama(str(tmp_path / "model.gguf"), n_ctx=96, verbose=False)
    for text in TEXTS:
        assert theirs.tokenize(text.encode(), add_bos=False, special=True) == tokenizer.encode(text)
    ids = tokenizer.encode(PROMPT)
    found = []
    for token in theirs.generate(ids, temp=0.0, repeat_penalty=1.0):
        found.append(token)
        if len(found) == 64:
            break
    assert found == greedy(ours, ids)


@pytest.mark.parametrize(
    "changes",
    [
        {"norm": "post"},
        {"norm": "none"},
        {"position": "none"},
        {"ffn": "silu"},
        {"ffn": "relu2"},
        {"qk_norm": True},
        {"logit_softcap": 15.0},
        {"value_embeddings": 1},
        {"u_net_skips": True},
        {"embedding_scale": 2.0},
        {"window": 8},
        {"global_every": 2},
    ],
    ids=str,
)
def test_what_llama_cannot_be_is_refused(tokenizer, tmp_path, changes):
    [(key, value)] = changes.items()
    for export in (export_huggingface, export_gguf):
        with pytest.raises(ExportError, match=f"model.{key} is {value!r}: no Llama has that"):
            export(model(**changes), tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_kept(tokenizer, tmp_path):
    pytest.importorskip("gguf")
    for export in (export_huggingface, export_gguf):
        out = tmp_path / export.__name__
        export(model(), tokenizer, out)
        with pytest.raises(OutputExists):
            export(model(), tokenizer, out)
        export(model(), tokenizer, out, force=True)
        with pytest.raises(ExportError, match="the tokenizer has 300 tokens and the model 299"):
            export(model(vocab_size=299), tokenizer, out, force=True)
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(FileError, match="Not a directory"):
            export(model(), tokenizer, tmp_path / "file" / "out")
    assert not list(tmp_path.glob(".*"))


def test_gguf_has_gpt2s_pattern_only(tokenizer, tmp_path):
    pytest.importorskip("gguf")
    other = bpe_lm.Tokenizer(tokenizer.vocab, tokenizer.merges, [END_OF_TEXT], pattern="cl100k")
    with pytest.raises(ExportError, match="pattern"):
        export_gguf(model(), other, tmp_path / "out")
    vocab = tokenizer.vocab | {299: b"unmade"}
    other = bpe_lm.Tokenizer(vocab, tokenizer.merges, [], ignore_merges=True)
    with pytest.raises(ExportError, match="ignore_merges"):
        export_gguf(model(), other, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_key_value_heads": 2}, "num_key_value_heads is 2, and must be 4"),
        ({"model_type": "mistral"}, "model_type is 'mistral'"),
        ({"rms_norm_eps": 1e-6}, "rms_norm_eps"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "rope_type is 'llama3'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"hidden_size": "many"}, "is not the config of a Llama"),
    ],
)
def test_other_llamas_are_refused(tokenizer, tmp_path, changes, message):
    export_huggingface(model(), tokenizer, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ExportError, match=message):
        load_model(tmp_path)


def test_damaged_exports_are_refused(tokenizer, tmp_path):
    export_huggingface(model(), tokenizer, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(tmp_path)
    weights.unlink()
    with pytest.raises(FileError, match="could not read"):
        load_model(tmp_path)


def test_the_command_exports_a_run(tokenizer, sample, tmp_path, capsys):
    (tmp_path / "text.txt").write_bytes(sample.read_bytes()[:20_000])
    tokenizer.save(tmp_path / "tokenizer")
    tokenizer.encode_file(tmp_path / "text.txt", tmp_path / "tokens.bin")
    flags = [
        "--data.train",
        str(tmp_path / "tokens.bin"),
        "--data.tokenizer",
        str(tmp_path / "tokenizer"),
        "--steps",
        "2",
    ]
    assert main(["pretrain", "debug", "--out", str(tmp_path / "run"), "--quiet", *flags]) == 0
    assert main(["export", str(tmp_path / "run"), "--to", "huggingface", str(tmp_path / "out")]) == 0
    state = load_model(tmp_path / "run").state_dict()
    again = load_model(tmp_path / "out").state_dict()
    assert all(torch.equal(weight, again[name]) for name, weight in state.items())
    assert main(["export", str(tmp_path / "run"), "--to", "huggingface", str(tmp_path / "out")]) == 1
    assert main(["export", str(tmp_path / "run"), "--to", "onnx", str(tmp_path / "x")]) == 1
    error = capsys.readouterr().err
    assert "give --force" in error
    assert "there are huggingface, gguf" in error


def test_what_an_export_did_not_write_is_kept(tokenizer, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match="has mine.txt, which no export writes"):
        export_huggingface(model(), tokenizer, tmp_path, force=True)
    with pytest.raises(OutputExists, match="is not a folder"):
        export_huggingface(model(), tokenizer, tmp_path / "mine.txt", force=True)


def test_nothing_is_exported_to_an_address(tokenizer, tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    monkeypatch.chdir(tmp_path)
    for export in (export_huggingface, export_gguf):
        with pytest.raises(FileError, match="s3://bucket/x is an address"):
            export(model(), tokenizer, "s3://bucket/x")
    assert not list(tmp_path.iterdir())


def test_force_replaces_exports_only(tokenizer, tmp_path):
    pytest.importorskip("gguf")
    tokenizer.save(tmp_path / "saved")
    (tmp_path / "tokenizer").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "saved" / name).rename(tmp_path / "tokenizer" / name)
    with pytest.raises(OutputExists, match="has no exported model"):
        export_huggingface(model(), tokenizer, tmp_path / "tokenizer", force=True)
    assert {path.name for path in (tmp_path / "tokenizer").iterdir()} == {"tokenizer.json", "tokenizer_config.json"}
    (tmp_path / "mine.txt").write_text("mine")
    os.mkfifo(tmp_path / "pipe")
    for name, message in (("mine.txt", "is not a GGUF file"), ("pipe", "is a named pipe"), ("saved", "is a folder")):
        for force in (False, True):
            with pytest.raises(OutputExists, match=message if force or name != "mine.txt" else "give --force"):
                export_gguf(model(), tokenizer, tmp_path / name, force=force)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert (tmp_path / "pipe").is_fifo()


def test_an_address_is_no_place_of_this_machine(tokenizer, tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    monkeypatch.chdir(tmp_path)
    for export in (export_huggingface, export_gguf):
        for out in ("s3://bucket/x", Path("hf://x"), "https://example.org/x"):
            with pytest.raises(FileError, match="is an address, and only local files are written"):
                export(model(), tokenizer, out)
    assert not list(tmp_path.iterdir())


def test_a_link_is_kept_and_what_it_points_to_replaced(tokenizer, tmp_path):
    pytest.importorskip("gguf")
    for export in (export_huggingface, export_gguf):
        real, link = tmp_path / f"real {export.__name__}", tmp_path / f"link {export.__name__}"
        export(model(), tokenizer, real)
        link.symlink_to(real)
        export(model(num_layers=1), tokenizer, link, force=True)
        assert link.is_symlink()
        size = sum(path.stat().st_size for path in ([*real.iterdir()] if real.is_dir() else [real]))
        export(model(num_layers=2), tokenizer, link, force=True)
        assert size < sum(path.stat().st_size for path in ([*real.iterdir()] if real.is_dir() else [real]))


@pytest.mark.parametrize("error", [KeyboardInterrupt, Terminated, OSError(5, "Input/output error")], ids=repr)
@pytest.mark.parametrize("is_done", [False, True])
def test_an_exchange_that_is_interrupted_leaves_the_old_or_the_new(tokenizer, tmp_path, monkeypatch, error, is_done):
    rename, calls = Path.rename, []

    def interrupted(path, to):
        calls.append(to)
        if len(calls) == failing and not is_done:
            raise error
        done = rename(path, to)
        if len(calls) == failing:
            raise error
        return done

    out, old, new = tmp_path / "out", model(num_layers=1), model(num_layers=2)
    export_huggingface(old, tokenizer, out)
    for failing in (1, 2):
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", interrupted)
            with pytest.raises(FileError if isinstance(error, OSError) else error):
                export_huggingface(new, tokenizer, out, force=True)
        assert load_model(out).config == (new if is_done and failing == 2 else old).config
        assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_kill_between_the_two_renames_loses_nothing(tokenizer, tmp_path, monkeypatch):
    out = tmp_path / "out"
    export_huggingface(model(num_layers=1), tokenizer, out)
    out.rename(tmp_path / ".out.replaced")
    with pytest.raises(OutputExists, match="is not empty"):
        export_huggingface(model(num_layers=2), tokenizer, out)
    assert load_model(out).config.num_layers == 1
    out.rename(tmp_path / ".out.replaced")
    export_huggingface(model(num_layers=2), tokenizer, out, force=True)
    assert load_model(out).config.num_layers == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_field_that_llama_is_not_known_to_have_is_refused(tokenizer, tmp_path, monkeypatch):
    known = dataclasses.fields(ModelConfig)
    extended = dataclasses.make_dataclass(
        "Extended", [("invented", float, 0.0)], bases=(ModelConfig,), frozen=True, kw_only=True
    )
    ours = model()
    export_huggingface(ours, tokenizer, tmp_path / "before")
    ours.config = extended(**CONFIG.as_dict())
    assert len(dataclasses.fields(ours.config)) == len(known) + 1
    for export in (export_huggingface, export_gguf):
        with pytest.raises(ExportError, match=r"model.invented is 0.0: no Llama has that"):
            export(ours, tokenizer, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(llama, "ModelConfig", extended)
    with pytest.raises(ExportError, match=r"model.invented is 0.0: no Llama has that"):
        load_model(tmp_path / "before")


def test_a_switch_that_states_llamas_value_is_exported_with_that_value_alone(tokenizer, tmp_path):
    invented = ("invented", float, key(0.0, "a switch", llama=0.0))
    extended = dataclasses.make_dataclass("Extended", [invented], bases=(ModelConfig,), frozen=True, kw_only=True)
    ours = model()
    ours.config = extended(**CONFIG.as_dict())
    export_huggingface(ours, tokenizer, tmp_path / "out")
    assert load_model(tmp_path / "out").config == CONFIG
    ours.config = extended(**CONFIG.as_dict(), invented=1.0)
    with pytest.raises(ExportError, match=r"model.invented is 1.0: no Llama has that"):
        export_huggingface(ours, tokenizer, tmp_path / "another")


def test_without_an_end_of_text(tokenizer, tmp_path):
    pytest.importorskip("gguf")
    bare = bpe_lm.Tokenizer({i: t for i, t in tokenizer.vocab.items() if i != 299}, tokenizer.merges)
    export_huggingface(model(), bare, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["eos_token_id"] is None
    with pytest.warns(UserWarning, match="has no <|endoftext|>"):
        export_gguf(model(), bare, tmp_path / "model.gguf")
