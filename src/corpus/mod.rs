/*!
Files, streams and texts, handed out as chunks that can be pretokenized on their own.

Why not cut at newlines, or at a fixed size? Because a pretoken may reach over either: if web text is cut after newlines,
27 % of random cuts change the counts. A chunk ends only where the pattern proves that no pretoken is split, or where a
special token begins, and never inside a special token (`cut.rs`). So the counts are the same for every chunk size and
thread count. Where a stretch has no such place (a line of base64, text without spaces) the chunk grows until it has one.

Why not map the file? Mapped pages count as the process's memory, and a mapped file that shrinks kills the process. Workers
read into buffers that they reuse (`files.rs`).

Tables and files at an address are opened by whoever brings an [`Opener`] (`opener.rs`).
*/

mod chunk;
mod compression;
mod content;
mod cut;
mod delivered;
mod either;
mod files;
mod gzip;
mod jsonl;
mod line_number;
mod name;
mod opener;
mod options;
mod plain;
mod queue;
mod shard;
mod signatures;
mod source;
mod stream;
mod texts;

pub(crate) use chunk::{Chunk, MAX_STRETCH};
pub use chunk::{Limits, Place};
pub(crate) use compression::ZSTD_WINDOW_LOG;
pub(crate) use cut::Cuts;
pub use cut::Cutter;
pub use either::Corpus;
pub use files::Files;
pub use opener::{Column, Delivered, Delivery, Look, Opener, Rows, TableFormat};
pub use options::{BadLines, Format, InputOptions};
pub use shard::Shard;
pub(crate) use source::Buffers;
pub use source::SourceInfo;
pub use texts::Texts;
pub(crate) use texts::chunk_end;
