/*!
How a token file is written.
*/

use super::dtype::Dtype;
use crate::corpus::Shard;
use crate::encode_corpus::EncodeOptions;

/// How a token file is written.
#[derive(Clone, Debug)]
pub struct TokenFileOptions {
    /// The options for encoding the texts.
    pub encode: EncodeOptions,
    /// The type of the ids: by default uint16 if the greatest id fits, else uint32.
    pub dtype: Option<Dtype>,
    /// Whether to write an index of the documents.
    pub index: bool,
    /// The part of the corpus to encode; all of it by default.
    pub shard: Option<Shard>,
    /// Whether to go on where an interrupted run stopped, if there was one.
    pub resume: bool,
    /// Whether to replace the file, and the files of an interrupted run.
    pub force: bool,
}

impl TokenFileOptions {
    /// The default options.
    pub fn new(encode: EncodeOptions) -> Self {
        TokenFileOptions { encode, dtype: None, index: true, shard: None, resume: false, force: false }
    }
}
