/*!
Encoding a corpus into a token file: one thread pool encodes, one thread syncs.
*/

use super::dtype::Dtype;
use super::index::IndexInfo;
use super::journal::Journal;
use super::manifest::Manifest;
use super::options::TokenFileOptions;
use super::partial::{Opened, Partial};
use super::paths::Paths;
use super::placed::Placed;
use super::sync::{Syncer, sync_now_and_then, whole};
use crate::corpus::Corpus;
use crate::encode::Id;
use crate::encode_corpus::{EncodeOptions, EncodedChunk, Part, encode_corpus, separator_id};
use crate::error::Error;
use crate::job::{Job, Stage};
use crate::output::first_among;
use crate::threads::on_two_threads;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

/// Encodes a corpus into the file `out`. Returns the content of `OUT.json`.
///
/// # Errors
/// [`Error::NotAnOutput`], [`Error::Exists`], [`Error::Unfinished`], [`Error::Busy`], [`Error::Resume`]
/// before any work; the errors of reading and encoding; [`Error::Io`] with the file and the system's reason,
/// [`Error::SourceChanged`] for a file that was changed meanwhile, [`Error::Cancelled`]. After any of these
/// errors a run that resumes continues where this run stopped. If no id was written, no file is left.
pub fn encode_file(
    tokenizer: &Tokenizer,
    corpus: Corpus,
    out: &Path,
    options: &TokenFileOptions,
    job: &Job,
) -> Result<Manifest, Error> {
    encode_and_sync(tokenizer, corpus, out, options, job, sync_now_and_then)
}

/// Does the work of [`encode_file`], with `sync` on the second thread.
fn encode_and_sync(
    tokenizer: &Tokenizer,
    corpus: Corpus,
    out: &Path,
    options: &TokenFileOptions,
    job: &Job,
    sync: Syncer,
) -> Result<Manifest, Error> {
    if options.resume && corpus.num_bytes().is_none() {
        let rule = "left out with what can be read only once, or has no known length: standard input, pipes, some addresses";
        return Err(Error::Option { name: "resume", value: "true".to_owned(), rule });
    }
    if options.shard.is_some() {
        corpus.files()?.total()?;
    }
    let paths = Paths::new(out);
    paths.check()?;
    let separator = separator_id(tokenizer, &corpus, &options.encode)?;
    let plan = plan(tokenizer, &corpus, &paths, options)?;
    refuse_to_overwrite(&corpus, &paths)?;
    std::fs::create_dir_all(paths.folder()).map_err(|error| Error::io("create", paths.folder(), error))?;
    let find_part = || match options.shard {
        None => Ok(Part::whole(&corpus)),
        Some(shard) => job.stage(Stage::Seek, None, || {
            Part::shard(tokenizer, &corpus, &options.encode, separator, shard, job)
        }),
    };
    let (mut partial, mut journal) = match Partial::open(paths, plan.clone(), options, job, find_part)? {
        Opened::Whole(manifest) => return Ok(manifest),
        Opened::Partial(partial, journal) => (partial, journal),
    };
    if let Some(start) = partial.start() {
        let all = corpus.in_order(partial.part().range.clone());
        let num_bytes = all.num_bytes();
        let corpus = all.in_order(partial.part().rest(start));
        let written = job.stage(Stage::Encode, num_bytes, || {
            job.advance(num_bytes.unwrap_or(0).saturating_sub(corpus.num_bytes().unwrap_or(0)));
            let ends = separator.filter(|_| options.index);
            let work = Work { tokenizer, corpus: &corpus, options: &options.encode, ends, job, sync };
            match plan.dtype {
                Dtype::Uint16 => work.write::<u16>(&mut partial, &mut journal),
                Dtype::Uint32 => work.write::<u32>(&mut partial, &mut journal),
            }?;
            check_unchanged(&corpus, &plan, job)
        });
        // A shard of a small corpus may have nothing.
        if partial.is_empty() && (written.is_err() || options.shard.is_none()) {
            partial.discard(journal);
            return Err(written.err().unwrap_or_else(|| corpus.is_empty_error()));
        }
        written?;
    }
    partial.finish(journal)
}

/// Describes the file that is to be written, before any id is written.
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
        shard: options.shard,
        index: options.index.then(IndexInfo::default),
        checksums: Vec::new(),
    })
}

/// Refuses to replace a file of the corpus by its ids.
fn refuse_to_overwrite(corpus: &Corpus, paths: &Paths) -> Result<(), Error> {
    match first_among(paths.all(), corpus.paths()) {
        Some(path) => Err(Error::NotAnOutput { path: path.to_owned(), kind: "one of the texts" }),
        None => Ok(()),
    }
}

/// Refuses files that were changed while they were read.
fn check_unchanged(corpus: &Corpus, plan: &Manifest, job: &Job) -> Result<(), Error> {
    let now = corpus.infos_now(job)?;
    let changed = now.iter().zip(&plan.sources).find(|(now, then)| now != then);
    changed.map_or(Ok(()), |(now, _)| Err(Error::SourceChanged { path: now.name.clone().into() }))
}

/// The data that both threads of a run use.
struct Work<'a> {
    tokenizer: &'a Tokenizer,
    corpus: &'a Corpus,
    options: &'a EncodeOptions,
    /// The separator at whose ends documents begin, if they are looked for.
    ends: Option<TokenId>,
    job: &'a Job,
    sync: Syncer,
}

impl Work<'_> {
    /// Writes all ids that are missing, while a second thread syncs them and keeps the journal.
    fn write<T: Id>(&self, partial: &mut Partial, journal: &mut Journal) -> Result<(), Error> {
        let start = partial.start().unwrap_or_default();
        let (growing, data_offset, mut count) = (partial.file(), partial.data_offset(), partial.count());
        let ends = self.ends.map(<T as Id>::new);
        let shared = Mutex::new(partial);
        let partial = &shared;
        let (many_are_new, syncs) = sync_channel(1);
        let encode = move |job: &Job| {
            let write = |placed: Placed, ids: &[T]| {
                let written = placed.write(&growing.file, data_offset, ids, ends);
                let written = written.map_err(|error| Error::io("write", &growing.path, error))?;
                if whole(partial)?.add(written)? {
                    let _ = many_are_new.try_send(()); // If the channel is full, an earlier signal is still waiting.
                }
                Ok(())
            };
            let write = &write;
            let mut numbers = 0..;
            let receive = move |encoded: EncodedChunk<'_, T>| {
                let placed = Placed::new(numbers.next().unwrap_or(u64::MAX), count, &encoded);
                count += placed.count;
                Ok(move |ids: &[T]| write(placed, ids))
            };
            encode_corpus(self.tokenizer, self.corpus, self.options, start, job, receive)
        };
        on_two_threads(self.job, encode, move |_| (self.sync)(partial, journal, &syncs))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::super::manifest::BLOCK_BYTES;
    use super::*;
    use crate::corpus::Place;
    use crate::merges::Merges;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::testing::{in_a_minute, is_on_purpose, panic_everywhere};
    use crate::vocab::Vocab;
    use std::sync::mpsc::Receiver;

    const TEXT: &[u8] = b"some words and some words more\n<|endoftext|>";

    /// A tokenizer of bytes, a file of some text in a folder, and how to encode it in small chunks.
    fn small(folder: &Path) -> (Tokenizer, std::path::PathBuf, TokenFileOptions) {
        let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
        let vocab = Vocab::new(&Merges::default(), &special_tokens);
        let tokenizer = Tokenizer::new(vocab, Merges::default(), special_tokens, Pattern::Gpt2).unwrap();
        let text = folder.join("text.txt");
        std::fs::write(&text, TEXT.repeat(20)).unwrap();
        let encode = EncodeOptions { chunk_bytes: 50, min_share: 1, ..EncodeOptions::new(&tokenizer, 3) };
        (tokenizer, text, TokenFileOptions::new(encode))
    }

    /// A file that is to be written, without ids.
    fn begun(
        corpus: &Corpus,
        paths: Paths,
        plan: Manifest,
        options: &TokenFileOptions,
    ) -> (Box<Partial>, Journal) {
        let whole = || Ok(Part::whole(corpus));
        match Partial::open(paths, plan, options, &Job::default(), whole).unwrap() {
            Opened::Partial(partial, journal) => (partial, journal),
            Opened::Whole(_) => panic!("there is no such file yet"),
        }
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

    /// Syncs, and first makes a file of another program at one of the names.
    fn with_another<const ENDING: usize>(
        partial: &Mutex<&mut Partial>,
        journal: &mut Journal,
        many_are_new: &Receiver<()>,
    ) -> Result<(), Error> {
        let mut name = whole(partial)?.file().path.with_extension("").into_os_string();
        name.push(ENDINGS[ENDING]);
        std::fs::write(&name, "of another program").unwrap();
        sync_now_and_then(partial, journal, many_are_new)
    }

    const ENDINGS: [&str; 3] = ["", ".json", ".idx"];

    #[test]
    fn a_file_that_another_program_makes_meanwhile_is_not_replaced_unless_it_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let (tokenizer, text, options) = small(folder.path());
        let encode = |name: &str, resume: bool, force: bool, sync: Syncer| {
            let options = TokenFileOptions { resume, force, ..options.clone() };
            let (corpus, out) = (Corpus::open([&text]).unwrap(), folder.path().join(name));
            encode_and_sync(&tokenizer, corpus, &out, &options, &Job::default(), sync)
        };
        let read = |name: String| std::fs::read(folder.path().join(name)).unwrap();
        encode("whole.bin", false, false, sync_now_and_then).unwrap();
        let syncers: [Syncer; 3] = [with_another::<0>, with_another::<1>, with_another::<2>];
        for (ending, syncer) in ENDINGS.into_iter().zip(syncers) {
            for force in [false, true] {
                let (name, taken) = (format!("ids{force}.bin"), format!("ids{force}.bin{ending}"));
                let encoded = encode(&name, false, force, syncer);
                if !force {
                    for error in [encoded.unwrap_err(), encode(&name, true, false, syncer).unwrap_err()] {
                        let Error::Exists { path } = error else { panic!("{error}") };
                        assert_eq!(path, folder.path().join(&taken));
                        assert_eq!(read(taken.clone()), b"of another program");
                    }
                    std::fs::remove_file(folder.path().join(&taken)).unwrap();
                    encode(&name, true, false, sync_now_and_then).unwrap();
                }
                for ending in ENDINGS {
                    assert_eq!(read(format!("{name}{ending}")), read(format!("whole.bin{ending}")));
                    std::fs::remove_file(folder.path().join(format!("{name}{ending}"))).unwrap();
                }
                assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "the text, and whole.bin");
            }
        }
    }

    /// Tests that stop a process at its calls do not see these renames, which are system calls of their own.
    #[test]
    fn a_run_that_died_between_its_last_renames_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (tokenizer, text, options) = small(folder.path());
        let encode = |name: &str, resume: bool, sync: Syncer| {
            let options = TokenFileOptions { resume, ..options.clone() };
            let (corpus, out) = (Corpus::open([&text]).unwrap(), folder.path().join(name));
            encode_and_sync(&tokenizer, corpus, &out, &options, &Job::default(), sync)
        };
        let path = |name: &str| folder.path().join(name);
        encode("whole.bin", false, sync_now_and_then).unwrap();
        for steps in 0..=3 {
            encode("ids.bin", false, with_another::<1>).unwrap_err();
            std::fs::remove_file(path("ids.bin.json")).unwrap();
            let moves = [("ids.bin.partial.idx", "ids.bin.idx"), ("ids.bin.partial", "ids.bin")];
            for (from, to) in moves.into_iter().take(steps) {
                std::fs::rename(path(from), path(to)).unwrap();
            }
            if steps == 3 {
                std::fs::copy(path("whole.bin.json"), path("ids.bin.json")).unwrap();
            }
            encode("ids.bin", true, sync_now_and_then).unwrap();
            for ending in ENDINGS {
                let [found, whole] =
                    ["ids", "whole"].map(|name| std::fs::read(path(&format!("{name}.bin{ending}"))).unwrap());
                assert_eq!(found, whole, "{steps} {ending}");
                std::fs::remove_file(path(&format!("ids.bin{ending}"))).unwrap();
            }
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "{steps}");
        }
    }

    /// A run that may replace what is there, and died, may also when it resumes; one that may not finds it before its work.
    #[test]
    fn a_run_that_resumes_may_replace_what_it_could_when_it_began() {
        let folder = tempfile::tempdir().unwrap();
        let (tokenizer, text, options) = small(folder.path());
        let fails: Syncer = |partial, journal, many_are_new| {
            sync_now_and_then(partial, journal, many_are_new)?;
            let entry = whole(partial)?.entry()?;
            journal.push(&entry)?;
            Err(Error::Cancelled)
        };
        for force in [false, true] {
            let out = folder.path().join(format!("{force}.bin"));
            let encode = |options: &TokenFileOptions, sync: Syncer| {
                encode_and_sync(
                    &tokenizer,
                    Corpus::open([&text]).unwrap(),
                    &out,
                    options,
                    &Job::default(),
                    sync,
                )
            };
            encode(&TokenFileOptions { force, ..options.clone() }, fails).unwrap_err();
            std::fs::write(&out, "of another program").unwrap();
            let resumed = encode(&TokenFileOptions { resume: true, ..options.clone() }, sync_now_and_then);
            assert_eq!(resumed.is_ok(), force, "{resumed:?}");
            if !force {
                assert!(matches!(resumed, Err(Error::Exists { .. })));
                assert_eq!(std::fs::read(&out).unwrap(), b"of another program");
            }
        }
    }

    #[test]
    fn a_file_whose_growth_panicked_is_never_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let (tokenizer, text, options) = small(folder.path());
        let (corpus, paths) = (Corpus::open([&text]).unwrap(), Paths::new(&folder.path().join("ids.bin")));
        let plan = plan(&tokenizer, &corpus, &paths, &options).unwrap();
        let (mut partial, mut journal) = begun(&corpus, paths, plan, &options);
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
    fn a_file_whose_index_could_not_be_written_is_never_in_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let (tokenizer, text, options) = small(folder.path());
        let (corpus, paths) = (Corpus::open([&text]).unwrap(), Paths::new(&folder.path().join("ids.bin")));
        let plan = plan(&tokenizer, &corpus, &paths, &options).unwrap();
        let (mut partial, mut journal) = begun(&corpus, paths, plan, &options);
        let file = partial.file().file;
        let ids = [9_u16; 1 << 14]; // More documents than are kept in memory.
        let written = |number: u64| {
            let encoded = EncodedChunk {
                ids: &ids,
                separator: None,
                end: Place { source: 0, offset: number + 1 },
                is_separated: true,
                text_bytes: 10,
                skipped_lines: 0,
            };
            let placed = Placed::new(number, number * ids.len() as u64, &encoded);
            placed.write(&file, 0, &ids, Some(9)).unwrap()
        };
        partial.add(written(0)).unwrap();
        partial.make_index_read_only();
        assert!(matches!(partial.add(written(1)), Err(Error::Io { .. })));
        let partial = Mutex::new(&mut *partial);
        let (many_are_new, syncs) = sync_channel(1);
        many_are_new.send(()).unwrap();
        drop(many_are_new);
        let synced = sync_now_and_then(&partial, &mut journal, &syncs);
        assert!(matches!(synced, Err(Error::Cancelled)));
        assert!(matches!(whole(&partial), Err(Error::Cancelled)));
    }

    /// Chunks of these lengths, some with a separator before them. Together they are more than a block.
    fn chunks(lens: &[usize]) -> Vec<(Option<TokenId>, Vec<u16>)> {
        let ids = |len: usize| (0..len).map(|i| (i * 7 % 251) as u16).collect();
        lens.iter().enumerate().map(|(i, &len)| ((i % 3 == 1).then_some(9), ids(len))).collect()
    }

    #[test]
    fn chunks_written_in_any_order_are_counted_up_to_the_first_hole() {
        let lens = [3, 0, BLOCK_BYTES / 2 - 7, 1, 2, 0, 1000, 5, 40];
        let chunks = chunks(&lens);
        let bytes: Vec<Vec<u8>> = chunks
            .iter()
            .map(|(separator, ids)| {
                let ids = separator.iter().map(|&id| id as u16).chain(ids.iter().copied());
                ids.flat_map(u16::to_le_bytes).collect()
            })
            .collect();
        for step in [1, 2, 4, 8] {
            let folder = tempfile::tempdir().unwrap();
            let (tokenizer, text, options) = small(folder.path());
            let (corpus, paths) =
                (Corpus::open([&text]).unwrap(), Paths::new(&folder.path().join("ids.npy")));
            let plan = plan(&tokenizer, &corpus, &paths, &options).unwrap();
            let (mut partial, _journal) = begun(&corpus, paths, plan, &options);
            let (file, data_offset) = (partial.file(), partial.data_offset());
            let mut start = 0;
            let mut placed: Vec<Option<Placed>> = (0..)
                .zip(&chunks)
                .map(|(number, (separator, ids))| {
                    let end = Place { source: 0, offset: number };
                    let placed = Placed::new(
                        number,
                        start,
                        &EncodedChunk {
                            ids,
                            separator: *separator,
                            end,
                            is_separated: false,
                            text_bytes: 10,
                            skipped_lines: 1,
                        },
                    );
                    start += placed.count;
                    Some(placed)
                })
                .collect();
            let (mut written, mut checksums) = (vec![false; lens.len()], Vec::new());
            for i in (0..lens.len()).map(|i| (i * step + step / 2) % lens.len()) {
                let placed = placed[i].take().unwrap();
                partial.add(placed.write(&file.file, data_offset, &chunks[i].1, Some(9)).unwrap()).unwrap();
                written[i] = true;
                let num_whole = written.iter().take_while(|&&written| written).count();
                let whole = bytes[..num_whole].concat();
                let entry = partial.entry().unwrap();
                checksums.extend(entry.blocks);
                let mut blocks: Vec<u32> = whole.chunks(BLOCK_BYTES).map(crc32fast::hash).collect();
                let tail = if whole.len() % BLOCK_BYTES > 0 { blocks.pop().unwrap() } else { 0 };
                assert_eq!((&checksums, entry.tail), (&blocks, tail));
                assert_eq!((entry.count, entry.text_bytes), (whole.len() as u64 / 2, 10 * num_whole as u64));
                assert_eq!(entry.next.place.offset, (num_whole as u64).saturating_sub(1));
            }
            let found = std::fs::read(&file.path).unwrap();
            assert_eq!(found[usize::try_from(data_offset).unwrap()..], bytes.concat());
        }
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
