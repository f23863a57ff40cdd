/*!
The entry points: encode a corpus, or only count its tokens.
*/

use super::in_order::InOrder;
use super::options::{EncodeOptions, separator_id};
use super::separators::{EncodedChunk, Receiver, Start};
use super::worker::Worker;
use crate::corpus::Corpus;
use crate::encode::Id;
use crate::error::Error;
use crate::job::{Job, Stage};
use crate::threads::{on_all_threads, with_threads, workers};
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;

/// The maximum number of finished chunks, per worker, that wait for an earlier one.
const AHEAD: usize = 4;

/// Encodes a corpus that is read in order from `start` on. `receive` gets all chunks, in order, and must be
/// quick, because it is called for one chunk at a time. What it returns is called with the chunk's ids, for
/// several chunks at a time and in any order.
///
/// # Errors
/// Those of reading and matching; those of `receive` and of what it returns; [`Error::Option`] for a separator
/// that is missing or not a special token; [`Error::Cancelled`].
pub(crate) fn encode_corpus<T: Id, W: FnOnce(&[T]) -> Result<(), Error>>(
    tokenizer: &Tokenizer,
    corpus: &Corpus,
    options: &EncodeOptions,
    start: Start,
    job: &Job,
    receive: impl FnMut(EncodedChunk<'_, T>) -> Result<W, Error> + Send,
) -> Result<(), Error> {
    let separator = separator_id(tokenizer, corpus, options)?;
    corpus.begin()?;
    let receiver = Receiver { last: start, separator, receive };
    let threads = workers(options.threads, corpus.num_bytes(), options.min_share);
    let order = InOrder::new(receiver, AHEAD * threads);
    let work =
        |job: &Job| Worker { tokenizer, corpus, options, threads, separator, job }.encode_chunks(&order);
    with_threads(threads, |pool| {
        on_all_threads(pool, job, work)?;
        order.complete(job)
    })
}

/// The size of a corpus in tokens and in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The number of tokens.
    pub tokens: u64,
    /// The bytes of the texts.
    pub text_bytes: u64,
}

/// Counts the tokens that [`crate::token_file::encode_file`] would write.
///
/// # Errors
/// Those of [`crate::token_file::encode_file`], except the errors of writing.
pub fn count_tokens(
    tokenizer: &Tokenizer,
    corpus: Corpus,
    options: &EncodeOptions,
    job: &Job,
) -> Result<Counted, Error> {
    let mut counted = Counted::default();
    let start = Start::default();
    let whole = corpus.whole();
    let corpus = corpus.in_order(whole);
    job.stage(Stage::Encode, corpus.num_bytes(), || {
        encode_corpus(tokenizer, &corpus, options, start, job, |encoded| {
            counted.tokens += (encoded.ids.len() + usize::from(encoded.separator.is_some())) as u64;
            counted.text_bytes += encoded.text_bytes;
            Ok(|_: &[TokenId]| Ok(()))
        })
    })?;
    if counted.tokens == 0 { Err(corpus.is_empty_error()) } else { Ok(counted) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merges::Merges;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::testing::{in_a_minute, is_on_purpose, panic_everywhere};
    use crate::vocab::Vocab;
    use std::path::Path;

    fn tokenizer() -> Tokenizer {
        let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
        let vocab = Vocab::new(&Merges::default(), &special_tokens);
        Tokenizer::new(vocab, Merges::default(), special_tokens, Pattern::Gpt2).unwrap()
    }

    fn corpus(path: &Path) -> Corpus {
        std::fs::write(path, b"some words and some words more\n".repeat(60)).unwrap();
        let corpus = Corpus::open([path]).unwrap();
        let whole = corpus.whole();
        corpus.in_order(whole)
    }

    #[test]
    fn a_panic_anywhere_while_a_corpus_is_encoded_is_an_error() {
        let (folder, tokenizer) = (tempfile::tempdir().unwrap(), tokenizer());
        let options = EncodeOptions { chunk_bytes: 50, min_share: 1, ..EncodeOptions::new(&tokenizer, 3) };
        let panics = panic_everywhere(move |job| {
            let corpus = corpus(&folder.path().join("text.txt"));
            let mut all = Vec::new();
            encode_corpus(&tokenizer, &corpus, &options, Start::default(), job, |encoded| {
                all.extend_from_slice(encoded.ids);
                Ok(|_: &[u16]| Ok(()))
            })?;
            Ok(all)
        });
        assert!(panics > 40, "{panics}");
    }

    /// There are more workers than chunks that may wait. If the first worker did not end, all others would
    /// wait for it.
    #[test]
    fn a_panic_of_what_receives_ids_is_an_error() {
        [true, false].into_iter().for_each(panic_of_what_receives);
    }

    fn panic_of_what_receives(in_order: bool) {
        let (folder, tokenizer) = (tempfile::tempdir().unwrap(), tokenizer());
        let (error, job) = in_a_minute(move || {
            let corpus = corpus(&folder.path().join("text.txt"));
            let options =
                EncodeOptions { chunk_bytes: 20, min_share: 1, ..EncodeOptions::new(&tokenizer, 4) };
            let job = Job::default();
            let start = Start::default();
            let encoded = encode_corpus(&tokenizer, &corpus, &options, start, &job, |_| {
                if in_order {
                    panic!("{}", Job::ON_PURPOSE);
                }
                Ok(|_: &[u16]| panic!("{}", Job::ON_PURPOSE))
            });
            (encoded.unwrap_err(), job)
        });
        assert!(is_on_purpose(&error), "{error}");
        assert!(job.check().is_ok());
    }
}
