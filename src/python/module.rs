/*!
The functions and classes of the Python module.
*/

use super::counts::{CountBatches, CountCollector};
use super::opener::Sink;
use super::streams::{EncodeIterator, PyStreamDecoder};
use super::tokenizer::PyTokenizer;
use super::{counts, machine, run, text, token_file, train};
use crate::byte_alphabet;
use crate::formats;
use pyo3::prelude::*;

#[cfg(target_arch = "x86_64")]
use super::{decoder, kernels, layers};

#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    module.add("FILE_NAMES", formats::FILE_NAMES)?;
    module.add("BYTE_ALPHABET", byte_alphabet::to_text(&(0..=255).collect::<Vec<u8>>()))?;
    module.add_function(wrap_pyfunction!(train::train, module)?)?;
    module.add_function(wrap_pyfunction!(train::train_from_count_file, module)?)?;
    #[cfg(target_arch = "x86_64")]
    {
        module.add_function(wrap_pyfunction!(kernels::attention_forward, module)?)?;
        module.add_function(wrap_pyfunction!(kernels::attention_backward, module)?)?;
        module.add_function(wrap_pyfunction!(kernels::of_logits, module)?)?;
        module.add_function(wrap_pyfunction!(kernels::of_matrices, module)?)?;
        module.add_function(wrap_pyfunction!(layers::norm_forward, module)?)?;
        module.add_function(wrap_pyfunction!(layers::norm_backward, module)?)?;
        module.add_function(wrap_pyfunction!(layers::sum_of_squares, module)?)?;
        module.add_function(wrap_pyfunction!(layers::swiglu_forward, module)?)?;
        module.add_function(wrap_pyfunction!(layers::swiglu_backward, module)?)?;
        module.add_function(wrap_pyfunction!(decoder::next_logits, module)?)?;
    }
    module.add_class::<PyTokenizer>()?;
    module.add_class::<EncodeIterator>()?;
    module.add_class::<PyStreamDecoder>()?;
    module.add_class::<Sink>()?;
    module.add_class::<CountBatches>()?;
    module.add_class::<CountCollector>()?;
    module.add_function(wrap_pyfunction!(train::check_special_tokens, module)?)?;
    module.add_function(wrap_pyfunction!(train::load_training, module)?)?;
    module.add_function(wrap_pyfunction!(counts::count, module)?)?;
    module.add_function(wrap_pyfunction!(counts::add_count_files, module)?)?;
    module.add_function(wrap_pyfunction!(counts::open_count_file, module)?)?;
    module.add_function(wrap_pyfunction!(token_file::open_document_index, module)?)?;
    module.add_function(wrap_pyfunction!(token_file::open_token_file, module)?)?;
    module.add_function(wrap_pyfunction!(token_file::verify_token_file, module)?)?;
    module.add_function(wrap_pyfunction!(machine::amx_is_available, module)?)?;
    module.add_function(wrap_pyfunction!(machine::instruction_sets, module)?)?;
    module.add_function(wrap_pyfunction!(machine::decoder_is_available, module)?)?;
    module.add_function(wrap_pyfunction!(machine::kernel_sources_sha256, module)?)?;
    module.add_function(wrap_pyfunction!(machine::kernels_are_available, module)?)?;
    module.add_function(wrap_pyfunction!(machine::open_mp_library, module)?)?;
    module.add_function(wrap_pyfunction!(run::panic, module)?)?;
    module.add_function(wrap_pyfunction!(text::pretokenize, module)?)?;
    module.add_function(wrap_pyfunction!(text::write_sample, module)?)
}
