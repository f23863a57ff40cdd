/*!
Long work under an interpreter that has signals to handle and a lock that other threads wait for.

The work runs on a thread of its own. The calling thread waits for the work without the lock, because it is
the only thread to which Python delivers Ctrl-C. It wakes up twenty times a second to check for signals, and
shows progress at most ten times a second. If the texts come from a Python iterator, it also takes texts from
the iterator, and if Python objects are made of parts of the result, it makes them meanwhile. If the calling thread
meets an error, it cancels the work, waits for the work's end, and raises the error.
*/

use super::convert::wrong_type;
use super::error::{guarded, new, to_py};
use crate::error::Error;
use crate::job::{Job, Progress};
use crate::panics::{caught, lock, message};
use crate::sync::Mutex;
use pyo3::exceptions::{PyUnicodeEncodeError, PyUserWarning};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyIterator, PyString};
use std::convert::Infallible;
use std::ffi::CString;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

/// The time between two checks for signals.
const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(50);
/// The time after which texts are sent again, if the workers had no room for them.
const RETRY_SENDING: Duration = Duration::from_millis(2);
/// The least time between two calls of the progress callback.
const SHOW_PROGRESS: Duration = Duration::from_millis(100);
/// The number of bytes of texts that are sent together.
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// The number of batches that may wait for the workers, and that number where memory is limited.
const BATCHES_AHEAD: usize = 4;
const LIMITED_BATCHES_AHEAD: usize = 1;

/// Runs `work` and returns its result.
pub(super) fn run<'py, T: Send + 'static>(
    py: Python<'py>,
    progress: Option<Bound<'py, PyAny>>,
    texts: Option<Box<dyn Source + '_>>,
    work: impl FnOnce(&Job) -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    let work = |job: &Job, _part: Sender<Infallible>| work(job);
    run_and_receive(py, progress, texts, |part| match part {}, work)
}

/// Runs `work` and returns its result. Meanwhile `receive` gets what the work sends, on the calling thread.
pub(super) fn run_and_receive<'py, P: Send + 'static, T: Send + 'static>(
    py: Python<'py>,
    progress: Option<Bound<'py, PyAny>>,
    mut texts: Option<Box<dyn Source + '_>>,
    mut receive: impl FnMut(P) -> PyResult<()>,
    work: impl FnOnce(&Job, Sender<P>) -> Result<T, Error> + Send + 'static,
) -> PyResult<T> {
    let job = Arc::new(Job::default());
    let (sender, parts) = channel();
    let parts = Mutex::new(parts);
    let thread = {
        let job = Arc::clone(&job);
        let spawned = std::thread::Builder::new().spawn(move || caught(|| work(&job, sender)));
        spawned.map_err(|error| to_py(Error::Threads { threads: 1, reason: error.to_string() }))?
    };
    let mut display = Display { callback: progress, shown: 0, last: Instant::now() };
    let waited = loop {
        let patience = match feed(py, &mut texts) {
            Ok(patience) => patience,
            Err(error) => break Err(error),
        };
        let part = py.detach(|| lock(&parts).recv_timeout(patience));
        let finished = matches!(part, Err(RecvTimeoutError::Disconnected));
        let looked = part
            .map_or(Ok(()), &mut receive)
            .and_then(|()| py.check_signals())
            .and_then(|()| warn(py, &job))
            .and_then(|()| display.update(&job, finished));
        if let Err(error) = looked {
            break Err(error);
        }
        if finished {
            break Ok(());
        }
    };
    if waited.is_err() {
        job.cancel();
    }
    drop(texts);
    let result = py.detach(|| thread.join());
    waited?;
    result.unwrap_or_else(|panic| Err(Error::Internal(message(&*panic)))).map_err(to_py)
}

/// Raises the work's notes as warnings, at the caller of the package's function.
fn warn(py: Python<'_>, job: &Job) -> PyResult<()> {
    job.take_notes().into_iter().try_for_each(|note| {
        let note = CString::new(note.replace('\0', " "))?;
        PyErr::warn(py, &py.get_type::<PyUserWarning>(), &note, 2)
    })
}

/// Sends the next texts. Returns the time to wait before the next check.
fn feed(py: Python<'_>, texts: &mut Option<Box<dyn Source + '_>>) -> PyResult<Duration> {
    let Some(source) = texts else { return Ok(LOOK_FOR_SIGNALS) };
    match source.send(py)? {
        Sent::All => {
            *texts = None;
            Ok(LOOK_FOR_SIGNALS)
        }
        Sent::Some => Ok(Duration::ZERO),
        Sent::None => Ok(RETRY_SENDING),
    }
}

/// Calls a progress callback with each stage's name, the amount done, and the total if it is known.
struct Display<'py> {
    callback: Option<Bound<'py, PyAny>>,
    /// The number of finished stages whose end was shown.
    shown: usize,
    last: Instant,
}

impl Display<'_> {
    fn update(&mut self, job: &Job, finished: bool) -> PyResult<()> {
        let Some(callback) = &self.callback else { return Ok(()) };
        if !finished && self.last.elapsed() < SHOW_PROGRESS {
            return Ok(());
        }
        self.last = Instant::now();
        let ended = job.finished();
        for Progress { stage, done, total, .. } in ended.iter().skip(self.shown).copied().chain(job.running())
        {
            callback.call1((stage.name(), done, total))?;
        }
        self.shown = ended.len();
        Ok(())
    }
}

/// Texts that the calling thread takes from Python, and sends to the work. When it is dropped, no more texts arrive.
pub(super) trait Source {
    /// Sends the next texts.
    fn send(&mut self, py: Python<'_>) -> PyResult<Sent>;
}

pub(super) enum Sent {
    All,
    Some,
    /// The work had no room.
    None,
}

/// Copies of the texts of a Python iterator, on their way to the workers.
pub(super) struct Texts<'py> {
    iterator: Bound<'py, PyIterator>,
    taken: usize,
    sender: SyncSender<Vec<Vec<u8>>>,
    /// Texts that were taken from the iterator and not sent yet.
    batch: Vec<Vec<u8>>,
    /// The bytes of a batch.
    batch_bytes: usize,
    /// The length in bytes of the longest text that is taken.
    longest: u64,
}

impl<'py> Texts<'py> {
    /// The texts of an iterator. Where memory is limited, `longest` is the length in bytes of the longest text that fits.
    pub fn new(
        iterator: Bound<'py, PyIterator>,
        longest: Option<u64>,
    ) -> (Self, impl Iterator<Item = Vec<u8>> + Send + 'static) {
        let ahead = if longest.is_some() { LIMITED_BATCHES_AHEAD } else { BATCHES_AHEAD };
        let (sender, receiver): (_, Receiver<Vec<Vec<u8>>>) = sync_channel(ahead);
        let longest = longest.unwrap_or(u64::MAX);
        let batch_bytes =
            usize::try_from(longest).map_or(BATCH_BYTES, |longest| BATCH_BYTES.min(longest / 4));
        let texts = Texts { iterator, taken: 0, sender, batch: Vec::new(), batch_bytes, longest };
        (texts, receiver.into_iter().flatten())
    }
}

impl Source for Texts<'_> {
    fn send(&mut self, py: Python<'_>) -> PyResult<Sent> {
        let mut num_bytes = 0;
        if self.batch.is_empty() {
            let start = Instant::now();
            // A text is taken before the clock is asked: an empty batch is the iterator's end, and nothing else.
            for text in self.iterator.by_ref() {
                let text = to_bytes(&text?, self.taken, self.longest)?;
                self.taken += 1;
                num_bytes += text.len() + size_of::<Vec<u8>>();
                self.batch.push(text);
                if num_bytes >= self.batch_bytes || start.elapsed() >= LOOK_FOR_SIGNALS {
                    break;
                }
            }
            py.check_signals()?;
        }
        if self.batch.is_empty() {
            return Ok(Sent::All);
        }
        match self.sender.try_send(std::mem::take(&mut self.batch)) {
            Ok(()) => Ok(Sent::Some),
            Err(TrySendError::Full(batch)) => {
                self.batch = batch;
                Ok(Sent::None)
            }
            Err(TrySendError::Disconnected(_)) => Ok(Sent::All),
        }
    }
}

fn to_bytes(text: &Bound<'_, PyAny>, number: usize, longest: u64) -> PyResult<Vec<u8>> {
    let check = |len: usize| {
        let too_long = || to_py(Error::long_text(format!("text number {number} (from 0)"), longest));
        (len as u64 <= longest).then_some(()).ok_or_else(too_long)
    };
    let copied = |bytes: &[u8]| check(bytes.len()).map(|()| bytes.to_vec());
    if let Ok(text) = text.cast::<PyString>() {
        let text = text.to_str().map_err(|error| {
            if !error.is_instance_of::<PyUnicodeEncodeError>(text.py()) {
                return error; // No memory for a copy as UTF-8.
            }
            let remedy = "encode it yourself, with errors=\"replace\" or \"surrogatepass\"";
            new(
                "CorpusError",
                &format!("text number {number} (from 0) is not valid Unicode: {error}; {remedy}"),
            )
        })?;
        return copied(text.as_bytes());
    }
    if let Ok(bytes) = text.cast::<PyBytes>() {
        return copied(bytes.as_bytes());
    }
    if let Ok(bytes) = text.cast::<PyByteArray>() {
        check(bytes.len())?;
        return Ok(bytes.to_vec());
    }
    Err(wrong_type(&format!("text number {number} (from 0)"), text, "str or bytes"))
}

/// Panics on this thread or on the thread of long work, for the test that no panic leaves this module.
#[pyfunction]
pub(super) fn panic(py: Python<'_>, message: String, is_long: bool) -> PyResult<()> {
    guarded(|| match is_long {
        true => run(py, None, None, move |_| panic!("{message}")),
        false => panic!("{message}"),
    })
}
