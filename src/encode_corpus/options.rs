/*!
How a corpus is encoded, and the checks of those options.
*/

use crate::corpus::Corpus;
use crate::error::Error;
use crate::threads::MIN_SHARE;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};

/// The nominal length of a chunk. (benches/record/3-encode.md)
const CHUNK_BYTES: usize = 1 << 19;

/// Options for encoding a corpus.
#[derive(Clone, Debug)]
pub struct EncodeOptions {
    /// The meaning of special tokens in a text. By default it is [`Special::Allow`] in files of text, and
    /// [`Special::Text`] in JSON lines and tables.
    pub special: Option<Special>,
    /// The special token that is added between files of text, where the text has none there, and after each
    /// text of JSON lines or of a table.
    pub separator: Option<String>,
    /// The maximum number of worker threads.
    pub threads: usize,
    /// The minimum number of bytes of the corpus for each worker beyond the second, if its length is known.
    pub min_share: u64,
    /// The nominal length of a chunk in bytes.
    pub chunk_bytes: usize,
}

impl EncodeOptions {
    /// The usual options. The separator is the tokenizer's only special token. If the tokenizer has several,
    /// the separator is `<|endoftext|>`, if that is one of them.
    pub fn new(tokenizer: &Tokenizer, threads: usize) -> Self {
        let separator = match tokenizer.special_tokens().as_slice() {
            [only] => Some(only.clone()),
            several => several.iter().find(|token| *token == "<|endoftext|>").cloned(),
        };
        EncodeOptions { special: None, separator, threads, min_share: MIN_SHARE, chunk_bytes: CHUNK_BYTES }
    }
}

/// The id of the separator, if there is one.
///
/// # Errors
/// [`Error::Option`] for a separator that is not a special token, or that is missing where texts need one.
pub(crate) fn separator_id(
    tokenizer: &Tokenizer,
    corpus: &Corpus,
    options: &EncodeOptions,
) -> Result<Option<TokenId>, Error> {
    let Some(separator) = &options.separator else {
        let infos = corpus.infos()?;
        if infos.len() > 1 || infos.iter().any(|info| info.json_field.is_some()) {
            return Err(Error::Option {
                name: "separator",
                value: "none".to_owned(),
                rule: "a special token to put between texts, as the corpus has several files, JSON lines or a table",
            });
        }
        return Ok(None);
    };
    tokenizer.special_id(separator).map(Some).ok_or_else(|| Error::Option {
        name: "separator",
        value: format!("{separator:?}"),
        rule: "one of the tokenizer's special tokens",
    })
}
