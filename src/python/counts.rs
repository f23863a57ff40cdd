/*!
Count files: counting into them, adding them, and reading them.
*/

use super::error::{guarded, to_py};
use super::run::run;
use super::train::{Source, open};
use crate::corpus::Shard;
use crate::count_corpus::{CountOptions, Part, add_counts, count_corpus};
use crate::count_file::{CountReader, Header, Weight};
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::threads::resolve_threads;
use pyo3::prelude::*;
use std::path::PathBuf;

/// A header: pattern, special tokens, distinct pretokens, pretokens, bytes of text, skipped lines.
type Description = (String, Vec<String>, u64, u64, u64, u64);

fn description(header: Header) -> Description {
    let Header { rules, num_distinct, num_pretokens, num_bytes, skipped_lines } = header;
    (rules.pattern, rules.special_tokens, num_distinct, num_pretokens, num_bytes, skipped_lines)
}

#[pyfunction]
#[pyo3(signature = (source, out, special_tokens, *, pattern, shard, threads, memory_limit, force, progress, input_format, json_field, bad_lines))]
#[allow(clippy::too_many_arguments)] // They are the options of the Python function, one for one.
pub(super) fn count<'py>(
    py: Python<'py>,
    source: Source<'py>,
    out: PathBuf,
    special_tokens: Vec<String>,
    pattern: &str,
    shard: Option<(u64, u64)>,
    threads: Option<usize>,
    memory_limit: Option<u64>,
    force: bool,
    progress: Option<Bound<'py, PyAny>>,
    input_format: &str,
    json_field: String,
    bad_lines: &str,
) -> PyResult<Description> {
    guarded(|| {
        let special_tokens = SpecialTokens::new(special_tokens).map_err(to_py)?;
        let options = CountOptions {
            threads: resolve_threads(threads).map_err(to_py)?,
            memory_limit,
            shard: shard.map(|(index, of)| Shard::new(index, of)).transpose().map_err(to_py)?,
            replace: force,
            ..CountOptions::new(Pattern::new(pattern).map_err(to_py)?, special_tokens)
        };
        let (corpus, texts) = open(source, input_format, json_field, bad_lines)?;
        let header = run(py, progress, texts, move |job| count_corpus(&corpus, &options, &out, job))?;
        Ok(description(header))
    })
}

/// Adds count files. Each has a weight, a decimal number in words.
#[pyfunction]
pub(super) fn add_count_files(
    py: Python<'_>,
    parts: Vec<(PathBuf, String)>,
    out: PathBuf,
    force: bool,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<Description> {
    guarded(|| {
        let part = |(path, weight): (PathBuf, String)| Ok(Part { path, weight: Weight::new(&weight)? });
        let parts: Vec<Part> = parts.into_iter().map(part).collect::<Result<_, _>>().map_err(to_py)?;
        let header = run(py, progress, None, move |job| add_counts(&parts, &out, force, job))?;
        Ok(description(header))
    })
}

/// Reads the header of a count file.
#[pyfunction]
pub(super) fn open_count_file(path: PathBuf) -> PyResult<Description> {
    guarded(|| {
        let reader = CountReader::open(&path).map_err(to_py)?;
        Ok(description(reader.header().clone()))
    })
}
