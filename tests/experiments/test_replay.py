"""Replay: a step of a run is done again to the bit, and nothing in the run's folder changes."""

import io
import json
import os
import re
import shutil
import signal
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import bpe_lm
import numpy as np
import pytest
import torch
from bpe_lm.cli.main import main
from bpe_lm.cli.replay import print_replay
from bpe_lm.errors import ConfigError, FileError, OptionError, ResumeMismatch
from bpe_lm.experiments import replay as replaying
from bpe_lm.experiments.replay import COLOURS, LEVELS, Replay, Row, level_of, printable, replay
from bpe_lm.experiments.replay_page import page
from bpe_lm.tokenizer.token_file import open_tokens
from bpe_lm.training import trainer as training
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_log import read_records
from bpe_lm.training.trainer import Trainer

STEPS = 12


@pytest.fixture(scope="module", autouse=True)
def no_measuring():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "peak_flops", lambda device, dtype: None)
        yield


@pytest.fixture(scope="module")
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    changes = {"steps": STEPS, "checkpoint_every": 4, "validate_every": 3, "validation_tokens": 160, "device": "cpu"}
    return override(resolve("debug"), {"data": files, "micro_batch_size": 2, "log_every": 1} | changes)


def train(config: TrainConfig, folder: Path, **options) -> Path:
    with Trainer(config, folder, **options) as trainer:
        trainer.run()
    return folder


@pytest.fixture(scope="module")
def run(config, tmp_path_factory) -> Path:
    """A run with the checkpoints of steps 8 and 12, and the best of step 12."""
    return train(config, tmp_path_factory.mktemp("replay") / "run")


@pytest.fixture(scope="module")
def ninth(run) -> Replay:
    """The replay of step 9, which is the first after a checkpoint."""
    return replay(run, 9)


@pytest.fixture(scope="module")
def plain(config) -> TrainConfig:
    """A config without validations, and so without best checkpoints."""
    return override(config, {"data": {"valid": ""}})


def records(folder: Path) -> dict[int, dict]:
    return {r["step"]: r for r in read_records(folder / "metrics.jsonl") if r["kind"] == "train"}


def contents(folder: Path) -> dict[str, tuple]:
    """Each file and folder with its times and content."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        state = path.stat()
        content = path.read_bytes() if path.is_file() else sorted(os.listdir(path))
        found[str(path)] = (state.st_mtime_ns, state.st_ctime_ns, content)
    return found


@pytest.mark.parametrize(("step", "origin"), [(1, 0), (5, 0), (8, 0), (9, 8), (12, 8)])
def test_a_step_is_the_recorded_one_to_the_bit(run, step, origin):
    found = replay(run, step)
    record = records(run)[step]
    assert found.redone_from == origin
    assert (found.loss, found.gradient_norm, found.learning_rate) == (
        record["loss"],
        record["gradient_norm"],
        record["learning_rate"],
    )
    assert found.recorded_loss == record["loss"]


def test_nothing_in_the_folder_changes(run, capsys):
    before = contents(run)
    replay(run, 10)
    with pytest.raises(OptionError):
        replay(run, STEPS + 1)
    assert main(["replay", str(run), "--step", "2", "--json", "--quiet"]) == 0
    assert contents(run) == before


def test_a_run_that_another_process_trains_can_be_replayed(run, config):
    with Trainer(config, run, resume=True):  # It has the lock of the folder.
        assert replay(run, 9).loss == records(run)[9]["loss"]


def test_the_batch_is_that_of_the_step_and_where_it_begins(run, ninth, config, data):
    tokens = open_tokens(data / "train.bin")
    with Trainer(config, run, resume=True) as trainer:
        starts = trainer.batches.starts(8)
    assert [row.start for row in ninth.rows] == starts.tolist()
    tokenizer = bpe_lm.Tokenizer.load(data / "tokenizer")
    for row in ninth.rows:
        assert row.ids == tokens[row.start : row.start + config.model.context_length + 1].tolist()
        assert len(row.losses) == len(row.texts) - 1 == config.model.context_length
        assert "".join(row.texts) == tokenizer.decode(row.ids)


def test_the_losses_of_the_tokens_have_the_loss_of_the_step_as_their_mean(ninth):
    assert np.mean([row.losses for row in ninth.rows]) == pytest.approx(ninth.loss, rel=1e-6)
    assert ninth.hardest(1)[0][0] == max(loss for row in ninth.rows for loss in row.losses)
    loss, place, text = ninth.hardest(1)[0]
    row = next(row for row in ninth.rows if loss in row.losses)
    assert (place, text) == (row.start + row.losses.index(loss) + 1, row.texts[row.losses.index(loss) + 1])


def test_the_norms_of_the_modules_add_up_to_those_of_the_model(run, ninth, config):
    squares = sum(norms.gradient_norm**2 for norms in ninth.modules.values())
    assert squares**0.5 == pytest.approx(ninth.gradient_norm, rel=1e-5)
    assert "layers.1.attn.qkv_proj" in ninth.modules
    with Trainer(config, run, resume=True) as trainer:
        assert sum(norms.weights for norms in ninth.modules.values()) == trainer.model.num_parameters()
    first = replay(run, 1).modules["ln_final"]
    assert first.weight_norm == pytest.approx(config.model.d_model**0.5), "the weights are those before the step"


def test_a_gradient_norm_is_of_the_gradients_before_clipping(plain, tmp_path):
    folder = train(override(plain, {"steps": 3, "optimizer": {"max_l2_norm": 1e-3}}), tmp_path / "run")
    found = replay(folder, 3)
    assert found.gradient_norm == records(folder)[3]["gradient_norm"] > 1e-2
    squares = sum(norms.gradient_norm**2 for norms in found.modules.values())
    assert squares**0.5 == pytest.approx(found.gradient_norm, rel=1e-5)


def test_a_best_checkpoint_is_a_beginning_if_it_has_an_optimizer_as_those_of_earlier_versions_have(
    config, tmp_path, monkeypatch
):
    losses = iter([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: SimpleNamespace(loss=next(losses), perplexity=1.0))
    folder = train(override(config, {"checkpoint_every": 3, "checkpoints_kept": 4}), tmp_path / "run")
    assert [path.name for path in (folder / "best").iterdir()] == ["step-00000003"]
    assert not (folder / "best" / "step-00000003" / "optimizer.safetensors").exists()
    of_earlier_version = tmp_path / "step-00000003"
    shutil.move(folder / "checkpoints" / "step-00000003", of_earlier_version)
    shutil.rmtree(folder / "checkpoints")
    assert replay(folder, 7).redone_from == 0
    shutil.rmtree(folder / "best" / "step-00000003")
    shutil.move(of_earlier_version, folder / "best" / "step-00000003")
    found = replay(folder, 7)
    assert found.redone_from == 3
    assert found.loss == records(folder)[7]["loss"]


def test_a_best_checkpoint_of_steps_that_were_done_again_is_not_used(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    shutil.rmtree(folder / "best")
    (folder / "best").mkdir()
    (folder / "checkpoints" / "step-00000012").rename(folder / "best" / "step-00000009")
    shutil.rmtree(folder / "checkpoints")
    assert replay(folder, 12).redone_from == 0, "the validation of step 9 had another loss"


def test_a_damaged_checkpoint_is_passed_over(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    (folder / "checkpoints" / "step-00000008" / "model.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="step-00000008.*earlier step"):
        found = replay(folder, 12)
    assert found.redone_from == 0
    assert found.loss == records(folder)[12]["loss"]


def test_another_loss_than_the_recorded_one_gives_one_warning(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    changed = json.loads((folder / "config.json").read_text())
    changed["schedule"]["max_learning_rate"] = 0.5
    (folder / "config.json").write_text(json.dumps(changed))
    shutil.rmtree(folder / "checkpoints")
    with pytest.warns(UserWarning, match="step [2-9] has the loss .* the run recorded") as caught:
        found = replay(folder, 9)
    assert len(caught) == 1
    assert found.is_as_recorded is False


def test_a_step_without_a_record_says_so(plain, tmp_path):
    folder = train(override(plain, {"steps": 4, "log_every": 4}), tmp_path / "run")
    found = replay(folder, 3)
    assert found.recorded_loss is None
    assert found.is_as_recorded is None
    assert "no record" in dict(found.figures())["loss"]


def test_a_run_that_diverged_can_be_looked_at(config, tmp_path, monkeypatch):
    folder = tmp_path / "run"
    changes = {"optimizer": {"name": "sgd", "max_l2_norm": 0.0}, "max_skipped_steps": 1}
    changes["schedule"] = {"max_learning_rate": 1e30, "warmup": 0, "shape": "constant"}
    with pytest.warns(UserWarning, match="is skipped"), pytest.raises(bpe_lm.errors.TrainingDiverged):
        train(override(config, changes), folder)
    last = max(r["step"] for r in read_records(folder / "metrics.jsonl") if r["kind"] == "skip")
    with pytest.warns(UserWarning, match="is skipped"):
        found = replay(folder, last)
    assert not np.isfinite(found.loss)
    assert page(found, "run")
    assert json.dumps(bpe_lm.files.finite(found.as_dict()), allow_nan=False)


@pytest.mark.parametrize("step", [0, STEPS + 1, -1])
def test_a_step_that_the_run_has_not_done_is_an_error(run, step):
    with pytest.raises(OptionError, match=rf"has done {STEPS} steps; step {step} is not one of them"):
        replay(run, step)


def test_a_run_whose_rates_followed_its_speed_is_not_done_again(plain, tmp_path):
    timed = override(plain, {"max_time": 1e4, "schedule": {"clock": "time"}})
    with pytest.raises(OptionError, match="followed its speed .schedule.clock is time., so that its steps cannot"):
        replay(train(timed, tmp_path / "run"), 2)


def test_a_folder_that_is_no_run_is_an_error(tmp_path, run):
    with pytest.raises(FileError, match="is not a run: it has no config.json"):
        replay(tmp_path, 1)
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))
    with pytest.raises(ConfigError, match="exported model, and not of a run"):
        replay(tmp_path, 1)


def test_missing_data_and_other_data_are_errors(run, config, data, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run, folder)
    content = json.loads((folder / "config.json").read_text())
    content["data"]["train"] = str(tmp_path / "gone.bin")
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(FileError, match="gone.bin, which does not exist; name the file with --data.train"):
        replay(folder, 2)
    with pytest.raises(ResumeMismatch, match=re.escape(f"the run in {folder} began with a training file of another")):
        replay(folder, 2, train=data / "valid.bin")
    assert replay(folder, 2, train=data / "train.bin").loss == records(run)[2]["loss"]
    content["data"]["tokenizer"] = ""
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="names no tokenizer.*--tokenizer"):
        replay(folder, 2, train=data / "train.bin")
    assert replay(folder, 2, train=data / "train.bin", tokenizer=data / "tokenizer").step == 2


def test_a_replay_reaches_no_tracker(plain, tmp_path, monkeypatch):
    folder = train(replace(plain, steps=2), tmp_path / "run")
    content = json.loads((folder / "config.json").read_text())
    content |= {"wandb_project": "x", "trackio_project": "x", "tensorboard": True}
    (folder / "config.json").write_text(json.dumps(content))
    for name in ("wandb", "trackio", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)  # An import of it would give a warning, which is an error here.
    assert replay(folder, 2).step == 2


def test_progress_says_how_many_steps_are_done_again(run, capsys):
    assert main(["replay", str(run), "--step", "6"]) == 0
    said = capsys.readouterr()
    assert "0 of 5 steps done again, from the weights of the seed" in said.err
    assert "5 of 5 steps done again" in said.err
    assert main(["replay", str(run), "--step", "10", "--quiet"]) == 0
    assert not capsys.readouterr().err
    assert main(["replay", str(run), "--step", "13"]) == 1
    assert "error: the run in" in capsys.readouterr().err


def test_ctrl_c_stops_it_and_leaves_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setattr(replaying.tempfile, "tempdir", str(tmp_path))
    before = contents(run)
    reported = []

    def interrupt(step, steps):
        reported.append(step)
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        replay(run, 8, redone=interrupt)
    assert reported == [0, 1, 2, 3]
    assert list(tmp_path.iterdir()) == []
    assert contents(run) == before


def test_json_has_every_row(run, capsys):
    assert main(["replay", str(run), "--step", "9", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loss"] == found["recorded_loss"] == records(run)[9]["loss"]
    assert len(found["rows"]) == 8
    assert found["modules"]["lm_head"].keys() == {"weights", "weight_norm", "gradient_norm"}


def test_the_terminal_shows_text_and_says_what_it_hides(run, ninth, capsys):
    assert main(["replay", str(run), "--step", "9", "--rows", "2", "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert f"row 2, from token {ninth.rows[1].start:,}" in shown
    assert "row 3" not in shown
    assert "6 more rows" in shown
    assert "layers.0.ffn.w1" in shown
    assert "to the bit the recorded one" in shown
    assert main(["replay", str(run), "--step", "9", "--rows", "0", "--quiet"]) == 0
    assert "row 8, from token" in capsys.readouterr().out


def one_row(tokens: list[bytes], losses: list[float]) -> Replay:
    row = Row("a.bin", 5, list(range(len(tokens))), [printable(token) for token in tokens], losses)
    return Replay(3, 2, 1.5, 1.5, 0.1, 1e-3, {}, [row])


def test_a_loss_that_is_not_a_number_is_the_greatest():
    found = one_row([b"a", b"b", b"c", b"d"], [1.0, float("nan"), 9.0])
    assert [text for _, _, text in found.hardest(3)] == ["c", "d", "b"]


def test_parts_of_characters_and_control_characters_are_shown_safely():
    assert printable("牛".encode()) == "牛"
    assert printable("牛".encode()[:2]) == "\\xe7\\x89"
    assert printable(b"\x1b[31m") == "\\u001b[31m"
    assert printable("\u202e\u200b\r\0".encode()) == "\\u202e\\u200b\\u000d\\u0000"
    assert printable(b"a\n\tb") == "a\n\tb"
    assert printable("\U000e0041".encode()) == "\\U000e0041"


def test_tokens_are_coloured_in_a_terminal(monkeypatch, capsys):
    from rich.console import Console

    out = io.StringIO()
    terminal = Console(file=out, force_terminal=True, color_system="truecolor", highlight=False, markup=False)
    monkeypatch.setattr("bpe_lm.cli.replay.console", lambda: terminal)
    print_replay(one_row([b"[red]a[/red]", b"easy", b"hard\n"], [0.1, 9.0]), 8)
    capsys.readouterr()
    shown = out.getvalue()
    background = {level: ";".join(str(int(c[i : i + 2], 16)) for i in (1, 3, 5)) for level, c in enumerate(COLOURS)}
    assert re.search(rf"48;2;{background[0]}measy", shown)
    assert re.search(rf"48;2;{background[len(LEVELS)]}mhard↵", shown)
    assert "[red]a[/red]" in shown, "text is no markup"


def test_colours_go_with_the_loss():
    assert [level_of(loss) for loss in (0, 0.5, 1.5, 4.9, 100, float("inf"), float("nan"))] == [0, 1, 2, 4, 6, 6, 6]
    assert len(COLOURS) == len(LEVELS) + 1


class Page(HTMLParser):
    """What a browser sees: tags with their attributes, and text."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.text, self.open = [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html_is_escaped_and_needs_no_other_file(tmp_path):
    tokens = [b"<script>alert(1)</script>", b"</pre>", b"'\"&", "é\n".encode(), "牛".encode()[:1]]
    found = Page(page(one_row(tokens, [0.1, 1.5, 9.0, 3.0]), "<b>run</b>"))
    assert not found.open
    assert {tag for tag, _ in found.tags}.isdisjoint({"script", "b", "link", "img", "iframe"})
    assert "<script>alert(1)</script></pre>'\"&é↵\n\\xe7" in found.text
    assert "Step 3 of <b>run</b>" in found.text
    assert not [name for _, attributes in found.tags for name in attributes if name in ("src", "href")]
    titles = [attributes["title"] for tag, attributes in found.tags if tag == "span" and "title" in attributes]
    assert titles[1] == "token 6, id 1, loss 0.100"


def test_the_page_is_written_whole(run, tmp_path, capsys):
    out = tmp_path / "step.html"
    assert main(["replay", str(run), "--step", "9", "--html", str(out)]) == 0
    assert "layers.0.attn.qkv_proj" in Page(out.read_text(encoding="utf-8")).text
    assert main(["replay", str(run), "--step", "9", "--html", str(tmp_path)]) == 1
    assert "is a folder" in capsys.readouterr().err
    assert main(["replay", str(run), "--step", "9", "--html", str(tmp_path / "absent" / "step.html")]) == 1
    said = capsys.readouterr().err
    assert "there is no folder" in said
    assert "done again" not in said, "it is refused before the work begins"


def test_bfloat16_and_a_tied_head_replay_too(plain, tmp_path):
    folder = train(override(plain, {"steps": 3, "dtype": "bfloat16", "model": {"tied_head": True}}), tmp_path / "run")
    found = replay(folder, 3)
    assert found.loss == records(folder)[3]["loss"]
    assert np.mean([row.losses for row in found.rows]) == pytest.approx(found.loss, rel=1e-2)
    squares = sum(norms.gradient_norm**2 for norms in found.modules.values())
    assert squares**0.5 == pytest.approx(found.gradient_norm, rel=1e-5)
    assert not torch.is_autocast_enabled("cpu")
