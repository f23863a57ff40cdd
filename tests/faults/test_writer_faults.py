"""Everything that writes a file or a folder, with each call of the system failing once, in turn.

After a fault there is the old content or the new one and nothing else, and an error that names the path. (The writer of
token files has tests of its own, because it goes on where it was interrupted.)
"""

import errno
import itertools
import json
import shutil
from pathlib import Path

import pytest
from bpe_lm import Tokenizer, errors
from injection import FULL, HALF, faults, is_write, name_of


def save_tokenizer(saved, out, version):
    tokenizer = Tokenizer.load(saved)
    if version == "new":
        tokenizer = Tokenizer(tokenizer.vocab, tokenizer.merges, [*tokenizer.special_tokens, "<|new|>"])
    tokenizer.save(out, force=True)


def write_sample(_, out, version):
    from bpe_lm import _core

    _core.write_sample(out, 30_000, len(version), False)


def write_whole(_, out, version):
    from bpe_lm.files import write_whole

    write_whole(out, version.encode() * 1000)


def small_model(version):
    import torch
    from bpe_lm.model.config import ModelConfig
    from bpe_lm.model.transformer import TransformerLM
    from bpe_lm.training.optimizers.adamw import AdamW

    torch.manual_seed(len(version))
    config = ModelConfig(vocab_size=1003, context_length=8, d_model=16, num_layers=1, num_heads=2, d_ff=16)
    model = TransformerLM.from_config(config)
    return model, AdamW(model.parameters(), lr=1e-3)


def save_checkpoint(_, out, version):
    from bpe_lm.training.checkpoint import save_checkpoint

    save_checkpoint(*small_model(version), 1, out)


def save_run_checkpoint(_, out, version):
    from bpe_lm.training.run_checkpoint import save_run_checkpoint

    save_run_checkpoint(out.parent, *small_model(version), 1, {"version": version})


def export_huggingface(saved, out, version):
    from bpe_lm.export.llama import export_huggingface

    export_huggingface(small_model(version)[0], Tokenizer.load(saved), out, force=True)


def export_gguf(saved, out, version):
    from bpe_lm.export.gguf import export_gguf

    export_gguf(small_model(version)[0], Tokenizer.load(saved), out, force=True)


WRITERS = {
    writer.__name__: (writer, name)
    for writer, name in [
        (save_tokenizer, "out"),
        (write_sample, "out.txt"),
        (write_whole, "out.json"),
        (save_checkpoint, "out.pt"),
        (save_run_checkpoint, "step-00000001"),
        (export_huggingface, "out"),
        (export_gguf, "out.gguf"),
    ]
}


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def restore(folder: Path, before: Path | None) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if before is None:
        folder.mkdir()
    else:
        shutil.copytree(before, folder)


def fail_each_call(folder, saved, paths, writers):
    """Prints the number of points and the problems, of some writers with and without an old output."""
    found = [fail_each_call_of(Path(folder), saved, *case) for case in itertools.product(writers, [False, True])]
    points, problems = zip(*found, strict=True)
    print(json.dumps([sum(points), list(itertools.chain(*problems))]))


def fail_each_call_of(folder, saved, writer, has_old):
    """The output is in the folder `in`; `old` is what that has before."""
    write, name = WRITERS[writer]
    inside, old = folder / "in", folder / "old"
    library, points, problems = faults(), 0, []
    restore(inside, None)
    restore(old, None)
    write(saved, inside / name, "new")
    new, before = content(inside), {}
    if has_old:
        write(saved, old / name, "old")
        before = content(old)
    for action in (errno.ENOSPC, errno.EIO, HALF, FULL):
        for n in itertools.count(1):
            restore(inside, old if has_old else None)
            library.faults_set(n, action, 0)
            error = None
            try:
                write(saved, inside / name, "new")
            except Exception as found:
                error = found
            count, call = library.faults_count(), library.faults_call(n).decode().replace(" in/", " ")
            library.faults_set(0, 0, 0)
            if count < n:
                break
            if action < 0 and not is_write(call):
                continue
            points += 1
            found, after = [], content(inside)
            if error is not None and not (isinstance(error, errors.BpeLmError) and str(inside) in str(error)):
                found.append(f"the error is {error!r}")
            if action == HALF and error is not None:
                found.append(f"half a write is an error: {error!r}")
            if error is None and without_what_stays(call, after) != new:
                found.append(f"no error, and there are {sorted(after)}")
            if error is not None and after not in (before, new):
                found.append(f"between old and new: {describe(after, before, new)}")
            problems += [f"{writer}, {name_of(action)} at {call}: {problem}" for problem in found]
    return points, problems


def without_what_stays(call, after):
    """The content without a folder whose removal is the call that failed."""
    marks = (".bpe_lm-", ".replaced")
    is_removal = call.startswith("open ") and any(mark in call for mark in marks)
    return {name: data for name, data in after.items() if not (is_removal and any(mark in name for mark in marks))}


def describe(after, before, new):
    state = {
        name: "old" if data == before.get(name) else "new" if data == new.get(name) else "?"
        for name, data in after.items()
    }
    return state | dict.fromkeys(before.keys() - after.keys(), "missing")


@pytest.mark.row("R4")
@pytest.mark.parametrize(
    "writers",
    [
        ["save_tokenizer", "write_sample", "write_whole"],
        pytest.param(["save_checkpoint", "save_run_checkpoint", "export_huggingface"], marks=pytest.mark.long),
        pytest.param(["export_gguf"], marks=pytest.mark.long),
    ],
)
def test_each_call_of_a_writer_may_fail_and_leaves_old_or_new(points, writers, cases):
    if "export_gguf" in writers:
        pytest.importorskip("gguf")
    number = points(fail_each_call, writers)
    assert number >= 20
    cases.found(number)
