"""Use the model in a folder: evaluate it on a token file, let it generate text, or export it to another program."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bpe_lm.errors import OptionError, TokenFileError
from bpe_lm.export.gguf import export_gguf
from bpe_lm.export.llama import export_huggingface
from bpe_lm.export.load import Pretrained
from bpe_lm.files import StrPath
from bpe_lm.kernels.implementation import Dtype
from bpe_lm.model.generate import generate, generate_texts
from bpe_lm.progress import Progress
from bpe_lm.tokenizer.joined import manifest_of
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.tokenizer.token_file import open_tokens, verify
from bpe_lm.training.devices import device_of
from bpe_lm.training.evaluate import Evaluation, evaluate
from bpe_lm.training.memory import enough_memory

EXPORTS = {"huggingface": export_huggingface, "gguf": export_gguf}
"""Each export format with the function that writes it."""

_OTHER_DEVICE = "the model does not fit; name another device with --device (device=...)"


@dataclass(frozen=True)
class FolderEvaluation:
    """The evaluation of a folder's model, with the path of the token file and the type of the matrix products."""

    evaluation: Evaluation
    tokens: str
    dtype: Dtype

    def as_dict(self) -> dict[str, Any]:
        """Return the evaluation and the dtype as JSON values."""
        return self.evaluation.as_dict() | {"dtype": self.dtype}


def evaluate_folder(
    folder: StrPath,
    tokens: str | None = None,
    *,
    last: bool = False,
    device: str = "auto",
    dtype: Dtype | None = None,
    progress: Progress = False,
) -> FolderEvaluation:
    """Evaluate the model in a folder on a whole token file, after a comparison of the file's checksums.

    Args:
        folder: A run's folder, or an exported model.
        tokens: The token file; None for the run's validation file.
        last: Use the newest checkpoint of a run instead of the best.
        device: "cpu", "cuda", "mps", or "auto" for the fastest of this machine.
        dtype: The type of the matrix products; None for the type in which the run trained.
        progress: As for `train_bpe`; the stage is "evaluate", in tokens.

    Raises:
        ConfigError: The folder has no config of a model, no checkpoint, or names no token file and `tokens` is None.
        TokenFileError: The token file is damaged, too short, or was written with another tokenizer.
        CheckpointError: The checkpoint is damaged.
        OutOfMemory: The model does not fit on the device.
        FileError: A file is missing or could not be read.
    """
    trained = Pretrained.open(folder)
    path = trained.tokens_path(tokens)
    ids = open_tokens(path)
    manifest = manifest_of(path)
    _check_tokenizer(trained, path, manifest)
    verify(path)
    place, dtype = device_of(device), dtype or trained.dtype
    with enough_memory(_OTHER_DEVICE):
        model = trained.model(last=last, device=place)
        evaluation = evaluate(model, ids, text_bytes=manifest.text_bytes, dtype=dtype, progress=progress)
    return FolderEvaluation(evaluation, path, dtype)


def _check_tokenizer(trained: Pretrained, path: str, manifest: Manifest) -> None:
    sha256 = trained.tokenizer_sha256()
    if sha256 is None:
        warnings.warn(f"{trained.folder} does not say which tokenizer it was trained with", stacklevel=3)
    elif manifest.tokenizer != sha256:
        raise TokenFileError(
            f"{path} is of another tokenizer than the model in {trained.folder}; encode the text with the model's "
            "tokenizer"
        )


def generate_from_folder(
    folder: StrPath,
    prompt: str = "",
    max_tokens: int = 256,
    *,
    tokenizer: str | None = None,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float = 0.95,
    seed: int | None = None,
    last: bool = False,
    device: str = "auto",
    dtype: Dtype | None = None,
) -> Iterator[str]:
    """Yield the text with which the model in a folder continues a prompt, piece by piece.

    Args:
        folder: A run's folder, or an exported model.
        prompt: The beginning of the text; "" for the beginning of a new text.
        max_tokens: The greatest number of tokens to draw.
        tokenizer: The tokenizer's path; None for the run's tokenizer, or the exported model's own.
        temperature: As for `generate_ids`, like `top_k`, `top_p` and `seed`.
        top_k: The number of likeliest tokens to draw from; None for all.
        top_p: The probability of the likeliest tokens to draw from.
        seed: The seed of the draws; None for a new one each time.
        last: Use the newest checkpoint of a run instead of the best.
        device: "cpu", "cuda", "mps", or "auto" for the fastest of this machine.
        dtype: The number format of weights and products; None for float32.

    Raises:
        OptionError: An option is not possible.
        ConfigError: The folder has no config of a model, no checkpoint or no tokenizer, or was trained with another.
        CheckpointError: The checkpoint is damaged.
        OutOfMemory: The model does not fit on the device.
        FileError: A file is missing or could not be read.
    """
    trained = Pretrained.open(folder)
    words = trained.tokenizer(tokenizer)
    with enough_memory(_OTHER_DEVICE):
        model = trained.model(last=last, device=device_of(device))
        yield from generate(
            model, words, prompt, max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, dtype=dtype
        )


def generate_texts_from_folder(
    folder: StrPath,
    prompts: Sequence[str],
    max_tokens: int = 256,
    *,
    tokenizer: str | None = None,
    temperature: float = 0.8,
    top_k: int | None = None,
    top_p: float = 0.95,
    seed: int | None = None,
    last: bool = False,
    device: str = "auto",
    dtype: Dtype | None = None,
) -> list[str]:
    """Return the text with which the model in a folder continues each prompt. All are generated at the same time.

    Text i is the one of `generate_from_folder` with the seed `seed + i`. Arguments and errors are the same.
    """
    trained = Pretrained.open(folder)
    words = trained.tokenizer(tokenizer)
    with enough_memory("the model or the caches of the texts do not fit; generate fewer texts at a time"):
        model = trained.model(last=last, device=device_of(device))
        return generate_texts(
            model, words, prompts, max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed, dtype=dtype
        )


def export_folder(
    folder: StrPath,
    kind: str,
    out: StrPath,
    *,
    tokenizer: str | None = None,
    last: bool = False,
    device: str = "auto",
    force: bool = False,
) -> None:
    """Write the model in a folder for another program.

    Args:
        folder: A run's folder, or an exported model.
        kind: "huggingface" for a folder that transformers opens, or "gguf" for a file that llama.cpp runs.
        out: The folder or file to write.
        tokenizer: The tokenizer's path; None for the run's tokenizer, or the exported model's own.
        last: Use the newest checkpoint of a run instead of the best.
        device: The device that holds the model while it is written.
        force: Replace `out`.

    Raises:
        OptionError: The kind is unknown.
        ExportError: The format cannot represent the model.
        OutputExists: `out` exists, and `force` is False.
        ConfigError: The folder has no config of a model, no checkpoint or no tokenizer, or was trained with another.
        CheckpointError: The checkpoint is damaged.
        OutOfMemory: The model does not fit on the device.
        FileError: A file is missing, or could not be read or written.
    """
    if kind not in EXPORTS:
        raise OptionError(f"--to {kind} (kind=...) is unknown; there are {', '.join(EXPORTS)}")
    trained = Pretrained.open(folder)
    words = trained.tokenizer(tokenizer)
    with enough_memory(_OTHER_DEVICE):
        EXPORTS[kind](trained.model(last=last, device=device_of(device)), words, out, force=force)
