"""README and docs/ say what is so: links, commands, flags, presets, Python, figures, pictures and the table of keys."""

import argparse
import re
import shlex
import sys
import tomllib
from contextlib import suppress
from pathlib import Path

import bpe_lm
import docs_tables
import pytest
from bpe_lm.cli.main import main, new_parser
from bpe_lm.cli.sweep import _study
from bpe_lm.fields import flag_of, kinds
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.presets import PRESETS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
WITH_LINKS = [*PAGES, *(ROOT / name for name in ("DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
RECORD = ROOT / "benches" / "record"

OTHER_FLAGS = {
    *("--draw", "--corpus", "--sample"),  # tests/rooms.py, the course's scripts
    *("--release", "--test", "--nocapture", "--include-ignored", "--quick"),  # cargo, benches/gpu.py
    *("--nproc-per-node", "--max-restarts", "--merges", "--vocab", "--rounds", "--steps"),  # torchrun, benches/compare
    *("--array",),  # sbatch
}
"""Flags of programs other than bpe-lm."""

page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path) -> list[tuple[str, str]]:
    """The language and the content of each fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text_of(path), re.MULTILINE | re.DOTALL)


# Size and links


def test_readme_is_short():
    assert len(text_of(README).splitlines()) <= 100


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", text_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda path: path.name)
def test_each_link_leads_to_a_file(page):
    without_code = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", without_code) + re.findall(r'src="([^"]+)"', without_code)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(path), f"{page.name} links to {target}"


def test_readme_links_every_page_of_docs():
    linked = set(re.findall(r"docs/([\w-]+\.md)", text_of(README)))
    assert linked == {path.name for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda path: path.name)
def test_each_path_that_is_named_exists(page):
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    for path in re.findall(r"(?<![\w/.])((?:src|python|tests|benches|docs)/[\w./*-]*)", text):
        is_the_courses = path == "tests/adapters.py"
        assert is_the_courses or list(ROOT.glob(path.rstrip("./"))), f"{page.name} names {path}"
    if page.name == "architecture.md":
        for path in re.findall(r"(?<![\w/.])((?:model|training|export)/[\w.]*)", text):
            assert (ROOT / "python" / "bpe_lm" / path).exists(), f"{page.name} names {path}"


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda path: path.name)
def test_each_name_of_the_package_exists(page):
    for name in re.findall(r"`bpe_lm\.(\w+)", text_of(page)):
        assert hasattr(bpe_lm, name) or (ROOT / "python" / "bpe_lm" / name).is_dir(), f"{page.name} names bpe_lm.{name}"


def test_the_types_and_entry_points_of_the_pipeline_exist():
    rows = re.findall(r"^\|(.*)\|$", text_of(ROOT / "docs" / "architecture.md"), re.MULTILINE)[2:]
    names = {
        name for row in rows for code in re.findall(r"`([^`]+)`", row) for name in re.findall(r"[A-Za-z]\w+", code)
    }
    names -= {"Int", "Float", "Tensor", "batch", "seq", "Vec", "str", "model", "token_ids"}
    assert len(names) > 15
    sources = [*(ROOT / "src").rglob("*.rs"), *(ROOT / "python" / "bpe_lm").rglob("*.py")]
    code = "\n".join(map(text_of, sources))
    for name in names:
        assert re.search(rf"\b(?:class|def|struct|enum|type|fn) {name}\b", code), f"architecture.md names {name}"


# Commands


class Captured(BaseException):
    """The parser, at the moment that the command line uses it."""


@pytest.fixture
def parsers(monkeypatch):
    """The parser of each command by its words, such as `data sample`."""

    def capture(parser, *arguments):
        raise Captured(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", capture)
    with pytest.raises(Captured) as caught:
        main([])
    return dict(commands_of(caught.value.args[0], ()))


def commands_of(parser, words):
    yield " ".join(words), parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from commands_of(inner, (*words, name))


def commands(path: Path) -> list[list[str]]:
    """The words of each bpe-lm command in a page's code, after `bpe-lm`."""
    text = text_of(path).replace("\\\n", " ")
    lines = "".join(re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)).split("\n")
    lines += re.findall(r"^ {4}(.*)$", text, re.MULTILINE)
    lines += re.findall(r"`([^`\n]+)`", text)
    found = []
    for line in lines:
        for match in re.finditer(r"(?:\bbpe-lm|-m bpe_lm) (?=[a-z])([^;|]*)", line):
            with suppress(ValueError):  # A quote that another line closes.
                found.append(shlex.split(match[1], comments=True))
    return found


def test_commands_are_found():
    assert ["data", "sample", "--megabytes", "20"] in commands(README)
    assert len([words for path in PAGES for words in commands(path)]) > 40


@page
def test_each_command_and_its_flags_exist(page, parsers):
    for words in commands(page):
        name = next(" ".join(words[:n]) for n in (2, 1, 0) if " ".join(words[:n]) in parsers)
        assert name, f"{page.name}: there is no command bpe-lm {' '.join(words)}"
        known = parsers[name]._option_string_actions
        for flag in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert flag in known, f"{page.name}: bpe-lm {name} has no flag {flag}"


@page
def test_each_preset_exists(page):
    for words in commands(page):
        if words[0] in ("pretrain", "account") and len(words) > 1 and re.fullmatch(r"[a-z][a-z0-9_-]*", words[1]):
            assert words[1] in PRESETS, f"{page.name}: there is no preset {words[1]}"


@page
def test_each_sweep_of_a_preset_makes_a_study(page):
    """Its keys exist, and a variant has other values than the preset."""
    for words in commands(page):
        if words[0] == "sweep" and len(words) > 1 and words[1] in PRESETS:
            flags = [flag for word in words for flag in (["--data.train", "x.bin"] if word == "$DATA" else [word])]
            study = _study(new_parser().parse_args(flags))
            assert len(study.trainings()) > 1, f"{page.name}: bpe-lm {' '.join(words)}"


@page
def test_each_flag_in_the_prose_exists(page, parsers):
    known = {flag for parser in parsers.values() for flag in parser._option_string_actions} | OTHER_FLAGS
    text = re.sub(r"<!--.*?-->", "", text_of(page))
    for flag in re.findall(r"(?<![\w-])--[a-z][\w.-]*", text):
        assert flag.rstrip(".") in known, f"{page.name} names {flag}"


@page
def test_each_config_key_in_the_prose_exists(page):
    tables = "|".join({key.partition(".")[0] for key in kinds(TrainConfig) if "." in key})
    for key in re.findall(rf"`((?:{tables})(?:\.\w+)+)[^`]*`", text_of(page)):
        assert key in kinds(TrainConfig) or key.endswith(".py"), f"{page.name} names the key {key}"


# Python


def test_the_python_of_readme_and_docs_runs(sample, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("TEXT.txt").write_bytes(sample.read_bytes()[:100_000] + b"<|endoftext|>")
    Path("MORE.txt").write_bytes(sample.read_bytes()[100_000:200_000])
    order = [README, *(ROOT / "docs" / f"{name}.md" for name in ("tokenizer", "token-files", "experiments"))]
    assert set(order) == {path for path in PAGES if any(language == "python" for language, _ in blocks(path))}
    for path in order:
        for language, code in blocks(path):
            if language == "python":
                exec(compile(code, path.name, "exec"), {})


# Figures


def figures() -> dict[str, list[dict]]:
    return tomllib.loads(text_of(RECORD / "figures.toml"))


def record_of(figure: dict) -> str:
    """The record of a figure, with its lines joined."""
    return " ".join(text_of(RECORD / figure["record"]).split())


def test_each_figure_of_a_picture_stands_in_the_record():
    for chart in figures()["chart"]:
        record = record_of(chart)
        assert chart["commit"] in record
        for bar in chart["bars"]:
            assert bar["quote"] in record
            assert bar["value"] in bar["quote"]


def test_each_result_of_readme_stands_in_the_record():
    rows = [line for line in text_of(README).splitlines() if re.match(r"\| (Train a|Encode|The same)", line)]
    expected = []
    for r in figures()["result"]:
        record = record_of(r)
        assert r["quote"] in record
        assert r["commit"] in record
        # Numbers as the record writes them: 3.9 stands for 3.90.
        for figure in re.findall(r"\d[\d,.]*\d", f"{r['ours']} {r['other']} {r['times']}"):
            assert figure in record
        assert r["times"] in r["quote"]
        expected.append(f"| {r['job']} | {r['ours']} | {r['other']} | {r['times']} | {r['commit']}, {r['machine']} |")
    assert rows == expected


# What is generated


def test_the_table_of_keys_is_up_to_date():
    text = text_of(docs_tables.PAGE)
    assert text == docs_tables.with_table(text), "run python tests/docs_tables.py"


def test_each_key_with_a_unit_exists_and_each_key_has_a_meaning():
    assert docs_tables.UNITS.keys() <= kinds(TrainConfig).keys()
    assert all(meaning for *_, meaning in docs_tables.config_keys())
    assert all(flag_of(key).startswith("--") for key, *_ in docs_tables.config_keys())


def test_the_pictures_are_up_to_date_and_small(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benches")
    import pictures

    for path, content in pictures.drawn().items():
        assert text_of(path) == content, "run python benches/pictures.py"
        assert len(content) < 60_000
    sys.modules.pop("pictures")
