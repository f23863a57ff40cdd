/*!
Hugging Face's `tokenizer.json`.

The format can state far more than a byte-level BPE tokenizer needs. Settings that would change ids (a
normalizer, dropout, another pre-tokenizer, ...) are refused by name, never ignored. Settings that change none are
read: an empty list of normalizers, and rules for characters without a token (`unk_token`, `byte_fallback`), since
every byte must have a token. Truncation, padding and tokens that are added at the ends of a text belong to a call
and not to the tokenizer: they are left out, and [`load`] reports that. So the ids of a text are those that Hugging
Face gives with `add_special_tokens=False`.
*/

use super::from_names::{NamedMerge, NamedTokens, from_live_names};
use super::oniguruma;
use super::read::read_json;
use super::token_names::{MadeTokens, ids_of, token_names};
use crate::byte_alphabet;
use crate::error::Error;
use crate::pretokenize::Pattern;
use crate::tokenizer::Tokenizer;
use serde_json::{Map, Value, json};
use std::collections::HashSet;
use std::path::Path;

/// The normalizer NFC, which models of the Qwen family ship.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nfc {
    /// It is refused, as every normalizer is.
    Refuse,
    /// It is left out, because the caller's texts are in NFC.
    LeaveOut,
}

/// The text of a tokenizer.json.
///
/// # Errors
/// [`Error::Tokenizer`] if two tokens would be written alike.
pub fn text(tokenizer: &Tokenizer) -> Result<String, Error> {
    Ok(to_json(tokenizer, &token_names(tokenizer, &MadeTokens::new(tokenizer))?))
}

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
    let split = |regex: String| json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false});
    let pre_tokenizer = match tokenizer.pattern() {
        Pattern::Gpt2 => byte_level(true),
        other => {
            let splits = other.portable_splits().into_iter().map(split);
            let steps: Vec<Value> = splits.chain([byte_level(false)]).collect();
            json!({"type": "Sequence", "pretokenizers": steps})
        }
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
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": tokenizer.ignores_merges(),
            "vocab": vocab, "merges": merges,
        },
    });
    format!("{file:#}\n")
}

/// The text of `tokenizer_config.json`. If the class were missing, `AutoTokenizer` might rebuild the
/// tokenizer by its own rules, with other ids. By default it would also remove blanks before punctuation when
/// it decodes.
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

/// Reads a byte-level BPE tokenizer. Also returns a sentence for each setting in the file that is left out.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] naming the setting that is wrong or cannot be reproduced.
pub fn load(path: &Path, nfc: Nfc) -> Result<(Tokenizer, Vec<String>), Error> {
    let file = read_json(path)?;
    let tokenizer = parse(&file, nfc).map_err(|reason| Error::format(path, reason))?;
    Ok((tokenizer, left_out(&file, path)))
}

fn left_out(file: &Value, path: &Path) -> Vec<String> {
    let is_there = |key: &&str| !file[*key].is_null();
    let sentence =
        |key| format!("{}: its {key} is left out; a text gets all of its ids, and no others", path.display());
    let mut steps = Vec::new();
    flatten(&file["pre_tokenizer"], &mut steps);
    let regexes = steps.iter().filter_map(|step| step["pattern"]["Regex"].as_str());
    let read_otherwise = regexes.filter_map(|regex| read_otherwise(regex, path));
    let added = adds_tokens(&file["post_processor"]).then(|| {
        format!(
            "{}: its post_processor is left out; encode adds no tokens at the ends of a text, like Hugging Face's with add_special_tokens=False",
            path.display()
        )
    });
    let settings = ["truncation", "padding"].into_iter().filter(is_there).map(sentence);
    settings.chain(added).chain(read_otherwise).collect()
}

/// Returns a warning if Hugging Face would split texts differently by the pattern in its file.
pub fn differs(tokenizer: &Tokenizer, path: &Path) -> Option<String> {
    match tokenizer.pattern() {
        Pattern::Regex { source, .. } => read_otherwise(source, path),
        Pattern::Gpt2 | Pattern::Family { .. } | Pattern::DeepSeek => None,
    }
}

/// Describes, as a verb phrase, a part of the tokenizer's regular expression that Hugging Face's engine reads differently.
pub fn differing_part(tokenizer: &Tokenizer) -> Option<String> {
    match tokenizer.pattern() {
        Pattern::Regex { source, .. } => oniguruma::differs(source),
        Pattern::Gpt2 | Pattern::Family { .. } | Pattern::DeepSeek => None,
    }
}

fn read_otherwise(regex: &str, path: &Path) -> Option<String> {
    let what = oniguruma::differs(regex)?;
    Some(format!(
        "{}: the regex of the pre-tokenizer {what}, which Hugging Face's engine (Oniguruma) reads differently, so some texts get other ids there",
        path.display()
    ))
}

fn parse(file: &Value, nfc: Nfc) -> Result<Tokenizer, String> {
    let model = &file["model"];
    refuse_unless(model, "type", &["BPE"], "model")?;
    check_normalizer(file, nfc)?;
    if model["dropout"].as_f64() != Some(0.0) {
        refuse_unless_empty(model, "dropout", "the model")?;
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
        refuse_unless_empty(model, key, "the model")?;
    }
    check_post_processor(&file["post_processor"])?;
    let pattern = parse_pattern(&file["pre_tokenizer"])?;

    let vocab = model["vocab"].as_object().ok_or("model.vocab is not an object")?;
    let mut entries: Vec<(String, u64)> = Vec::with_capacity(vocab.len());
    for (name, id) in vocab {
        entries.push((
            name.clone(),
            id.as_u64().ok_or_else(|| format!("model.vocab: the id of {name:?} is not a number"))?,
        ));
    }
    let special = parse_added(file, vocab)?;
    entries.extend(
        special.iter().filter(|(_, name)| !vocab.contains_key(name)).map(|(id, name)| (name.clone(), *id)),
    );
    let tokens = NamedTokens::new(entries)?;
    let special: Vec<String> = special.into_iter().map(|(_, token)| token).collect();
    let tokenizer = from_live_names(&tokens, &special, &parse_merges(model)?, &pattern)?;
    if model["ignore_merges"] == true {
        check_whole(&tokenizer, &tokens, vocab)?;
        return Ok(tokenizer.with_ignored_merges());
    }
    refuse_unless_empty(model, "ignore_merges", "the model")?;
    Ok(tokenizer)
}

/// Refuses a normalizer that would change texts. NFC may be left out, unless an added token is normalized as well, in which
/// it may change the token.
fn check_normalizer(file: &Value, nfc: Nfc) -> Result<(), String> {
    let normalizer = &file["normalizer"];
    if changes_nothing(normalizer, "normalizers", &|_| false) {
        return Ok(());
    }
    let reason = would_change("the tokenizer", "normalizer", normalizer);
    match (changes_nothing(normalizer, "normalizers", &|step| step["type"] == "NFC"), nfc) {
        (true, Nfc::LeaveOut) => {
            let added = file["added_tokens"].as_array().into_iter().flatten();
            let content =
                |added: &Value| added["content"].as_str().is_some_and(|content| !content.is_ascii());
            match added.filter(|added| added["normalized"] == true).find(|added| content(added)) {
                Some(added) => Err(format!("{reason}; added token {} is normalized by it", added["content"])),
                None => Ok(()),
            }
        }
        (true, Nfc::Refuse) => Err(format!(
            "{reason}; if all texts are in NFC already (unicodedata.normalize), from_huggingface(..., texts_are_nfc=True) reads the file without it"
        )),
        (false, _) => Err(reason),
    }
}

/// The added tokens with their ids, in the order of the ids.
fn parse_added(file: &Value, vocab: &Map<String, Value>) -> Result<Vec<(u64, String)>, String> {
    let mut special: Vec<(u64, String)> = Vec::new();
    let mut by_pass = [Vec::new(), Vec::new()];
    for (i, added) in file["added_tokens"].as_array().into_iter().flatten().enumerate() {
        for key in ["single_word", "lstrip", "rstrip"] {
            refuse_unless_empty(added, key, &format!("added_tokens[{i}]"))?;
        }
        let content = added["content"].as_str().ok_or_else(|| format!("added_tokens[{i}] has no content"))?;
        let id = added["id"].as_u64().ok_or_else(|| format!("added_tokens[{i}] has no id"))?;
        if let Some(known) = vocab.get(content).and_then(Value::as_u64).filter(|&known| known != id) {
            return Err(format!("added_tokens[{i}]: {content:?} has id {id} here, {known} in model.vocab"));
        }
        by_pass[usize::from(added["normalized"] == true)].push(content);
        special.push((id, content.to_owned()));
    }
    check_new_ids(&special, vocab)?;
    let [first, second] = by_pass;
    let mut pairs = first.iter().flat_map(|a| second.iter().map(move |b| (a, b)));
    if let Some((a, b)) = pairs.find(|(a, b)| overlap(a, b)) {
        return Err(format!(
            "added tokens {a:?} and {b:?} can overlap in a text, and one of them is normalized: Hugging Face looks for the other one first, which cannot be reproduced"
        ));
    }
    special.sort_unstable();
    Ok(special)
}

/// Refuses ids that Hugging Face would not take from the file. It ignores the ids of added tokens that the
/// model lacks, and numbers those tokens itself, beginning at the number of the model's tokens.
fn check_new_ids(added: &[(u64, String)], vocab: &Map<String, Value>) -> Result<(), String> {
    let new = added.iter().enumerate().filter(|(_, (_, content))| !vocab.contains_key(content));
    for (expected, (i, (id, content))) in (vocab.len() as u64..).zip(new) {
        if *id != expected {
            return Err(format!(
                "added_tokens[{i}]: {content:?} is not in model.vocab, so Hugging Face gives it the id {expected} instead of {id}; write that, or add it to model.vocab with the id that is meant"
            ));
        }
    }
    Ok(())
}

/// Whether matches of both can overlap in some text.
fn overlap(a: &str, b: &str) -> bool {
    let meet =
        |a: &str, b: &str| (1..=a.len().min(b.len())).any(|len| a.as_bytes().ends_with(&b.as_bytes()[..len]));
    a.contains(b) || b.contains(a) || meet(a, b) || meet(b, a)
}

fn parse_merges(model: &Value) -> Result<Vec<NamedMerge<'_>>, String> {
    let merges = model["merges"].as_array().ok_or("model.merges is not a list")?;
    let mut pairs = Vec::with_capacity(merges.len());
    for (i, merge) in merges.iter().enumerate() {
        let place = format!("model.merges[{i}]");
        let pair = match merge {
            Value::String(pair) => pair.split_once(' '),
            Value::Array(pair) if pair.len() == 2 => pair[0].as_str().zip(pair[1].as_str()),
            _ => None,
        };
        let (left, right) = pair.ok_or_else(|| format!("{place} is not a pair of tokens"))?;
        pairs.push((place, left, right));
    }
    Ok(pairs)
}

/// With `ignore_merges` a pretoken whose name is that of a token of the model becomes that token at once. Here it becomes
/// the token with its bytes, unless that is special. Refuses the tokens for which this differs: a special `Ġx`, which is
/// also the name of the pretoken ` x`, and a token whose name is no pretoken's.
fn check_whole(
    tokenizer: &Tokenizer,
    tokens: &NamedTokens,
    vocab: &Map<String, Value>,
) -> Result<(), String> {
    let special: HashSet<&String> = tokenizer.special_tokens().as_slice().iter().collect();
    let named_otherwise = |name: &String, token: &[u8]| {
        special.contains(name) && str::from_utf8(token).is_ok_and(|text| text != name.as_str())
    };
    for (name, id) in ids_of(&tokens.names).filter(|(name, _)| vocab.contains_key(*name)) {
        let is_refused = match byte_alphabet::from_text(name) {
            Some(token) => named_otherwise(name, &token) && !tokenizer.reaches(&token, id),
            None => !special.contains(name),
        };
        if is_refused {
            return Err(format!(
                "the model has ignore_merges = true, and its merges do not make token {id}, {name:?}, whose name is not that of its text: ids would change, which cannot be reproduced"
            ));
        }
    }
    Ok(())
}

/// Whether a step changes no text: it is missing, `is_harmless`, or a list of such steps.
fn changes_nothing(step: &Value, list: &str, is_harmless: &dyn Fn(&Value) -> bool) -> bool {
    let steps = (step["type"] == "Sequence").then(|| step[list].as_array()).flatten();
    step.is_null()
        || is_harmless(step)
        || steps.is_some_and(|steps| steps.iter().all(|step| changes_nothing(step, list, is_harmless)))
}

/// Refuses steps that do something else than to add tokens at the ends of a text.
fn check_post_processor(step: &Value) -> Result<(), String> {
    let only_adds = match step["type"].as_str() {
        None => step.is_null(),
        Some("ByteLevel" | "BertProcessing" | "RobertaProcessing") => true,
        Some("TemplateProcessing") => {
            pieces(step).filter(|piece| piece["Sequence"]["id"] == "A").count() == 1
        }
        Some("Sequence") => {
            return step["processors"].as_array().into_iter().flatten().try_for_each(check_post_processor);
        }
        Some(_) => false,
    };
    if only_adds { Ok(()) } else { Err(would_change("the tokenizer", "post_processor", step)) }
}

/// Whether a step that was not refused adds tokens at the ends of a text.
fn adds_tokens(step: &Value) -> bool {
    match step["type"].as_str() {
        Some("BertProcessing" | "RobertaProcessing") => true,
        Some("TemplateProcessing") => pieces(step).count() > 1,
        _ => step["processors"].as_array().into_iter().flatten().any(adds_tokens),
    }
}

/// The pieces of a template for one text.
fn pieces(template: &Value) -> impl Iterator<Item = &Value> {
    template["single"].as_array().into_iter().flatten()
}

fn parse_pattern(pre_tokenizer: &Value) -> Result<Pattern, String> {
    let is_byte_level = |value: &Value, use_regex: bool| {
        value["type"] == "ByteLevel"
            && value["add_prefix_space"] == false
            && value["use_regex"].as_bool().unwrap_or(true) == use_regex
    };
    let mut steps = Vec::new();
    flatten(pre_tokenizer, &mut steps);
    let refused = format!(
        "the pre-tokenizer {pre_tokenizer} cannot be reproduced; only ByteLevel, or Splits by regexes followed by ByteLevel, can"
    );
    match steps[..] {
        [step] if is_byte_level(step, true) => Ok(Pattern::Gpt2),
        [ref splits @ .., step] if !splits.is_empty() && is_byte_level(step, false) => {
            let regexes: Option<Vec<&str>> = splits.iter().map(|split| regex_of(split)).collect();
            let pattern = Pattern::from_splits(&regexes.ok_or(&refused[..])?);
            let pattern = pattern.map_err(|error| error.to_string())?;
            let leaves_nothing = matches!(pattern, Pattern::Gpt2 | Pattern::Family { .. });
            match splits.iter().all(|split| keeps_all(split)) || leaves_nothing {
                true => Ok(pattern),
                false => Err(refused),
            }
        }
        _ => Err(refused),
    }
}

/// The regular expression of a Split whose pieces include each match.
fn regex_of(split: &Value) -> Option<&str> {
    let keeps_matches = keeps_all(split) || split["behavior"] == "Removed" && split["invert"] == true;
    split["pattern"]["Regex"].as_str().filter(|_| split["type"] == "Split" && keeps_matches)
}

/// Whether the stretches between two matches are pieces, too.
fn keeps_all(split: &Value) -> bool {
    split["behavior"] == "Isolated" && split["invert"] == false
}

/// Collects the steps of a pre-tokenizer, with nested lists flattened.
fn flatten<'v>(step: &'v Value, steps: &mut Vec<&'v Value>) {
    match step["pretokenizers"].as_array().filter(|_| step["type"] == "Sequence") {
        Some(list) => list.iter().for_each(|step| flatten(step, steps)),
        None => steps.push(step),
    }
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
        other => Err(would_change(place, key, other)),
    }
}

fn would_change(place: &str, key: &str, value: &Value) -> String {
    format!("{place} has {key} = {value}, which would change ids and cannot be reproduced")
}
