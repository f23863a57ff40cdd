//! The logits of next tokens against the model's formula in float64, for each instruction set of this machine.
#![cfg(target_arch = "x86_64")]
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::cast_possible_truncation, missing_docs)]

mod common;

use bpe_lm::decoder::{Activation, Block, Isa, Model, logits};
use bpe_lm::kernels::{Bf16, Element};
use common::Random;

const EPS: f32 = 1e-5;

#[derive(Clone, Copy)]
struct Sizes {
    layers: usize,
    slots: usize,
    heads: usize,
    width: usize,
    d_ff: usize,
    context: usize,
    vocab: usize,
}

/// Which of its forms a model has.
#[derive(Clone, Copy, Debug)]
struct Form {
    has_norms: bool,
    is_post_norm: bool,
    is_gated: bool,
    is_relu2: bool,
    is_rotated: bool,
    is_joined: bool,
}

/// The numbers of a model, of which `Model` borrows.
struct Weights<E> {
    blocks: Vec<[Vec<E>; 7]>,
    norms: Vec<Vec<f32>>,
    head: Vec<E>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

fn numbers<E: Element>(random: &mut Random, len: usize, scale: f32) -> Vec<E> {
    (0..len).map(|_| E::narrow(scale * (random.below(2001) as f32 / 1000.0 - 1.0))).collect()
}

impl<E: Element> Weights<E> {
    fn new(random: &mut Random, s: Sizes) -> Self {
        let d = s.heads * s.width;
        let mut matrix =
            |rows: usize, length: usize| numbers(random, rows * length, 2.0 / (length as f32).sqrt());
        let blocks = (0..s.layers)
            .map(|_| {
                let [q, k, v, output] = [(); 4].map(|()| matrix(d, d));
                [q, k, v, output, matrix(s.d_ff, d), matrix(s.d_ff, d), matrix(d, s.d_ff)]
            })
            .collect();
        let head = matrix(s.vocab, d);
        let norms = (0..=2 * s.layers).map(|_| numbers(random, d, 1.0)).collect();
        let angles: Vec<f32> = numbers(random, s.context * (s.width / 2), 3.0);
        let (cos, sin) = angles.iter().map(|angle| (angle.cos(), angle.sin())).unzip();
        Weights { blocks, norms, head, cos, sin }
    }

    fn model(&self, s: Sizes, form: Form) -> Model<'_, E> {
        let norm = |number: usize| form.has_norms.then(|| &self.norms[number][..]);
        let blocks =
            self.blocks.iter().enumerate().map(|(number, [q, k, v, output, first, second, down])| Block {
                norm1: norm(2 * number),
                qkv: vec![q, k, v],
                output,
                norm2: norm(2 * number + 1),
                up: if form.is_gated { vec![first, second] } else { vec![first] },
                down,
            });
        Model {
            blocks: blocks.collect(),
            is_post_norm: form.is_post_norm,
            activation: if form.is_relu2 { Activation::Relu2 } else { Activation::Silu },
            norm_final: norm(2 * s.layers),
            head: &self.head,
            angles: form.is_rotated.then_some((&self.cos[..], &self.sin[..])),
            heads: s.heads,
            context: s.context,
            eps: EPS,
        }
    }
}

fn times<E: Element>(matrix: &[E], x: &[f64]) -> Vec<f64> {
    let dot = |row: &[E]| row.iter().zip(x).map(|(weight, x)| f64::from(weight.widen()) * x).sum();
    matrix.chunks_exact(x.len()).map(dot).collect()
}

fn normal(weights: Option<&[f32]>, x: &[f64]) -> Vec<f64> {
    let Some(weights) = weights else { return x.to_vec() };
    let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
    x.iter().zip(weights).map(|(x, weight)| x / (mean + f64::from(EPS)).sqrt() * f64::from(*weight)).collect()
}

/// A text's keys and values of each layer, token by token.
type Past = Vec<Vec<[Vec<f64>; 2]>>;

/// The logits of a text's next token, by the formula.
fn oracle<E: Element>(model: &Model<'_, E>, past: &mut Past, embedding: &[f32]) -> Vec<f64> {
    let mut x: Vec<f64> = embedding.iter().map(|x| f64::from(*x)).collect();
    for (block, past) in model.blocks.iter().zip(past) {
        x = sub_layer(model, block.norm1, &x, |x| times(block.output, &attention(model, block, past, x)));
        x = sub_layer(model, block.norm2, &x, |x| {
            let mut hidden = times(block.up[0], x);
            let silu = |x: f64| x / (1.0 + (-x).exp());
            let relu2 = |x: f64| x.max(0.0).powi(2);
            let is_relu2 = model.activation == Activation::Relu2;
            hidden.iter_mut().for_each(|x| *x = if is_relu2 { relu2(*x) } else { silu(*x) });
            if let Some(second) = block.up.get(1) {
                hidden.iter_mut().zip(times(second, x)).for_each(|(x, value)| *x *= value);
            }
            times(block.down, &hidden)
        });
    }
    times(model.head, &normal(model.norm_final, &x))
}

fn sub_layer<E>(
    model: &Model<'_, E>,
    norm: Option<&[f32]>,
    x: &[f64],
    f: impl FnOnce(&[f64]) -> Vec<f64>,
) -> Vec<f64> {
    let added = if model.is_post_norm { f(x) } else { f(&normal(norm, x)) };
    let sum: Vec<f64> = x.iter().zip(added).map(|(x, added)| x + added).collect();
    if model.is_post_norm { normal(norm, &sum) } else { sum }
}

fn attention<E: Element>(
    model: &Model<'_, E>,
    block: &Block<'_, E>,
    past: &mut Vec<[Vec<f64>; 2]>,
    x: &[f64],
) -> Vec<f64> {
    let (d, position) = (x.len(), past.len());
    let width = d / model.heads;
    let qkv: Vec<f64> = block.qkv.iter().flat_map(|matrix| times(matrix, x)).collect();
    let rotated = |part: &[f64]| -> Vec<f64> {
        let Some((cos, sin)) = model.angles else { return part.to_vec() };
        let turn = |(pair, ab): (usize, &[f64])| {
            let place = position * (width / 2) + pair % (width / 2);
            let (cos, sin) = (f64::from(cos[place]), f64::from(sin[place]));
            [ab[0] * cos - ab[1] * sin, ab[0] * sin + ab[1] * cos]
        };
        part.chunks_exact(2).enumerate().flat_map(turn).collect()
    };
    let stored = |part: Vec<f64>| part.iter().map(|x| f64::from(E::narrow(*x as f32).widen())).collect();
    let query = rotated(&qkv[..d]);
    past.push([stored(rotated(&qkv[d..2 * d])), stored(qkv[2 * d..].to_vec())]);
    let mut out = vec![0.0; d];
    for head in 0..model.heads {
        let channels = head * width..(head + 1) * width;
        let score = |key: &Vec<f64>| {
            let dot: f64 = channels.clone().map(|i| query[i] * key[i]).sum();
            (dot / (width as f64).sqrt()).exp()
        };
        let weights: Vec<f64> = past.iter().map(|[key, _]| score(key)).collect();
        let sum: f64 = weights.iter().sum();
        for (weight, [_, value]) in weights.iter().zip(&*past) {
            channels.clone().for_each(|i| out[i] += weight / sum * value[i]);
        }
    }
    out
}

const SIZES: [Sizes; 3] = [
    Sizes { layers: 2, slots: 6, heads: 3, width: 6, d_ff: 50, context: 40, vocab: 77 },
    Sizes { layers: 1, slots: 5, heads: 2, width: 64, d_ff: 300, context: 7, vocab: 300 },
    Sizes { layers: 1, slots: 9, heads: 1, width: 2, d_ff: 1, context: 35, vocab: 1 },
];

const FORM: Form = Form {
    has_norms: true,
    is_post_norm: false,
    is_gated: true,
    is_relu2: false,
    is_rotated: true,
    is_joined: false,
};

/// Lets `texts` texts grow by `steps` tokens each, beginning at different steps, and returns the logits of each step.
fn grown<E: Element>(
    isa: Isa,
    model: &Model<'_, E>,
    s: Sizes,
    threads: usize,
    texts: &[usize],
    steps: usize,
    mut check: impl FnMut(usize, usize, &[f32], &[f32]),
) {
    let d = s.heads * s.width;
    let cache = s.layers * s.slots * d * s.context;
    // What other texts left behind is not seen.
    let (mut keys, mut values) = (vec![E::narrow(1e30); cache], vec![E::narrow(1e30); cache]);
    for step in 0..steps {
        let embedding = |text: &usize| numbers::<f32>(&mut Random((text * 1000 + step) as u64), d, 1.0);
        let given: Vec<f32> = texts.iter().flat_map(embedding).collect();
        let (mut x, mut to) = (given.clone(), vec![f32::NAN; s.vocab * texts.len()]);
        let positions = vec![step; texts.len()];
        logits(isa, model, &mut keys, &mut values, &mut x, &positions, threads, &mut to).unwrap();
        for (number, text) in texts.iter().enumerate() {
            let own: Vec<f32> = to[number..].iter().step_by(texts.len()).copied().collect();
            check(*text, step, &given[number * d..][..d], &own);
        }
    }
}

fn agrees<E: Element + 'static>(form: Form, tolerance: f64) {
    for s in SIZES {
        let weights = Weights::<E>::new(&mut Random(7), s);
        let joined: Vec<Vec<E>> = weights.blocks.iter().map(|block| block[..3].concat()).collect();
        let mut model = weights.model(s, form);
        if form.is_joined {
            model.blocks.iter_mut().zip(&joined).for_each(|(block, joined)| block.qkv = vec![joined]);
        }
        for (isa, threads) in Isa::all().into_iter().zip([1, 3]) {
            let texts: Vec<usize> = (0..s.slots).collect();
            let mut pasts: Vec<Past> = vec![vec![Vec::new(); s.layers]; s.slots];
            grown(isa, &model, s, threads, &texts, s.context, |text, step, x, found| {
                let expected = oracle(&model, &mut pasts[text], x);
                let most = expected.iter().fold(0.1_f64, |most, x| most.max(x.abs()));
                for (found, expected) in found.iter().zip(&expected) {
                    let error = (f64::from(*found) - expected).abs() / most;
                    assert!(
                        error < tolerance,
                        "{form:?} {isa:?} text {text} step {step}: {found} {expected}"
                    );
                }
            });
        }
    }
}

#[test]
fn logits_are_those_of_the_formula() {
    agrees::<f32>(FORM, 2e-5);
    agrees::<Bf16>(FORM, 5e-2);
    agrees::<f32>(Form { is_joined: true, is_rotated: false, ..FORM }, 2e-5);
    agrees::<f32>(Form { is_post_norm: true, is_gated: false, ..FORM }, 2e-5);
    agrees::<f32>(Form { has_norms: false, is_gated: false, is_relu2: true, ..FORM }, 2e-5);
}

#[test]
fn a_text_has_the_same_logits_alone_and_with_others_to_the_bit() {
    let s = SIZES[1];
    let weights = Weights::<f32>::new(&mut Random(7), s);
    let model = weights.model(s, FORM);
    for isa in Isa::all() {
        let mut alone = Vec::new();
        for text in 0..s.slots {
            grown(isa, &model, s, 1, &[text], s.context, |_, step, _, found| {
                alone.push((text, step, found.to_vec()))
            });
        }
        for threads in [1, 4] {
            let texts: Vec<usize> = (0..s.slots).collect();
            grown(isa, &model, s, threads, &texts, s.context, |text, step, _, found| {
                assert_eq!(alone[text * s.context + step], (text, step, found.to_vec()));
            });
        }
    }
}

#[test]
fn numbers_that_are_not_finite_reach_the_logits() {
    let s = SIZES[0];
    let mut weights = Weights::<f32>::new(&mut Random(7), s);
    weights.blocks[0][1][0] = f32::NAN;
    let model = weights.model(s, FORM);
    for isa in Isa::all() {
        grown(isa, &model, s, 1, &[0], 1, |_, _, _, found| assert!(found.iter().all(|x| x.is_nan())));
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused() {
    let s = SIZES[0];
    let d = s.heads * s.width;
    let weights = Weights::<f32>::new(&mut Random(7), s);
    let Some(isa) = Isa::best() else { return };
    let cache = s.layers * s.slots * d * s.context;
    let refuses =
        |change: &dyn Fn(&mut Model<'_, f32>), keys: usize, x: usize, positions: &[usize], to: usize| {
            let mut model = weights.model(s, FORM);
            change(&mut model);
            let (mut keys, mut values, mut x, mut to) =
                (vec![0.0; keys], vec![0.0; cache], vec![0.0; x], vec![0.0; to]);
            logits(isa, &model, &mut keys, &mut values, &mut x, positions, 1, &mut to).is_err()
        };
    let same = |_: &mut Model<'_, f32>| ();
    assert!(!refuses(&same, cache, 2 * d, &[0, 39], 2 * s.vocab));
    assert!(refuses(&same, cache, 2 * d, &[0, 40], 2 * s.vocab));
    assert!(refuses(&same, cache, 2 * d, &[0], 2 * s.vocab));
    assert!(refuses(&same, cache, 0, &[], 0));
    assert!(refuses(&same, cache, 2 * d, &[0, 0], 2 * s.vocab - 1));
    assert!(refuses(&same, cache - d, 2 * d, &[0, 0], 2 * s.vocab));
    assert!(refuses(&same, cache, 7 * d, &[0; 7], 7 * s.vocab));
    assert!(refuses(&|model| model.heads = 4, cache, d, &[0], s.vocab));
    assert!(refuses(&|model| model.context = 41, cache, d, &[0], s.vocab));
    assert!(refuses(&|model| model.norm_final = Some(&[0.0]), cache, d, &[0], s.vocab));
    assert!(refuses(&|model| model.angles = Some((&[0.0], &[0.0])), cache, d, &[0], s.vocab));
    assert!(refuses(&|model| model.blocks[1].qkv.truncate(2), cache, d, &[0], s.vocab));
    assert!(refuses(&|model| model.blocks[0].down = &[], cache, d, &[0], s.vocab));
    assert!(refuses(&|model| model.blocks[0].up.clear(), cache, d, &[0], s.vocab));
}
