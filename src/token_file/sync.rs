/*!
The thread that syncs a token file while it is being written, and keeps its journal.

Encoding does not wait for this thread. Between two lines of the journal the thread keeps the disk busy, so
that little is left to sync at the end. A sync takes no longer here than `sync_file_range`, which would not
wait for the disk (benches/record/7-limit-of-the-chip.md).
*/

use super::journal::Journal;
use super::partial::{Growing, Partial};
use crate::error::Error;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// The time between two lines of the journal.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The function that the thread runs. It syncs until the other end of the channel is gone.
pub(super) type Syncer = fn(&Mutex<&mut Partial>, &mut Journal, &Receiver<()>) -> Result<(), Error>;

/// Syncs the file whenever much of it is new, and adds a line to the journal each second, until the other end of
/// the channel is gone.
pub(super) fn sync_now_and_then(
    partial: &Mutex<&mut Partial>,
    journal: &mut Journal,
    many_are_new: &Receiver<()>,
) -> Result<(), Error> {
    let mut last = Instant::now();
    while let Some(is_due) = wait(many_are_new, last) {
        let (files, entry) = {
            let mut partial = whole(partial)?;
            (partial.files(), is_due.then(|| partial.entry()).transpose()?)
        };
        files.iter().try_for_each(Growing::sync)?;
        if let Some(entry) = entry {
            journal.push(&entry)?;
            last = Instant::now();
        }
    }
    Ok(())
}

/// Locks the file. Returns an error if another thread failed or panicked while it changed the file. Then no thread may
/// add to the file, or write its length into the journal.
pub(super) fn whole<'a, 'b>(
    partial: &'a Mutex<&'b mut Partial>,
) -> Result<MutexGuard<'a, &'b mut Partial>, Error> {
    let partial = partial.lock().map_err(|_| Error::Cancelled)?;
    if partial.is_consistent() { Ok(partial) } else { Err(Error::Cancelled) }
}

/// Waits until there is something to sync. Returns whether a line of the journal is due by the clock, or
/// `None` when the other end of the channel is gone. The clock decides, because on a slow disk much is new
/// after each sync, so no wait would time out.
fn wait(many_are_new: &Receiver<()>, last: Instant) -> Option<bool> {
    match many_are_new.recv_timeout(SYNC_EVERY.saturating_sub(last.elapsed())) {
        Err(RecvTimeoutError::Disconnected) => None,
        Ok(()) | Err(RecvTimeoutError::Timeout) => Some(last.elapsed() >= SYNC_EVERY),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_line_is_due_each_second_however_much_is_new() {
        let (many_are_new, syncs) = sync_channel(1);
        let now = Instant::now();
        many_are_new.send(()).unwrap();
        assert_eq!(wait(&syncs, now), Some(false));
        many_are_new.send(()).unwrap();
        assert_eq!(wait(&syncs, now.checked_sub(SYNC_EVERY).unwrap()), Some(true));
        assert_eq!(wait(&syncs, now.checked_sub(SYNC_EVERY).unwrap()), Some(true));
        drop(many_are_new);
        assert_eq!(wait(&syncs, now), None);
    }
}
