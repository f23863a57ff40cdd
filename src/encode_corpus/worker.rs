/*!
One worker: it takes chunks from the corpus, encodes them, and passes them on.
*/

use super::in_order::InOrder;
use super::options::EncodeOptions;
use super::separators::{Edge, EncodedChunk, Finished};
use crate::corpus::{Chunk, Corpus, Cutter, Limits};
use crate::encode::{Encoder, Id, Ids};
use crate::error::Error;
use crate::job::Job;
use crate::token_id::TokenId;
use crate::tokenizer::{Special, Tokenizer};

/// The maximum number of ids for which a new buffer has room at once. The system provides the memory when it is
/// written, so only a buffer that grows is filled with zeros and copied.
const MOST_AT_FIRST: usize = 1 << 20;

/// One worker.
pub(super) struct Worker<'a> {
    pub tokenizer: &'a Tokenizer,
    pub corpus: &'a Corpus,
    pub options: &'a EncodeOptions,
    /// The number of workers.
    pub threads: usize,
    pub separator: Option<TokenId>,
    pub job: &'a Job,
}

impl Worker<'_> {
    /// Encodes chunks until none is left.
    pub fn encode_chunks<T: Id, R, W>(&self, order: &InOrder<T, R>) -> Result<(), Error>
    where
        R: FnMut(EncodedChunk<'_, T>) -> Result<W, Error>,
        W: FnOnce(&[T]) -> Result<(), Error>,
    {
        self.for_each_chunk(|number, finished| order.push(number, finished, self.job).map(Some))
    }

    /// Encodes chunks until none is left, or `finish` returns no buffer for the next one.
    pub fn for_each_chunk<T: Id>(
        &self,
        mut finish: impl FnMut(u64, Finished<T>) -> Result<Option<Ids<T>>, Error>,
    ) -> Result<(), Error> {
        let (mut chunk, mut ids, mut held) = (Chunk::new(Limits::default()), Ids::default(), None);
        let special_tokens = self.tokenizer.uncut(self.options.special.unwrap_or(Special::Allow));
        let pattern = self.tokenizer.pattern();
        let cutter = Cutter { pattern, special_tokens, chunk_bytes: self.options.chunk_bytes };
        while self.corpus.next_chunk(cutter, self.job, &mut chunk)? {
            let default = if chunk.has_documents { Special::Text } else { Special::Allow };
            let special = self.options.special.unwrap_or(default);
            if let Some((other, encoder)) = held.take_if(|(held, _)| *held != special) {
                self.tokenizer.give_back(other, encoder);
            }
            let (_, encoder) =
                held.get_or_insert_with(|| (special, self.tokenizer.take_encoder(special, self.threads)));
            ids.clear();
            let finished = self.encode_chunk(encoder, &chunk, special, ids)?;
            match finish(chunk.number, finished)? {
                Some(room) => ids = room,
                None => break,
            }
        }
        if let Some((special, encoder)) = held {
            self.tokenizer.give_back(special, encoder);
        }
        Ok(())
    }

    fn encode_chunk<T: Id>(
        &self,
        encoder: &mut Encoder,
        chunk: &Chunk,
        special: Special,
        mut ids: Ids<T>,
    ) -> Result<Finished<T>, Error> {
        if !ids.has_room(1) {
            ids = Ids::with_room(chunk.used().min(MOST_AT_FIRST));
        }
        let rules = self.tokenizer.rules(special);
        for text in &chunk.texts {
            let range = text.range.clone();
            self.tokenizer
                .check_special(&chunk.bytes[range.clone()], special)
                .map_err(|error| error.moved_by(range.start))
                .and_then(|()| encoder.encode(rules, &chunk.bytes, range.clone(), self.job, &mut ids))
                .map_err(|error| self.corpus.locate(error, text))?;
            if let Some(separator) = self.separator.filter(|_| chunk.has_documents) {
                ids.extend(&[separator]);
            }
        }
        let text_bytes = chunk.texts.iter().map(|text| text.range.len() as u64).sum();
        let (begins, ends) = self.edges(chunk, special, ids.as_slice());
        let &Chunk { end, input_bytes, skipped_lines, has_documents, .. } = chunk;
        Ok(Finished { ids, begins, ends, end, input_bytes, text_bytes, skipped_lines, has_documents })
    }

    /// The content at the chunk's beginning and at its end.
    fn edges<T: Id>(&self, chunk: &Chunk, special: Special, ids: &[T]) -> (Edge, Edge) {
        if chunk.has_documents {
            let edge = if chunk.texts.is_empty() { Edge::Nothing } else { Edge::Separator };
            // Each text has a separator after it. The first text still needs a separator before it, as in any
            // other file.
            return (if edge == Edge::Nothing { edge } else { Edge::Text }, edge);
        }
        let separator = self.separator.filter(|_| special == Special::Allow);
        let edge = |ids: &mut dyn Iterator<Item = T>| Edge::of(ids, separator, self.tokenizer.vocab());
        (edge(&mut ids.iter().copied()), edge(&mut ids.iter().rev().copied()))
    }
}
