"""Problem unicode2: why UTF-8, what is wrong with decoding byte by byte, and which two bytes are no text?

(a) What are reasons to train a tokenizer on the bytes of UTF-8 rather than UTF-16 or UTF-32? (b) Why is a function that
decodes each byte on its own incorrect? Give an example. (c) Give a sequence of two bytes that does not decode.

Answer: (a) UTF-8 is the shortest for most text, has no zero bytes to learn, no byte order, and is ASCII where text is.
(b) A character outside ASCII is several bytes, of which none is a character: `"牛".encode()` raises an error.
(c) 0xE7 0x89, the first two of the three bytes of 牛; 47,232 of the 65,536 sequences of two bytes do not decode.
"""

from __future__ import annotations

from collections.abc import Iterable

from bpe_lm.experiments.blocks import Block, Code, Table, Text
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.snippet import transcript
from bpe_lm.experiments.cs336.wording import percent

ENCODINGS = ("utf-8", "utf-16", "utf-32")
TEXTS = {
    "English": "Once upon a time there was a little girl who liked to read.",
    "German": "Es war einmal ein Mädchen, das schöne Bücher las.",
    "Russian": "Жила-была девочка, которая любила читать.",
    "Chinese": "从前有一个喜欢看书的小女孩。",
    "English with Japanese": "hello! こんにちは!",
    "emoji": "🙂👍🎉",
}
LENGTHS = [
    'text = "hello! こんにちは!"',
    'text.encode("utf-8")',
    'text.encode("utf-16")',
    'text.encode("utf-32")[:24]',
    f"[len(text.encode(encoding)) for encoding in {ENCODINGS}]",
]
BYTE_BY_BYTE = [
    "def decode_utf8_bytes_to_str_wrong(bytestring: bytes):\n"
    '    return "".join([bytes([b]).decode("utf-8") for b in bytestring])',
    'decode_utf8_bytes_to_str_wrong("hello".encode("utf-8"))',
    'decode_utf8_bytes_to_str_wrong("牛".encode("utf-8"))',
    '"牛".encode("utf-8").decode("utf-8")',
]
TWO_BYTES = [
    'list("牛".encode("utf-8"))',
    "bytes([231, 137]).decode()",
    "bytes([0xC0, 0x80]).decode()",
    "def decodes(data: bytes) -> bool:\n"
    "    try:\n"
    "        data.decode()\n"
    "    except UnicodeDecodeError:\n"
    "        return False\n"
    "    return True",
    "sum(not decodes(bytes([a, b])) for a in range(256) for b in range(256))",
]


def lengths_table() -> Table:
    """Return the bytes of each text in each encoding, and the share of zero bytes among them."""
    rows = []
    for name, text in TEXTS.items():
        encoded = [text.encode(encoding) for encoding in ENCODINGS]
        zeros = [percent(data.count(0) / len(data), 0) for data in encoded[1:]]
        shares = " : ".join(f"{100 * len(data) / len(encoded[-1]):.0f}" for data in encoded)
        rows.append((name, len(text), *map(len, encoded), shares, *zeros))
    return Table(
        ("text", "characters", *(f"bytes of {name.upper()}" for name in ENCODINGS), "ratio", "zeros 16", "zeros 32"),
        rows,
        "Bytes by encoding (UTF-16 and UTF-32 with their byte order mark), their ratio if UTF-32 has 100, and the "
        "share of zero bytes in UTF-16 and UTF-32.",
    )


def _answer(results: Results) -> Iterable[Block]:
    yield Text(
        "**(a)** UTF-8 is the shortest encoding of most text, and of nearly all text on the web. So a tokenizer sees "
        "shorter sequences. UTF-16 and UTF-32 fill English text with zero bytes, which merges would first have to "
        "learn away, and they come in two byte orders. A text of ASCII has the same bytes in UTF-8. Chinese is shorter "
        "in UTF-16: 2 bytes a character against 3."
    )
    yield Code(transcript(LENGTHS), "console")
    yield lengths_table()
    yield Text("Write-up 2 reports the ratio 34 : 50 : 100 for a text of its own.")
    yield Text(
        "**(b)** The function decodes each byte on its own. That is right for ASCII only: any other character has two "
        "to four bytes, and none of them is a character. So `牛` raises an error instead of being decoded. Write-up 2 "
        "gives `牛` and `你好`."
    )
    yield Code(transcript(BYTE_BY_BYTE), "console")
    yield Text(
        "**(c)** 231, 137 (0xE7 0x89) are the first two bytes of `牛`, which has three: write-up 2's answer. Write-up "
        "1 has 0xC0 0x80, a longer spelling of NUL that UTF-8 forbids. The last line counts all such sequences "
        "among the 65,536 of two bytes."
    )
    yield Code(transcript(TWO_BYTES), "console")


QUESTION = Question(
    row=2,
    name="unicode2",
    points=3,
    kind="example",
    asked="Why train on the bytes of UTF-8 rather than UTF-16 or UTF-32? Why is it wrong to decode each byte on its "
    "own? Which two bytes do not decode to any character?",
    answer=_answer,
)
