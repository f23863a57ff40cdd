"""A training step, or another piece of work, of each variant: functions that are called and timed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from bpe_lm.export.llama import llama_state
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.loss import linear_cross_entropy
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.measures import Wishes
from bpe_lm.training.numerics import numerics, prepare
from bpe_lm.training.parallel import World
from bpe_lm.training.prefetch import Batch
from bpe_lm.training.train_step import TrainStep
from torch import Tensor
from torch.nn import functional

from gpu_rows.configs import RATE, Options, config_of
from gpu_rows.variants import NEW_TOKENS, PROMPT, TEXTS, Shape, Variant, shape_of

Step = Callable[[], Tensor | None]

_BEFORE_CAPTURE = 2
"""The steps that are launched before one is captured: they compile, and the optimizer begins its state."""


@dataclass(frozen=True)
class Work:
    """A piece of work that is timed, and the tokens that it computes."""

    step: Step
    tokens: int


def compiled(function: Any, options: Options) -> Any:
    """Compile for fixed shapes; toys on a CPU are traced and not compiled, which would take a minute each."""
    if options.is_quick and options.device == "cpu":
        return torch.compile(function, dynamic=False, backend="eager")
    return torch.compile(function, dynamic=False)


@contextmanager
def prepared(variant: Variant, options: Options) -> Iterator[Work]:
    """Make the work of a variant, and compute as it asks while the context lasts."""
    shape = shape_of(variant.group, is_quick=options.is_quick)
    device = torch.device(options.device)
    config = config_of(variant, options)
    prepare(config, device)
    with ExitStack() as stack:
        stack.enter_context(numerics(config, device))
        torch.manual_seed(1)
        yield _MAKERS[variant.kind](shape, options, variant)


def ids_of(shape: Shape, device: str) -> tuple[Tensor, Tensor]:
    """Return inputs and targets, the same for all variants."""
    generator = torch.Generator().manual_seed(2)
    size = shape.rows, shape.model.context_length + 1
    ids = torch.randint(shape.model.vocab_size, size, generator=generator).to(device)
    return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def our_model(model: ModelConfig, device: str) -> TransformerLM:
    """Return a model with weights that depend on its config alone."""
    torch.manual_seed(1)
    return TransformerLM.from_config(model).to(device)


def training(loss_of: Any, model: torch.nn.Module, shape: Shape, device: str) -> Work:
    """Return a step by torch's means: loss, gradients, clipping to 1.0, fused AdamW."""
    x, y = ids_of(shape, device)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, RATE, fused=True)

    def step() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.detach()

    return Work(step, shape.tokens)


def ours(shape: Shape, options: Options, variant: Variant) -> Work:
    """The step that the Trainer launches; with another config, torch's loss of all logits, or as a CUDA graph."""
    steps = TrainStep(config_of(variant, options), torch.device(options.device), World())
    steps.prepare()
    if variant.kind == "plain loss":
        steps.loss_of_step = compiled(plain_loss_of(steps.model, options), options)
    batch, done = Batch(*ids_of(shape, options.device)), 0

    def step() -> Tensor:
        nonlocal done
        if variant.kind == "graph" and done == _BEFORE_CAPTURE:
            steps.use_graph()
        loss = steps(done + 1, batch, RATE, Wishes()).loss
        done += 1
        if variant.kind == "graph" and done > _BEFORE_CAPTURE and steps.is_graph != (options.device == "cuda"):
            raise RuntimeError("the step was not captured")
        return loss

    return Work(step, shape.tokens)


def plain_loss_of(model: TransformerLM, options: Options) -> Any:
    """Return torch's loss of all logits of our model, as a function of inputs and targets."""

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(options.device, dtype=torch.bfloat16):
            logits = model.hidden(x) @ model.lm_head.weight.T
            return functional.cross_entropy(logits.float().flatten(0, 1), y.flatten())

    return loss_of


def llama(model: ModelConfig, device: str) -> Any:
    """Return Hugging Face's Llama with our weights, as they are exported."""
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=model.vocab_size,
        hidden_size=model.d_model,
        intermediate_size=model.d_ff,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_heads,
        max_position_embeddings=model.context_length,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    theirs: Any = transformers.LlamaForCausalLM(config)
    theirs.load_state_dict(llama_state(our_model(model, "cpu")))
    return theirs.to(device)


def gpt2(model: ModelConfig, device: str) -> Any:
    """Return Hugging Face's GPT-2, without dropout."""
    import transformers

    config = transformers.GPT2Config(
        vocab_size=model.vocab_size,
        n_positions=model.context_length,
        n_embd=model.d_model,
        n_layer=model.num_layers,
        n_head=model.num_heads,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
    )
    theirs: Any = transformers.GPT2LMHeadModel(config)
    return theirs.to(device)


def hugging_face(shape: Shape, options: Options, variant: Variant) -> Work:
    """Hugging Face's model, compiled, with torch's loss and fused AdamW."""
    model = (llama if variant.kind == "hf llama" else gpt2)(shape.model, options.device)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(options.device, dtype=torch.bfloat16):
            logits = model(input_ids=x, use_cache=False).logits
            return functional.cross_entropy(logits.float().flatten(0, 1), y.flatten())

    return training(compiled(loss_of, options), model, shape, options.device)


def nanogpt(shape: Shape, options: Options, variant: Variant) -> Work:
    """The classes GPT and GPTConfig of the file that --nanogpt names, as nanoGPT's train.py uses them."""
    spec = importlib.util.spec_from_file_location("nanogpt_model", options.nanogpt)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # A dataclass looks for its module there.
    spec.loader.exec_module(module)
    s = shape.model
    config = module.GPTConfig(
        block_size=s.context_length,
        vocab_size=s.vocab_size,
        n_layer=s.num_layers,
        n_head=s.num_heads,
        n_embd=s.d_model,
        dropout=0.0,
        bias=False,
    )
    model = module.GPT(config).to(options.device)
    called = compiled(model, options)

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast(options.device, dtype=torch.bfloat16):
            return called(x, y)[1]

    return training(loss_of, model, shape, options.device)


def loss_alone(shape: Shape, options: Options, variant: Variant) -> Work:
    """Both passes of the head and the loss."""
    model, device = shape.model, options.device
    hidden = torch.randn(shape.rows, model.context_length, model.d_model, device=device, requires_grad=True)
    weight = torch.nn.Parameter(torch.randn(model.vocab_size, model.d_model, device=device) * 0.02)
    targets = ids_of(shape, device)[1]

    def unfused(h: Tensor, w: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy((h @ w.T).float().flatten(0, 1), y.flatten())

    function: Any = unfused if variant.kind == "loss unfused" else linear_cross_entropy
    called = function if variant.kind == "loss eager" else compiled(function, options)

    def step() -> Tensor:
        hidden.grad = weight.grad = None
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = called(hidden, weight, targets)
        loss.backward()
        return loss.detach()

    return Work(step, shape.tokens)


def prompts_of(shape: Shape, group: str) -> list[list[int]]:
    """Return the prompts of the texts that are generated at a time."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(shape.model.vocab_size, (TEXTS[group], PROMPT), generator=generator).tolist()


def new_tokens(shape: Shape) -> int:
    """Return the tokens of a text that is generated, which fit into the context."""
    return min(NEW_TOKENS, shape.model.context_length - PROMPT)


def generation(shape: Shape, options: Options, variant: Variant) -> Work:
    """Generate texts greedily, in the number format of the weights: float32."""
    from bpe_lm.model.generate import generate_batch, generate_ids

    model, prompts, number = our_model(shape.model, options.device), prompts_of(shape, variant.group), new_tokens(shape)

    def step() -> None:
        if len(prompts) == 1:
            for _ in generate_ids(model, prompts[0], number, temperature=0):
                pass
        else:
            generate_batch(model, prompts, number, temperature=0)

    return Work(step, number * len(prompts))


def hf_generation(shape: Shape, options: Options, variant: Variant) -> Work:
    """Generate the same texts by Hugging Face's generate, with its own cache."""
    model, number = llama(shape.model, options.device).eval(), new_tokens(shape)
    prompts = torch.tensor(prompts_of(shape, variant.group), device=options.device)
    mask = torch.ones_like(prompts)

    def step() -> None:
        with torch.no_grad():
            model.generate(
                input_ids=prompts, attention_mask=mask, max_new_tokens=number, min_new_tokens=number, do_sample=False
            )

    return Work(step, number * len(prompts))


_MAKERS: dict[str, Callable[[Shape, Options, Variant], Work]] = {
    **dict.fromkeys(("ours", "graph", "float32 residual", "deterministic", "plain loss"), ours),
    **dict.fromkeys(("hf gpt2", "hf llama"), hugging_face),
    "nanogpt": nanogpt,
    **dict.fromkeys(("loss eager", "loss compiled", "loss unfused"), loss_alone),
    "generation": generation,
    "hf generation": hf_generation,
}
