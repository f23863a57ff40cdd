/*!
Counting within a limit of memory: shards that are full move to the disk, sorted.

All memory for the shards is set aside when counting begins, twice. Workers fill one set of tables. When a table of it is
full, a worker exchanges the sets, and writes what was counted so far as a sorted run while the others fill the second set. If
that is full before the run is written, they wait. So the tables never grow, and nothing is allocated or freed while
texts are counted: an allocator that has to reuse holes of other sizes takes more than it was asked for.

The sum of the runs does not depend on when a table was full. So the counts are the same for every limit.

A long pretoken would make a table grow, so it goes to another one if it does not fit. If it fits into none, it becomes a run
of its own.

The limit is that of the whole process, because that is what a batch system or a container counts. What the process holds
when counting begins is subtracted first, and so is what tables, files at an address and windows of zstd take beside their texts.
*/

use super::pretoken_table::{PretokenTable, SortedTables};
use super::shard_of::forget;
use crate::corpus::{Buffers, Limits, ZSTD_WINDOW_LOG};
use crate::count_file::{Merged, Runs, SortedCounts};
use crate::error::Error;
use crate::hash_seed::HashSeed;
use crate::job::Job;
use crate::panics::lock;
use crate::special_tokens::SpecialTokens;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};

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
/// The number of such lines that writing a long pretoken, or taking a text from an iterator, holds.
const OTHER_COPIES: usize = 3;
/// The bytes for a table that is being read: pieces of 512 KiB on their way, a batch of 4 MiB, and what decodes it. Rows of
/// a dictionary of long texts take more.
const TABLE: usize = 32 * MIB;
/// The bytes for a file at an address that is being read: seven blocks of 8 MiB. Four wait for a worker, one has no room
/// there yet, one is read by a worker, and one is in the hands of fsspec.
const ADDRESS: usize = 56 * MIB;
/// The bytes of a decoder of zstd beside its window, and the logarithm of the smallest window that a limit leaves.
const DECODER: usize = MIB / 2;
const LEAST_WINDOW_LOG: u32 = 20;
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
    /// How much of the corpus is held as a whole.
    pub limits: Limits,
    /// The bytes for reading runs when all texts were counted.
    pub reading: usize,
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
    pub fn new(limit: u64, threads: usize, buffers: Buffers) -> Result<Self, Error> {
        let held = held_memory().unwrap_or(UNKNOWN) + PROCESS;
        let least = held + Room::least(buffers);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit < least {
            let (needed, limit) = (least as u64, limit as u64);
            return Err(Error::MemoryLimit { what: "counting", needed, limit });
        }
        Ok(Room::of(limit - held, threads, buffers))
    }

    /// The least number of bytes that can be divided.
    fn least(buffers: Buffers) -> usize {
        LEAST_TABLE + LEAST_SHARDS + LEAST_STRETCHES + each_worker(buffers, 1)
    }

    /// Divides this number of bytes, at least the least ones.
    fn of(all: usize, threads: usize, buffers: Buffers) -> Self {
        // Half for the workers at most.
        let fits = |&workers: &usize| workers * LEAST_TABLE + each_worker(buffers, workers) <= all / 2;
        let workers = (1..=threads).rev().find(fits).unwrap_or(1);
        let sources = each_worker(buffers, workers) - workers * WORKER;
        let packed = workers.min(buffers.packed);
        let left = all.saturating_sub(sources);
        let window = left / 8 / packed.max(1);
        let zstd_window_log = window.max(1).ilog2().clamp(LEAST_WINDOW_LOG, ZSTD_WINDOW_LOG);
        let windows = packed * ((1 << zstd_window_log) - (1 << LEAST_WINDOW_LOG));
        let bytes = left - windows;
        // A quarter of half for the tables of the workers.
        let table = (bytes / 8 / workers).max(LEAST_TABLE);
        // A table that grows takes an eighth more for a moment.
        let max_lines = previous_power_of_two(table / 80).clamp(1 << 12, 1 << 18);
        let max_long = (16 * max_lines).min(4 * MIB);
        let num_shards = if workers > 8 { 64 } else { 16 };
        // All workers may hold one at the same time, and a buffer that grows holds another.
        let stretches = (bytes / 8).max(LEAST_STRETCHES);
        let longest = (stretches / (COPIES * (workers + 1) + OTHER_COPIES)) as u64;
        let limits = Limits { max_stretch: longest, max_text: longest, zstd_window_log };
        let others = workers * (WORKER + 80 * max_lines + max_long) + stretches;
        let shards = bytes.saturating_sub(others).max(LEAST_SHARDS);
        let shard = shards / 2 / num_shards;
        let long = shard / 5;
        let len = |num_slots: usize| (shard - long).saturating_sub(4 * num_slots) / 24;
        let slots = previous_power_of_two((shard - long) / 16);
        let num_slots = if len(2 * slots) > len(slots).min(slots / 2) { 2 * slots } else { slots };
        let len = len(num_slots).min(num_slots / 2 - 1);
        let reading = bytes / 2;
        Room { workers, max_lines, max_long, num_shards, limits, reading, num_slots, len, long }
    }

    /// Two shards that are full with one pretoken.
    #[cfg(all(test, feature = "loom"))]
    pub fn of_one_pretoken() -> Self {
        let (workers, max_lines, max_long, num_shards, limits) = (2, 4, 50, 2, Limits::default());
        let (reading, num_slots, len, long) = (1000, 256, 1, 100);
        Room { workers, max_lines, max_long, num_shards, limits, reading, num_slots, len, long }
    }

    /// The tables of all shards for keys by a seed, with their memory.
    pub fn tables(&self, seed: HashSeed) -> Vec<PretokenTable> {
        let table = |_| PretokenTable::with_room(self.num_slots, self.len, self.long, seed);
        (0..self.num_shards).map(table).collect()
    }
}

/// The bytes that some workers take beside their tables: chunks, and sources with the least windows.
fn each_worker(buffers: Buffers, workers: usize) -> usize {
    let Buffers { packed, tables, addresses } = buffers;
    let open = |sources: usize, each: usize| workers.min(sources) * each;
    let packed = open(packed, DECODER + (1 << LEAST_WINDOW_LOG));
    workers * WORKER + packed + open(tables, TABLE) + open(addresses, ADDRESS)
}

/// The length in bytes of the longest text of an iterator that is taken within a limit of memory.
///
/// # Errors
/// [`Error::MemoryLimit`].
#[cfg(feature = "python")]
pub(crate) fn longest_text(limit: u64, threads: usize) -> Result<u64, Error> {
    Ok(Room::new(limit, threads, Buffers::default())?.limits.max_text)
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
    seed: HashSeed,
    job: &'a Job,
    /// The pretokens of a full table, and their bytes and lengths.
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
    /// Spills into `runs`.
    pub fn new(
        room: &Room,
        seed: HashSeed,
        runs: Runs,
        special_tokens: &'a SpecialTokens,
        job: &'a Job,
    ) -> Self {
        let state = Mutex::new(State { spare: room.tables(seed), runs });
        let (len, long) = (room.len, room.long);
        Spill { special_tokens, seed, job, len, long, is_full: AtomicBool::new(false), state }
    }

    /// Whether a table has room for a pretoken, given by its bytes if it is long. Remembers if it has not.
    pub fn fits(&self, table: &PretokenTable, long: &[u8]) -> bool {
        let fits =
            table.len() < self.len && table.num_long_bytes() + PretokenTable::long_size(long) <= self.long;
        if !fits {
            self.is_full.store(true, Relaxed);
        }
        fits
    }

    /// Whether a pretoken fits into an empty table.
    pub fn fits_alone(&self, long: &[u8]) -> bool {
        PretokenTable::long_size(long) <= self.long
    }

    /// Writes a pretoken that fits into no table as a run.
    pub fn add_alone(&self, pretoken: &[u8], count: u64) -> Result<(), Error> {
        if self.special_tokens.as_slice().iter().any(|token| token.as_bytes() == pretoken) {
            return Ok(());
        }
        let mut state = lock(&self.state);
        if state.spare.is_empty() {
            return Err(Error::Cancelled); // Another worker has the error.
        }
        let check = |_| self.job.check();
        state.runs.add(Merged::new(vec![One { pretoken, count, is_next: true }], &check)?)
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
        state.spare = self.write(full, &mut state.runs)?;
        Ok(())
    }

    /// Writes what is left, frees all tables, and returns the runs.
    pub fn finish(self, tables: Vec<PretokenTable>) -> Result<Runs, Error> {
        let none = State { spare: Vec::new(), runs: lock(&self.state).runs.none() };
        let State { spare, mut runs } = std::mem::replace(&mut *lock(&self.state), none);
        drop(spare);
        self.write(tables, &mut runs)?;
        Ok(runs)
    }

    /// Writes tables as a run, and returns them empty.
    fn write(&self, mut tables: Vec<PretokenTable>, runs: &mut Runs) -> Result<Vec<PretokenTable>, Error> {
        forget(&mut tables, self.special_tokens, self.seed);
        let sorted = SortedTables::new(tables, self.job)?;
        let check = |_| self.job.check();
        runs.add(sorted.merged(&check)?)?;
        Ok(sorted.clear())
    }
}

/// One pretoken as sorted counts.
struct One<'a> {
    pretoken: &'a [u8],
    count: u64,
    is_next: bool,
}

impl SortedCounts for One<'_> {
    fn advance(&mut self) -> Result<bool, Error> {
        Ok(std::mem::take(&mut self.is_next))
    }

    fn pretoken(&self) -> &[u8] {
        self.pretoken
    }

    fn count(&self) -> u64 {
        self.count
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::corpus::{Corpus, Cutter};
    use crate::count_file::Rules;
    use crate::counts::count::count_into;
    use crate::counts::long::{LONGEST_KEPT, Long};
    use crate::counts::shards::{Outbox, Shards};
    use crate::counts::table::Knobs;
    use crate::counts::{PretokenCounts, count_pretokens};
    use crate::pretoken_key::{is_long, key};
    use crate::pretokenize::Pattern;
    use crate::testing::panic_everywhere;
    use std::collections::BTreeMap;

    type Counted = BTreeMap<Vec<u8>, u64>;

    /// Room for so few pretokens that even a short text spills.
    fn tiny(workers: usize, len: usize, long: usize, num_shards: usize) -> Room {
        let (max_lines, max_long, limits, num_slots) = (4, 50, Limits::default(), 2 * len + 2);
        Room { workers, max_lines, max_long, num_shards, limits, reading: 1 << 20, num_slots, len, long }
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
            (3, 200, 100_000, 2, 2),
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
        for (packed, tables, addresses) in [(0, 0, 0), (1, 0, 0), (9, 0, 0), (0, 9, 0), (1, 1, 1), (9, 0, 9)]
        {
            let buffers = Buffers { packed, tables, addresses };
            let least = LEAST_TABLE + LEAST_SHARDS + LEAST_STRETCHES + each_worker(buffers, 1);
            let above = [0, 1, 2, 5, 9].map(|mib| least + mib * MIB);
            let sizes = [8, 17, 40, 64, 100, 333, 1000, 20_000].map(|mib| mib * MIB);
            for (bytes, threads) in above
                .into_iter()
                .chain(sizes)
                .filter(|&bytes| bytes >= least)
                .flat_map(|bytes| [1, 2, 7, 64].map(|threads| (bytes, threads)))
            {
                let room = Room::of(bytes, threads, buffers);
                let Limits { max_stretch, max_text, zstd_window_log } = room.limits;
                let tables = 2 * room.num_shards * (4 * room.num_slots + 24 * room.len + room.long);
                let workers = room.workers * (80 * room.max_lines + room.max_long);
                let windows = room.workers.min(packed) * ((1 << zstd_window_log) - (1 << LEAST_WINDOW_LOG));
                let sources = each_worker(buffers, room.workers) + windows;
                assert!(room.len < room.num_slots / 2 && room.workers >= 1 && room.workers <= threads);
                assert!(max_text == max_stretch && (20..=27).contains(&zstd_window_log));
                let copies = COPIES * (room.workers + 1) + OTHER_COPIES;
                let stretches = copies * usize::try_from(max_stretch).unwrap();
                let all = tables + workers + sources + stretches;
                assert!(all <= bytes, "{bytes} {threads} {buffers:?} {room:?}");
                assert!(all >= bytes / 2, "{bytes} {threads} {buffers:?} {room:?}");
            }
        }
        let none = Buffers::default();
        assert!(Room::new(u64::MAX, 2, none).is_ok());
        let Err(Error::MemoryLimit { needed, limit: 1000, .. }) = Room::new(1000, 2, none) else {
            panic!("a limit")
        };
        assert!(Room::new(needed + (8 << 20), 2, none).is_ok());
        let Err(Error::MemoryLimit { needed: more, .. }) = Room::new(1000, 2, Buffers { tables: 3, ..none })
        else {
            panic!("a limit")
        };
        assert!(more > needed + (25 << 20), "{more} {needed}");
    }

    /// Pretokens that fit into no table, or into none that has others, are in runs of their own, and no table grows.
    #[test]
    fn no_table_grows_whatever_pretokens_come_at_once() {
        let special_tokens = SpecialTokens::new(["<|e>".repeat(3000)]).unwrap();
        for (len, long) in [(70, 100), (70, 5000), (1000, 100_000)] {
            let (room, job, folder) = (tiny(1, len, long, 2), Job::default(), tempfile::tempdir().unwrap());
            let runs = Runs::new(Rules::new(&Pattern::Gpt2, &special_tokens), folder.path(), 64);
            let shards = Shards::limited(&room, HashSeed::of_process(), runs, &special_tokens, &job);
            let mut expected = Counted::new();
            let mut outbox = Outbox::new(&shards);
            for n in 0..3000 {
                let pretoken = format!("{n:0len$}", len = [3, 40, 4000, 9000][n % 4]).into_bytes();
                let (key, mut kept) = (key(&pretoken, HashSeed::of_process()), Long::default());
                if pretoken.len() > LONGEST_KEPT {
                    outbox.add_long(key, &pretoken);
                } else {
                    let key = if is_long(key) { kept.store(key, &pretoken) } else { key };
                    outbox.push(key, 1, &kept);
                    outbox.flush(&kept);
                }
                *expected.entry(pretoken).or_insert(0) += 1;
                let (number, bytes) = shards.longest_table();
                assert!(number <= len && bytes <= long, "{number} {bytes}");
            }
            let special = special_tokens.as_slice()[0].as_bytes();
            outbox.add_long(key(special, HashSeed::of_process()), special);
            outbox.check().unwrap();
            let runs = shards.into_runs().unwrap().unwrap();
            let mut found = Counted::new();
            let report = |_| Ok(());
            runs.merged(&report)
                .unwrap()
                .for_each(|pretoken, n| {
                    assert_eq!(found.insert(pretoken.to_vec(), n), None);
                    Ok(())
                })
                .unwrap();
            assert!(found == expected, "{len} {long}");
        }
    }

    #[test]
    fn what_each_worker_and_each_source_takes() {
        assert_eq!((Room::least(Buffers::default()), PROCESS), (9 * MIB / 2, 6 * MIB));

        let buffers = Buffers { packed: 2, tables: 1, addresses: 9 };
        let halves = |workers| each_worker(buffers, workers) / (MIB / 2);
        assert_eq!([1, 2, 3].map(halves), [3 + 3 + 64 + 112, 6 + 6 + 64 + 224, 9 + 6 + 64 + 336]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn held_memory_is_what_the_process_has_written() {
        let bytes = vec![1_u8; 64 * MIB];
        let held = held_memory().unwrap();
        assert_eq!(bytes.iter().map(|&byte| usize::from(byte)).sum::<usize>(), 64 * MIB);
        assert!(held >= 64 * MIB, "{held}");
    }

    #[test]
    fn short_pretokens_fill_a_table_to_its_length() {
        let (special_tokens, job, folder) =
            (SpecialTokens::default(), Job::default(), tempfile::tempdir().unwrap());
        let room = tiny(1, 70, 100, 1);
        let runs = Runs::new(Rules::new(&Pattern::Gpt2, &special_tokens), folder.path(), 64);
        let shards = Shards::limited(&room, HashSeed::of_process(), runs, &special_tokens, &job);
        let (mut outbox, kept, mut most) = (Outbox::new(&shards), Long::default(), 0);
        for n in 0..300 {
            outbox.push(key(n.to_string().as_bytes(), HashSeed::of_process()), 1, &kept);
            outbox.flush(&kept);
            most = most.max(shards.longest_table().0);
        }
        outbox.check().unwrap();
        assert_eq!((most, shards.into_runs().unwrap().unwrap().len()), (70, 5));
    }

    #[test]
    fn knobs_are_those_of_the_room() {
        let room = Room::of(10 * MIB, 2, Buffers::default());
        let Knobs { max_lines, max_long, num_shards, limits, .. } = Knobs::within(&room);
        assert_eq!(
            (max_lines, max_long, num_shards, limits),
            (room.max_lines, room.max_long, room.num_shards, room.limits)
        );
        assert!(max_lines < Knobs::new(2).max_lines && limits != Limits::default());
    }

    #[test]
    fn two_rooms_to_the_byte() {
        let zstd = Buffers { packed: 9, tables: 1, addresses: 0 };
        let room = Room::of(1000 * MIB + 12_345, 8, zstd);
        let limits = Limits { max_stretch: 3_932_211, max_text: 3_932_211, zstd_window_log: 23 };
        let expected = Room {
            workers: 8,
            max_lines: 1 << 17,
            max_long: 1 << 21,
            num_shards: 16,
            limits,
            reading: 471_865_372,
            num_slots: 1 << 20,
            len: (1 << 19) - 1,
            long: 4_453_238,
        };
        assert_eq!(room, expected);
        let room = Room::of(17 * MIB + 12_345, 7, Buffers::default());
        let limits = Limits { max_stretch: 123_875, max_text: 123_875, zstd_window_log: 21 };
        let expected = Room {
            workers: 4,
            max_lines: 1 << 12,
            max_long: 1 << 16,
            num_shards: 16,
            limits,
            reading: 8_919_068,
            num_slots: 1 << 14,
            len: 5336,
            long: 48_400,
        };
        assert_eq!(room, expected);
        assert_eq!(
            [8, 9].map(|threads| Room::of(100 * MIB, threads, Buffers::default()).num_shards),
            [16, 64]
        );
    }
}
