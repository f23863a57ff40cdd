"""The command line's arguments: what is typed wrongly is named, with what was meant and where the help is."""

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import bpe_lm
import pytest
from bpe_lm.cli.main import main
from bpe_lm.fields import nearest, parse_whole
from bpe_lm.training.config import CONFIG_FORMAT
from bpe_lm.training.presets import resolve


@pytest.mark.parametrize(
    ("line", "message", "helper"),
    [
        ("trian-tokenizer x", "there is no command trian-tokenizer; did you mean train-tokenizer?", ""),
        ("tokenize", "there is no command tokenize; did you mean", ""),
        ("qqqq", "there is no command qqqq; there are data, train-tokenizer,", ""),
        ("", "arguments are required: COMMAND", ""),
        ("--quiet encode", "there is no flag --quiet here; flags follow a command", ""),
        ("train-tokenizer x --vocabsize 300 --out o", "--vocabsize; did you mean --vocab-size?", "train-tokenizer"),
        ("train-tokenizer x --vocab 300 --out o", "--vocab; did you mean --vocab-size?", "train-tokenizer"),
        ("train-tokenizer x --vocab-size many --out o", "'many' is not a whole number", "train-tokenizer"),
        ("train-tokenizer x --vocab-size 9.5 --out o", "'9.5' is not a whole number", "train-tokenizer"),
        ("train-tokenizer x --tie-break byte", "none of bytes, hf; did you mean bytes?", "train-tokenizer"),
        ("encode x --tokenizer T --out o --dtype uint8", "'uint8' is none of uint16, uint32; did you mean", "encode"),
        ("encode x --tokenizer T --out o --special rase", "did you mean raise?", "encode"),
        ("encode x --tokenizer --out o", "--tokenizer lacks its value", "encode"),
        ("encode x --tokenizer T --out", "--out lacks its value", "encode"),
        ("encode x --tokenizer T --out o --separator --x", "if that is --x, write --separator=--x", "encode"),
        ("encode x --tokenizer T --out o --resum", "there is no flag --resum; did you mean --resume?", "encode"),
        ("encode x --tokenizer T --out o -v", "there is no flag -v", "encode"),
        ("encode --tokenizer T --out o", "arguments are required: corpus", "encode"),
        ("decode f --tokenizer T --start -5", "-5 is not a whole number from 0 on", "decode"),
        ("decode f --tokenizer T --count x", "'x' is not a whole number from 0 on", "decode"),
        ("decode f g --tokenizer T", "unexpected: g", "decode"),
        ("verify x --unknown", "there is no flag --unknown", "verify"),
        ("inspect T --longest -1", "-1 is not a whole number from 0 to 999999", "inspect"),
        ("data sampel", "there is no command sampel; did you mean sample?", "data"),
        ("data sample --megabytes nan", "nan is not a number above 0", "data sample"),
        ("data sample --megabytes lots", "'lots' is not a number", "data sample"),
        ("data sample --seed -1", "-1 is not a whole number from 0 to", "data sample"),
        ("data sample --mega 1", "there is no flag --mega; did you mean --megabytes?", "data sample"),
        ("data download tinystory", "none of tinystories, openwebtext; did you mean tinystories?", "data download"),
        ("generate r --max-tokens few", "'few' is not a whole number", "generate"),
        ("generate r --temperature hot", "'hot' is not a number", "generate"),
        ("account debug --memory lots", "'lots' is not a size; write 80GB", "account"),
        ("account debug --d-model 4", "there is no flag --d-model; did you mean --model.d-model?", "account"),
        ("pretrain debug --out o --model.num-layer 5", "did you mean --model.num-layers?", "pretrain"),
        ("pretrain --model.num-layer 5 debug --out o", "did you mean --model.num-layers?", "pretrain"),
        ("pretrain debug --out o --schedule.name x", "is no longer a flag; use schedule.shape", "pretrain"),
        ("pretrain debug --out o --resum", "there is no flag --resum; did you mean --resume?", "pretrain"),
        ("pretrain --out o", "CONFIG is missing: a preset (tinystories, tinystories-low-resource,", "pretrain"),
        ("pretrain debug demo --out o", "unexpected: demo", "pretrain"),
        ("pretrain debug", "arguments are required: --out", "pretrain"),
        ("pretrain debug --out=", "--out is empty; name a path", "pretrain"),
        ("export r --to=", "--to: expected 2 arguments", "export"),
        ("encode x --tokenizer= --out o", "--tokenizer is empty; name a path", "encode"),
    ],
)
def test_what_is_typed_wrongly_gets_a_suggestion_and_the_right_help(line, message, helper, capsys):
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    error, where = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert where == f"For help: {' '.join(['bpe-lm', *helper.split()])} --help"


@pytest.fixture
def tokenizer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "--my_file.txt").write_text("one two two")
    (tmp_path / "plain_file.txt").write_text("one two two")
    tokens = [bytes([byte]) for byte in range(256)]
    bpe_lm.Tokenizer(dict(enumerate(tokens)), [], []).save("T")


@pytest.mark.parametrize(
    "arguments",
    [["pretrain", "", "--out", "o"], ["evaluate", ""], ["plot", "r", ""], ["export", "r", "--to", "gguf", ""]],
)
def test_an_empty_path_is_not_this_folder(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "is empty; name a path" in capsys.readouterr().err


def test_what_follows_two_hyphens_is_a_file_and_is_not_spelled_anew(tokenizer, tmp_path, capsys):
    assert main(["encode", "--tokenizer", "T", "--out", "a_b.bin", "--quiet", "--", "--my_file.txt"]) == 0
    assert (
        main(["encode", "plain_file.txt", "--json-field", "a_b", "--out=c_d.bin", "--tokenizer", "T", "--quiet"]) == 0
    )
    assert (tmp_path / "a_b.bin").read_bytes() == (tmp_path / "c_d.bin").read_bytes()
    assert main(["decode", "--tokenizer", "T", "a_b.bin", "--start", "4"]) == 0
    assert capsys.readouterr().out.endswith("two two")
    assert main(["compare", "--tokenizer=T", "--quiet", "--json", "--", "--my_file.txt"]) == 0
    assert "--my_file.txt" in json.loads(capsys.readouterr().out)[0].values()


def test_values_may_begin_with_a_hyphen_and_arguments_come_in_any_order(tokenizer, tmp_path, capsys):
    arguments = ["plain_file.txt", "--special_token", "- item", "--", "--my_file.txt"]
    assert main(["train-tokenizer", "--vocab_size=2.57e2", "--quiet", "--out=-t_t", *arguments]) == 0
    assert bpe_lm.Tokenizer.load(tmp_path / "-t_t").special_tokens == ["- item"]
    assert main(["train-tokenizer", "a", "--vocab-size", "300", "b", "--out", "t"]) == 1
    assert "a" in capsys.readouterr().err


def test_debug_stands_before_or_behind_the_command(tmp_path, capsys):
    for arguments in (["--debug", "verify", "nothing"], ["verify", "nothing", "--debug"]):
        assert main(arguments) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("Traceback")
        assert lines[-1].startswith("error: could not ")
    assert main(["verify", "nothing"]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.fixture
def configured(monkeypatch):
    """What the commands of the model would run with."""
    found = []
    for name in ("_pretrain", "_account"):
        monkeypatch.setattr(
            f"bpe_lm.cli.training.{name}", lambda options: found.append(resolve(options.config, options.flags))
        )
    return found


def test_flags_of_keys_are_read_as_resolve_reads_them(configured):
    for line, flags in (
        ("--steps 5 debug", "--steps 5"),
        ("debug --compile", "--compile"),
        ("--compile debug", "--compile"),
        ("--compile no debug --steps=1e4", "--steps 10000"),
        ("debug --wandb_project 336 --data.train 2024-01-01", "--wandb-project=336 --data.train=2024-01-01"),
        ("--data.train -a_b debug --activation_checkpointing", "--data.train=-a_b --activation-checkpointing=yes"),
        ("debug --schedule.max_learning-rate 1", "--schedule.max-learning-rate 1.0"),
    ):
        assert main(["account", *line.split()]) == 0
        assert main(["pretrain", *line.split(), "--out", "o"]) == 0
        assert configured[-2:] == [resolve("debug", flags.split())] * 2


def test_pretrain_resume_takes_the_config_of_the_run(configured, tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["pretrain", "--resume", "--out", str(folder)]) == 1
    assert "has no run to go on with; name a config, to begin one: a preset (tinystories" in capsys.readouterr().err
    config = resolve("debug", ["--steps", "7", "--schedule.warmup", "2"])
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"format": CONFIG_FORMAT} | config.as_dict()))
    assert main(["pretrain", "--resume", "--out", str(folder)]) == 0
    assert main(["pretrain", "--steps", "9", "--resume", f"--out={folder}", "--compile"]) == 0
    assert main(["pretrain", str(folder), "--out", "another"]) == 0
    longer = resolve("debug", ["--steps", "9", "--schedule.warmup", "2", "--compile"])
    assert configured == [config, longer, config]


def test_whole_numbers_and_nearest_words():
    assert [parse_whole(text) for text in ("10", "1e4", "1_000", "-2", "10.0", "1.5e3")] == [
        10,
        10_000,
        1000,
        -2,
        10,
        1500,
    ]
    for text in ("", "1.5", "1.5e0", "nan", "inf", "1e99999999", "0x10", "true", "1,000"):
        with pytest.raises(ValueError, match="is not a whole number"):
            parse_whole(text)
    words = ["a.batch-size", "b.max-learning-rate", "steps"]
    for word, meant in (("batch_size", words[0]), ("c.batch-size", words[0]), ("bs", words[0]), ("learning", words[1])):
        assert nearest(word, words) == meant
    assert nearest("zzz", words) is None


def test_the_command_answers_signals_before_it_imports_anything():
    scripts = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"bpe-lm": "bpe_lm.__main__:main"}
    code = "import sys, bpe_lm.__main__; print(*sorted(name for name in sys.modules if name.startswith('bpe_lm')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["bpe_lm", "bpe_lm.__main__", "bpe_lm._core"]
    for name in bpe_lm.__all__:
        assert getattr(bpe_lm, name) is not None
        assert name in dir(bpe_lm)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_while_the_command_is_imported_gives_no_traceback(number, status, tmp_path):
    """`import bpe_lm.cli.main` is made slow, and the signal comes in its midst."""
    code = """
import sys, time
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "bpe_lm.cli.main":
            print("imported", flush=True)
            for _ in range(600):  # A signal just before a sleep does not end that sleep.
                time.sleep(0.1)
sys.meta_path.insert(0, Slow())
sys.argv = ["bpe-lm", "doctor"]
from bpe_lm.__main__ import main
sys.exit(main())
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "imported\n"
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in error
    assert ("interrupted" in error) == (number == signal.SIGINT)


def test_ctrl_c_once_more_gives_no_traceback_either(tmp_path):
    """The second one comes while Python ends."""
    code = """
import atexit, signal, sys, time
import bpe_lm.cli.main
def interrupted():
    raise KeyboardInterrupt
def slow():
    print("ending", flush=True)
    time.sleep(60)
atexit.register(slow)
bpe_lm.cli.main.main = interrupted
from bpe_lm.__main__ import main
sys.exit(main())
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ending\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert error == "interrupted\n"
