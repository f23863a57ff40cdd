/*!
How tokens are named in files: in GPT-2's alphabet, or by their text.
*/

use crate::byte_alphabet;
use crate::error::Error;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use std::collections::HashMap;

/// Refuses special tokens that could not be saved after training, because their text is another token's name
/// in a file.
///
/// The other token is a byte, or one that could be learned from UTF-8 text. (A special token's own bytes are never learned,
/// because text is split there.)
///
/// # Errors
/// [`Error::SpecialToken`].
pub fn check_special_tokens(special_tokens: &SpecialTokens) -> Result<(), Error> {
    for (index, token) in special_tokens.as_slice().iter().enumerate() {
        let Some(other) = byte_alphabet::from_text(token) else { continue };
        if other.len() == 1 || other != token.as_bytes() && may_be_in_text(&other) {
            let reason = "is how vocab.json and tokenizer.json spell another token, so it could not be saved; choose another text, such as <|name|>";
            return Err(Error::SpecialToken { token: token.clone(), index, reason });
        }
    }
    Ok(())
}

/// Whether bytes are a stretch of UTF-8 text, which may begin and end inside a character.
fn may_be_in_text(bytes: &[u8]) -> bool {
    let is_continuation = |byte: &&u8| **byte & 0xC0 == 0x80;
    let begun = bytes.iter().take(3).take_while(is_continuation).count();
    match str::from_utf8(&bytes[begun..]) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

/// The tokens that are bytes or made by merges. Their bytes differ from each other, so their names do, too.
pub(super) struct MadeTokens<'t> {
    is_made: Vec<bool>,
    ids: HashMap<&'t [u8], TokenId>,
}

impl<'t> MadeTokens<'t> {
    pub fn new(tokenizer: &'t Tokenizer) -> Self {
        let vocab = tokenizer.vocab();
        let mut made = MadeTokens { is_made: vec![false; vocab.len()], ids: vocab.ids() };
        let mut token = Vec::new();
        for byte in 0..=255_u8 {
            made.mark(&[byte]);
        }
        for &(left, right) in tokenizer.merges().as_slice() {
            token.clear();
            for id in [left, right] {
                token.extend_from_slice(vocab.get(id).unwrap_or_default());
            }
            made.mark(&token);
        }
        made
    }

    fn mark(&mut self, token: &[u8]) {
        if let Some(&id) = self.ids.get(token) {
            self.is_made[id as usize] = true;
        }
    }

    pub fn contains(&self, id: TokenId) -> bool {
        self.is_made[id as usize]
    }

    fn id(&self, token: &[u8]) -> Option<TokenId> {
        self.ids.get(token).copied().filter(|&id| self.contains(id))
    }
}

/// The names of tokens in a file, by id. An id without a token has an empty name.
///
/// Bytes and tokens that merges make are named in GPT-2's alphabet, special tokens by their text. All other tokens are named
/// in the alphabet, or by their text where that name is taken. `from_names` reads each name as it is written here.
pub(super) fn token_names(tokenizer: &Tokenizer, made: &MadeTokens<'_>) -> Result<Vec<String>, Error> {
    let vocab = tokenizer.vocab();
    let mut names = Names { names: vec![String::new(); vocab.len()], made, others: HashMap::new() };
    for (id, token) in vocab.iter().filter(|&(id, _)| made.contains(id)) {
        names.names[id as usize] = byte_alphabet::to_text(token);
    }
    for (token, &id) in tokenizer.special_tokens().as_slice().iter().zip(tokenizer.special_ids()) {
        names.give(id, token.clone())?;
    }
    for (id, token) in vocab.iter() {
        if names.of(id).is_empty() {
            let name = byte_alphabet::to_text(token);
            let text = || str::from_utf8(token).ok().filter(|text| byte_alphabet::from_text(text).is_none());
            let free = if names.owner(&name).is_none() { None } else { text() };
            names.give(id, free.map_or(name, str::to_owned))?;
        }
    }
    Ok(names.names)
}

/// Names for ids, each name used once. Only the names of tokens that are neither bytes nor made by merges are
/// hashed, because those tokens are few.
struct Names<'t> {
    names: Vec<String>,
    made: &'t MadeTokens<'t>,
    others: HashMap<String, TokenId>,
}

impl Names<'_> {
    fn of(&self, id: TokenId) -> &str {
        &self.names[id as usize]
    }

    fn owner(&self, name: &str) -> Option<TokenId> {
        let made = || self.made.id(&byte_alphabet::from_text(name)?);
        self.others.get(name).copied().or_else(made)
    }

    fn give(&mut self, id: TokenId, name: String) -> Result<(), Error> {
        let refused = |reason| Err(Error::Tokenizer { reason });
        if let Some(other) = self.owner(&name).filter(|&other| other != id) {
            return refused(format!(
                "tokens {other} and {id} would both be written as {name:?}; rename the special one"
            ));
        }
        if !self.of(id).is_empty() && *self.of(id) != name {
            return refused(format!(
                "special token {name:?} has the id {id} of a token that is written as {:?}; give it an id of its own",
                self.of(id)
            ));
        }
        self.names[id as usize].clone_from(&name);
        self.others.insert(name, id);
        Ok(())
    }
}

/// The names that are not empty, with their ids.
pub(super) fn ids_of(names: &[String]) -> impl Iterator<Item = (&String, TokenId)> {
    names.iter().zip(0..).filter(|(name, _)| !name.is_empty())
}
