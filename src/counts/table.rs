/*!
The table of one worker: a batch is counted, and pretokens that are not in the table are added. Where the table
is full, the rarest give way and move to the shards.

No answer depends on what is in the table: a pretoken may be moved to the shards at any time, and may even be in
the table twice, because the shards add up whatever arrives. So nothing here has to keep an order after an
eviction.
*/

use super::line::{Line, Probe, WAYS};
use super::long::{LONGEST_KEPT, Long};
use super::shards::{Outbox, Shards};
use crate::corpus::Limits;
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::isa::Isa;
use crate::lines::{Lines, near};
#[cfg(target_arch = "x86_64")]
use crate::pretoken_key::{Avx2, Avx512};
use crate::pretoken_key::{BATCH, Batch, FEW, Key, Portable, READ_AHEAD, SHORT, is_long, key, unplaced};
use crate::pretokenize::Borders;

/// The number of lines of a new table, which take 256 KiB.
const MIN_LINES: usize = 1 << 12;
/// The factor by which the number of lines grows.
const GROWTH: usize = 8;
/// The number of entries for each line at which the table grows, and not before. If the lines near a pretoken's
/// home are full earlier, the rarest moves to the shards, which costs less than a table that is eight times as
/// large and is walked through at the end.
const CROWDED: usize = 2;

/// Settings that change the time and the memory of counting, and never the counts. Tests make them small.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// The instruction set.
    pub isa: Isa,
    /// The minimum number of bytes of the corpus for each worker beyond the second, if its length is known.
    pub min_share: u64,
    /// The maximum number of lines of a worker's table, a power of two. A line takes 64 bytes and holds three
    /// pretokens.
    pub max_lines: usize,
    /// The number of shards, a power of two.
    pub num_shards: usize,
    /// The maximum number of bytes of long pretokens that a worker keeps.
    pub max_long: usize,
    /// The number of pretokens after which a worker moves all of its counts, so that they fit 32 bits.
    pub carry_after: u32,
    /// The secret of the hashes.
    pub seed: HashSeed,
    /// How much of the corpus may be held as a whole.
    pub limits: Limits,
}

/// The pretokens that one worker has met and their counts, except what it has moved to the shards.
pub(super) struct Table<'a> {
    knobs: Knobs,
    /// Their number is a power of two.
    lines: Lines<Line>,
    num_entries: usize,
    long: Long,
    outbox: Outbox<'a>,
    /// Kept, because zeroing it for each window takes a while.
    batch: Box<Batch>,
    /// The number of pretokens until all counts have to be moved.
    until_carry: u32,
}

/// Where a pretoken is, or may be put.
enum Found {
    Here(usize, usize),
    Free(usize, usize),
    Full,
}

impl<'a> Table<'a> {
    /// An empty table.
    pub fn new(knobs: Knobs, shards: &'a Shards<'a>) -> Self {
        Table {
            knobs,
            lines: Lines::new(MIN_LINES.min(knobs.max_lines)),
            num_entries: 0,
            long: Long::default(),
            outbox: Outbox::new(shards),
            batch: Box::new(Batch::new(knobs.seed)),
            until_carry: knobs.carry_after,
        }
    }

    /// Counts the pretokens of a window. Fast if the buffer has [`READ_AHEAD`] bytes from the window's
    /// beginning on.
    ///
    /// # Errors
    /// [`Error::Limit`] when there are too many distinct pretokens; those of spilling.
    #[allow(clippy::cast_possible_truncation)] // A window has some thousand pretokens.
    pub fn count_window(&mut self, buffer: &[u8], borders: &Borders) -> Result<(), Error> {
        let num_pretokens = borders.inside().len() as u32 + 1;
        if self.until_carry < num_pretokens {
            self.move_all();
            self.until_carry = self.knobs.carry_after.max(num_pretokens);
        }
        self.until_carry -= num_pretokens;
        self.count_window_unchecked(buffer, borders);
        self.outbox.check()
    }

    fn count_window_unchecked(&mut self, buffer: &[u8], borders: &Borders) {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx512) = Avx512::new(self.knobs.isa) {
            return self.count_window_by(avx512, buffer, borders);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::new(self.knobs.isa) {
            return self.count_window_by(avx2, buffer, borders);
        }
        self.count_window_by(Portable, buffer, borders);
    }

    #[inline(always)]
    fn count_window_by(&mut self, probe: impl Probe, buffer: &[u8], borders: &Borders) {
        let (base, mut rest) = (borders.base(), borders.inside());
        let text = &buffer[base..];
        if rest.len() <= FEW || text.len() < READ_AHEAD {
            borders.pretokens().for_each(|pretoken| self.count_one(probe, &buffer[pretoken]));
            return;
        }
        if let Some(first) = borders.first() {
            self.count_one(probe, &buffer[first]);
        }
        while rest.len() > 1 {
            let starts = &rest[..rest.len().min(BATCH + 1)];
            let ends = &starts[1..];
            probe.prepare(&self.lines, text, starts, &mut self.batch);
            let mut next = 0;
            loop {
                next = probe.count_known(&mut self.lines, &self.batch, next, ends.len());
                let Some(end) = ends.get(next) else { break };
                let pretoken = &text[usize::from(starts[next])..usize::from(*end)];
                self.count_keyed(probe, self.batch.keys[next], pretoken);
                next += 1;
            }
            rest = &rest[ends.len()..];
        }
    }

    fn count_one(&mut self, probe: impl Probe, pretoken: &[u8]) {
        self.count_keyed(probe, key(pretoken, self.knobs.seed), pretoken);
    }

    #[inline(never)]
    fn count_keyed(&mut self, probe: impl Probe, key: Key, pretoken: &[u8]) {
        let home = probe.home(key, self.lines.len());
        match self.find(key, home, pretoken) {
            Found::Here(at, way) => {
                self.lines[at].counts[way] += 1;
                if at != home && !is_long(key) {
                    self.bring_home(home, at, way);
                }
            }
            _ if pretoken.is_empty() => {}
            _ if pretoken.len() > LONGEST_KEPT => self.outbox.add_long(key, pretoken),
            _ if self.num_entries >= CROWDED * self.lines.len() && self.may_grow() => {
                self.grow(probe);
                self.count_keyed(probe, key, pretoken);
            }
            _ => {
                let key = self.placed(key, pretoken);
                let place = self.free(home);
                self.put(place, home, key, 1);
            }
        }
    }

    /// Where a pretoken is among the lines near its home.
    fn find(&self, key: Key, home: usize, pretoken: &[u8]) -> Found {
        for at in near(home, self.lines.len()) {
            for (way, &found) in self.lines[at].keys.iter().enumerate() {
                let is_same = match pretoken.len() {
                    0..=SHORT => found == key,
                    _ => found >> 64 == key >> 64 && self.long.bytes(found) == pretoken,
                };
                if found == 0 {
                    return Found::Free(at, way);
                }
                if is_same {
                    return Found::Here(at, way);
                }
            }
        }
        Found::Full
    }

    /// Lets an entry that is not in its home line change places with the rarest one there, if that is rarer.
    fn bring_home(&mut self, home: usize, at: usize, way: usize) {
        let (key, count) = (self.lines[at].keys[way], self.lines[at].counts[way]);
        let rarest = rarest(&self.lines[home]);
        let line = &mut self.lines[home];
        if line.counts[rarest] < count {
            let last = (line.keys[rarest], line.counts[rarest]);
            (line.keys[rarest], line.counts[rarest]) = (key, count);
            (self.lines[at].keys[way], self.lines[at].counts[way]) = last;
        }
    }

    /// Stores an entry in a free place, or in place of the rarest entry of its home line, which moves to the
    /// shards.
    fn put(&mut self, place: Found, home: usize, key: Key, count: u32) {
        let (at, way) = match place {
            Found::Here(at, way) | Found::Free(at, way) => {
                self.num_entries += 1;
                (at, way)
            }
            Found::Full => {
                let way = rarest(&self.lines[home]);
                let line = &self.lines[home];
                self.outbox.push(line.keys[way], line.counts[way], &self.long);
                (home, way)
            }
        };
        let line = &mut self.lines[at];
        (line.keys[way], line.counts[way]) = (key, count);
    }

    /// The key of a pretoken with its place, if it is long. Its bytes are stored.
    fn placed(&mut self, key: Key, pretoken: &[u8]) -> Key {
        if !is_long(key) {
            return key;
        }
        if self.long.len() + pretoken.len() > self.knobs.max_long {
            self.remove(is_long);
            self.outbox.flush(&self.long);
            self.long.clear();
        }
        self.long.store(key, pretoken)
    }

    /// Moves the entries with certain keys to the outbox.
    fn remove(&mut self, is_removed: impl Fn(Key) -> bool) {
        // A line is filled from its beginning on.
        for line in self.lines.iter_mut().filter(|line| line.keys[0] != 0) {
            let mut kept = Line::default();
            let mut len = 0;
            for (&key, &count) in line.keys.iter().zip(&line.counts).filter(|&(&key, _)| key != 0) {
                if is_removed(key) {
                    self.outbox.push(key, count, &self.long);
                    self.num_entries -= 1;
                } else {
                    (kept.keys[len], kept.counts[len]) = (key, count);
                    len += 1;
                }
            }
            *line = kept;
        }
    }

    /// Moves all counts to the shards.
    pub fn move_all(&mut self) {
        self.remove(|_| true);
        self.outbox.flush(&self.long);
        self.long.clear();
    }

    /// Moves all counts to the shards, when the corpus has ended.
    ///
    /// # Errors
    /// As [`Table::count_window`], and those of spilling.
    pub fn finish(mut self) -> Result<(), Error> {
        self.move_all();
        self.outbox.check()
    }

    fn may_grow(&self) -> bool {
        self.lines.len() < self.knobs.max_lines
    }

    #[cold]
    fn grow(&mut self, probe: impl Probe) {
        let num_lines = (GROWTH * self.lines.len()).min(self.knobs.max_lines);
        self.num_entries = 0;
        let old = std::mem::replace(&mut self.lines, Lines::new(num_lines));
        for line in &*old {
            for (key, count) in line.keys.into_iter().zip(line.counts).filter(|&(key, _)| key != 0) {
                let home = probe.home(unplaced(key), num_lines);
                let place = self.free(home);
                self.put(place, home, key, count);
            }
        }
    }

    /// A free place near a line.
    fn free(&self, home: usize) -> Found {
        let is_free =
            |at: usize| self.lines[at].keys.iter().position(|&key| key == 0).map(|way| Found::Free(at, way));
        near(home, self.lines.len()).find_map(is_free).unwrap_or(Found::Full)
    }
}

/// The entry of a full line with the smallest count, and of several the last one.
fn rarest(line: &Line) -> usize {
    (0..WAYS).rev().min_by_key(|&way| line.counts[way]).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::counts::pretoken_table::PretokenTable;
    use crate::job::Job;
    use crate::lines::NEAR;
    use crate::pretoken_key::{Keys, of_one_hash};
    use crate::pretokenize::{Pattern, Pretokenizer};
    use crate::special_tokens::SpecialTokens;
    use std::collections::BTreeMap;

    type Entries = BTreeMap<Vec<u8>, u64>;

    fn knobs(max_lines: usize) -> Knobs {
        Knobs { max_lines, num_shards: 1, seed: HashSeed::KNOWN, ..Knobs::new(1) }
    }

    fn count(table: &mut Table<'_>, pretoken: &[u8], times: usize) {
        (0..times).for_each(|_| table.count_one(Portable, pretoken));
    }

    fn entries(table: &Table<'_>, lines: &[Line]) -> Entries {
        let bytes = |key: Key| match is_long(key) {
            true => table.long.bytes(key).to_vec(),
            false => key.to_le_bytes()[..usize::from(key.to_le_bytes()[SHORT])].to_vec(),
        };
        let entries = lines.iter().flat_map(|line| line.keys.into_iter().zip(line.counts));
        entries.filter(|&(key, _)| key != 0).map(|(key, count)| (bytes(key), count.into())).collect()
    }

    fn in_table(table: &Table<'_>) -> Entries {
        let found = entries(table, &table.lines);
        assert_eq!(found.len(), table.num_entries);
        found
    }

    /// Moves everything to the shards.
    fn empty(mut table: Table<'_>) {
        table.move_all();
        assert_eq!((table.num_entries, table.long.len()), (0, 0));
    }

    fn in_shards(shards: Shards<'_>) -> Entries {
        let tables = shards.into_tables();
        tables
            .iter()
            .flat_map(PretokenTable::iter)
            .map(|(pretoken, count)| (pretoken.to_vec(), count))
            .collect()
    }

    fn expected(entries: &[(&[u8], u64)]) -> Entries {
        entries.iter().map(|&(pretoken, count)| (pretoken.to_vec(), count)).collect()
    }

    /// Pretokens that belong in line 0 of `num_lines`.
    fn of_line_0(num_lines: usize, prefix: &str) -> impl Iterator<Item = Vec<u8>> {
        let is_there =
            move |pretoken: &Vec<u8>| Portable.home(key(pretoken, HashSeed::KNOWN), num_lines) == 0;
        (0..).map(move |n: u32| format!("{prefix}{n}").into_bytes()).filter(is_there)
    }

    #[test]
    fn of_a_full_line_the_rarest_gives_way() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(knobs(1), &shards);
        for (pretoken, times) in [(&b"a"[..], 3), (b"b", 1), (b"c", 2), (b"d", 1)] {
            count(&mut table, pretoken, times);
        }
        assert_eq!(in_table(&table), expected(&[(b"a", 3), (b"c", 2), (b"d", 1)]));
        count(&mut table, b"e", 1);
        assert_eq!(in_table(&table), expected(&[(b"a", 3), (b"c", 2), (b"e", 1)]));
        empty(table);
        let sum = in_shards(shards);
        assert_eq!(sum, expected(&[(b"a", 3), (b"b", 1), (b"c", 2), (b"d", 1), (b"e", 1)]));
    }

    #[test]
    fn a_pretoken_that_becomes_more_frequent_moves_to_its_home_line() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(knobs(4), &shards);
        let words: Vec<_> = of_line_0(4, "").take(4).collect();
        words.iter().for_each(|word| count(&mut table, word, 2));
        let at_home = |table: &Table<'_>| entries(table, &table.lines[..1]);
        assert_eq!(at_home(&table), words[..3].iter().map(|word| (word.clone(), 2)).collect());
        count(&mut table, &words[3], 1);
        let frequent = [(words[0].clone(), 2), (words[1].clone(), 2), (words[3].clone(), 3)];
        assert_eq!(at_home(&table), Entries::from(frequent));
        let all = [2, 2, 2, 3].into_iter().zip(words).map(|(n, word)| (word, n)).collect::<Entries>();
        assert_eq!(in_table(&table), all);
        empty(table);
        assert_eq!(in_shards(shards), all);
    }

    /// The batch finds no long pretoken, so its line does not matter.
    #[test]
    fn a_long_pretoken_stays_where_it_is() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(knobs(4), &shards);
        let words: Vec<_> = of_line_0(4, "a word of some length ").take(4).collect();
        words.iter().for_each(|word| count(&mut table, word, 1));
        count(&mut table, &words[3], 5);
        assert_eq!(
            entries(&table, &table.lines[..1]),
            words[..3].iter().map(|word| (word.clone(), 1)).collect()
        );
        assert_eq!(in_table(&table)[&words[3]], 6);
    }

    #[test]
    fn a_table_never_grows_beyond_its_maximum() {
        let words = |number: u64| (0..number).map(|n| (n.to_string().into_bytes(), 1)).collect::<Entries>();
        for (max_lines, number, num_lines) in [
            (1 << 15, 4000, 1 << 12),
            (1 << 18, 20_000, 1 << 15),
            (1 << 13, 20_000, 1 << 13),
            (1 << 12, 20_000, 1 << 12),
        ] {
            let shards = Shards::new(1, HashSeed::KNOWN);
            let mut table = Table::new(knobs(max_lines), &shards);
            let words = words(number);
            words.keys().for_each(|word| count(&mut table, word, 1));
            assert_eq!(table.lines.len(), num_lines, "{number} pretokens in at most {max_lines} lines");
            let kept = in_table(&table);
            assert!(
                kept.len() as u64 > number / 100 * 99 || max_lines <= 1 << 13,
                "{} of {number}",
                kept.len()
            );
            empty(table);
            assert_eq!(in_shards(shards), words);
        }
    }

    #[test]
    fn a_table_grows_when_it_has_two_pretokens_a_line() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(knobs(1 << 18), &shards);
        let mut sizes = [0; 1 << 12];
        let mut words = (0_u32..).map(|n| n.to_string().into_bytes());
        while table.num_entries < CROWDED << 12 {
            let Some(word) = words.next() else { break };
            let size = &mut sizes[Portable.home(key(&word, HashSeed::KNOWN), 1 << 12)];
            if *size < CROWDED {
                *size += 1;
                count(&mut table, &word, 1);
            }
        }
        assert_eq!(table.lines.len(), 1 << 12);
        count(&mut table, b"one more", 1);
        assert_eq!(table.lines.len(), 1 << 15);
        assert_eq!(in_table(&table).values().sum::<u64>(), (CROWDED << 12) as u64 + 1);
    }

    #[test]
    fn a_table_does_not_grow_when_only_the_lines_of_a_pretoken_are_full() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(knobs(1 << 15), &shards);
        let words: Vec<_> = of_line_0(1 << 12, "").take(3 * NEAR + 1).collect();
        words.iter().for_each(|word| count(&mut table, word, 1));
        assert_eq!((table.lines.len(), table.num_entries), (1 << 12, words.len() - 1));
        empty(table);
        assert_eq!(in_shards(shards), words.into_iter().map(|word| (word, 1)).collect());
    }

    #[test]
    fn the_bytes_of_long_pretokens_are_bounded() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(Knobs { max_long: 1000, ..knobs(1 << 12) }, &shards);
        let words: Vec<_> = (0..100).map(|n| format!("{n:0>90}").into_bytes()).collect();
        let mut most = 0;
        count(&mut table, b"short", 7);
        for word in &words {
            count(&mut table, word, 2);
            assert!(table.long.len() <= 1000, "{} bytes", table.long.len());
            let kept = in_table(&table);
            assert_eq!((kept.get(word), kept[&b"short"[..]]), (Some(&2), 7));
            most = most.max(kept.len() - 1);
        }
        assert_eq!(most, 1000 / 92);
        let long = words.into_iter().map(|word| (word, 2));
        empty(table);
        assert_eq!(in_shards(shards), long.chain([(b"short".to_vec(), 7)]).collect());
    }

    #[test]
    fn long_pretokens_of_the_same_hash_are_told_apart() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(knobs(4), &shards);
        let words = of_one_hash(20, HashSeed::KNOWN);
        for _ in 0..3 {
            words.iter().zip(1..).for_each(|(word, times)| count(&mut table, word, times));
        }
        assert_eq!(in_table(&table).len(), 12);
        empty(table);
        assert_eq!(in_shards(shards), words.into_iter().zip((3..).step_by(3)).collect());
    }

    #[test]
    fn a_pretoken_that_is_too_long_to_be_kept_goes_to_the_shards_at_once() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(knobs(1 << 12), &shards);
        let words = [LONGEST_KEPT, LONGEST_KEPT + 1].map(|len| vec![b'a'; len]);
        words.iter().for_each(|word| count(&mut table, word, 2));
        assert_eq!(in_table(&table), expected(&[(&words[0], 2)]));
        empty(table);
        assert_eq!(in_shards(shards), expected(&[(&words[0], 2), (&words[1], 2)]));
    }

    #[test]
    fn an_empty_pretoken_is_not_counted() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(knobs(1), &shards);
        for pretoken in [&b""[..], b"a", b"", b"b", b"c", b"", b"d", b""] {
            count(&mut table, pretoken, 1);
        }
        assert_eq!(in_table(&table), expected(&[(b"a", 1), (b"b", 1), (b"d", 1)]));
        empty(table);
        assert_eq!(in_shards(shards).len(), 4);
    }

    #[test]
    fn counts_are_moved_before_they_pass_their_bound() {
        for number in [1, 2, 29] {
            let shards = Shards::new(1, HashSeed::KNOWN);
            let mut table = Table::new(Knobs { carry_after: 100, ..knobs(1 << 12) }, &shards);
            let (special_tokens, mut borders) = (SpecialTokens::default(), Borders::default());
            let pretokenizer =
                Pretokenizer { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, isa: Isa::best() };
            let text = b" a".repeat(number);
            let mut greatest = 0;
            for _ in 0..300 {
                pretokenizer
                    .for_each_window(&text, 0..text.len(), &Job::default(), &mut borders, |borders| {
                        table.count_window(&text, borders)
                    })
                    .unwrap();
                let found = in_table(&table)[&b" a"[..]];
                assert!(found <= 100, "{found}");
                greatest = greatest.max(found);
            }
            assert!(greatest >= 30, "counts are moved after each {greatest}");
            empty(table);
            assert_eq!(in_shards(shards), expected(&[(b" a", 300 * number as u64)]));
        }
    }

    #[test]
    fn counts_of_words_in_windows_of_their_own_are_moved_in_time() {
        let shards = Shards::new(1, HashSeed::KNOWN);
        let mut table = Table::new(Knobs { carry_after: 10, ..knobs(1 << 12) }, &shards);
        let (special_tokens, mut borders) = (SpecialTokens::default(), Borders::default());
        let pretokenizer =
            Pretokenizer { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, isa: Isa::best() };
        let word = [b" ", &[b'a'; 3000][..]].concat();
        let text = word.repeat(200);
        let mut greatest = 0;
        pretokenizer
            .for_each_window(&text, 0..text.len(), &Job::default(), &mut borders, |borders| {
                table.count_window(&text, borders)?;
                greatest = greatest.max(in_table(&table).get(&word).copied().unwrap_or(0));
                Ok(())
            })
            .unwrap();
        assert!((2..=10).contains(&greatest), "{greatest}");
        empty(table);
        assert_eq!(in_shards(shards), expected(&[(&word, 200)]));
    }
}
