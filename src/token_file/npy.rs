/*!
The header of numpy's .npy files. Always of the same length, so that it can be written when the number of ids is known.
*/

use super::manifest::{Dtype, Manifest};

/// A multiple of 64, as the format wants.
pub(super) const HEADER_BYTES: usize = 128;

pub(super) fn header(manifest: &Manifest) -> Vec<u8> {
    let descr = match manifest.dtype {
        Dtype::Uint16 => "<u2",
        Dtype::Uint32 => "<u4",
    };
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({},), }}", manifest.count);
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend([118, 0]); // What follows: all but these ten bytes.
    header.extend(dict.as_bytes());
    header.resize(HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}
