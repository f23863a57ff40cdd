/*!
The instruction set that the inner loops use, chosen once when the program runs.

Three loops have more than one form: the one that finds the borders of pretokens
([`crate::pretokenize::blocks`]), and those that look pretokens up to count them ([`crate::counts`]) or to encode
them ([`crate::encode`]). They are told which form to run by a value of [`Isa`]. Such a value exists only where the processor has the
instructions, and that is what makes the calls of those forms sound.
*/

use std::sync::OnceLock;

/// An instruction set that this machine has. No other value can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(IsaName);

/// The instruction sets by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IsaName {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The instruction sets that this machine has, the fastest last.
    pub fn available() -> Vec<Isa> {
        #[cfg_attr(not(target_arch = "x86_64"), allow(unused_mut))]
        let mut available = vec![Isa(IsaName::Portable)];
        #[cfg(target_arch = "x86_64")]
        {
            let bits = is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("popcnt")
                && is_x86_feature_detected!("aes");
            if bits && is_x86_feature_detected!("avx2") {
                available.push(Isa(IsaName::Avx2));
            }
            if bits
                && is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
            {
                available.push(Isa(IsaName::Avx512));
            }
        }
        available
    }

    /// The fastest instruction set of this machine.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::available().pop().unwrap_or(Isa(IsaName::Portable)))
    }

    /// Which of the sets it is.
    #[inline(always)]
    pub(crate) fn kind(self) -> IsaName {
        self.0
    }

    /// Whether the machine has AVX2 and AES.
    pub(crate) fn has_avx2(self) -> bool {
        self.0 != IsaName::Portable
    }

    /// "portable", "avx2" or "avx512".
    pub fn name(self) -> &'static str {
        match self.0 {
            IsaName::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            IsaName::Avx512 => "avx512",
        }
    }
}
