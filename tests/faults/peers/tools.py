"""The programs that are compared, each called as its own documentation shows, behind one set of names.

What a program does not offer is absent here, and its cell says so: tiktoken and snaptokens train nothing, gigabpe
encodes nothing, rustbpe reads no file and encodes by what it has just trained. A result of `train` can be compared.
"""

import importlib.metadata
import json
from importlib.util import find_spec

END_OF_TEXT = "<|endoftext|>"
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pattern of Llama 3, cl100k's as the files of models spell it: every encoder here reads it."""
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)
"""tiktoken's own spelling, which it takes better."""


SCALE = {
    "bpe_lm": {"train": 60, "encode": 250, "encode many": 1500},
    "tokenizers": {"train": 2, "encode": 6, "encode many": 15},
    "tiktoken": {"encode": 40, "encode many": 60},
    "rustbpe": {"train": 5, "encode": 15, "encode many": 25},
    "gigatoken": {"train": 60, "encode": 300, "encode many": 2500},
    "gigabpe": {"train": 40},
    "snaptokens": {"encode": 200, "encode many": 200},
}
"""What takes some seconds: how often the text of 20 MB is trained on, and how many MB are encoded."""


class Bpelm:
    package, jobs = "bpe_lm", ("train", "encode", "encode many")

    def train(self, paths, size):
        import bpe_lm

        return bpe_lm.train_bpe(paths, size, [END_OF_TEXT])

    def readers(self):
        from bpe_lm import Tokenizer

        return {
            "tokenizer.json": Tokenizer.load,
            "vocab.json": self._gpt2,
            "merges.txt": self._gpt2,
            "tokenizer.tiktoken": lambda folder: Tokenizer.from_tiktoken(folder / "tokenizer.tiktoken"),
        }

    @staticmethod
    def _gpt2(folder):
        from bpe_lm import Tokenizer

        return Tokenizer.from_files(folder / "vocab.json", folder / "merges.txt", [END_OF_TEXT], pattern=PATTERN)

    def size(self, tokenizer):
        return len(tokenizer.vocab)

    def encode(self, tokenizer, text):
        return tokenizer.encode(text)

    def encode_many(self, tokenizer, texts):
        return tokenizer.encode_batch(texts)[0].tolist()

    def encode_files(self, tokenizer, paths, folder):
        return tokenizer.encode_file(paths, folder / "ids.bin", force=True)


class HuggingFace:
    package, jobs = "tokenizers", ("train", "encode", "encode many")

    def train(self, paths, size):
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        tokenizer.train(
            [str(path) for path in paths],
            trainers.BpeTrainer(
                vocab_size=size, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
            ),
        )
        return json.loads(tokenizer.to_str())["model"]["merges"]

    def readers(self):
        from tokenizers import Tokenizer, models, pre_tokenizers

        def gpt2(folder):
            model = models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
            tokenizer = Tokenizer(model)
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            return tokenizer

        return {
            "tokenizer.json": lambda folder: Tokenizer.from_file(str(folder / "tokenizer.json")),
            "vocab.json": gpt2,
            "merges.txt": gpt2,
        }

    def size(self, tokenizer):
        return tokenizer.get_vocab_size()

    def encode(self, tokenizer, text):
        return tokenizer.encode(text, add_special_tokens=False).ids

    def encode_many(self, tokenizer, texts):
        return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]


class Tiktoken:
    package, jobs = "tiktoken", ("encode", "encode many")

    def readers(self):
        return {"tokenizer.tiktoken": self.read}

    @staticmethod
    def read(folder, pattern=CL100K):
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        ranks = load_tiktoken_bpe(str(folder / "tokenizer.tiktoken"))
        special = {END_OF_TEXT: len(ranks)}
        return tiktoken.Encoding("ours", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)

    def size(self, tokenizer):
        return tokenizer.n_vocab

    def encode(self, tokenizer, text):
        return tokenizer.encode(text, allowed_special="all")

    def encode_many(self, tokenizer, texts):
        return tokenizer.encode_batch(texts, allowed_special="all")


class RustBpe:
    package, jobs = "rustbpe", ("train", "encode", "encode many")

    def train(self, paths, size):
        return self.trained(paths, size).get_mergeable_ranks()

    @staticmethod
    def trained(paths, size):
        import rustbpe

        tokenizer = rustbpe.Tokenizer()
        tokenizer.train_from_iterator(lines_of(paths), vocab_size=size)
        return tokenizer

    def readers(self):
        return {"": lambda folder: self.trained([folder / "train.txt"], 2000)}

    def size(self, tokenizer):
        return tokenizer.vocab_size

    def encode(self, tokenizer, text):
        return tokenizer.encode(text)

    def encode_many(self, tokenizer, texts):
        return tokenizer.batch_encode(texts)

    def same_in_tiktoken(self, tokenizer):
        """As its documentation exports it."""
        import tiktoken

        ranks = {bytes(token): rank for token, rank in tokenizer.get_mergeable_ranks()}
        pattern = tokenizer.get_pattern()
        return tiktoken.Encoding("rustbpe", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


class Gigatoken:
    package, jobs = "gigatoken", ("train", "encode", "encode many")

    def train(self, paths, size):
        import gigatoken

        source = gigatoken.TextFileSource([str(path) for path in paths], separator=END_OF_TEXT.encode())
        return gigatoken.train_bpe(source, size, [END_OF_TEXT])

    def readers(self):
        from gigatoken import Tokenizer

        def from_tiktoken(folder):
            return Tokenizer.from_tiktoken(folder / "tokenizer.tiktoken", pretokenizer="cl100k")

        return {
            "tokenizer.json": lambda folder: Tokenizer(folder / "tokenizer.json"),
            "tokenizer.tiktoken": from_tiktoken,
        }

    def size(self, tokenizer):
        return tokenizer.vocab_size

    def encode(self, tokenizer, text):
        return tokenizer.encode(text)

    def encode_many(self, tokenizer, texts):
        return tokenizer.encode_batch_list(texts)

    def encode_files(self, tokenizer, paths, folder):
        from gigatoken import TextFileSource

        return tokenizer.encode_files(TextFileSource([str(path) for path in paths], separator=END_OF_TEXT.encode()))


class GigaBpe:
    package, jobs = "gigabpe", ("train",)

    def train(self, paths, size):
        import gigabpe

        files = [str(path) for path in paths]
        return gigabpe.train_bpe(files, size, special_tokens=[END_OF_TEXT], pretokenizer="bytelevel")


class SnapTokens:
    package, jobs = "snaptokens", ("encode", "encode many")

    def readers(self):
        from snaptokens import Tokenizer

        return {"tokenizer.json": lambda folder: Tokenizer.from_file(str(folder / "tokenizer.json"))}

    def size(self, tokenizer):
        return tokenizer.vocab_size

    def encode(self, tokenizer, text):
        return tokenizer.encode(text).ids

    def encode_many(self, tokenizer, texts):
        return [encoding.ids for encoding in tokenizer.encode_batch(texts)]


TOOLS = {
    "bpe_lm": Bpelm(),
    "HF tokenizers": HuggingFace(),
    "tiktoken": Tiktoken(),
    "rustbpe": RustBpe(),
    "gigatoken": Gigatoken(),
    "gigabpe": GigaBpe(),
    "snaptokens": SnapTokens(),
}


def lines_of(paths):
    for path in paths:
        with open(path, encoding="utf-8", newline="") as file:
            yield from file


def installed(name):
    return find_spec(TOOLS[name].package) is not None


def version(name):
    return importlib.metadata.version(TOOLS[name].package)


def loaded(tool, folder):
    return next(iter(tool.readers().values()))(folder)
