"""Open a trained model: from the folder of a run, or from a folder in Hugging Face's format."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from bpe_lm.errors import CheckpointError, ConfigError, FileError, FormatError
from bpe_lm.export.llama import load_exported
from bpe_lm.files import StrPath, read_json
from bpe_lm.kernels.implementation import Dtype, Implementation
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.layers import Device
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.tokenizer.tokenizer import Tokenizer
from bpe_lm.training.config import BEST, CHECKPOINTS, CONFIG, DATA, DataConfig, TrainConfig, override
from bpe_lm.training.run_checkpoint import load_newest


@dataclass(frozen=True)
class Pretrained:
    """A folder with a model: a run of any version, or an exported model.

    `data` has the paths of a run's data, or of an exported model's own tokenizer. `dtype` is the type of the matrix
    products in which a run trains. Nothing else of the folder's config.json is read, because an older version may have
    written it.
    """

    folder: Path
    is_run: bool
    data: DataConfig
    dtype: Dtype

    @classmethod
    def open(cls, folder: StrPath) -> Pretrained:
        """Read what a folder says about its model.

        Raises:
            ConfigError: The folder has no config.json of a model.
            FileError: The config.json could not be read.
        """
        path = Path(folder)
        config = read_json(path / CONFIG)
        if "model_type" in config:
            tokenizer = path / "tokenizer.json"
            return cls(path, False, DataConfig(tokenizer=str(tokenizer) if tokenizer.exists() else ""), "float32")
        if not isinstance(config.get("model"), dict):
            raise ConfigError(f"{path / CONFIG} is neither the config of a run nor of an exported model")
        paths = config.get("data")
        paths = paths if isinstance(paths, dict) else {}
        data = DataConfig(**{f.name: str(paths.get(f.name, "")) for f in fields(DataConfig)})
        return cls(path, True, data, "bfloat16" if config.get("dtype") == "bfloat16" else "float32")

    def tokenizer_sha256(self) -> str | None:
        """Return the identity of the tokenizer with which the model was trained.

        It is None for an exported model without a tokenizer, or with a tokenizer that we cannot read.

        Raises:
            ConfigError: The run's data.json is damaged.
            FileError: A file could not be read.
        """
        if self.is_run:
            sha256 = read_json(self.folder / DATA).get("tokenizer")
            return str(sha256) if sha256 is not None else None
        try:
            return Tokenizer.load(self.data.tokenizer).sha256 if self.data.tokenizer else None
        except FormatError:
            return None

    def tokens_path(self, given: str | None = None) -> str:
        """Return the path of the token file to evaluate on: the given one, or the run's validation file.

        Raises:
            ConfigError: Neither is known.
            FileError: The run's validation file does not exist any more.
        """
        return self._path("data.valid", self.data.valid, given, "--tokens (tokens=...)")

    def tokenizer(self, given: str | None = None) -> Tokenizer:
        """Load the tokenizer at the given path, or else the run's, or the exported model's own.

        Raises:
            ConfigError: No tokenizer is known, or the model was trained with another one.
            FileError: The tokenizer does not exist, or could not be read.
        """
        path = self._path("data.tokenizer", self.data.tokenizer, given, "--tokenizer (tokenizer=...)")
        tokenizer = Tokenizer.load(path)
        if self.tokenizer_sha256() not in (tokenizer.sha256, None):
            raise ConfigError(
                f"the model in {self.folder} was trained with another tokenizer than {path}; name the right one with "
                "--tokenizer (tokenizer=...)"
            )
        return tokenizer

    def _path(self, key: str, known: str, given: str | None, option: str) -> str:
        if given:
            return given
        if not known:
            raise ConfigError(f"{self.folder} has no {key}; name one with {option}")
        if not Path(known).exists():
            raise FileError(f"{key} of {self.folder}, {known}, does not exist; name its path with {option}")
        return known

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
        """Read the model's shape. An unknown key is refused: it may mean another architecture."""
        try:
            config: TrainConfig = override(TrainConfig(), {"model": read_json(self.folder / CONFIG)["model"]})
            return config.model
        except ConfigError as error:
            raise ConfigError(
                f"{self.folder / CONFIG} describes a model that this version does not know: {error}"
            ) from None

    def _load_best(self, model: TransformerLM) -> bool:
        try:
            return load_newest(self.folder / BEST, model) is not None
        except CheckpointError as error:
            raise CheckpointError(f"{error}; --last (last=True) takes the newest checkpoint instead") from error


def load_model(
    folder: StrPath,
    *,
    last: bool = False,
    implementation: Implementation = "fast",
    device: Device = None,
) -> TransformerLM:
    """Load the model in a folder, ready to generate.

    Args:
        folder: A folder that `Trainer` of any version wrote, or `export_huggingface`.
        last: Load the newest checkpoint of a run instead of the one with the best validation loss.
        implementation: As in `TransformerLM`.
        device: The device to which the model is moved.

    Raises:
        ConfigError: The folder has no config of a model, or no checkpoint yet.
        ExportError: The exported model is not a Llama that `TransformerLM` can represent.
        CheckpointError: The checkpoint is damaged.
        FileError: A file could not be read.
    """
    return Pretrained.open(folder).model(last=last, implementation=implementation, device=device)
