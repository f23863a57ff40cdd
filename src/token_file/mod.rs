/*!
A corpus as a file of token ids, which survives anything.

`OUT` holds nothing but ids, uint16 or uint32, little-endian (with numpy's header if its name ends in .npy), so that anybody
can read it; `OUT.json` beside it says what they are ([`Manifest`]). Until it is whole the file is called `OUT.partial`.

Why is there a journal? Ids are written as they come, so after a crash nobody knows how far the file is to be believed.
About once a second everything written so far is synced, and then a line is added to `OUT.partial.journal`: up to this place
in this source, so many ids, these checksums ([`journal`]). Whoever resumes cuts the file back to the last line and goes on
from its place; as ids do not depend on where a text is cut into chunks, the file becomes the same to the byte. Syncing is a
thread's own work, and encoding does not wait for it. Between two lines that thread keeps the disk busy: what is synced
early is not waited for at the end.

`OUT` appears by a rename, after all of it was synced ([`publish`]). Without an `OUT.json` that fits, no reader takes it.
*/

mod journal;
mod manifest;
mod npy;
mod partial;
mod publish;
mod verify;

pub use manifest::{Dtype, Manifest};
pub use verify::{open, verify};

use crate::corpus::{Corpus, Place};
use crate::encode::{EncodeOptions, Encoded, Id, encode_corpus, separator_id};
use crate::error::Error;
use crate::job::{Job, Stage};
use crate::threads::on_two_threads;
use crate::tokenizer::Tokenizer;
use journal::Journal;
use partial::{Opened, Partial};
use publish::Paths;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Between two lines of the journal.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// Between two lines, what is synced when so many bytes are new. (benches/record/3-encode.md)
const SYNC_BYTES: usize = 1 << 23;

/// Ids are checked in blocks of so many bytes.
pub const BLOCK_BYTES: usize = 1 << 26;

/// How a token file is written.
#[derive(Clone, Debug)]
pub struct TokenFileOptions {
    /// How texts become ids.
    pub encode: EncodeOptions,
    /// The type of the ids: by default uint16 if the greatest fits, else uint32.
    pub dtype: Option<Dtype>,
    /// Whether to go on with what an interrupted run left, if it left anything.
    pub resume: bool,
    /// Whether to replace the file, and what an interrupted run left.
    pub force: bool,
}

impl TokenFileOptions {
    /// A new file, by the usual rules.
    pub fn new(encode: EncodeOptions) -> Self {
        TokenFileOptions { encode, dtype: None, resume: false, force: false }
    }
}

/// Encodes a corpus into the file `out`. Returns what `OUT.json` says.
///
/// # Errors
/// [`Error::NotAnOutput`], [`Error::Exists`], [`Error::Unfinished`], [`Error::Busy`], [`Error::Resume`] before any work;
/// what reading and encoding can give; [`Error::Io`] with the file and the system's reason, [`Error::SourceChanged`] for a
/// file that was changed meanwhile, [`Error::Cancelled`]. After any of these a run that resumes goes on where this one was;
/// where no id was written, nothing is left.
pub fn encode_file(
    tokenizer: &Tokenizer,
    corpus: Corpus,
    out: &Path,
    options: &TokenFileOptions,
    job: &Job,
) -> Result<Manifest, Error> {
    encode_and_sync(tokenizer, corpus, out, options, job, sync_now_and_then)
}

/// The same, where `sync` is what the second thread does.
fn encode_and_sync(
    tokenizer: &Tokenizer,
    corpus: Corpus,
    out: &Path,
    options: &TokenFileOptions,
    job: &Job,
    sync: Syncer,
) -> Result<Manifest, Error> {
    if options.resume && corpus.num_bytes().is_none() {
        let rule = "left out with standard input and pipes, which can be read only once";
        return Err(Error::Option { name: "resume", value: "true".to_owned(), rule });
    }
    let paths = Paths::new(out);
    paths.check()?;
    separator_id(tokenizer, &corpus, &options.encode)?;
    let plan = plan(tokenizer, &corpus, &paths, options)?;
    refuse_to_overwrite(&plan, &paths)?;
    std::fs::create_dir_all(paths.folder()).map_err(|error| Error::io("create", paths.folder(), error))?;
    let (mut partial, mut journal) = match Partial::open(paths, plan.clone(), options)? {
        Opened::Whole(manifest) => return Ok(manifest),
        Opened::Partial(partial, journal) => (partial, journal),
    };
    if let Some(start) = partial.start() {
        let corpus = corpus.in_order(start.place);
        let written = job.stage(Stage::Encode, corpus.num_bytes(), || {
            job.advance(bytes_before(&plan, start.place));
            let work = Work { tokenizer, corpus: &corpus, options: &options.encode, job, sync };
            match plan.dtype {
                Dtype::Uint16 => work.write::<u16>(&mut partial, &mut journal),
                Dtype::Uint32 => work.write::<u32>(&mut partial, &mut journal),
            }?;
            check_unchanged(&corpus, &plan)
        });
        if partial.is_empty() {
            partial.discard(journal);
            return Err(written.err().unwrap_or_else(|| corpus.is_empty_error()));
        }
        written?;
    }
    partial.finish(journal)
}

/// What is to be written, before anything is.
fn plan(
    tokenizer: &Tokenizer,
    corpus: &Corpus,
    paths: &Paths,
    options: &TokenFileOptions,
) -> Result<Manifest, Error> {
    Ok(Manifest {
        dtype: Dtype::choose(tokenizer, options.dtype)?,
        count: 0,
        data_offset: paths.data_offset(),
        tokenizer: tokenizer.hash(),
        vocab_size: tokenizer.vocab().len() as u64,
        special: options.encode.special,
        separator: options.encode.separator.clone(),
        sources: corpus.infos()?,
        text_bytes: 0,
        skipped_lines: 0,
        checksums: Vec::new(),
    })
}

/// A corpus is never replaced by its ids.
fn refuse_to_overwrite(plan: &Manifest, paths: &Paths) -> Result<(), Error> {
    let name = |path: &Path| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let texts = plan.sources.iter().filter(|source| source.file.is_some());
    let texts: HashSet<_> = texts.filter_map(|source| name(source.name.as_ref())).collect();
    match paths.all().into_iter().find(|path| name(path).is_some_and(|name| texts.contains(&name))) {
        Some(path) => Err(Error::NotAnOutput { path: path.to_owned(), kind: "one of the texts" }),
        None => Ok(()),
    }
}

/// The bytes of the files before a place, for the progress; of a compressed file nothing is known.
fn bytes_before(plan: &Manifest, place: Place) -> u64 {
    let len = |source: usize| plan.sources.get(source)?.file.map(|(len, _)| len);
    let before: u64 = (0..place.source).filter_map(len).sum();
    before + len(place.source).unwrap_or(0).min(place.offset)
}

fn check_unchanged(corpus: &Corpus, plan: &Manifest) -> Result<(), Error> {
    let now = corpus.infos()?;
    let changed = now.iter().zip(&plan.sources).find(|(now, then)| now != then);
    changed.map_or(Ok(()), |(now, _)| Err(Error::SourceChanged { path: now.name.clone().into() }))
}

/// Encoding on its way to a file.
struct Work<'a> {
    tokenizer: &'a Tokenizer,
    corpus: &'a Corpus,
    options: &'a EncodeOptions,
    job: &'a Job,
    sync: Syncer,
}

/// Syncs until the other end of the channel is gone.
type Syncer = fn(&Mutex<&mut Partial>, &mut Journal, &Receiver<()>) -> Result<(), Error>;

impl Work<'_> {
    /// Writes all ids that are missing, while a thread of its own keeps the journal.
    fn write<T: Id>(&self, partial: &mut Partial, journal: &mut Journal) -> Result<(), Error> {
        let start = partial.start().unwrap_or_default();
        let shared = Mutex::new(partial);
        let partial = &shared;
        let (many_are_new, syncs) = sync_channel(1);
        let encode = |job: &Job| {
            let mut num_new = 0;
            let receive = move |encoded: Encoded<'_, T>| {
                num_new += size_of_val(encoded.ids);
                if num_new >= SYNC_BYTES {
                    num_new = 0;
                    let _ = many_are_new.try_send(()); // If it is not taken, the last one was not, either.
                }
                whole(partial)?.push(&encoded)
            };
            encode_corpus::<T>(self.tokenizer, self.corpus, self.options, start, job, receive)
        };
        on_two_threads(self.job, encode, move |_| (self.sync)(partial, journal, &syncs))
    }
}

/// Syncs what was written when much of it is new, and each second says so in the journal, until the other end of the channel
/// is gone.
fn sync_now_and_then(
    partial: &Mutex<&mut Partial>,
    journal: &mut Journal,
    many_are_new: &Receiver<()>,
) -> Result<(), Error> {
    let mut last = Instant::now();
    while let Some(is_due) = wait(many_are_new, last) {
        let (unsynced, entry) = {
            let mut partial = whole(partial)?;
            (partial.unsynced(), is_due.then(|| partial.entry()))
        };
        unsynced.sync()?;
        if let Some(entry) = entry {
            journal.push(&entry)?;
            last = Instant::now();
        }
    }
    Ok(())
}

/// The file, unless another thread panicked while it changed it: then nobody may add to it, or say how far it is.
fn whole<'a, 'b>(partial: &'a Mutex<&'b mut Partial>) -> Result<MutexGuard<'a, &'b mut Partial>, Error> {
    partial.lock().map_err(|_| Error::Cancelled)
}

/// Waits until there is something to sync. Returns whether a line of the journal is due, by the clock: on a slow disk much is
/// new after each sync, and no wait comes to its end. `None` when the other end of the channel is gone.
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
    use crate::merges::Merges;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::testing::{in_a_minute, is_on_purpose, panic_everywhere};
    use crate::vocab::Vocab;

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

    const TEXT: &[u8] = b"some words and some words more\n<|endoftext|>";

    /// A tokenizer of bytes, a file of some text in a folder, and how to encode it in small chunks.
    fn small(folder: &Path) -> (Tokenizer, std::path::PathBuf, TokenFileOptions) {
        let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
        let vocab = Vocab::new(&Merges::default(), &special_tokens);
        let tokenizer = Tokenizer::new(vocab, Merges::default(), special_tokens, Pattern::Gpt2).unwrap();
        let text = folder.join("text.txt");
        std::fs::write(&text, TEXT.repeat(20)).unwrap();
        let encode = EncodeOptions { chunk_bytes: 50, ..EncodeOptions::new(&tokenizer, 3) };
        (tokenizer, text, TokenFileOptions::new(encode))
    }

    #[test]
    fn a_panic_while_syncing_is_an_error_and_the_same_job_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (tokenizer, text, mut options) = small(folder.path());
        let out = folder.path().join("ids.bin");
        let (plain, whole) = (out.clone(), folder.path().join("whole.bin"));
        let (error, bytes) = in_a_minute(move || {
            let job = Job::default();
            let panicking: Syncer = |_, _, _| panic!("{}", Job::ON_PURPOSE);
            let corpus = || Corpus::open([&text]).unwrap();
            let error = encode_and_sync(&tokenizer, corpus(), &out, &options, &job, panicking).unwrap_err();
            options.resume = true;
            encode_file(&tokenizer, corpus(), &out, &options, &job).unwrap();
            encode_file(&tokenizer, corpus(), &whole, &options, &job).unwrap();
            (error, (std::fs::read(&plain).unwrap(), std::fs::read(&whole).unwrap()))
        });
        assert!(is_on_purpose(&error), "{error}");
        assert_eq!(bytes.0, bytes.1);
    }

    #[test]
    fn a_file_whose_growth_panicked_is_never_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let (tokenizer, text, options) = small(folder.path());
        let (corpus, paths) = (Corpus::open([&text]).unwrap(), Paths::new(&folder.path().join("ids.bin")));
        let plan = plan(&tokenizer, &corpus, &paths, &options).unwrap();
        let Opened::Partial(mut partial, mut journal) = Partial::open(paths, plan, &options).unwrap() else {
            panic!("there is no such file yet")
        };
        let partial = Mutex::new(&mut *partial);
        let panicking = |_: &Job| {
            let _partial = partial.lock().unwrap();
            panic!("{}", Job::ON_PURPOSE)
        };
        on_two_threads(&Job::default(), |_| Ok(()), panicking).unwrap_err();
        let (many_are_new, syncs) = sync_channel(1);
        many_are_new.send(()).unwrap();
        drop(many_are_new);
        let synced = sync_now_and_then(&partial, &mut journal, &syncs);
        assert!(matches!(synced, Err(Error::Cancelled)));
    }

    #[test]
    fn a_panic_anywhere_while_a_file_is_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (tokenizer, text, mut options) = small(folder.path());
        options.force = true;
        let panics = panic_everywhere(move |job| {
            let out = text.with_file_name("ids.bin");
            encode_file(&tokenizer, Corpus::open([&text]).unwrap(), &out, &options, job)
        });
        assert!(panics > 40, "{panics}");
    }
}
