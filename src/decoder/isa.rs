/*!
The instruction set that tasks use, chosen when the program runs.
*/

use super::task::{self, Task};
use crate::kernels::Element;

/// An instruction set that this machine has. Only [`Isa::all`] makes one, which makes [`Isa::run`] sound.
#[derive(Clone, Copy, Debug)]
pub struct Isa(Set);

#[derive(Clone, Copy, Debug)]
enum Set {
    /// AVX2 with FMA.
    Avx2,
    Avx512,
}

/// Whether this machine has an instruction set that tasks can use.
pub fn is_available() -> bool {
    Isa::best().is_some()
}

impl Isa {
    /// The instruction sets of this machine, the fastest last.
    pub fn all() -> Vec<Isa> {
        let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        let has_avx512 = has_avx2 && is_x86_feature_detected!("avx512f");
        let sets = [has_avx2.then_some(Isa(Set::Avx2)), has_avx512.then_some(Isa(Set::Avx512))];
        sets.into_iter().flatten().collect()
    }

    /// The fastest instruction set of this machine.
    pub fn best() -> Option<Isa> {
        Isa::all().pop()
    }

    /// Does a task with these instructions. `scores` is memory for a number of each token of the context.
    #[allow(unsafe_code)]
    pub(super) fn run<E: Element>(self, task: Task<'_, E>, scores: &mut [f32]) {
        match self.0 {
            // SAFETY: such a value exists only where the machine has the instructions.
            Set::Avx2 => unsafe { task::avx2::run(task, scores) },
            // SAFETY: as above.
            Set::Avx512 => unsafe { task::avx512::run(task, scores) },
        }
    }
}
