"""Measure each stage with 1, 2, 4, 8 and 16 threads on texts that are generated on the spot.

    python benches/scaling.py

Prints Markdown: the processor with its threads a core, then a table of MB/s for each text. "Masks" is the scanner of
the GPT-2 pattern alone, whose threads share nothing: it shows how far the machine itself scales. The other stages
cannot scale better. Figures are medians of three runs; the whole takes about three minutes and needs `cargo`.
"""

import argparse
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bpe_lm import Tokenizer, train_and_record
from bpe_lm.data.sample import write_samples

END_OF_TEXT = "<|endoftext|>"
STAGES = ("masks", "count", "merge", "encode in memory", "encode to file")
BLOCK = 1 << 20


def main() -> None:
    """Print the processor and a table for each of two texts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=60.0, help="size of each text in units of 1,000,000 bytes")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2, 4, 8, 16], help="the numbers of threads")
    parser.add_argument("--rounds", type=int, default=3, help="the number of runs of which the median is printed")
    arguments = parser.parse_args()
    print(processor())
    with tempfile.TemporaryDirectory() as folder:
        stories, _ = write_samples(folder, arguments.megabytes)
        varied = Path(folder) / "varied.txt"
        vary(stories, varied)
        for name, text in (("stories", stories), ("stories with a twentieth of their words made up", varied)):
            print_table(name, text, arguments.threads, arguments.rounds)


def processor() -> str:
    """Name the processor, its cores and the threads of each core, as lscpu does."""
    lines = subprocess.run(["lscpu"], check=True, capture_output=True, text=True).stdout.splitlines()
    wanted = ("Model name", "CPU(s)", "Thread(s) per core", "Core(s) per socket", "Socket(s)")
    pairs = [line.split(":", 1) for line in lines if ":" in line]
    return "; ".join(f"{name.strip()}: {value.strip()}" for name, value in pairs if name.strip() in wanted)


def vary(source: Path, target: Path) -> None:
    """Copy a text and replace a twentieth of its words by made-up ones, most of which occur once."""
    generator = random.Random(0)
    with source.open("rb") as texts, target.open("wb") as out:
        while block := texts.read(BLOCK):
            words = block.split(b" ")
            for at in generator.sample(range(len(words)), len(words) // 20):
                if words[at].isalpha():
                    words[at] = made_up(generator)
            out.write(b" ".join(words))


def made_up(generator: random.Random) -> bytes:
    """Join two to five syllables."""
    syllables = (
        b"ba",
        b"ke",
        b"lio",
        b"mun",
        b"ra",
        b"sto",
        b"tri",
        b"ve",
        b"wen",
        b"zu",
        b"po",
        b"nal",
        b"ith",
        b"er",
    )
    return b"".join(generator.choices(syllables, k=generator.randint(2, 5)))


def print_table(name: str, text: Path, threads: list[int], rounds: int) -> None:
    """Measure all stages on one text and print a row for each, and the gain over one thread behind each figure."""
    speeds = {number: measure(text, number, rounds) for number in threads}
    for number, speed in masks(text, threads).items():
        speeds[number]["masks"] = speed
    print(f"\n{name}, {text.stat().st_size / 1e6:.0f} MB; MB/s (gain)\n")
    print("| stage | " + " | ".join(f"{number} threads" for number in threads) + " |")
    print("| --- " * (len(threads) + 1) + "|")
    for stage in STAGES:
        first = speeds[threads[0]][stage]
        cells = [f"{speeds[number][stage]:,.0f} ({speeds[number][stage] / first:.2f})" for number in threads]
        print(f"| {stage} | " + " | ".join(cells) + " |", flush=True)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def masks(text: Path, threads: list[int]) -> dict[int, float]:
    """Run the Rust bench of masks alone; its lines have a number of threads and MB/s."""
    command = ["cargo", "bench", "--quiet", "--bench", "masks", "--", str(text), *map(str, threads)]
    root = Path(__file__).parent.parent
    lines = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout.splitlines()
    return {int(number): float(speed) for number, speed in (line.split() for line in lines)}


def measure(text: Path, threads: int, rounds: int) -> dict[str, float]:
    """Train and encode with one number of threads, and return MB/s by stage."""
    seconds: dict[str, list[float]] = {stage: [] for stage in STAGES[1:]}
    megabytes = text.stat().st_size / 1e6
    documents = text.read_text(encoding="utf-8").split(END_OF_TEXT)
    for _ in range(rounds):
        vocab, merges, record = train_and_record(text, 16_000, [END_OF_TEXT], threads=threads)
        seconds["count"].append(record["seconds"]["count"])
        seconds["merge"].append(record["seconds"]["merge"])
        cold = Tokenizer(vocab, merges, [END_OF_TEXT])
        seconds["encode in memory"].append(timed(partial(cold.encode_batch, documents, threads=threads)))
        out, cold = text.with_suffix(".bin"), Tokenizer(vocab, merges, [END_OF_TEXT])
        seconds["encode to file"].append(timed(partial(cold.encode_file, text, out, threads=threads, force=True)))
    return {stage: megabytes / statistics.median(runs) for stage, runs in seconds.items()}


if __name__ == "__main__":
    main()
