"""Each command with a flag that it has not, or without its file: one message, no traceback, nothing written."""

import argparse

import pytest
from bpe_lm.cli.main import main, new_parser


def verbs(parser=None, name=""):
    """Every command that has no commands within."""
    parser = parser or new_parser()
    within = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not within:
        yield name.strip()
    for action in within:
        for verb, child in action.choices.items():
            yield from verbs(child, f"{name} {verb}")


MISSING = {
    "data sample": None,
    "data download": None,
    "train-tokenizer": "train-tokenizer missing.txt --vocab-size 300 --out out",
    "inspect": "inspect missing",
    "compare": "compare missing.txt --tokenizer missing",
    "encode": "encode missing.txt --tokenizer missing --out out",
    "decode": "decode missing.bin --tokenizer missing",
    "truncate": "truncate missing --vocab-size 300 --out out",
    "verify": "verify missing.bin",
    "count": "count missing.txt -o out",
    "tokens join": "tokens join missing.bin --out out",
    "tokens export": "tokens export missing.bin out --to olmo",
    "config show": "config show missing.toml",
    "pretrain": "pretrain debug --out out --data.train missing.bin --data.valid missing.bin",
    "account": "account missing.toml",
    "sweep": "sweep missing.toml --out out --grid steps=1,2",
    "runs": "runs missing",
    "reproduce": None,
    "report": "report missing",
    "evaluate": "evaluate missing",
    "generate": "generate missing --prompt a",
    "export": "export missing --to huggingface out",
    "plot": "plot missing --out out.png",
    "replay": "replay missing --step 1",
    "doctor": None,
}
"""A command line of each verb that reads a file; None for those that read none."""


def run(line, capsys):
    """The exit status and what is said on stderr."""
    try:
        status = main(line.split())
    except SystemExit as ended:
        status = ended.code
    return status, capsys.readouterr().err


def test_every_command_is_here():
    assert set(verbs()) == set(MISSING)


@pytest.mark.row("R36")
@pytest.mark.parametrize("verb", MISSING)
def test_a_bad_flag_is_named(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    status, said = run(f"{verb} --no-such-flag", capsys)
    assert status == 2
    assert "no-such-flag" in said
    assert "--help" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.row("R36")
@pytest.mark.parametrize("verb", [verb for verb, line in MISSING.items() if line])
def test_a_missing_file_is_named(tmp_path, monkeypatch, capsys, verb):
    monkeypatch.chdir(tmp_path)
    status, said = run(MISSING[verb], capsys)
    assert status in (1, 2)
    assert "missing" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
