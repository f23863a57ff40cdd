/*!
Few short texts, encoded on the calling thread.

Why another way than that of many texts? Looking up the number of cores takes 15 us, because the system keeps it in
files. Other threads take some 100 us to start and to end, and memory that is new for each call takes as long as
encoding into it. A text of some KiB takes less than any of these. So few texts are encoded here and now, by an
encoder that has seen texts before, into memory of its own, and the result is made of the ids where they lie.
*/

use crate::encode::Encoder;
use crate::encode_batch::encode_numbered;
use crate::encode_batch::shares::TEXT_COST;
use crate::error::Error;
use crate::job::Job;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
use pyo3::prelude::*;

/// The greatest length in bytes of texts that are encoded under the interpreter's lock. Releasing the lock and
/// taking it again takes as long as encoding such a text.
pub(super) const LOCKED_BYTES: usize = 1 << 13;
/// The maximum cost of few texts, in bytes: that of a text of a MiB. One thread takes 1.26 ms for it, and two with new
/// memory take as long.
pub(super) const FEW_COST: usize = (1 << 20) + TEXT_COST;

/// Encodes few texts and returns what `result` returns for their ids. `end` gets the end of each text's ids.
pub(super) fn with_few_ids<R>(
    py: Python<'_>,
    tokenizer: &Tokenizer,
    texts: &[&[u8]],
    special: Special,
    end: impl FnMut(usize) + Send,
    result: impl FnOnce(&[TokenId]) -> R,
) -> Result<R, Error> {
    let num_bytes: usize = texts.iter().map(|text| text.len()).sum();
    tokenizer.with_encoder(special, 1, |encoder| {
        let encode = || encode(tokenizer, encoder, texts, special, end);
        let ids = if num_bytes <= LOCKED_BYTES { encode() } else { py.detach(encode) };
        ids.map(result)
    })
}

/// Encodes texts one after another into the encoder's own memory.
fn encode<'e>(
    tokenizer: &Tokenizer,
    encoder: &'e mut Encoder,
    texts: &[&[u8]],
    special: Special,
    mut end: impl FnMut(usize),
) -> Result<&'e [TokenId], Error> {
    encoder.with_own_ids(|encoder, ids| {
        texts.iter().enumerate().try_for_each(|(number, text)| {
            let text = (number, *text, 0..text.len());
            encode_numbered(tokenizer, encoder, text, special, ids, Job::unwatched())?;
            end(ids.len());
            Ok(())
        })
    })
}
