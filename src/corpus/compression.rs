/*!
The compression of a file, detected from its first bytes, and the limit of the memory that zstd may need for
it.
*/

use std::io;
use zstd::zstd_safe::{get_error_name, zstd_sys::ZSTD_ErrorCode};

/// The base-2 logarithm of the largest window of a zstd file, in bytes. `zstd -d` has the same limit.
pub(crate) const ZSTD_WINDOW_LOG: u32 = 27;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Detects the compression from a file's first bytes.
    pub fn of(first_bytes: &[u8]) -> Self {
        match first_bytes {
            [0x1F, 0x8B, 0x08, ..] => Compression::Gzip,
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// The name of the format in errors.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }
}

/// The window in bytes that the header of a zstd frame asks for. (RFC 8878, 3.1.1.1)
pub(super) fn zstd_window(header: &[u8]) -> Option<u64> {
    let [0x28, 0xB5, 0x2F, 0xFD, descriptor, window, ..] = *header else { return None };
    let is_single_segment = descriptor & 0x20 != 0;
    if is_single_segment {
        // The window is the whole content, whose length follows the number of a dictionary.
        let start = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
        let length = header.get(start..)?;
        return match descriptor >> 6 {
            2 => length.first_chunk().map(|bytes| u32::from_le_bytes(*bytes).into()),
            3 => length.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)),
            _ => None, // Less than 66 KiB.
        };
    }
    let base = 1_u64 << (10 + (window >> 3));
    Some(base + base / 8 * u64::from(window & 7))
}

/// Whether the decoder refuses a later frame because of its window.
pub(super) fn is_window_error(error: &io::Error) -> bool {
    let code = ZSTD_ErrorCode::ZSTD_error_frameParameter_windowTooLarge as usize;
    error.to_string() == get_error_name(0_usize.wrapping_sub(code))
}
