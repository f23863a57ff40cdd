/*!
Hugging Face's `tokenizer.json`.

The format can say far more than a byte-level BPE tokenizer does. What would change ids (a normalizer, dropout, byte
fallback, another pre-tokenizer, ...) is refused by name rather than ignored.
*/

use super::{NamedTokens, from_names, ids_of, parse_json};
use crate::error::Error;
use crate::pretokenize::{Pattern, cl100k};
use crate::tokenizer::Tokenizer;
use serde_json::{Map, Value, json};
use std::path::Path;

pub(super) fn to_json(tokenizer: &Tokenizer, names: &[String]) -> String {
    let added: Vec<Value> = tokenizer
        .special_tokens()
        .as_slice()
        .iter()
        .zip(tokenizer.special_ids())
        .map(|(token, id)| {
            json!({
                "id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true,
            })
        })
        .collect();
    let byte_level = |use_regex| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
    let split = |regex: &str| {
        json!({
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false},
                byte_level(false),
            ],
        })
    };
    let pre_tokenizer = match tokenizer.pattern() {
        Pattern::Gpt2 => byte_level(true),
        Pattern::Cl100k => split(cl100k::PORTABLE_PATTERN),
        other => split(other.source()),
    };
    let vocab: Map<String, Value> = ids_of(names).map(|(name, id)| (name.clone(), id.into())).collect();
    let name = |id: u32| &names[id as usize];
    let merges: Vec<Value> =
        tokenizer.merges().as_slice().iter().map(|&(left, right)| json!([name(left), name(right)])).collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": byte_level(true),
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
            "vocab": vocab, "merges": merges,
        },
    });
    format!("{file:#}\n")
}

/// `tokenizer_config.json`. Without the class, `AutoTokenizer` may build the tokenizer anew as it thinks best, with other
/// ids; and by default it removes blanks before punctuation when it decodes.
pub(super) fn config(tokenizer: &Tokenizer) -> String {
    let special_tokens = tokenizer.special_tokens().as_slice();
    let end_of_text = special_tokens.iter().find(|token| *token == "<|endoftext|>");
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
        "model_max_length": 1_000_000_000,
    });
    if let Some(token) = end_of_text {
        config["eos_token"] = json!(token);
    }
    format!("{config:#}\n")
}

/// Reads a byte-level BPE tokenizer.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] naming what is wrong or cannot be reproduced.
pub fn load(path: &Path) -> Result<Tokenizer, Error> {
    parse(&parse_json(path)?).map_err(|reason| Error::format(path, reason))
}

fn parse(file: &Value) -> Result<Tokenizer, String> {
    let model = &file["model"];
    refuse_unless(model, "type", &["BPE"], "model")?;
    for key in ["truncation", "padding", "normalizer"] {
        refuse_unless_empty(file, key, "the tokenizer")?;
    }
    for key in [
        "dropout",
        "unk_token",
        "continuing_subword_prefix",
        "end_of_word_suffix",
        "byte_fallback",
        "ignore_merges",
    ] {
        refuse_unless_empty(model, key, "the model")?;
    }
    if !file["post_processor"].is_null() {
        refuse_unless(&file["post_processor"], "type", &["ByteLevel"], "post_processor")?;
    }
    let pattern = parse_pattern(&file["pre_tokenizer"])?;

    let vocab = model["vocab"].as_object().ok_or("model.vocab is not an object")?;
    let mut entries: Vec<(String, u64)> = Vec::with_capacity(vocab.len());
    for (name, id) in vocab {
        entries.push((
            name.clone(),
            id.as_u64().ok_or_else(|| format!("model.vocab: the id of {name:?} is not a number"))?,
        ));
    }
    let mut special: Vec<(u64, String)> = Vec::new();
    for (i, added) in file["added_tokens"].as_array().into_iter().flatten().enumerate() {
        for key in ["single_word", "lstrip", "rstrip"] {
            refuse_unless_empty(added, key, &format!("added_tokens[{i}]"))?;
        }
        let content = added["content"].as_str().ok_or_else(|| format!("added_tokens[{i}] has no content"))?;
        let id = added["id"].as_u64().ok_or_else(|| format!("added_tokens[{i}] has no id"))?;
        special.push((id, content.to_owned()));
        match vocab.get(content).and_then(Value::as_u64) {
            None => entries.push((content.to_owned(), id)),
            Some(known) if known == id => {}
            Some(known) => {
                return Err(format!(
                    "added_tokens[{i}]: {content:?} has id {id} here, {known} in model.vocab"
                ));
            }
        }
    }
    let tokens = NamedTokens::new(entries)?;
    let merges = model["merges"].as_array().ok_or("model.merges is not a list")?;
    let merges: Vec<(String, &str, &str)> = merges
        .iter()
        .enumerate()
        .map(|(i, merge)| {
            let place = format!("model.merges[{i}]");
            let pair = match merge {
                Value::String(pair) => pair.split_once(' '),
                Value::Array(pair) if pair.len() == 2 => pair[0].as_str().zip(pair[1].as_str()),
                _ => None,
            };
            let (left, right) = pair.ok_or_else(|| format!("{place} is not a pair of tokens"))?;
            Ok((place, left, right))
        })
        .collect::<Result<_, String>>()?;
    special.sort_unstable();
    let special = special.into_iter().map(|(_, token)| token).collect();
    from_names(&tokens, Some(special), merges.into_iter(), pattern)
}

fn parse_pattern(pre_tokenizer: &Value) -> Result<Pattern, String> {
    let is_byte_level = |value: &Value, use_regex: bool| {
        value["type"] == "ByteLevel"
            && value["add_prefix_space"] == false
            && value["use_regex"].as_bool().unwrap_or(true) == use_regex
    };
    if is_byte_level(pre_tokenizer, true) {
        return Ok(Pattern::Gpt2);
    }
    if pre_tokenizer["type"] == "Sequence"
        && let Some([split, byte_level]) = pre_tokenizer["pretokenizers"].as_array().map(Vec::as_slice)
        && split["type"] == "Split"
        && split["behavior"] == "Isolated"
        && split["invert"] == false
        && let Some(regex) = split["pattern"]["Regex"].as_str()
        && is_byte_level(byte_level, false)
    {
        return Pattern::new(regex).map_err(|error| error.to_string());
    }
    Err(format!(
        "the pre-tokenizer {pre_tokenizer} cannot be reproduced; only ByteLevel, or a Split by a regex and ByteLevel"
    ))
}

fn refuse_unless(value: &Value, key: &str, allowed: &[&str], place: &str) -> Result<(), String> {
    match value[key].as_str() {
        Some(found) if allowed.contains(&found) => Ok(()),
        _ => Err(format!("{place}.{key} is {}, only {allowed:?} can be reproduced", value[key])),
    }
}

fn refuse_unless_empty(value: &Value, key: &str, place: &str) -> Result<(), String> {
    match &value[key] {
        Value::Null | Value::Bool(false) => Ok(()),
        Value::String(text) if text.is_empty() => Ok(()),
        other => Err(format!("{place} has {key} = {other}, which would change ids and cannot be reproduced")),
    }
}
