"""The jobs before all training runs: train the tokenizers, then encode the corpora.

They write into the folder of the setting and replace only what they wrote there before.
"""

from __future__ import annotations

from pathlib import Path

from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.setting import SPLITS, CorpusKey, Split
from bpe_lm.experiments.work import Job
from bpe_lm.tokenizer.tokenizer import END_OF_TEXT


def preparation(results: Results) -> list[Job]:
    """Return the jobs that every question's runs need, as far as they can run now.

    A corpus is encoded once its tokenizer is trained.
    """
    corpora = list(results.setting.corpora)
    trained = [corpus for corpus in corpora if is_trained(results, corpus)]
    encodings = [encoding_job(results, corpus, split) for corpus in trained for split in SPLITS]
    return [*(tokenizer_job(results, corpus) for corpus in corpora), *encodings]


def tokenizer_job(results: Results, corpus: CorpusKey) -> Job:
    """Return the job `tokenizer-CORPUS`, which trains the tokenizer of a corpus."""
    setting = results.setting
    text = setting.corpora[corpus].train
    return Job(
        f"tokenizer-{corpus}",
        "bpe_lm",
        (
            "train-tokenizer",
            str(text),
            f"--vocab-size={setting.vocab_sizes[corpus]}",
            f"--special-token={END_OF_TEXT}",
            f"--out={setting.tokenizer(corpus)}",
            "--force",
            "--json",
        ),
        inputs=(text,),
        outputs=(setting.tokenizer(corpus) / "tokenizer.json",),
    )


def encoding_job(results: Results, corpus: CorpusKey, split: Split) -> Job:
    """Return the job `encode-CORPUS-SPLIT`, which encodes a text of a corpus with the corpus's tokenizer."""
    setting = results.setting
    text, tokenizer = setting.corpora[corpus].path(split), setting.tokenizer(corpus)
    return Job(
        f"encode-{corpus}-{split}",
        "bpe_lm",
        (
            "encode",
            str(text),
            f"--tokenizer={tokenizer}",
            f"--out={setting.tokens(corpus, split)}",
            "--force",
            "--json",
        ),
        inputs=(text, tokenizer / "tokenizer.json"),
        outputs=(setting.tokens(corpus, split),),
    )


def is_trained(results: Results, corpus: CorpusKey) -> bool:
    """Return whether the tokenizer of a corpus is trained on the setting's text, with the setting's size."""
    setting = results.setting
    done = results.measured(f"tokenizer-{corpus}") or {}
    # Names without folders: a study that was moved is the same study.
    is_of_text = [Path(text).name for text in done.get("corpus", ())] == [setting.corpora[corpus].train.name]
    is_of_size = done.get("asked_vocab_size") == setting.vocab_sizes[corpus]
    return is_of_text and is_of_size and (setting.tokenizer(corpus) / "tokenizer.json").is_file()


def is_encoded(results: Results, corpus: CorpusKey, split: Split) -> bool:
    """Return whether a text of a corpus is encoded with its trained tokenizer."""
    is_done = is_trained(results, corpus) and results.measured(f"encode-{corpus}-{split}") is not None
    return is_done and results.setting.tokens(corpus, split).is_file()
