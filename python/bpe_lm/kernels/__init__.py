"""Fast forms of the formulas in `bpe_lm.model`, and the cases for which each form is used.

| operation | fast form | used for |
| --- | --- | --- |
| linear | all threads on one row | one row on a CPU, without gradients |
| linear | oneDNN | float32 on a CPU with AVX512-BF16, from 2^24 multiplications on |
| embedding | an operator that a compiler leaves whole | a CPU, with gradients or under a compiler |
| fused_attention | src/kernels/attention.rs | self-attention on a CPU with AVX512-BF16 |
| fast_causal_attention | torch's `scaled_dot_product_attention` | every other attention |
| cross_entropy | chunks of logits | every linear head with its loss |
| cross_entropy | src/kernels/cross_entropy.rs, within a chunk | a CPU with AVX512-BF16 |

In all other cases, torch computes the formula itself. `implementation="reference"` asks for the formulas of attention
and of the loss everywhere. `fused_attention` also rotates queries and keys, so rotation has no form of its own.

Private functions of torch, which may change in its next version, are called only in this folder.
"""
