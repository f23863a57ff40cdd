"""Reports: what stands in the Markdown and in the page, whatever names and values are, and what is missing."""

import base64
import io
import json
import math
import os
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path

import made_up_runs
import pytest
from bpe_lm.errors import MissingExtra, OutputExists
from bpe_lm.experiments.blocks import Check, Code, Drawn, Missing, Picture, Section, Table, Text, literal
from bpe_lm.experiments.charts import Line, final_losses
from bpe_lm.experiments.html import STYLE, to_html
from bpe_lm.experiments.markdown import to_markdown
from bpe_lm.experiments.prose import cell_text, paragraphs, spans, state
from bpe_lm.experiments.report import write_report
from bpe_lm.experiments.study import Study, grid, run_name
from bpe_lm.experiments.study_report import StudyResults, study_report
from bpe_lm.training.config import override
from bpe_lm.training.identity import sources_sha256
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

HOSTILE = [
    "<script>alert(1)</script>",
    "a|b",
    "`",
    "a`b``c",
    "[x](javascript:alert(1))",
    "![i](http://example.com/x.png)",
    "*a* _b_ **c**",
    '"><img src=x onerror=alert(1)>',
    "&lt;b&gt;",
    "# heading",
    "- list",
    "1. list",
    "line\nbreak",
    "\x00\x1b[31m",
    "\udcff",
    "C:\\path",
    "~~~",
    "```",
    "<!-- -->",
]


def picture(name="losses", caption="Losses.") -> Picture:
    return Picture(name, lambda: final_losses([Line("x", [1e-3, 1e-2], [2.0, None])]), caption)


def section(*blocks, row=1, name="problem", kind="measured", points=2, asked="Why?") -> Section:
    return Section(row, name, points, kind, asked, blocks)


class Page(HTMLParser):
    """The tags, the text and the faults of a page."""

    VOID = ("meta", "img", "br")

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


TEXT = {"h1", "h2", "p", "ol", "ul", "li", "a", "span", "b", "strong", "code", "pre", "figure", "figcaption", "img"}
TABLE = {"table", "caption", "thead", "tbody", "tr", "th", "td"}
ALLOWED = {"html", "head", "meta", "title", "style", "body", "div", "header", "nav", "main", "section"} | TEXT | TABLE


def check_page(text: str) -> Page:
    """Check that a page is well-formed, runs nothing, and loads nothing."""
    page = Page(text)
    assert {tag for tag, _ in page.tags} <= ALLOWED
    for tag, attributes in page.tags:
        assert attributes.keys() <= {"lang", "charset", "name", "content", "class", "id", "href", "src", "alt"}, tag
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(identities)) == len(identities)
    assert all(link["href"][1:] in identities and link["href"][0] == "#" for link in page.all("a"))
    for image in page.all("img"):
        head, _, data = image["src"].partition(",")
        assert head == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).verify()
    assert not re.search(r"url\(|@import|http", STYLE)
    return page


def rows_of(markdown: str) -> list[list[str]]:
    """The cells of all tables, divided where GitHub divides them: at each | without a backslash before it."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


# Files


def test_a_report_is_markdown_with_figures_and_a_page_that_holds_itself(tmp_path):
    sections = [
        section(Text("An answer."), picture(), row=32, name="learning_rate"),
        section(Check("`Linear`", 1e-7, 1e-6, "float64"), row=8, name="linear", kind="check", points=1),
    ]
    write_report(sections, "The course", [Text("**Texts:** made-up stories.")], tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert sorted(path.name for path in folder.iterdir()) == ["figures", "report.html", "report.md"]
    markdown = (folder / "report.md").read_text()
    assert markdown.splitlines()[:3] == ["# The course", "", "**Texts:** made-up stories."]
    assert "## 32. learning_rate (2 points, measured)" in markdown
    assert "## 8. linear (1 point, check)" in markdown
    (link,) = re.findall(r"!\[.*\]\((.*)\)", markdown)
    page = check_page((folder / "report.html").read_text())
    (image,) = page.all("img")
    assert base64.b64decode(image["src"].partition(",")[2]) == (folder / link).read_bytes()
    assert image["alt"] == "Losses."
    assert [link["href"] for link in page.all("a")] == ["#row-32", "#row-8"]
    assert "prefers-color-scheme: dark" in (folder / "report.html").read_text()
    assert "@media print" in (folder / "report.html").read_text()


def test_the_same_sections_give_the_same_bytes_and_leave_the_files_alone(tmp_path):
    sections = [section(picture(), Table(("a",), [(1.5,)]))]
    for folder in ("a", "b"):
        write_report(sections, "T", [], tmp_path / folder)
    files = ("report.md", "report.html", "figures/losses.png")
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    before = [os.stat(tmp_path / "a" / f).st_ino for f in files]
    write_report(sections, "T", [], tmp_path / "a")
    assert [os.stat(tmp_path / "a" / f).st_ino for f in files] == before


def test_figures_have_safe_names_of_their_own(tmp_path):
    names = ["../../x", "a b", "A-b", "", "loss/by|rate"]
    write_report([section(*(picture(name) for name in names))], "T", [], tmp_path / "r")
    found = sorted(path.name for path in (tmp_path / "r" / "figures").iterdir())
    assert found == ["A-b-2.png", "a-b.png", "figure.png", "loss-by-rate.png", "x.png"]


def test_a_figure_that_cannot_be_drawn_is_missing_and_the_rest_is_written(tmp_path):
    def draw():
        raise MissingExtra("drawing needs matplotlib: pip install matplotlib")

    write_report([section(Picture("losses", draw, "Losses."), Text("The rest."))], "T", [], tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "**not run**: the figure losses: drawing needs matplotlib: pip install matplotlib" in text
    assert "The rest." in text
    assert not (tmp_path / "figures").exists()


def test_nothing_but_a_file_is_replaced_by_a_report(tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputExists):
        write_report([section()], "T", [], tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputExists):
        write_report([section()], "T", [], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


# Blocks


def test_a_check_is_red_or_green_and_says_so_in_words():
    blocks = [Check("`a`", 1e-7, 1e-6, "torch"), Text("x"), Check("b", 0.5, 1e-6, "torch")]
    markdown = to_markdown("T", [], [section(*blocks, kind="check")])
    assert "- **passes**: `a`: the largest difference from torch is **1e-7**, and the limit is **1e-6**." in markdown
    assert "- **FAILS**: b: the largest difference from torch is **0.5**" in markdown
    page = check_page(to_html("T", [], [section(*blocks, kind="check")]))
    looks = [p["class"] for p in page.all("p") if (p.get("class") or "").startswith("check")]
    assert looks == ["check passed", "check failed"]
    assert page.text.count("FAILS") == 1


def test_checks_in_a_row_are_a_table():
    blocks = [Check("`a`", 1e-7, 1e-6, "torch"), Check("b", math.nan, 1.0, "torch")]
    markdown = to_markdown("T", [], [section(*blocks, kind="check")])
    assert "The largest differences from torch:" in markdown
    assert rows_of(markdown) == [
        ["", "check", "difference", "limit"],
        ["---", "---", "---:", "---:"],
        ["**passes**", "`a`", "1e-7", "1e-6"],
        ["**FAILS**", "b", "not finite", "1"],
    ]
    page = check_page(to_html("T", [], [section(*blocks, kind="check")]))
    assert [row.get("class") for row in page.all("tr")] == [None, "passed", "failed"]
    assert page.text.count("FAILS") == 1
    others = [Check("a", 0, 0, "torch"), Check("b", 0, 0, "numpy")]
    assert rows_of(to_markdown("T", [], [section(*others)]))[2:] == [
        ["**passes**", "a", "torch", "0", "0"],
        ["**passes**", "b", "numpy", "0", "0"],
    ]


def test_what_is_missing_is_called_not_run():
    blocks = [Missing("the run `1e-2`"), Table(("rate", "loss"), [("1e-3", 1.23456), ("1e-2", None)], "The sweep.")]
    markdown = to_markdown("T", [], [section(*blocks)])
    assert "**not run**: the run `1e-2`" in markdown
    assert rows_of(markdown) == [["rate", "loss"], ["---:", "---:"], ["1e-3", "1.235"], ["1e-2", "not run"]]
    assert check_page(to_html("T", [], [section(*blocks)])).text.count("not run") == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "not run"),
        (True, "yes"),
        (False, "no"),
        (0, "0"),
        (1234567, "1,234,567"),
        (0.0, "0"),
        (1.23456, "1.235"),
        (9.99999, "10.00"),
        (123456.7, "123,500"),
        (0.00012345, "1.234e-4"),
        (3.51e12, "3.510e12"),
        (-2.5, "-2.500"),
        (math.nan, "not finite"),
        (math.inf, "not finite"),
        ("a text", "a text"),
    ],
)
def test_cells_have_four_digits(value, text):
    assert cell_text(value) == text


def test_columns_of_numbers_are_aligned_at_the_right():
    table = Table(("name", "loss", "n", "empty"), [("a", 1.5, "1,000", None), ("b", "diverged", 7, None)])
    assert rows_of(to_markdown("T", [], [section(table)]))[1] == ["---", "---:", "---:", "---"]


def test_rows_that_are_too_short_or_too_long_fit_the_header():
    table = Table(("a", "b"), [("x",), ("x", "y", "z")])
    assert {len(row) for row in rows_of(to_markdown("T", [], [section(table)]))} == {2}
    check_page(to_html("T", [], [section(table)]))


@pytest.mark.parametrize(
    ("blocks", "kind", "word"),
    [
        ([Text("x")], "example", "answered"),
        ([Check("a", 0, 1, "o")], "check", "passed"),
        ([Check("a", 0, 1, "o"), Check("a", 2, 1, "o")], "check", "failed"),
        ([Text("x"), Missing("runs")], "measured", "not run"),
        ([Table(("a", "b"), [(1, None), (2, None)])], "measured", "not run"),
        ([Table(("a", "b"), [(1, None), (2, 3)])], "measured", "in part"),
        ([picture(), Missing("runs")], "measured", "in part"),
        ([Table(("a",), [(1,)]), picture()], "measured", "answered"),
    ],
)
def test_a_section_says_how_much_of_it_is_answered(blocks, kind, word):
    assert state(section(*blocks, kind=kind)) == word
    drawn = [Drawn("figures/x.png", b"", "X.") if isinstance(block, Picture) else block for block in blocks]
    assert f"*{word}*" in to_markdown("T", [], [section(*drawn, kind=kind)])


def test_text_has_paragraphs_lists_code_and_bold():
    text = "First `a < b` and **bold**.\n\n- one\n- two `x|y`\n\nLast, 2 * 3 * 4 of d_ff."
    assert paragraphs(text) == ["First `a < b` and **bold**.", ["one", "two `x|y`"], "Last, 2 * 3 * 4 of d_ff."]
    page = to_html("T", [Text(text)], [])
    assert "<p>First <code>a &lt; b</code> and <strong>bold</strong>.</p>" in page
    assert "<ul><li>one</li><li>two <code>x|y</code></li></ul>" in page
    markdown = to_markdown("T", [Text(text)], [])
    assert "First `a < b` and **bold**.\n\n- one\n- two `x|y`\n\nLast, 2 \\* 3 \\* 4 of d_ff." in markdown


@given(st.text(max_size=30))
def test_a_literal_text_is_code_of_which_no_character_has_a_meaning(text):
    shown = " ".join(text.split())
    assert spans(literal(text)) == [("code", shown or " ")]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text):
    sections = [
        section(
            Text(text),
            Text(f"In a sentence: {literal(text)}, {text}."),
            Code(text),
            Code(text, "console"),
            Table((text, literal(text)), [(text, literal(text)), (None, "end")], text),
            Check(text, 1.0, 2.0, text),
            Missing(text),
            name=text,
            asked=text,
        ),
        section(row=1),
    ]
    page = check_page(to_html(text, [Text(text)], sections))
    shown = text.encode(errors="replace").decode()
    shown = "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c != "\n" else c for c in shown)
    assert shown in page.text
    markdown = to_markdown(text, [Text(text)], sections)
    markdown.encode()
    outside = re.sub(r"(?s)(`{3,})\w*\n.*?\n\1\n", "", markdown)
    tables = [row for row in rows_of(outside) if row[-1] not in ("answered", "state", "in part", "---")]
    assert {len(row) for row in tables} == {2}
    plain = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", outside)
    assert set(re.findall(r"(?<!\\)<[^>]*>", plain)) == {'<a id="row-1">', "</a>", '<a id="row-1-2">'}
    assert not re.search(r"(?<!\\)\]\((?!#row-)", plain)
    assert plain.count("\n# ") == 0


def test_code_that_has_fences_is_fenced_by_a_longer_one():
    markdown = to_markdown("T", [Code("```\nx\n```", "python")], [])
    assert "````python\n```\nx\n```\n````" in markdown


# The report of a study

RATES = (1e-4, 1e-3, 1e-2)


@pytest.fixture
def study(tmp_path) -> Path:
    """Three rates with two batch sizes and three seeds: the last rate diverged, and the last seed did not run."""
    changes = grid({"schedule.max_learning_rate": RATES, "batch_size": [32, 64]})
    works = made_up_runs.write_study(tmp_path / "study", Study(made_up_runs.base_config(), changes, 3, "rates"))
    for number, work in enumerate(works[:12]):
        rate = work.config.schedule.max_learning_rate
        loss = 2.0 + math.log10(rate / 1e-3) ** 2 + work.config.batch_size / 640 + number / 100
        state = "diverged" if rate == 1e-2 else "" if number == 7 else "finished"
        made_up_runs.write_run(tmp_path / "study" / work.name, work.config, loss, state=state, sources=sources_sha256())
    return tmp_path / "study"


def table(sections: list[Section], name: str) -> Table:
    return next(b for s in sections if s.name == name for b in s.blocks if isinstance(b, Table))


def test_the_report_of_a_study_agrees_with_its_folders(study):
    sections, title, preface = study_report(study)
    assert title == "The study `rates`"
    assert preface[0].text.startswith("**Texts:** trained on `train.bin`, validated on `valid.bin`; tokenizer `tok`.")
    assert preface[1].text == "18 runs: 7 finished, 4 diverged, 1 killed and 6 waiting."
    runs = table(sections, "The runs")
    assert list(runs.header[:5]) == ["max_learning_rate", "batch_size", "seed", "state", "step"]
    assert len(runs.rows) == 18
    for row in runs.rows:
        folder = study / row[-1].strip("`")
        if not folder.exists():
            assert list(row[3:8]) == ["waiting", None, None, None, None]
            continue
        assert json.loads((folder / "config.json").read_text())["seed"] == int(row[2])
        if row[3] == "finished":
            result = json.loads((folder / "result.json").read_text())
            assert (row[5], row[6]) == (result["loss"], result["seconds"])
            assert row[4] == "100 of 100"
        elif row[3] == "diverged":
            assert row[5] == "diverged"
        else:
            assert row[3:5] == ("killed", "40 of 100")


def test_seeds_have_their_mean_and_standard_error(study):
    sections, _, preface = study_report(study)
    rows = table(sections, "Seeds").rows
    assert [row[:5] for row in rows][:2] == [("1e-4", "32", 3, 2, 0), ("1e-4", "64", 3, 1, 0)]
    for row in rows:
        folders = [p.parent for p in study.glob("*/result.json")]
        mine = [f for f in folders if f"rate={row[0]},batch_size={row[1]}" in f.name]
        results = [json.loads((folder / "result.json").read_text()) for folder in mine]
        losses = [result["loss"] for result in results if result["reason"] == "finished"]
        if len(losses) > 1:
            error = statistics.stdev(losses) / len(losses) ** 0.5
            assert row[5:] == pytest.approx((statistics.mean(losses), error, min(losses), max(losses)))
        elif losses:
            assert row[5:] == (losses[0], "one run", losses[0], losses[0])
        else:
            assert row[4:] == (2, "diverged", "diverged", "diverged", "diverged")
    best = min(rows, key=lambda row: row[5] if isinstance(row[5], float) else math.inf)
    assert f"**{best[5]:.4f}** ± {best[6]:.4f} (2 seeds)" in preface[2].text
    assert preface[2].text.endswith("`max_learning_rate=1e-3,batch_size=32`.")


def test_the_effect_of_a_variant_is_its_difference_from_the_base_with_the_same_seed(tmp_path):
    base = made_up_runs.base_config()
    changes = [{}, {"model.qk_norm": True}, {"model.ffn": "relu2", "model.d_ff": 96}, {"model.norm": "none"}]
    losses = {"base": (2.0, 2.5), "qk_norm=true": (1.75, 2.375), "ffn=relu2,d_ff=96": (2.5, None), "norm=none": None}
    works = made_up_runs.write_study(tmp_path / "s", Study(base, changes, 2))
    for work in works:
        ends = losses[run_name({key: value for key, value in work.changes.items() if key != "seed"})]
        loss = 2.0 if ends is None else ends[work.config.seed - base.seed]
        if loss is not None:
            state = "diverged" if ends is None else "finished"
            made_up_runs.write_run(tmp_path / "s" / work.name, work.config, loss, state=state)
    sections, _, _ = study_report(tmp_path / "s")
    assert table(sections, "Effects").rows == [
        ("`model.qk_norm` true", 2, -0.1875, 0.0625, -0.25, -0.125, 1.0),
        ("`model.ffn` `relu2`, `model.d_ff` 96", 1, 0.5, "one seed", 0.5, 0.5, 1.0),
        ("`model.norm` `none`", 0, *["diverged"] * 4, None),
    ]


def test_the_least_loss_says_how_many_of_its_seeds_diverged(tmp_path):
    works = made_up_runs.write_study(tmp_path / "s", Study(made_up_runs.base_config(), grid({"batch_size": [8]}), 3))
    for work, end in zip(works, ("diverged", "finished", "finished"), strict=True):
        made_up_runs.write_run(tmp_path / "s" / work.name, work.config, 2.0, state=end)
    _, _, preface = study_report(tmp_path / "s")
    assert preface[2].text.endswith("(2 seeds) nats per token, of `batch_size=8`. 1 of its 3 seeds diverged.")


def test_a_swept_number_has_a_chart_with_a_line_for_each_other_value(study):
    sections, _, _ = study_report(study)
    pictures = {b.name: b for s in sections for b in s.blocks if isinstance(b, Picture)}
    assert list(pictures) == ["losses", "loss-by-schedule.max_learning_rate", "loss-by-batch_size"]
    axes = pictures["loss-by-schedule.max_learning_rate"].draw().axes[0]
    assert [text.get_text() for text in axes.texts] == ["batch_size=32", "batch_size=64"]
    outcomes = {tuple(outcome.changes.values()): outcome for outcome in StudyResults(study).outcomes()}
    line = next(line for line in axes.lines if len(line.get_xdata()) == 2)
    assert list(line.get_xdata()) == [1e-4, 1e-3]
    assert list(line.get_ydata()) == [outcomes[rate, 32].mean for rate in RATES[:2]]
    crosses = [float(x) for line in axes.lines if line.get_marker() == "X" for x in line.get_xdata()]
    assert crosses == [1e-2, 1e-2]
    assert axes.get_xscale() == "log"


def test_a_study_is_reported_before_it_begins_and_names_no_path(tmp_path):
    made_up_runs.write_study(tmp_path / "s", Study(made_up_runs.base_config(), [{"batch_size": b} for b in (1, 2)]))
    sections, title, preface = study_report(tmp_path / "s")
    write_report(sections, title, preface, tmp_path / "s")
    text = (tmp_path / "s" / "report.md").read_text()
    assert "2 runs: 2 waiting." in text
    assert "**not run**: no run has records yet" in text
    assert "/secret" not in text
    check_page((tmp_path / "s" / "report.html").read_text())


def test_a_complete_study_is_written_with_figures_and_without_paths(study):
    sections, title, preface = study_report(study)
    write_report(sections, title, preface, study)
    page = check_page((study / "report.html").read_text())
    assert len(page.all("img")) == 3
    assert "/secret" not in page.text + (study / "report.md").read_text()
    assert str(study.parent) not in page.text
    assert "A <fast> processor, 2 cores, 24 GB" in page.text


def test_runs_without_validation_are_over_and_have_no_loss(tmp_path):
    base = override(made_up_runs.base_config(), {"data": {"valid": ""}})
    works = made_up_runs.write_study(tmp_path / "s", Study(base, grid({"batch_size": [8, 16]}), 2))
    for work in works:
        made_up_runs.write_run(tmp_path / "s" / work.name, work.config, None)
    sections, _, _ = study_report(tmp_path / "s")
    assert [row[4] for row in table(sections, "The runs").rows] == ["not measured"] * 4
    assert table(sections, "Seeds").rows[0] == ("8", 2, 0, 0, *["not measured"] * 4)
    (missing,) = next(s for s in sections if s.name == "Final losses").blocks
    assert missing.what == "no run has a validation, so that the loss by `batch_size` is not known"


def test_texts_that_differ_are_shown_as_they_are_and_paths_by_what_differs(tmp_path):
    paths = ["/secret/a/train.bin", "/secret/b|**c**`/train.bin"]
    study = Study(made_up_runs.base_config(), grid({"data.train": paths, "model.norm": ["pre"]}))
    works = made_up_runs.write_study(tmp_path / "s", study)
    made_up_runs.write_run(tmp_path / "s" / works[0].name, works[0].config, 2.0)
    sections, title, preface = study_report(tmp_path / "s")
    assert "`a/train.bin` and ``b|**c**`/train.bin``" in preface[0].text
    assert table(sections, "What differs").rows == [
        ("`data.train`", "`train.bin`", "`a/train.bin`, ``b|**c**`/train.bin``"),
        ("`model.norm`", "`pre`", "`pre`"),
    ]
    write_report(sections, title, preface, tmp_path / "s")
    page = check_page((tmp_path / "s" / "report.html").read_text())
    assert "/secret" not in page.text
    assert "b|**c**`/train.bin" in page.text


def test_a_change_may_be_any_value_of_json(tmp_path):
    runs = [{"name": "a", "changes": {"x": [1], "data.train": 3, "y": {"z": None}}}, {"name": "b"}]
    (tmp_path / "study.json").write_text(json.dumps({"runs": runs}))
    made_up_runs.write_run(tmp_path / "a", made_up_runs.base_config(), 2.0)
    sections, title, preface = study_report(tmp_path)
    write_report(sections, title, preface, tmp_path)
    check_page((tmp_path / "report.html").read_text())


def test_runs_of_other_code_are_named(study, tmp_path):
    def text(folder: Path) -> str:
        sections, _, _ = study_report(folder)
        return to_markdown("T", [], [s for s in sections if s.name == "Origin"])

    assert "Other code" not in text(study)
    config = made_up_runs.base_config()
    made_up_runs.write_run(tmp_path / "old", config, 2.0, sources="0" * 64)
    assert "**Other code:** model, kernels and training have changed since these runs: `old`." in text(tmp_path / "old")


def test_the_folder_of_one_run_has_a_report_too(tmp_path):
    made_up_runs.write_run(tmp_path / "run", made_up_runs.base_config(), 2.0)
    sections, title, preface = study_report(tmp_path / "run")
    assert title == "The study `run`"
    assert preface[1].text == "1 run: 1 finished."
    assert table(sections, "The runs").rows[0][2] == 2.0
    assert [s.name for s in sections] == ["What differs", "The runs", "Losses", "Origin"]


def test_a_run_that_ends_worse_than_guessing_counts_as_diverged(tmp_path):
    works = made_up_runs.write_study(tmp_path / "s", Study(made_up_runs.base_config(), grid({"batch_size": [8, 16]})))
    for work, loss in zip(works, (2.0, 30.0), strict=True):
        made_up_runs.write_run(tmp_path / "s" / work.name, work.config, loss)
    good, bad = StudyResults(tmp_path / "s").outcomes()
    assert (good.mean, good.diverged) == (2.0, 0)
    assert (bad.mean, bad.diverged) == (None, 1)
    sections, _, _ = study_report(tmp_path / "s")
    assert [row[3] for row in table(sections, "The runs").rows] == [2.0, 30.0]


@pytest.mark.parametrize(
    ("names", "verdict"),
    [
        (["stories.txt"], "`stories.txt`, by name **not** the corpora of the course."),
        (["TinyStoriesV2-GPT4-train.txt"], "`TinyStoriesV2-GPT4-train.txt`, by name the corpora of the course."),
        (["owt_train.txt", "x.txt"], "`owt_train.txt` and `x.txt`, by name **not** the corpora of the course."),
    ],
)
def test_the_first_line_says_whether_the_texts_are_the_course_s(tmp_path, names, verdict):
    config = override(made_up_runs.base_config(), {"data": {"train": str(tmp_path / "train.bin")}})
    sources = [{"name": f"/secret/{name}", "bytes": 1} for name in names]
    (tmp_path / "train.bin.json").write_text(json.dumps({"sources": sources}))
    made_up_runs.write_run(tmp_path / "run", config, 2.0)
    _, _, preface = study_report(tmp_path / "run")
    assert verdict in preface[0].text
    assert "secret" not in preface[0].text
