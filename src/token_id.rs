/*!
The number of a token.

It has a file of its own because the whole pipeline needs it, and learning merges needs nothing else of a vocabulary.
*/

/// The number of a token. It is u32 everywhere, and made from `usize` by checked conversion only.
pub type TokenId = u32;
