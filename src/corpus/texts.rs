/*!
Texts from an iterator: a chunk has many short texts, or a stretch of a long text.
*/

use super::chunk::{Chunk, Limits};
use super::cut::{Cuts, Cutter};
use crate::error::Error;
use crate::job::Job;
use crate::panics::lock;
use crate::sync::Mutex;
use std::sync::atomic::AtomicBool;

/// An iterator of texts, from which workers take in turns.
pub struct Texts {
    state: Mutex<State>,
    pub(super) is_begun: AtomicBool,
}

struct State {
    texts: Box<dyn Iterator<Item = Vec<u8>> + Send>,
    taken: usize,
    /// The last text that was taken, if a part of it is left, and the position where that part begins.
    rest: Option<(Vec<u8>, usize)>,
}

impl Texts {
    pub(super) fn new(texts: impl IntoIterator<Item = Vec<u8>, IntoIter: Send + 'static>) -> Self {
        let state = State { texts: Box::new(texts.into_iter()), taken: 0, rest: None };
        Texts { state: Mutex::new(state), is_begun: AtomicBool::new(false) }
    }

    /// The name of a text in errors.
    pub(super) fn name(&self, number: usize) -> String {
        format!("text number {number} (from 0)")
    }

    pub(super) fn next_chunk(&self, cutter: Cutter<'_>, job: &Job, chunk: &mut Chunk) -> Result<bool, Error> {
        let state = &mut *lock(&self.state);
        let cuts = Cuts::Pretokens(cutter);
        while chunk.used() < cuts.chunk_bytes() {
            job.check()?;
            let Some((text, start)) = state.rest.take().or_else(|| state.texts.next().map(|text| (text, 0)))
            else {
                break;
            };
            state.taken += usize::from(start == 0);
            if text.is_empty() {
                continue;
            }
            let end = chunk_end(&text, start, cutter, job)?;
            let Limits { max_stretch, max_text, .. } = chunk.limits;
            if text.len() as u64 > max_text {
                return Err(Error::long_text(self.name(state.taken - 1), max_text));
            }
            if (end - start) as u64 > cuts.max_chunk(max_stretch) {
                let (path, what) = (self.name(state.taken - 1), "stretch without a place to cut");
                return Err(Error::TooLong { path, what, offset: start as u64, limit: max_stretch });
            }
            chunk.push(&text[start..end], state.taken - 1, start as u64);
            chunk.input_bytes += (end - start) as u64;
            if end < text.len() {
                state.rest = Some((text, end));
            }
        }
        Ok(!chunk.texts.is_empty())
    }
}

/// Finds the end of the chunk that begins at `start`: the first safe cut at or after its nominal end, or the text's end.
pub(crate) fn chunk_end(text: &[u8], start: usize, cutter: Cutter<'_>, job: &Job) -> Result<usize, Error> {
    let cuts = Cuts::Pretokens(cutter);
    let nominal = start.saturating_add(cuts.chunk_bytes());
    if !cuts.can_cut() || nominal >= text.len() {
        return Ok(text.len());
    }
    for window in (nominal..text.len()).step_by(1 << 20) {
        job.check()?;
        let end = text.len().min(window + (1 << 20));
        if let Some(cut) = (window..end).find(|&at| cuts.is_safe(text, at)) {
            return Ok(cut);
        }
    }
    Ok(text.len())
}
