/*!
Separators between the files of a corpus.

A separator is put between two files, unless the first ends or the second begins with one. A chunk shows only
its own edges. So the worker reports the edges of its chunk, and the decision is made where chunks are
received in order.
*/

use crate::corpus::Place;
use crate::encode::{Id, Ids};
use crate::error::Error;
use crate::token_id::TokenId;

/// The ids of a chunk, as the receiver gets them.
pub(crate) struct EncodedChunk<'a, T> {
    pub ids: &'a [T],
    /// The separator to put before the ids, if the file before does not end with one.
    pub separator: Option<TokenId>,
    /// The end of the chunk in the corpus.
    pub end: Place,
    /// Whether all ids so far end with a separator.
    pub is_separated: bool,
    pub text_bytes: u64,
    pub skipped_lines: u64,
}

/// Where encoding begins: a place in the corpus, and whether the ids before it end with a separator.
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

/// The content at the beginning or the end of a chunk, without whitespace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    Separator,
    Text,
    Nothing,
}

/// The ids of a chunk, and what the receiver must know about its neighbours.
pub(super) struct Finished<T> {
    pub ids: Ids<T>,
    pub begins: Edge,
    pub ends: Edge,
    pub end: Place,
    pub input_bytes: u64,
    pub text_bytes: u64,
    pub skipped_lines: u64,
}

/// The receiver of ids, and the state that it needs to put separators between files.
pub(super) struct Receiver<R> {
    pub last: Start,
    pub separator: Option<TokenId>,
    pub receive: R,
}

impl<R> Receiver<R> {
    /// Passes a chunk to the receiver, with a separator before it if needed; returns what the receiver does.
    pub fn receive<T: Id, W>(&mut self, finished: &Finished<T>) -> Result<W, Error>
    where
        R: FnMut(EncodedChunk<'_, T>) -> Result<W, Error>,
    {
        let is_new_file = finished.end.source != self.last.place.source;
        let needs_separator = is_new_file && !self.last.is_separated && finished.begins != Edge::Separator;
        let is_separated = match finished.ends {
            Edge::Nothing => self.last.is_separated || needs_separator,
            Edge::Separator => true,
            Edge::Text => false,
        };
        let received = (self.receive)(EncodedChunk {
            ids: finished.ids.as_slice(),
            separator: self.separator.filter(|_| needs_separator),
            end: finished.end,
            is_separated,
            text_bytes: finished.text_bytes,
            skipped_lines: finished.skipped_lines,
        })?;
        self.last = Start { place: finished.end, is_separated };
        Ok(received)
    }
}
