"""A run whose host reads the device only at log steps is the run whose host reads it after each step.

On a GPU a step is launched while earlier ones run. Here the same code runs on a CPU, told not to read each step.
"""

import os
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from bpe_lm.errors import TokenFileError, TrainingDiverged
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.prefetch import Prefetch
from bpe_lm.training.presets import resolve
from bpe_lm.training.run_checkpoint import find_checkpoints
from bpe_lm.training.run_folder import TrainResult
from bpe_lm.training.run_log import read_records
from bpe_lm.training.trainer import Trainer


@pytest.fixture
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin"), "tokenizer": str(data / "tokenizer")}
    changes = {"steps": 30, "log_every": 10, "checkpoint_every": 15, "validate_every": 12, "validation_tokens": 160}
    return override(resolve("debug"), {"data": files, "device": "cpu"} | changes)


def begun(config: TrainConfig, folder: Path, *, defers: bool, **options) -> Trainer:
    trainer = Trainer(config, folder, **options)
    trainer._reads_each_step = not defers
    return trainer


def poison(trainer: Trainer, steps: set[int]) -> None:
    """Make the loss of these steps NaN. The number of a step is from 1 on."""
    eager = trainer._steps.loss_of_step
    trainer._steps.loss_of_step = lambda x, y: eager(x, y) * (float("nan") if trainer.step + 1 in steps else 1.0)


def records(folder: Path) -> list[dict]:
    """The records of a run without what a clock measured."""
    clocks = ("seconds", "tokens_per_second", "data_wait", "mfu", "time")
    return [
        {key: value for key, value in r.items() if key not in clocks} for r in read_records(folder / "metrics.jsonl")
    ]


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def both(config: TrainConfig, folder: Path, prepare=lambda trainer: None, error=None):
    """Run with a read each step and with deferred reads. Returns for both: weights, records, result or error."""
    found = []
    for defers in (False, True):
        with begun(config, folder / str(defers), defers=defers) as trainer:
            prepare(trainer)
            if error is None:
                said = trainer.run()
            else:
                with pytest.raises(error) as caught:
                    trainer.run()
                said = str(caught.value)
            states = [state["step"].item() for state in trainer.optimizer.state.values() if "step" in state]
            found.append((weights(trainer), records(folder / str(defers)), said, trainer.step, states))
    return found


def test_deferred_reads_change_nothing(config, tmp_path):
    (once, records_once, result, *_), (later, records_later, result_later, *_) = both(config, tmp_path)
    assert same(once, later)
    assert records_once == records_later
    assert [r["step"] for r in records_later if r["kind"] == "train"] == [1, 10, 20, 30]
    assert (result.step, result.train_loss, result.best_loss) == (30, result_later.train_loss, result_later.best_loss)
    names = [[path.name for path in find_checkpoints(tmp_path / kind / "checkpoints")] for kind in ("False", "True")]
    assert names[0] == names[1] == ["step-00000030", "step-00000015"]


def test_the_host_reads_at_log_steps_validations_and_checkpoints_alone(config, tmp_path, monkeypatch):
    reads = []
    with begun(config, tmp_path / "run", defers=True) as trainer:
        real = trainer._read
        trainer._read = lambda window: reads.append(trainer.step) or real(window)
        trainer.run()
    assert reads == [1, 10, 12, 15, 20, 24, 30]


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("implementation", ["fast", "reference"])
def test_bad_steps_are_skipped_and_recorded_alike(config, tmp_path, name, implementation):
    config = override(config, {"implementation": implementation, "optimizer": {"name": name}, "data": {"valid": ""}})
    with pytest.warns(UserWarning, match="is skipped: loss nan"):
        once, later = both(config, tmp_path, lambda trainer: poison(trainer, {4, 5, 17}))
    assert same(once[0], later[0])
    assert once[1] == later[1]
    assert [r["step"] for r in later[1] if r["kind"] == "skip"] == [4, 5, 17]
    assert once[4] == later[4] == [27.0] * len(once[4]), "skipped steps do not count in the optimizer"


def test_a_run_that_diverges_has_the_weights_and_the_message_of_that_step(config, tmp_path):
    config = override(config, {"max_skipped_steps": 2, "data": {"valid": ""}})
    with pytest.warns(UserWarning, match="is skipped"):
        once, later = both(config, tmp_path, lambda trainer: poison(trainer, {13, 14, 15, 16}), TrainingDiverged)
    assert same(once[0], later[0])
    assert once[1:] == later[1:]
    assert once[3] == 14
    assert once[2].startswith(
        "step 15: loss nan, gradient norm nan, after 2 skipped steps; the first tensor that is not"
    )
    assert all(tensor.isfinite().all() for tensor in later[0].values())


def test_the_first_bad_value_is_that_of_the_step_that_diverged(config, tmp_path):
    """Later steps have overwritten the gradients of step 13, whose batch is computed again."""

    def with_bad_gradient(trainer: Trainer) -> None:
        weight = trainer.model.layers[1].ffn.w1.weight
        weight.register_hook(lambda gradient: gradient * float("nan") if trainer.step == 12 else gradient)

    config = override(config, {"max_skipped_steps": 0, "data": {"valid": ""}})
    once, later = both(config, tmp_path, with_bad_gradient, TrainingDiverged)
    assert "the first tensor that is not finite is the gradient of layers.1.ffn.w1.weight" in once[2]
    assert once[2] == later[2]
    assert same(once[0], later[0])


def test_a_loss_above_the_bound_stops_all_later_updates(config, tmp_path):
    changes = {"max_loss": 1.0, "max_loss_steps": 4, "schedule": {"warmup": 12}, "data": {"valid": ""}}
    once, later = both(override(config, changes), tmp_path, error=TrainingDiverged)
    assert once[2] == later[2]
    assert once[2].startswith("step 16: loss ")
    assert once[3] == later[3] == 16
    assert same(once[0], later[0])


def test_a_step_that_is_not_finite_does_not_end_the_count_of_losses_above_the_bound(config, tmp_path):
    changes = {"max_loss": 1.0, "max_loss_steps": 4, "schedule": {"warmup": 12}, "data": {"valid": ""}}
    with pytest.warns(UserWarning, match="is skipped"):
        once, later = both(override(config, changes), tmp_path, lambda t: poison(t, {14}), TrainingDiverged)
    assert once[2:4] == later[2:4]
    assert once[3] == 16
    assert same(once[0], later[0])


def test_counts_go_on_after_a_resume(config, tmp_path):
    """The checkpoint of step 15 has one skipped step in a row."""
    config = override(config, {"max_skipped_steps": 2, "data": {"valid": ""}})
    found = []
    for defers in (False, True):
        folder = tmp_path / str(defers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with begun(config, folder, defers=defers) as trainer:
                poison(trainer, {15})
                trainer.run(on_step=lambda step: step.step == 15 and os.kill(os.getpid(), signal.SIGINT))
            with begun(config, folder, defers=defers, resume=True) as trainer:
                assert (trainer.step, trainer.progress.skipped) == (15, 1)
                poison(trainer, {16, 17})
                with pytest.raises(TrainingDiverged) as caught:
                    trainer.run()
        found.append((weights(trainer), str(caught.value)))
    assert found[1][1].startswith("step 17: loss nan, gradient norm nan, after 2 skipped steps")
    assert found[0][1] == found[1][1]
    assert same(found[0][0], found[1][0])


def with_prefetch(trainer: Trainer) -> None:
    trainer._prefetch = Prefetch(trainer.batches, slice(None), torch.device("cpu"))


def test_an_id_beyond_the_vocabulary_changes_nothing_and_is_named(config, tmp_path):
    found = {}
    for bad in (False, True):
        with begun(override(config, {"data": {"valid": ""}}), tmp_path / str(bad), defers=True) as trainer:
            with_prefetch(trainer)
            starts = [trainer.batches.starts(step) for step in range(30)]
            # A place that the batch of step 14 has, and no earlier one.
            place = next(
                int(start) for start in starts[13] if all((abs(earlier - start) > 16).all() for earlier in starts[:13])
            )
            dataset = np.array(trainer.batches.dataset)
            dataset[place] = 5000 if bad else dataset[place]
            trainer.batches.dataset = dataset
            with_prefetch(trainer)
            if bad:
                with pytest.raises(TokenFileError, match=f"token {place:,} of the training file is 5,000, and model"):
                    trainer.run()
                assert trainer.step == 13
            else:
                trainer.run(on_step=lambda step: found.update(expected=weights(trainer)) if step.step == 13 else None)
            found[bad] = weights(trainer)
    assert same(found[True], found["expected"])
    assert not same(found[True], found[False])
    assert [r for r in records(tmp_path / "True") if r["kind"] == "skip"] == []


def test_batches_that_are_fetched_ahead_are_those_of_the_run(config, tmp_path):
    config = override(config, {"data": {"valid": ""}})
    results = []
    for name, prepare in (("plain", lambda trainer: None), ("ahead", with_prefetch)):
        with begun(config, tmp_path / name, defers=name == "ahead") as trainer:
            prepare(trainer)
            trainer.run()
            results.append(weights(trainer))
    assert same(*results)
    assert records(tmp_path / "plain") == records(tmp_path / "ahead")


def test_clipping_within_the_optimizers_pass_is_clipping_before_it(config, tmp_path):
    config = override(config, {"optimizer": {"max_l2_norm": 0.1}, "data": {"valid": ""}})
    found = []
    for divides in (False, True):
        with begun(config, tmp_path / str(divides), defers=divides) as trainer:
            trainer._steps.divides_gradients = divides
            trainer.run()
            found.append(weights(trainer))
    assert not same(*found), "dividing rounds otherwise than multiplying"
    assert all(torch.allclose(found[0][name], found[1][name], atol=1e-5) for name in found[0])


@pytest.mark.parametrize("reason", ["signal", "time"])
def test_a_signal_and_the_end_of_time_need_no_log_step(config, tmp_path, monkeypatch, reason):
    config = override(config, {"log_every": 1000, "data": {"valid": ""}, "checkpoint_every": 1000})
    config = override(config, {"max_time": 1000.0 if reason == "time" else 0.0})
    with begun(config, tmp_path / "run", defers=True) as trainer:
        step = trainer._train_step

        def watched(x, y):
            if trainer.step == 6 and reason == "signal":
                os.kill(os.getpid(), signal.SIGTERM)
            if trainer.step == 6 and reason == "time":
                trainer._start -= 1000
            return step(x, y)

        trainer._train_step = watched
        result: TrainResult = trainer.run()
    assert (result.reason, result.step) == (reason, 7)
    assert [path.name for path in find_checkpoints(tmp_path / "run" / "checkpoints")] == ["step-00000007"]


def test_a_step_that_is_shown_is_read_at_once(config, tmp_path):
    seen = []
    with begun(override(config, {"data": {"valid": ""}}), tmp_path / "run", defers=True) as trainer:
        trainer.run(on_step=lambda step: seen.append((step.step, trainer.step)))
    assert seen == [(step, step) for step in range(1, 31)]
