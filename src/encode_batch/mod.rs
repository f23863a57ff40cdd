/*!
Many texts in memory into token ids.

The texts are divided into shares of about the same size ([`shares`]). Short texts are grouped by the hundred, and a
long text is cut where no pretoken is split. Each worker adds the ids of its shares to segments of its own. When
all shares are encoded, all workers copy the ids into one vector ([`join`]). (Writing them there directly would force
the workers to finish in order.) Apart from encoding, most of the work is memory management. So no segment grows,
none is cleared, and all are in large pages.

Texts may arrive while others are encoded: taking 500,000 texts from Python takes a sixth of the time of encoding them.
*/

mod join;
pub(crate) mod shares;

use crate::corpus::{Cutter, chunk_end};
use crate::encode::{Encoder, Id, Ids};
use crate::error::Error;
use crate::job::Job;
use crate::panics::{caught, lock};
use crate::prefetch::prefetch;
use crate::sync::Mutex;
use crate::threads::{on_all_threads, with_threads};
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
pub use join::Batch;
use join::{Done, EncodedShare, Transfer, join};
use rayon::prelude::*;
use shares::{SHARE_BYTES, Share, Shares};
use std::ops::Range;
use std::sync::Arc;

/// The number of ids in a segment.
const SEGMENT: usize = 1 << 23;
/// How many texts before its turn a text is prefetched. (benches/record/7-limit-of-the-chip.md)
const TEXTS_AHEAD: usize = 4;
/// The number of bytes of a text that are prefetched. The processor foresees the rest.
const MAX_PREFETCHED: usize = 512;

/// Encodes texts independently of each other. The greatest id must fit `T`.
///
/// # Errors
/// [`Error::SpecialInText`], [`Error::PatternLimit`], both with the number of the text; [`Error::Option`] for
/// ids that do not fit; [`Error::Cancelled`].
pub fn encode_batch<T: Id>(
    tokenizer: &Tokenizer,
    texts: &[&[u8]],
    special: Special,
    threads: usize,
    job: &Job,
) -> Result<Batch<T>, Error> {
    let all = Arc::new(texts.to_vec());
    encode_arriving(tokenizer, std::iter::once(all), special, threads, job)
}

/// Encodes texts as [`encode_batch`] does, while more of them arrive. As many threads are started as the first group has
/// shares, and at most `threads`.
///
/// # Errors
/// Those of [`encode_batch`].
pub fn encode_arriving<T: Id, B: AsRef<[u8]> + Send + Sync>(
    tokenizer: &Tokenizer,
    groups: impl Iterator<Item = Arc<Vec<B>>> + Send,
    special: Special,
    threads: usize,
    job: &Job,
) -> Result<Batch<T>, Error> {
    check_fits::<T>(tokenizer)?;
    let shares = Shares::new(groups, cutter(tokenizer, special, SHARE_BYTES));
    let threads = threads.min(shares.num_in_group());
    let work = Work { tokenizer, special, threads, shares: Mutex::new(shares) };
    match tokenizer.greatest_id() <= <u16 as Id>::MAX {
        // Until they are copied, the ids take half the memory.
        true => work.encode_via::<u16, T>(job),
        false => work.encode_via::<u32, T>(job),
    }
}

/// Refuses ids that may not fit `T`.
pub(crate) fn check_fits<T: Id>(tokenizer: &Tokenizer) -> Result<(), Error> {
    if tokenizer.greatest_id() <= T::MAX {
        return Ok(());
    }
    Err(Error::Option {
        name: "dtype",
        value: format!("uint16 for ids up to {}", tokenizer.greatest_id()),
        rule: "uint32: uint16 ends at 65,535",
    })
}

/// Encodes one text as [`encode_batch`] does: a long text is cut where no pretoken is split.
///
/// # Errors
/// Those of [`encode_batch`], without the number of the text.
pub fn encode_text<T: Id>(
    tokenizer: &Tokenizer,
    text: &[u8],
    special: Special,
    threads: usize,
    job: &Job,
) -> Result<Vec<T>, Error> {
    let batch = encode_batch(tokenizer, &[text], special, threads, job).map_err(in_the_text)?;
    Ok(batch.ids)
}

/// Encodes one text in pieces of about `piece_bytes` bytes, at whose ends no pretoken is split. `pass` gets the
/// range of each piece in bytes, and its ids, in order.
///
/// # Errors
/// Those of [`encode_text`].
pub fn encode_pieces(
    tokenizer: &Tokenizer,
    text: &[u8],
    piece_bytes: usize,
    special: Special,
    job: &Job,
    mut pass: impl FnMut(Range<usize>, &[TokenId]),
) -> Result<(), Error> {
    let cutter = cutter(tokenizer, special, piece_bytes);
    let encoded = tokenizer.with_encoder(special, 1, |encoder| {
        pieces(text, cutter, job).try_for_each(|range| {
            let range = range?;
            job.check()?;
            let piece = (0, text, range.clone());
            let encode = |encoder: &mut Encoder, ids: &mut Ids<TokenId>| {
                encode_numbered(tokenizer, encoder, piece, special, ids, job)
            };
            pass(range, encoder.with_own_ids(encode)?);
            Ok(())
        })
    });
    encoded.map_err(in_the_text)
}

fn cutter(tokenizer: &Tokenizer, special: Special, chunk_bytes: usize) -> Cutter<'_> {
    Cutter { pattern: tokenizer.pattern(), special_tokens: tokenizer.uncut(special), chunk_bytes }
}

/// The ranges of a text's pieces, at whose ends no pretoken is split.
fn pieces<'a>(
    text: &'a [u8],
    cutter: Cutter<'a>,
    job: &'a Job,
) -> impl Iterator<Item = Result<Range<usize>, Error>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let begin = start;
        (begin < text.len()).then(|| {
            start = chunk_end(text, begin, cutter, job)?;
            Ok(begin..start)
        })
    })
}

/// Names the only text in an error.
pub(crate) fn in_the_text(error: Error) -> Error {
    error.in_text(|| "the text".to_owned(), |offset| offset)
}

/// Adds the ids of a range of a numbered text.
pub(crate) fn encode_numbered<T: Id>(
    tokenizer: &Tokenizer,
    encoder: &mut Encoder,
    (number, text, range): (usize, &[u8], Range<usize>),
    special: Special,
    ids: &mut Ids<T>,
    job: &Job,
) -> Result<(), Error> {
    tokenizer
        .check_special(&text[range.clone()], special)
        .map_err(|error| error.moved_by(range.start))
        .and_then(|()| encoder.encode_unpadded(tokenizer.rules(special), text, range, job, ids))
        .map_err(|error| error.in_text(|| format!("text number {number} (from 0)"), |offset| offset))
}

/// What the workers share.
struct Work<'a, B, I> {
    tokenizer: &'a Tokenizer,
    special: Special,
    threads: usize,
    shares: Mutex<Shares<'a, B, I>>,
}

impl<B: AsRef<[u8]> + Send + Sync, I: Iterator<Item = Arc<Vec<B>>> + Send> Work<'_, B, I> {
    /// Encodes all texts, by way of ids of type `S`.
    fn encode_via<S: Id, T: Id>(&self, job: &Job) -> Result<Batch<T>, Error> {
        if self.threads == 1 {
            let done = caught(|| self.encode_shares::<S>(job))?;
            return Ok(join(&[done], self.num_texts(), |transfers| {
                transfers.into_iter().for_each(Transfer::run);
            }));
        }
        with_threads(self.threads, |pool| {
            let done = on_all_threads(pool, job, |job| self.encode_shares::<S>(job))?;
            Ok(join(&done, self.num_texts(), |transfers| {
                pool.install(|| transfers.into_par_iter().for_each(Transfer::run));
            }))
        })
    }

    /// Encodes shares until none is left.
    fn encode_shares<S: Id>(&self, job: &Job) -> Result<Done<S>, Error> {
        self.tokenizer.with_encoder(self.special, self.threads, |encoder| {
            let mut done = Done { segments: Vec::new(), shares: Vec::new() };
            while let Some((share, num_bytes)) = self.take(job)? {
                let most = share.num_bytes();
                if done.segments.last().is_none_or(|segment| !segment.has_room(most)) {
                    done.segments.push(Ids::with_room(SEGMENT.min(num_bytes).max(most)));
                }
                let segment = done.segments.len() - 1;
                let ids = &mut done.segments[segment];
                let before = ids.len();
                let counts = self.encode_share(encoder, &share, ids, job)?;
                let (ids, first) = (before..ids.len(), share.before + share.texts.start);
                done.shares.push(EncodedShare { number: share.number, first, segment, ids, counts });
            }
            Ok(done)
        })
    }

    /// Takes the next share. Also returns the bytes of all texts that have arrived.
    fn take(&self, job: &Job) -> Result<Option<(Share<B>, usize)>, Error> {
        job.check()?;
        let mut shares = lock(&self.shares);
        let share = shares.take(job)?;
        Ok(share.map(|share| (share, shares.num_bytes())))
    }

    /// The number of texts, after the last share is taken.
    fn num_texts(&self) -> usize {
        lock(&self.shares).num_texts()
    }

    fn encode_share<T: Id>(
        &self,
        encoder: &mut Encoder,
        share: &Share<B>,
        ids: &mut Ids<T>,
        job: &Job,
    ) -> Result<Vec<usize>, Error> {
        let mut counts = Vec::with_capacity(share.texts.len());
        for place in share.texts.clone() {
            let text = share.group[place].as_ref();
            prefetch_text(share.group.get(place + TEXTS_AHEAD));
            let range = share.range.clone().unwrap_or(0..text.len());
            let (number, before) = (share.before + place, ids.len());
            encode_numbered(self.tokenizer, encoder, (number, text, range), self.special, ids, job)?;
            counts.push(ids.len() - before);
        }
        Ok(counts)
    }
}

/// Prefetches the beginning of a text. Short texts lie anywhere in memory, so the processor cannot foresee them.
fn prefetch_text<B: AsRef<[u8]>>(text: Option<&B>) {
    let text = text.map(AsRef::as_ref).unwrap_or_default();
    for at in (0..text.len().min(MAX_PREFETCHED)).step_by(64) {
        prefetch(text, at);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merges::Merges;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::testing::{in_a_minute, panic_everywhere};
    use crate::vocab::Vocab;
    use std::time::Duration;

    fn bytes_alone() -> Tokenizer {
        let (special_tokens, merges) = (SpecialTokens::new(["<s>"]).unwrap(), Merges::default());
        let vocab = Vocab::new(&merges, &special_tokens);
        Tokenizer::new(vocab, merges, special_tokens, Pattern::Gpt2).unwrap()
    }

    #[test]
    fn a_panic_anywhere_while_texts_are_encoded_is_an_error() {
        for threads in [1, 3] {
            let tokenizer = bytes_alone();
            let text = b"some words and some words more\n".repeat(SHARE_BYTES / 256);
            let panics = panic_everywhere(move |job| {
                let groups = (0..5).map(|_| Arc::new(vec![&text[..]; 2]));
                encode_arriving::<u16, _>(&tokenizer, groups, Special::Text, threads, job)
            });
            assert!(panics > 10, "{panics}");
        }
    }

    #[test]
    fn a_worker_that_fails_ends_the_call_even_if_more_texts_would_come() {
        for threads in [1, 2, 8] {
            let error = in_a_minute(move || {
                let groups = (0..).map(|n| {
                    std::thread::sleep(Duration::from_millis(1));
                    Arc::new(vec![if n == 3 { "a <s>" } else { "a b" }; 3])
                });
                encode_arriving::<u16, _>(&bytes_alone(), groups, Special::Raise, threads, &Job::default())
            });
            let message = error.unwrap_err().to_string();
            assert!(message.starts_with("text number 9 (from 0) has the special token"), "{message}");
        }
    }
}
