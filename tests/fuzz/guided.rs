//! The entry points that libFuzzer calls. The target is named by `BPE_LM_FUZZ_TARGET`, and its seeds are written to the
//! folder `BPE_LM_FUZZ_SEEDS` before libFuzzer reads it.
//!
//! libFuzzer's hook ends the process at a panic, before it unwinds. So a panic that the crate would catch is found as well.

use crate::targets::{Target, target};
use std::cell::RefCell;
use std::env::var;
use std::path::Path;

thread_local! {
    static TARGET: RefCell<Option<Target>> = const { RefCell::new(None) };
}

fn begin() {
    let folder = tempfile::tempdir().unwrap().keep();
    let chosen = target(&var("BPE_LM_FUZZ_TARGET").unwrap(), &folder);
    if let Ok(seeds) = var("BPE_LM_FUZZ_SEEDS") {
        for (number, seed) in chosen.seeds.iter().enumerate() {
            std::fs::write(Path::new(&seeds).join(format!("seed-{number}")), seed).unwrap();
        }
    }
    TARGET.set(Some(chosen));
}

#[allow(unsafe_code)]
mod entry {
    libfuzzer_sys::fuzz_target!(init: super::begin(), |bytes: &[u8]| {
        super::TARGET.with_borrow_mut(|target| (target.as_mut().unwrap().work)(bytes));
    });
}
