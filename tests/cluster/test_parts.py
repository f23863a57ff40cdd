"""The folder of a job's parts, and the files of a corpus: what is kept, refused and deleted."""

import json
import os

import bpe_lm
import pytest
from bpe_lm import errors
from bpe_lm.cluster.parts import JOB, LOCK, parts_of, texts_of

TASK = {"what": "counts", "shards": 2}


@pytest.fixture
def folder(tmp_path):
    """A folder of parts that an interrupted call has left."""
    folder = tmp_path / "out.parts"
    with parts_of(TASK, folder, resume=False, force=False):
        (folder / "part").write_text("0")
    return folder


def test_an_interrupted_job_is_resumed_or_begun_again(folder):
    with parts_of(TASK, folder, resume=True, force=False):
        assert sorted(os.listdir(folder)) == [JOB, LOCK, "part"]
    with parts_of(TASK | {"shards": 3}, folder, resume=False, force=True):
        assert sorted(os.listdir(folder)) == [JOB, LOCK]
        assert json.loads((folder / JOB).read_text()) == TASK | {"shards": 3}


def test_resuming_what_never_began_replaces_no_description_of_others(tmp_path):
    text, others = tmp_path / "text.txt", tmp_path / "ids.json"
    text.write_text("Once upon a time")
    others.write_text("precious")
    tokenizer = bpe_lm.Tokenizer(*bpe_lm.train_bpe(text, 260, []), [])
    with pytest.raises(errors.OutputExists, match=r"ids\.json exists already"):
        bpe_lm.encode_on_ray(text, tokenizer, tmp_path / "ids", resume=True)
    assert (others.read_text(), sorted(os.listdir(tmp_path))) == ("precious", ["ids.json", "text.txt"])


def test_a_killed_call_that_wrote_no_job_is_begun_again(folder):
    """It was killed between the two files that begin a folder."""
    (folder / JOB).unlink()
    (folder / "part").rename(folder / f".{JOB}.123.partial")
    for resume in (True, False):
        with parts_of(TASK, folder, resume=resume, force=not resume):
            assert json.loads((folder / JOB).read_text()) == TASK


@pytest.mark.parametrize(
    ("job", "options", "error", "message"),
    [
        (TASK, {"resume": False, "force": False}, errors.OutputExists, "--resume"),
        (TASK | {"shards": 3}, {"resume": True, "force": False}, errors.ResumeMismatch, "its shards is not that"),
        (TASK | {"what": "ids"}, {"resume": True, "force": True}, errors.ResumeMismatch, "its what is not that"),
    ],
)
def test_parts_of_another_call_are_refused_and_kept(folder, job, options, error, message):
    with pytest.raises(error, match=message), parts_of(job, folder, **options):
        pass
    assert (folder / "part").read_text() == "0"


def test_a_folder_of_something_else_is_never_emptied(tmp_path):
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(errors.OutputExists, match="not a folder of parts"):
        parts_of(TASK, tmp_path, resume=False, force=True).__enter__()
    assert os.listdir(tmp_path) == ["mine"]


def test_two_processes_do_not_work_in_one_folder(folder):
    with (
        parts_of(TASK, folder, resume=True, force=False),
        pytest.raises(errors.OutputBusy, match="another process works"),
        parts_of(TASK, folder, resume=True, force=False),
    ):
        pass


def test_a_text_that_changes_is_noticed(tmp_path):
    path = tmp_path / "text"
    path.write_text("a b")
    texts = texts_of(path)
    texts.check_unchanged()
    path.write_text("a b c")
    with pytest.raises(errors.CorpusError, match="has changed while it was read"):
        texts.check_unchanged()
