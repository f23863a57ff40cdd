"""Pictures of losses: what is on their axes and in their legends, and which files they may replace."""

import json
import math
import os
import socket
from itertools import pairwise
from pathlib import Path

import pytest
from bpe_lm.cli.course import Experiment
from bpe_lm.cli.course import run as run_course
from bpe_lm.cli.main import main
from bpe_lm.data.sample import write_samples
from bpe_lm.errors import FileError, OptionError, OutputExists
from bpe_lm.experiments import figures as plots
from bpe_lm.experiments.figures import draw_losses, losses_figure, read_losses

VOCAB = 10_000


def a_run(folder: Path, losses, *, seconds=1.0, valid=(), more=(), **config) -> Path:
    """A run of so many records, ten steps and `seconds` apart."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model": {"vocab_size": VOCAB}, **config}))
    records = [{"kind": "run"}]
    for number, loss in enumerate(losses, 1):
        place = {"step": 10 * number, "tokens": 5000 * number, "seconds": number * seconds}
        records.append({"kind": "train", **place, "loss": loss})
        if number in valid:
            records.append({"kind": "valid", **place, "loss": loss + 0.5})
    records += more
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def falling(number: int, end: float = 2.0) -> list[float]:
    return [end + (math.log(VOCAB) - end) * math.exp(-5 * i / number) for i in range(1, number + 1)]


def drawn(*folders: Path):
    """The figure, and the texts of its legend."""
    figure = losses_figure([read_losses(folder) for folder in folders])
    figure.canvas.draw()
    return figure, [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("seconds", "unit"), [(0.02, "seconds"), (0.9, "seconds"), (6.0, "minutes"), (60.0, "minutes"), (600.0, "hours")]
)
def test_time_has_the_unit_of_its_length_and_no_prefix(tmp_path, seconds, unit):
    figure, _ = drawn(a_run(tmp_path / "run", falling(100), seconds=seconds))
    axes = figure.axes[2]
    assert axes.get_xlabel() == f"{unit} of training"
    ticks = [float(label.get_text()) for label in axes.get_xticklabels()]
    scale = {"seconds": 1, "minutes": 60, "hours": 3600}[unit]
    assert max(ticks) == pytest.approx(100 * seconds / scale, rel=0.4)


def test_steps_are_whole_numbers_and_thousands_have_a_letter(tmp_path):
    figure, _ = drawn(a_run(tmp_path / "short", falling(2)), a_run(tmp_path / "shorter", falling(1)))
    assert all(float(label.get_text()).is_integer() for label in figure.axes[0].get_xticklabels())
    assert figure.axes[1].get_xticklabels()[-1].get_text().endswith("k")


@pytest.mark.parametrize("end", ["great", "null", "skipped", "said"])
def test_a_run_that_diverged_is_marked_and_leaves_the_axis_to_the_others(tmp_path, end):
    good = a_run(tmp_path / "good", falling(50), valid=(25, 50))
    losses, more = falling(50)[:20], []
    if end == "great":
        losses += [10.0 * 3**number for number in range(1, 19)]
        assert losses[-1] > 2.6e9
    elif end == "null":
        losses += [None] * 5
    elif end == "skipped":
        more = [{"kind": "skip", "step": step, "loss": 9.0, "gradient_norm": None} for step in range(197, 202)]
    bad = a_run(tmp_path / "bad", losses, more=more, max_skipped_steps=3)
    if end == "said":
        (bad / "result.json").write_text('{"reason": "diverged"}')
    figure, legend = drawn(bad, good)
    bottom, top = figure.axes[0].get_ylim()
    assert bottom <= 2.1
    assert top < 1.4 * math.log(VOCAB)
    step = {"great": 210, "null": 210, "skipped": 197, "said": 200}[end]
    assert legend == [f"{losses_of(good)['valid'][-1]:.4f}  good", f"diverged at step {step} (X)  bad"]
    marks = [line for line in figure.axes[0].lines if line.get_marker() == "X"]
    assert [list(line.get_xdata()) for line in marks] == [[200 if end == "skipped" else step]]


def losses_of(folder: Path) -> dict[str, list[float]]:
    run = read_losses(folder)
    return {kind: [record["loss"] for record in getattr(run, kind)] for kind in ("train", "valid")}


def test_a_few_skipped_steps_are_no_divergence(tmp_path):
    for name, steps in (
        ("last", (199, 200, 201)),
        ("long ago", (11, 12, 13, 14, 15, 16)),
        ("single", (190, 198, 199, 200)),
    ):
        skips = [{"kind": "skip", "step": step, "loss": None} for step in steps]
        run = a_run(tmp_path / name, falling(20), more=skips, max_skipped_steps=3)
        assert read_losses(run).diverged_at is None


def test_a_run_that_did_nothing_but_diverge_is_drawn(tmp_path):
    figure, legend = drawn(a_run(tmp_path / "run", [1e9, 2e9, 2.6e9]))
    assert legend == ["diverged at step 10 (X)  run"]
    assert figure.axes[0].get_ylim()[1] < 1.4 * math.log(VOCAB)
    _, legend = drawn(a_run(tmp_path / "none", [None]))
    assert legend == ["diverged at step 10 (X)  none"]


def test_the_picture_has_a_title_and_the_final_losses_best_first(tmp_path):
    runs = [a_run(tmp_path / f"$run_{number}$", falling(20, 3 - number / 10)) for number in range(3)]
    figure, legend = drawn(*runs)
    finals = [losses_of(run)["train"][-1] for run in runs]
    assert legend == [f"{finals[i]:.4f} (training)  $run_{i}$" for i in (2, 1, 0)]
    assert figure.get_suptitle() == "Losses of 3 runs (training only)"
    assert drawn(runs[0])[0].get_suptitle().startswith("Loss of $run_0$ (")


@pytest.mark.parametrize(("name", "shown"), [("b\udcff", "b?"), ("_a", "_a"), ("a$\\frac$", "a$\\frac$")])
def test_a_run_is_drawn_whatever_its_name_is(tmp_path, name, shown):
    _, texts = drawn(a_run(tmp_path / name, falling(3)))
    assert texts[0].endswith(f"  {shown}")
    draw_losses([tmp_path / name], tmp_path / "losses.png")


def test_no_two_of_many_runs_look_alike(tmp_path):
    figure, legend = drawn(*(a_run(tmp_path / f"run{number}", falling(5)) for number in range(60)))
    assert len(legend) == 60
    looks = {(str(line.get_color()), str(line._dash_pattern), line.get_marker()) for line in figure.axes[0].lines}
    assert len(looks) == 60


def test_noise_is_smoothed_by_what_came_before(tmp_path):
    noisy = [loss + (-1) ** number for number, loss in enumerate(falling(400, 4))]
    figure, _ = drawn(a_run(tmp_path / "run", noisy))
    shown = list(figure.axes[0].lines[0].get_ydata())
    assert len(shown) == 400
    assert max(abs(a - b) for a, b in pairwise(shown[200:])) < 0.1
    assert shown == pytest.approx(plots._smoothed(noisy))
    assert plots._smoothed(noisy)[:300] == plots._smoothed([*noisy[:300], *[1e9] * 100])[:300]


@pytest.mark.filterwarnings("default")
def test_what_is_no_run_is_left_out_with_a_note(tmp_path, capsys):
    a_run(tmp_path / "runs" / "a", falling(3))
    (tmp_path / "runs" / "tokenizer").mkdir()
    (tmp_path / "runs" / "train.bin").write_bytes(b"1234")
    everything = sorted(map(str, (tmp_path / "runs").iterdir()))
    out = tmp_path / "losses.svg"
    assert main(["plot", *everything, "--out", str(out)]) == 0
    notes = capsys.readouterr().err.splitlines()
    assert [Path(note.split()[1]).name for note in notes] == ["tokenizer", "train.bin"]
    assert all(note.endswith("is not a run, or has no records yet; it is left out") for note in notes)
    assert b"<svg" in out.read_bytes()
    with pytest.raises(FileError, match="is a run with records"):
        draw_losses(everything[1:], out)


# What a writer may replace


@pytest.fixture(params=["folder", "pipe", "socket"])
def obstacle(request, monkeypatch):
    """Something that is no regular file, made where it is told to be; looked at in the end."""
    made = []

    def make(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        if request.param == "folder":
            path.mkdir()
        elif request.param == "pipe":
            os.mkfifo(path)
        else:
            with socket.socket(socket.AF_UNIX) as listening:
                monkeypatch.chdir(path.parent)
                listening.bind(path.name)  # The whole path may be too long.
        made.append((path, path.lstat().st_mode))
        return path

    yield make
    assert all(path.lstat().st_mode == mode for path, mode in made)


def never(*arguments, **options):
    raise AssertionError("work was done")


def test_a_picture_replaces_files_only_and_says_so_before_the_work(tmp_path, obstacle, capsys, monkeypatch):
    path = obstacle(tmp_path / "picture.png")
    monkeypatch.setattr("bpe_lm.cli.tokenizer.inspect", never)
    monkeypatch.setattr("bpe_lm.experiments.figures.read_losses", never)
    for command in (["plot", str(tmp_path), "--out", str(path)], ["inspect", str(tmp_path), "--png", str(path)]):
        assert main(command) == 1
        error = capsys.readouterr().err
        assert "picture.png is " in error
        assert "is never replaced by a file" in error
    with pytest.raises(OptionError, match=r"\.png or \.svg"):
        draw_losses([tmp_path], tmp_path / "picture.jpg")


def test_a_picture_is_replaced_whole(tmp_path, monkeypatch):
    run, out = a_run(tmp_path / "run", falling(3)), tmp_path / "losses.svg"
    out.write_text("what was there")
    with monkeypatch.context() as patched:

        def full(*arguments):
            raise OSError(28, "No space left on device")

        patched.setattr("bpe_lm.files.write_synced", full)
        with pytest.raises(FileError, match="No space left"):
            draw_losses([run], out)
    assert out.read_text() == "what was there"
    draw_losses([run], out)
    assert "<svg" in out.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["losses.svg", "run"]


@pytest.mark.parametrize("name", ["sample-train.txt", "sample-valid.txt"])
def test_samples_replace_files_only(tmp_path, obstacle, name):
    obstacle(tmp_path / "data" / name)
    with pytest.raises(OutputExists, match=name):
        write_samples(tmp_path / "data", 0.01)
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]


def test_samples_want_a_folder(tmp_path):
    os.mkfifo(tmp_path / "data")
    with pytest.raises(OutputExists, match="is not a folder"):
        write_samples(tmp_path / "data", 0.01)


@pytest.mark.parametrize("name", ["vocab.json", "training.json", "tokenizer.tiktoken.json"])
def test_a_scripts_tokenizer_replaces_files_only_and_says_so_before_the_work(
    tmp_path, obstacle, capsys, monkeypatch, name
):
    corpus, folder = tmp_path / "corpus.txt", tmp_path / "tokenizer"
    corpus.write_text("some text " * 100)
    obstacle(folder / name)
    monkeypatch.setattr("bpe_lm.tokenizer.report.train_and_record", never)
    monkeypatch.setattr("sys.argv", ["script", "--corpus", str(corpus), "--out", str(folder)])
    assert run_course(Experiment("name", corpus, 300, folder, "how"), "") == 1
    assert f"{name} is " in capsys.readouterr().err
    assert main(["train-tokenizer", str(corpus), "--vocab-size", "300", "--out", str(folder), "--force"]) == 1
    assert f"{name} is " in capsys.readouterr().err


def test_a_script_wants_a_folder(tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("kept")
    monkeypatch.setattr("sys.argv", ["script", "--corpus", str(tmp_path / "file"), "--out", str(tmp_path / "file")])
    assert run_course(Experiment("name", tmp_path / "file", 300, tmp_path, "how"), "") == 1
    assert "is not a folder, and is never replaced by one" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "kept"


def test_a_download_looks_at_all_names_before_it_fetches(tmp_path, obstacle, capsys, monkeypatch):
    obstacle(tmp_path / "TinyStoriesV2-GPT4-valid.txt")
    monkeypatch.setattr("bpe_lm.data.download._download", never)
    assert main(["data", "download", "tinystories", "--out", str(tmp_path), "--force"]) == 1
    assert "TinyStoriesV2-GPT4-valid.txt is " in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        "plot run --out s3://bucket/x.png",
        "inspect tokenizer --png s3://bucket/x.png",
        "data download tinystories --out s3://bucket/x",
    ],
)
def test_an_address_is_no_place_of_this_machine(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bpe_lm.data.download._download", never)
    assert main(command.split()) == 1
    assert "is an address, and only local files are written" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
