"""The page of the docs."""

EXPLAINED = """\
# Peers under faults

The same situations on this tokenizer and on public ones: same machine, same texts, each case in a process of its own,
each program called as its own documentation shows. `python tests/faults/peers` runs them and writes this page;
`make faults` does so too. What failed here is in the same table. A cell states what was seen, and nothing is inferred
from it: another version, machine or text may differ.

- **R6** sends Ctrl-C at a fifth and, in another process, at two fifths of a call. It states each wait for
  KeyboardInterrupt, and whether the process then did another call right. A wait that is the rest of the call means that
  Ctrl-C was not looked at before the end.
- **R8** encodes {many:,} random texts, by one trained vocabulary and the pattern of Llama 3, and compares the ids with
  tiktoken's. Texts have only code points whose class is the same in every version of Unicode since 3.2. rustbpe reads
  no vocabulary, so its ids are compared with those of its own training, exported to tiktoken.
- **R14** takes half a MiB and one of each of {families} kinds of text made to be slow, by a fresh tokenizer, and
  compares the CPU time. What takes {slow} s of CPU time is ended; a MiB in less than {brief} s is not slow, whatever
  half of it takes.
- **R17** is the peak of resident memory, less what the process had before, for texts of 20 and of 80 MB, made-up
  stories of few distinct words. bpe_lm and gigatoken read the file to encode it, and bpe_lm writes the ids to a file.
  The others take texts and return lists, and the texts are not counted.
- **R19** cuts a file that the program reads at some hundred places, also between any two lines. Only a program's own
  errors, the same tokenizer and another tokenizer are told apart; a panic is no Exception of Python's.
- **R24** encodes in the process and in one of its threads, then starts {children} children that encode the same texts,
  and waits {hangs} s for them. Training is done before and in the children.
"""


def page(result):
    import rows
    from situations import FAMILIES

    names = list(result["versions"])
    head = [f"{name} {version}" if version else name for name, version in result["versions"].items()]
    lines = [
        EXPLAINED.format(
            many=rows.MANY,
            families=len(FAMILIES),
            children=rows.CHILDREN,
            slow=rows.SLOW,
            hangs=rows.HANGS,
            brief=rows.BRIEF,
        ),
        f"{result['machine']}; {result['system']}.",
        "",
        f"| situation | {' | '.join(head)} | seen |",
        f"| --- |{' --- |' * len(names)} --- |",
    ]
    for title, row in result["rows"].items():
        shown = (row["cells"][name]["text"] if name in row["cells"] else "not installed" for name in names)
        lines.append(f"| {title} | {' | '.join(shown)} | {row['date']}, {row['commit']} |")
    absent = [row.title for row in rows.ROWS if row.title not in result["rows"]]
    lines += ["", f"Not run yet: {', '.join(absent)}."] if absent else []
    return "\n".join(lines) + "\n"
