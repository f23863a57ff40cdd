"""Problem unicode1: what is the character `chr(0)`?

(a) Which Unicode character does `chr(0)` return? (b) How does its string representation (`__repr__`) differ from its
printed representation? (c) What happens when it occurs in text?

Answer: NUL, U+0000. Its repr is `'\\x00'`; printed it is invisible. A text keeps it: it counts as a character, repr
shows it, and print writes it, where a terminal shows nothing. The section runs the course's four lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from bpe_lm.experiments.blocks import Block, Code, Text
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.snippet import transcript

CHARACTER = ["import unicodedata", "chr(0)", "unicodedata.category(chr(0)), ord(chr(0))"]
PRINTED = ["repr(chr(0))", "print(repr(chr(0)))", "print(chr(0))"]
IN_TEXT = [
    '"this is a test" + chr(0) + "string"',
    'print("this is a test" + chr(0) + "string")',
    'len("this is a test" + chr(0) + "string")',
    '("this is a test" + chr(0) + "string").encode("utf-8")',
]


def _answer(results: Results) -> Iterable[Block]:
    yield Text("**(a)** It is the null character NUL, U+0000, the first of the control characters (category Cc).")
    yield Code(transcript(CHARACTER), "console")
    yield Text(
        r"**(b)** Its representation is the escape `'\x00'`, which can be read and typed. Printed, it is the character "
        "itself, and a terminal shows nothing. This report writes the symbol ␀ where Python printed the character."
    )
    yield Code(transcript(PRINTED), "console")
    yield Text(
        "**(c)** It is a character like any other: it adds 1 to the length and one byte to the UTF-8. The repr of the "
        "text shows its escape, and the printed text looks as if it were not there. Both write-ups say the same."
    )
    yield Code(transcript(IN_TEXT), "console")


QUESTION = Question(
    row=1,
    name="unicode1",
    points=1,
    kind="example",
    asked="Which character does `chr(0)` return, how does its repr differ from what is printed, and what happens when "
    "it occurs in text?",
    answer=_answer,
)
