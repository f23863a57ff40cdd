"""A step as a graph of recorded operations, which a CPU can replay as a GPU replays kernels."""

from pathlib import Path

import pytest
import torch
from bpe_lm.errors import OutOfMemory
from bpe_lm.kernels.choices import Kernels, using
from bpe_lm.training import step_graph
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.measures import Measures, Wishes
from bpe_lm.training.parallel import World
from bpe_lm.training.prefetch import Batch
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_log import read_records
from bpe_lm.training.step_graph import Pace, StepGraph
from bpe_lm.training.train_step import TrainStep
from bpe_lm.training.trainer import Trainer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

KERNELS = ("linear", "products", "attention", "layers", "loss")
FIXED = {"device": "cpu", "compile": False, "dtype": "float32", "residual": "float32"}


class Recorder(TorchDispatchMode):
    """Records operations with the tensors themselves. A replay writes each result where the first one was."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        self.operations.append((function, arguments, keywords or {}, result))
        return result

    def replay(self):
        with torch.no_grad():
            for function, arguments, keywords, result in self.operations:
                again = function(*arguments, **keywords)
                for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)


def state_of(steps: TrainStep) -> list[torch.Tensor]:
    """All numbers that a step changes."""
    moments = [value for state in steps.optimizer.state.values() for value in state.values()]
    return [*(p.data for p in steps.model.parameters()), *moments, steps.guard._state]


def recorded_by(steps: TrainStep):
    """Capture as CUDA does: the function's operations are recorded, and nothing has changed afterwards."""

    def capture(function):
        before = [tensor.clone() for tensor in state_of(steps)]
        with Recorder() as recorder:
            function()
        for tensor, copy in zip(state_of(steps), before, strict=True):
            tensor.copy_(copy)
        return recorder.replay

    return capture


def as_on_a_gpu(steps: TrainStep) -> TrainStep:
    """Let the optimizer take from the device what it takes on a GPU."""
    steps.divides_gradients = True
    steps.optimizer.learning_rate = torch.zeros(())
    return steps


def new_steps(config: TrainConfig) -> TrainStep:
    steps = as_on_a_gpu(TrainStep(config, torch.device("cpu"), World()))
    steps.prepare()
    return steps


def batches_of(config: TrainConfig, number: int, *, bad: int) -> list[Batch]:
    generator = torch.Generator().manual_seed(7)
    size = config.batch_size, config.model.context_length + 1
    ids = [torch.randint(config.model.vocab_size, size, generator=generator) for _ in range(number)]
    return [Batch(x[:, :-1], x[:, 1:], torch.tensor(step == bad)) for step, x in enumerate(ids)]


MUON = {
    "optimizer": {
        "name": "muon",
        "muon": {"momentum_rise": 7, "cautious": True},
        "embeddings": {"rate": 0.5},
        "matrices": {"rate": 20.0},
    }
}


@pytest.mark.parametrize(
    "changes", [{}, {"micro_batch_size": 2}, {"dtype": "bfloat16", "residual": "bfloat16"}, {"max_loss": 6.0}, MUON]
)
def test_replays_of_a_captured_step_are_the_steps_to_the_bit(changes):
    fixed = FIXED | {"optimizer": {"max_l2_norm": 0.1}}  # Each step clips: on a CPU the host decides whether to.
    config = override(override(resolve("debug"), fixed), changes)
    batches, found = batches_of(config, 9, bad=7), {}
    with using(Kernels(**dict.fromkeys(KERNELS, "torch"))):
        for name in ("launched", "graph"):
            steps, losses = new_steps(config), []
            steps.guard.begin(1, 0)
            for number, batch in enumerate(batches):
                if name == "graph" and number == 3:
                    steps.capture = recorded_by(steps)
                    steps.use_graph()
                measures = steps(number + 1, batch, 1e-3 / (number + 1), Wishes())
                losses.append([float(value) for value in measures if value is not None])
            assert steps.is_graph == (name == "graph")
            found[name] = losses, [tensor.clone() for tensor in state_of(steps)]
    (losses, state), (graph_losses, graph_state) = found.values()
    assert graph_losses == losses
    assert [bad for *_, bad in losses] == [False] * 7 + [True, False]
    for launched, replayed in zip(state, graph_state, strict=True):
        assert torch.equal(launched, replayed)


def test_a_failed_capture_leaves_the_steps_as_they_are():
    config = override(resolve("debug"), FIXED)
    found = []
    for fails in (False, True):
        steps = new_steps(config)
        for number, batch in enumerate(batches_of(config, 4, bad=-1)):
            if fails and number == 2:

                def capture(function):
                    raise RuntimeError("no capture here\nwith details")

                steps.capture = capture
                steps.use_graph()
                with pytest.warns(UserWarning, match=r"CUDA could not capture a step \(no capture here\)"):
                    measures = steps(number + 1, batch, 1e-3, Wishes())
            else:
                measures = steps(number + 1, batch, 1e-3, Wishes())
        assert not steps.is_graph
        found.append([float(measures.loss), *(tensor.clone() for tensor in state_of(steps))])
    assert found[0][0] == found[1][0]
    assert all(torch.equal(a, b) for a, b in zip(found[0][1:], found[1][1:], strict=True))


def test_a_graph_pays_where_launches_take_most_of_the_time():
    pace = Pace()
    assert not pace.read(20, 1.0)  # Nothing was measured yet.
    pace.launched(0.04)
    pace.launched(9.0)  # The queue was full, perhaps.
    assert pace.read(20, 1.0)
    pace.launched(0.012)
    assert not pace.read(20, 1.0)
    pace.launched(0.04)
    assert not pace.read(5, 0.25)  # Too few steps to tell.
    pace.launched(0.04)
    assert pace.read(5, 0.25)
    assert not pace.read(20, 0.1)  # No launch was measured, as in the steps of a graph.


def test_a_graph_has_inputs_of_the_strides_that_a_compiled_step_knows():
    ids = torch.arange(12).view(3, 4)
    batch, seen = Batch(ids[:, :-1], ids[:, 1:]), []

    def step(own):
        seen.append(own)
        return Measures(own.inputs.sum().double(), own.targets.sum().double())

    def capture(function):
        function()
        return lambda: None

    StepGraph(step, batch, capture)
    for own, tensor in zip(seen[0][:2], batch[:2], strict=True):
        assert own.stride() == tensor.stride() == (4, 1)
        assert own.data_ptr() != tensor.data_ptr()
        assert torch.equal(own, tensor)


@pytest.fixture
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin")}
    changes = {"steps": 30, "log_every": 1, "checkpoint_every": 25, "validate_every": 20, "validation_tokens": 160}
    fixed = FIXED | {"optimizer": {"max_l2_norm": 0.1}, "kernels": dict.fromkeys(KERNELS, "torch")}
    return override(resolve("debug"), {"data": files} | changes | fixed)


def trained(config: TrainConfig, folder: Path, *, captures: bool, watch=None, prepare=lambda trainer: None) -> Trainer:
    """Train by steps that are captured as soon as a decision is possible, if at all."""
    with Trainer(config, folder) as trainer:
        steps = as_on_a_gpu(trainer._steps)
        if captures:
            steps.capture = recorded_by(steps)
        prepare(trainer)
        trainer.run(on_step=watch)
        trainer.was_graph = steps.is_graph
    return trainer


def losses_of(folder: Path) -> list[tuple]:
    return [(r["kind"], r["step"], r["loss"]) for r in read_records(folder / "metrics.jsonl") if "loss" in r]


@pytest.fixture
def always_pays(monkeypatch):
    monkeypatch.setattr(step_graph, "_HOST_SHARE", -1.0)


def test_a_run_that_reads_each_step_becomes_a_graph_too(config, tmp_path, always_pays):
    """The graph also outlives a validation and a checkpoint, and is dropped when the run is closed."""
    launched, graph = (trained(config, tmp_path / str(captures), captures=captures) for captures in (False, True))
    assert (launched.was_graph, graph.was_graph) == (False, True)
    assert not graph._steps.is_graph
    assert losses_of(tmp_path / "True") == losses_of(tmp_path / "False")
    for name, tensor in launched.model.state_dict().items():
        assert torch.equal(tensor, graph.model.state_dict()[name])


def test_a_run_that_is_watched_step_by_step_is_launched(config, tmp_path, always_pays):
    calls = []

    def count(trainer: Trainer) -> None:
        trainer.model.ln_final.register_forward_hook(lambda *_: calls.append(trainer.step))

    config = override(config, {"data": {"valid": ""}})
    assert not trained(config, tmp_path / "run", captures=True, watch=lambda step: None, prepare=count).was_graph
    assert calls == list(range(30))
    with Trainer(config, tmp_path / "advanced") as trainer:
        as_on_a_gpu(trainer._steps).capture = recorded_by(trainer._steps)
        for _ in range(15):
            trainer.advance()
        assert not trainer._steps.is_graph


@pytest.mark.filterwarnings("ignore:memory is short for a validation")
@pytest.mark.parametrize("captures", [False, True])
def test_a_validation_that_lacks_the_memory_of_a_graph_gets_it(config, tmp_path, always_pays, captures):
    tried = []

    def lacks(trainer: Trainer) -> None:
        evaluate = trainer._evaluate

        def lacking(tokens):
            tried.append(trainer._steps.is_graph)
            if len(tried) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return evaluate(tokens)

        trainer._evaluate = lacking

    if captures:
        assert not trained(config, tmp_path / "run", captures=True, prepare=lacks).was_graph
        assert tried == [True, False, False]
        trained(config, tmp_path / "launched", captures=False)
        assert losses_of(tmp_path / "run") == losses_of(tmp_path / "launched")
    else:
        with pytest.raises(OutOfMemory):
            trained(config, tmp_path / "run", captures=False, prepare=lacks)
