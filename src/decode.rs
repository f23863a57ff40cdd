/*!
Token ids that come one by one, into text.

A token may end inside a character, so its bytes are held back until the character is whole; never more than three. What is no
UTF-8 becomes U+FFFD, one for each stretch that no character can begin with, as everywhere in Rust and Python.
*/

use crate::error::Error;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;

/// Decodes ids that come one by one.
#[derive(Clone, Debug, Default)]
pub struct StreamDecoder {
    /// The beginning of a character.
    pending: Vec<u8>,
    num_ids: u64,
}

impl StreamDecoder {
    /// Takes the next id; returns the text that is certain now.
    ///
    /// # Errors
    /// [`Error::TokenId`] for an id that has no token; nothing has changed then.
    pub fn push(&mut self, tokenizer: &Tokenizer, id: TokenId) -> Result<String, Error> {
        let token = tokenizer.vocab().get(id).ok_or(Error::TokenId {
            id: id.into(),
            place: self.num_ids,
            greatest: tokenizer.greatest_id(),
        })?;
        self.num_ids += 1;
        self.pending.extend_from_slice(token);
        let mut text = String::new();
        let mut num_taken = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            num_taken += chunk.valid().len();
            let is_last = num_taken + chunk.invalid().len() == self.pending.len();
            if is_last && may_go_on(chunk.invalid()) {
                break;
            }
            if !chunk.invalid().is_empty() {
                text.push(char::REPLACEMENT_CHARACTER);
            }
            num_taken += chunk.invalid().len();
        }
        self.pending.drain(..num_taken);
        Ok(text)
    }

    /// What was held back, as far as it is text.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }
}

/// Whether bytes are the beginning of a character.
fn may_go_on(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
