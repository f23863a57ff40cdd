/*!
Text into pretokens. A pretoken is a stretch of text inside which merges may happen; no merge crosses its
borders.

A pattern says where the borders are. The patterns of published tokenizers ([`published`]) and their relatives
([`grammar`]) are matched by scanners written by hand, and every other pattern by a regex engine. All of them work on
bytes, give every byte to exactly one pretoken, and use the same classes of characters ([`char_class`]).
*/

pub mod char_class;
pub mod gpt2;
pub mod grammar;
mod published;
mod runs;
mod letter_words;
mod cased_words;
mod deepseek;
pub mod regex;
mod pattern;
mod borders;
pub mod blocks;
mod pretokenizer;

pub use borders::Borders;
pub(crate) use borders::WINDOW;
pub use pattern::Pattern;
pub(crate) use pretokenizer::Pretokenizer;
pub use published::{
    CL100K_PATTERN, DEEPSEEK_V3_PATTERNS, GPT2_PATTERN, KIMI_K2_PATTERN, LLAMA3_PATTERN, O200K_PATTERN,
    QWEN2_PATTERN, QWEN35_PATTERN, TEKKEN_PATTERN,
};
