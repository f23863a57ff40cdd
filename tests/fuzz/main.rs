//! Inputs that nobody meant, for every parser, the scanners, the encoder and the learner (`targets.rs`).
//!
//! Two drivers share the targets. Here each gets mutations of inputs that are right (`mutate.rs`), in every run of the
//! tests and with stable Rust alone. Nothing measures coverage, so rare paths are reached by number alone. `make fuzz`
//! builds the same file with the feature `fuzz` and with a counter at each edge of this crate's code, and libFuzzer keeps
//! the inputs that reach new edges (`guided.py`).
#![cfg_attr(feature = "fuzz", no_main)]
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
#[cfg(feature = "fuzz")]
mod guided;
mod mutate;
mod repair;
mod targets;

use common::Random;
use common::row::{few_or, passed};
use mutate::mutated;
use std::time::{Duration, Instant};
use targets::{NAMES, target};

/// Runs a target on many mutations of its seeds. Each must end within ten seconds, on a busy machine too, without a panic.
fn fuzz(name: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut target = target(name, folder.path());
    let cases = few_or(target.few, 40 * target.few);
    let mut random = Random(name.len() as u64 + cases as u64);
    target.seeds.iter().for_each(|seed| (target.work)(seed));
    for case in 0..cases {
        let bytes = mutated(&mut random, &target.seeds);
        let start = Instant::now();
        let ends = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (target.work)(&bytes)));
        let what = format!("{name}, case {case}: {:?}", String::from_utf8_lossy(&bytes));
        assert!(ends.is_ok(), "a panic: {what}");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}: {what}", start.elapsed());
    }
    passed("R21", cases);
}

/// Runs a part of the targets, so that the parts run side by side.
fn fuzz_part(part: usize) {
    NAMES.iter().skip(part).step_by(4).for_each(|name| fuzz(name));
}

#[test]
fn part_0() {
    fuzz_part(0);
}

#[test]
fn part_1() {
    fuzz_part(1);
}

#[test]
fn part_2() {
    fuzz_part(2);
}

#[test]
fn part_3() {
    fuzz_part(3);
}
