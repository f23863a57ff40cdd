"""The help of the command line: each option says what it means and its default, and the keys of a run are explained."""

import argparse
import subprocess
import sys
from dataclasses import fields, is_dataclass

import pytest
from bpe_lm.cli.arguments import Help, Key
from bpe_lm.cli.main import main, new_parser
from bpe_lm.fields import keys, meanings
from bpe_lm.training.config import TrainConfig


def commands(parser=None, name="bpe-lm"):
    """Every command with its parser, also those within a command."""
    parser = parser or new_parser()
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, child in action.choices.items():
                yield from commands(child, f"{name} {verb}")


COMMANDS = dict(commands())


def test_all_commands_are_here():
    verbs = {name.removeprefix("bpe-lm ") for name in COMMANDS}
    assert verbs >= {"data sample", "data download", "train-tokenizer", "inspect", "compare", "encode", "decode"}
    assert verbs >= {
        "verify",
        "config show",
        "pretrain",
        "account",
        "evaluate",
        "generate",
        "export",
        "plot",
        "replay",
        "doctor",
    }


def options_of(parser):
    """The options and arguments that the help shows."""
    silent = (argparse._HelpAction, argparse._VersionAction, argparse._SubParsersAction)
    return [a for a in parser._actions if not isinstance(a, silent) and a.help != argparse.SUPPRESS]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_means_and_its_default(command):
    parser = COMMANDS[command]
    assert parser.description, command
    shown = Help(command)
    for action in options_of(parser):
        text = shown._expand_help(action)
        name = action.option_strings or action.metavar or action.dest
        assert len(text.split(" (")[0]) >= 8, f"{command} {name} has no meaning: {text}"
        if not action.option_strings:
            assert "default" in text or action.nargs != "?", f"{command} {name}: {text}"
        elif action.required:
            assert text.endswith("(required)"), f"{command} {name}: {text}"
        elif isinstance(action, Key):
            assert "(default: " in text, f"{command} {name}: {text}"
        elif action.nargs == 0:
            assert text.endswith("(default: no)"), f"{command} {name}: {text}"
        else:
            default = text.partition("(default: ")[2].rstrip(")")
            assert default, f"{command} {name} says no default: {text}"
            assert default not in ("None", "[]"), f"{command} {name} says no default in words: {text}"
            if action.default:
                assert default == str(action.default), f"{command} {name}: {text}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_printed(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split()[1:], "--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: {command}")
    for action in options_of(COMMANDS[command]):
        assert all(flag in printed for flag in action.option_strings)


def test_pretrain_explains_each_key_of_the_config(capsys):
    config = TrainConfig()
    words = dict(meanings(config))
    assert {key for key, word in words.items() if word} == dict(keys(config)).keys()
    with pytest.raises(SystemExit):
        main(["pretrain", "--help"])
    printed = " ".join(capsys.readouterr().out.split())
    for part in (
        "[model]",
        f"--model.d-model N {words['model.d_model']} (default: 512)",
        f"--model.norm pre|post|none {words['model.norm']} (default: pre)",
        f"--optimizer.eps X {words['optimizer.eps']} (default: 1e-08)",
        "--schedule.warmup N|X",
        f"--compile true|false|auto {words['compile']} (default: auto)",
        f"--data.train TEXT {words['data.train']} (default: none)",
        "N is a whole number",
    ):
        assert part in printed, part
    tables = [f.name for f in fields(config) if is_dataclass(getattr(config, f.name))]
    assert [f"[{name}]" in printed for name in tables] == [True] * len(tables)


def test_a_help_imports_neither_numpy_nor_torch():
    code = """
import sys
from bpe_lm.cli.main import main
for command in ([], ["encode"], ["pretrain"], ["config", "show"], ["export"]):
    try:
        main([*command, "--help"])
    except SystemExit:
        pass
print([name for name in ("numpy", "torch", "rich", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
