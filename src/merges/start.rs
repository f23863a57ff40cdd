/*!
What learning begins with: bytes, or the tokens of a tokenizer that is extended.

Why is a start no more than a list of merges and a function? Learning needs the bytes of the tokens that exist, for
the tie rule, and each pretoken as the old tokenizer encodes it. Everything else is the same: a merge makes a new
symbol, so a pair's count never rises after the step that creates it, whatever the words began as.

Nor can a new token have the bytes of an old one that merges make. Suppose that `a` and `b` stand side by side. Then
merging the bytes of both gives exactly these two tokens, because no merge so far crossed the borders of either. If an
old token had the same bytes, merging them would give that one token. So only tokens that no merge makes (special
tokens, and those that some published vocabularies have) can be in the way, and a pair with their bytes is never
merged.
*/

use crate::error::Error;
use std::collections::HashSet;

/// Appends the symbols of a pretoken, which occurs `count` times. Nothing is appended for a pretoken that is a token
/// which no merges make.
pub type Encode<'a> = Box<dyn FnMut(&[u8], u64, &mut Vec<u32>) -> Result<(), Error> + Send + 'a>;

/// The tokens and words with which learning begins. The default is the 256 bytes.
///
/// A symbol is a byte, or 256 plus the number of a merge.
#[derive(Default)]
pub struct Start<'a> {
    /// The merges that exist, as pairs of symbols, each after those that make its two symbols.
    pub merges: Vec<(u32, u32)>,
    /// The bytes of tokens that no merges make. Pairs with these bytes are never merged.
    pub taken: HashSet<Vec<u8>>,
    /// The symbols of a pretoken when these merges are applied; `None` for its bytes.
    pub encode: Option<Encode<'a>>,
}
