"""Train the same vocabulary on the same file with each public trainer, in turns, each run in a process of its own.

    python -m pip install '.[compare]'
    python benches/compare/trainers.py data/webtext.txt --vocab-size 32000 --rounds 3

Prints a Markdown table: seconds (whole process and the call alone), peak resident memory, and peak anonymous memory
(what the process itself holds; a mapped file counts in the first but not in the second). Merges are compared where the
tie rules agree: gigatoken's default, Hugging Face's, and ours under tie_break="hf". gigabpe has Hugging Face's rule
too, but reads a file line by line.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

END_OF_TEXT = "<|endoftext|>"


def ours(path: str, vocab_size: int, tie_break: str = "bytes") -> list[tuple[bytes, bytes]]:
    import bpe_lm

    return bpe_lm.train_bpe(path, vocab_size, [END_OF_TEXT], tie_break=tie_break)[1]


def ours_hf(path: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    return ours(path, vocab_size, "hf")


def gigatoken(path: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    import gigatoken

    source = gigatoken.TextFileSource([path], separator=END_OF_TEXT.encode())
    return gigatoken.train_bpe(source, vocab_size, [END_OF_TEXT])[1]


def documents(path: str) -> list[str]:
    return [document for document in Path(path).read_text(encoding="utf-8").split(END_OF_TEXT) if document]


def rustbpe(path: str, vocab_size: int) -> None:
    import rustbpe

    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    rustbpe.Tokenizer().train_from_iterator(iter(documents(path)), vocab_size - 1, pattern=pattern)


def bpeasy(path: str, vocab_size: int) -> None:
    import bpeasy

    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    bpeasy.train_bpe(iter(documents(path)), pattern, 128, vocab_size - 1)


def gigabpe(path: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    """Train from the file. Each line is a text of its own, so the merges are not those of whole documents."""
    import gigabpe

    merges = gigabpe.train_bpe([path], vocab_size, special_tokens=[END_OF_TEXT], pretokenizer="bytelevel")[1]
    return spelled(merges)


def spelled(merges: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Merges as bytes, from the letters of GPT-2's alphabet."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    byte = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(rest)}
    return [(bytes(byte[c] for c in a), bytes(byte[c] for c in b)) for a, b in merges]


def huggingface(path: str, vocab_size: int) -> list[tuple[bytes, bytes]]:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 1, initial_alphabet=alphabet, show_progress=False, min_frequency=0
    )
    tokenizer.train_from_iterator(documents(path), trainer)
    return spelled(json.loads(tokenizer.to_str())["model"]["merges"])


TRAINERS = {
    "bpe_lm": ours,
    'bpe_lm, tie_break="hf"': ours_hf,
    "gigatoken": gigatoken,
    "gigabpe": gigabpe,
    "rustbpe": rustbpe,
    "bpeasy": bpeasy,
    "HF tokenizers": huggingface,
}


def measure(name: str, path: str, vocab_size: int) -> dict[str, float | str | None]:
    """Run one trainer in a process of its own, and watch its memory from outside."""
    command = [sys.executable, __file__, path, "--vocab-size", str(vocab_size), "--child", name]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    anonymous = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal anonymous
        while not done.wait(0.02):
            anonymous = max(anonymous, _status(child.pid, "RssAnon:"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output = child.stdout.read() if child.stdout else ""
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    done.set()
    watcher.join()
    if child.returncode:
        raise SystemExit(f"{name} failed with status {child.returncode}")
    result = json.loads(output.splitlines()[-1])
    return {"seconds": seconds, "peak": usage.ru_maxrss * 1024, "anonymous": anonymous, **result}


def _status(pid: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def run_child(name: str, path: str, vocab_size: int) -> None:
    start = time.perf_counter()
    merges = TRAINERS[name](path, vocab_size)
    seconds = time.perf_counter() - start
    digest = hashlib.sha256(repr(merges).encode()).hexdigest()[:12] if merges else None
    print(json.dumps({"call": seconds, "num_merges": len(merges) if merges else None, "merges": digest}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path")
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trainers", nargs="+", choices=TRAINERS, default=list(TRAINERS))
    parser.add_argument("--child", choices=TRAINERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return run_child(options.child, options.path, options.vocab_size)

    results: dict[str, list[dict[str, float | str | None]]] = {name: [] for name in options.trainers}
    for _ in range(options.rounds):
        for name in options.trainers:
            results[name].append(measure(name, options.path, options.vocab_size))
    base = statistics.median(run["seconds"] for run in next(iter(results.values())))
    size = Path(options.path).stat().st_size / 1e6
    print(f"{options.path}, {size:.0f} MB, {options.vocab_size:,} tokens, {os.cpu_count()} cores, medians\n")
    print("| trainer | seconds | ratio | call alone | peak, MB | anonymous, MB | merges |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, runs in results.items():
        middle = {key: statistics.median(run[key] for run in runs) for key in ("seconds", "call", "peak", "anonymous")}
        merges = {f"{run['num_merges']:,} ({run['merges']})" if run["merges"] else "-" for run in runs}
        print(
            f"| {name} | {middle['seconds']:.2f} | {middle['seconds'] / base:.1f} | {middle['call']:.2f} "
            f"| {middle['peak'] / 1e6:.0f} | {middle['anonymous'] / 1e6:.0f} | {', '.join(sorted(merges))} |"
        )
    agreeing = [name for name in ('bpe_lm, tie_break="hf"', "gigatoken", "HF tokenizers") if name in results]
    same = len({run["merges"] for name in agreeing for run in results[name]}) == 1
    if agreeing:
        print(f"\nMerges of {', '.join(agreeing)}: {'the same' if same else 'DIFFERENT'}.")
    if agreeing and not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
