/*!
One text into ids, and the place of each token in the text.

Tokens cover a text without gaps, so their places are the sums of their lengths. Why are the stretches between special
tokens encoded one by one? A special token is identified by its id, and the token with this id may have other bytes than
the special token's text: a tokenizer.json can give a special `é` the id of the byte 0xE9.
*/

use crate::error::Error;
use crate::job::Job;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};

/// The ids of a text. Token `i` has the bytes from `offsets[i]` to `offsets[i + 1]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WithOffsets {
    /// The ids.
    pub ids: Vec<TokenId>,
    /// The byte at which each token begins, and the end of the text.
    pub offsets: Vec<i64>,
}

/// Encodes a text. The ids are those of [`Tokenizer::encode`].
///
/// # Errors
/// Those of [`Tokenizer::encode`].
pub fn encode_with_offsets(
    tokenizer: &Tokenizer,
    text: &[u8],
    special: Special,
    job: &Job,
) -> Result<WithOffsets, Error> {
    tokenizer.check_special(text, special)?;
    let mut encoded = WithOffsets::default();
    let mut end = 0;
    encoded.offsets.push(0);
    let special_tokens = tokenizer.allowed(special);
    special_tokens.split(text, 0..text.len(), |stretch, number| {
        let start = stretch.start;
        let add = |ids: &[TokenId]| {
            for &id in ids {
                end += tokenizer.vocab().get(id).map_or(0, <[u8]>::len);
                encoded.ids.push(id);
                encoded.offsets.push(end as i64);
            }
        };
        tokenizer.with_ids(&text[stretch], Special::Text, job, add).map_err(|error| error.moved_by(start))?;
        if let Some(number) = number {
            end += special_tokens.as_slice()[number].len();
            encoded.ids.push(tokenizer.special_ids()[number]);
            encoded.offsets.push(end as i64);
        }
        Ok(())
    })?;
    Ok(encoded)
}
