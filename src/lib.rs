/*!
Byte-level BPE, trained and used exactly and fast.

Text goes in at the top of this table, a tokenizer and files of token ids come out at the bottom; every module is one of its
nouns.

| stage | type | where | entry point |
| --- | --- | --- | --- |
| text | [`Corpus`](corpus::Corpus) | [`corpus`] | open files, streams, JSON lines, or take texts; chunks cut where no pretoken is split |
| | [`SpecialTokens`](special_tokens::SpecialTokens) | [`special_tokens`] | split a text around them |
| pretokens | [`Pattern`](pretokenize::Pattern) | [`pretokenize`] | the ranges of a text's pretokens |
| counts | [`PretokenCounts`](counts::PretokenCounts) | [`counts`], [`pretoken_table`] | [`count_pretokens`](counts::count_pretokens), in parallel, in one table |
| merges | [`Merges`](merges::Merges) | [`merges`] | [`learn_merges`](merges::learn_merges) from counts |
| vocabulary | [`Vocab`](vocab::Vocab) | [`vocab`] | token id to bytes |
| tokenizer | [`Tokenizer`](tokenizer::Tokenizer) | [`tokenizer`] | all of these, known to fit each other |
| token ids | [`TokenId`](token_id::TokenId) | [`encode`], [`decode`] | [`Tokenizer::encode`](tokenizer::Tokenizer::encode), [`encode_batch`](encode::encode_batch), streams |
| token file | [`Manifest`](token_file::Manifest) | [`token_file`] | [`encode_file`](token_file::encode_file): a corpus on disk, which can be killed and resumed |
| tokenizer files | | [`formats`] | vocab.json + merges.txt, tokenizer.json, tokenizer.tiktoken, training.json |

[`train_bpe`](train_bpe::train_bpe) is the pipeline from text to vocabulary, [`training`] what it
saw on its way, [`sample`] writes stories to try it on,
`kernels` (on x86-64) what the Python package's language model trains with on a CPU,
[`job`] is how long work is watched and stopped, [`error`] how it fails.

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
mod panics;
pub mod job;
pub mod threads;
#[cfg(test)]
mod testing;
pub mod token_id;
pub mod byte_alphabet;
pub mod isa;
pub mod corpus;
pub mod special_tokens;
pub mod pretokenize;
mod prefetch;
mod pretoken_key;
pub mod pretoken_table;
pub mod counts;
pub mod merges;
pub mod vocab;
pub mod training;
pub mod train_bpe;
pub mod encode;
pub mod tokenizer;
pub mod decode;
pub mod token_file;
pub mod formats;
pub mod sample;
#[cfg(target_arch = "x86_64")]
pub mod kernels;
mod output;
mod json;
#[cfg(feature = "python")]
mod python;
