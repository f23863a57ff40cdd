"""A model that was trained: from the folder of a run, or from one in Hugging Face's form."""

from __future__ import annotations

import os
from pathlib import Path

from bpe_lm.checkpoint import load_newest
from bpe_lm.config import BEST, CHECKPOINTS, CONFIG, Implementation, TrainConfig, read_json
from bpe_lm.errors import ConfigError
from bpe_lm.export import load_exported
from bpe_lm.layers import Device
from bpe_lm.model import TransformerLM


def load_pretrained(
    folder: str | os.PathLike[str],
    *,
    last: bool = False,
    implementation: Implementation = "fast",
    device: Device = None,
) -> TransformerLM:
    """The model in a folder, ready to generate.

    Args:
        folder: Of `Trainer`, or what `export_huggingface` wrote.
        last: The newest checkpoint of a run, not the one with the best validation loss.
        implementation: As in `TransformerLM`.
        device: Where to.

    Raises:
        ConfigError: It has no checkpoint yet, or no config.
        ExportError: It is no Llama that we can be.
        CheckpointError: It is damaged.
        FileError: It could not be read.
    """
    path = Path(folder)
    if "model_type" in read_json(path / CONFIG):
        config, state = load_exported(path)
        model = TransformerLM.from_config(config, implementation=implementation)
        model.load_state_dict(state)
        return model.to(device).eval()
    model = TransformerLM.from_config(TrainConfig.load(path / CONFIG).model, implementation=implementation)
    saved = None if last else load_newest(path / BEST, model)
    if saved is None and load_newest(path / CHECKPOINTS, model) is None:
        raise ConfigError(f"{path} has no checkpoint yet; train it for longer")
    return model.to(device).eval()
