"""`bpe-lm generate`: one text, several of a prompt, and several prompts."""

import json

import pytest
from bpe_lm.cli.main import main


@pytest.fixture
def run(run_of_two_steps) -> str:
    return str(run_of_two_steps)


def written(capsys, *arguments) -> str:
    assert main(["generate", *arguments, "--max-tokens", "12", "--device", "cpu"]) == 0
    return capsys.readouterr().out


def test_several_texts_are_those_of_their_seeds_alone(run, capsys):
    alone = [written(capsys, run, "--prompt", "Once", "--seed", str(seed)) for seed in (7, 8, 9)]
    assert len(set(alone)) == 3
    expected = "".join(f"--- text {number} of 3 ---\n{text}" for number, text in enumerate(alone, 1))
    assert written(capsys, run, "--prompt", "Once", "--seed", "7", "--num-samples", "3") == expected


def test_several_prompts_are_continued_at_the_same_time(run, capsys):
    texts = json.loads(
        written(capsys, run, "--prompt", "Once", "--prompt", "A dog", "--num-samples", "2", "--seed", "1", "--json")
    )
    assert [text["prompt"] for text in texts] == ["Once", "Once", "A dog", "A dog"]
    alone = [written(capsys, run, "--prompt", text["prompt"], "--seed", str(1 + i)) for i, text in enumerate(texts)]
    assert [text["text"] + "\n" for text in texts] == alone


def test_one_text_is_a_list_of_one_in_json(run, capsys):
    (text,) = json.loads(written(capsys, run, "--seed", "1", "--json", "--dtype", "bfloat16"))
    assert text["prompt"] == ""
    assert text["text"]


def test_no_text_and_a_bad_option_are_errors(run, capsys):
    with pytest.raises(SystemExit):
        main(["generate", run, "--num-samples", "0"])
    assert "0 is not a whole number from 1 on" in capsys.readouterr().err
    assert main(["generate", run, "--top-p", "2", "--num-samples", "2", "--device", "cpu"]) == 1
    assert "top_p is 2.0" in capsys.readouterr().err
