/*!
What this machine and this process offer: instruction sets, kernels, OpenMP.
*/

use super::error::guarded;
use crate::isa::Isa;
use pyo3::prelude::*;

/// The instruction sets that scanners can use here, the one in use last.
#[pyfunction]
pub(super) fn instruction_sets() -> PyResult<Vec<&'static str>> {
    guarded(|| Ok(Isa::available().into_iter().map(Isa::name).collect()))
}

/// Whether this machine can run the kernels of training. Only a build for x86-64 has them.
#[pyfunction]
pub(super) fn kernels_are_available() -> PyResult<bool> {
    #[cfg(target_arch = "x86_64")]
    return guarded(|| Ok(crate::kernels::are_available()));
    #[cfg(not(target_arch = "x86_64"))]
    guarded(|| Ok(false))
}

/// Whether this machine has AMX's tiles of bfloat16, and the operating system permits them.
#[pyfunction]
pub(super) fn amx_is_available() -> PyResult<bool> {
    #[cfg(target_arch = "x86_64")]
    return guarded(|| Ok(crate::kernels::are_available() && crate::kernels::Amx::get().is_some()));
    #[cfg(not(target_arch = "x86_64"))]
    guarded(|| Ok(false))
}

/// Whether this machine can compute the next tokens of texts by one call. Only a build for x86-64 does.
#[pyfunction]
pub(super) fn decoder_is_available() -> PyResult<bool> {
    #[cfg(target_arch = "x86_64")]
    return guarded(|| Ok(crate::decoder::is_available()));
    #[cfg(not(target_arch = "x86_64"))]
    guarded(|| Ok(false))
}

/// The SHA-256 of the sources of those kernels, or an empty text in a build without them.
#[pyfunction]
pub(super) fn kernel_sources_sha256() -> PyResult<String> {
    #[cfg(target_arch = "x86_64")]
    return guarded(|| Ok(crate::kernels::sources_sha256()));
    #[cfg(not(target_arch = "x86_64"))]
    guarded(|| Ok(String::new()))
}

/// The path of the OpenMP library whose threads the kernels share, if they do.
#[pyfunction]
pub(super) fn open_mp_library() -> PyResult<Option<String>> {
    #[cfg(target_arch = "x86_64")]
    return guarded(|| Ok(crate::kernels::open_mp_library()));
    #[cfg(not(target_arch = "x86_64"))]
    guarded(|| Ok(None))
}
