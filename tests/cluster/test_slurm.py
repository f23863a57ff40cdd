"""The scripts of docs/slurm, played on one machine: an array's tasks one after another, two of them killed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import bpe_lm
import deaths
import pytest
from test_ray import END_OF_TEXT, SHARDS, SLOW

SCRIPTS = Path(__file__).parents[2] / "docs" / "slurm"

SBATCH = """import os, pathlib, re, subprocess, sys
*options, script = sys.argv[1:]
given = dict(option.lstrip("-").partition("=")[::2] for option in options)
folder = pathlib.Path(os.environ["JOBS"])
if "dependency" in given:
    assert (folder / given["dependency"].removeprefix("afterok:")).read_text() == "0"
first, last = map(int, given.get("array", "0-0").split("-"))
directives = dict(re.findall(r"^#SBATCH --([\\w-]+)=?(.*)$", open(script).read(), re.M))
base = os.environ | {"SLURM_SUBMIT_DIR": os.getcwd(), "SLURM_CPUS_PER_TASK": directives.get("cpus-per-task", "1")}
status = 0
for task in range(first, last + 1):
    environment = base | ({"SLURM_ARRAY_TASK_ID": str(task)} if "array" in given else {})
    ended = subprocess.run(["bash", script], env=environment, stdout=sys.stderr).returncode
    if ended == 137 and "requeue" in directives:
        ended = subprocess.run(["bash", script], env=environment, stdout=sys.stderr).returncode
    status = status or ended
job = str(1 + len(list(folder.iterdir())))
(folder / job).write_text(str(status))
print(job)
sys.exit(status)
"""
"""Slurm on one machine: it runs a job when it is submitted, and a task once more that was killed."""

BPE_LM = """import os, sys
sys.path.insert(0, os.environ['TESTS'])
import deaths
deaths.install()
from bpe_lm.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def cluster(sample, tmp_path):
    """The folder of the scripts, set to a small corpus, and the environment in which they are submitted."""
    for name in ("bin", "jobs", "orders"):
        (tmp_path / name).mkdir()
    for name, source in (("sbatch", SBATCH), ("bpe-lm", BPE_LM)):
        program, path = tmp_path / f"{name}.py", tmp_path / "bin" / name
        program.write_text(source)
        # The first line of a script cannot name a program with a space in its path.
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}" "$@"\n')
        path.chmod(0o755)
    folder = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, folder)
    text = sample.read_text()
    (folder / "a text.txt").write_text(text + text[:-1000])
    (folder / "b.txt").write_text(text[:500_000])
    (folder / "texts.list").write_text(f"{folder / 'a text.txt'}\n{folder / 'b.txt'}\n")
    settings = (folder / "corpus.sh").read_text()
    split = f"SPLIT=(--special-token '{END_OF_TEXT}' --pattern '{SLOW}')"
    for name, line in [("SHARDS", f"SHARDS={SHARDS}"), ("VOCAB_SIZE", "VOCAB_SIZE=300"), ("SPLIT", split)]:
        settings, changed = re.subn(rf"^{name}=.*$", lambda _, line=line: line, settings, flags=re.M)
        assert changed == 1
    (folder / "corpus.sh").write_text(settings)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    settings = {"PATH": path, "JOBS": str(tmp_path / "jobs"), deaths.FOLDER: str(tmp_path / "orders")}
    return folder, os.environ | settings | {"TESTS": str(Path(__file__).parent)}


def test_the_scripts_give_the_files_of_one_machine_though_tasks_are_killed(cluster, tmp_path):
    folder, environment = cluster
    for order in ("count-1-kill", "encode-2-kill"):
        (tmp_path / "orders" / order).touch()
    done = subprocess.run(["bash", "submit.sh"], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "orders").glob("*.done"))) == 2
    texts, work = [folder / "a text.txt", folder / "b.txt"], folder / "work"
    bpe_lm.count_pretokens(texts, tmp_path / "whole", [END_OF_TEXT], pattern=SLOW)
    assert (work / "all.counts").read_bytes() == (tmp_path / "whole").read_bytes()
    tokenizer = bpe_lm.Tokenizer.load(work / "tokenizer")
    assert (tokenizer.vocab, tokenizer.merges) == bpe_lm.train_bpe(texts, 300, [END_OF_TEXT], pattern=SLOW)
    tokenizer.encode_file(texts, tmp_path / "whole.bin")
    parts = sorted((work / "ids").glob("*.bin"))
    assert len(parts) == SHARDS
    assert b"".join(part.read_bytes() for part in parts) == (tmp_path / "whole.bin").read_bytes()
    assert (bpe_lm.open_tokens(work / "all.bin") == bpe_lm.open_tokens(tmp_path / "whole.bin")).all()


def test_a_missing_part_is_named_and_nothing_is_trained(cluster):
    folder, environment = cluster
    (folder / "work" / "counts").mkdir(parents=True)
    (folder / "work" / "counts" / "0000000.counts").touch()
    done = subprocess.run(["sbatch", "train.sbatch"], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "there are 1 of 3 parts" in done.stderr
    assert not (folder / "work" / "tokenizer").exists()
