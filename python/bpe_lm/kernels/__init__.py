"""Fast forms of the formulas in `bpe_lm.model`, and the cases for which each form is used.

The operations that have several forms on one machine are linear, products, attention and loss. `choices.TABLE` lists
their forms: what each needs, and the measurement that decided it. `bpe-lm doctor` prints the table. The others have one
form for each kind of device:

| operation | fast form | used for |
| --- | --- | --- |
| linear | all threads on one row | one row on a CPU, without gradients |
| embedding | an operator that a compiler leaves whole | a CPU, or CUDA if deterministic; with gradients or compiled |
| split_and_rotate | triton_rotation.py | self-attention with rotation on an NVIDIA GPU from Ampere on |
| next_logits | src/decoder, a whole model in one call | up to 16 texts that grow by a token, on a CPU with AVX2 |
| fused_rms_norm, fused_silu | torch's operators | CUDA |

In all other cases, torch computes the formula itself. `implementation="reference"` asks for the formulas of attention
and of the loss everywhere. The kernels in Triton take float32 and bfloat16. gpu_attention.py says which kernels of
torch compute attention, and which of them give equal bits in each run; attention_times.py measures them and the one in
Triton.

Private functions of torch, which may change in its next version, are called only in this folder.
"""
