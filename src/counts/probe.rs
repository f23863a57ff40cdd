/*!
The limit of any table, for benches: keys and hashes with next to no table behind them.
*/

use crate::hash_seed::HashSeed;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::pretoken_key::{Avx2, Avx512};
use crate::pretoken_key::{BATCH, Batch, Keys, Portable, READ_AHEAD};
use crate::pretokenize::Borders;

/// Makes the key and the hash of each pretoken, and counts in a table of one cache line.
pub fn probe_one_line(buffer: &[u8], borders: &Borders, table: &mut [u32; 16]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = Avx512::new(Isa::best()) {
        return probe_by(avx512, buffer, borders, table);
    }
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = Avx2::new(Isa::best()) {
        return probe_by(avx2, buffer, borders, table);
    }
    probe_by(Portable, buffer, borders, table);
}

fn probe_by(keys: impl Keys, buffer: &[u8], borders: &Borders, table: &mut [u32; 16]) {
    let text = &buffer[borders.base()..];
    if text.len() < READ_AHEAD {
        return;
    }
    let mut batch = Batch::new(HashSeed::of_process());
    let mut rest = borders.inside();
    while rest.len() > 1 {
        let starts = &rest[..rest.len().min(BATCH + 1)];
        keys.prepare(&table[..], text, starts, &mut batch);
        for &home in &batch.homes[..starts.len() - 1] {
            table[home as usize % 16] += 1;
        }
        rest = &rest[starts.len() - 1..];
    }
}
