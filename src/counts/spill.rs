/*!
Counting within a limit of memory: shards that are full move to the disk, sorted.

All memory for the shards is set aside when counting begins, twice. Workers fill one set of tables. When a table of it is
full, a worker exchanges the sets, and writes what was counted so far as a sorted run while the others fill the second set. If
that is full before the run is written, they wait. So the tables never grow, and nothing is allocated or freed while
texts are counted: an allocator that has to reuse holes of other sizes takes more than it was asked for.

The sum of the runs does not depend on when a table was full. So the counts are the same for every limit.

The limit is that of the whole process, because that is what a batch system or a container counts. What the process holds
when counting begins is subtracted first.
*/

use super::pretoken_table::{PretokenTable, SortedTable, pieces};
use crate::count_file::{Merged, Runs};
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::job::Job;
use crate::panics::lock;
use crate::special_tokens::SpecialTokens;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::PoisonError;

const MIB: usize = 1 << 20;
/// The bytes for everything that has no size of its own: code that is read when it is first used, stacks, a block of a
/// run, messages.
const PROCESS: usize = 6 * MIB;
/// The bytes for the chunk of each worker.
const WORKER: usize = 3 * MIB / 2;
/// The bytes of the smallest table of a worker, and of the smallest shards.
const LEAST_TABLE: usize = MIB / 2;
const LEAST_SHARDS: usize = 2 * MIB;
/// The least number of bytes for lines of JSON, and for stretches without a place to cut, that make a chunk longer.
const LEAST_STRETCHES: usize = MIB / 2;
/// The number of times that a worker holds such a line at most.
const COPIES: usize = 3;
/// What the process is taken to hold where the system does not say.
const UNKNOWN: usize = 64 * MIB;

/// How memory is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// The number of workers.
    pub workers: usize,
    /// The lines of a worker's table, and the bytes of its long pretokens.
    pub max_lines: usize,
    pub max_long: usize,
    pub num_shards: usize,
    /// The length of the longest line of JSON, and of the longest stretch without a place to cut, that is read.
    pub max_stretch: u64,
    /// For each of the two tables of a shard, the number of slots, of pretokens, and of bytes of long ones.
    num_slots: usize,
    len: usize,
    long: usize,
}

impl Room {
    /// Divides the memory that is left of a limit.
    ///
    /// # Errors
    /// [`Error::MemoryLimit`] with the least limit, if it is greater.
    pub fn new(limit: u64, threads: usize) -> Result<Self, Error> {
        let held = held_memory().unwrap_or(UNKNOWN) + PROCESS;
        let least = held + WORKER + LEAST_TABLE + LEAST_SHARDS + LEAST_STRETCHES;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit < least {
            let (needed, limit) = (least as u64, limit as u64);
            return Err(Error::MemoryLimit { what: "counting", needed, limit });
        }
        Ok(Room::of(limit - held, threads))
    }

    /// Divides this number of bytes, at least the least ones.
    fn of(bytes: usize, threads: usize) -> Self {
        // Half for the workers at most, and a quarter of that for their tables.
        let workers = threads.min(bytes / 2 / (WORKER + LEAST_TABLE)).max(1);
        let table = (bytes / 8 / workers).max(LEAST_TABLE);
        // A table that grows takes an eighth more for a moment.
        let max_lines = previous_power_of_two(table / 80).clamp(1 << 12, 1 << 18);
        let max_long = (16 * max_lines).min(4 * MIB);
        let num_shards = if workers > 8 { 64 } else { 16 };
        // All workers may hold one at the same time, and a buffer that grows holds another.
        let stretches = (bytes / 8).max(LEAST_STRETCHES);
        let max_stretch = (stretches / (COPIES * (workers + 1))) as u64;
        let others = workers * (WORKER + 80 * max_lines + max_long) + stretches;
        let shards = bytes.saturating_sub(others).max(LEAST_SHARDS);
        let shard = shards / 2 / num_shards;
        let long = shard / 5;
        let len = |num_slots: usize| (shard - long).saturating_sub(4 * num_slots) / 24;
        let slots = previous_power_of_two((shard - long) / 16);
        let num_slots = if len(2 * slots) > len(slots).min(slots / 2) { 2 * slots } else { slots };
        let len = len(num_slots).min(num_slots / 2 - 1);
        Room { workers, max_lines, max_long, num_shards, max_stretch, num_slots, len, long }
    }

    /// Two shards that are full with one pretoken.
    #[cfg(all(test, feature = "loom"))]
    pub fn of_one_pretoken() -> Self {
        let (workers, max_lines, max_long, num_shards, max_stretch) = (2, 4, 50, 2, 1000);
        Room { workers, max_lines, max_long, num_shards, max_stretch, num_slots: 256, len: 2, long: 100 }
    }

    /// The tables of all shards for keys by a seed, with their memory.
    pub fn tables(&self, seed: HashSeed) -> Vec<PretokenTable> {
        let table = |_| PretokenTable::with_room(self.num_slots, self.len, self.long, seed);
        (0..self.num_shards).map(table).collect()
    }
}

/// The greatest power of two that is not greater.
fn previous_power_of_two(number: usize) -> usize {
    1 << number.max(1).ilog2()
}

/// The bytes of memory that the process holds, if the system says so.
pub(crate) fn held_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    held.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1024)
}

/// What the shards of a limited count need beside their tables.
pub(super) struct Spill<'a> {
    special_tokens: &'a SpecialTokens,
    job: &'a Job,
    /// The sizes at which a table is full, so that each worker may still add to it.
    len: usize,
    long: usize,
    is_full: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// The second set of tables; empty after an error.
    spare: Vec<PretokenTable>,
    runs: Runs,
}

impl<'a> Spill<'a> {
    /// Spills into `runs`. Each worker adds at most `at_once` pretokens to a table before it looks.
    pub fn new(
        room: &Room,
        seed: HashSeed,
        at_once: usize,
        runs: Runs,
        special_tokens: &'a SpecialTokens,
        job: &'a Job,
    ) -> Self {
        let len = room.len.saturating_sub(at_once * (room.workers + 1)).max(room.len / 2);
        let state = Mutex::new(State { spare: room.tables(seed), runs });
        Spill { special_tokens, job, len, long: room.long * 7 / 8, is_full: AtomicBool::new(false), state }
    }

    /// Remembers if a table is full.
    pub fn look(&self, table: &PretokenTable) {
        if table.len() >= self.len || table.num_long_bytes() >= self.long {
            self.is_full.store(true, Relaxed);
        }
    }

    /// Whether a table is full.
    pub fn is_due(&self) -> bool {
        self.is_full.load(Relaxed)
    }

    /// Exchanges the tables for the empty ones, and writes them as a run, unless another worker has done so.
    pub fn spill(&self, tables: &[Mutex<PretokenTable>]) -> Result<(), Error> {
        let mut state = lock(&self.state);
        if !self.is_due() {
            return Ok(());
        }
        if state.spare.is_empty() {
            return Err(Error::Cancelled); // Another worker has the error.
        }
        let mut full = std::mem::take(&mut state.spare);
        full.iter_mut().zip(tables).for_each(|(spare, table)| std::mem::swap(spare, &mut lock(table)));
        self.is_full.store(false, Relaxed);
        state.spare = write(full, self.special_tokens, &mut state.runs, self.job)?;
        Ok(())
    }

    /// Writes what is left, frees all tables, and returns the runs.
    pub fn finish(self, tables: Vec<PretokenTable>) -> Result<Runs, Error> {
        let State { spare, mut runs } = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        drop(spare);
        write(tables, self.special_tokens, &mut runs, self.job)?;
        Ok(runs)
    }
}

/// Writes tables as a run, and returns them empty.
fn write(
    mut tables: Vec<PretokenTable>,
    special_tokens: &SpecialTokens,
    runs: &mut Runs,
    job: &Job,
) -> Result<Vec<PretokenTable>, Error> {
    // The scanner reports a special token as a pretoken that no other equals.
    for token in special_tokens.as_slice() {
        tables.iter_mut().for_each(|table| _ = table.forget(token.as_bytes()));
    }
    let sort = |table: PretokenTable| table.into_sorted(job);
    let sorted: Vec<SortedTable> = tables.into_iter().map(sort).collect::<Result<_, _>>()?;
    let check = |_| job.check();
    runs.add(Merged::new(pieces(&sorted), &check)?)?;
    Ok(sorted.into_iter().map(SortedTable::clear).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::corpus::{Corpus, Cutter};
    use crate::count_file::Rules;
    use crate::counts::count::count_into;
    use crate::counts::shards::Shards;
    use crate::counts::table::Knobs;
    use crate::counts::{PretokenCounts, count_pretokens};
    use crate::pretokenize::Pattern;
    use crate::testing::panic_everywhere;
    use std::collections::BTreeMap;

    type Counted = BTreeMap<Vec<u8>, u64>;

    /// Room for so few pretokens that even a short text spills.
    fn tiny(workers: usize, len: usize, long: usize, num_shards: usize) -> Room {
        let (max_lines, max_long, max_stretch, num_slots) = (4, 50, u64::MAX, 2 * len);
        Room { workers, max_lines, max_long, num_shards, max_stretch, num_slots, len, long }
    }

    fn text(words: u64, seed: u64) -> Vec<u8> {
        let word = |i: u64| {
            let n = (i * i / 3 + seed) * 0x9E37_79B9 % 5000;
            let tail = if n.is_multiple_of(7) {
                "-which-is-a-word-of-some-length".repeat(1 + n as usize % 5)
            } else {
                String::new()
            };
            format!(" w{n:x}{}{}", tail.replace('-', "q"), if n.is_multiple_of(11) { "<|e>" } else { "" })
        };
        (0..words).map(word).collect::<String>().into_bytes()
    }

    fn count(text: &[u8], room: &Room, fan_in: usize, job: &Job) -> Result<(Counted, usize), Error> {
        let special_tokens = SpecialTokens::new(["<|e>"]).unwrap();
        let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 300 };
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(Rules::new(&Pattern::Gpt2, &special_tokens), folder.path(), fan_in);
        let knobs = Knobs { min_share: 1, ..Knobs::within(room) };
        let shards = Shards::limited(room, knobs.seed, runs, &special_tokens, job);
        let corpus = Corpus::from_texts([text.to_vec()]);
        count_into(&shards, &corpus, cutter, room.workers, job, knobs)?;
        let runs = shards.into_runs()?.unwrap();
        let number = runs.len();
        let mut found = Counted::new();
        let report = |_| job.check();
        runs.merged(&report)?.for_each(|pretoken, count| {
            assert_eq!(found.insert(pretoken.to_vec(), count), None);
            Ok(())
        })?;
        Ok((found, number))
    }

    fn expected(text: &[u8]) -> Counted {
        let special_tokens = SpecialTokens::new(["<|e>"]).unwrap();
        let cutter =
            Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 1 << 18 };
        let corpus = Corpus::from_texts([text.to_vec()]);
        let counts: PretokenCounts = count_pretokens(&corpus, cutter, 2, &Job::default()).unwrap();
        counts.iter().map(|(pretoken, count)| (pretoken.to_vec(), count)).collect()
    }

    #[test]
    fn tables_that_spill_count_as_tables_that_do_not() {
        for (seed, (workers, len, long, num_shards, fan_in)) in (1..).zip([
            (1, 200, 4000, 1, 2),
            (1, 70, 100, 2, 64),
            (2, 300, 1000, 4, 3),
            (3, 500, 100_000, 2, 2),
            (4, 100_000, 1 << 20, 16, 64),
        ]) {
            let text = text(20_000, seed);
            let (found, runs) =
                count(&text, &tiny(workers, len, long, num_shards), fan_in, &Job::default()).unwrap();
            assert!(found == expected(&text), "{workers} {len} {long} {num_shards} {fan_in}");
            assert_eq!(runs > 3, len < 100_000, "{runs} runs");
        }
    }

    #[test]
    fn a_panic_while_tables_spill_is_an_error_and_nobody_waits() {
        let text = text(300, 3);
        let panics =
            panic_everywhere(move |job| count(&text, &tiny(2, 70, 500, 2), 2, job).map(|(found, _)| found));
        assert!(panics > 20, "{panics}");
    }

    #[test]
    fn a_room_fills_what_is_left_of_a_limit_and_not_more() {
        for mib in [5, 8, 17, 40, 64, 100, 333, 1000, 20_000] {
            for threads in [1, 2, 7, 64] {
                let room = Room::of(mib * MIB, threads);
                let tables = 2 * room.num_shards * (4 * room.num_slots + 24 * room.len + room.long);
                let workers = room.workers * (WORKER + 80 * room.max_lines + room.max_long);
                assert!(room.len < room.num_slots / 2 && room.workers >= 1 && room.workers <= threads);
                let stretches = COPIES * (room.workers + 1) * usize::try_from(room.max_stretch).unwrap();
                assert!(tables + workers + stretches <= mib * MIB, "{mib} {threads} {room:?}");
                assert!(tables + workers >= mib * MIB / 2, "{mib} {threads} {room:?}");
            }
        }
        assert!(Room::new(u64::MAX, 2).is_ok());
        let Err(Error::MemoryLimit { needed, limit: 1000, .. }) = Room::new(1000, 2) else {
            panic!("a limit")
        };
        assert!(Room::new(needed + (8 << 20), 2).is_ok());
    }
}
