"""What processes tell each other reaches them unchanged, and is JSON."""

import json

import pytest
from bpe_lm.errors import CheckpointError, FileError, InternalError
from bpe_lm.training.messages import attempt, error_as_json, error_of_json


@pytest.mark.parametrize(
    "error",
    [
        CheckpointError("it is damaged"),
        FileError("could not read x: No space left on device"),
        OSError(28, "No space left on device", "x/y"),
        PermissionError(13, "Permission denied", "x"),
        OSError("no number"),
    ],
)
def test_an_error_keeps_its_type_and_its_text(error):
    def fail() -> None:
        raise error

    value, caught = attempt(fail)
    found = error_of_json(json.loads(json.dumps(error_as_json(caught))))
    assert (value, caught) == (None, error)
    assert (type(found), str(found)) == (type(error), str(error))
    if isinstance(error, OSError) and not isinstance(error, FileError):
        assert (found.errno, found.strerror, found.filename) == (error.errno, error.strerror, error.filename)


def test_a_defect_is_told_as_one():
    def fail() -> None:
        raise ZeroDivisionError("one by none")

    _, error = attempt(fail)
    found = error_of_json(error_as_json(error))
    assert (type(found), str(found)) == (InternalError, "ZeroDivisionError: one by none")


def test_no_error_is_none():
    assert attempt(lambda: 3) == (3, None)
    assert error_of_json(error_as_json(None)) is None
