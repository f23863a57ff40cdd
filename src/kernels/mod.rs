/*!
What a CPU trains a language model with, where torch leaves half of it idle.

Products of large matrices are near what the cores can do, whoever calls them, and torch does those. The rest of a step
are operations that read and write all of their tensors each, a millisecond at a time. Two places are worth a kernel
(benches/record/4-language-model.md): attention, between the product that makes queries, keys and values and the one
that takes the heads; and the loss, from logits to their gradient.

Both work on [`Element`]s, float32 or bfloat16, which they are given as slices, and sum in float32. They need AVX-512 and
its products of bfloat16 ([`are_available`]); elsewhere torch does this work, too.
*/

pub mod attention;
pub mod cross_entropy;
mod head;
mod lanes;
mod team;

pub use team::open_mp_library;

use crate::error::Error;

/// A number as a model keeps it: float32 or bfloat16.
pub trait Element: bytemuck::Pod + Send + Sync + sealed::Sealed {
    /// How many make 32 bits.
    const PER_UNIT: usize;

    /// As float32, exactly.
    fn widen(self) -> f32;

    /// The nearest to a float32; of two, the even one.
    fn narrow(number: f32) -> Self;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for super::Bf16 {}
}

impl Element for f32 {
    const PER_UNIT: usize = 1;

    fn widen(self) -> f32 {
        self
    }

    fn narrow(number: f32) -> Self {
        number
    }
}

/// bfloat16: the upper half of a float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Bf16(pub u16);

// SAFETY: a number of 16 bits, as which each pattern is a value.
#[allow(unsafe_code)]
unsafe impl bytemuck::Zeroable for Bf16 {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl bytemuck::Pod for Bf16 {}

impl Element for Bf16 {
    const PER_UNIT: usize = 2;

    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    #[allow(clippy::cast_possible_truncation)] // The upper half.
    fn narrow(number: f32) -> Self {
        let bits = number.to_bits();
        if number.is_nan() {
            return Bf16((bits >> 16) as u16 | 0x40);
        }
        Bf16(((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16)
    }
}

/// Whether this machine has the instructions.
pub fn are_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512bf16")
}

fn check_machine() -> Result<(), Error> {
    if are_available() {
        return Ok(());
    }
    Err(Error::Option {
        name: "machine",
        value: "one without AVX512-BF16".to_string(),
        rule: "one where are_available() is true; torch's operations do the same",
    })
}
