/*!
The table of one worker: a batch is looked up, and pretokens that are not in the table are encoded and added.
*/

use super::line::{FEW_IDS, Line, Probe, Value};
use crate::encode::backtrack::Scratch;
use crate::encode::ids::{Id, Ids};
use crate::encode::rules::Rules;
use crate::isa::Isa;
use crate::prefetch::prefetch;
#[cfg(target_arch = "x86_64")]
use crate::pretoken_key::Avx2;
use crate::pretoken_key::{BATCH, Batch, FEW, Key, NO_PLACE, Portable, READ_AHEAD, SHORT, key, unplaced};
use crate::pretokenize::Borders;
use crate::token_id::TokenId;

/// The number of lines of a new table, which take a megabyte. The words of stories never need more.
const MIN_LINES: usize = 1 << 14;
/// The factor by which the number of lines grows.
const GROWTH: usize = 8;
/// The number of bytes of text for which one line is reserved. Web text has a new pretoken every 400 bytes or
/// so.
const BYTES_A_LINE: u64 = 256;
/// The number of bytes of text for each token of the vocabulary from which on the tokens are entered first.
const BYTES_A_TOKEN: u64 = 256;
/// The number of lines in which a pretoken may be: the line where it belongs, and those whose number differs
/// from it only in the lowest bits.
const NEAR: usize = 4;

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
    lines: Vec<Line>,
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
            lines: vec![Line::default(); MIN_LINES.min(max_lines)],
            max_lines,
            num_entries: 0,
            ids_aside: Vec::new(),
            long: Vec::new(),
            scratch: Scratch::default(),
            ids: Vec::new(),
            batch: None,
        }
    }

    /// Prepares an empty table for `num_bytes` of text: makes room for the pretokens, and enters the tokens of
    /// the vocabulary. Without this call the table begins small and grows, which takes some ten milliseconds
    /// more.
    pub fn expect(&mut self, rules: Rules<'_>, num_bytes: u64) {
        if self.num_entries > 0 {
            return;
        }
        let num_lines =
            usize::try_from(num_bytes / BYTES_A_LINE).map_or(self.max_lines, usize::next_power_of_two);
        if num_lines > self.lines.len() {
            self.lines = vec![Line::default(); num_lines.min(self.max_lines)];
        }
        let num_tokens = rules.encoder.ids().len();
        if num_bytes / BYTES_A_TOKEN >= num_tokens as u64 && self.lines.len() >= 2 * num_tokens {
            #[cfg(target_arch = "x86_64")]
            if let Some(avx2) = Avx2::new(self.isa) {
                return self.enter_tokens(avx2, rules);
            }
            self.enter_tokens(Portable, rules);
        }
    }

    /// Enters the short tokens of the vocabulary that text can have. They are a quarter of the table at most.
    fn enter_tokens(&mut self, probe: impl Probe, rules: Rules<'_>) {
        let short = |id: &TokenId| {
            let token = rules.vocab.get(*id).filter(|token| token.len() <= SHORT)?;
            rules.special_tokens.position(token).is_none().then(|| (key(token), *id))
        };
        let mut batch = Vec::with_capacity(BATCH);
        for ids in rules.encoder.ids().chunks(BATCH) {
            batch.clear();
            batch.extend(ids.iter().filter_map(short).map(|(key, id)| {
                let home = probe.home(key, self.lines.len());
                prefetch(&self.lines, home);
                (home, key, Value { ids: [id, 0, 0], len: 1 })
            }));
            for &(home, key, value) in &batch {
                self.insert(home, key, value);
            }
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
        size_of_val(&self.lines[..]) + self.long.capacity() + size_of::<TokenId>() * self.ids_aside.capacity()
    }

    /// The maximum number of bytes that are stored aside (long pretokens and lists of ids): as many as the lines
    /// may take, and a megabyte at least.
    fn max_aside(&self) -> usize {
        size_of::<Line>() * self.max_lines.max(MIN_LINES)
    }

    /// Adds the ids of a window's pretokens to `out`. Fast if the buffer has [`READ_AHEAD`] bytes from the
    /// window's beginning on.
    pub fn encode_window<T: Id>(
        &mut self,
        rules: Rules<'_>,
        buffer: &[u8],
        borders: &Borders,
        out: &mut Ids<T>,
    ) {
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = Avx2::new(self.isa) {
            return self.encode_window_by(avx2, rules, buffer, borders, out);
        }
        self.encode_window_by(Portable, rules, buffer, borders, out);
    }

    #[inline(always)]
    fn encode_window_by<T: Id>(
        &mut self,
        probe: impl Probe,
        rules: Rules<'_>,
        buffer: &[u8],
        borders: &Borders,
        out: &mut Ids<T>,
    ) {
        let (base, mut rest) = (borders.base(), borders.inside());
        let text = &buffer[base..];
        if rest.len() <= FEW || text.len() < READ_AHEAD {
            borders.pretokens().for_each(|pretoken| self.encode_one(probe, rules, &buffer[pretoken], out));
            return;
        }
        if let Some(first) = borders.first() {
            self.encode_one(probe, rules, &buffer[first], out);
        }
        let mut batch = self.batch.take().unwrap_or_default();
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
                self.encode_keyed(probe, rules, batch.keys[next], pretoken, out);
                next += 1;
            }
            rest = &rest[ends.len()..];
        }
        self.batch = Some(batch);
    }

    /// Adds the ids of one pretoken.
    fn encode_one<T: Id>(&mut self, probe: impl Probe, rules: Rules<'_>, pretoken: &[u8], out: &mut Ids<T>) {
        self.encode_keyed(probe, rules, key(pretoken), pretoken, out);
    }

    #[inline(never)]
    fn encode_keyed<T: Id>(
        &mut self,
        probe: impl Probe,
        rules: Rules<'_>,
        key: Key,
        pretoken: &[u8],
        out: &mut Ids<T>,
    ) {
        let home = probe.home(key, self.lines.len());
        match self.find(key, home, pretoken) {
            Some(value) => out.extend(self.ids(&value)),
            None => {
                self.encode_new(rules, pretoken);
                self.keep(probe, key, pretoken);
                out.extend(&self.ids);
            }
        }
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
        for at in self.near(home) {
            for way in 0..2 {
                let Line { keys, values } = self.lines[at];
                let is_same = match pretoken.len() {
                    0..=SHORT => keys[way] == key,
                    _ => keys[way] >> 64 == key >> 64 && self.long_bytes(keys[way]) == pretoken,
                };
                if is_same {
                    let Line { keys: [_, last_key], values: [_, last_value] } = self.lines[home];
                    if at != home {
                        self.put(at, way, last_key, last_value);
                        self.put(home, 1, keys[way], values[way]);
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

    /// The lines in which a pretoken may be, starting with the one where it belongs.
    fn near(&self, home: usize) -> impl Iterator<Item = usize> + use<> {
        let num_lines = self.lines.len();
        (0..NEAR.min(num_lines)).map(move |i| home ^ i)
    }

    fn put(&mut self, at: usize, way: usize, key: Key, value: Value) {
        let line = &mut self.lines[at];
        (line.keys[way], line.values[way]) = (key, value);
    }

    /// The bytes of a long pretoken.
    #[allow(clippy::cast_possible_truncation)] // The low half of a key is a place.
    fn long_bytes(&self, key: Key) -> &[u8] {
        let (len, bytes) = self.long[key as u64 as usize..].split_at(1);
        &bytes[..len[0].into()]
    }

    /// Encodes a pretoken that is not in the table, into `self.ids`.
    fn encode_new(&mut self, rules: Rules<'_>, pretoken: &[u8]) {
        self.ids.clear();
        match rules.special_tokens.position(pretoken) {
            Some(number) => self.ids.push(rules.special_ids[number]),
            None => rules.encoder.encode(pretoken, &mut self.scratch, &mut self.ids),
        }
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
        if self.num_entries >= self.lines.len() && self.lines.len() < self.max_lines {
            self.grow(probe);
        }
        let home = probe.home(key, self.lines.len());
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

    /// Stores an entry in the first free place near its home, or over the last entry of its home line.
    fn insert(&mut self, home: usize, key: Key, value: Value) {
        for at in self.near(home) {
            if let Some(way) = self.lines[at].keys.iter().position(|&key| key == 0) {
                self.num_entries += 1;
                return self.put(at, way, key, value);
            }
        }
        self.put(home, 1, key, value);
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
        for line in std::mem::replace(&mut self.lines, vec![Line::default(); num_lines]) {
            for (key, value) in line.keys.into_iter().zip(line.values).filter(|&(key, _)| key != 0) {
                self.insert(probe.home(unplaced(key), num_lines), key, value);
            }
        }
    }
}
