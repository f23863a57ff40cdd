//! The record of the scorecard in tests/faults, as tests/cases.py keeps it for Python: how many cases a test runs, and a
//! line of JSON for each test that has passed.

use std::io::Write;

/// So many cases in every run, more with `BPE_LM_CASES=many`.
pub fn few_or(few: usize, many: usize) -> usize {
    if std::env::var("BPE_LM_CASES").is_ok_and(|value| value == "many") { many } else { few }
}

/// Says that so many cases of a row have passed.
pub fn passed(row: &str, cases: usize) {
    let Some(path) = std::env::var_os("BPE_LM_RECORD") else { return };
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let line = format!(
        "{{\"test\": \"{test}\", \"row\": \"{row}\", \"asked\": {cases}, \"passed\": {cases}, \"outcome\": \"passed\"}}\n"
    );
    let mut file = std::fs::File::options().append(true).create(true).open(path).expect("the record");
    file.write_all(line.as_bytes()).expect("the record");
}
