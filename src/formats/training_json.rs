/*!
`training.json`: the statistics of a training ([`Training`]), one entry a line. Only the record of a tokenizer that was
extended has the entry `init`.

Counts are exact integers of up to 64 bits; some readers of JSON round them beyond 2^53. The starts of
pretokens are bytes, so they are written in GPT-2's alphabet, as tokens are.
*/

use super::read::read_text;
use crate::byte_alphabet;
use crate::error::Error;
use crate::json::{self, Object};
use crate::merges::TieBreak;
use crate::training::{Init, LongPretoken, Training};
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
    let init = training.init.as_ref().map(|init| {
        let Init { sha256, num_merges, num_ids } = init;
        ("init", json!({"sha256": sha256, "num_merges": num_merges, "num_ids": num_ids}))
    });
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
    let lines: Vec<String> =
        init.iter().chain(&entries).map(|(key, value)| format!("  \"{key}\": {value}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// Reads the file.
///
/// # Errors
/// [`Error::Io`]; [`Error::Format`] naming the entry that is wrong.
pub fn load(path: &Path) -> Result<Training, Error> {
    from_json(&read_text(path)?, path)
}

/// Reads the file's text; `path` is for errors.
///
/// # Errors
/// [`Error::Format`] naming the entry that is wrong.
pub fn from_json(text: &str, path: &Path) -> Result<Training, Error> {
    json::parse(text).and_then(|file| parse(&file)).map_err(|reason| Error::format(path, reason))
}

fn parse(file: &Value) -> Result<Training, String> {
    let file = Object::new(file)?;
    let tie_break = TieBreak::new(file.string("tie_break")?).map_err(|error| error.to_string())?;
    let max_token_length =
        file.lenient("max_token_length").map(|_| file.size("max_token_length")).transpose()?;
    let seconds = Object::new(file.get("seconds")?).map_err(|reason| format!("seconds is {reason}"))?;
    let seconds = |stage| seconds.float(stage).map_err(|reason| format!("seconds.{reason}"));
    let longest = file.list("longest_pretokens")?;
    Ok(Training {
        version: file.string("version")?.to_owned(),
        pattern: file.string("pattern")?.to_owned(),
        tie_break,
        min_frequency: file.number("min_frequency")?,
        max_token_length,
        num_bytes: file.number("num_bytes")?,
        skipped_lines: file.number("skipped_lines")?,
        num_pretokens: file.number("num_pretokens")?,
        num_distinct_pretokens: file.size("num_distinct_pretokens")?,
        count_seconds: seconds("count")?,
        merge_seconds: seconds("merge")?,
        longest_pretokens: longest.iter().map(long_pretoken).collect::<Result<_, _>>()?,
        merge_counts: file.numbers("merge_counts")?,
        token_uses: file.numbers("token_uses")?,
        init: file.lenient("init").map(init).transpose()?,
    })
}

fn init(value: &Value) -> Result<Init, String> {
    let within = |reason: String| format!("init: {reason}");
    let object = Object::new(value).map_err(|reason| format!("init is {reason}"))?;
    Ok(Init {
        sha256: object.string("sha256").map_err(within)?.to_owned(),
        num_merges: object.size("num_merges").map_err(within)?,
        num_ids: object.size("num_ids").map_err(within)?,
    })
}

fn long_pretoken(value: &Value) -> Result<LongPretoken, String> {
    let object = Object::new(value).map_err(|reason| format!("a long pretoken is {reason}"))?;
    let start = object.string("start")?;
    Ok(LongPretoken {
        length: object.size("length")?,
        count: object.number("count")?,
        start: byte_alphabet::from_text(start)
            .ok_or_else(|| format!("start is {start:?}, which is not in GPT-2's alphabet of bytes"))?,
    })
}
