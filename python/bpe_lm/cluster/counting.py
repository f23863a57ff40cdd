"""Count a corpus on Ray: each task counts a shard into a file, tasks add files, and the caller adds the last ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bpe_lm import checks
from bpe_lm.cluster.parts import Texts, delete_parts, folder_of, parts_of, texts_of
from bpe_lm.cluster.ray_tasks import Cluster, connected
from bpe_lm.errors import OptionError, OutputExists
from bpe_lm.files import StrPath, check_file_target
from bpe_lm.progress import Callback, Progress, shown
from bpe_lm.tokenizer.arguments import checked_threads
from bpe_lm.tokenizer.counts import Counts, count_pretokens, merge_counts

_FAN_IN = 64
"""The number of files that one task adds, and that the caller adds in the end: as many as are read at the same time."""


def count_on_ray(
    corpus: StrPath | Sequence[StrPath],
    out: StrPath,
    special_tokens: Sequence[str] = (),
    *,
    pattern: str = "gpt2",
    address: str = "auto",
    shards: int | None = None,
    threads: int = 1,
    memory_limit: int | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress = False,
    input_format: str = "auto",
    json_field: str = "text",
    bad_lines: str = "error",
) -> Counts:
    """Count the pretokens of files on a Ray cluster, into the file that `count_pretokens` writes on one machine.

    All machines must see the texts and the folder of `out` by the same paths, and have the same version of bpe_lm. Each
    task counts a shard into a file in `OUT.parts`, which appears whole or not at all. A task whose worker or machine
    dies is started again, up to 3 times. A file that is there is kept, so a call that was interrupted, or whose machine
    died, goes on with `resume`. In the end `OUT.parts` is deleted.

    Args:
        corpus: The files, as for `count_pretokens`, which also explains the options that are not listed here.
        out: The file to write.
        address: "auto" for the cluster that RAY_ADDRESS names or that runs on this machine, "local" for a Ray of this
            call's own on this machine, or an address such as 10.0.0.1:6379. A process that is connected to Ray already
            uses that connection.
        shards: The number of shards, and of tasks. The default is one for each 256 MiB of the files, 4,096 at most.
        threads: The threads of a task, which takes as many CPUs of the cluster.
        memory_limit: The most memory in bytes that a task's process may hold, as for `count_pretokens`. Ray starts no
            more tasks on a machine than its memory has room for. None: neither is limited.
        resume: Keep the shards that an interrupted call of the same files and options has counted.
        force: Replace a file that exists, and delete what an interrupted call has left.
        progress: As for `train_bpe`; the stages are "count" in bytes, "combine" in files, and "sum" in pretokens.

    Raises:
        MissingExtra: Ray is not installed.
        ClusterError: The cluster does not answer, or a task was lost more than 3 times.
        OutputExists: The file exists, or `OUT.parts`, and neither `force` nor `resume` says what to do.
        OutputBusy: Another process counts into the same file.
        ResumeMismatch: The interrupted call had other files or options.
        OptionError: An option is not possible, or no machine of the cluster has room for a task.
        CorpusError: As for `count_pretokens`; or a file has changed since the call began.
        MemoryLimitExceeded: As for `count_pretokens`.
    """
    texts, target, folder = texts_of(corpus), checks.path("out", out), folder_of(out)
    threads = checked_threads(checks.integer("threads", threads)) or 1
    if memory_limit is not None and not 1 <= checks.integer("memory_limit", memory_limit) < 2**63:
        raise OptionError(f"memory_limit = {memory_limit} is not possible: it must be at least 1, and less than 2**63")
    check_file_target(target)
    if os.path.lexists(target) and not force:
        raise OutputExists(f"{target} exists already; name another file, or give --force (force=True)")
    options = {
        "special_tokens": sorted(checks.strings("special_tokens", special_tokens)),
        "pattern": checks.string("pattern", pattern),
        "input_format": checks.string("input_format", input_format),
        "json_field": checks.string("json_field", json_field),
        "bad_lines": checks.string("bad_lines", bad_lines),
    }
    job = {"what": "counts", "version": 1, "shards": texts.shards(shards), "files": texts.files, **options}
    limits = {"threads": threads, "memory_limit": memory_limit}
    with (
        shown(progress) as callback,
        connected(address, threads, memory_limit) as cluster,
        parts_of(job, folder, resume=resume, force=force),
    ):
        parts = _count(cluster, texts, {**job, **limits, "folder": str(folder)}, callback)
        texts.check_unchanged()
        parts = _combine(cluster, parts, folder, callback)
        counts = merge_counts(parts, target, force=force, progress=callback or False)
        delete_parts(folder)
    return counts


def _count(cluster: Cluster, texts: Texts, job: dict[str, Any], callback: Callback | None) -> list[str]:
    number, size = job["shards"], texts.num_bytes

    def report(ended: int) -> None:
        if callback is not None:
            callback("count", size * ended // number, size)

    cluster.run(count_shard, job, number, report)
    return [_part(job, i) for i in range(number)]


def count_shard(job: dict[str, Any], i: int) -> None:
    """Count shard i into its file, unless an earlier call has written it. This runs in a worker."""
    if not os.path.exists(_part(job, i)):
        names = ("pattern", "threads", "memory_limit", "input_format", "json_field", "bad_lines")
        count_pretokens(
            [file["name"] for file in job["files"]],
            _part(job, i),
            job["special_tokens"],
            shard=(i, job["shards"]),
            force=True,
            **{name: job[name] for name in names},
        )


def _part(job: dict[str, Any], i: int) -> str:
    return f"{job['folder']}/{i:07}-of-{job['shards']:07}.counts"


def _combine(cluster: Cluster, parts: list[str], folder: Path, callback: Callback | None) -> list[str]:
    """Add files in tasks, level by level, until the caller can add the rest."""
    level = 0
    while len(parts) > _FAN_IN:
        level += 1
        groups = [parts[first : first + _FAN_IN] for first in range(0, len(parts), _FAN_IN)]
        sums = [(group, f"{folder}/sum-{level}-{i:07}.counts") for i, group in enumerate(groups)]
        before = len(parts)

        def report(ended: int, number: int = len(sums), before: int = before) -> None:
            if callback is not None:
                callback("combine", before * ended // number, before)

        cluster.run(add_group, sums, len(sums), report)
        parts = [out for _, out in sums]
    return parts


def add_group(sums: list[tuple[list[str], str]], i: int) -> None:
    """Add the files of group i into one, unless an earlier call has. This runs in a worker."""
    group, out = sums[i]
    if not os.path.exists(out):
        merge_counts(group, out, force=True)
