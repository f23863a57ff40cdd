/*!
Text into pretokens. A pretoken is a stretch of text inside which merges may happen; no merge crosses its borders.

A pattern says where the borders are. `gpt2`, `cl100k` and `o200k` are matched by scanners written by hand, and every other
pattern by a regex engine. All of them work on bytes, give every byte to exactly one pretoken, and use the same classes of
characters ([`char_class`]).
*/

pub mod char_class;
pub mod gpt2;
pub mod cl100k;
pub mod o200k;
pub mod regex;
mod pattern;
mod borders;
pub mod blocks;
mod pretokenizer;

pub use borders::Borders;
pub(crate) use borders::WINDOW;
pub use pattern::{CL100K_PATTERN, GPT2_PATTERN, O200K_PATTERN, Pattern};
pub(crate) use pretokenizer::Pretokenizer;
