/*!
The scan itself, for any grammar: from block to block, around the special tokens, into windows of borders.
*/

use super::masks::{AsciiMasks, BLOCK, Classify, add, low_bits};
use super::pairs::{PairRules, Pairs};
use crate::isa::Isa;
use crate::pretokenize::borders::{Borders, WINDOW};
use crate::pretokenize::char_class::{CharClasses, Class};
use crate::special_tokens::SpecialTokens;
use std::ops::Range;

/// The least number of bytes for which tables of pairs pay. Batches of texts of 140 bytes took up to 1.12 times as long
/// with them (benches/record/7-limit-of-the-chip.md).
const LEAST_BY_PAIRS: usize = 4 * BLOCK;

/// A text in a buffer, up to `end`, and the special tokens in it.
pub(super) struct Text<'a> {
    pub buffer: &'a [u8],
    pub end: usize,
    pub special_tokens: &'a SpecialTokens,
}

impl Text<'_> {
    /// The class of the character at `at`, unless the text ends or a special token begins there.
    pub fn class_at<C: Class>(&self, classes: &CharClasses<C>, at: usize) -> Option<C> {
        let is_text = at < self.end && self.special_tokens.len_at(self.buffer, at..self.end).is_none();
        is_text.then(|| classes.first(&self.buffer[at..self.end]).0)
    }
}

/// The masks of a block and of the block after it.
pub(super) struct Neighbours<'m, M> {
    pub current: &'m M,
    pub next: &'m M,
}

/// How the borders of a pattern follow from masks.
pub(super) trait BlockGrammar {
    /// The masks of a block. The default is those of a block without text.
    type Masks: Copy + Default;

    /// The masks of the block that begins at `start`. Only the bytes of `keep` are text. `forced` are the
    /// beginnings of special tokens.
    fn classify(
        &mut self,
        text: &Text<'_>,
        start: usize,
        ascii: AsciiMasks,
        keep: u64,
        forced: u64,
    ) -> Self::Masks;

    /// The borders in the block that begins at `start`. `found` are those before it.
    fn borders(
        &mut self,
        text: &Text<'_>,
        start: usize,
        masks: Neighbours<'_, Self::Masks>,
        found: &Borders,
    ) -> u64;

    /// The rules of pairs, if the pattern has them.
    fn pair_rules(&self) -> Option<PairRules>;

    /// Whether nothing that began before the next block changes its borders.
    fn is_settled(&self) -> bool;

    /// Forgets the blocks before the next one.
    fn forget(&mut self);
}

/// Finds the borders of a text's pretokens, a window at a time.
pub(super) struct Scan<'a, G: BlockGrammar> {
    pub isa: Isa,
    grammar: G,
    text: Text<'a>,
    /// The block whose borders come next: where it begins, and its masks.
    start: usize,
    current: Option<G::Masks>,
    /// Whether the borders of the block before came by pairs, so that its masks are not known.
    is_by_pairs: bool,
    /// The end of the last special token found.
    special_end: usize,
}

impl<'a, G: BlockGrammar> Scan<'a, G> {
    #[inline(always)]
    pub fn new(
        isa: Isa,
        grammar: G,
        buffer: &'a [u8],
        range: Range<usize>,
        special_tokens: &'a SpecialTokens,
    ) -> Self {
        Scan {
            isa,
            grammar,
            text: Text { buffer, end: range.end, special_tokens },
            start: range.start,
            current: None,
            is_by_pairs: false,
            special_end: range.start,
        }
    }

    /// Prepares `borders` for the next window; returns `false` when the text has ended.
    pub fn begin_window(&self, borders: &mut Borders) -> bool {
        if self.start >= self.text.end {
            return false;
        }
        if self.current.is_none() && !self.is_by_pairs {
            borders.begin(self.start);
        } else {
            borders.go_on(self.start);
        }
        true
    }

    /// Adds the end of the text to its last window.
    pub fn end_window(&self, borders: &mut Borders) {
        if self.start >= self.text.end {
            borders.push(self.text.end);
        }
    }

    /// Adds the borders of one window to `borders`.
    #[inline(always)]
    pub fn fill<C: Classify>(&mut self, isa: C, borders: &mut Borders) {
        self.fill_by_masks(isa, self.stop(), borders);
    }

    /// The same with tables of pairs for the blocks that allow it.
    #[inline(always)]
    pub fn fill_by_pairs<C: Pairs>(&mut self, isa: C, borders: &mut Borders) {
        let stop = self.stop();
        let rules = if stop - self.start < LEAST_BY_PAIRS { None } else { self.grammar.pair_rules() };
        let Some(mut rules) = rules else {
            return self.fill_by_masks(isa, stop, borders);
        };
        rules.leave(self.text.special_tokens.first_bytes());
        while self.start < stop {
            self.run_by_pairs(isa, &rules, stop, borders);
            self.fill_by_masks(isa, stop.min(self.start + 1), borders);
        }
    }

    /// Where the window that begins at `start` ends.
    fn stop(&self) -> usize {
        self.text.end.min(self.start.saturating_add(WINDOW))
    }

    /// Adds the borders of the next blocks to `borders`, as long as their pairs tell them ([`Pairs::run`]), and they and
    /// their neighbours are in the text.
    #[inline(always)]
    fn run_by_pairs<C: Pairs>(&mut self, isa: C, rules: &PairRules, stop: usize, borders: &mut Borders) {
        let first = self.start;
        if self.special_end + 2 > first || !self.grammar.is_settled() {
            return;
        }
        // The byte after a block is text, too.
        let stop = stop.min(self.text.end - 1);
        self.start = isa.run(self.text.buffer, first..stop, rules, borders);
        if self.start > first {
            (self.current, self.is_by_pairs) = (None, true);
        }
    }

    /// Lets the grammar know of the block before the next one, whose borders came by pairs.
    #[inline(always)]
    fn remember<C: Classify>(&mut self, isa: C, borders: &Borders) {
        let start = self.start - BLOCK;
        let (previous, none) = (self.classify(isa, start), G::Masks::default());
        self.grammar.forget();
        self.grammar.borders(&self.text, start, Neighbours { current: &previous, next: &none }, borders);
        self.is_by_pairs = false;
    }

    /// Adds the borders of the blocks before `stop` to `borders`. Two blocks a turn: with one, the masks were copied in
    /// memory at each (benches/record/7-limit-of-the-chip.md).
    #[inline(always)]
    fn fill_by_masks<C: Classify>(&mut self, isa: C, stop: usize, borders: &mut Borders) {
        if self.start >= stop {
            return;
        }
        if self.is_by_pairs {
            self.remember(isa, borders);
        }
        let mut current = match self.current {
            Some(masks) => masks,
            None => self.classify(isa, self.start),
        };
        while self.start < stop {
            let next = self.step(isa, &current, borders);
            if self.start >= stop {
                current = next;
                break;
            }
            current = self.step(isa, &next, borders);
        }
        self.current = Some(current);
    }

    /// Adds the borders of one block to `borders`. Returns the masks of the next.
    #[inline(always)]
    fn step<C: Classify>(&mut self, isa: C, current: &G::Masks, borders: &mut Borders) -> G::Masks {
        let next_start = self.start + BLOCK;
        let next =
            if next_start < self.text.end { self.classify(isa, next_start) } else { G::Masks::default() };
        let masks = Neighbours { current, next: &next };
        let bits = self.grammar.borders(&self.text, self.start, masks, borders);
        add(isa, bits, self.start, borders);
        self.start = next_start;
        next
    }

    /// The masks of the block that begins at `start`.
    #[inline(always)]
    fn classify<C: Classify>(&mut self, isa: C, start: usize) -> G::Masks {
        let tail;
        let block = match self.text.buffer[start..].first_chunk() {
            Some(block) => block,
            None => {
                tail = self.tail(start);
                &tail
            }
        };
        let ascii = isa.classify(block);
        let mut keep = low_bits(self.text.end - start) & !low_bits(self.special_end.saturating_sub(start));
        let mut forced = 0;
        let special_bytes = self.text.special_tokens.first_bytes();
        let candidates = special_bytes.iter().fold(0, |bits, &byte| bits | isa.equal(block, byte)) & keep;
        if candidates != 0 {
            let covered;
            (forced, covered) = self.find_special_tokens(start, candidates);
            keep &= !covered;
        }
        self.grammar.classify(&self.text, start, ascii, keep, forced)
    }

    /// The last bytes of a buffer that ends inside a block, padded with zeros.
    #[cold]
    fn tail(&self, start: usize) -> [u8; BLOCK] {
        let mut tail = [0; BLOCK];
        tail[..self.text.buffer.len() - start].copy_from_slice(&self.text.buffer[start..]);
        tail
    }

    /// Finds the special tokens that begin in a block. Returns the mask of their first bytes, and the mask of
    /// all their bytes.
    #[inline(never)]
    fn find_special_tokens(&mut self, start: usize, mut candidates: u64) -> (u64, u64) {
        let (mut first_bytes, mut all_bytes) = (0, 0);
        while candidates != 0 {
            let i = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            if let Some(len) = self.text.special_tokens.len_at(self.text.buffer, start + i..self.text.end) {
                first_bytes |= 1 << i;
                all_bytes |= low_bits(i + len) & !low_bits(i);
                candidates &= !low_bits(i + len);
                self.special_end = start + i + len;
            }
        }
        (first_bytes, all_bytes)
    }
}
