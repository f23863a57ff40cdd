/*!
Count files: counting into them, adding them, reading them, and their entries as columns for tables.
*/

use super::error::{guarded, to_py};
use super::run::run;
use super::train::{Source, open};
use crate::corpus::Shard;
use crate::count_corpus::{CountOptions, Part, add_counts, collect_counts, count_corpus, store_collected};
use crate::count_file::{CountReader, Header, Rules, SortedCounts, Weight};
use crate::counts::CollectedCounts;
use crate::error::Error;
use crate::job::Job;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::threads::resolve_threads;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
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
        let (corpus, texts) =
            open(source, (memory_limit, options.threads), input_format, json_field, bad_lines)?;
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

/// The most bytes of pretokens, and the most pretokens, in a batch of entries.
const BATCH_BYTES: usize = 8 << 20;
const BATCH_LEN: usize = 1 << 18;

/// The entries of a count file, in order, in batches.
#[pyclass(module = "bpe_lm._core")]
pub(super) struct CountBatches {
    reader: CountReader,
    is_at_end: bool,
}

/// A batch: the bytes of its pretokens, their borders (4 bytes each), and their counts (8 bytes each).
type Batch<'py> = (Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyBytes>);

#[pymethods]
impl CountBatches {
    #[new]
    fn new(path: PathBuf) -> PyResult<Self> {
        guarded(|| Ok(CountBatches { reader: CountReader::open(&path).map_err(to_py)?, is_at_end: false }))
    }

    /// The rules, as JSON.
    #[getter]
    fn rules(&self) -> PyResult<String> {
        guarded(|| Ok(self.reader.header().rules.to_json()))
    }

    fn __iter__(this: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        guarded(|| Ok(this))
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Batch<'py>>> {
        guarded(|| {
            let [data, borders, counts] = py.detach(|| self.next_batch()).map_err(to_py)?;
            let bytes = |bytes: &[u8]| PyBytes::new(py, bytes);
            Ok((!counts.is_empty()).then(|| (bytes(&data), bytes(&borders), bytes(&counts))))
        })
    }
}

impl CountBatches {
    fn next_batch(&mut self) -> Result<[Vec<u8>; 3], Error> {
        let (mut data, mut borders, mut counts) = (Vec::new(), 0_i32.to_le_bytes().to_vec(), Vec::new());
        while !self.is_at_end && data.len() < BATCH_BYTES && counts.len() < 8 * BATCH_LEN {
            self.is_at_end = !self.reader.advance()?;
            if self.is_at_end {
                break;
            }
            data.extend_from_slice(self.reader.pretoken());
            let border = i32::try_from(data.len())
                .map_err(|_| Error::Limit { what: "the length of a pretoken", limit: 1 << 31 })?;
            borders.extend_from_slice(&border.to_le_bytes());
            counts.extend_from_slice(&self.reader.count().to_le_bytes());
        }
        Ok([data, borders, counts])
    }
}

/// Counts from a table, in any order, on their way into a count file.
#[pyclass(module = "bpe_lm._core")]
pub(super) struct CountCollector {
    out: PathBuf,
    replace: bool,
    counts: Option<CollectedCounts>,
}

#[pymethods]
impl CountCollector {
    /// Begins a file, by rules as JSON or else by a pattern and special tokens.
    #[new]
    fn new(
        out: PathBuf,
        rules: Option<&str>,
        pattern: &str,
        special_tokens: Vec<String>,
        replace: bool,
    ) -> PyResult<Self> {
        guarded(|| {
            let damaged = |reason| to_py(Error::count_file(&out, reason));
            let rules = match rules {
                Some(json) => Rules::from_json(json).map_err(damaged)?,
                None => Rules::new(
                    &Pattern::new(pattern).map_err(to_py)?,
                    &SpecialTokens::new(special_tokens).map_err(to_py)?,
                ),
            };
            let counts = collect_counts(rules, &out, replace).map_err(to_py)?;
            Ok(CountCollector { out, replace, counts: Some(counts) })
        })
    }

    /// Adds pretokens that lie in `data` between borders of 8 bytes, and their counts.
    fn add(
        &mut self,
        py: Python<'_>,
        data: PyBuffer<u8>,
        borders: PyBuffer<i64>,
        counts: PyBuffer<u64>,
    ) -> PyResult<()> {
        guarded(|| {
            let collected = self.counts.as_mut().ok_or_else(|| to_py(is_finished()))?;
            let (data, borders, counts) = (data.to_vec(py)?, borders.to_vec(py)?, counts.to_vec(py)?);
            py.detach(|| add_all(collected, &data, &borders, &counts)).map_err(to_py)
        })
    }

    /// Writes the file.
    #[pyo3(signature = (num_bytes, skipped_lines, progress))]
    fn finish(
        &mut self,
        py: Python<'_>,
        num_bytes: Option<u64>,
        skipped_lines: u64,
        progress: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Description> {
        guarded(|| {
            let counts = self.counts.take().ok_or_else(|| to_py(is_finished()))?;
            let (out, replace) = (self.out.clone(), self.replace);
            let store =
                move |job: &Job| store_collected(counts, num_bytes, skipped_lines, &out, replace, job);
            Ok(description(run(py, progress, None, store)?))
        })
    }
}

fn is_finished() -> Error {
    Error::Internal("counts are added to a file that is written".to_owned())
}

fn add_all(
    collected: &mut CollectedCounts,
    data: &[u8],
    borders: &[i64],
    counts: &[u64],
) -> Result<(), Error> {
    let pretoken = |pair: &[i64]| {
        let [start, end] = [pair[0], pair[1]].map(|border| usize::try_from(border).unwrap_or(usize::MAX));
        data.get(start..end)
    };
    // All of them are looked at before any is added.
    let pretokens: Option<Vec<&[u8]>> = borders.windows(2).map(pretoken).collect();
    let pretokens = pretokens.filter(|pretokens| pretokens.len() == counts.len());
    let contradict = || Error::Internal("the borders of pretokens contradict each other".to_owned());
    let mut both = pretokens.ok_or_else(contradict)?.into_iter().zip(counts);
    both.try_for_each(|(pretoken, &count)| collected.add(pretoken, count, Job::unwatched()))
}
