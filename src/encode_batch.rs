/*!
Many texts in memory into token ids.

The texts are divided into shares of about the same size. Short texts are grouped by the hundred, and a long
text is cut where no pretoken is split. Each worker adds the ids of its shares to segments of its own. When
all shares are encoded, all workers copy the ids into one vector. (Writing them there directly would force the
workers to finish in order.) Apart from encoding, most of the work is memory management. So no segment grows,
none is cleared, and all are in large pages.
*/

use crate::corpus::{Cutter, chunk_end};
use crate::encode::{Encoder, Id, Ids, zeroed};
use crate::error::Error;
use crate::job::Job;
use crate::panics::caught;
use crate::prefetch::prefetch;
use crate::threads::{on_all_threads, with_threads};
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The nominal length of a share in bytes.
const SHARE_BYTES: usize = 1 << 17;
/// The number of ids in a segment.
const SEGMENT: usize = 1 << 23;
/// How many texts before its turn a text is prefetched. (benches/record/7-limit-of-the-chip.md)
const TEXTS_AHEAD: usize = 4;
/// The number of bytes of a text that are prefetched. The processor foresees the rest.
const MAX_PREFETCHED: usize = 512;
/// The fixed cost of a text, as a number of bytes that is added to its length.
pub(crate) const TEXT_COST: usize = 64;

/// The ids of texts, one after another. Text `i` has those from `offsets[i]` to `offsets[i + 1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch<T> {
    /// The ids.
    pub ids: Vec<T>,
    /// The beginning of each text in `ids`, and the end.
    pub offsets: Vec<i64>,
}

/// A share of the work: some texts, or a range of one text.
struct Share {
    texts: Range<usize>,
    /// If the share is a range of its only text, that range in bytes.
    range: Option<Range<usize>>,
}

/// The shares that one worker has encoded.
struct Done<S> {
    segments: Vec<Ids<S>>,
    shares: Vec<EncodedShare>,
}

/// The ids of a share as a range of a segment, and their number for each of its texts.
struct EncodedShare {
    share: usize,
    segment: usize,
    ids: Range<usize>,
    counts: Vec<usize>,
}

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
    check_fits::<T>(tokenizer)?;
    match tokenizer.greatest_id() <= <u16 as Id>::MAX {
        // Until they are copied, the ids take half the memory.
        true => encode_via::<u16, T>(tokenizer, texts, special, threads, job),
        false => encode_via::<u32, T>(tokenizer, texts, special, threads, job),
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

fn encode_via<S: Id, T: Id>(
    tokenizer: &Tokenizer,
    texts: &[&[u8]],
    special: Special,
    threads: usize,
    job: &Job,
) -> Result<Batch<T>, Error> {
    let shares = divide(tokenizer, texts, special, job)?;
    let threads = threads.min(shares.len()).max(1);
    let num_bytes = texts.iter().map(|text| text.len()).sum();
    let next = AtomicUsize::new(0);
    let work = Work { tokenizer, texts, special, threads, num_bytes, shares: &shares, next };
    if threads == 1 {
        let done = caught(|| work.encode_shares::<S>(job))?;
        return Ok(join(&[done], &shares, texts.len(), |transfers| {
            transfers.into_iter().for_each(Transfer::run)
        }));
    }
    with_threads(threads, |pool| {
        let done = on_all_threads(pool, job, |job| work.encode_shares::<S>(job))?;
        Ok(join(&done, &shares, texts.len(), |transfers| {
            pool.install(|| transfers.into_par_iter().for_each(Transfer::run));
        }))
    })
}

/// Divides texts into shares.
fn divide(tokenizer: &Tokenizer, texts: &[&[u8]], special: Special, job: &Job) -> Result<Vec<Share>, Error> {
    let cutter = cutter(tokenizer, special, SHARE_BYTES);
    let mut shares = Vec::new();
    let (mut first, mut cost) = (0, 0);
    for (number, text) in texts.iter().enumerate() {
        if text.len() > 2 * SHARE_BYTES {
            shares.push(Share { texts: first..number, range: None });
            for range in pieces(text, cutter, job) {
                shares.push(Share { texts: number..number + 1, range: Some(range?) });
            }
            (first, cost) = (number + 1, 0);
            continue;
        }
        cost += text.len() + TEXT_COST;
        if cost >= SHARE_BYTES {
            shares.push(Share { texts: first..number + 1, range: None });
            (first, cost) = (number + 1, 0);
        }
    }
    shares.push(Share { texts: first..texts.len(), range: None });
    shares.retain(|share| !share.texts.is_empty());
    Ok(shares)
}

/// The shares, from which workers take one after another.
struct Work<'a> {
    tokenizer: &'a Tokenizer,
    texts: &'a [&'a [u8]],
    special: Special,
    threads: usize,
    /// The bytes of all texts.
    num_bytes: usize,
    shares: &'a [Share],
    next: AtomicUsize,
}

impl Work<'_> {
    /// Encodes shares until none is left.
    fn encode_shares<S: Id>(&self, job: &Job) -> Result<Done<S>, Error> {
        self.tokenizer.with_encoder(self.special, self.threads, |encoder| {
            let mut done = Done { segments: Vec::new(), shares: Vec::new() };
            loop {
                job.check()?;
                let number = self.next.fetch_add(1, Relaxed);
                let Some(share) = self.shares.get(number) else { return Ok(done) };
                let most = self.share_bytes(share);
                if done.segments.last().is_none_or(|segment| !segment.has_room(most)) {
                    done.segments.push(Ids::with_room(SEGMENT.min(self.num_bytes).max(most)));
                }
                let segment = done.segments.len() - 1;
                let ids = &mut done.segments[segment];
                let before = ids.len();
                let counts = self.encode_share(encoder, share, ids, job)?;
                let ids = before..ids.len();
                done.shares.push(EncodedShare { share: number, segment, ids, counts });
            }
        })
    }

    /// The bytes of a share, which has at most as many ids.
    fn share_bytes(&self, share: &Share) -> usize {
        match &share.range {
            Some(range) => range.len(),
            None => self.texts[share.texts.clone()].iter().map(|text| text.len()).sum(),
        }
    }

    /// Prefetches the beginning of a text. Short texts lie anywhere in memory, so the processor cannot foresee them.
    fn prefetch(&self, number: usize) {
        let text = self.texts.get(number).copied().unwrap_or_default();
        for at in (0..text.len().min(MAX_PREFETCHED)).step_by(64) {
            prefetch(text, at);
        }
    }

    fn encode_share<T: Id>(
        &self,
        encoder: &mut Encoder,
        share: &Share,
        ids: &mut Ids<T>,
        job: &Job,
    ) -> Result<Vec<usize>, Error> {
        let mut counts = Vec::with_capacity(share.texts.len());
        for number in share.texts.clone() {
            let text = self.texts[number];
            self.prefetch(number + TEXTS_AHEAD);
            let range = share.range.clone().unwrap_or(0..text.len());
            let before = ids.len();
            encode_numbered(self.tokenizer, encoder, (number, text, range), self.special, ids, job)?;
            counts.push(ids.len() - before);
        }
        Ok(counts)
    }
}

/// Ids of a share, and the range of the result to which they are copied.
struct Transfer<'a, S, T> {
    from: &'a [S],
    to: &'a mut [T],
}

impl<S: Id, T: Id> Transfer<'_, S, T> {
    fn run(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = T::new(from.get());
        }
    }
}

/// Copies all ids into one vector, in the order of the texts. `run_all` runs the transfers on the caller's
/// threads: rayon's global pool would not exist in a process that was forked.
fn join<S: Id, T: Id>(
    done: &[Done<S>],
    shares: &[Share],
    num_texts: usize,
    run_all: impl FnOnce(Vec<Transfer<'_, S, T>>),
) -> Batch<T> {
    let mut all: Vec<(&EncodedShare, &[S])> = Vec::with_capacity(shares.len());
    for done in done {
        let ids = |encoded: &EncodedShare| &done.segments[encoded.segment].as_slice()[encoded.ids.clone()];
        all.extend(done.shares.iter().map(|encoded| (encoded, ids(encoded))));
    }
    all.sort_unstable_by_key(|(encoded, _)| encoded.share);
    let mut offsets = vec![0_i64; num_texts + 1];
    for (encoded, _) in &all {
        for (number, count) in shares[encoded.share].texts.clone().zip(&encoded.counts) {
            offsets[number + 1] += *count as i64;
        }
    }
    let mut end = 0;
    for offset in &mut offsets {
        end += *offset;
        *offset = end;
    }
    let mut ids = zeroed(all.iter().map(|(_, ids)| ids.len()).sum());
    let mut rest = &mut ids[..];
    let mut transfers = Vec::with_capacity(all.len());
    for (_, from) in all {
        let to = rest.split_off_mut(..from.len()).unwrap_or_default();
        transfers.push(Transfer { from, to });
    }
    run_all(transfers);
    Batch { ids, offsets }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merges::Merges;
    use crate::special_tokens::SpecialTokens;
    use crate::testing::panic_everywhere;
    use crate::vocab::Vocab;

    #[test]
    fn a_panic_anywhere_while_texts_are_encoded_is_an_error() {
        for threads in [1, 3] {
            let (none, merges) = (SpecialTokens::default(), Merges::default());
            let vocab = Vocab::new(&merges, &none);
            let tokenizer = Tokenizer::new(vocab, merges, none, crate::pretokenize::Pattern::Gpt2).unwrap();
            let text = b"some words and some words more\n".repeat(SHARE_BYTES / 64);
            let panics = panic_everywhere(move |job| {
                encode_batch::<u16>(&tokenizer, &[&text[..]; 7], Special::Text, threads, job)
            });
            assert!(panics > 10, "{panics}");
        }
    }
}
