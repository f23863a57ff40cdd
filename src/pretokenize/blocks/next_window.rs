/*!
The choice of the instruction set, once for each window.
*/

use super::portable::Portable;
use super::scan::{BlockGrammar, Scan};
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::isa::IsaName;
use crate::pretokenize::borders::Borders;

/// Replaces the content of `borders` by the borders of the next window; returns `false` when the text has
/// ended.
#[allow(unsafe_code)]
pub(super) fn next_window<G: BlockGrammar>(scan: &mut Scan<'_, G>, borders: &mut Borders) -> bool {
    if !scan.begin_window(borders) {
        return false;
    }
    match scan.isa.kind() {
        IsaName::Portable => scan.fill(Portable, borders),
        // SAFETY: an `Isa` of this name is made only where `is_x86_feature_detected!` said that the
        // machine has all the features that `fill` enables. Measured gain:
        // benches/record/2-scan-and-count.md.
        #[cfg(target_arch = "x86_64")]
        IsaName::Avx2 => unsafe { avx2::fill(scan, borders) },
        // SAFETY: as above, and `has_bytes` asks for VBMI and VBMI2.
        #[cfg(target_arch = "x86_64")]
        IsaName::Avx512 if avx512::has_bytes() => unsafe {
            avx512::fill_by_bytes(scan, borders);
        },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        IsaName::Avx512 => unsafe { avx512::fill(scan, borders) },
    }
    scan.end_window(borders);
    true
}
