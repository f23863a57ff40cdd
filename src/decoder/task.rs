/*!
A thread's share of a phase.
*/

use super::check::Activation;
use super::dot::exp;
use crate::kernels::Element;

/// A number of each channel, of each text: `numbers` has a row for each text.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub numbers: &'a [f32],
    pub texts: usize,
}

/// What a product writes has a column for each text: the numbers of all texts lie next to each other. With one text, rows
/// and columns are the same.
pub(super) enum Task<'a, E> {
    /// `to = W x`.
    Product { weights: &'a [E], x: Rows<'a>, to: &'a mut [f32] },
    /// `to = f(W x)`; with a gate, `to = f(W x) * (V x)`, for which `second` is as long as `to`.
    FeedForward {
        weights: &'a [E],
        gated: Option<(&'a [E], &'a mut [f32])>,
        activation: Activation,
        x: Rows<'a>,
        to: &'a mut [f32],
    },
    /// The attention of a head of a text to the text's tokens so far.
    Head(Head<'a, E>),
}

/// A head of a text. `keys` are (d_k, context), so that the scores of neighbouring tokens are computed together; `values`
/// are (context, d_k).
pub(super) struct Head<'a, E> {
    pub query: &'a mut [f32],
    pub key: &'a mut [f32],
    pub value: &'a [f32],
    /// cos and sin of the position, for each pair.
    pub angles: Option<(&'a [f32], &'a [f32])>,
    pub position: usize,
    pub keys: &'a mut [E],
    pub values: &'a mut [E],
    pub to: &'a mut [f32],
}

macro_rules! tasks {
    ($set:ident, $features:literal) => {
        pub(super) mod $set {
            use crate::decoder::dot::$set::{combine, dots, softmax};
            use crate::decoder::task::*;

            /// Does a task. `scores` is memory for a number of each token of the context.
            #[target_feature(enable = $features)]
            pub fn run<E: Element>(task: Task<'_, E>, scores: &mut [f32]) {
                match task {
                    Task::Product { weights, x, to } => products(weights, x, to),
                    Task::FeedForward { weights, gated, activation, x, to } => {
                        products(weights, x, to);
                        match activation {
                            Activation::Silu => to.iter_mut().for_each(|to| *to = silu(*to)),
                            Activation::Relu2 => to.iter_mut().for_each(|to| *to = relu2(*to)),
                        }
                        if let Some((weights, second)) = gated {
                            products(weights, x, second);
                            to.iter_mut().zip(second).for_each(|(to, second)| *to *= *second);
                        }
                    }
                    Task::Head(head) => attend(head, scores),
                }
            }

            /// Texts are taken by fours, as many as the registers hold sums of.
            #[target_feature(enable = $features)]
            fn products<E: Element>(weights: &[E], x: Rows<'_>, to: &mut [f32]) {
                let length = x.numbers.len() / x.texts;
                for (weights, to) in weights.chunks_exact(length).zip(to.chunks_exact_mut(x.texts)) {
                    let (fours, rest) = to.as_chunks_mut::<4>();
                    let (four_rows, rows) = x.numbers.split_at(fours.len() * 4 * length);
                    for (to, rows) in fours.iter_mut().zip(four_rows.chunks_exact(4 * length)) {
                        *to = dots(weights, rows);
                    }
                    for (to, row) in rest.iter_mut().zip(rows.chunks_exact(length)) {
                        [*to] = dots(weights, row);
                    }
                }
            }

            #[target_feature(enable = $features)]
            fn attend<E: Element>(head: Head<'_, E>, scores: &mut [f32]) {
                let Head { query, key, value, angles, position, keys, values, to } = head;
                let (width, context) = (value.len(), scores.len());
                if let Some((cos, sin)) = angles {
                    rotate(query, cos, sin);
                    rotate(key, cos, sin);
                }
                for (keys, number) in keys.chunks_exact_mut(context).zip(&*key) {
                    keys[position] = E::narrow(*number);
                }
                let here = &mut values[position * width..][..width];
                here.iter_mut().zip(value).for_each(|(to, number)| *to = E::narrow(*number));

                #[allow(clippy::cast_precision_loss)] // A head has far fewer than 2^24 channels.
                let scale = 1.0 / (width as f32).sqrt();
                query.iter_mut().for_each(|number| *number *= scale);
                let scores = &mut scores[..=position];
                combine(query, keys, context, scores);
                let sum = softmax(scores);
                combine(scores, values, width, to);
                to.iter_mut().for_each(|to| *to /= sum);
            }
        }
    };
}

tasks!(avx2, "avx2,fma");
tasks!(avx512, "avx2,fma,avx512f");

#[inline(always)]
fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// The square of the positive part. NaN stays NaN.
#[inline(always)]
fn relu2(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x * x }
}

#[inline(always)]
fn rotate(row: &mut [f32], cos: &[f32], sin: &[f32]) {
    for ((pair, cos), sin) in row.as_chunks_mut::<2>().0.iter_mut().zip(cos).zip(sin) {
        let [a, b] = *pair;
        *pair = [a * cos - b * sin, a * sin + b * cos];
    }
}
