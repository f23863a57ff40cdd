"""What "auto" stands for, that a run keeps it, and what a resumed run takes or refuses."""

import dataclasses
import json

import pytest
import torch
from bpe_lm.errors import ConfigError, InternalError, ResumeMismatch
from bpe_lm.kernels import choices
from bpe_lm.kernels.attention_times import AttentionTimes
from bpe_lm.kernels.choices import OPERATIONS, TABLE, Kernels, forms_here, using
from bpe_lm.kernels.forms import form_of
from bpe_lm.training import automatic, trainer
from bpe_lm.training.automatic import as_asked, automatic_keys, check_can_run, resolve_auto, taken_from
from bpe_lm.training.config import TrainConfig, override
from bpe_lm.training.identity import planned_identity
from bpe_lm.training.numerics import numerics
from bpe_lm.training.presets import PRESETS, resolve
from bpe_lm.training.run_folder import Chosen
from bpe_lm.training.trainer import Trainer

CPU, CUDA, MPS = map(torch.device, ("cpu", "cuda", "mps"))
AUTO = {"dtype": "auto", "residual": "auto", "compile": "auto"}
CONSTANT = {"schedule": {"shape": "constant", "warmup": 1}}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(trainer, "peak_flops", lambda device, dtype: None)


@pytest.fixture
def products(monkeypatch):
    """Set the seconds of a matrix product in each format, as a machine would have them."""

    def times(float32: float, bfloat16: float) -> None:
        seconds = {torch.float32: float32, torch.bfloat16: bfloat16}
        monkeypatch.setattr(automatic, "_seconds_of_product", seconds.__getitem__)

    return times


@pytest.fixture
def gpu(monkeypatch):
    """Set the compute capability of the GPU that the machine seems to have."""

    def of(major: int, minor: int) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))
        monkeypatch.setattr(
            automatic, "measure_attention", lambda *_, **__: AttentionTimes("cudnn", {"cudnn": 1e-4}, {})
        )

    return of


@pytest.fixture
def config(data) -> TrainConfig:
    files = {"train": str(data / "train.bin"), "valid": str(data / "valid.bin")}
    return override(
        resolve("debug"), {"data": files, "device": "cpu", "steps": 4, "checkpoint_every": 2} | AUTO | CONSTANT
    )


def run(config: TrainConfig, folder, **options):
    with Trainer(config, folder, **options) as it:
        it.run()
        return it


def test_nothing_is_left_to_choose_after_it_was_resolved(config):
    for preset in PRESETS:
        resolved = resolve_auto(resolve(preset), CPU)
        assert automatic_keys(resolved.config) == []
        assert sorted(resolved.reasons) == sorted(automatic_keys(resolve(preset)))
        assert all(resolved.reasons.values())
        check_can_run(resolved.config, CPU)
        assert as_asked(resolved.config, automatic_keys(resolve(preset))) == resolve(preset)


def test_a_cpu_takes_bfloat16_where_its_products_are_faster(config, products):
    for float32, bfloat16, expected in ((4.0, 1.0, "bfloat16"), (1.0, 1.0, "float32"), (1.1, 1.0, "float32")):
        products(float32, bfloat16)
        assert resolve_auto(config, CPU).config.dtype == expected
    asked = override(config, {"dtype": "float32"})
    products(4.0, 1.0)
    assert resolve_auto(asked, CPU).config.dtype == "float32"
    assert resolve_auto(override(config, {"implementation": "reference"}), CPU).config.dtype == "float32"


def test_a_gpu_takes_the_fastest_attention_and_a_rule_with_deterministic(config, gpu):
    gpu(9, 0)
    found = resolve_auto(config, CUDA)
    assert found.config.kernels.attention == "cudnn"
    assert "cudnn 100" in found.reasons["kernels.attention"]
    assert resolve_auto(override(config, {"deterministic": True}), CUDA).config.kernels.attention == "flash"
    wide = override(config, {"deterministic": True, "dtype": "float32"})
    assert resolve_auto(wide, CUDA).config.kernels.attention == "efficient"


def test_with_deterministic_nothing_is_measured(config, monkeypatch):
    for name in ("_seconds_of_product", "faster_float32_library", "measure_attention"):
        monkeypatch.setattr(automatic, name, lambda *_, **__: pytest.fail("a time was measured"))
    found = [resolve_auto(override(config, {"deterministic": True}), CPU).config for _ in range(2)]
    assert found[0] == found[1]


def test_a_gpu_takes_bfloat16_from_ampere_on_and_apples_never(config, gpu):
    gpu(8, 0)
    assert resolve_auto(config, CUDA).config.dtype == "bfloat16"
    gpu(7, 5)
    found = resolve_auto(config, CUDA)
    assert found.config.dtype == "float32"
    assert "7.5" in found.reasons["dtype"]
    with pytest.raises(ConfigError, match=r"dtype is bfloat16, which this GPU lacks: its compute capability is 7\.5"):
        check_can_run(override(found.config, {"dtype": "bfloat16"}), CUDA)
    long = resolve_auto(override(config, {"steps": 10**9}), MPS)
    assert (long.config.dtype, long.config.compile) == ("float32", False)


@pytest.mark.parametrize(
    ("device", "dtype", "expected"),
    [
        (CUDA, "bfloat16", "bfloat16"),
        (CUDA, "float32", "float32"),
        (CPU, "bfloat16", "float32"),
        (CPU, "float32", "float32"),
        (MPS, "bfloat16", "float32"),
    ],
)
def test_a_residual_stream_is_narrow_on_a_gpu_in_a_run_in_bfloat16(config, device, dtype, expected, gpu):
    gpu(9, 0)
    found = resolve_auto(override(config, {"dtype": dtype}), device)
    assert found.config.residual == expected
    assert found.config.narrows_residual == (expected == "bfloat16")
    assert found.reasons["residual"]
    for asked in ("float32", "bfloat16"):
        assert resolve_auto(override(config, {"dtype": dtype, "residual": asked}), device).config.residual == asked


def test_no_model_is_made_for_a_residual_stream_that_is_left_to_choose(config):
    with pytest.raises(InternalError, match="residual is auto"):
        assert config.narrows_residual


@pytest.mark.parametrize("began", ["float32", "bfloat16"])
def test_a_residual_stream_stays_as_the_run_began(config, tmp_path, monkeypatch, began):
    """Also where another one would be chosen now, and after a step to another kind of device."""
    narrow = override(config, {"dtype": "bfloat16"})
    monkeypatch.setattr(automatic, "_residual", lambda *_: (began, "so"))
    first = run(narrow, tmp_path / "run")
    assert json.loads((tmp_path / "run" / "config.json").read_text())["residual"] == began
    other = "bfloat16" if began == "float32" else "float32"
    monkeypatch.setattr(automatic, "_residual", lambda *_: (other, "so"))
    again = run(override(narrow, {"steps": 6}), tmp_path / "run", resume=True)
    assert again.model.narrows_residual == first.model.narrows_residual == (began == "bfloat16")
    assert run(narrow, tmp_path / "new").model.narrows_residual != first.model.narrows_residual
    old = TrainConfig.load(tmp_path / "run" / "config.json")
    assert taken_from(narrow, old, CUDA, on_same_device=False).residual == began
    with pytest.raises(ResumeMismatch, match=f"residual was '{began}' and is '{other}'"):
        run(override(narrow, {"steps": 8, "residual": other}), tmp_path / "run", resume=True)


def test_a_run_that_began_before_residual_was_a_key_goes_on_in_float32(config, tmp_path, monkeypatch):
    config = override(config, {"dtype": "bfloat16", "residual": "float32"})
    straight = run(override(config, {"steps": 6}), tmp_path / "straight").model.state_dict()
    run(config, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    del content["residual"]
    path.write_text(json.dumps(content))
    monkeypatch.setattr(automatic, "_residual", lambda *_: pytest.fail("a stream was chosen"))
    later = override(config, {"steps": 6, "residual": "auto"})
    again = run(later, tmp_path / "run", resume=True)
    assert again.config.residual == "float32"
    assert all(torch.equal(tensor, straight[name]) for name, tensor in again.model.state_dict().items())


@pytest.mark.parametrize(
    ("flags", "device", "expected"),
    [
        (["demo"], CPU, False),
        (["tinystories"], CPU, True),
        (["tinystories", "--steps", "10", "--schedule.warmup", "0"], CPU, False),
        (["tinystories"], CUDA, True),
        (["tinystories-low-resource"], CUDA, True),
        (["demo"], CUDA, False),
        (["gpt2-xl", "--steps", "100"], CUDA, True),
        (["tinystories", "--implementation", "reference"], CPU, False),
        (["tinystories", "--compile", "false"], CPU, False),
        (["demo", "--compile"], CPU, True),
    ],
)
def test_long_runs_are_compiled(flags, device, expected, gpu):
    gpu(9, 0)
    assert resolve_auto(resolve(flags[0], flags[1:]), device).config.compile is expected


def test_a_run_keeps_what_was_chosen_and_goes_on_with_it(config, tmp_path, products):
    products(9.0, 1.0)
    first = run(config, tmp_path / "run")
    content = json.loads((tmp_path / "run" / "config.json").read_text())
    assert content["dtype"] == "bfloat16"
    assert content["compile"] is False
    assert "auto" not in content["kernels"].values()
    assert content["chosen"] == {"device": "cpu", "keys": automatic_keys(config)}
    record = json.loads((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert record["chosen"].keys() == set(automatic_keys(config))
    products(1.0, 1.0)  # Another machine, on which bfloat16 is not faster.
    again = run(override(config, {"steps": 6}), tmp_path / "run", resume=True)
    assert again.config.dtype == "bfloat16"
    assert again.config.kernels == first.config.kernels
    with pytest.raises(ResumeMismatch, match="dtype was 'bfloat16' and is 'float32'"):
        run(override(config, {"steps": 8, "dtype": "float32"}), tmp_path / "run", resume=True)


def test_the_identity_of_a_run_is_that_of_its_plan_also_after_a_resume(config, tmp_path):
    planned = planned_identity(config)
    first = run(config, tmp_path / "run")
    assert first.result.identity == planned
    from_folder = resolve(str(tmp_path / "run"), ["--steps", "6"])
    assert from_folder.dtype != "auto"
    again = run(from_folder, tmp_path / "run", resume=True)
    assert again.result.identity["config"] != planned["config"]  # It has more steps.
    longer = planned_identity(override(config, {"steps": 6}))
    straight = run(override(config, {"steps": 6}), tmp_path / "straight")
    assert straight.result.identity == longer


def test_a_run_killed_before_its_end_and_resumed_from_its_folder_is_the_planned_one(config, tmp_path):
    def stop(step):
        if step.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Trainer(config, tmp_path / "run") as it:
        it.run(on_step=stop)
    again = run(resolve(str(tmp_path / "run")), tmp_path / "run", resume=True)
    assert again.result.identity == planned_identity(config)


def test_a_kernel_that_the_machine_lacks_is_refused_by_name(config, tmp_path, monkeypatch):
    table = [dataclasses.replace(form, is_here=lambda: True) for form in TABLE]
    monkeypatch.setattr(choices, "TABLE", table)
    choices.preferred.cache_clear()
    had = override(config, {"kernels": dict.fromkeys(OPERATIONS, "torch") | {"attention": "avx512"}})
    folder = tmp_path / "run"
    resolved = resolve_auto(had, CPU).config
    lacking = [dataclasses.replace(form, is_here=lambda form=form: form.name == "torch") for form in TABLE]
    monkeypatch.setattr(choices, "TABLE", lacking)
    choices.preferred.cache_clear()
    with pytest.raises(
        ConfigError, match="kernels.attention is avx512, which needs .*; give --kernels.attention torch"
    ):
        check_can_run(resolved, CPU)
    with pytest.raises(ConfigError, match="kernels.attention is avx512"):
        run(had, folder)
    assert not (folder / "config.json").exists()
    choices.preferred.cache_clear()


def test_without_a_compiler_nothing_is_compiled_and_no_compiled_run_goes_on(config, monkeypatch):
    long = resolve("tinystories")
    old = override(config, {"compile": True, "dtype": "float32"})
    assert taken_from(config, old, CPU, on_same_device=True).compile is True
    monkeypatch.setattr(automatic.shutil, "which", lambda name: None)
    found = resolve_auto(long, CPU)
    assert (found.config.compile, "no compiler" in found.reasons["compile"]) == (False, True)
    with pytest.raises(ConfigError, match="compile is true since the run began, .* give --compile false"):
        taken_from(config, old, CPU, on_same_device=True)
    asked = override(config, {"compile": False})
    assert taken_from(asked, old, CPU, on_same_device=True).compile is False


def test_on_another_kind_of_device_kernels_are_chosen_anew(config):
    old = override(config, {"dtype": "bfloat16", "compile": True, "kernels": {"attention": "avx512"}})
    same = taken_from(config, old, CPU, on_same_device=True)
    other = taken_from(config, old, CPU, on_same_device=False)
    assert (same.dtype, same.compile, same.kernels.attention) == ("bfloat16", True, "avx512")
    assert (other.dtype, other.compile, other.kernels.attention) == ("bfloat16", True, "auto")
    asked = taken_from(override(config, {"kernels": {"attention": "torch"}}), old, CPU, on_same_device=True)
    assert asked.kernels.attention == "torch"


def test_a_run_of_an_older_version_goes_on(config, tmp_path):
    run(override(config, {"dtype": "float32", "compile": False}), tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text())
    for key in ("chosen", "kernels", "deterministic", "residual"):
        del content[key]
    path.write_text(json.dumps(content))
    assert Chosen.read(path) is None
    again = run(override(config, {"steps": 6}), tmp_path / "run", resume=True)
    assert again.config.dtype == "float32"


@pytest.mark.parametrize("changes", [{"dtype": "float32"}, {"dtype": "bfloat16"}])
def test_deterministic_changes_no_weight_on_a_cpu(config, tmp_path, changes):
    plain = run(override(config, changes), tmp_path / "plain").model.state_dict()
    again = run(override(config, changes | {"deterministic": True}), tmp_path / "again").model.state_dict()
    assert all(torch.equal(plain[name], again[name]) for name in plain)
    assert not torch.are_deterministic_algorithms_enabled()


def test_settings_of_the_process_end_with_the_run(config):
    asked = resolve_auto(override(config, {"deterministic": True, "kernels": {"attention": "torch"}}), CPU).config
    before = form_of("attention", "cpu")
    with numerics(asked, CPU):
        assert torch.are_deterministic_algorithms_enabled()
        assert form_of("attention", "cpu") == "torch"
        with using(Kernels()):
            assert form_of("attention", "cpu") == before
        assert form_of("attention", "cpu") == "torch"
    assert form_of("attention", "cpu") == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_each_operation_has_a_form_for_each_device():
    for operation in OPERATIONS:
        for device in ("cpu", "cuda", "mps"):
            assert "torch" in [form.name for form in forms_here(operation, device)]
    assert {form.operation for form in TABLE} == set(OPERATIONS)


def test_a_residual_stream_in_bfloat16_learns_nearly_the_same(config, tmp_path):
    narrow = override(config, {"dtype": "bfloat16", "steps": 40, "schedule": {"max_learning_rate": 1e-2}})
    wide = run(override(narrow, {"residual": "float32"}), tmp_path / "wide").result.train_loss
    found = run(override(narrow, {"residual": "bfloat16"}), tmp_path / "narrow").result.train_loss
    assert found != wide
    assert found == pytest.approx(wide, abs=0.1)
