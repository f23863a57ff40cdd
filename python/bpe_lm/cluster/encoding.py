"""Encode a corpus on Ray: each task encodes a shard into a token file, and the caller joins the files."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpe_lm import checks
from bpe_lm.cluster.parts import JOB, folder_of, parts_of, texts_of
from bpe_lm.cluster.ray_tasks import connected
from bpe_lm.errors import OutputBusy
from bpe_lm.files import StrPath
from bpe_lm.progress import Progress, shown
from bpe_lm.tokenizer.arguments import checked_threads, encoding_options
from bpe_lm.tokenizer.joined import JoinedManifest, check_joined_target, join_tokens
from bpe_lm.tokenizer.tokenizer import Dtype, Special, Tokenizer

_BUSY_SECONDS = 10.0
"""The time that a task waits for another that still writes its file."""


def encode_on_ray(
    corpus: StrPath | Sequence[StrPath],
    tokenizer: Tokenizer,
    out: StrPath,
    *,
    special: Special | None = None,
    separator: str | None = None,
    dtype: Dtype | None = None,
    index: bool = True,
    address: str = "auto",
    shards: int | None = None,
    threads: int = 1,
    resume: bool = False,
    force: bool = False,
    progress: Progress = False,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> JoinedManifest:
    """Encode files on a Ray cluster, into token files that `open_tokens(out)` reads as one.

    The ids are to the byte those of `Tokenizer.encode_file`. All machines must see the texts and the folder of `out` by
    the same paths, and have the same version of bpe_lm. Each task encodes a shard into a token file in `OUT.parts`, and
    `join_tokens` writes `OUT.json`, the list of these files. A task whose worker or machine dies is started again, up
    to 3 times, and goes on where it stopped.

    Args:
        corpus: The files, as for `Tokenizer.encode_file`, which also explains the options that are not listed here.
        tokenizer: The tokenizer.
        out: The name of the joined files. Beside it are written `OUT.json` and the folder `OUT.parts`.
        address: As for `count_on_ray`, and so are `shards`.
        threads: The threads of a task, which takes as many CPUs of the cluster, and up to 110 MiB of memory for each.
        resume: Go on after an interrupted call of the same files and options, if there was one.
        force: Replace `OUT.json`, and delete the parts of an earlier call.
        progress: As for `train_bpe`; the stage is "encode", in bytes.

    Raises:
        MissingExtra: Ray is not installed.
        ClusterError: The cluster does not answer, or a task was lost more than 3 times.
        OutputExists: `OUT.json` or `OUT.parts` exists, and neither `force` nor `resume` says what to do; or `out`.
        OutputBusy: Another process encodes into the same files.
        ResumeMismatch: The interrupted call had other files, options or tokenizer.
        OptionError: An option is not possible, or no machine of the cluster has room for a task.
        TokenFileError: A file has changed between two tasks.
        BpeLmError: As `Tokenizer.encode_file`.
    """
    checks.instance("tokenizer", tokenizer, Tokenizer, "a Tokenizer, such as Tokenizer.load(path)")
    texts, target, folder = texts_of(corpus), checks.path("out", out), folder_of(out)
    threads = checked_threads(checks.integer("threads", threads)) or 1
    options: dict[str, Any] = encoding_options(special, separator, threads, input_format, json_field, bad_lines)
    options |= {"dtype": None if dtype is None else checks.string("dtype", dtype), "index": bool(index)}
    may_replace = force or (resume and (folder / JOB).exists())
    description = check_joined_target(target, force=may_replace)
    number, size = texts.shards(shards), texts.num_bytes
    suffix = ".npy" if target.endswith(".npy") else ".bin"
    parts = [f"{folder}/{i:07}-of-{number:07}{suffix}" for i in range(number)]
    job = {"what": "ids", "version": 1, "shards": number, "files": texts.files, "tokenizer": tokenizer.sha256}
    job |= {name: value for name, value in options.items() if name != "threads"}
    with (
        shown(progress) as callback,
        connected(address, threads) as cluster,
        parts_of(job, folder, resume=resume, force=force),
    ):
        _forget(description, resume=resume)

        def report(ended: int) -> None:
            if callback is not None:
                callback("encode", size * ended // number, size)

        cluster.run(encode_shard, (tokenizer, texts.paths, parts, options), number, report)
        return join_tokens(parts, target, force=may_replace)


def _forget(description: Path, *, resume: bool) -> None:
    """Delete the list of parts that are deleted."""
    if not resume:
        description.unlink(missing_ok=True)


def encode_shard(shared: tuple[Tokenizer, list[str], list[str], dict[str, Any]], i: int) -> None:
    """Encode shard i into its file, from where an earlier call has stopped. This runs in a worker.

    A worker whose caller has died may still be writing when the next call begins, so a busy file is waited for.
    """
    tokenizer, paths, parts, options = shared
    end = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            tokenizer.encode_file(paths, parts[i], shard=(i, len(parts)), resume=True, **options)
            return
        except OutputBusy:
            if time.monotonic() > end:
                raise
        time.sleep(0.1)
