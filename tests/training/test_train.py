"""Training: the same whatever happens to it."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import bpe_lm
import numpy as np
import pytest
import torch
from bpe_lm.cli.main import main
from bpe_lm.errors import (
    ConfigError,
    FileError,
    OutOfMemory,
    OutputBusy,
    OutputExists,
    ResumeMismatch,
    TokenFileError,
    TrainingDiverged,
)
from bpe_lm.tokenizer.manifest import Manifest
from bpe_lm.tokenizer.token_file import open_tokens
from bpe_lm.training import trainer as training
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.devices import device_of
from bpe_lm.training.evaluate import evaluate
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_checkpoint import find_checkpoints
from bpe_lm.training.run_log import read_records
from bpe_lm.training.trainer import Trainer
from safetensors.torch import load_file
from torch._inductor.exc import InvalidCxxCompiler

END_OF_TEXT = "<|endoftext|>"


@pytest.fixture
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    return override(resolve("debug"), {"data": files, "steps": 12, "checkpoint_every": 4, "validate_every": 6})


def run(config: TrainConfig, folder: Path, **options) -> training.TrainResult:
    with Trainer(config, folder, **options) as trainer:
        return trainer.run()


def records(folder: Path, kind: str = "train") -> dict[int, float]:
    return {r["step"]: r["loss"] for r in read_records(folder / "metrics.jsonl") if r["kind"] == kind}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(find_checkpoints(folder / "checkpoints")[0] / "model.safetensors")


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_learns_and_leaves_what_it_says(config, tmp_path):
    result = run(
        override(config, {"steps": 200, "log_every": 20, "schedule": {"max_learning_rate": 1e-2}}), tmp_path / "run"
    )
    losses = records(tmp_path / "run")
    assert losses[1] > 5
    assert losses[200] < 4.5
    assert result.reason == "finished"
    assert result.best_loss == min(records(tmp_path / "run", "valid").values())
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == sorted(
        ["best", "checkpoints", "config.json", "data.json", "lock", "metrics.jsonl", "result.json"]
    )
    assert [p.name for p in find_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000200", "step-00000196"]
    last = list(read_records(tmp_path / "run" / "metrics.jsonl"))[-2]
    expected = {"step", "tokens", "seconds", "flops", "loss", "learning_rate", "gradient_norm", "tokens_per_second"}
    assert expected | {"mfu", "data_wait", "kind"} == last.keys()
    assert TrainConfig.load(tmp_path / "run" / "config.json").steps == 200


def test_a_model_learns_one_batch_by_heart(config, tmp_path, monkeypatch):
    monkeypatch.setattr(training.Batches, "starts", lambda self, step: training.torch.arange(8).numpy() * 100)
    changed = {"steps": 200, "schedule": {"max_learning_rate": 1e-2, "warmup": 10}, "data": {"valid": ""}}
    run(override(config, changed), tmp_path / "run")
    assert records(tmp_path / "run")[200] < 0.3


FOUR_MODELS = """
import sys, torch, torch._dynamo
from bpe_lm.training.config import override
from bpe_lm.training.presets import resolve
from bpe_lm.training.trainer import Trainer
compiled, real = [], torch.compile
def backend(graph, inputs):
    compiled.append(number)
    return graph.forward
torch.compile = lambda module, **options: real(module, backend=backend, **options)
torch._dynamo.config.recompile_limit = 2
for number in range(4):
    model = {"d_ff": 32 + 8 * number, "num_layers": 1}
    changes = {"compile": True, "steps": 1, "data": {"train": sys.argv[1]}, "model": model}
    with Trainer(override(resolve("debug"), changes | {"device": "cpu"}), f"{sys.argv[2]}/{number}") as trainer:
        trainer.run()
print(sorted(set(compiled)))
"""


def test_a_process_compiles_any_number_of_models(data, tmp_path):
    """torch does without after so many versions of a function: usually 8. In a process of its own, as those below."""
    command = [sys.executable, "-c", FOUR_MODELS, str(data / "train.bin"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.strip() == "[0, 1, 2, 3]", done.stderr


MUON = {"name": "muon", "muon": {"momentum_rise": 6, "cautious": True}, "matrices": {"rate": 5.0}}


@pytest.mark.parametrize(
    "changes",
    [{"implementation": "fast"}, {"implementation": "reference"}, {"optimizer": MUON}],
    ids=["fast", "reference", "muon"],
)
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(config, tmp_path, changes):
    config = override(config, changes)
    run(config, tmp_path / "whole")
    stop = 7
    with Trainer(config, tmp_path / "parts") as trainer:
        step = trainer._train_step

        def stopped(x, y):
            if trainer.step == stop:
                raise KeyboardInterrupt
            return step(x, y)

        trainer._train_step = stopped
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    assert max(records(tmp_path / "parts")) == stop
    with Trainer(config, tmp_path / "parts", resume=True) as trainer:
        assert trainer.step == 4
        trainer.run()
    assert records(tmp_path / "parts") == records(tmp_path / "whole")
    assert records(tmp_path / "parts", "valid") == records(tmp_path / "whole", "valid")
    assert same(weights(tmp_path / "parts"), weights(tmp_path / "whole"))
    with Trainer(config, tmp_path / "parts", resume=True) as trainer:
        assert trainer.run().step == 12


def command(config: TrainConfig, folder: Path, *more: str) -> list[str]:
    data = [
        "--data.train",
        config.data.train,
        "--data.valid",
        config.data.valid,
        "--data.tokenizer",
        config.data.tokenizer,
    ]
    steps = ["--steps", "400", "--checkpoint-every", "25", "--validate-every", "100", "--model.d-model", "64"]
    return [sys.executable, "-m", "bpe_lm", "pretrain", "debug", "--out", str(folder), "--quiet", *data, *steps, *more]


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    subprocess.run(
        command(override(resolve("debug"), {"data": files}), folder / "run"), check=True, capture_output=True
    )
    return folder / "run"


@pytest.mark.row("R3", few=8, many=30)
def test_killed_at_random_moments_it_is_the_uninterrupted_one_to_the_bit(config, tmp_path, uninterrupted, cases):
    folder = tmp_path / "run"
    choose = random.Random(cases.asked)
    for _ in range(cases.asked):
        process = subprocess.Popen(command(config, folder, "--resume"), stderr=subprocess.PIPE, text=True)
        before = len(list(read_records(folder / "metrics.jsonl"))) if folder.exists() else 0
        # Once it is under way: within a few steps, anywhere in them or in a checkpoint.
        while process.poll() is None and len(list(read_records(folder / "metrics.jsonl"))) == before and before < 400:
            time.sleep(0.005)
        time.sleep(choose.random() * 0.4)
        process.kill()
        assert "rror" not in process.communicate()[1]
    subprocess.run(command(config, folder, "--resume"), check=True, capture_output=True)
    assert records(folder) == records(uninterrupted)
    assert records(folder, "valid") == records(uninterrupted, "valid")
    assert same(weights(folder), weights(uninterrupted))
    cases.found(cases.asked)


def test_a_killed_run_with_muon_is_the_uninterrupted_one_to_the_bit(config, tmp_path):
    flags = ("--optimizer.name", "muon", "--optimizer.muon.momentum-rise", "200", "--optimizer.matrices.rate", "5")
    subprocess.run(command(config, tmp_path / "whole", *flags), check=True, capture_output=True)
    process = subprocess.Popen(command(config, tmp_path / "killed", *flags), stderr=subprocess.DEVNULL)
    while len(find_checkpoints(tmp_path / "killed" / "checkpoints")) < 2:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    subprocess.run(command(config, tmp_path / "killed", *flags, "--resume"), check=True, capture_output=True)
    assert records(tmp_path / "killed") == records(tmp_path / "whole")
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))


@pytest.mark.row("R6")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_exits(config, tmp_path, uninterrupted, number, status):
    folder = tmp_path / "run"
    process = subprocess.Popen(command(config, folder), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while len(list(read_records(folder / "metrics.jsonl"))) < 5:
        time.sleep(0.01)
    process.send_signal(number)
    stderr = process.communicate()[1]
    assert process.returncode == status
    assert "--resume goes on from there" in stderr
    assert "Traceback" not in stderr
    saved = int(find_checkpoints(folder / "checkpoints")[0].name.removeprefix("step-"))
    assert saved == max(records(folder))
    subprocess.run(command(config, folder, "--resume"), check=True, capture_output=True)
    assert same(weights(folder), weights(uninterrupted))


def test_the_gradient_is_the_same_whatever_the_micro_batch(config, tmp_path):
    losses = {}
    for micro in (0, 4, 1):
        run(override(config, {"micro_batch_size": micro}), tmp_path / str(micro))
        losses[micro] = records(tmp_path / str(micro))
    for micro in (4, 1):
        assert losses[micro] == pytest.approx(losses[0], rel=1e-5)


def test_bfloat16_learns_nearly_the_same(config, tmp_path):
    changed = override(config, {"steps": 40, "schedule": {"max_learning_rate": 5e-3}})
    for dtype in ("float32", "bfloat16"):
        run(override(changed, {"dtype": dtype}), tmp_path / dtype)
    assert records(tmp_path / "bfloat16")[40] == pytest.approx(records(tmp_path / "float32")[40], rel=0.02)
    assert all(tensor.dtype == torch.float32 for tensor in weights(tmp_path / "bfloat16").values())


def compile_failing_at(call: int, error: Exception):
    """What stands in for torch.compile: no compiler, and an error at one of the calls."""

    def compiled(function, **options):
        calls = iter(range(1, 1000))

        def loss(*arguments):
            if next(calls) == call:
                raise error
            return function(*arguments)

        return loss

    return compiled


def test_a_compiler_that_fails_is_one_warning(config, tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", compile_failing_at(1, InvalidCxxCompiler("no compiler here")))
    run(config, tmp_path / "eager")
    with pytest.warns(UserWarning, match="no compiler here") as caught:
        run(override(config, {"compile": True}), tmp_path / "compiled")
    assert len(caught) == 1
    assert records(tmp_path / "compiled") == records(tmp_path / "eager")


@pytest.mark.parametrize(("call", "error"), [(1, RuntimeError("a defect")), (2, InvalidCxxCompiler("a defect"))])
def test_what_is_no_failure_of_the_compiler_at_the_first_step_is_raised(config, tmp_path, monkeypatch, call, error):
    monkeypatch.setattr(torch, "compile", compile_failing_at(call, error))
    with pytest.raises(type(error), match="a defect"):
        run(override(config, {"compile": True}), tmp_path / "run")


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("kind", ["cuda", "cpu", "numpy"])
def test_memory_that_runs_out_is_one_error_that_says_what_to_do(config, tmp_path, monkeypatch, kind, compiles):
    def take_too_much() -> None:
        if kind == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        torch.empty(1 << 50) if kind == "cpu" else np.empty(1 << 50)

    monkeypatch.setattr(torch, "compile", lambda function, **options: lambda *arguments: take_too_much())
    with Trainer(override(config, {"micro_batch_size": 4, "compile": compiles}), tmp_path / "run") as trainer:
        if not compiles:
            trainer._steps.loss_of_step = lambda x, y: take_too_much()
        with pytest.raises(OutOfMemory, match="batch_size is 8 and micro_batch_size 4.*bpe-lm account") as caught:
            trainer.run()
    assert isinstance(caught.value, MemoryError)
    assert "\n" not in str(caught.value)


def poison(trainer: Trainer, steps: set[int], where: str, value: float = float("nan")) -> None:
    eager = trainer._steps.loss_of_step

    def loss(x, y):
        found = eager(x, y)
        return found * value if trainer.step in steps and where == "loss" else found

    trainer._steps.loss_of_step = loss
    if where == "weight":
        trainer.model.layers[1].ffn.w2.weight.data[3, 4] = value
    if where == "gradient":
        weight = trainer.model.layers[0].attn.qkv_proj.weight
        weight.register_hook(lambda gradient: gradient * value)


def test_a_bad_step_is_skipped(config, tmp_path):
    with Trainer(config, tmp_path / "run") as trainer:
        poison(trainer, {3, 4}, "loss")
        with pytest.warns(UserWarning, match="is skipped: loss nan") as caught:
            result = trainer.run()
    assert len(caught) == 2
    assert result.step == 12
    found = list(read_records(tmp_path / "run" / "metrics.jsonl"))
    assert [r["step"] for r in found if r["kind"] == "skip"] == [4, 5]
    assert {r["step"] for r in found if r["kind"] == "train" and r["loss"] is None} == {4, 5}
    assert "NaN" not in (tmp_path / "run" / "metrics.jsonl").read_text()
    assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run").values())


@pytest.mark.row("R31")
@pytest.mark.parametrize(
    "value", [float("nan"), *[pytest.param(float(x), marks=pytest.mark.long) for x in ("inf", "-inf")]]
)
@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("loss", "the gradient of lm_head.weight"),
        ("weight", "the weight layers.1.ffn.w2.weight"),
        ("gradient", "the gradient of layers.0.attn.qkv_proj.weight"),
    ],
)
def test_too_many_bad_steps_stop_it_and_what_was_saved_is_untouched(config, tmp_path, where, name, value, cases):
    config = override(config, {"max_skipped_steps": 6, "steps": 30, "checkpoint_every": 2, "validate_every": 2})
    with Trainer(config, tmp_path / "run") as trainer:
        step = trainer._train_step

        def poisoned(x, y):
            if trainer.step == 5:
                poison(trainer, set(range(100)), where, value)
            return step(x, y)

        trainer._train_step = poisoned
        with pytest.warns(UserWarning, match="skipped"), pytest.raises(TrainingDiverged) as caught:
            trainer.run()
    assert name in str(caught.value)
    assert "step 12: loss" in str(caught.value)
    assert "texts begin at the tokens" in str(caught.value)
    kept = find_checkpoints(tmp_path / "run" / "checkpoints") + find_checkpoints(tmp_path / "run" / "best")
    if where == "weight":
        assert [path.name for path in kept] == ["step-00000004", "step-00000002", "step-00000004"]
    for path in kept:
        assert all(tensor.isfinite().all() for tensor in load_file(path / "model.safetensors").values())
    cases.found(7)  # The steps from the first bad one to the end.


def test_force_and_resume_keep_what_is_there_until_nothing_can_be_wrong(config, data, tmp_path):
    run(config, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(ConfigError):
        Trainer(override(config, {"device": "cuda:99"}), tmp_path / "run", force=True)
    other = bpe_lm.Tokenizer(*bpe_lm.train_bpe(iter(["abc abd"]), 258, []), [END_OF_TEXT])
    other.encode_file(data / "train.txt", tmp_path / "other.bin")
    files = {"train": str(tmp_path / "other.bin"), "valid": "", "tokenizer": ""}
    with pytest.raises(ResumeMismatch, match="another tokenizer"):
        Trainer(override(config, {"data": files}), tmp_path / "run", resume=True)
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_later_checkpoints_are_forgotten_by_a_run_that_goes_on_from_before_them(config, tmp_path):
    run(config, tmp_path / "whole")
    run(config, tmp_path / "run")
    newest = find_checkpoints(tmp_path / "run" / "checkpoints")[0]
    (newest / "model.safetensors").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="taking the checkpoint before it"):
        trainer = Trainer(override(config, {"checkpoints_kept": 1}), tmp_path / "run", resume=True)
    with trainer:
        assert trainer.step == 8
        assert [p.name for p in find_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000008"]
        trainer.run()
    assert same(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_bad_input_is_named(config, data, tmp_path):
    def refused(kind, message, **changed):
        with pytest.raises(kind, match=message):
            Trainer(override(config, changed), tmp_path / "refused")

    refused(ConfigError, "data.train is not set", data={"train": ""})
    refused(TokenFileError, "model.vocab_size is 299; make it at least as large", model={"vocab_size": 299})
    refused(TokenFileError, "fewer than a context of 100000", model={"context_length": 100_000})
    refused(ConfigError, "cuda:99.*try cpu", device="cuda:99")
    refused(FileError, "none.bin", data={"train": str(data / "none.bin")})
    other = bpe_lm.Tokenizer(*bpe_lm.train_bpe(iter(["abc abd"]), 258, []), [END_OF_TEXT])
    other.save(tmp_path / "tokenizer")
    refused(TokenFileError, "tokenizer", data={"tokenizer": str(tmp_path / "tokenizer")})
    other.encode_file(data / "valid.txt", tmp_path / "valid.bin")
    refused(TokenFileError, "different tokenizers", data={"valid": str(tmp_path / "valid.bin"), "tokenizer": ""})
    (tmp_path / "short.txt").write_text("a")
    bpe_lm.Tokenizer.load(data / "tokenizer").encode_file(tmp_path / "short.txt", tmp_path / "short.bin")
    refused(TokenFileError, "has 1 tokens, fewer than a context of 16", data={"valid": str(tmp_path / "short.bin")})


@pytest.mark.parametrize("name", ["mps", "vulkan", "nope", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_one_short_line(name):
    with pytest.raises(ConfigError, match="which this machine lacks") as found:
        device_of(name)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 200


def test_a_folder_in_use_or_with_another_run_is_refused(config, tmp_path):
    with Trainer(config, tmp_path / "run") as trainer:
        with pytest.raises(OutputBusy, match="another process trains in"):
            Trainer(config, tmp_path / "run", resume=True)
        trainer.run()
    with pytest.raises(OutputExists, match="--resume or --force"):
        Trainer(config, tmp_path / "run")
    with pytest.raises(ResumeMismatch, match="model.d_ff was 64 and is 96"):
        Trainer(override(config, {"model": {"d_ff": 96}}), tmp_path / "run", resume=True)
    first = weights(tmp_path / "run")
    run(config, tmp_path / "run", force=True)
    assert same(first, weights(tmp_path / "run"))


def test_time_and_worse_end_a_run(config, tmp_path):
    assert run(override(config, {"max_time": 1e-9}), tmp_path / "time").reason == "time"
    changed = {"steps": 40, "validate_every": 1, "stop_when_worse": 2, "schedule": {"max_learning_rate": 30.0}}
    result = run(override(config, changed), tmp_path / "worse")
    assert result.reason == "worse"
    assert result.step < 40


def test_evaluation_is_of_every_token_once(config, data, tmp_path):
    run(config, tmp_path / "run")
    with Trainer(config, tmp_path / "run", resume=True) as trainer:
        model = trainer.model
    tokens = open_tokens(data / "valid.bin")
    manifest = Manifest.from_json((data / "valid.bin.json").read_text())
    found = evaluate(model, tokens, text_bytes=manifest.text_bytes)
    total = 0.0
    for start in range(0, len(tokens) - 1, 16):
        ids = torch.tensor(tokens[start : start + 17].astype("int64"))
        with torch.no_grad():
            log_probabilities = model(ids[None, :-1]).double().log_softmax(-1)[0]
        total -= log_probabilities[torch.arange(len(ids) - 1), ids[1:]].sum().item()
    assert found.tokens == len(tokens) - 1
    assert found.loss == pytest.approx(total / found.tokens, rel=1e-6)
    assert found.bits_per_byte == pytest.approx(total / 0.6931471805599453 / manifest.text_bytes, rel=1e-6)
    assert evaluate(model, tokens, limit=160).tokens == 160
    assert evaluate(model, tokens, limit=160).bits_per_byte is None


def test_the_commands(config, tmp_path, capsys):
    folder = str(tmp_path / "run")
    data = [
        "--data.train",
        config.data.train,
        "--data.valid",
        config.data.valid,
        "--data.tokenizer",
        config.data.tokenizer,
    ]
    assert main(["pretrain", "debug", "--out", folder, "--json", "--quiet", *data]) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 20
    assert main(["evaluate", folder, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["bits_per_byte"] > 0
    texts = []
    for _ in range(2):
        assert main(["generate", folder, "--prompt", "Once", "--max-tokens", "20", "--seed", "3"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert texts[0].startswith("Once")
    assert main(["plot", folder, folder, "--out", str(tmp_path / "losses.png")]) == 0
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert main(["generate", folder, "--top-p", "2"]) == 1
    assert main(["plot", str(tmp_path)]) == 1


def test_importing_the_package_or_asking_for_help_imports_no_torch():
    code = "import sys, bpe_lm.cli; bpe_lm.Tokenizer; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    environment = os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}
    helped = subprocess.run(
        [sys.executable, "-m", "bpe_lm", "pretrain", "--help"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert not re.search(r"\| +torch\n", helped.stderr)
    assert "--schedule.max-learning-rate" in helped.stdout
    assert bpe_lm.TransformerLM.__name__ == "TransformerLM"
    with pytest.raises(AttributeError):
        _ = bpe_lm.nothing


def test_activations_that_are_made_again_are_the_same(config, tmp_path):
    run(config, tmp_path / "kept")
    run(override(config, {"activation_checkpointing": True}), tmp_path / "again")
    assert records(tmp_path / "again") == records(tmp_path / "kept")
    assert same(weights(tmp_path / "again"), weights(tmp_path / "kept"))


COUNT_GRAPHS = """
import sys
from bpe_lm.training.config import TrainConfig
from bpe_lm.model.generate import generate_ids
from bpe_lm.training.trainer import Trainer
from torch._dynamo.utils import counters

graphs = []
with Trainer(TrainConfig.load(sys.argv[1]), sys.argv[2]) as trainer:
    step = trainer._train_step

    def counted(x, y):
        found = step(x, y)
        graphs.append(counters["stats"]["unique_graphs"])
        return found

    trainer._train_step = counted
    trainer.run()
    list(generate_ids(trainer.model, [1, 2, 3], 8))
    graphs.append(counters["stats"]["unique_graphs"])
print(*graphs)
"""


def test_evaluation_and_generation_compile_nothing(config, tmp_path):
    """In a process of its own: the compiler cannot see through what looks at shapes in these."""
    config = override(config, {"compile": True, "steps": 6, "validate_every": 2})
    (tmp_path / "config.json").write_text(json.dumps(config.as_dict()))
    command = [sys.executable, "-c", COUNT_GRAPHS, str(tmp_path / "config.json"), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "training goes on without it" not in done.stderr
    graphs = list(map(int, done.stdout.split()))
    assert len(graphs) == 7
    assert graphs[0] > 0
    assert set(graphs) == {graphs[0]}


IMPORTED = """
import sys
from bpe_lm.cli.main import main

assert main(["pretrain", "debug", *sys.argv[2:], "--out", sys.argv[1]]) == 0
assert main(["generate", sys.argv[1], "--prompt", "Once", "--max-tokens", "3"]) == 0
assert "torch._dynamo" not in sys.modules
"""


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_process_that_compiles_nothing_does_not_import_the_compiler(config, tmp_path, optimizer):
    """It would be two seconds more."""
    files = (
        word for name in ("train", "valid", "tokenizer") for word in (f"--data.{name}", getattr(config.data, name))
    )
    flags = [*files, "--steps", "2", "--validate-every", "1", "--optimizer.name", optimizer, "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, str(tmp_path / "run"), *flags], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_profile_says_where_the_time_goes(config, data, tmp_path, capsys):
    with Trainer(config, tmp_path / "run") as trainer:
        trainer.run(profile=True)
    profile = trainer.profile
    assert 0 < sum(profile.parts.values()) <= profile.seconds
    assert 0 < sum(profile.kinds.values()) <= profile.seconds
    assert profile.kinds["matrix products"] > 0
    assert min(profile.parts.values()) > 0
    text = (tmp_path / "run" / "profile" / "profile.md").read_text()
    assert re.search(r"A step takes [\d.]+ ms\. .*bound by", text)
    assert "| backward |" in text
    trace = json.loads((tmp_path / "run" / "profile" / "trace.json").read_text())
    assert any(event.get("name") == "phase: backward" for event in trace["traceEvents"])
    with Trainer(override(config, {"steps": 3}), tmp_path / "short") as trainer:
        trainer.run(profile=True)
    assert trainer.profile is None


def test_the_best_outlives_a_resume_from_before_it(config, tmp_path):
    config = override(config, {"validate_every": 2, "checkpoint_every": 5})
    with Trainer(config, tmp_path / "run") as trainer:
        step = trainer._train_step

        def stopped(x, y):
            if trainer.step == 9:
                raise KeyboardInterrupt
            return step(x, y)

        trainer._train_step = stopped
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    best = [path.name for path in find_checkpoints(tmp_path / "run" / "best")]
    with Trainer(config, tmp_path / "run", resume=True) as trainer:
        assert trainer.step == 5
        assert [path.name for path in find_checkpoints(tmp_path / "run" / "best")] == best == ["step-00000008"]
        trainer.run()
    assert len(find_checkpoints(tmp_path / "run" / "best")) == 1


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_was_killed_before_its_first_step_begins_again(config, tmp_path, resume):
    run(config, tmp_path / "run")
    # In the midst of a replacement.
    (tmp_path / "run" / ".beginning").touch()
    (tmp_path / "run" / "config.json").unlink()
    with Trainer(config, tmp_path / "run", resume=resume) as trainer:
        assert trainer.step == 0
    assert not find_checkpoints(tmp_path / "run" / "checkpoints")
    assert not (tmp_path / "run" / ".beginning").exists()


def test_weights_that_are_not_finite_are_not_saved(config, tmp_path):
    changes = {"checkpoint_every": 1, "max_skipped_steps": 1, "data": {"valid": ""}}
    with Trainer(override(config, changes), tmp_path / "run") as trainer:
        step = trainer._train_step

        def poisoned(x, y):
            found = step(x, y)
            if trainer.step == 6:
                trainer.model.ln_final.weight.data[0] = float("inf")
            return found

        trainer._train_step = poisoned
        with pytest.warns(UserWarning, match="is skipped"), pytest.raises(TrainingDiverged):
            trainer.run()
    assert find_checkpoints(tmp_path / "run" / "checkpoints")[0].name == "step-00000006"


def test_a_resumed_run_logs_what_an_uninterrupted_one_does(config, tmp_path):
    config = override(config, {"log_every": 5, "checkpoint_every": 4})
    run(config, tmp_path / "whole")
    run(override(config, {"max_time": 1e-9}), tmp_path / "parts")
    run(config, tmp_path / "parts", resume=True)
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


def test_evaluate_wants_the_runs_tokenizer(config, data, tmp_path, capsys):
    run(override(config, {"steps": 2}), tmp_path / "run")
    vocab, merges = bpe_lm.train_bpe(data / "valid.txt", 290, [END_OF_TEXT])
    bpe_lm.Tokenizer(vocab, merges, [END_OF_TEXT]).encode_file(data / "valid.txt", tmp_path / "other.bin")
    assert main(["evaluate", str(tmp_path / "run"), "--tokens", str(tmp_path / "other.bin")]) == 1
    assert "is of another tokenizer than" in capsys.readouterr().err
