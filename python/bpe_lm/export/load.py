"""A model that was trained: from the folder of a run, or from one in Hugging Face's form."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

from bpe_lm.errors import CheckpointError, ConfigError, FormatError
from bpe_lm.export.llama import load_exported
from bpe_lm.files import read_json
from bpe_lm.kernels.implementation import Dtype, Implementation
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.layers import Device
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.training.config import BEST, CHECKPOINTS, CONFIG, DATA, DataConfig, TrainConfig, override
from bpe_lm.training.run_checkpoint import load_newest


@dataclass(frozen=True)
class Pretrained:
    """A folder with a model: a run of any version, or an exported model. Nothing else of its config.json is read.

    `data` names the files of a run, and of an exported model its own tokenizer; `dtype` is what a run trains in.
    """

    folder: Path
    is_run: bool
    data: DataConfig
    dtype: Dtype

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Pretrained:
        """Look at a folder.

        Raises:
            ConfigError: It has no config.json of a model.
            FileError: It could not be read.
        """
        path = Path(folder)
        config = read_json(path / CONFIG)
        if "model_type" in config:
            tokenizer = path / "tokenizer.json"
            return cls(path, False, DataConfig(tokenizer=str(tokenizer) if tokenizer.exists() else ""), "float32")
        if not isinstance(config.get("model"), dict):
            raise ConfigError(f"{path / CONFIG} is of no run, and of no exported model")
        paths = config.get("data")
        paths = paths if isinstance(paths, dict) else {}
        data = DataConfig(**{f.name: str(paths.get(f.name, "")) for f in fields(DataConfig)})
        return cls(path, True, data, "bfloat16" if config.get("dtype") == "bfloat16" else "float32")

    def tokenizer_sha256(self) -> str | None:
        """Of the tokenizer that it was trained with; None where an exported model has none, or one that is not ours.

        Raises:
            ConfigError: The run's data.json is damaged.
            FileError: It could not be read.
        """
        if self.is_run:
            found = read_json(self.folder / DATA).get("tokenizer")
            return str(found) if found is not None else None
        try:
            return Tokenizer.load(self.data.tokenizer).sha256 if self.data.tokenizer else None
        except FormatError:
            return None

    def model(
        self, *, last: bool = False, implementation: Implementation = "fast", device: Device = None
    ) -> TransformerLM:
        """Load the weights, as `load_model` does."""
        if not self.is_run:
            config, state = load_exported(self.folder)
            model = TransformerLM.from_config(config, implementation=implementation)
            model.load_state_dict(state)
            return model.to(device).eval()
        model = TransformerLM.from_config(self._model_config(), implementation=implementation)
        if (last or not self._load_best(model)) and load_newest(self.folder / CHECKPOINTS, model) is None:
            raise ConfigError(f"{self.folder} has no checkpoint yet; train it for longer")
        return model.to(device).eval()

    def _model_config(self) -> ModelConfig:
        """A key that is unknown here would be another architecture."""
        try:
            found: TrainConfig = override(TrainConfig(), {"model": read_json(self.folder / CONFIG)["model"]})
            return found.model
        except ConfigError as error:
            raise ConfigError(
                f"{self.folder / CONFIG} is of a model that this version does not know: {error}"
            ) from None

    def _load_best(self, model: TransformerLM) -> bool:
        try:
            return load_newest(self.folder / BEST, model) is not None
        except CheckpointError as error:
            raise CheckpointError(f"{error}; --last (last=True) takes the newest checkpoint instead") from error


def load_model(
    folder: str | os.PathLike[str],
    *,
    last: bool = False,
    implementation: Implementation = "fast",
    device: Device = None,
) -> TransformerLM:
    """The model in a folder, ready to generate.

    Args:
        folder: Of `Trainer`, of any version, or what `export_huggingface` wrote.
        last: The newest checkpoint of a run, not the one with the best validation loss.
        implementation: As in `TransformerLM`.
        device: Where to.

    Raises:
        ConfigError: It has no checkpoint yet, or no config.
        ExportError: It is no Llama that we can be.
        CheckpointError: It is damaged.
        FileError: It could not be read.
    """
    return Pretrained.open(folder).model(last=last, implementation=implementation, device=device)
