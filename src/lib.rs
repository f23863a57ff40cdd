/*!
Byte-level BPE: fast training and encoding with exact results.

Text enters at the top of this table; a tokenizer and files of token ids come out at the bottom. The modules
that serve several rows follow below it.

| stage | type | where | entry point |
| --- | --- | --- | --- |
| text | [`Corpus`](corpus::Corpus) | [`corpus`] | open files, streams, JSON lines and tables, or take texts; chunks are cut where no pretoken is split |
| | [`SpecialTokens`](special_tokens::SpecialTokens) | [`special_tokens`] | split a text at its special tokens |
| pretokens | [`Pattern`](pretokenize::Pattern) | [`pretokenize`] | the ranges of a text's pretokens |
| counts | [`PretokenCounts`](counts::PretokenCounts) | [`counts`] | [`count_pretokens`](counts::count_pretokens), in parallel |
| count file | [`Header`](count_file::Header) | [`count_file`], [`count_corpus`](mod@count_corpus) | [`count_corpus`](count_corpus::count_corpus): a corpus, or a shard of it; [`add_counts`](count_corpus::add_counts) |
| merges | [`Merges`](merges::Merges) | [`merges`] | [`learn_merges`](merges::learn_merges) from counts |
| vocabulary | [`Vocab`](vocab::Vocab) | [`vocab`] | the bytes of a token id |
| one text's ids | [`TokenId`](token_id::TokenId) | [`encode`] | used through the tokenizer |
| tokenizer | [`Tokenizer`](tokenizer::Tokenizer) | [`tokenizer`] | [`encode`](tokenizer::Tokenizer::encode) and [`decode`](tokenizer::Tokenizer::decode) one text |
| training | [`train_bpe`](train_bpe::train_bpe) | [`train_bpe`](mod@train_bpe) | from a corpus to a vocabulary and merges, or from a tokenizer to a larger one; [`training`] is the record of it, and [`truncate`] cuts both |
| ids with places | [`WithOffsets`](encode_offsets::WithOffsets) | [`encode_offsets`] | one text, and where each token is in it |
| many texts' ids | [`Batch`](encode_batch::Batch) | [`encode_batch`](mod@encode_batch), [`encode_stream`], [`encode_corpus`], [`decode`] | texts in memory, a text that arrives in chunks, a corpus in order; ids that arrive one by one |
| token file | [`Manifest`](token_file::Manifest) | [`token_file`] | [`encode_file`](token_file::encode_file): a corpus on disk, which can be killed and resumed |
| tokenizer files | | [`formats`] | vocab.json + merges.txt, tokenizer.json, tokenizer.tiktoken, training.json |

All of them report failures as an [`error`], show progress and stop through a [`job`], and run workers on
[`threads`]. [`isa`] names the instruction set of the inner loops, and [`byte_alphabet`] spells bytes as text.
Three modules stand beside the pipeline: [`sample`] writes stories to train on, and on x86-64 `kernels` and
`decoder` speed up the training of the Python package's language model, and its generation of text, on a CPU.

A module uses only modules above it in the list at the end of this file.

```
use bpe_lm::{corpus::Corpus, job::Job, pretokenize::Pattern, special_tokens::SpecialTokens};
use bpe_lm::{tokenizer::{Special, Tokenizer}, train_bpe::{TrainOptions, train_bpe}};

let corpus = Corpus::from_texts([b"low low low lower<|endoftext|>lowest".to_vec()]);
let special_tokens = SpecialTokens::new(["<|endoftext|>"])?;
let options = TrainOptions::new(261, special_tokens.clone());
let (vocab, merges, _) = train_bpe(&corpus, &options, &Job::default())?;

assert_eq!(merges.as_slice()[..2], [(b'o'.into(), b'w'.into()), (b'l'.into(), 256)]);
let tokens: Vec<&[u8]> = vocab.iter().skip(256).map(|(_, token)| token).collect();
assert_eq!(tokens, [&b"ow"[..], b"low", b" low", b"st", b"<|endoftext|>"]);

let tokenizer = Tokenizer::new(vocab, merges, special_tokens, Pattern::Gpt2)?;
let ids = tokenizer.encode(b"lowest<|endoftext|>", Special::Allow, &Job::default())?;
assert_eq!(ids, [257, u32::from(b'e'), 259, 260]);
assert_eq!(tokenizer.decode(ids)?, b"lowest<|endoftext|>");
# Ok::<(), bpe_lm::error::Error>(())
```
*/

pub mod error;
mod sync;
mod panics;
pub mod job;
pub mod threads;
#[cfg(test)]
mod testing;
mod output;
mod json;
mod prefetch;
mod large_pages;
mod lines;
mod hash_seed;
mod room;
pub mod isa;
pub mod token_id;
pub mod byte_alphabet;
pub mod special_tokens;
pub mod pretokenize;
mod pretoken_key;
pub mod corpus;
pub mod count_file;
pub mod counts;
pub mod count_corpus;
pub mod merges;
pub mod vocab;
pub mod training;
pub mod encode;
pub mod tokenizer;
mod extension;
pub mod truncate;
pub mod train_bpe;
pub mod encode_batch;
pub mod encode_offsets;
pub mod encode_stream;
pub mod encode_corpus;
pub mod decode;
pub mod token_file;
pub mod formats;
pub mod sample;
#[cfg(target_arch = "x86_64")]
pub mod kernels;
#[cfg(target_arch = "x86_64")]
pub mod decoder;
#[cfg(feature = "python")]
mod python;
