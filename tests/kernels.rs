//! The kernels for float32 and bfloat16 against their formulas in float64. On a machine that cannot run the
//! kernels, the tests print a line and pass, or fail with `BPE_LM_REQUIRE_KERNELS=1`.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_truncation)]
#![allow(clippy::print_stdout, missing_docs)]

mod common;

use bpe_lm::kernels::attention::{backward, forward};
use bpe_lm::kernels::cross_entropy::cross_entropy;
use bpe_lm::kernels::{Amx, Angles, Bf16, Element, Shape, are_available, norm, swiglu};
use common::Random;

fn missing() -> bool {
    if !are_available() {
        assert!(std::env::var("BPE_LM_REQUIRE_KERNELS").as_deref() != Ok("1"), "no AVX512-BF16 here");
        println!("skipped: no AVX512-BF16 here");
    }
    !are_available()
}

/// Numbers of about normal distribution: each is the sum of twelve uniform numbers.
fn numbers<E: Element>(random: &mut Random, len: usize, scale: f32) -> Vec<E> {
    let uniform = |random: &mut Random| random.below(1 << 20) as f32 / (1 << 20) as f32 - 0.5;
    (0..len).map(|_| E::narrow(scale * (0..12).map(|_| uniform(random)).sum::<f32>())).collect()
}

fn wide<E: Element>(numbers: &[E]) -> Vec<f64> {
    numbers.iter().map(|number| f64::from(number.widen())).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], factor: f64, from: &[f64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// Row i of a head, among (batch, length, parts, heads, width).
fn place(
    shape: Shape,
    parts: usize,
    text: usize,
    part: usize,
    head: usize,
    i: usize,
) -> std::ops::Range<usize> {
    let start = (((text * shape.length + i) * parts + part) * shape.heads + head) * shape.width;
    start..start + shape.width
}

fn rotate(row: &mut [f64], cos: &[f64], sin: &[f64], sign: f64) {
    for (k, pair) in row.chunks_exact_mut(2).enumerate() {
        let (a, b) = (pair[0], pair[1]);
        pair[0] = a * cos[k] - sign * b * sin[k];
        pair[1] = sign * a * sin[k] + b * cos[k];
    }
}

/// Outputs, logarithms to base 2 of sums, and the gradient of queries, keys and values, query by query.
fn naive(
    shape: Shape,
    qkv: &[f64],
    angles: Option<[&[f64]; 2]>,
    gradient: &[f64],
) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let scale = (shape.width as f64).sqrt().recip();
    let half = shape.width / 2;
    let mut outputs = vec![0.0; gradient.len()];
    let mut logs = Vec::new();
    let mut to = vec![0.0; qkv.len()];
    let turn = |row: &mut [f64], i: usize, sign: f64| {
        if let Some([cos, sin]) = angles {
            rotate(row, &cos[i * half..][..half], &sin[i * half..][..half], sign);
        }
    };
    let row = |text, part, head, i| {
        let mut row = qkv[place(shape, 3, text, part, head, i)].to_vec();
        if part < 2 {
            turn(&mut row, i, 1.0);
        }
        row
    };
    for (text, head) in (0..shape.batch).flat_map(|text| (0..shape.heads).map(move |head| (text, head))) {
        for i in 0..shape.length {
            let q = row(text, 0, head, i);
            let first = if shape.reach == 0 { 0 } else { (i + 1).saturating_sub(shape.reach) };
            let scores: Vec<f64> = (first..=i).map(|j| scale * dot(&q, &row(text, 1, head, j))).collect();
            let max = scores.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = scores.iter().map(|score| (score - max).exp()).sum();
            logs.push((max + sum.ln()) / std::f64::consts::LN_2);
            let p: Vec<f64> = scores.iter().map(|score| (score - max).exp() / sum).collect();
            let at = place(shape, 1, text, 0, head, i);
            let outer = &gradient[at.clone()];
            let dp: Vec<f64> = (first..=i).map(|j| dot(outer, &row(text, 2, head, j))).collect();
            let inner = dot(&p, &dp);
            for j in first..=i {
                add(&mut outputs[at.clone()], p[j - first], &row(text, 2, head, j));
                let ds = scale * p[j - first] * (dp[j - first] - inner);
                let (mut dq, mut dk) = (row(text, 1, head, j), q.clone());
                turn(&mut dq, i, -1.0);
                turn(&mut dk, j, -1.0);
                add(&mut to[place(shape, 3, text, 0, head, i)], ds, &dq);
                add(&mut to[place(shape, 3, text, 1, head, j)], ds, &dk);
                add(&mut to[place(shape, 3, text, 2, head, j)], p[j - first], outer);
            }
        }
    }
    (outputs, logs, to)
}

/// The largest distance, as a share of the largest number.
fn distance<E: Element>(found: &[E], exact: &[f64]) -> f64 {
    let largest = exact.iter().fold(1e-30, |most: f64, number| most.max(number.abs()));
    wide(found).iter().zip(exact).map(|(found, exact)| (found - exact).abs() / largest).fold(0.0, f64::max)
}

struct Found<E> {
    outputs: Vec<E>,
    log_sums: Vec<f32>,
    gradient: Vec<E>,
}

fn kernel<E: Element>(
    shape: Shape,
    qkv: &[E],
    angles: Option<Angles<'_>>,
    outer: &[E],
    threads: usize,
    amx: Option<Amx>,
) -> Found<E> {
    let mut outputs = vec![E::narrow(f32::NAN); outer.len()];
    let mut log_sums = vec![f32::NAN; shape.batch * shape.heads * shape.length];
    forward(shape, qkv, angles, amx, threads, &mut outputs, &mut log_sums).unwrap();
    let mut gradient = vec![E::narrow(f32::NAN); qkv.len()];
    backward(shape, outer, qkv, angles, &outputs, &log_sums, amx, threads, &mut gradient).unwrap();
    Found { outputs, log_sums, gradient }
}

fn attention_is_its_formula<E: Element>(tolerance: f64, log_tolerance: f64, amx: Option<Amx>) {
    if missing() {
        return;
    }
    let mut random = Random(7);
    let lengths = [1, 2, 15, 16, 17, 63, 64, 65, 127, 128, 130, 200];
    for (number, length) in lengths.into_iter().enumerate() {
        let width = [32, 64, 16, 96, 2, 20, 128, 33, 80][number % 9];
        let shape = Shape { batch: 1 + number % 2, length, heads: 1 + number % 3, width, reach: 0 };
        let values = shape.batch * length * shape.heads * width;
        let qkv: Vec<E> = numbers(&mut random, 3 * values, 1.5);
        let outer: Vec<E> = numbers(&mut random, values, 1.0);
        let cos: Vec<f32> = (0..length * (width / 2)).map(|i| (i as f32).cos()).collect();
        let sin: Vec<f32> = (0..length * (width / 2)).map(|i| (i as f32).sin()).collect();
        let (wide_cos, wide_sin) = (wide(&cos), wide(&sin));
        for turned in [false, true].into_iter().take(1 + (width + 1) % 2) {
            let angles = turned.then_some(Angles { cos: &cos, sin: &sin });
            let exact_angles = turned.then_some([&wide_cos[..], &wide_sin[..]]);
            let found = kernel(shape, &qkv, angles, &outer, 2, amx);
            let (outputs, logs, gradient) = naive(shape, &wide(&qkv), exact_angles, &wide(&outer));
            let far = [distance(&found.outputs, &outputs), distance(&found.gradient, &gradient)];
            assert!(far.iter().all(|far| *far < tolerance), "{shape:?}, turned {turned}: {far:?}");
            let far = distance(&found.log_sums, &logs);
            assert!(far < log_tolerance, "{shape:?}, turned {turned}: logarithms {far}");
        }
    }
}

/// Windows inside a block, of whole blocks, one number to each side, and as long as the text.
fn windows_are_their_formula<E: Element + PartialEq>(tolerance: f64, amx: Option<Amx>) {
    if missing() {
        return;
    }
    let mut random = Random(12);
    for length in [1, 63, 64, 65, 130, 200, 300] {
        for reach in [1, 2, 15, 63, 64, 65, 66, 127, 128, 129, 199, 200, 1000, usize::MAX] {
            let shape = Shape { batch: 1, length, heads: 2, width: 32, reach };
            let values = length * 2 * 32;
            let qkv: Vec<E> = numbers(&mut random, 3 * values, 1.5);
            let outer: Vec<E> = numbers(&mut random, values, 1.0);
            let found = kernel(shape, &qkv, None, &outer, 2, amx);
            let (outputs, logs, gradient) = naive(shape, &wide(&qkv), None, &wide(&outer));
            let far = [
                distance(&found.outputs, &outputs),
                distance(&found.gradient, &gradient),
                distance(&found.log_sums, &logs),
            ];
            assert!(far.iter().all(|far| *far < tolerance), "{length}, {reach}: {far:?}");
            if reach >= length {
                let all = kernel(Shape { reach: 0, ..shape }, &qkv, None, &outer, 2, amx);
                assert!(all.outputs == found.outputs && all.gradient == found.gradient);
            }
        }
    }
}

#[test]
fn attention_with_a_window_is_its_formula() {
    windows_are_their_formula::<f32>(3e-6, None);
    windows_are_their_formula::<Bf16>(2e-2, None);
    if let Some(amx) = amx() {
        windows_are_their_formula::<Bf16>(2e-2, Some(amx));
    }
}

#[test]
fn attention_of_float32_is_its_formula() {
    attention_is_its_formula::<f32>(3e-6, 1e-6, None);
}

#[test]
fn attention_of_bfloat16_is_its_formula() {
    attention_is_its_formula::<Bf16>(2e-2, 1e-2, None);
}

/// The matrix unit, if the machine has it.
fn amx() -> Option<Amx> {
    let amx = Amx::get().filter(|_| !missing());
    if amx.is_none() {
        println!("skipped: no AMX here");
    }
    amx
}

#[test]
fn attention_of_bfloat16_on_tiles_is_its_formula() {
    if let Some(amx) = amx() {
        attention_is_its_formula::<Bf16>(2e-2, 1e-2, Some(amx));
    }
}

/// Both forms multiply the same numbers, and differ in how they round sums.
#[test]
fn attention_on_tiles_is_that_of_avx512_but_for_rounding_and_does_not_depend_on_threads() {
    let Some(amx) = amx() else { return };
    let mut random = Random(11);
    for width in [32, 64, 128, 20] {
        let shape = Shape { batch: 2, length: 100, heads: 3, width, reach: 0 };
        let values = shape.batch * shape.length * shape.heads * shape.width;
        let qkv: Vec<Bf16> = numbers(&mut random, 3 * values, 1.0);
        let outer: Vec<Bf16> = numbers(&mut random, values, 1.0);
        let avx512 = kernel(shape, &qkv, None, &outer, 2, None);
        let found = kernel(shape, &qkv, None, &outer, 1, Some(amx));
        assert!(distance(&found.outputs, &wide(&avx512.outputs)) < 5e-3);
        assert!(distance(&found.gradient, &wide(&avx512.gradient)) < 5e-3);
        for threads in [2, 5] {
            let again = kernel(shape, &qkv, None, &outer, threads, Some(amx));
            assert_eq!((&again.outputs, &again.gradient), (&found.outputs, &found.gradient));
            assert_eq!(again.log_sums, found.log_sums);
        }
    }
}

#[test]
fn heads_do_not_depend_on_threads_or_on_each_other() {
    if missing() {
        return;
    }
    let shape = Shape { batch: 3, length: 70, heads: 4, width: 32, reach: 0 };
    let values = shape.batch * shape.length * shape.heads * shape.width;
    let mut random = Random(8);
    let mut qkv: Vec<f32> = numbers(&mut random, 3 * values, 1.0);
    let outer: Vec<f32> = numbers(&mut random, values, 1.0);
    let found = kernel(shape, &qkv, None, &outer, 1, None);
    for threads in [2, 3, 8, 100] {
        let again = kernel(shape, &qkv, None, &outer, threads, None);
        assert_eq!((&again.outputs, &again.gradient), (&found.outputs, &found.gradient));
        assert_eq!(again.log_sums, found.log_sums);
    }
    // A key that is not a number spoils only its own head of its own text, and no query before that key.
    qkv[place(shape, 3, 1, 1, 2, 3)].fill(f32::NAN);
    let spoiled = kernel(shape, &qkv, None, &outer, 1, None);
    for (text, head, i) in (0..3).flat_map(|t| (0..4).flat_map(move |h| (0..70).map(move |i| (t, h, i)))) {
        let at = place(shape, 1, text, 0, head, i);
        let is_spoiled = (text, head) == (1, 2) && i >= 3;
        assert_eq!(spoiled.outputs[at.clone()].iter().all(|number| number.is_nan()), is_spoiled);
        if !is_spoiled {
            assert_eq!(spoiled.outputs[at.clone()], found.outputs[at]);
        }
        if (text, head) != (1, 2) {
            for part in 0..3 {
                let at = place(shape, 3, text, part, head, i);
                assert_eq!(spoiled.gradient[at.clone()], found.gradient[at]);
            }
        }
    }
}

/// All queries attend to one key, the first. The sums over the blocks after it must not drift.
#[test]
fn long_texts_with_large_scores_do_not_drift() {
    if missing() {
        return;
    }
    let shape = Shape { batch: 1, length: 1500, heads: 1, width: 32, reach: 0 };
    for (scale, tolerance) in [(1.0, 2e-6), (4.0, 1e-5), (100.0, 2e-2)] {
        let mut random = Random(9);
        let mut qkv: Vec<f32> = numbers(&mut random, 3 * 1500 * 32, scale);
        for i in 0..1500 {
            for number in &mut qkv[place(shape, 3, 0, 0, 0, i)] {
                *number += scale;
            }
        }
        qkv[place(shape, 3, 0, 1, 0, 0)].fill(scale);
        let outer: Vec<f32> = numbers(&mut random, 1500 * 32, 1.0);
        let found = kernel(shape, &qkv, None, &outer, 1, None);
        let (outputs, logs, _) = naive(shape, &wide(&qkv), None, &wide(&outer));
        assert!(
            distance(&found.outputs, &outputs) < tolerance,
            "{scale}: {}",
            distance(&found.outputs, &outputs)
        );
        assert!(distance(&found.log_sums, &logs) < 1e-6);
        assert!(found.gradient.iter().all(|number| number.is_finite()));
    }
}

fn loss_is_its_formula<E: Element>(cap: Option<f32>, tolerance: f64) {
    if missing() {
        return;
    }
    let mut random = Random(10);
    for (rows, vocab_size, scale) in
        [(1, 1, 1.0), (3, 2, 1.0), (5, 31, 2.0), (4, 32, 2.0), (7, 33, 4.0), (3, 10_007, 2.0)]
    {
        let logits: Vec<E> = numbers(&mut random, rows * vocab_size, scale);
        let targets: Vec<i64> = (0..rows).map(|_| random.below(vocab_size) as i64).collect();
        let mut gradient = logits.clone();
        let mut losses = vec![f32::NAN; rows];
        cross_entropy(&mut gradient, &targets, cap, 2, true, &mut losses).unwrap();
        let (mut exact_losses, mut exact) = (Vec::new(), Vec::new());
        for (row, target) in wide(&logits).chunks_exact(vocab_size).zip(&targets) {
            let tangent = |x: &f64| cap.map_or(0.0, |cap| (x / f64::from(cap)).tanh());
            let slopes: Vec<f64> = row.iter().map(|x| 1.0 - tangent(x).powi(2)).collect();
            let row: Vec<f64> =
                row.iter().map(|x| cap.map_or(*x, |cap| f64::from(cap) * tangent(x))).collect();
            let max = row.iter().copied().fold(f64::MIN, f64::max);
            let log_sum = max + row.iter().map(|logit| (logit - max).exp()).sum::<f64>().ln();
            let target = usize::try_from(*target).unwrap();
            exact_losses.push(log_sum - row[target]);
            exact.extend(
                row.iter()
                    .enumerate()
                    .map(|(id, logit)| (logit - log_sum).exp() - f64::from(u8::from(id == target)))
                    .zip(slopes)
                    .map(|(gradient, slope)| gradient * slope),
            );
        }
        // cap (1 - 2 s) has the rounding error of a number as large as the cap.
        let of_losses = 1e-6 + 2e-7 * f64::from(cap.unwrap_or(0.0));
        assert!(
            distance(&losses, &exact_losses) < of_losses,
            "{rows} x {vocab_size}: {losses:?} {exact_losses:?}"
        );
        let far = distance(&gradient, &exact);
        assert!(far < tolerance, "{rows} x {vocab_size}: {far}");
        let (mut same, mut again) = (logits.clone(), vec![f32::NAN; rows]);
        cross_entropy(&mut same, &targets, cap, 1, false, &mut again).unwrap();
        assert_eq!(wide(&same), wide(&logits));
        assert_eq!(again, losses);
    }
}

#[test]
fn the_loss_of_float32_is_its_formula() {
    loss_is_its_formula::<f32>(None, 1e-6);
}

#[test]
fn the_loss_of_capped_logits_is_its_formula() {
    for cap in [0.5, 3.0, 30.0] {
        // Where many logits are beyond the cap, 1 - tanh^2 loses digits: the smaller the cap, the more.
        let of_tangents = 1e-6 / f64::from(cap);
        loss_is_its_formula::<f32>(Some(cap), 1e-6 + 2e-7 * f64::from(cap) + of_tangents);
        loss_is_its_formula::<Bf16>(Some(cap), 4e-3);
    }
}

#[test]
fn the_loss_of_extreme_capped_logits_is_exact() {
    if missing() {
        return;
    }
    let mut logits = [1e30_f32, -1e30, 0.0, f32::NAN, 0.0, 0.0, 1e30, 1e30, 1e30];
    let mut losses = [0.0; 3];
    cross_entropy(&mut logits, &[1, 0, 2], Some(2.0), 1, true, &mut losses).unwrap();
    let sum = 1.0 + (-4_f32).exp() + (-2_f32).exp();
    assert!((losses[0] - (4.0 + sum.ln())).abs() < 1e-5 && losses[1].is_nan());
    assert!((losses[2] - 3_f32.ln()).abs() < 1e-6);
    assert_eq!(logits[..2], [0.0, 0.0]);
    for cap in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(cross_entropy(&mut [0.0_f32; 4], &[1], Some(cap), 1, true, &mut [0.0]).is_err());
    }
}

#[test]
fn the_loss_of_bfloat16_is_its_formula() {
    loss_is_its_formula::<Bf16>(None, 4e-3);
}

#[test]
fn the_loss_of_extreme_logits_is_exact() {
    if missing() {
        return;
    }
    let mut logits =
        [1000.0_f32, 0.0, -1000.0, f32::NEG_INFINITY, 1e30, 1e30, 0.0, 0.0, f32::NAN, 0.0, 0.0, 0.0];
    let mut losses = [0.0; 3];
    cross_entropy(&mut logits, &[1, 1, 2], None, 1, true, &mut losses).unwrap();
    assert_eq!(losses[0], 1000.0);
    assert!((losses[1] - 2_f32.ln()).abs() < 1e-6 && losses[2].is_nan());
    assert_eq!(logits[..4], [1.0, -1.0, 0.0, 0.0]);
}

/// The sums, the outputs, and the gradients of x and of the weight, row by row.
fn naive_norm(x: &[f64], weight: &[f64], gradient: &[f64], outer: &[f64]) -> [Vec<f64>; 3] {
    let width = weight.len();
    let (mut outputs, mut to_x, mut to_weight) = (Vec::new(), Vec::new(), vec![0.0; width]);
    for (row, x) in x.chunks_exact(width).enumerate() {
        let scale = (dot(x, x) / width as f64 + 1e-5).sqrt().recip();
        let gradient = &gradient[row * width..][..width];
        let weighted: Vec<f64> = gradient.iter().zip(weight).map(|(g, w)| g * w).collect();
        let back = dot(&weighted, x) * scale.powi(3) / width as f64;
        for k in 0..width {
            outputs.push(x[k] * scale * weight[k]);
            to_x.push(weighted[k] * scale - x[k] * back + outer[row * width + k]);
            to_weight[k] += gradient[k] * x[k] * scale;
        }
    }
    [outputs, to_x, to_weight]
}

#[test]
fn the_norm_of_a_stream_is_its_formula() {
    if missing() {
        return;
    }
    let mut random = Random(11);
    for (rows, width) in [(1, 32), (31, 64), (33, 96), (70, 512)] {
        let size = rows * width;
        let x: Vec<f32> = numbers(&mut random, size, 2.0);
        let (branch, gradient): (Vec<Bf16>, Vec<Bf16>) =
            (numbers(&mut random, size, 1.0), numbers(&mut random, size, 1.0));
        let (weight, outer): (Vec<f32>, Vec<f32>) =
            (numbers(&mut random, width, 1.0), numbers(&mut random, size, 1.0));
        let (mut sums, mut scales) = (vec![f32::NAN; size], vec![f32::NAN; rows]);
        let mut outputs = vec![Bf16(0x7fc0); size];
        let from = norm::Forward { x: &x, branch: Some(&branch), weight: &weight, eps: 1e-5 };
        let to = norm::Normalized { sums: &mut sums, outputs: &mut outputs, scales: &mut scales };
        norm::forward(&from, 2, to).unwrap();
        let added: Vec<f32> = x.iter().zip(&branch).map(|(x, branch)| x + branch.widen()).collect();
        assert_eq!(sums, added);
        let (mut to_x, mut to_weight) = (vec![f32::NAN; size], vec![f32::NAN; width]);
        let mut to_branch = vec![Bf16(0x7fc0); size];
        let from = norm::Backward {
            gradient: &gradient,
            outer: Some(&outer),
            sums: &sums,
            scales: &scales,
            weight: &weight,
        };
        let to = norm::Gradients { x: &mut to_x, branch: &mut to_branch, weight: &mut to_weight };
        norm::backward(&from, 2, to).unwrap();
        let exact = naive_norm(&wide(&sums), &wide(&weight), &wide(&gradient), &wide(&outer));
        assert!(distance(&outputs, &exact[0]) < 4e-3);
        assert!(distance(&to_x, &exact[1]) < 1e-6);
        assert!(distance(&to_weight, &exact[2]) < 1e-6);
        let rounded: Vec<Bf16> = to_x.iter().map(|number| Bf16::narrow(*number)).collect();
        assert_eq!(to_branch, rounded);
    }
}

#[test]
fn the_middle_of_a_swiglu_is_its_formula() {
    if missing() {
        return;
    }
    let mut random = Random(12);
    for (rows, width) in [(1, 32), (17, 64), (40, 1344)] {
        let halves: Vec<Bf16> = numbers(&mut random, 2 * rows * width, 4.0);
        let gradient: Vec<Bf16> = numbers(&mut random, rows * width, 1.0);
        let mut outputs = vec![Bf16(0x7fc0); rows * width];
        let mut to = vec![Bf16(0x7fc0); 2 * rows * width];
        swiglu::forward(&halves, width, 2, &mut outputs).unwrap();
        swiglu::backward(&gradient, &halves, width, 2, &mut to).unwrap();
        let (mut exact, mut exact_to) = (Vec::new(), vec![0.0; 2 * rows * width]);
        for row in 0..rows {
            for k in 0..width {
                let at = row * width + k;
                let [a, b] = [halves[at], halves[rows * width + at]].map(|number| f64::from(number.widen()));
                let (g, sigmoid) = (f64::from(gradient[at].widen()), (1.0 + (-a).exp()).recip());
                exact.push(a * sigmoid * b);
                exact_to[2 * row * width + k] = g * b * sigmoid * (1.0 + a * (1.0 - sigmoid));
                exact_to[(2 * row + 1) * width + k] = g * a * sigmoid;
            }
        }
        assert!(distance(&outputs, &exact) < 4e-3);
        assert!(distance(&to, &exact_to) < 4e-3);
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    if missing() {
        return;
    }
    let shape = Shape { batch: 1, length: 2, heads: 1, width: 32, reach: 0 };
    let (qkv, mut outputs, mut logs) = (vec![0.0_f32; 192], vec![0.0_f32; 64], vec![0.0; 2]);
    assert!(forward(shape, &qkv, None, None, 2, &mut outputs, &mut logs).is_ok());
    for wrong in
        [Shape { width: 16, ..shape }, Shape { length: 0, ..shape }, Shape { batch: usize::MAX, ..shape }]
    {
        assert!(forward(wrong, &qkv, None, None, 2, &mut outputs, &mut logs).is_err());
    }
    assert!(forward(shape, &qkv[..100], None, None, 2, &mut outputs, &mut logs).is_err());
    let angles = Angles { cos: &[1.0; 32], sin: &[0.0; 31] };
    assert!(forward(shape, &qkv, Some(angles), None, 2, &mut outputs, &mut logs).is_err());
    for targets in [&[0, 4][..], &[0, -1], &[0]] {
        let error = cross_entropy(&mut [0.0_f32; 8], targets, None, 1, true, &mut [0.0; 2]).unwrap_err();
        assert!(error.to_string().contains("targets") || error.to_string().contains("shape"), "{error}");
    }
}

#[test]
fn bfloat16_rounds_to_the_nearest_and_to_even() {
    for (number, bits) in
        [(1.0, 0x3f80), (1.0 + 1.0 / 256.0, 0x3f80), (1.0 + 3.0 / 256.0, 0x3f82), (f32::MAX, 0x7f80)]
    {
        assert_eq!(Bf16::narrow(number), Bf16(bits));
    }
    assert!(Bf16::narrow(f32::NAN).widen().is_nan());
    assert_eq!(Bf16(0xc040).widen(), -3.0);
}
