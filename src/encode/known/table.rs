/*!
The table of one worker: a batch is looked up, and pretokens that are not in the table are encoded and added.
*/

use super::line::{FEW_IDS, Line, Probe, Value};
use crate::encode::backtrack::Scratch;
use crate::encode::ids::{Id, Ids};
use crate::encode::rules::Rules;
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::isa::Isa;
use crate::job::Job;
use crate::lines::{Lines, near};
#[cfg(target_arch = "x86_64")]
use crate::pretoken_key::{Avx2, Avx512};
use crate::pretoken_key::{BATCH, Batch, FEW, Key, NO_PLACE, Portable, READ_AHEAD, SHORT, key, unplaced};
use crate::pretokenize::Borders;
use crate::token_id::TokenId;

/// The number of lines of a new table, which take two megabytes. The words of some megabytes of stories need no more.
const MIN_LINES: usize = 1 << 15;
/// The number of lines for each entry at which the table grows. With one, three pretokens share a line so often, and
/// change places, that a text of 4 KiB takes 1.25 times as long. (benches/record/7-limit-of-the-chip.md)
const LINES_AN_ENTRY: usize = 2;
/// The factor by which the number of lines grows. A table that begins with the lines that web text of the corpus's length
/// needs gains a hundredth there, and stories take 1.08 of the time. (benches/record/7-limit-of-the-chip.md)
const GROWTH: usize = 4;

/// The bytes from which a list that is stored aside gets room for the most that it may hold, at once. The system
/// provides the memory as it is written. In steps of two, glibc's heap kept the memory of each step, and two threads
/// took 163 to 251 MiB for 88 MB of distinct words, and 143 now (2 cores, Xeon).
const WORTH_ALL_ROOM: usize = 1 << 20;

/// The maximum length in bytes of a pretoken that is kept. Longer pretokens seldom occur again.
const LONGEST_KEPT: usize = 128;

/// The maximum number of lines: a power of two.
fn max_lines(rules: Rules<'_>) -> usize {
    (rules.knobs.table_len / 2).next_power_of_two()
}

/// The pretokens that one worker has encoded, with their ids.
pub(in crate::encode) struct Known {
    isa: Isa,
    /// Their number is a power of two.
    lines: Lines<Line>,
    max_lines: usize,
    num_entries: usize,
    /// Lists of more than three ids.
    ids_aside: Vec<TokenId>,
    /// The bytes of long pretokens, each after its length (1 byte).
    long: Vec<u8>,
    scratch: Scratch,
    ids: Vec<TokenId>,
    /// Kept, because a short text takes no longer than zeroing it.
    batch: Option<Box<Batch>>,
}

impl Known {
    /// An empty table.
    pub fn new(rules: Rules<'_>) -> Self {
        let max_lines = max_lines(rules);
        Known {
            isa: rules.knobs.isa,
            lines: Lines::new(MIN_LINES.min(max_lines)),
            max_lines,
            num_entries: 0,
            ids_aside: Vec::new(),
            long: Vec::new(),
            scratch: Scratch::default(),
            ids: Vec::new(),
            batch: None,
        }
    }

    /// Sets the maximum number of entries. A table that has more is emptied.
    pub fn limit(&mut self, rules: Rules<'_>) {
        self.max_lines = max_lines(rules);
        if self.lines.len() > self.max_lines {
            *self = Known::new(rules);
        }
    }

    /// The number of bytes of the table and of what is stored aside.
    pub fn num_bytes(&self) -> usize {
        size_of_val(&self.lines[..]) + self.long.len() + size_of_val(&self.ids_aside[..])
    }

    /// The maximum number of bytes that are stored aside (long pretokens and lists of ids): as many as the lines
    /// may take, and two megabytes at least.
    fn max_aside(&self) -> usize {
        size_of::<Line>() * self.max_lines.max(MIN_LINES)
    }

    /// Adds the ids of a window's pretokens to `out`. Fast if the buffer has [`READ_AHEAD`] bytes from the
    /// window's beginning on.
    ///
    /// # Errors
    /// [`Error::Cancelled`], if a pretoken is long.
    pub fn encode_window<T: Id>(
        &mut self,
        rules: Rules<'_>,
        buffer: &[u8],
        borders: &Borders,
        job: &Job,
        out: &mut Ids<T>,
    ) -> Result<(), Error> {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx512) = Avx512::new(self.isa) {
            return self.encode_window_by(avx512, rules, buffer, borders, job, out);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::new(self.isa) {
            return self.encode_window_by(avx2, rules, buffer, borders, job, out);
        }
        self.encode_window_by(Portable, rules, buffer, borders, job, out)
    }

    #[inline(always)]
    fn encode_window_by<T: Id>(
        &mut self,
        probe: impl Probe,
        rules: Rules<'_>,
        buffer: &[u8],
        borders: &Borders,
        job: &Job,
        out: &mut Ids<T>,
    ) -> Result<(), Error> {
        let (base, mut rest) = (borders.base(), borders.inside());
        let text = &buffer[base..];
        if rest.len() <= FEW || text.len() < READ_AHEAD {
            let mut pretokens = borders.pretokens();
            return pretokens.try_for_each(|range| self.encode_one(probe, rules, &buffer[range], job, out));
        }
        if let Some(first) = borders.first() {
            self.encode_one(probe, rules, &buffer[first], job, out)?;
        }
        let mut batch = self.batch.take().unwrap_or_else(|| Box::new(Batch::new(HashSeed::KNOWN)));
        while rest.len() > 1 {
            let starts = &rest[..rest.len().min(BATCH + 1)];
            let ends = &starts[1..];
            probe.prepare(&self.lines, text, starts, &mut batch);
            let mut next = 0;
            loop {
                out.reserve((FEW_IDS + 1) * BATCH);
                next = probe.copy_known(&self.lines, &batch, next, ends.len(), out);
                let Some(end) = ends.get(next) else { break };
                let pretoken = &text[usize::from(starts[next])..usize::from(*end)];
                self.encode_keyed(probe, rules, batch.keys[next], pretoken, job, out)?;
                next += 1;
            }
            rest = &rest[ends.len()..];
        }
        self.batch = Some(batch);
        Ok(())
    }

    /// Adds the ids of one pretoken.
    fn encode_one<T: Id>(
        &mut self,
        probe: impl Probe,
        rules: Rules<'_>,
        pretoken: &[u8],
        job: &Job,
        out: &mut Ids<T>,
    ) -> Result<(), Error> {
        self.encode_keyed(probe, rules, key(pretoken, HashSeed::KNOWN), pretoken, job, out)
    }

    #[inline(never)]
    fn encode_keyed<T: Id>(
        &mut self,
        probe: impl Probe,
        rules: Rules<'_>,
        key: Key,
        pretoken: &[u8],
        job: &Job,
        out: &mut Ids<T>,
    ) -> Result<(), Error> {
        let home = probe.home(key, self.lines.len());
        if let Some(value) = self.find(key, home, pretoken) {
            out.extend(self.ids(&value));
            return Ok(());
        }
        self.encode_new(rules, pretoken, job)?;
        self.keep(probe, key, pretoken);
        job.in_parts(&self.ids, |ids| out.extend(ids))
    }

    fn ids<'a>(&'a self, value: &'a Value) -> &'a [TokenId] {
        match value.len as usize {
            len @ 0..=FEW_IDS => &value.ids[..len],
            len => &self.ids_aside[value.ids[0] as usize..][..len],
        }
    }

    /// Finds the value of a pretoken. If it is not in the line where it belongs, it changes places with the
    /// last entry of that line.
    fn find(&mut self, key: Key, home: usize, pretoken: &[u8]) -> Option<Value> {
        let Known { lines, long, .. } = self;
        let lines = &mut lines[..];
        for at in near(home, lines.len()) {
            for way in 0..2 {
                let Line { keys, values } = lines[at];
                let is_same = match pretoken.len() {
                    0..=SHORT => keys[way] == key,
                    _ => keys[way] >> 64 == key >> 64 && long_bytes(long, keys[way]) == pretoken,
                };
                if is_same {
                    let Line { keys: [_, last_key], values: [_, last_value] } = lines[home];
                    if at != home {
                        lines[at].put(way, last_key, last_value);
                        lines[home].put(1, keys[way], values[way]);
                    }
                    return Some(values[way]);
                }
                if keys[way] == 0 {
                    return None;
                }
            }
        }
        None
    }

    /// Encodes a pretoken that is not in the table, into `self.ids`.
    fn encode_new(&mut self, rules: Rules<'_>, pretoken: &[u8], job: &Job) -> Result<(), Error> {
        self.ids.clear();
        if let Some(number) = rules.special_tokens.position(pretoken) {
            self.ids.push(rules.special_ids[number]);
            return Ok(());
        }
        rules.encoder.encode(pretoken, &mut self.scratch, &mut self.ids, job)
    }

    /// Adds a pretoken whose ids are in `self.ids`, if it is not too long.
    #[allow(clippy::cast_possible_truncation)] // Less than 2^32 bytes are stored aside.
    fn keep(&mut self, probe: impl Probe, mut key: Key, pretoken: &[u8]) {
        if pretoken.len() > LONGEST_KEPT {
            return;
        }
        if self.long.len() + size_of_val(&self.ids_aside[..]) > self.max_aside() {
            self.forget();
        }
        if LINES_AN_ENTRY * self.num_entries >= self.lines.len() && self.lines.len() < self.max_lines {
            self.grow(probe);
        }
        let home = probe.home(key, self.lines.len());
        self.make_room_aside(pretoken.len() + 1, self.ids.len());
        if pretoken.len() > SHORT {
            key = key & !Key::from(NO_PLACE) | self.long.len() as Key;
            self.long.push(pretoken.len() as u8);
            self.long.extend_from_slice(pretoken);
        }
        let mut value = Value { ids: [0; FEW_IDS], len: self.ids.len() as u32 };
        if self.ids.len() <= FEW_IDS {
            value.ids[..self.ids.len()].copy_from_slice(&self.ids);
        } else {
            value.ids[0] = self.ids_aside.len() as TokenId;
            self.ids_aside.extend_from_slice(&self.ids);
        }
        self.insert(home, key, value);
    }

    /// Reserves memory for the bytes of a pretoken and its ids. See [`WORTH_ALL_ROOM`].
    fn make_room_aside(&mut self, num_bytes: usize, num_ids: usize) {
        let most = self.max_aside() + LONGEST_KEPT * size_of::<TokenId>();
        reserve_all(&mut self.long, num_bytes, most);
        reserve_all(&mut self.ids_aside, num_ids, most);
    }

    /// Stores an entry in the first free place near its home, or over the last entry of its home line.
    fn insert(&mut self, home: usize, key: Key, value: Value) {
        let lines = &mut self.lines[..];
        for at in near(home, lines.len()) {
            if let Some(way) = lines[at].keys.iter().position(|&key| key == 0) {
                self.num_entries += 1;
                return lines[at].put(way, key, value);
            }
        }
        lines[home].put(1, key, value);
    }

    /// Empties the table.
    fn forget(&mut self) {
        self.lines.fill(Line::default());
        self.num_entries = 0;
        // Their memory is freed as well, so that either may take all of it next time.
        (self.ids_aside, self.long) = (Vec::new(), Vec::new());
    }

    #[cold]
    fn grow(&mut self, probe: impl Probe) {
        let num_lines = (GROWTH * self.lines.len()).min(self.max_lines);
        self.num_entries = 0;
        let old = std::mem::replace(&mut self.lines, Lines::new(num_lines));
        for Line { keys, values } in &*old {
            for (&key, &value) in keys.iter().zip(values).take_while(|&(&key, _)| key != 0) {
                self.insert(probe.home(unplaced(key), num_lines), key, value);
            }
        }
    }
}

/// The bytes of a long pretoken.
#[allow(clippy::cast_possible_truncation)] // The low half of a key is a place.
fn long_bytes(long: &[u8], key: Key) -> &[u8] {
    let (len, bytes) = long[key as u64 as usize..].split_at(1);
    &bytes[..len[0].into()]
}

/// Reserves room for some items more, and for `most` bytes if there are many already.
fn reserve_all<T>(items: &mut Vec<T>, additional: usize, most: usize) {
    let num_bytes = size_of::<T>() * items.capacity();
    if items.capacity() - items.len() < additional && num_bytes >= WORTH_ALL_ROOM {
        items.reserve_exact((most / size_of::<T>()).saturating_sub(items.len()).max(additional));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::encode::rules::{Knobs, TABLE_LEN};
    use crate::merges::Merges;
    use crate::pretoken_key::{Keys, of_one_hash};
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::tokenizer::{Special, Tokenizer};
    use crate::vocab::Vocab;

    /// A tokenizer without merges, so that a pretoken's ids are its bytes, and without special instructions, which
    /// have a hash of their own.
    fn tokenizer(table_len: usize, special_tokens: &[&str]) -> Tokenizer {
        let special_tokens = SpecialTokens::new(special_tokens.iter().copied()).unwrap();
        let merges = Merges::default();
        let vocab = Vocab::new(&merges, &special_tokens);
        let tokenizer = Tokenizer::new(vocab, merges, special_tokens, Pattern::Gpt2).unwrap();
        tokenizer.with_knobs(Knobs { table_len, isa: Isa::available()[0] })
    }

    fn encode(known: &mut Known, rules: Rules<'_>, pretoken: &[u8]) {
        let mut out = Ids::<u32>::default();
        known.encode_one(Portable, rules, pretoken, Job::unwatched(), &mut out).unwrap();
        assert!(
            out.as_slice().iter().copied().eq(pretoken.iter().map(|&byte| u32::from(byte))),
            "{pretoken:?}"
        );
    }

    fn num_kept(known: &Known) -> usize {
        let kept = known.lines.iter().flat_map(|line| line.keys).filter(|&key| key != 0).count();
        assert_eq!(kept, known.num_entries);
        kept
    }

    fn key_of(pretoken: &[u8]) -> Key {
        key(pretoken, HashSeed::KNOWN)
    }

    fn words() -> impl Iterator<Item = Vec<u8>> {
        (0_u32..).map(|n| n.to_string().into_bytes())
    }

    /// Pretokens that belong in line 0 of `num_lines`.
    fn of_line_0(num_lines: usize) -> impl Iterator<Item = Vec<u8>> {
        words().filter(move |word| Portable.home(key(word, HashSeed::KNOWN), num_lines) == 0)
    }

    #[test]
    fn a_table_has_half_as_many_lines_as_entries_and_begins_small() {
        for (table_len, num_lines) in
            [(1, 1), (2, 1), (4, 2), (13, 8), (1 << 14, 1 << 13), (TABLE_LEN, MIN_LINES)]
        {
            let tokenizer = tokenizer(table_len, &[]);
            assert_eq!(Known::new(tokenizer.rules(Special::Text)).lines.len(), num_lines, "{table_len}");
        }
    }

    #[test]
    fn a_pretoken_that_occurs_again_changes_places_with_the_last_of_its_home_line() {
        let tokenizer = tokenizer(8, &[]);
        let rules = tokenizer.rules(Special::Text);
        let mut known = Known::new(rules);
        let words: Vec<_> = of_line_0(4).take(3).collect();
        let keys: Vec<_> = words.iter().map(|word| key(word, HashSeed::KNOWN)).collect();
        for (word, at_home, next) in [
            (0, [keys[0], 0], [0, 0]),
            (1, [keys[0], keys[1]], [0, 0]),
            (2, [keys[0], keys[1]], [keys[2], 0]),
            (0, [keys[0], keys[1]], [keys[2], 0]),
            (2, [keys[0], keys[2]], [keys[1], 0]),
            (2, [keys[0], keys[2]], [keys[1], 0]),
            (1, [keys[0], keys[1]], [keys[2], 0]),
        ] {
            encode(&mut known, rules, &words[word]);
            assert_eq!((known.lines[0].keys, known.lines[1].keys), (at_home, next));
        }
        assert_eq!(num_kept(&known), 3);
    }

    #[test]
    fn the_last_of_a_full_line_is_forgotten() {
        let tokenizer = tokenizer(2, &[]);
        let rules = tokenizer.rules(Special::Text);
        let mut known = Known::new(rules);
        for (word, last) in [(b"a", 0), (b"b", key_of(b"b")), (b"c", key_of(b"c")), (b"b", key_of(b"b"))] {
            encode(&mut known, rules, word);
            assert_eq!(known.lines[0].keys, [key_of(b"a"), last]);
        }
        assert_eq!(num_kept(&known), 2);
    }

    #[test]
    fn a_table_grows_when_it_has_half_a_pretoken_a_line_and_never_beyond_its_maximum() {
        for (table_len, num_lines) in [(TABLE_LEN, GROWTH * MIN_LINES), (4 * MIN_LINES, 2 * MIN_LINES)] {
            let tokenizer = tokenizer(table_len, &[]);
            let rules = tokenizer.rules(Special::Text);
            let (mut known, mut words) = (Known::new(rules), words());
            while known.num_entries < MIN_LINES / LINES_AN_ENTRY {
                encode(&mut known, rules, &words.next().unwrap());
            }
            assert_eq!(known.lines.len(), MIN_LINES);
            encode(&mut known, rules, &words.next().unwrap());
            assert_eq!((known.lines.len(), num_kept(&known)), (num_lines, MIN_LINES / LINES_AN_ENTRY + 1));
            let place = known.lines.as_ptr();
            words.take(MIN_LINES).for_each(|word| encode(&mut known, rules, &word));
            assert_eq!((known.lines.len(), known.lines.as_ptr()), (num_lines, place));
            assert!(num_kept(&known) > MIN_LINES);
        }
    }

    #[test]
    fn a_smaller_limit_empties_a_table_that_is_larger() {
        let (large, small) = (tokenizer(64, &[]), tokenizer(16, &[]));
        let (large, small) = (large.rules(Special::Text), small.rules(Special::Text));
        let mut known = Known::new(small);
        encode(&mut known, small, b"a");
        known.limit(large);
        assert_eq!((known.lines.len(), known.max_lines, num_kept(&known)), (8, 32, 1));
        known.limit(small);
        assert_eq!((known.lines.len(), known.max_lines, num_kept(&known)), (8, 8, 1));
        let mut known = Known::new(large);
        encode(&mut known, large, b"a");
        known.limit(small);
        assert_eq!((known.lines.len(), known.max_lines, num_kept(&known)), (8, 8, 0));
    }

    #[test]
    fn what_is_stored_aside_is_bounded() {
        let tokenizer = tokenizer(4096, &[]);
        let rules = tokenizer.rules(Special::Text);
        let mut known = Known::new(rules);
        assert_eq!(known.num_bytes(), 64 * known.lines.len());
        let most = size_of::<Line>() * MIN_LINES;
        let mut num_forgotten = 0;
        for n in 0..4000 {
            let before = known.num_entries;
            encode(&mut known, rules, format!("{n:0>120}").as_bytes());
            num_forgotten += usize::from(known.num_entries < before);
            let aside = known.long.len() + 4 * known.ids_aside.len();
            assert!(aside <= most + 121 + 480, "{aside} bytes");
            let bytes = known.num_bytes() - 64 * known.lines.len();
            assert!(aside <= bytes && bytes <= 2 * (most + 121 + 480), "{bytes} bytes for {aside}");
        }
        assert_eq!(num_forgotten, 4000 * (121 + 480) / most);
        num_kept(&known);
    }

    #[test]
    fn a_pretoken_of_more_than_128_bytes_is_not_kept() {
        let tokenizer = tokenizer(4096, &[]);
        let rules = tokenizer.rules(Special::Text);
        let mut known = Known::new(rules);
        for (len, num_entries) in
            [(15, 1), (15, 1), (16, 2), (128, 3), (129, 3), (300, 3), (128, 3), (17, 4), (16, 4)]
        {
            encode(&mut known, rules, &vec![b'a'; len]);
            assert_eq!(num_kept(&known), num_entries, "{len}");
        }
    }

    #[test]
    fn long_pretokens_of_the_same_hash_are_told_apart() {
        let tokenizer = tokenizer(4096, &[]);
        let rules = tokenizer.rules(Special::Text);
        let mut known = Known::new(rules);
        let words = of_one_hash(8, HashSeed::KNOWN);
        for _ in 0..3 {
            words.iter().for_each(|word| encode(&mut known, rules, word));
        }
        assert_eq!(num_kept(&known), 8);
    }

    #[test]
    fn the_longest_short_pretoken_is_its_own_key() {
        let tokenizer = tokenizer(4096, &[]);
        let rules = tokenizer.rules(Special::Text);
        let mut known = Known::new(rules);
        for (word, number) in
            [(b"aaaaaaaabcdefgh", 1), (b"\0\0\0\0\0\0\0\0bcdefgh", 2), (b"aaaaaaaabcdefgh", 2)]
        {
            encode(&mut known, rules, word);
            assert_eq!((num_kept(&known), known.long.len()), (number, 0));
        }
    }
}
