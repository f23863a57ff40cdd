"""A step: the loss and gradients of a batch, what they measure, and the update of the weights.

Nothing here reads the device, so a GPU computes a step while the host launches the next.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn

from bpe_lm.kernels.forms import form_of
from bpe_lm.model.loss import LanguageModelLoss
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.compilation import compile_blocks, compiled, is_failed_compilation, warn_not_compiled
from bpe_lm.training.config import TrainConfig
from bpe_lm.training.gradients import add_up_gradients, micro_batches
from bpe_lm.training.measures import Measures, Wishes, measured
from bpe_lm.training.optimizers.clipping import clip_within_step, scale_to_norm
from bpe_lm.training.optimizers.registry import new_optimizer
from bpe_lm.training.parallel import World, replicate, shard
from bpe_lm.training.prefetch import Batch
from bpe_lm.training.profiling import phase
from bpe_lm.training.sharded import local_shard
from bpe_lm.training.step_graph import Capture, Pace, StepGraph, capture_cuda, warn_not_captured
from bpe_lm.training.step_guard import StepGuard


class TrainStep:
    """The model of a run, its loss and its optimizer, and what a step does with them.

    `loss_of_step` is the loss as a step calls it: compiled, and with gradients averaged over processes.
    """

    def __init__(self, config: TrainConfig, device: torch.device, world: World):
        """Create everything as it is before the first step. `prepare` must be called before a step."""
        self._config, self._device, self._world = config, device, world
        torch.manual_seed(config.seed)
        self.model = TransformerLM.from_config(config.model, implementation=config.implementation).to(device)
        self.model.checkpoints_activations = config.activation_checkpointing
        self.model.narrows_residual = config.narrows_residual
        self.loss = LanguageModelLoss(self.model, implementation=config.implementation, dtype=config.products_in)
        if self._is_sharded:
            shard(self.loss, world, device.type)
        self.optimizer = new_optimizer(config, self.model, world)
        self.guard = StepGuard(config, config.schedule.lengths(config.steps)[0], device)
        self._is_narrow_on_cpu = device.type == "cpu" and config.products_in == "bfloat16"
        self.divides_gradients = device.type == "cuda" or self._is_narrow_on_cpu
        if device.type == "cuda":
            self.optimizer.learning_rate = torch.zeros((), device=device)
        self._pace, self._graph_pays = Pace(), False
        self._graph: StepGraph | None = None
        self.capture: Capture | None = capture_cuda if self._can_be_captured else None
        self._is_compiled, self._has_stepped = False, False
        self._compiled_for_validation: nn.Module | None = None

    def prepare(self) -> None:
        """Compile the loss if the config asks for it, once the weights are those that the run begins with."""
        self._is_compiled = self._config.is_compiled
        self.loss_of_step = self._new_loss_of_step()

    @property
    def _is_sharded(self) -> bool:
        return self._config.parallel == "fsdp" and self._world.size > 1

    @property
    def _can_be_captured(self) -> bool:
        """Whether a step does nothing on the host that changes from step to step."""
        config = self._config
        is_alone = self._device.type == "cuda" and self._world.size == 1
        is_fused = config.implementation == "fast" and config.optimizer.name != "sgd"
        return is_alone and is_fused and not config.activation_checkpointing

    def _new_loss_of_step(self) -> Any:
        loss: nn.Module = self.loss
        if self._is_sharded:
            self._is_compiled = self._is_compiled and compile_blocks(self.model)
            return loss
        if self._config.parallel == "ddp" and self._world.size > 1:
            loss = replicate(loss)
        if self._is_compiled:
            result = compiled(loss)
            self._is_compiled = result is not None
            loss = loss if result is None else result
        return loss

    def micro_batches(self, x: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Split a batch into the micro-batches of the config."""
        return micro_batches(x, y, self._config.micro_batch_size)

    def gradients(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute the gradients of these rows, and return their loss. If the compiler fails at first, go on eagerly."""
        try:
            total = self._added_up_gradients(x, y)
        except Exception as error:
            # Other processes may have compiled without an error, and wait for this one.
            may_go_on = self._is_compiled and not self._has_stepped and self._world.size == 1
            if not (may_go_on and is_failed_compilation(error)):
                raise
            warn_not_compiled(error)
            self._is_compiled = False
            self.loss_of_step = self._new_loss_of_step()
            total = self._added_up_gradients(x, y)
        self._has_stepped = True
        return total

    def _added_up_gradients(self, x: Tensor, y: Tensor) -> Tensor:
        config, batches = self._config, self.micro_batches(x, y)
        self.optimizer.zero_grad(set_to_none=True)
        # A compiler casts within its graph, activation checkpointing casts again, and FSDP gathers bfloat16.
        is_plain = not (self._is_compiled or config.activation_checkpointing or self._is_sharded)
        casts_once = config.dtype == "bfloat16" and len(batches) > 1 and is_plain
        return add_up_gradients(self.loss_of_step, batches, casts_once=casts_once)

    def measures(self, total: Tensor, has_bad_ids: Tensor | None, wishes: Wishes) -> Measures:
        """Measure the step whose gradients the weights have. `total` is the loss of this process's rows."""
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        with phase("clip"):
            return measured(
                total,
                gradients,
                self._world,
                has_bad_ids=has_bad_ids,
                wishes=wishes,
                is_fast=self._is_narrow_on_cpu and form_of("layers", "cpu") == "avx512",
            )

    def __call__(self, step: int, batch: Batch, learning_rate: float, wishes: Wishes) -> Measures:
        """Launch an update of the weights. If loss or norm is not finite, nothing changes."""
        self.optimizer.set_learning_rate(learning_rate)
        if self._graph is None and self._graph_pays:
            self._capture(step, batch)
        if self._graph is not None:
            return self._graph(batch)
        start = time.perf_counter()
        measures = self._launch(step, batch, wishes)
        self._pace.launched(time.perf_counter() - start)
        return measures

    def note_speed(self, steps: int, seconds: float) -> None:
        """Take the time of the steps since the last read, which decides whether the next steps are a CUDA graph."""
        self._graph_pays = self._pace.read(steps, seconds)

    def use_graph(self) -> None:
        """Capture the next step, whatever the host's share of a step is. A step must have been done before."""
        self._graph_pays = True

    @property
    def is_graph(self) -> bool:
        """Whether steps are replays of a CUDA graph. A replay runs no Python, and so no hook of a module."""
        return self._graph is not None

    def drop_graph(self) -> bool:
        """Launch each further step, so that the memory of the graph is free. Returns whether there was one.

        The weights' gradients keep theirs until the next step.
        """
        was_graph, self._graph, self.capture = self.is_graph, None, None
        return was_graph

    def _launch(self, step: int, batch: Batch, wishes: Wishes | None = None) -> Measures:
        total = self.gradients(batch.inputs, batch.targets)
        measures = self.measures(total, batch.has_bad_ids, wishes or Wishes())
        with phase("clip"):
            self.optimizer.found_inf = self.guard.check(step, measures)
            self._clip(measures.norm)
        with phase("optimizer"):
            self.optimizer.step()
        return measures

    def _capture(self, step: int, batch: Batch) -> None:
        """Capture a step. If that fails, steps are launched as before."""
        if self.capture is None or (self._config.max_loss and not self.guard.watches_loss(step)):
            return
        self.optimizer.zero_grad(set_to_none=True)  # The memory of the last gradients is free for those of the graph.
        try:
            self._graph = StepGraph(lambda own: self._launch(step, own), batch, self.capture)
        except RuntimeError as error:  # Also where memory is short, although a step needs no more of it than before.
            self.capture = None
            warn_not_captured(error)

    def _clip(self, norm: Tensor) -> None:
        """Clip the gradients: on a GPU and in bfloat16 within the optimizer's pass, in float32 in place before it."""
        max_l2_norm = self._config.optimizer.max_l2_norm or float("inf")
        if self.divides_gradients:
            clip_within_step(self.optimizer, norm, max_l2_norm)
            return
        gradients = [local_shard(p.grad) for p in self.model.parameters() if p.grad is not None]
        scale_to_norm(gradients, norm, max_l2_norm)

    def validation_batch(self) -> tuple[int | None, nn.Module | None]:
        """Return the rows of a validation's batches, and the compiled loss for full ones: on a GPU those of a step.

        On a CPU a validation is eager, with rows of its own choice.
        """
        if self._device.type != "cuda":
            return None, None
        rows = self._config.micro_batch_size or self._config.batch_size // self._world.size
        if not self._is_compiled or self._is_sharded:  # The blocks of a sharded model are compiled themselves.
            return rows, None
        if self._compiled_for_validation is None:
            is_alone = self._world.size == 1
            self._compiled_for_validation = self.loss_of_step if is_alone else compiled(self.loss, begins=False)
        return rows, self._compiled_for_validation
