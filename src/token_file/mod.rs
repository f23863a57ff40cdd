/*!
A corpus as a file of token ids, which survives a crash at any moment.

`OUT` holds nothing but ids, uint16 or uint32, little-endian (with numpy's header if its name ends in .npy), so that anybody
can read it. `OUT.json` beside it says what they are ([`Manifest`]). Until the file is whole its name is `OUT.partial`.

Why is there a journal? Ids are written as they are made, so after a crash nobody knows how much of the file can be trusted.
About once a second everything written so far is synced, and then a line is added to `OUT.partial.journal`: the place in the
sources, the number of ids, their checksums (`journal.rs`). A run that resumes cuts the file back to the last line and goes on
from its place. Ids do not depend on where a text is cut into chunks, so the file becomes the same to the byte. Syncing has a
thread of its own, for which encoding does not wait (`sync.rs`).

Each worker writes its own chunks, so after a crash the file may have a hole (`placed.rs`). A line of the journal never
describes ids behind a hole: it counts a chunk only when all chunks before it are written.

`OUT.idx` says where documents begin (`index.rs`). It is written, synced and resumed like the ids.

`OUT` appears by a rename, after all of it was synced (`replace.rs`). Without an `OUT.json` that fits, no
reader accepts it.
*/

mod dtype;
mod encode_file;
mod index;
mod journal;
mod manifest;
mod npy;
mod options;
mod partial;
mod paths;
mod placed;
mod replace;
mod sync;
mod verify;

pub use dtype::Dtype;
pub use encode_file::encode_file;
pub use index::{HEADER_BYTES as INDEX_HEADER_BYTES, IndexInfo};
pub use manifest::{BLOCK_BYTES, Manifest};
pub use options::TokenFileOptions;
pub use verify::{open, open_index, verify};
