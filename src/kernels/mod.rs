/*!
Kernels for training a language model on a CPU, for the two operations in which torch leaves half of the CPU
idle.

Products of large matrices run near the cores' limit in torch already. The rest of a step consists of operations of about
a millisecond that each read and write whole tensors. Two places are worth a kernel (benches/record/4-language-model.md):
attention, between the product that makes queries, keys and values and the product that takes the heads' outputs; and the
loss, from logits to their gradient.

With AMX a third is worth it: products of bfloat16 whose terms lie across the rows in memory, as in the gradient of a weight
(benches/record/6-gpu-and-intel.md).

In a run in bfloat16 the layers between the products are worth kernels too: the norms with the residual's addition, and the middle
of a SwiGLU. So is the norm of all gradients. The compiler and torch pass over the same rows several times there.

The kernels work on slices of [`Element`]s, float32 or bfloat16, and sum in float32. They need AVX-512 and its products of
bfloat16 ([`are_available`]), and attention uses AMX where it is given. On other machines torch does this work too.
*/

mod amx;
pub mod attention;
pub mod cross_entropy;
mod element;
mod head;
mod lanes;
mod machine;
pub mod norm;
#[cfg_attr(not(target_os = "linux"), path = "no_open_mp.rs")]
mod open_mp;
mod operand;
mod panels;
pub mod product;
mod rotation;
mod rows;
mod shape;
mod sources;
pub mod squares;
pub mod swiglu;
mod team;
mod tiles;

pub use amx::Amx;
pub use element::{Bf16, Element};
pub use machine::are_available;
pub use open_mp::path as open_mp_library;
pub use panels::{Matrix, Numbers};
pub use rotation::Angles;
pub use shape::Shape;
pub use sources::sources_sha256;
pub(crate) use team::for_each;
