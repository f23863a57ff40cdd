/*!
`training.json`: what training saw ([`Training`]), one entry a line.

Counts are exact integers of up to 64 bits, which some readers of JSON round beyond 2^53. The starts of pretokens are
bytes, written in GPT-2's alphabet as tokens are.
*/

use super::{parse_json_text, read};
use crate::byte_alphabet;
use crate::error::Error;
use crate::merges::TieBreak;
use crate::training::{LongPretoken, Training};
use serde_json::{Value, json};
use std::path::Path;

/// The text of the file.
pub fn to_json(training: &Training) -> String {
    let longest: Vec<Value> = training
        .longest_pretokens
        .iter()
        .map(|pretoken| {
            let start = byte_alphabet::to_text(&pretoken.start);
            json!({"length": pretoken.length, "count": pretoken.count, "start": start})
        })
        .collect();
    let entries = [
        ("version", json!(training.version)),
        ("pattern", json!(training.pattern)),
        ("tie_break", json!(training.tie_break.name())),
        ("min_frequency", json!(training.min_frequency)),
        ("max_token_length", json!(training.max_token_length)),
        ("num_bytes", json!(training.num_bytes)),
        ("skipped_lines", json!(training.skipped_lines)),
        ("num_pretokens", json!(training.num_pretokens)),
        ("num_distinct_pretokens", json!(training.num_distinct_pretokens)),
        ("seconds", json!({"count": training.count_seconds, "merge": training.merge_seconds})),
        ("longest_pretokens", json!(longest)),
        ("merge_counts", json!(training.merge_counts)),
        ("token_uses", json!(training.token_uses)),
    ];
    let lines: Vec<String> = entries.iter().map(|(key, value)| format!("  \"{key}\": {value}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// Reads the file.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] naming the entry that is wrong.
pub fn load(path: &Path) -> Result<Training, Error> {
    from_json(&read(path)?, path)
}

/// Reads the file's text; `path` is for errors.
///
/// # Errors
/// [`Error::Format`] naming the entry that is wrong.
pub fn from_json(text: &str, path: &Path) -> Result<Training, Error> {
    parse(&parse_json_text(text, path)?).map_err(|reason| Error::format(path, reason))
}

fn parse(file: &Value) -> Result<Training, String> {
    let tie_break = TieBreak::new(text(file, "tie_break")?).map_err(|error| error.to_string())?;
    let max_token_length = match &file["max_token_length"] {
        Value::Null => None,
        _ => Some(length(file, "max_token_length")?),
    };
    let longest = list(file, "longest_pretokens")?;
    Ok(Training {
        version: text(file, "version")?.to_owned(),
        pattern: text(file, "pattern")?.to_owned(),
        tie_break,
        min_frequency: number(file, "min_frequency")?,
        max_token_length,
        num_bytes: number(file, "num_bytes")?,
        skipped_lines: number(file, "skipped_lines")?,
        num_pretokens: number(file, "num_pretokens")?,
        num_distinct_pretokens: length(file, "num_distinct_pretokens")?,
        count_seconds: seconds(file, "count")?,
        merge_seconds: seconds(file, "merge")?,
        longest_pretokens: longest.iter().map(long_pretoken).collect::<Result<_, _>>()?,
        merge_counts: numbers(file, "merge_counts")?,
        token_uses: numbers(file, "token_uses")?,
    })
}

fn long_pretoken(value: &Value) -> Result<LongPretoken, String> {
    let start = text(value, "start")?;
    Ok(LongPretoken {
        length: length(value, "length")?,
        count: number(value, "count")?,
        start: byte_alphabet::from_text(start)
            .ok_or_else(|| format!("start is {start:?}, which is not in GPT-2's alphabet of bytes"))?,
    })
}

fn number(value: &Value, key: &str) -> Result<u64, String> {
    value[key].as_u64().ok_or_else(|| format!("{key} is {}, not a count", value[key]))
}

fn length(value: &Value, key: &str) -> Result<usize, String> {
    usize::try_from(number(value, key)?).map_err(|error| format!("{key} is {}: {error}", value[key]))
}

fn text<'v>(value: &'v Value, key: &str) -> Result<&'v str, String> {
    value[key].as_str().ok_or_else(|| format!("{key} is {}, not a string", value[key]))
}

fn seconds(file: &Value, stage: &str) -> Result<f64, String> {
    let seconds = &file["seconds"][stage];
    seconds.as_f64().ok_or_else(|| format!("seconds.{stage} is {seconds}, not a number"))
}

fn list<'v>(value: &'v Value, key: &str) -> Result<&'v [Value], String> {
    value[key].as_array().map(Vec::as_slice).ok_or_else(|| format!("{key} is not a list"))
}

fn numbers(file: &Value, key: &str) -> Result<Vec<u64>, String> {
    let number = |(i, value): (usize, &Value)| {
        value.as_u64().ok_or_else(|| format!("{key}[{i}] is {value}, not a count"))
    };
    list(file, key)?.iter().enumerate().map(number).collect()
}
