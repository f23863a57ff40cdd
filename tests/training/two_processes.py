"""What two processes do under one torchrun for test_parallel.py: runs after one another, and checks of checkpoints.

Arguments: a folder, whose `back` is a run without its last checkpoint, and flags of all runs. Each process writes what
it found into `found-RANK.json`.
"""

import io
import json
import math
import shutil
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from functools import partial, partialmethod
from pathlib import Path
from unittest.mock import patch
from warnings import catch_warnings

import torch
import torch.distributed as dist
from bpe_lm.cli.main import main
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training import run_checkpoint as checkpoint
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.optimizers.adamw import AdamW
from bpe_lm.training.optimizers.division import OfShards
from bpe_lm.training.optimizers.muon import Muon
from bpe_lm.training.optimizers.sgd import SGD
from bpe_lm.training.parallel import join_world, shard
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_checkpoint import find_checkpoints, load_newest, save_run_checkpoint
from bpe_lm.training.trainer import Trainer
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.nn import Parameter

FOLDER, FLAGS = Path(sys.argv[1]), sys.argv[2:]
MUON = ("--optimizer.name", "muon", "--optimizer.matrices.rate", "20", "--optimizer.muon.momentum-rise", "8")
CONFIG = ModelConfig(vocab_size=50, context_length=8, d_model=16, num_layers=2, num_heads=2, d_ff=32)
SWITCHES = (
    *("--model.qk-norm", "true", "--model.logit-softcap", "15", "--model.value-embeddings", "1"),
    *("--model.u-net-skips", "true", "--model.zero-init", "true", "--model.embedding-scale", "2"),
    *("--model.window", "8", "--model.global-every", "2", "--model.ffn", "relu2"),
)
"""Flags of an architecture with tables, and with parameters of one and of two numbers."""

OPTIMIZERS = {
    "AdamW": lambda parameters: AdamW(parameters, 0.01, (0.8, 0.9)),
    "SGD": lambda parameters: SGD(parameters, 0.5),
    "Muon": lambda parameters: Muon(by_method(parameters), 0.05, division=OfShards(world)),
    "torch.optim.AdamW": lambda parameters: torch.optim.AdamW(parameters, 0.01, amsgrad=True),
    "torch.optim.SGD": lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9),
}


def by_method(parameters: Iterable[Parameter]) -> list[dict[str, object]]:
    """Groups of matrices, which are Muon's, and of all others."""
    groups: dict[str, list[Parameter]] = {"muon": [], "adamw": []}
    for parameter in parameters:
        groups["muon" if parameter.ndim == 2 else "adamw"].append(parameter)
    return [{"method": method, "params": group} for method, group in groups.items()]


def pretrain(name: str, *more: str) -> None:
    assert main(["pretrain", "debug", "--out", str(FOLDER / name), *FLAGS, *more]) == 0


def compiled(function: Callable[[], None]) -> None:
    """Call a function with a backend of torch.compile that needs no C++ compiler, and skips no other part."""
    with (
        patch.object(torch, "compile", partial(torch.compile, backend="aot_eager")),
        patch.object(torch.nn.Module, "compile", partialmethod(torch.nn.Module.compile, backend="aot_eager")),
    ):
        function()


def deferred(function: Callable[[], None]) -> None:
    """Call a function whose runs read the device at log steps only, as on a GPU, and clip in the optimizer's pass."""
    begin = Trainer._begin

    def begin_deferred(trainer: Trainer, *arguments: bool) -> None:
        begin(trainer, *arguments)
        trainer._reads_each_step, trainer._steps.divides_gradients = False, True

    with patch.object(Trainer, "_begin", begin_deferred):
        function()


def diverged(kind: str) -> dict[str, object]:
    """The end of a run that is NaN in the second process from step 6 on, and reads at step 12."""
    config = override(
        resolve_flags(), {"parallel": kind, "max_skipped_steps": 1, "data": {"valid": ""}, "log_every": 12}
    )
    with Trainer(override(config, {"checkpoint_every": 12}), FOLDER / f"{kind}-diverged") as trainer:
        trainer._reads_each_step = False
        eager = trainer._steps.loss_of_step

        class Poisoned(torch.nn.Module):
            def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
                return eager(x, y) * (math.nan if world.rank and trainer.step >= 5 else 1.0)

        trainer._steps.loss_of_step = Poisoned()
        with catch_warnings(action="ignore"):
            message = error_of(trainer.run)
        weights = trainer.model.state_dict().values()
        total = sum(float(getattr(w, "full_tensor", lambda w=w: w)().double().sum()) for w in weights)
    return {"message": message, "step": trainer.step, "weights": total}


def failed_write() -> dict[str, object]:
    """The end of a run whose first process, which writes, finds the disk full."""
    config = override(resolve_flags(), {"parallel": "ddp", "data": {"valid": ""}, "checkpoint_every": 2})
    with Trainer(config, FOLDER / "full") as trainer, failing(checkpoint, "write_tensors", 0):
        message = error_of(trainer.run)
    return {"message": message, "is_early": trainer.step < 12}


def resolve_flags() -> TrainConfig:
    """The config that the flags of all runs describe."""
    values = dict(zip(FLAGS[1::2], FLAGS[2::2], strict=True))
    data = {name: values[f"--data.{name}"] for name in ("train", "valid", "tokenizer")}
    return override(resolve("debug"), {"data": data, "steps": 12, "device": "cpu"})


def runs() -> None:
    for kind in ("ddp", "fsdp"):
        pretrain(kind, "--parallel", kind)
        pretrain(f"{kind}-micro", "--parallel", kind, "--micro-batch-size", "2")
        more = ("--parallel", kind, "--compile", "true", "--micro-batch-size", "2")
        compiled(partial(pretrain, f"{kind}-compiled", *more))
        deferred(partial(pretrain, f"{kind}-deferred", "--parallel", kind, "--log-every", "5"))
        few = ("--checkpoint-every", "300", "--validate-every", "300")
        pretrain(f"{kind}-long", "--parallel", kind, "--steps", "300", *few)
        pretrain(f"{kind}-switches", "--parallel", kind, *SWITCHES)
    pretrain("narrow", "--parallel", "fsdp", "--dtype", "bfloat16")
    pretrain("tied", "--parallel", "fsdp", "--model.tied-head", "true", "--dtype", "bfloat16")
    for kind in ("ddp", "fsdp"):
        for dtype in ("float32", "bfloat16"):
            pretrain(f"{kind}-muon-{dtype}", "--parallel", kind, *MUON, "--optimizer.muon.dtype", dtype)
    pretrain("back", "--parallel", "fsdp", "--resume")
    pretrain("sgd", "--parallel", "fsdp", "--optimizer.name", "sgd")
    if world.is_first:
        shutil.copytree(FOLDER / "sgd", FOLDER / "sgd-resumed")
        shutil.rmtree(find_checkpoints(FOLDER / "sgd-resumed" / "checkpoints")[0])
        (FOLDER / "sgd-resumed" / "result.json").unlink(missing_ok=True)
    world.barrier()
    pretrain("sgd-resumed", "--parallel", "fsdp", "--optimizer.name", "sgd", "--resume")


def refused() -> str:
    with redirect_stderr(io.StringIO()) as said:
        assert main(["pretrain", "debug", "--out", str(FOLDER / "refused"), *FLAGS, "--batch-size", "7"]) == 1
    return said.getvalue()


def made(name: str, seed: int = 1) -> tuple[LanguageModelLoss, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    loss = LanguageModelLoss(TransformerLM.from_config(CONFIG))
    shard(loss, world, "cpu")
    return loss, OPTIMIZERS[name](loss.model.parameters())


def step(loss: LanguageModelLoss, optimizer: torch.optim.Optimizer, number: int) -> None:
    ids = torch.randint(50, (2, 2, 9), generator=torch.Generator().manual_seed(number))[world.rank]
    optimizer.zero_grad()
    loss(ids[:, :-1], ids[:, 1:]).backward()
    optimizer.step()
    with torch.no_grad():
        loss(ids[:, :-1], ids[:, 1:])  # Leaves weights together, which a checkpoint wants in parts.


def whole(loss: LanguageModelLoss) -> dict[str, torch.Tensor]:
    return {name: weight.full_tensor() for name, weight in loss.model.state_dict().items()}


def goes_on(name: str) -> bool:
    """Whether a step after a checkpoint was read is the step after it was written."""
    loss, optimizer = made(name)
    step(loss, optimizer, 1)
    step(loss, optimizer, 2)
    save_run_checkpoint(FOLDER / name, loss.model, optimizer, 2, {"seconds": 1.5}, world)
    step(loss, optimizer, 3)
    other, its = made(name, seed=2)
    saved = load_newest(FOLDER / name, other.model, its, world)
    assert saved is not None
    assert (saved.step, saved.progress) == (2, {"seconds": 1.5})
    step(other, its, 3)
    expected, found = whole(loss), whole(other)
    return all(torch.equal(weight, found[key]) for key, weight in expected.items())


def error_of(function: Callable[[], object]) -> str:
    try:
        function()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "none"


def failing(target: object, name: str, rank: int):
    """A function of a class that fails in one process."""
    error = OSError(28, "No space left on device")
    return patch.object(
        target, name, **({"side_effect": error} if rank == world.rank else {"new": getattr(target, name)})
    )


def faults() -> dict[str, object]:
    folder, found = FOLDER / "faults", {}
    loss, optimizer = made("AdamW")
    step(loss, optimizer, 1)

    def save(number: int) -> object:
        return save_run_checkpoint(folder, loss.model, optimizer, number, {}, world)

    def load() -> object:
        return load_newest(folder, *reader, world)

    reader = (loss.model, optimizer)
    save(1), save(2)
    for rank in (0, 1):
        with failing(HuggingFaceStorageWriter, "write_data", rank):
            found[f"writing in {rank}"] = error_of(lambda: save(3))
        with failing(HuggingFaceStorageReader, "read_metadata", rank):
            found[f"reading in {rank}"] = error_of(load)
        with failing(HuggingFaceStorageReader, "read_data", rank):
            found[f"reading parts in {rank}"] = error_of(load)
    with failing(checkpoint, "replace_folder", 0):
        found["renaming in 0"] = error_of(lambda: save(3))
    found["left"] = sorted(path.name for path in folder.iterdir())
    if world.is_first:
        part = next((folder / "step-00000002").glob("*.safetensors"))
        content = bytearray(part.read_bytes())
        content[-1] ^= 1
        part.write_bytes(content)
    with patch.object(checkpoint, "_sha256_of", side_effect=checkpoint._sha256_of) as hashed:
        found["step"] = load().step
        found["hashed"] = hashed.call_count
    if world.is_first:
        for path in folder.rglob("checkpoint.json"):
            path.unlink()
    world.barrier()
    found["none whole"] = error_of(load)
    return found


with patch.object(dist, "init_process_group", side_effect=dist.init_process_group) as joined:
    world = join_world(torch.device("cpu"))
    runs()
result = {
    "refused": refused(),
    "optimizers": {name: goes_on(name) for name in OPTIMIZERS},
    "faults": faults(),
    "diverged": {kind: diverged(kind) for kind in ("ddp", "fsdp")},
    "full": failed_write(),
    "sum": [math.isnan(value) for value in world.all_reduce_sum(math.nan if world.rank else 1.0, 2.0)],
    "joined": joined.call_count,
}
(FOLDER / f"found-{world.rank}.json").write_text(json.dumps(result))
world.leave()
