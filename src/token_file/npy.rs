/*!
The header of numpy's .npy files. It always has the same length, so it can be written last, when the number of ids is known.
*/

use super::dtype::Dtype;

/// The length of the header in bytes. It is a multiple of 64, as the format requires.
pub(super) const HEADER_BYTES: usize = 128;

/// The header of an array of `count` ids.
pub(super) fn header(dtype: Dtype, count: u64) -> Vec<u8> {
    let descr = match dtype {
        Dtype::Uint16 => "<u2",
        Dtype::Uint32 => "<u4",
    };
    let dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({count},), }}");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend([118, 0]); // The length of the rest, after these ten bytes.
    header.extend(dict.as_bytes());
    header.resize(HEADER_BYTES - 1, b' ');
    header.push(b'\n');
    header
}
