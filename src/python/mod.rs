/*!
The Python module `bpe_lm._core`: extract, detach, call one function of the core, convert. Nothing is decided here.
*/

mod batch;
mod convert;
mod counts;
mod error;
mod few;
mod held_text;
mod ids;
mod ints;
#[cfg(target_arch = "x86_64")]
mod kernels;
#[cfg(target_arch = "x86_64")]
mod layers;
mod list_in_pieces;
#[cfg(target_arch = "x86_64")]
mod decoder;
mod machine;
mod memory;
mod module;
mod opener;
mod run;
mod streams;
mod text;
mod token_file;
mod tokenizer;
mod train;
mod unfinished_list;
