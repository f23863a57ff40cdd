"""The tree of a model's parameters, which write-up 2 prints.

Answer: the section builds a model without memory for its weights, and walks its modules. GPT-2 XL with the width of the
handout of 2025 has the 2,127,057,600 parameters that write-up 2 prints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch

from bpe_lm.experiments.blocks import Block, Check, Code, Text
from bpe_lm.experiments.cs336.question import Question
from bpe_lm.experiments.cs336.results import Results
from bpe_lm.experiments.cs336.transformer_accounting import XL, gpt2_models
from bpe_lm.model.config import ModelConfig
from bpe_lm.model.flops import count_parameters
from bpe_lm.model.transformer import TransformerLM
from bpe_lm.training.account import parameter_tree

REPORTED = 2_127_057_600
"""The parameters of GPT-2 XL that write-up 2 prints."""


def tree(config: ModelConfig) -> str:
    """Return the tree of a model that is built without memory for its weights."""
    with torch.device("meta"):
        return "\n".join(parameter_tree(TransformerLM.from_config(config)))


def number_of_parameters(config: ModelConfig) -> int:
    """Count the weights of the modules of a model that is built without memory for them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in TransformerLM.from_config(config).parameters())


def _answer(results: Results) -> Iterable[Block]:
    xl = gpt2_models()[XL]
    wide = replace(xl, d_ff=4 * xl.d_model)
    base = results.setting.base.model
    yield Text(f"{XL} with d_ff = 4 d_model. Write-up 2 prints {REPORTED:,} parameters. Equal layers share a line.")
    yield Code(tree(wide))
    built = number_of_parameters(wide)
    yield Check(f"parameters of the built model, {built:,}", abs(built - count_parameters(wide)), 0.0, "the formula")
    yield Check("the same", abs(built - REPORTED), 0.0, f"write-up 2's {REPORTED:,}")
    yield Text(f"The model of the base run, {count_parameters(base):,} parameters:")
    yield Code(tree(base))


QUESTION = Question(
    row=42,
    name="parameter_tree",
    points=0,
    kind="calculated",
    asked="Print the modules of a model as a tree, with the number of parameters of each.",
    answer=_answer,
)
