/*!
Which machines can run the kernels: those with AVX-512 and its products of bfloat16.
*/

use crate::error::Error;

/// Whether this machine has the instructions.
pub fn are_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

/// Refuses a machine without them.
pub(super) fn check_machine() -> Result<(), Error> {
    if are_available() {
        return Ok(());
    }
    Err(Error::Option {
        name: "machine",
        value: "one without AVX512-BF16".to_string(),
        rule: "one where are_available() is true; torch's operations do the same",
    })
}
