/*!
Separators between the files of a corpus.

A separator is put between two files, unless the first ends or the second begins with one. A chunk shows only
its own edges. So the worker reports the edges of its chunk, and the decision is made where chunks are
received in order.

ASCII whitespace at the edges of a file does not count. So if the first chunk of a file is only whitespace, the
decision depends on a later chunk. Such a chunk is joined with the next one of its file, until the file has
other content or ends. That takes as much memory as the ids of the whitespace. By GPT-2's pattern such a
stretch is one pretoken, which is never cut, so a single chunk may be as long.

Why are the edges found in the ids, and not in the text? The ids do not depend on where a text is cut. A
separator that begins with whitespace is not at the edge of a chunk's text without whitespace.
*/

use crate::corpus::Place;
use crate::encode::{Id, Ids};
use crate::error::Error;
use crate::token_id::TokenId;
use crate::vocab::Vocab;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edge {
    Separator,
    Text,
    Nothing,
}

impl Edge {
    /// The edge at which `ids` begin; those of the end are in reverse.
    pub fn of<T: Id>(ids: impl IntoIterator<Item = T>, separator: Option<TokenId>, vocab: &Vocab) -> Self {
        let is_space = |id: TokenId| vocab.get(id).is_some_and(|token| token.trim_ascii().is_empty());
        let mut ids = ids.into_iter().map(Id::get);
        match ids.find(|&id| Some(id) == separator || !is_space(id)) {
            None => Edge::Nothing,
            Some(id) if Some(id) == separator => Edge::Separator,
            Some(_) => Edge::Text,
        }
    }
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
    pub has_documents: bool,
}

impl<T: Id> Finished<T> {
    /// Adds the next chunk of the same file to a chunk of nothing but whitespace.
    pub fn join(&mut self, next: &Finished<T>) {
        self.ids.append(next.ids.as_slice());
        (self.begins, self.ends, self.end) = (next.begins, next.ends, next.end);
        self.input_bytes += next.input_bytes;
        self.text_bytes += next.text_bytes;
        self.skipped_lines += next.skipped_lines;
    }
}

/// The receiver of ids, and the state that it needs to put separators between files.
pub(super) struct Receiver<R> {
    pub last: Start,
    pub separator: Option<TokenId>,
    pub receive: R,
}

impl<R> Receiver<R> {
    /// Whether a separator before this chunk depends on the next one.
    pub fn is_undecided<T>(&self, finished: &Finished<T>) -> bool {
        self.separator.is_some() && self.may_need_separator(finished) && finished.begins == Edge::Nothing
    }

    fn may_need_separator<T>(&self, finished: &Finished<T>) -> bool {
        finished.end.source != self.last.place.source && !self.last.is_separated
    }

    /// Passes a chunk to the receiver, with a separator before it if needed; returns what the receiver does.
    pub fn receive<T: Id, W>(&mut self, finished: &Finished<T>) -> Result<W, Error>
    where
        R: FnMut(EncodedChunk<'_, T>) -> Result<W, Error>,
    {
        let needs_separator = self.may_need_separator(finished) && finished.begins != Edge::Separator;
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::merges::Merges;
    use crate::special_tokens::SpecialTokens;

    #[test]
    fn a_separator_is_at_an_edge_whatever_whitespace_it_has_and_is_beside_it() {
        let special_tokens = SpecialTokens::new(["\n<|end|>", "\n\n"]).unwrap();
        let vocab = Vocab::new(&Merges::default(), &special_tokens);
        let (end, newlines, space, letter) = (256_u16, 257, u16::from(b' '), u16::from(b'a'));
        for (ids, separator, begins, ends) in [
            (&[end][..], end, Edge::Separator, Edge::Separator),
            (&[space, end, letter, newlines], end, Edge::Separator, Edge::Text),
            (&[letter, end, space, newlines], end, Edge::Text, Edge::Separator),
            (&[letter, newlines, space], newlines, Edge::Text, Edge::Separator),
            (&[space, newlines, end], newlines, Edge::Separator, Edge::Text),
            (&[space, newlines, space], end, Edge::Nothing, Edge::Nothing),
            (&[], end, Edge::Nothing, Edge::Nothing),
        ] {
            let edge = |ids: &mut dyn Iterator<Item = u16>| Edge::of(ids, Some(separator.into()), &vocab);
            assert_eq!(edge(&mut ids.iter().copied()), begins, "{ids:?}");
            assert_eq!(edge(&mut ids.iter().rev().copied()), ends, "{ids:?}");
        }
    }
}
