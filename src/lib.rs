/*!
Byte-level BPE, trained exactly and fast.

Text goes in at the top of this table and a tokenizer comes out at the bottom; every module is one of its nouns.

| stage | type | where | entry point |
| --- | --- | --- | --- |
| text | [`Corpus`](corpus::Corpus) | [`corpus`] | open files, streams, JSON lines, or take texts; chunks cut where no pretoken is split |
| | [`SpecialTokens`](special_tokens::SpecialTokens) | [`special_tokens`] | split a text around them |
| pretokens | [`Pattern`](pretokenize::Pattern) | [`pretokenize`] | the ranges of a text's pretokens |
| counts | [`PretokenCounts`](counts::PretokenCounts) | [`counts`], [`pretoken_table`] | [`count_pretokens`](counts::count_pretokens), in parallel, in one table |
| merges | [`Merges`](merges::Merges) | [`merges`] | [`learn_merges`](merges::learn_merges) from counts |
| vocabulary | [`Vocab`](vocab::Vocab) | [`vocab`] | token id to bytes |
| tokenizer | [`Tokenizer`](tokenizer::Tokenizer) | [`tokenizer`], [`encode`] | all of these, known to fit each other |
| files | | [`formats`] | vocab.json + merges.txt, tokenizer.json, tokenizer.tiktoken, training.json |

[`train_bpe`](train_bpe::train_bpe) is the pipeline from text to vocabulary, [`training`] what it
saw on its way, [`sample`] writes stories to try it on,
[`job`] is how long work is watched and stopped, [`error`] how it fails.

```
use bpe_lm::{corpus::Corpus, job::Job, special_tokens::SpecialTokens, train_bpe::{TrainOptions, train_bpe}};

let corpus = Corpus::from_texts([b"low low low lower<|endoftext|>lowest".to_vec()]);
let special_tokens = SpecialTokens::new(["<|endoftext|>"])?;
let (vocab, merges, _) = train_bpe(&corpus, &TrainOptions::new(261, special_tokens), &Job::default())?;

assert_eq!(merges.as_slice()[..2], [(b'o'.into(), b'w'.into()), (b'l'.into(), 256)]);
let tokens: Vec<&[u8]> = vocab.iter().skip(256).collect();
assert_eq!(tokens, [&b"ow"[..], b"low", b" low", b"st", b"<|endoftext|>"]);
# Ok::<(), bpe_lm::error::Error>(())
```
*/

pub mod corpus;
pub mod special_tokens;
pub mod pretokenize;
mod prefetch;
pub mod pretoken_table;
pub mod counts;
pub mod merges;
pub mod vocab;
pub mod training;
pub mod train_bpe;
pub mod tokenizer;
pub mod encode;
pub mod formats;
pub mod sample;
pub mod job;
pub mod error;
#[cfg(feature = "python")]
mod python;
