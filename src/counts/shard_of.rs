/*!
Which shard a pretoken belongs to: a function of its key alone, so that whoever has the key finds it.
*/

use super::pretoken_table::PretokenTable;
use crate::hash_seed::HashSeed;
use crate::pretoken_key::{Key, hash, key, unplaced};
use crate::special_tokens::SpecialTokens;

/// The shard, of `number`, to which a key belongs. The bits of the hash differ from those that find the slot.
#[allow(clippy::cast_possible_truncation)] // The high half of a hash.
pub(super) fn shard_of(key: Key, number: usize, seed: HashSeed) -> usize {
    (hash(unplaced(key), seed) >> 40) as usize & (number - 1)
}

/// Takes special tokens out of tables of one seed, and returns how many had a count. The scanner reports a special token as
/// a pretoken that no other equals.
pub(super) fn forget(tables: &mut [PretokenTable], special_tokens: &SpecialTokens, seed: HashSeed) -> usize {
    let mut num_forgotten = 0;
    for token in special_tokens.as_slice() {
        let shard = shard_of(key(token.as_bytes(), seed), tables.len(), seed);
        num_forgotten += usize::from(tables[shard].forget(token.as_bytes()));
    }
    num_forgotten
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shard_gets_about_its_part_of_all_pretokens() {
        for prefix in ["", "a pretoken of some length "] {
            let (mut sizes, seed) = ([0_usize; 64], HashSeed::of_process());
            (0..64_000)
                .for_each(|n| sizes[shard_of(key(format!("{prefix}{n}").as_bytes(), seed), 64, seed)] += 1);
            assert!(sizes.iter().all(|size| (800..1200).contains(size)), "{sizes:?}");
        }
    }
}
