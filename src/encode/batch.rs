/*!
Many texts at once, in memory.

Texts of all lengths come together: short ones are taken some hundred at a time, a long one is cut where no pretoken is
split. Each worker adds the ids of its shares to segments of its own, and when all are known they are copied to their place in
one vector, by all workers. (Into one vector at once they could only be written in order.) Memory is the larger part of the
work that is not encoding; so no segment grows, none is cleared, and all are in large pages.
*/

use super::ids::zeroed;
use super::{Encoder, Id, Ids};
use crate::corpus::{Cutter, piece_end};
use crate::error::Error;
use crate::job::Job;
use crate::panics::caught;
use crate::threads::{on_all_threads, with_threads};
use crate::tokenizer::{Special, Tokenizer};
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The nominal length of a share in bytes.
const SHARE_BYTES: usize = 1 << 17;
/// The ids of a segment.
const SEGMENT: usize = 1 << 23;
/// A text counts as so many bytes more than it has.
const TEXT_COST: usize = 64;

/// The ids of texts, one after another. Text `i` has those from `offsets[i]` to `offsets[i + 1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch<T> {
    /// The ids.
    pub ids: Vec<T>,
    /// Where each text begins, and the end.
    pub offsets: Vec<i64>,
}

/// Some texts, or a piece of one.
struct Share {
    texts: Range<usize>,
    /// The bytes of the only text that belong to it.
    piece: Option<Range<usize>>,
}

/// What one worker has encoded.
struct Done<S> {
    segments: Vec<Ids<S>>,
    shares: Vec<Encoded>,
}

/// A share's ids in a segment of its worker, and how many each of its texts has.
struct Encoded {
    share: usize,
    segment: usize,
    ids: Range<usize>,
    counts: Vec<usize>,
}

/// Encodes texts, each on its own. The greatest id must fit `T`.
///
/// # Errors
/// [`Error::SpecialInText`], [`Error::PatternLimit`], both with the number of the text; [`Error::Option`] for ids that do
/// not fit; [`Error::Cancelled`].
pub fn encode_batch<T: Id>(
    tokenizer: &Tokenizer,
    texts: &[&[u8]],
    special: Special,
    threads: usize,
    job: &Job,
) -> Result<Batch<T>, Error> {
    if tokenizer.greatest_id() > T::MAX {
        return Err(Error::Option {
            name: "dtype",
            value: format!("uint16 for ids up to {}", tokenizer.greatest_id()),
            rule: "uint32: uint16 ends at 65,535",
        });
    }
    match tokenizer.greatest_id() <= <u16 as Id>::MAX {
        // What waits to be copied takes half the memory.
        true => encode_via::<u16, T>(tokenizer, texts, special, threads, job),
        false => encode_via::<u32, T>(tokenizer, texts, special, threads, job),
    }
}

fn encode_via<S: Id, T: Id>(
    tokenizer: &Tokenizer,
    texts: &[&[u8]],
    special: Special,
    threads: usize,
    job: &Job,
) -> Result<Batch<T>, Error> {
    let shares = share(tokenizer, texts, special, job)?;
    let threads = threads.min(shares.len()).max(1);
    let work = Work { tokenizer, texts, special, threads, shares: &shares, next: AtomicUsize::new(0) };
    if threads == 1 {
        let done = caught(|| work.encode_shares::<S>(job))?;
        return Ok(join(&[done], &shares, texts.len(), |copies| copies.into_iter().for_each(Copy::make)));
    }
    with_threads(threads, |pool| {
        let done = on_all_threads(pool, job, |job| work.encode_shares::<S>(job))?;
        Ok(join(&done, &shares, texts.len(), |copies| {
            pool.install(|| copies.into_par_iter().for_each(Copy::make));
        }))
    })
}

fn share(tokenizer: &Tokenizer, texts: &[&[u8]], special: Special, job: &Job) -> Result<Vec<Share>, Error> {
    let special_tokens = tokenizer.uncut(special);
    let cutter = Cutter { pattern: tokenizer.pattern(), special_tokens, chunk_bytes: SHARE_BYTES };
    let mut shares = Vec::new();
    let (mut first, mut cost) = (0, 0);
    for (number, text) in texts.iter().enumerate() {
        if text.len() > 2 * SHARE_BYTES {
            shares.push(Share { texts: first..number, piece: None });
            let mut start = 0;
            while start < text.len() {
                let end = piece_end(text, start, cutter, job)?;
                shares.push(Share { texts: number..number + 1, piece: Some(start..end) });
                start = end;
            }
            (first, cost) = (number + 1, 0);
            continue;
        }
        cost += text.len() + TEXT_COST;
        if cost >= SHARE_BYTES {
            shares.push(Share { texts: first..number + 1, piece: None });
            (first, cost) = (number + 1, 0);
        }
    }
    shares.push(Share { texts: first..texts.len(), piece: None });
    shares.retain(|share| !share.texts.is_empty());
    Ok(shares)
}

/// What workers take shares from.
struct Work<'a> {
    tokenizer: &'a Tokenizer,
    texts: &'a [&'a [u8]],
    special: Special,
    threads: usize,
    shares: &'a [Share],
    next: AtomicUsize,
}

impl Work<'_> {
    /// Encodes shares until there are none.
    fn encode_shares<S: Id>(&self, job: &Job) -> Result<Done<S>, Error> {
        let num_bytes: usize = self.texts.iter().map(|text| text.len()).sum();
        self.tokenizer.with_encoder(self.special, |encoder| {
            encoder.expect((num_bytes / self.threads) as u64);
            let mut done = Done { segments: Vec::new(), shares: Vec::new() };
            loop {
                job.check()?;
                let number = self.next.fetch_add(1, Relaxed);
                let Some(share) = self.shares.get(number) else { return Ok(done) };
                let most = self.num_bytes(share);
                if done.segments.last().is_none_or(|segment| !segment.has_room(most)) {
                    done.segments.push(Ids::with_room(SEGMENT.min(num_bytes).max(most)));
                }
                let segment = done.segments.len() - 1;
                let ids = &mut done.segments[segment];
                let before = ids.len();
                let counts = self.encode_share(encoder, share, ids, job)?;
                let ids = before..ids.len();
                done.shares.push(Encoded { share: number, segment, ids, counts });
            }
        })
    }

    /// No share has more ids than bytes.
    fn num_bytes(&self, share: &Share) -> usize {
        match &share.piece {
            Some(piece) => piece.len(),
            None => self.texts[share.texts.clone()].iter().map(|text| text.len()).sum(),
        }
    }

    fn encode_share<T: Id>(
        &self,
        encoder: &mut Encoder,
        share: &Share,
        ids: &mut Ids<T>,
        job: &Job,
    ) -> Result<Vec<usize>, Error> {
        let rules = self.tokenizer.rules(self.special);
        let mut counts = Vec::with_capacity(share.texts.len());
        for number in share.texts.clone() {
            let text = self.texts[number];
            let range = share.piece.clone().unwrap_or(0..text.len());
            let before = ids.len();
            self.tokenizer
                .check_special(&text[range.clone()], self.special)
                .map_err(|error| error.moved_by(range.start))
                .and_then(|()| encoder.encode_unpadded(rules, text, range, job, ids))
                .map_err(|error| {
                    error.in_text(|| format!("text number {number} (from 0)"), |offset| offset)
                })?;
            counts.push(ids.len() - before);
        }
        Ok(counts)
    }
}

/// Ids, and the place where they belong.
struct Copy<'a, S, T> {
    from: &'a [S],
    to: &'a mut [T],
}

impl<S: Id, T: Id> Copy<'_, S, T> {
    fn make(self) {
        for (to, from) in self.to.iter_mut().zip(self.from) {
            *to = T::new(from.get());
        }
    }
}

/// All ids in the order of the texts. `make_all` makes the copies, by whatever threads the caller has: rayon's own would not
/// be there in a process that was forked.
fn join<S: Id, T: Id>(
    done: &[Done<S>],
    shares: &[Share],
    num_texts: usize,
    make_all: impl FnOnce(Vec<Copy<'_, S, T>>),
) -> Batch<T> {
    let mut all: Vec<(&Encoded, &[S])> = Vec::with_capacity(shares.len());
    for done in done {
        let ids = |encoded: &Encoded| &done.segments[encoded.segment].as_slice()[encoded.ids.clone()];
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
    let mut copies = Vec::with_capacity(all.len());
    for (_, from) in all {
        let to = rest.split_off_mut(..from.len()).unwrap_or_default();
        copies.push(Copy { from, to });
    }
    make_all(copies);
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
