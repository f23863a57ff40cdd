"""The model in a folder, used from Python: evaluated, continuing a text, and exported."""

import json
from pathlib import Path

import pytest
from bpe_lm import evaluate_folder, export_folder, generate_from_folder
from bpe_lm.errors import ConfigError, FileError, OptionError


@pytest.fixture
def run(run_of_two_steps) -> Path:
    return run_of_two_steps


def test_a_folder_is_evaluated_on_its_own_or_on_another_file(run, data):
    reports = []
    found = evaluate_folder(run, device="cpu", progress=lambda *report: reports.append(report))
    assert found.tokens == str(data / "valid.bin")
    assert found.as_dict()["dtype"] == found.dtype == "float32"
    assert 0 < found.evaluation.bits_per_byte < found.evaluation.loss < found.evaluation.perplexity
    assert reports[-1] == ("evaluate", found.evaluation.tokens, found.evaluation.tokens)
    other = evaluate_folder(run, str(data / "train.bin"), device="cpu", dtype="bfloat16")
    assert other.evaluation.tokens > found.evaluation.tokens
    assert other.dtype == "bfloat16"


def test_a_folder_continues_a_text(run):
    options = {"temperature": 0, "max_tokens": 8, "device": "cpu"}
    text = "".join(generate_from_folder(run, "Once", **options))
    assert text == "".join(generate_from_folder(run, "Once", **options, last=True))
    with pytest.raises(OptionError, match="top_p"):
        next(generate_from_folder(run, "Once", top_p=2.0, device="cpu"))


def test_an_exported_folder_is_the_same_model(run, data, tmp_path):
    export_folder(run, "huggingface", tmp_path / "out", device="cpu")
    before, after = (evaluate_folder(path, str(data / "valid.bin"), device="cpu") for path in (run, tmp_path / "out"))
    assert after.evaluation.loss == pytest.approx(before.evaluation.loss, rel=1e-6)
    with pytest.raises(ConfigError, match=r"has no data\.valid; name one with --tokens \(tokens=\.\.\.\)"):
        evaluate_folder(tmp_path / "out")
    with pytest.raises(OptionError, match=r"onnx .* is unknown; there are huggingface, gguf"):
        export_folder(run, "onnx", tmp_path / "model.onnx")


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileError, match="could not read"):
        evaluate_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model": "mine"}))
    with pytest.raises(ConfigError, match="is neither the config of a run nor of an exported model"):
        next(generate_from_folder(tmp_path))
