/*!
The memory for long texts, asked for before the work.
*/

use super::error::new;
use pyo3::prelude::*;

/// The number of bytes that must be free in addition to the texts' lengths, for a thread's stack and table
/// (docs/memory.md). glibc maps so large a block. So the system itself decides whether the memory is free, and
/// unused parts of the heap do not count.
const WORK_BYTES: usize = 64 << 20;

/// Allocates the memory that texts will need, and frees it. An allocation that failed during the work would end
/// the process.
pub(super) fn check_memory(num_bytes: usize) -> PyResult<()> {
    let mut block = Vec::<u8>::new();
    let wanted = num_bytes.saturating_add(WORK_BYTES);
    match std::hint::black_box(&mut block).try_reserve_exact(wanted) {
        Ok(()) => Ok(()),
        Err(_) => Err(new(
            "OutOfMemory",
            &format!(
                "{num_bytes} bytes of text need {wanted} bytes of memory or more, which the system does not give; \
                 give the text in pieces to encode_iterable, or files to encode_file"
            ),
        )),
    }
}
