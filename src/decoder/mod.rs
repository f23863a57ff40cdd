/*!
The logits of the next token of a few texts, computed by one call on a CPU.

Why not torch's operations? Each matrix is read once for each token, and a model of 23 million parameters is read in
1.4 ms. torch needs some 30 operations a layer around its products, and each costs 2 to 10 microseconds for one row of
numbers; its products of one row use one thread, or half of the memory's speed (benches/record/4-language-model.md).

A token goes through phases. In each the threads share the rows of a matrix, or the heads of the texts ([`task`]). All
texts are computed together, so that a matrix is read once for all of them. A number is summed in the same order
whatever the number of texts and of threads is, so a text has the same logits, to the bit, alone and in a batch.
*/

mod check;
mod dot;
mod isa;
mod lanes;
mod step;
mod task;

pub use check::{Activation, Block, Model};
pub use isa::{Isa, is_available};
pub use step::logits;
