/*!
A corpus into token ids, in order, by any number of workers.

Each worker takes the next chunk and encodes it (`worker`). Chunks are delivered in the order of the corpus
(`in_order`), and a separator is put between files that lack one (`separators`).
*/

mod options;
mod part;
mod separators;
mod in_order;
mod worker;
mod encode;

pub(crate) use encode::encode_corpus;
pub use encode::{Counted, count_tokens};
pub use options::EncodeOptions;
pub(crate) use options::separator_id;
pub(crate) use part::Part;
pub(crate) use separators::{EncodedChunk, Start};
