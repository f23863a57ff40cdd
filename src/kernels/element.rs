/*!
The two types of numbers that kernels work on.
*/

/// A number in a model's tensors: float32 or bfloat16.
pub trait Element: bytemuck::Pod + Send + Sync + sealed::Sealed {
    /// The number of elements in a unit of 32 bits.
    const PER_UNIT: usize;

    /// Converts the number to float32, exactly.
    fn widen(self) -> f32;

    /// Rounds a float32 to the nearest number of this type. Ties go to the even number.
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

// SAFETY: it is a number of 16 bits, and each pattern of bits is a value.
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
