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
use crate::error::Error;
use crate::isa::Isa;
use crate::large_pages::filled;
#[cfg(target_arch = "x86_64")]
use crate::pretoken_key::{Avx2, Avx512};
use crate::pretoken_key::{BATCH, Batch, FEW, Key, Portable, READ_AHEAD, SHORT, is_long, key, unplaced};
use crate::pretokenize::Borders;

/// The number of lines of a new table, which take 256 KiB.
const MIN_LINES: usize = 1 << 12;
/// The factor by which the number of lines grows.
const GROWTH: usize = 8;
/// The number of entries for each line at which the table grows.
const CROWDED: usize = 2;
/// The number of lines in which a pretoken may be: the line where it belongs, and those whose number differs
/// from it only in the lowest bits.
const NEAR: usize = 4;

/// Settings that change the time and the memory of counting, and never the counts. Tests make them small.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// The instruction set.
    pub isa: Isa,
    /// The maximum number of lines of a worker's table, a power of two. A line takes 64 bytes and holds three
    /// pretokens.
    pub max_lines: usize,
    /// The number of shards, a power of two.
    pub num_shards: usize,
    /// The maximum number of bytes of long pretokens that a worker keeps.
    pub max_long: usize,
    /// The number of pretokens after which a worker moves all of its counts, so that they fit 32 bits.
    pub carry_after: u32,
}

/// The pretokens that one worker has met and their counts, except what it has moved to the shards.
pub(super) struct Table<'a> {
    knobs: Knobs,
    /// Their number is a power of two.
    lines: Vec<Line>,
    num_entries: usize,
    long: Long,
    outbox: Outbox<'a>,
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
    pub fn new(knobs: Knobs, shards: &'a Shards) -> Self {
        Table {
            knobs,
            lines: filled(Line::default(), MIN_LINES.min(knobs.max_lines)),
            num_entries: 0,
            long: Long::default(),
            outbox: Outbox::new(shards),
            until_carry: knobs.carry_after,
        }
    }

    /// Counts the pretokens of a window. Fast if the buffer has [`READ_AHEAD`] bytes from the window's
    /// beginning on.
    ///
    /// # Errors
    /// [`Error::Limit`] when there are too many distinct pretokens.
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
        let mut batch = Batch::default();
        while rest.len() > 1 {
            let starts = &rest[..rest.len().min(BATCH + 1)];
            let ends = &starts[1..];
            probe.prepare(&self.lines, text, starts, &mut batch);
            let mut next = 0;
            loop {
                next = probe.count_known(&mut self.lines, &batch, next, ends.len());
                let Some(end) = ends.get(next) else { break };
                let pretoken = &text[usize::from(starts[next])..usize::from(*end)];
                self.count_keyed(probe, batch.keys[next], pretoken);
                next += 1;
            }
            rest = &rest[ends.len()..];
        }
    }

    fn count_one(&mut self, probe: impl Probe, pretoken: &[u8]) {
        self.count_keyed(probe, key(pretoken), pretoken);
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
            Found::Free(..) if self.num_entries >= CROWDED * self.lines.len() && self.may_grow() => {
                self.grow(probe);
                self.count_keyed(probe, key, pretoken);
            }
            Found::Full if self.may_grow() => {
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
        for line in &mut self.lines {
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

    fn may_grow(&self) -> bool {
        self.lines.len() < self.knobs.max_lines
    }

    #[cold]
    fn grow(&mut self, probe: impl Probe) {
        let num_lines = (GROWTH * self.lines.len()).min(self.knobs.max_lines);
        self.num_entries = 0;
        for line in std::mem::replace(&mut self.lines, filled(Line::default(), num_lines)) {
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

/// The lines in which a pretoken may be, starting with the one where it belongs.
fn near(home: usize, num_lines: usize) -> impl Iterator<Item = usize> {
    (0..NEAR.min(num_lines)).map(move |i| home ^ i)
}

/// The entry of a full line with the smallest count, and of several the last one.
fn rarest(line: &Line) -> usize {
    (0..WAYS).rev().min_by_key(|&way| line.counts[way]).unwrap_or(0)
}
