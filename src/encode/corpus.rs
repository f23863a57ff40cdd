/*!
A corpus into token ids, in order, by any number of workers.

Why is the order a matter of its own? Workers take chunks in order and finish them in any. Whoever finishes one puts it
down, and if nobody is handing chunks on, hands on all that are next in order, those too that others put down meanwhile. So
nobody waits while one is written, unless far ahead of a chunk that takes long, and what receives them needs no order and no
thread.
*/

use super::{Encoder, Id, Ids};
use crate::corpus::{Chunk, Corpus, Cutter, Place};
use crate::error::Error;
use crate::job::{Job, Stage};
use crate::panics::lock;
use crate::threads::{on_all_threads, with_threads};
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The nominal length of a chunk. (benches/record/3-encode.md)
const CHUNK_BYTES: usize = 1 << 19;
/// Finished chunks, a worker, that wait for one before them.
const AHEAD: usize = 4;
/// Between two looks at the cancel flag.
const PATIENCE: Duration = Duration::from_millis(20);

/// How a corpus becomes ids.
#[derive(Clone, Debug)]
pub struct EncodeOptions {
    /// What special tokens in a text mean; by default themselves in files of text, and nothing in fields of JSON.
    pub special: Option<Special>,
    /// Stands between files of text that lack it, and behind each text of JSON lines.
    pub separator: Option<String>,
    /// Worker threads.
    pub threads: usize,
    /// The nominal length of a chunk in bytes.
    pub chunk_bytes: usize,
}

impl EncodeOptions {
    /// The usual options: the separator is the only special token, or `<|endoftext|>` if that is one.
    pub fn new(tokenizer: &Tokenizer, threads: usize) -> Self {
        let separator = match tokenizer.special_tokens().as_slice() {
            [only] => Some(only.clone()),
            several => several.iter().find(|token| *token == "<|endoftext|>").cloned(),
        };
        EncodeOptions { special: None, separator, threads, chunk_bytes: CHUNK_BYTES }
    }
}

/// The ids of a chunk, handed on in order.
pub(crate) struct Encoded<'a, T> {
    pub ids: &'a [T],
    /// What is to stand before them: a separator, where the file before lacks it.
    pub separator: Option<TokenId>,
    /// Where it ends, and whether the ids so far end with a separator.
    pub end: Place,
    pub is_separated: bool,
    pub text_bytes: u64,
    pub skipped_lines: u64,
}

/// Where to begin: at a place, with ids before it that end with a separator or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub place: Place,
    pub is_separated: bool,
}

impl Default for Start {
    fn default() -> Self {
        Start { place: Place::default(), is_separated: true }
    }
}

/// Encodes files that are read in order from `start` on; `receive` gets all ids, in order.
///
/// # Errors
/// What reading and matching can give, what `receive` returns, [`Error::Option`] for a separator that is missing or no
/// special token, [`Error::Cancelled`].
pub(crate) fn encode_corpus<T: Id>(
    tokenizer: &Tokenizer,
    corpus: &Corpus,
    options: &EncodeOptions,
    start: Start,
    job: &Job,
    receive: impl FnMut(Encoded<'_, T>) -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let separator = separator_id(tokenizer, corpus, options)?;
    corpus.begin()?;
    let order = Order {
        state: Mutex::new(State {
            next: 0,
            finished: BTreeMap::new(),
            idle: Vec::new(),
            receiver: Some(Receiver { last: start, separator, receive }),
        }),
        moved: Condvar::new(),
        max_ahead: AHEAD * options.threads,
    };
    let work = |job: &Job| Worker { tokenizer, corpus, options, separator, job }.encode_chunks(&order);
    with_threads(options.threads, |pool| on_all_threads(pool, job, work)).map(|_| ())
}

/// A corpus's tokens, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// The number of tokens.
    pub tokens: u64,
    /// The bytes of the texts.
    pub text_bytes: u64,
}

/// Counts the tokens that [`crate::token_file::encode_file`] would write.
///
/// # Errors
/// As there, but for what writing can give.
pub fn count_tokens(
    tokenizer: &Tokenizer,
    corpus: Corpus,
    options: &EncodeOptions,
    job: &Job,
) -> Result<Counted, Error> {
    let mut counted = Counted::default();
    let start = Start::default();
    let corpus = corpus.in_order(start.place);
    job.stage(Stage::Encode, corpus.num_bytes(), || {
        encode_corpus::<TokenId>(tokenizer, &corpus, options, start, job, |encoded| {
            counted.tokens += (encoded.ids.len() + usize::from(encoded.separator.is_some())) as u64;
            counted.text_bytes += encoded.text_bytes;
            Ok(())
        })
    })?;
    if counted.tokens == 0 { Err(corpus.is_empty_error()) } else { Ok(counted) }
}

pub(crate) fn separator_id(
    tokenizer: &Tokenizer,
    corpus: &Corpus,
    options: &EncodeOptions,
) -> Result<Option<TokenId>, Error> {
    let Some(separator) = &options.separator else {
        let infos = corpus.infos()?;
        if infos.len() > 1 || infos.iter().any(|info| info.json_field.is_some()) {
            return Err(Error::Option {
                name: "separator",
                value: "none".to_owned(),
                rule: "a special token, to stand between texts: there are several, or JSON lines",
            });
        }
        return Ok(None);
    };
    tokenizer.special_id(separator).map(Some).ok_or_else(|| Error::Option {
        name: "separator",
        value: format!("{separator:?}"),
        rule: "one of the tokenizer's special tokens",
    })
}

struct Worker<'a> {
    tokenizer: &'a Tokenizer,
    corpus: &'a Corpus,
    options: &'a EncodeOptions,
    separator: Option<TokenId>,
    job: &'a Job,
}

/// A chunk's ids, and what its neighbours must know.
struct Finished<T> {
    ids: Ids<T>,
    begins: Edge,
    ends: Edge,
    end: Place,
    input_bytes: u64,
    text_bytes: u64,
    skipped_lines: u64,
}

/// What a chunk has at its beginning or end, but for whitespace.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Separator,
    Text,
    Nothing,
}

impl Worker<'_> {
    fn encode_chunks<T: Id, R>(&self, order: &Order<T, R>) -> Result<(), Error>
    where
        R: FnMut(Encoded<'_, T>) -> Result<(), Error>,
    {
        let (mut chunk, mut ids, mut held) = (Chunk::default(), Ids::default(), None);
        let special_tokens = self.tokenizer.uncut(self.options.special.unwrap_or(Special::Allow));
        let pattern = self.tokenizer.pattern();
        let cutter = Cutter { pattern, special_tokens, chunk_bytes: self.options.chunk_bytes };
        while self.corpus.next_chunk(cutter, self.job, &mut chunk)? {
            let default = if chunk.is_jsonl { Special::Text } else { Special::Allow };
            let special = self.options.special.unwrap_or(default);
            if let Some((other, encoder)) = held.take_if(|(held, _)| *held != special) {
                self.tokenizer.give_back(other, encoder);
            }
            let (_, encoder) = held.get_or_insert_with(|| (special, self.encoder(special)));
            ids.clear();
            let finished = self.encode_chunk(encoder, &chunk, special, ids)?;
            ids = order.hand_on(chunk.number, finished, self.job)?;
        }
        if let Some((special, encoder)) = held {
            self.tokenizer.give_back(special, encoder);
        }
        Ok(())
    }

    fn encoder(&self, special: Special) -> Box<Encoder> {
        let mut encoder = self.tokenizer.take_encoder(special);
        encoder.expect(self.corpus.num_bytes().unwrap_or(0) / self.options.threads as u64);
        encoder
    }

    fn encode_chunk<T: Id>(
        &self,
        encoder: &mut Encoder,
        chunk: &Chunk,
        special: Special,
        mut ids: Ids<T>,
    ) -> Result<Finished<T>, Error> {
        let rules = self.tokenizer.rules(special);
        for text in &chunk.texts {
            let range = text.range.clone();
            self.tokenizer
                .check_special(&chunk.bytes[range.clone()], special)
                .map_err(|error| error.moved_by(range.start))
                .and_then(|()| encoder.encode(rules, &chunk.bytes, range.clone(), self.job, &mut ids))
                .map_err(|error| self.corpus.locate(error, text))?;
            if let Some(separator) = self.separator.filter(|_| chunk.is_jsonl) {
                ids.extend(&[separator]);
            }
        }
        let text_bytes = chunk.texts.iter().map(|text| text.range.len() as u64).sum();
        let (begins, ends) = self.edges(chunk, special);
        let &Chunk { end, input_bytes, skipped_lines, .. } = chunk;
        Ok(Finished { ids, begins, ends, end, input_bytes, text_bytes, skipped_lines })
    }

    fn edges(&self, chunk: &Chunk, special: Special) -> (Edge, Edge) {
        if chunk.is_jsonl {
            let edge = if chunk.texts.is_empty() { Edge::Nothing } else { Edge::Separator };
            // A file of texts that all have a separator behind them needs one before it like any other.
            return (if edge == Edge::Nothing { edge } else { Edge::Text }, edge);
        }
        let text = chunk.texts.first().map_or(&[][..], |text| chunk.bytes[text.range.clone()].trim_ascii());
        let separator = self.options.separator.as_ref().filter(|_| special == Special::Allow);
        let separator = separator.map(String::as_bytes);
        let edge = |is_separated: bool| match is_separated {
            _ if text.is_empty() => Edge::Nothing,
            true => Edge::Separator,
            false => Edge::Text,
        };
        let begins = separator.is_some_and(|separator| text.starts_with(separator));
        let ends = separator.is_some_and(|separator| text.ends_with(separator));
        (edge(begins), edge(ends))
    }
}

struct Order<T, R> {
    state: Mutex<State<T, R>>,
    moved: Condvar,
    max_ahead: usize,
}

struct State<T, R> {
    /// The number of the chunk to hand on next.
    next: u64,
    finished: BTreeMap<u64, Finished<T>>,
    /// Buffers of chunks that were handed on.
    idle: Vec<Ids<T>>,
    /// Nobody has it who is not handing on a chunk. Where that fails it does not come back, and nothing follows.
    receiver: Option<Receiver<R>>,
}

struct Receiver<R> {
    last: Start,
    separator: Option<TokenId>,
    receive: R,
}

impl<T: Id, R: FnMut(Encoded<'_, T>) -> Result<(), Error>> Order<T, R> {
    /// Puts down a chunk, and hands on what is next, unless another worker does. Returns a buffer for the next chunk.
    fn hand_on(&self, number: u64, finished: Finished<T>, job: &Job) -> Result<Ids<T>, Error> {
        let mut state = lock(&self.state);
        while number != state.next && state.finished.len() >= self.max_ahead {
            job.check()?;
            let waited = self.moved.wait_timeout(state, PATIENCE);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.finished.insert(number, finished);
        while let Some((finished, mut receiver)) = state.take_next() {
            drop(state);
            job.advance(finished.input_bytes);
            let ids = receiver.receive(finished)?;
            state = lock(&self.state);
            state.next += 1;
            state.receiver = Some(receiver);
            state.idle.push(ids);
            self.moved.notify_all();
        }
        Ok(state.idle.pop().unwrap_or_default())
    }
}

impl<T, R> State<T, R> {
    /// The next chunk and who receives it, if both are there.
    fn take_next(&mut self) -> Option<(Finished<T>, Receiver<R>)> {
        let finished = self.receiver.as_ref().and_then(|_| self.finished.remove(&self.next))?;
        Some((finished, self.receiver.take()?))
    }
}

impl<R> Receiver<R> {
    /// Returns the chunk's buffer.
    fn receive<T: Id>(&mut self, finished: Finished<T>) -> Result<Ids<T>, Error>
    where
        R: FnMut(Encoded<'_, T>) -> Result<(), Error>,
    {
        let is_new_file = finished.end.source != self.last.place.source;
        let needs_separator = is_new_file && !self.last.is_separated && finished.begins != Edge::Separator;
        let is_separated = match finished.ends {
            Edge::Nothing => self.last.is_separated || needs_separator,
            Edge::Separator => true,
            Edge::Text => false,
        };
        (self.receive)(Encoded {
            ids: finished.ids.as_slice(),
            separator: self.separator.filter(|_| needs_separator),
            end: finished.end,
            is_separated,
            text_bytes: finished.text_bytes,
            skipped_lines: finished.skipped_lines,
        })?;
        self.last = Start { place: finished.end, is_separated };
        Ok(finished.ids)
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
    use std::path::Path;

    fn tokenizer() -> Tokenizer {
        let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
        let vocab = Vocab::new(&Merges::default(), &special_tokens);
        Tokenizer::new(vocab, Merges::default(), special_tokens, Pattern::Gpt2).unwrap()
    }

    fn corpus(path: &Path) -> Corpus {
        std::fs::write(path, b"some words and some words more\n".repeat(60)).unwrap();
        Corpus::open([path]).unwrap().in_order(Place::default())
    }

    #[test]
    fn a_panic_anywhere_while_a_corpus_is_encoded_is_an_error() {
        let (folder, tokenizer) = (tempfile::tempdir().unwrap(), tokenizer());
        let options = EncodeOptions { chunk_bytes: 50, ..EncodeOptions::new(&tokenizer, 3) };
        let panics = panic_everywhere(move |job| {
            let corpus = corpus(&folder.path().join("text.txt"));
            let mut all = Vec::new();
            encode_corpus::<u16>(&tokenizer, &corpus, &options, Start::default(), job, |encoded| {
                all.extend_from_slice(encoded.ids);
                Ok(())
            })?;
            Ok(all)
        });
        assert!(panics > 40, "{panics}");
    }

    /// More workers than the chunks that may wait, so that without an end of the first all of them would wait.
    #[test]
    fn a_panic_of_what_receives_ids_is_an_error() {
        let (folder, tokenizer) = (tempfile::tempdir().unwrap(), tokenizer());
        let (error, job) = in_a_minute(move || {
            let corpus = corpus(&folder.path().join("text.txt"));
            let options = EncodeOptions { chunk_bytes: 20, ..EncodeOptions::new(&tokenizer, 4) };
            let job = Job::default();
            let receive = |_: Encoded<'_, u16>| panic!("{}", Job::ON_PURPOSE);
            let encoded = encode_corpus(&tokenizer, &corpus, &options, Start::default(), &job, receive);
            (encoded.unwrap_err(), job)
        });
        assert!(is_on_purpose(&error), "{error}");
        assert!(job.check().is_ok());
    }
}
