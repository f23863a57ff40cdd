"""Problem tokenizer_experiments: how well do the two tokenizers compress, and how fast?

(a) Bytes per token of ten documents of each corpus. (b) The same of OpenWebText with TinyStories' tokenizer. (c) Bytes
per second, and the time for the Pile (825 GB). (d) Encode both corpora; why is uint16 a good type?

Answer: not yet known on the course's texts. On 5.7 MB of TinyStories and 170 MB of web text (2026-11-27, commit
b356817, 2 cores of an Intel Xeon with AVX512-BF16): 3.96 and 3.45 bytes per token with vocabularies of 4,000 and 8,000;
2.52 and 3.53 with the other's. One thread encodes 310 to 360 MB/s, which is 0.6 to 0.7 hours for the Pile. The job
`compression` measures (a) to (c), the jobs `encode-CORPUS-SPLIT` (d). The type: 10,000 and 32,000 tokens have ids below
65,536, so that 16 bits hold every id, and 8 bits do not.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bpe_lm.experiments.blocks import Block, Missing, Picture, Table, Text
from bpe_lm.experiments.charts import bars, compression_matrix
from bpe_lm.experiments.cs336.preparation import encoding_job, is_encoded, preparation
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import CORPORA, NAMES, SPLITS, CorpusKey, Setting
from bpe_lm.experiments.cs336.shown import standing
from bpe_lm.experiments.cs336.wording import NOT_STATED, explained, size, titles
from bpe_lm.experiments.work import Job, Work, measurement
from bpe_lm.tokenizer.comparison import PILE_BYTES, Compression, compare
from bpe_lm.tokenizer.token_file import open_tokens
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT, Tokenizer

JOB = "compression"
DOCUMENTS = 10
"""Documents of each corpus that the course asks for."""

THREADS = {"one_thread": "one thread", "whole": "all threads"}
"""The keys of the figures with one thread and with one for each core, and what the report calls them."""

REPORTED_RATIOS = {("tinystories", "tinystories"): "4.09", ("owt", "owt"): "4.53", ("tinystories", "owt"): "3.34"}
"""Bytes per token of ten documents in write-up 2, by tokenizer and corpus."""

REPORTED_SPEEDS: dict[CorpusKey, float] = {"tinystories": 3.51e6, "owt": 3.12e6}
"""Bytes per second in write-up 2."""

REPORTED_PILE_HOURS = 65.0


def measure(
    tokenizers: Mapping[str, str], texts: Mapping[str, str], tokens: Mapping[str, str], seed: int
) -> dict[str, Any]:
    """Encode the validation texts, and ten documents of each, with each tokenizer.

    Args:
        tokenizers: The folder of each corpus's tokenizer.
        texts: The validation text of each corpus.
        tokens: The token file of each validation text, from which the documents are taken.
        seed: Chooses the documents.
    """
    loaded = {name: Tokenizer.load(path) for name, path in tokenizers.items()}
    drawn = {name: sampled_documents(loaded[name], path, seed) for name, path in tokens.items()}
    return {
        "whole": _compressions(loaded, texts, None),
        "one_thread": _compressions(loaded, texts, 1),
        "documents": [
            {"tokenizer": name, "corpus": corpus, "documents": len(documents), **_totals(tokenizer, documents)}
            for corpus, documents in drawn.items()
            for name, tokenizer in loaded.items()
        ],
    }


def sampled_documents(tokenizer: Tokenizer, path: str, seed: int) -> list[bytes]:
    """Return ten documents of a token file, in random order; all of them if it has fewer."""
    import numpy as np

    ids = open_tokens(path, tokenizer=tokenizer)
    ends = [*np.flatnonzero(ids == tokenizer.special_ids[END_OF_TEXT]).tolist(), len(ids)]
    starts = [0, *(end + 1 for end in ends[:-1])]
    places = [(start, end) for start, end in zip(starts, ends, strict=True) if end > start]
    chosen = random.Random(seed).sample(places, min(DOCUMENTS, len(places)))
    return [tokenizer.decode_bytes(ids[start:end]) for start, end in chosen]


def _totals(tokenizer: Tokenizer, documents: Sequence[bytes]) -> dict[str, int]:
    return {
        "text_bytes": sum(map(len, documents)),
        "tokens": sum(len(tokenizer.encode(document)) for document in documents),
    }


def _compressions(
    tokenizers: Mapping[str, Tokenizer], texts: Mapping[str, str], threads: int | None
) -> list[dict[str, Any]]:
    names = {path: name for name, path in texts.items()}
    found: list[Compression] = compare(tokenizers, list(texts.values()), threads=threads)
    return [each.as_dict() | {"corpus": names[each.corpus]} for each in found]


def compression_job(results: Results) -> Job:
    """Return the job `compression`, which calls `measure`."""
    setting = results.setting
    values = {
        "tokenizers": {key: str(setting.tokenizer(key)) for key in setting.corpora},
        "texts": {key: str(corpus.valid) for key, corpus in setting.corpora.items()},
        "tokens": {key: str(setting.tokens(key, "valid")) for key in setting.corpora},
        "seed": 336,
    }
    files = [setting.tokenizer(key) / "tokenizer.json" for key in setting.corpora]
    texts = [corpus.valid for corpus in setting.corpora.values()]
    return measurement(JOB, __name__, values, inputs=(*files, *texts))


def bytes_per_token(figures: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """Return bytes per token by tokenizer and corpus."""
    return {(each["tokenizer"], each["corpus"]): each["text_bytes"] / max(each["tokens"], 1) for each in figures}


def ratios_table(names: Mapping[str, str], measured: Mapping[str, Any]) -> Table:
    """Return bytes per token of each tokenizer on each corpus, beside those of write-up 2."""
    documents, whole = bytes_per_token(measured["documents"]), bytes_per_token(measured["whole"])
    number = max(each["documents"] for each in measured["documents"])
    rows = [
        (
            names[name],
            names[corpus],
            documents[name, corpus],
            whole[name, corpus],
            REPORTED_RATIOS.get((name, corpus), NOT_STATED),
        )
        for name in names
        for corpus in names
    ]
    header = ("tokenizer of", "text", f"{number} documents", "whole validation text", "write-up 2, 10 documents")
    return Table(header, rows, "Bytes per token.")


def speed_table(names: Mapping[str, str], measured: Mapping[str, Any]) -> Table:
    """Return bytes per second of each tokenizer over all texts, and the hours that the Pile takes at this speed."""
    rows: list[tuple[Any, ...]] = []
    for key, label in THREADS.items():
        found = speeds(measured[key])
        for name, title in names.items():
            rows.append((title, label, f"{found[name] / 1e6:,.4g} MB/s", PILE_BYTES / found[name] / 3600))
    for name, speed in REPORTED_SPEEDS.items():
        hours = f"{REPORTED_PILE_HOURS:g}" if name == "tinystories" else NOT_STATED
        rows.append((f"write-up 2, {NAMES[name]}", NOT_STATED, f"{speed / 1e6:,.4g} MB/s", hours))
    return Table(("tokenizer of", "threads", "speed", "hours for the Pile"), rows, "Reading, encoding and counting.")


def speeds(figures: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the bytes per second of each tokenizer over all texts."""
    found = {}
    for name in dict.fromkeys(each["tokenizer"] for each in figures):
        own = [each for each in figures if each["tokenizer"] == name]
        seconds = sum(each["seconds"] for each in own)
        found[name] = sum(each["text_bytes"] for each in own) / max(seconds, 1e-9)
    return found


def encoded_table(results: Results) -> Table:
    """Return the token files: tokens, type, and their sizes in it and in wider types."""
    rows: list[tuple[Any, ...]] = []
    for key, title in titles(results.setting).items():
        for split in SPLITS:
            name = f"{title}, {split}"
            found = results.measured(encoding_job(results, key, split)) if is_encoded(results, key, split) else None
            if found is None:
                rows.append((name, *6 * (None,)))
                continue
            count, width = found["count"], 2 if found["dtype"] == "uint16" else 4
            speed = f"{found['text_bytes'] / max(found['seconds'], 1e-9) / 1e6:,.4g} MB/s"
            greatest = found["vocab_size"] - 1
            rows.append((name, size(found["text_bytes"]), count, greatest, found["dtype"], size(width * count), speed))
    header = ("text", "size", "tokens", "greatest id", "type", "size as tokens", "speed, with writing")
    return Table(header, rows, "Both corpora as token files, each with its own tokenizer.")


def _answer(results: Results) -> Iterable[Block]:
    names = {str(key): title for key, title in titles(results.setting).items()}
    measured = results.measured(JOB)
    if measured is None:
        yield Missing("bytes per token and speed of the two tokenizers")
    else:
        yield from standing(results, *CORPORA)
        yield ratios_table(names, measured)
        yield Text(_comment(names, measured))
        yield _matrix(results.setting, measured)
        yield Text(_on_speed(measured))
        yield speed_table(names, measured)
        yield _bars(results.setting, measured)
    yield encoded_table(results)
    yield Text(
        "**(d)** An id of 10,000 or 32,000 tokens is below 65,536, so 16 bits hold it, and 8 bits do not. A signed "
        "type would lose half of the range. uint32 would double the file, and the memory and the reading with it."
    )


def _comment(names: Mapping[str, str], measured: Mapping[str, Any]) -> str:
    ratios = bytes_per_token(measured["whole"])
    sentences = []
    for corpus in names:
        own, foreign = ratios[corpus, corpus], [name for name in names if name != corpus]
        for name in foreign:
            more = own / ratios[name, corpus] - 1
            word = "more" if more >= 0 else "fewer"
            sentences.append(
                f"On {names[corpus]}, the tokenizer of {names[name]} needs {abs(100 * more):.0f} % {word} tokens than "
                "the text's own."
            )
    return f"**(a), (b)** {' '.join(sentences)} A merge helps only where its word occurs."


def _on_speed(measured: Mapping[str, Any]) -> str:
    total = sum({each["corpus"]: each["text_bytes"] for each in measured["whole"]}.values())
    one, several = (sum(speeds(measured[key]).values()) for key in ("one_thread", "whole"))
    slower = " All threads are not faster than one: the text is too short for them, or the machine was busy."
    return (
        f"**(c)** Measured over {size(total)} of validation text, with reading.{slower if several <= one else ''} The "
        "Pile has 825 GB (arXiv:2101.00027)."
    )


def _matrix(setting: Setting, measured: Mapping[str, Any]) -> Picture:
    ratios = bytes_per_token(measured["whole"])
    values = {
        str(name): {str(corpus): ratios.get((name, corpus)) for corpus in setting.corpora} for name in setting.corpora
    }
    return Picture(
        "compression_matrix",
        lambda: compression_matrix(values),
        "Bytes per token of each tokenizer on the validation text of each corpus: more is better. "
        + explained(setting),
    )


def _bars(setting: Setting, measured: Mapping[str, Any]) -> Picture:
    found: dict[str, float | None] = {
        f"{name}, {label}": speeds(measured[key])[name] / 1e6
        for name in setting.corpora
        for key, label in THREADS.items()
    }
    reported = {f"{name}, write-up 2": speed / 1e6 for name, speed in REPORTED_SPEEDS.items()}
    return Picture(
        "tokenizer_throughput",
        lambda: bars(found, "MB/s", reported=reported),
        f"Text that each tokenizer encodes per second, in MB. {explained(setting)}",
    )


def _work(results: Results) -> Iterable[Work]:
    yield from preparation(results)
    if all(is_encoded(results, key, "valid") for key in results.setting.corpora):
        yield compression_job(results)


QUESTION = Question(
    row=7,
    name="tokenizer_experiments",
    points=4,
    kind="measured",
    asked="How many bytes per token do the two tokenizers reach on either corpus, how fast are they, how long would "
    "they take for the Pile, and why are ids stored as uint16?",
    answer=_answer,
    work=_work,
)
