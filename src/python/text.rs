/*!
Functions on texts: pretokens, and sample stories.
*/

use super::error::{guarded, to_py};
use super::run::run;
use crate::job::Job;
use crate::pretokenize::Pattern;
use crate::sample::{self, Split};
use pyo3::prelude::*;
use std::path::PathBuf;

/// The ranges of the pretokens of a text.
#[pyfunction]
pub(super) fn pretokenize(text: &[u8], pattern: &str) -> PyResult<Vec<(usize, usize)>> {
    guarded(|| {
        let mut spans = Vec::new();
        Pattern::new(pattern)
            .and_then(|pattern| {
                let visit = |range: std::ops::Range<usize>| spans.push((range.start, range.end));
                pattern.for_each_pretoken(text, 0..text.len(), &Job::default(), visit)
            })
            .map_err(to_py)?;
        Ok(spans)
    })
}

/// Writes stories into a file. Returns the number of bytes written.
#[pyfunction]
pub(super) fn write_sample(
    py: Python<'_>,
    path: PathBuf,
    num_bytes: u64,
    seed: u64,
    validation: bool,
) -> PyResult<u64> {
    guarded(|| {
        let split = if validation { Split::Validation } else { Split::Train };
        run(py, None, None, move |job| sample::write_file(&path, num_bytes, seed, split, job))
    })
}
