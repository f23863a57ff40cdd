"""The questions on Unicode, BPE and tokenizers: their jobs really run, on a small sample."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from bpe_lm import _core
from bpe_lm.data.sample import write_samples
from bpe_lm.experiments.blocks import Check, Code, Missing, Picture, Table, Text
from bpe_lm.experiments.cs336 import (
    naive_bpe,
    preparation,
    snippet,
    tokenizer,
    tokenizer_experiments,
    train_bpe,
    train_bpe_owt,
    train_bpe_tinystories,
    unicode1,
    unicode2,
)
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import Corpus, Setting
from bpe_lm.experiments.cs336.wording import seconds
from bpe_lm.experiments.work import RESULT
from bpe_lm.tokenizer.token_file import open_tokens
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer
from bpe_lm.training.presets import debug

MODULES = (unicode1, unicode2, train_bpe, train_bpe_tinystories, train_bpe_owt, tokenizer, tokenizer_experiments)
QUESTIONS = [module.QUESTION for module in MODULES]
SIZES = {"tinystories": 400, "owt": 600}


def run(job, folder: Path) -> None:
    """Run a job as the runner does, and keep its result where `Results` looks for it."""
    assert all(path.is_file() for path in job.inputs)
    command = [sys.executable, "-m", job.module, *job.arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (folder / job.name).mkdir(parents=True, exist_ok=True)
    (folder / job.name / RESULT).write_text(json.dumps({"result": json.loads(ended.stdout)}))


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> dict[str, Corpus]:
    folder = tmp_path_factory.mktemp("corpora")
    texts = {key: write_samples(folder / key, 0.1, seed) for key, seed in (("tinystories", 1), ("owt", 2))}
    return {key: Corpus(f"stories of {key}", *paths, is_official=False) for key, paths in texts.items()}


@pytest.fixture(scope="module")
def rounds() -> list[list[str]]:
    """The names of the jobs of each round that `results` needed."""
    return []


@pytest.fixture(scope="module")
def results(corpora, rounds, tmp_path_factory) -> Results:
    """A folder in which all jobs of the questions have run."""
    folder = tmp_path_factory.mktemp("study")
    found = Results(Setting("smoke", folder, corpora, SIZES, debug(), debug(), 0.1))
    while True:
        work = {job.name: job for question in QUESTIONS for job in question.work(found)}
        waiting = [job for name, job in work.items() if found.measured(name) is None]
        if not waiting:
            return found
        rounds.append([job.name for job in waiting])
        for job in waiting:
            run(job, folder)


@pytest.fixture
def empty(corpora, tmp_path) -> Results:
    return Results(Setting("smoke", tmp_path / "none", corpora, SIZES, debug(), debug(), 0.1))


def blocks(module, results, kind):
    return [block for block in module.QUESTION.answer(results) if isinstance(block, kind)]


def prose(module, results) -> str:
    return "\n".join(block.text for block in blocks(module, results, Text))


# Examples


@pytest.mark.parametrize(
    "statements",
    [
        unicode1.CHARACTER,
        unicode1.PRINTED,
        unicode1.IN_TEXT,
        unicode2.LENGTHS,
        unicode2.BYTE_BY_BYTE,
        unicode2.TWO_BYTES,
        ["for i in range(2):\n    i + 1", "1; 2", "None", "print('a')", "x = y"],
    ],
)
def test_examples_print_what_python_prints(statements):
    typed = "".join(statement + ("\n\n" if "\n" in statement else "\n") for statement in statements)
    command = [sys.executable, "-X", "utf8", "-q", "-i"]
    python = subprocess.run(command, input=typed, capture_output=True, text=True, check=False, encoding="utf-8")
    shown = snippet.outputs(statements)
    failed = [output.splitlines()[-1] for output in shown if output.startswith("Traceback")]
    assert "".join(output for output in shown if not output.startswith("Traceback")) == python.stdout
    assert failed == [line for line in python.stderr.splitlines() if "Error: " in line]


def test_a_transcript_shows_prompts_and_symbols_of_control_characters():
    found = snippet.transcript(["print(chr(0) + 'a')", "def f():\n    return 1", "f()"])
    assert found == ">>> print(chr(0) + 'a')\n\u2400a\n>>> def f():\n...     return 1\n>>> f()\n1"


def test_examples_share_a_namespace_that_nothing_else_sees():
    assert snippet.outputs(["marker = 5", "marker"]) == ["", "5\n"]
    assert "NameError" in snippet.outputs(["marker"])[0]
    assert not hasattr(snippet, "marker")
    assert "NameError" in snippet.outputs(["transcript"])[0]


def test_the_sections_show_what_their_examples_printed(empty):
    shown = "\n".join(block.text for module in (unicode1, unicode2) for block in blocks(module, empty, Code))
    assert r"'\x00'" in shown
    assert "this is a test\u2400string" in shown
    assert "[231, 137, 155]" in shown
    assert "\n47232" in shown
    assert "\x00" not in shown


def test_encodings_are_measured():
    lengths = {name: (characters, *more) for name, characters, *more in unicode2.lengths_table().rows}
    text = unicode2.TEXTS["Chinese"]
    assert lengths["Chinese"][:3] == (len(text), 3 * len(text), 2 + 2 * len(text))


# Checks


def test_the_oracle_splits_texts_as_the_crate_does(sample):
    for text in [*tokenizer.HARD_TEXTS, sample.read_text()[:50_000]]:
        data = text.encode()
        assert [part.encode() for part in naive_bpe.pretokens(text)] == [
            data[start:end] for start, end in _core.pretokenize(data, "gpt2")
        ]


def test_training_agrees_with_the_definition(empty):
    found = blocks(train_bpe, empty, Check)
    assert len(found) == 7
    assert all(check.passes for check in found)


def test_a_missing_text_is_not_compared(empty, tmp_path):
    corpora = {"tinystories": Corpus("gone", tmp_path / "gone", tmp_path / "gone", True)}
    results = Results(replace(empty.setting, corpora=corpora))
    assert "gone is not here, or is packed" in prose(train_bpe, results)
    assert len(blocks(train_bpe, results, Check)) == 3


@pytest.mark.parametrize(
    "change", [{"tie_break": "hf"}, {"pattern": "cl100k"}, {"max_token_length": 3}, {"min_frequency": 3}]
)
def test_a_trainer_with_another_rule_turns_its_check_red(change, monkeypatch):
    right = train_bpe.train_bpe
    monkeypatch.setattr(train_bpe, "train_bpe", lambda *arguments: right(*arguments, **change))
    assert [check.passes for check in train_bpe.checks("hard", train_bpe.HARD_TEXT)] == [False, False]


def test_a_trainer_that_merges_special_tokens_turns_its_check_red(monkeypatch):
    assert train_bpe.special_check().passes
    right = train_bpe.train_bpe
    monkeypatch.setattr(train_bpe, "train_bpe", lambda path, size, special: right(path, size, []))
    assert train_bpe.special_check().difference > 0


def test_a_packed_text_is_not_compared(tmp_path):
    (tmp_path / "text.gz").write_bytes(b"packed")
    (tmp_path / "text.txt").write_bytes("aé".encode())
    assert train_bpe.beginning(tmp_path / "text.gz", 100) is None
    assert train_bpe.beginning(tmp_path / "text.txt", 2) == "a"


def test_what_one_of_two_sequences_lacks_counts_as_a_difference():
    assert train_bpe.count_differences([1, 2], [1, 2]) == 0
    assert train_bpe.count_differences([1, 2], [1, 3, 4]) == 2


def test_tokenizers_agree_with_the_definition(results):
    found = blocks(tokenizer, results, Check)
    assert len({check.what for check in found}) >= 12
    assert all(check.passes for check in found)
    assert not blocks(tokenizer, results, Missing)


def test_tokenizers_agree_with_tiktoken():
    pytest.importorskip("tiktoken")
    assert tokenizer.tiktoken_check("small", tokenizer.small_tokenizer()).passes


class Broken(Tokenizer):
    """A tokenizer with one fault."""

    fault = ""

    def encode(self, text, **options):
        if self.fault == "special":
            return super().encode(text, special="text")
        ids = super().encode(text, **options)
        return ids[:-1] if self.fault == "encode" and len(ids) > 100 else ids

    def encode_iterable(self, iterable, **options):
        if self.fault == "whole":  # Everything is read first.
            return iter(super().encode("".join(iterable)))
        if self.fault == "stream":  # Each piece on its own.
            return (id for piece in iterable for id in super(Broken, self).encode(piece))
        return super().encode_iterable(iterable, **options)

    def decode(self, ids):
        return super().decode(ids).replace("\ufffd", "") if self.fault == "decode" else super().decode(ids)


@pytest.mark.parametrize(
    ("fault", "passes"),
    [
        ("", [True, True, True, True, True]),
        ("encode", [False, False, True, False, True]),
        ("special", [True, False, True, False, True]),
        ("stream", [True, False, True, True, True]),
        ("whole", [True, True, False, True, True]),
        ("decode", [True, True, True, True, False]),
    ],
)
def test_a_broken_tokenizer_turns_its_check_red(fault, passes):
    right = tokenizer.small_tokenizer()
    broken = Broken(right.vocab, right.merges, tokenizer.SPECIAL_TOKENS)
    broken.fault = fault
    assert [check.passes for check in tokenizer.checks("broken", broken)] == passes


# Jobs


def test_a_corpus_is_encoded_once_its_tokenizer_is_trained(results, rounds):
    keys = ("tinystories", "owt")
    assert rounds == [
        [f"tokenizer-{key}" for key in keys],
        [f"encode-{key}-{split}" for key in keys for split in ("train", "valid")],
        ["compression"],
    ]
    assert [job.name for job in preparation.preparation(results)] == rounds[0] + rounds[1]


def test_jobs_write_what_the_setting_says(results):
    setting = results.setting
    for key, size in SIZES.items():
        trained = Tokenizer.load(setting.tokenizer(key))
        assert len(trained.vocab) == size
        assert trained.special_tokens == [END_OF_TEXT]
        for split in ("train", "valid"):
            ids = open_tokens(setting.tokens(key, split), tokenizer=trained)
            assert trained.decode_bytes(ids) == setting.corpora[key].path(split).read_bytes()


def test_a_job_replaces_what_it_wrote_before_and_writes_nowhere_else(results):
    setting = results.setting
    for job in preparation.preparation(results):
        outs = [word.removeprefix("--out=") for word in job.arguments if word.startswith("--out=")]
        assert [Path(out).is_relative_to(setting.folder) for out in outs] == [True]
    for job in (preparation.tokenizer_job(results, "owt"), preparation.encoding_job(results, "owt", "valid")):
        before = untimed(results.measured(job))
        run(job, setting.folder)
        assert untimed(results.measured(job)) == before


def untimed(figures):
    return {name: value for name, value in figures.items() if "seconds" not in name and name != "peak_memory"}


@pytest.mark.parametrize("change", ["vocab_sizes", "corpora", "no tokenizer"])
def test_a_tokenizer_of_another_setting_is_trained_again_first(results, change, tmp_path):
    setting = results.setting
    if change == "vocab_sizes":
        setting = replace(setting, vocab_sizes={**SIZES, "owt": 500})
    elif change == "corpora":
        other = replace(setting.corpora["owt"], train=setting.corpora["owt"].valid)
        setting = replace(setting, corpora={**setting.corpora, "owt": other})
    else:
        (tmp_path / "tokenizer-tinystories").mkdir()
        done = (setting.folder / "tokenizer-tinystories" / RESULT).read_bytes()
        (tmp_path / "tokenizer-tinystories" / RESULT).write_bytes(done)
        setting = replace(setting, folder=tmp_path)
    names = {job.name for job in preparation.preparation(Results(setting))}
    assert "encode-owt-train" not in names
    assert ("encode-tinystories-train" in names) == (change != "no tokenizer")
    found = Results(setting)
    assert any("tokenizer of stories" in block.what for block in blocks(train_bpe_owt, found, Missing))


def test_a_study_that_was_moved_is_still_prepared(results, tmp_path):
    setting = results.setting
    shutil.copytree(setting.folder, tmp_path / "moved")
    texts = {key: replace(corpus, train=tmp_path / corpus.train.name) for key, corpus in setting.corpora.items()}
    moved = Results(replace(setting, folder=tmp_path / "moved", corpora=texts))
    assert len(preparation.preparation(moved)) == 6
    assert not blocks(train_bpe_owt, moved, Missing)


# Measured answers


def test_nothing_is_measured_in_an_empty_folder(empty):
    for module in (train_bpe_tinystories, train_bpe_owt, tokenizer_experiments):
        assert blocks(module, empty, Missing)
        assert not blocks(module, empty, Picture)
        cells = [cell for table in blocks(module, empty, Table) for row in table.rows for cell in row[1:]]
        assert set(cells) <= {None}
    assert len(blocks(tokenizer, empty, Missing)) == 2
    assert not empty.setting.folder.exists()


def test_the_table_of_a_training_has_the_figures_of_its_job(results):
    for module, key in ((train_bpe_tinystories, "tinystories"), (train_bpe_owt, "owt")):
        done = results.measured(f"tokenizer-{key}")
        figures, sizes = blocks(module, results, Table)[:2]
        own = {name: cells[0] for name, *cells in figures.rows}
        assert own["time in all"] == seconds(done["total_seconds"])
        assert own["longest token"] == done["longest_tokens"][0]
        assert f"merge {seconds(done['merge_seconds'])}" in own["where the time goes"]
        assert own["where the time goes"].count(" %)") == 3
        assert ["distinct pretokens", done["distinct_pretokens"]] in [list(row) for row in sizes.rows]
        assert figures.header[2:] == ("write-up 1", "write-up 2", "handout")
        assert f"stories of {key}" in figures.header[1]
        assert f"The vocabulary has {SIZES[key]} tokens, and " in prose(module, results)


def test_a_text_that_is_not_the_courses_is_said_to_be_none(results):
    setting = results.setting
    official = {key: replace(corpus, is_official=True) for key, corpus in setting.corpora.items()}
    mixed = {**official, "owt": setting.corpora["owt"]}
    for module in (train_bpe_tinystories, train_bpe_owt, tokenizer_experiments):
        assert "**Not the course's" in prose(module, results)
        assert "Not the course's" not in prose(module, Results(replace(setting, corpora=official)))
    assert "Not the course's" in prose(tokenizer_experiments, Results(replace(setting, corpora=mixed)))


def test_the_answers_name_the_longest_stage_and_the_words():
    done = {"total_seconds": 10.0, "count_seconds": 7.0, "merge_seconds": 2.0}
    assert train_bpe_tinystories.stages(done) == {"pretokenize and count": 7.0, "merge": 2.0, "write": 1.0}
    assert "`pretokenize and count` takes the most time: 70 %" in train_bpe_tinystories.longest_stage(done)
    assert "`merge`" in train_bpe_tinystories.longest_stage({**done, "count_seconds": 1.0, "merge_seconds": 8.0})
    others = ["'---', 3 bytes", r"b'\xff\xfe', 2 bytes", "'œword', 6 bytes"]
    words = ["' accomplishment', 15 bytes"]
    long = f"'{'-' * 67}', 67 bytes"
    assert train_bpe_tinystories.longest_tokens({"longest_tokens": [*words, long]}) == [
        "' accomplishment', 15 bytes",
        f"'{'-' * 38}'..., 67 bytes",
    ]
    both = train_bpe_tinystories.sense({"longest_tokens": words + others})
    assert "Of the 4 longest tokens, 1 are words" in both
    assert "rows of a character" in both
    assert "merged to its end" in both
    assert "rows of a character" not in train_bpe_tinystories.sense({"longest_tokens": words})
    assert "merged to its end" not in train_bpe_tinystories.sense({"longest_tokens": others})


def test_the_two_vocabularies_are_compared(results):
    setting = results.setting
    learned = []
    for key in setting.corpora:
        vocab = Tokenizer.load(setting.tokenizer(key)).vocab
        learned.append([token for token in vocab.values() if token != END_OF_TEXT.encode()])
    table = blocks(train_bpe_owt, results, Table)[2]
    rows = {name: tuple(cells) for name, *cells in table.rows}
    shared = len(set(learned[0]) & set(learned[1]))
    assert rows["learned tokens, 256 bytes among them"] == tuple(map(len, learned))
    assert rows["shared with stories of tinystories"] == (len(learned[0]), shared)
    assert rows["shared with stories of owt"] == (shared, len(learned[1]))
    assert rows["longest in bytes"] == tuple(max(map(len, own)) for own in learned)
    first = next(token for token in learned[1] if token not in learned[0])
    assert rows["first merges that only it has"][1].startswith(repr(first.decode()))
    size, share = train_bpe_owt.overlap(learned[0], learned[1])
    assert (size, share) == (399, len(set(learned[0]) & set(learned[1][:399])) / 399)
    assert f"{100 * share:.1f} % are the same" in prose(train_bpe_owt, results)


def test_bytes_per_token_are_those_of_the_texts(results):
    setting = results.setting
    rows = blocks(tokenizer_experiments, results, Table)[0].rows
    assert len(rows) == 4
    for name, corpus, *ratios in rows:
        keys = [title.removeprefix("stories of ") for title in (name, corpus)]
        text = setting.corpora[keys[1]].valid.read_bytes()
        loaded = Tokenizer.load(setting.tokenizer(keys[0]))
        assert ratios[1] == len(text) / len(loaded.encode(text))
        own = Tokenizer.load(setting.tokenizer(keys[1]))
        documents = tokenizer_experiments.sampled_documents(own, str(setting.tokens(keys[1], "valid")), 336)
        tokens = sum(len(loaded.encode(document)) for document in documents)
        assert ratios[0] == sum(map(len, documents)) / tokens
    assert [row[-1] for row in rows] == ["4.09", "3.34", "not stated", "4.53"]


def test_ten_documents_are_drawn_without_their_separators(results):
    setting = results.setting
    own = Tokenizer.load(setting.tokenizer("owt"))
    path = str(setting.tokens("owt", "train"))
    documents = tokenizer_experiments.sampled_documents(own, path, 1)
    everything = setting.corpora["owt"].train.read_bytes().split(END_OF_TEXT.encode())
    assert len(set(documents)) == len(documents) == 10
    assert set(documents) <= set(everything)
    assert tokenizer_experiments.sampled_documents(own, path, 1) == documents
    assert tokenizer_experiments.sampled_documents(own, path, 2) != documents


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"one{END_OF_TEXT}two", [b"one", b"two"]),
        (f"{END_OF_TEXT}{END_OF_TEXT}one{END_OF_TEXT}", [b"one"]),
        ("only", [b"only"]),
        (END_OF_TEXT, []),
    ],
)
def test_fewer_documents_than_ten_are_all_drawn(text, expected, tmp_path):
    (tmp_path / "text.txt").write_text(text)
    own = Tokenizer({id: bytes([id]) for id in range(256)}, [], [END_OF_TEXT])
    own.encode_file(tmp_path / "text.txt", tmp_path / "text.bin")
    assert sorted(tokenizer_experiments.sampled_documents(own, str(tmp_path / "text.bin"), 1)) == expected


def test_speeds_and_hours_follow_the_seconds():
    figures = [
        {"tokenizer": "a", "text_bytes": 100, "seconds": 1.0},
        {"tokenizer": "a", "text_bytes": 200, "seconds": 2.0},
        {"tokenizer": "b", "text_bytes": 825, "seconds": 1.0},
    ]
    assert tokenizer_experiments.speeds(figures) == {"a": 100.0, "b": 825.0}
    slow = [each | {"corpus": "c", "seconds": 2 * each["seconds"]} for each in figures]
    fast = [each | {"corpus": "c"} for each in figures]
    threads = "All threads are not faster than one"
    assert threads in tokenizer_experiments._on_speed({"one_thread": fast, "whole": slow})
    assert threads not in tokenizer_experiments._on_speed({"one_thread": slow, "whole": fast})
    table = tokenizer_experiments.speed_table({"a": "A", "b": "B"}, {"one_thread": figures, "whole": figures})
    assert table.rows[1] == ("B", "one thread", "0.000825 MB/s", 1e9 / 3600)


def test_token_files_are_of_two_bytes_a_token(results):
    setting = results.setting
    table = blocks(tokenizer_experiments, results, Table)[-1]
    places = [(key, split) for key in setting.corpora for split in ("train", "valid")]
    for (key, split), row in zip(places, table.rows, strict=True):
        assert row[2:5] == (setting.tokens(key, split).stat().st_size // 2, SIZES[key] - 1, "uint16")


def test_tables_are_as_wide_as_their_headers_and_pictures_draw(results):
    measured = [list(question.answer(results)) for question in QUESTIONS if question.kind == "measured"]
    found = [block for section in measured for block in section]
    for table in (block for block in found if isinstance(block, Table)):
        assert {len(row) for row in table.rows} == {len(table.header)}
    pictures = [block for block in found if isinstance(block, Picture)]
    assert [picture.name for picture in pictures] == ["token_lengths", "compression_matrix", "tokenizer_throughput"]
    pytest.importorskip("matplotlib")
    for picture in pictures:
        assert picture.draw().axes
        assert "owt is stories of owt" in picture.caption


def test_corpora_of_one_title_are_told_apart(results):
    setting = results.setting
    same = {key: replace(corpus, title="stories") for key, corpus in setting.corpora.items()}
    found = Results(replace(setting, corpora=same))
    assert blocks(train_bpe_owt, found, Table)[2].header == ("", "stories (tinystories)", "stories (owt)")
    assert len(blocks(tokenizer_experiments, found, Table)[0].rows) == 4


def test_the_questions_are_rows_of_the_course():
    known = [(1, 1), (2, 3), (3, 15), (4, 2), (5, 2), (6, 15), (7, 4)]
    assert [(question.row, question.points) for question in QUESTIONS] == known
    kinds = ["example"] * 2 + ["check", "measured", "measured", "check", "measured"]
    assert [question.kind for question in QUESTIONS] == kinds
