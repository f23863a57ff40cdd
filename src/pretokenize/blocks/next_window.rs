/*!
The choice of the instruction set, once for each window.
*/

use super::portable::Portable;
use super::scanner::BlockScanner;
#[cfg(target_arch = "x86_64")]
use super::{avx2, avx512};
use crate::isa::IsaName;
use crate::pretokenize::borders::Borders;

impl BlockScanner<'_> {
    /// Replaces the content of `borders` by the borders of the next window; returns `false` when the text has
    /// ended. The borders of all windows are the beginnings of the text's pretokens and special tokens, and
    /// the text's end.
    #[allow(unsafe_code)]
    pub fn next_window(&mut self, borders: &mut Borders) -> bool {
        if self.start >= self.end {
            return false;
        }
        match self.current {
            None => borders.begin(self.start),
            Some(_) => borders.go_on(self.start),
        }
        match self.isa.kind() {
            IsaName::Portable => self.fill(Portable, borders),
            // SAFETY: an `Isa` of this name is made only where `is_x86_feature_detected!` said that the
            // machine has all the features that `fill` enables. Measured gain:
            // benches/record/2-scan-and-count.md.
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx2 => unsafe { avx2::fill(self, borders) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx512 => unsafe { avx512::fill(self, borders) },
        }
        if self.start >= self.end {
            borders.push(self.end);
        }
        true
    }
}
