"""The rows of the table: which processes are run for a cell, and the words for what was seen."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from situations import FAMILIES
from tools import TOOLS
from watch import watch

NOT_OFFERED = "does not offer"
MANY = 20_000
SENDS = 2
CHILDREN = 4
HANGS = 20
SLOW = 5
BRIEF = 0.2
"""Seconds that are too few to be compared: a megabyte in less is not slow."""


@dataclass(frozen=True)
class Case:
    """A program, and the folder of scene.py."""

    name: str
    folder: Path

    @property
    def tool(self):
        return TOOLS[self.name]

    def offers(self, job):
        return job in self.tool.jobs

    def watch(self, situation, seconds, interrupt_after=None, folder=None, **task):
        task = {"situation": situation, "tool": self.name, "folder": str(folder or self.folder)} | task
        return watch(task, seconds, interrupt_after)


def cell(text, **facts):
    return {"text": text} | facts


def ctrl_c(case, job):
    """Two sends: after a fifth of what the call takes without one, and after two fifths."""
    if not case.offers(job):
        return cell(NOT_OFFERED)
    free = case.watch("ctrl-c", 120, job=job)
    if free.get("ended") is None:
        return cell(f"without Ctrl-C: {free.end or free.get('other')}")
    whole = free.get("ended") - free.get("begun")
    waits, sends, usable, ends = [], [whole * send / 5 for send in range(1, SENDS + 1)], 0, []
    for at in sends:
        seen = case.watch("ctrl-c", 120, interrupt_after=at, job=job)
        usable += bool(seen.get("usable"))
        if seen.get("caught") is None or seen.get("sent") is None:
            ends.append(seen.get("other") or seen.end or "the call ended first")
        else:
            waits.append(seen.get("caught") - seen.get("sent"))
    said = [f"after {' and '.join(f'{wait:.2f}' for wait in waits)} s"] if waits else []
    said += [f"{word}: {count}" for word, count in Counter(ends).items()]
    sent = " and ".join(f"{at:.1f}" for at in sends)
    said.append(f"usable then: {usable} of {SENDS} (sent at {sent} s of a call of {whole:.1f} s)")
    return cell("; ".join(said), whole=whole, sends=sends, waits=waits, usable=usable)


def same_ids(case):
    if not case.offers("encode"):
        return cell(NOT_OFFERED)
    if case.name == "tiktoken":
        return cell("the judge")
    seen = case.watch("same ids", 200, number=MANY)
    if seen.get("done") is None:
        return cell(seen.end)
    errors = seen.get("errors")
    bad = seen.get("different") + sum(errors.values())
    text = f"{MANY - bad:,} of {MANY:,} equal" + "".join(f"; {error}: {n:,}" for error, n in errors.items())
    return cell(text, asked=MANY, different=seen.get("different"), errors=errors)


def slow(case, job):
    if not case.offers(job):
        return cell(NOT_OFFERED)
    ratios, other = {}, {}
    for family in FAMILIES:
        seen = case.watch("made to be slow", 120, cpu_seconds=SLOW, job=job, family=family)
        times = {facts["size"]: facts["seconds"] for facts in seen.said if "seconds" in facts}
        if len(times) == 2:
            small, large = (times[size] for size in sorted(times))
            ratios[family] = large / small if large > BRIEF else 1.0
        else:
            other[family] = seen.get("raised", seen.end)
    linear = sum(ratio <= 2.5 for ratio in ratios.values())
    said = [f"{linear} of {len(FAMILIES)} within 2.5"]
    if ratios and linear < len(ratios):
        worst = max(ratios, key=ratios.__getitem__)
        said.append(f"largest {ratios[worst]:.1f} ({worst})")
    said += [f"{end}: {', '.join(f for f in other if other[f] == end)}" for end in dict.fromkeys(other.values())]
    return cell("; ".join(said), ratios=ratios, other=other)


def memory(case, job):
    if not case.offers(job):
        return cell(NOT_OFFERED)
    said, facts = [], {}
    for megabytes in (20, 80):
        seen = case.watch("memory", 120, job=job, megabytes=megabytes)
        if seen.get("peak") is None:
            said.append(f"{megabytes} MB: {seen.end}")
            continue
        taken, size = seen.get("peak") - seen.get("before"), seen.get("size")
        facts[megabytes] = {"taken": taken, "size": size, "anonymous": seen.anonymous, "before": seen.get("before")}
        said.append(f"{megabytes} MB: {taken / 1e6:.0f} MB, {taken / size:.1f} times")
    return cell("; ".join(said), **{str(key): value for key, value in facts.items()})


def cut_off(case):
    if not case.offers("encode"):
        return cell(NOT_OFFERED)
    files, said, facts = [name for name in readers_of(case.name) if name], [], {}
    for name in files:
        facts[name], of = prefixes(case, name)
        words = ", ".join(f"{word} {count}" for word, count in sorted(facts[name].items()))
        said.append(f"{name}, {of}: {words}")
    return cell("; ".join(said) or "reads none", **facts)


def readers_of(name):
    return {
        "bpe_lm": ["tokenizer.json", "vocab.json", "merges.txt", "tokenizer.tiktoken"],
        "HF tokenizers": ["tokenizer.json", "vocab.json", "merges.txt"],
        "tiktoken": ["tokenizer.tiktoken"],
        "gigatoken": ["tokenizer.json", "tokenizer.tiktoken"],
        "snaptokens": ["tokenizer.json"],
    }.get(name, [])


def prefixes(case, name):
    """What came of each prefix. A process that does not survive is begun again behind it."""
    counts, start, of = Counter(), 0, 0
    with tempfile.TemporaryDirectory() as copy:
        small = case.folder / "small"
        for path in small.iterdir():
            shutil.copy(path, copy)
        while True:
            seen = case.watch("cut off", 200, folder=small, name=name, copy=copy, start=start)
            counts.update(kind(facts["result"]) for facts in seen.said if "result" in facts)
            of = seen.get("of", of)
            if seen.get("finished"):
                return dict(counts), of
            counts[seen.end] += 1
            begun = seen.get("number")
            if begun is None or counts.total() > of or sum(end.startswith("killed") for end in counts) > 1:
                return dict(counts), of
            start = begun + 1


def kind(result):
    names = {"same": "the same tokenizer", "another": "silently another tokenizer"}
    return names.get(result, result if result.startswith("panic") else f"error ({result})")


def children(case, method, job):
    if not case.offers(job):
        return cell(NOT_OFFERED)
    seen = case.watch("children", 90, name=case.name, method=method, job=job, number=CHILDREN, patience=HANGS)
    if seen.get("right") is None:
        return cell(seen.end or "no answer")
    right, hung = seen.get("right"), seen.get("hung")
    said = [f"{right} of {CHILDREN} right"]
    if hung:
        said.append(f"{hung} hung for {HANGS} s")
    if right + hung < CHILDREN:
        said.append(f"{CHILDREN - right - hung} failed")
    if seen.get("unpicklable"):
        said.append(f"not picklable ({seen.get('unpicklable')}), so loaded in the child")
    return cell("; ".join(said), right=right, hung=hung, asked=CHILDREN)


class Row(NamedTuple):
    name: str
    title: str
    measure: Callable


ROWS = (
    Row("R6", "R6 Ctrl-C in training", lambda case: ctrl_c(case, "train")),
    Row("R6", "R6 Ctrl-C in encoding a text", lambda case: ctrl_c(case, "encode")),
    Row("R6", "R6 Ctrl-C in encoding many", lambda case: ctrl_c(case, "encode many")),
    Row("R8", "R8 the ids of tiktoken", same_ids),
    Row("R14", "R14 texts made slow, training", lambda case: slow(case, "train")),
    Row("R14", "R14 texts made slow, encoding", lambda case: slow(case, "encode")),
    Row("R17", "R17 memory of training", lambda case: memory(case, "train")),
    Row("R17", "R17 memory of encoding", lambda case: memory(case, "encode many")),
    Row("R19", "R19 files cut off", cut_off),
    Row("R24", "R24 forked, encoding", lambda case: children(case, "fork", "encode many")),
    Row("R24", "R24 spawned, encoding", lambda case: children(case, "spawn", "encode many")),
    Row("R24", "R24 forked, training", lambda case: children(case, "fork", "train")),
)
