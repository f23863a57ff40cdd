"""The coordinate check: sizes of activations are those of a plain forward pass, and its chart shows them."""

import json
from math import nan

import pytest
import torch
from bpe_lm.experiments.coordinates import measure, recorded, sizes
from bpe_lm.experiments.coordinates_chart import coordinate_chart
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training import trainer as training
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.presets import resolve
from bpe_lm.training.trainer import Trainer

KINDS = {"embedding", "attention", "feed-forward network", "last block", "logits"}


@pytest.fixture(autouse=True)
def no_measuring(monkeypatch):
    monkeypatch.setattr(training, "peak_flops", lambda device, dtype: None)


@pytest.fixture
def config(data) -> TrainConfig:
    schedule = {"shape": "constant", "warmup": 0, "max_learning_rate": 1e-2}
    files = {"train": str(data / "train.bin"), "tokenizer": str(data / "tokenizer")}
    return override(resolve("debug"), {"data": files, "device": "cpu", "schedule": schedule})


def size(x: torch.Tensor) -> float:
    return float(x.square().mean().sqrt())


def test_the_first_sizes_are_those_of_a_plain_forward_pass(config, tmp_path):
    found = sizes(config, 1)
    assert found.keys() == KINDS
    with Trainer(config, tmp_path) as trainer, torch.no_grad():
        model, (x, _) = trainer.model, trainer.next_batch()
    positions = torch.arange(x.shape[-1])
    with torch.no_grad():
        hidden = model.token_embeddings(x)
        expected = {"embedding": size(hidden), "logits": size(model(x))}
        attention, ffn = [], []
        for layer in model.layers:
            attention.append(layer.attn(layer.ln1(hidden), positions))
            hidden = hidden + attention[-1]
            ffn.append(layer.ffn(layer.ln2(hidden)))
            hidden = hidden + ffn[-1]
    expected |= {"attention": size(torch.stack(attention)), "feed-forward network": size(torch.stack(ffn))}
    expected["last block"] = size(hidden)
    assert {kind: values[0] for kind, values in found.items()} == pytest.approx(expected, rel=1e-4)


def test_each_step_has_a_size_and_training_changes_it(config):
    found = sizes(config, 3)
    assert {len(values) for values in found.values()} == {3}
    assert all(len(set(values)) == 3 for values in found.values())
    still = sizes(override(config, {"schedule": {"max_learning_rate": 1e-12}}), 1)
    assert still["logits"] == pytest.approx(found["logits"][:1])


def test_micro_batches_change_no_size(config):
    whole, parts = sizes(config, 2), sizes(override(config, {"micro_batch_size": 2}), 2)
    for kind in KINDS:
        assert whole[kind] == pytest.approx(parts[kind], rel=1e-4)


def test_bfloat16_has_nearly_the_same_sizes(config):
    wide, narrow = sizes(config, 2), sizes(override(config, {"dtype": "bfloat16"}), 2)
    for kind in KINDS:
        assert wide[kind] == pytest.approx(narrow[kind], rel=0.03)


def test_no_hook_stays_after_an_error():
    model = TransformerLM(30, 8, 16, 2, 2, 32)
    with pytest.raises(RuntimeError, match="stop"), recorded(model):
        raise RuntimeError("stop")
    assert not any(module._forward_hooks for module in model.modules())


def test_logits_without_a_head_have_no_size():
    model = TransformerLM(30, 8, 16, 2, 2, 32)
    torch.nn.init.zeros_(model.lm_head.weight)
    with recorded(model) as squares:
        model(torch.arange(8)[None])
    assert squares["logits"] == [0]
    assert len(squares["attention"]) == 2


def test_the_job_prints_json_with_a_place_for_each_config_and_null_for_what_is_not_finite(config, monkeypatch):
    configs = [config.as_dict(), override(config, {"model": {"d_model": 64, "d_ff": 128}}).as_dict()]
    found = json.loads(json.dumps(measure(configs, 2), allow_nan=False))
    assert [set(kinds) for kinds in found["sizes"]] == [KINDS, KINDS]
    monkeypatch.setattr("bpe_lm.experiments.coordinates.sizes", lambda config, steps: {"logits": [1.0, nan]})
    assert measure(configs[:1], 2) == {"sizes": [{"logits": [1.0, None]}]}


def test_the_chart_has_a_panel_for_each_kind_and_a_line_for_each_step():
    pytest.importorskip("matplotlib")
    values = {"attention": [[0.5, 0.6, 0.7], [0.5, 0.8, None]], "logits": [[0.1, 0.2, 0.3], [0.1, 0.4, 0.9]]}
    figure = coordinate_chart(values, (64, 128), "Sizes")
    assert [axes.get_title() for axes in figure.axes] == ["attention", "logits"]
    assert [len(axes.lines) for axes in figure.axes] == [3, 3]
    assert list(figure.axes[0].lines[2].get_xdata()) == [64], "a size that is not finite has no point"
    assert list(figure.axes[1].lines[2].get_ydata()) == [0.3, 0.9]
    figure.canvas.draw()
    coordinate_chart({}, (64, 128)).canvas.draw()
