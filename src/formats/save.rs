/*!
Saving a tokenizer in all formats at once.
*/

use super::file_names::*;
use super::token_names::{MadeTokens, token_names};
use super::write_folder::write_folder;
use super::{gpt2, tiktoken, tokenizer_json, training_json};
use crate::error::Error;
use crate::tokenizer::Tokenizer;
use crate::training::Training;
use std::path::Path;

/// Writes all formats into a folder, which is created if it does not exist. The files appear whole or not at
/// all. tiktoken's files are left out if ids are not in the order of the merges, and `training.json` if there
/// is no record of the training. GPT-2's two files are left out if pretokens are tokens that no merge makes
/// ([`Tokenizer::ignores_merges`]). Old files of another tokenizer are removed.
///
/// # Errors
/// [`Error::Exists`] unless `replace`; [`Error::Tokenizer`] if two tokens would be written alike; [`Error::Format`] if
/// the training is not this tokenizer's; [`Error::Io`].
pub fn save(
    tokenizer: &Tokenizer,
    training: Option<&Training>,
    folder: &Path,
    replace: bool,
) -> Result<(), Error> {
    let made = MadeTokens::new(tokenizer);
    let names = token_names(tokenizer, &made)?;
    let mut files = vec![
        (TOKENIZER_JSON, tokenizer_json::to_json(tokenizer, &names)),
        (TOKENIZER_CONFIG, tokenizer_json::config(tokenizer)),
    ];
    if !tokenizer.ignores_merges() {
        files.push((VOCAB_JSON, gpt2::vocab_json(&names)));
        files.push((MERGES_TXT, gpt2::merges_txt(tokenizer, &names)));
    }
    if let Some((ranks, side)) = tiktoken::to_text(tokenizer, &made) {
        files.extend([(TIKTOKEN, ranks), (TIKTOKEN_JSON, side)]);
    }
    if let Some(training) = training {
        training
            .check_fits(tokenizer.merges().len())
            .map_err(|reason| Error::format(folder.join(TRAINING_JSON), reason))?;
        files.push((TRAINING_JSON, training_json::to_json(training)));
    }
    write_folder(folder, &files, &FILE_NAMES, replace)
}
