/*!
Tokenizers as files: GPT-2's pair (`vocab.json`, `merges.txt`), Hugging Face's `tokenizer.json`, tiktoken's
`tokenizer.tiktoken`; and `training.json`, the statistics of a training.

The first two spell bytes as text in GPT-2's alphabet ([`crate::byte_alphabet`]), and write special tokens as
they are. tokenizer.json lists the special tokens. In GPT-2's pair, a token that is neither a byte nor made by
a merge is special. A .tiktoken file has its special tokens in a file beside it.
*/

mod file_names;
mod from_names;
pub mod gpt2;
mod live_merges;
mod merge_by_rank;
mod oniguruma;
mod read;
mod recover_merges;
mod save;
pub mod tiktoken;
mod token_names;
pub mod tokenizer_json;
pub mod training_json;
mod write_folder;

pub use file_names::*;
pub use save::save;
pub use token_names::check_special_tokens;
