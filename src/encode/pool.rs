/*!
The encoders that nobody uses at the moment.

An encoder that has been used knows many pretokens already, so the next text takes one from here, and gives it
back.

Why not one list behind a lock? A thread that finds the lock held must either wait or do without. It must not
wait: in a process that was forked while another thread held the lock, the lock stays held for ever. Doing
without costs a new table for a short text, and throws away a table that is full of words. So each encoder has
a slot with a lock of its own, which is only tried. A thread begins at its own slot, so two threads seldom meet
and each gets its own encoder back, whose table is still in the cache of its core.

Why is the number of bytes bounded, and not the number of encoders? The table of a new encoder takes two
megabytes, and one that has encoded a large corpus takes sixty. A small table is worth keeping for each of many threads.
All large ones together would keep gigabytes for nothing after the one call that needed them.
*/

use super::encoder::Encoder;
use super::rules::Rules;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::cell::Cell;
use std::sync::TryLockError;
use std::sync::atomic::AtomicU32;

/// The maximum number of bytes of all idle encoders.
const MAX_IDLE_BYTES: usize = 128 << 20;
/// The number of slots: more threads than this seldom encode at once, and they only lose an encoder at times.
const NUM_SLOTS: usize = if cfg!(feature = "loom") { 2 } else { 64 };

/// An idle encoder and the number of its bytes. On cache lines of its own, because other threads use the
/// neighbours.
#[derive(Default)]
#[repr(align(128))]
struct Slot(Mutex<Option<(Box<Encoder>, usize)>>);

impl Slot {
    /// Calls `visit` with the content, unless another thread holds the lock. A panic cannot leave the content
    /// half-changed, because it is only moved, so a poisoned lock is as good as another.
    fn visit<R>(&self, visit: impl FnOnce(&mut Option<(Box<Encoder>, usize)>) -> R) -> Option<R> {
        match self.0.try_lock() {
            Ok(mut idle) => Some(visit(&mut idle)),
            Err(TryLockError::Poisoned(idle)) => Some(visit(&mut idle.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

/// Idle encoders of one tokenizer: those for texts without special tokens, and those for texts with them.
pub(crate) struct EncoderPool {
    slots: [Box<[Slot]>; 2],
    /// The sum of the encoders' bytes. It may be too large for a moment, and never too small.
    num_bytes: AtomicUsize,
}

impl Default for EncoderPool {
    fn default() -> Self {
        let slots = || (0..NUM_SLOTS).map(|_| Slot::default()).collect();
        EncoderPool { slots: [slots(), slots()], num_bytes: AtomicUsize::new(0) }
    }
}

impl EncoderPool {
    /// Takes an idle encoder, or makes one by `rules`. Nobody else uses it until it is given back.
    pub fn take(&self, has_special: bool, rules: Rules<'_>) -> Box<Encoder> {
        let idle = self.slots(has_special).find_map(|slot| slot.visit(Option::take).flatten());
        let Some((mut encoder, num_bytes)) = idle else { return Box::new(Encoder::new(rules)) };
        self.num_bytes.fetch_sub(num_bytes, Relaxed);
        encoder.limit(rules);
        encoder
    }

    /// Gives an encoder back. It is dropped if the idle encoders would have too many bytes, or if there is no
    /// free slot.
    pub fn give_back(&self, has_special: bool, encoder: Box<Encoder>) {
        let num_bytes = encoder.num_bytes();
        let mut idle = Some((encoder, num_bytes));
        if self.num_bytes.fetch_add(num_bytes, Relaxed) + num_bytes <= MAX_IDLE_BYTES {
            for slot in self.slots(has_special) {
                slot.visit(|content| {
                    if content.is_none() {
                        *content = idle.take();
                    }
                });
                if idle.is_none() {
                    return;
                }
            }
        }
        self.num_bytes.fetch_sub(num_bytes, Relaxed);
    }

    /// All slots for a choice of special tokens, starting with this thread's own.
    fn slots(&self, has_special: bool) -> impl Iterator<Item = &Slot> {
        let (before, from) = self.slots[usize::from(has_special)].split_at(own_slot());
        from.iter().chain(before)
    }
}

/// The number of the calling thread's own slot. Threads are numbered in the order of their first texts.
fn own_slot() -> usize {
    static NUM_THREADS: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.get().unwrap_or_else(|| {
        let own = NUM_THREADS.fetch_add(1, Relaxed) as usize % NUM_SLOTS;
        OWN.set(Some(own));
        own
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::encode::Ids;
    use crate::job::Job;
    use crate::merges::Merges;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::tokenizer::{Special, Tokenizer};
    use crate::vocab::Vocab;
    use std::collections::HashSet;
    use std::sync::Barrier;

    fn tokenizer() -> Tokenizer {
        let (none, merges) = (SpecialTokens::default(), Merges::default());
        Tokenizer::new(Vocab::new(&merges, &none), merges, none, Pattern::Gpt2).unwrap()
    }

    /// More pretokens of three bytes than the first table of a worker holds.
    fn words() -> Vec<u8> {
        ('\u{4E00}'..'\u{9E00}').flat_map(|letter| format!("\n{letter}").into_bytes()).collect()
    }

    /// All idle encoders, by address.
    fn idle(pool: &EncoderPool) -> HashSet<usize> {
        let address = |slot: &Slot| {
            let content = slot.0.lock().unwrap();
            content.as_ref().map(|(encoder, _)| std::ptr::from_ref(&**encoder).addr())
        };
        pool.slots.iter().flatten().filter_map(address).collect()
    }

    #[test]
    fn threads_that_encode_again_and_again_make_one_encoder_each_at_most() {
        let (tokenizer, threads) = (tokenizer(), 8);
        let pool = EncoderPool::default();
        let barrier = Barrier::new(threads);
        // All encoders exist at once, so their addresses differ.
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let first = pool.take(true, tokenizer.rules(Special::Allow));
                    barrier.wait();
                    pool.give_back(true, first);
                });
            }
        });
        let all = idle(&pool);
        assert_eq!(all.len(), threads);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let encoder = pool.take(true, tokenizer.rules(Special::Allow));
                        assert!(all.contains(&std::ptr::from_ref(&*encoder).addr()));
                        std::thread::yield_now();
                        pool.give_back(true, encoder);
                    }
                });
            }
        });
        assert_eq!(idle(&pool), all);
    }

    #[test]
    fn idle_encoders_have_no_more_bytes_than_stated() {
        let tokenizer = tokenizer();
        let pool = EncoderPool::default();
        let text = words();
        let large = || {
            let rules = tokenizer.rules(Special::Text);
            let mut encoder = Encoder::new(rules);
            encoder.ids(rules, &text, Job::unwatched()).unwrap();
            Box::new(encoder)
        };
        let many = 2 + MAX_IDLE_BYTES / large().num_bytes();
        for number in 0..many {
            pool.give_back(number % 2 == 0, large());
        }
        let num_bytes: usize =
            pool.slots.iter().flatten().filter_map(|slot| Some(slot.0.lock().unwrap().as_ref()?.1)).sum();
        assert!(num_bytes >= large().num_bytes() && num_bytes <= MAX_IDLE_BYTES, "{num_bytes}");
        assert_eq!(pool.num_bytes.load(Relaxed), num_bytes);
        for number in 0..2 * many {
            pool.take(number % 2 == 0, tokenizer.rules(Special::Text));
        }
        assert_eq!(pool.num_bytes.load(Relaxed), 0);
    }

    #[test]
    fn a_slot_whose_lock_is_held_for_ever_stops_nobody() {
        let tokenizer = tokenizer();
        let pool = EncoderPool::default();
        let held = pool.slots(true).next().unwrap().0.lock().unwrap();
        let encoder = pool.take(true, tokenizer.rules(Special::Allow));
        let address = std::ptr::from_ref(&*encoder).addr();
        pool.give_back(true, encoder);
        let again = pool.take(true, tokenizer.rules(Special::Allow));
        assert_eq!(std::ptr::from_ref(&*again).addr(), address);
        drop(held);
    }

    #[test]
    fn tables_of_many_threads_are_smaller_and_the_ids_are_the_same() {
        let text = words();
        let ids = |threads| {
            // A used encoder has memory for ids, too, unless they are added elsewhere.
            let tokenizer = tokenizer();
            let mut encoder = tokenizer.take_encoder(Special::Text, threads);
            let (rules, mut ids) = (tokenizer.rules(Special::Text), Ids::<u32>::default());
            encoder.encode(rules, &text, 0..text.len(), Job::unwatched(), &mut ids).unwrap();
            let bytes = encoder.num_bytes();
            tokenizer.give_back(Special::Text, encoder);
            (ids.as_slice().to_vec(), bytes)
        };
        let (expected, large) = ids(1);
        let (found, small) = ids(1024);
        assert!(small * 16 < large, "{small} {large}");
        assert_eq!(found, expected);
    }
}

#[cfg(test)]
#[cfg(feature = "loom")]
#[allow(clippy::unwrap_used)]
mod models {
    use super::*;
    use crate::merges::Merges;
    use crate::pretokenize::Pattern;
    use crate::special_tokens::SpecialTokens;
    use crate::sync::explore;
    use crate::tokenizer::{Special, Tokenizer};
    use crate::vocab::Vocab;
    use std::sync::Arc;

    #[test]
    fn the_bytes_of_idle_encoders_are_known_whoever_takes_them() {
        explore(|| {
            let (none, merges) = (SpecialTokens::default(), Merges::default());
            let vocab = Vocab::new(&merges, &none);
            let tokenizer = Arc::new(Tokenizer::new(vocab, merges, none, Pattern::Gpt2).unwrap());
            let pool = Arc::new(EncoderPool::default());
            let encode = {
                let (tokenizer, pool) = (Arc::clone(&tokenizer), Arc::clone(&pool));
                move || {
                    let encoder = pool.take(true, tokenizer.rules(Special::Allow));
                    pool.give_back(true, encoder);
                }
            };
            let other = loom::thread::spawn(encode.clone());
            encode();
            other.join().unwrap();
            let sizes =
                pool.slots.iter().flatten().filter_map(|slot| Some(slot.0.lock().unwrap().as_ref()?.1));
            let (found, expected) = (pool.num_bytes.load(Relaxed), sizes.collect::<Vec<_>>());
            assert!(!expected.is_empty() && found == expected.iter().sum::<usize>(), "{found} {expected:?}");
        });
    }
}
