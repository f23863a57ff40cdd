/*!
A step: from the embeddings of the last tokens to the logits of the next.
*/

use super::check::{Block, Model};
use super::isa::Isa;
use super::task::{Head, Rows, Task};
use crate::error::Error;
use crate::kernels::{Element, for_each};

/// The number of weights in a task: about 5 microseconds of work, so that threads end a phase together.
const TASK: usize = 1 << 15;

/// The number of multiplications below which a phase is left to one thread: about 5 microseconds of work, which is what
/// calling the other threads costs where they are idle, and much less than that where other programs use their cores.
const ONE_THREAD: usize = 1 << 16;

/// Writes the logits of the next token of each text, and each text's keys and values into its slot of the caches.
///
/// `x` holds the embeddings of the last tokens, (texts, `d_model`), and is overwritten; `positions` are those tokens'.
/// `keys` are (blocks, slots, heads, d_k, context), `values` (blocks, slots, heads, context, d_k), and `logits`
/// (`vocab_size`, texts).
#[allow(clippy::too_many_arguments)] // All but two are tensors.
pub fn logits<E: Element>(
    isa: Isa,
    model: &Model<'_, E>,
    keys: &mut [E],
    values: &mut [E],
    x: &mut [f32],
    positions: &[usize],
    threads: usize,
    logits: &mut [f32],
) -> Result<(), Error> {
    model.check(keys.len(), values.len(), x.len(), positions, logits.len())?;
    let mut step = Step::new(isa, model, positions, threads, x.len() / positions.len());
    let caches = keys.len() / model.blocks.len().max(1);
    let caches = keys.chunks_exact_mut(caches.max(1)).zip(values.chunks_exact_mut(caches.max(1)));
    for (block, (keys, values)) in model.blocks.iter().zip(caches) {
        step.attend(block, keys, values, x)?;
        step.feed_forward(block, x)?;
    }
    normalize(model.norm_final, model.eps, step.d_model, x, &mut step.normal);
    step.products(&[model.head], &step.normal, logits)
}

/// What all phases need, and the numbers between them.
struct Step<'a, E> {
    isa: Isa,
    model: &'a Model<'a, E>,
    positions: &'a [usize],
    threads: usize,
    d_model: usize,
    /// The input of a sub-layer: a row for each text.
    normal: Vec<f32>,
}

impl<'a, E: Element> Step<'a, E> {
    fn new(
        isa: Isa,
        model: &'a Model<'a, E>,
        positions: &'a [usize],
        threads: usize,
        d_model: usize,
    ) -> Self {
        Step { isa, model, positions, threads, d_model, normal: vec![0.0; positions.len() * d_model] }
    }

    /// `x = x + attention(norm(x))`, or `x = norm(x + attention(x))`.
    fn attend(
        &mut self,
        block: &Block<'_, E>,
        keys: &mut [E],
        values: &mut [E],
        x: &mut [f32],
    ) -> Result<(), Error> {
        let texts = self.positions.len();
        self.begin(block.norm1, x);
        let mut columns = vec![0.0; 3 * x.len()];
        self.products(&block.qkv, &self.normal, &mut columns)?;
        let mut qkv = rows_of(columns, texts);
        let mut heads = vec![0.0; x.len()];
        self.heads(&mut qkv, keys, values, &mut heads)?;
        let mut output = vec![0.0; x.len()];
        self.products(&[block.output], &heads, &mut output)?;
        self.end(block.norm1, x, output);
        Ok(())
    }

    /// `x = x + ffn(norm(x))`, or `x = norm(x + ffn(x))`.
    fn feed_forward(&mut self, block: &Block<'_, E>, x: &mut [f32]) -> Result<(), Error> {
        let texts = self.positions.len();
        self.begin(block.norm2, x);
        let d_ff = block.down.len() / self.d_model;
        let mut hidden = vec![0.0; d_ff * texts];
        self.hidden(block, &mut hidden)?;
        let mut output = vec![0.0; x.len()];
        self.products(&[block.down], &rows_of(hidden, texts), &mut output)?;
        self.end(block.norm2, x, output);
        Ok(())
    }

    fn begin(&mut self, norm: Option<&[f32]>, x: &[f32]) {
        let norm = norm.filter(|_| !self.model.is_post_norm);
        normalize(norm, self.model.eps, self.d_model, x, &mut self.normal);
    }

    fn end(&self, norm: Option<&[f32]>, x: &mut [f32], output: Vec<f32>) {
        let output = rows_of(output, self.positions.len());
        x.iter_mut().zip(&output).for_each(|(x, output)| *x += output);
        if self.model.is_post_norm {
            let sum = x.to_vec();
            normalize(norm, self.model.eps, self.d_model, &sum, x);
        }
    }

    /// Writes the products of some matrices one after another, in columns.
    fn products(&self, matrices: &[&[E]], x: &[f32], to: &mut [f32]) -> Result<(), Error> {
        let x = self.rows(x);
        let (rows, length) = self.rows_of_a_task(x);
        let mut tasks = Vec::new();
        let mut rest = to;
        for matrix in matrices {
            let (to, others) = rest.split_at_mut(matrix.len() / length * x.texts);
            rest = others;
            let parts = matrix.chunks(rows * length).zip(to.chunks_mut(rows * x.texts));
            tasks.extend(parts.map(|(weights, to)| Task::Product { weights, x, to }));
        }
        self.run(tasks, matrices.iter().map(|matrix| matrix.len()).sum::<usize>() * x.texts)
    }

    fn hidden(&self, block: &Block<'_, E>, to: &mut [f32]) -> Result<(), Error> {
        let x = self.rows(&self.normal);
        let (rows, length) = self.rows_of_a_task(x);
        let mut second = vec![0.0; if block.up.len() > 1 { to.len() } else { 0 }];
        let mut gates = block.up.get(1).map(|matrix| matrix.chunks(rows * length));
        let mut seconds = second.chunks_mut(rows * x.texts);
        let parts = block.up[0].chunks(rows * length).zip(to.chunks_mut(rows * x.texts));
        let tasks = parts.map(|(weights, to)| {
            let gated = gates.as_mut().and_then(Iterator::next).zip(seconds.next());
            Task::FeedForward { weights, gated, activation: self.model.activation, x, to }
        });
        self.run(tasks.collect(), block.up.len() * block.up[0].len() * x.texts)
    }

    /// Writes the outputs of all heads, and the caches. All but the caches have a row for each text.
    fn heads(&self, qkv: &mut [f32], keys: &mut [E], values: &mut [E], to: &mut [f32]) -> Result<(), Error> {
        let width = self.d_model / self.model.heads;
        let cache = width * self.model.context;
        let mut keys = keys.chunks_exact_mut(cache);
        let mut values = values.chunks_exact_mut(cache);
        let mut to = to.chunks_exact_mut(width);
        let mut tasks = Vec::with_capacity(self.positions.len() * self.model.heads);
        for (qkv, &position) in qkv.chunks_exact_mut(3 * self.d_model).zip(self.positions) {
            let (queries, rest) = qkv.split_at_mut(self.d_model);
            let (new_keys, new_values) = rest.split_at_mut(self.d_model);
            let angles = self.model.angles.map(|(cos, sin)| {
                let pairs = position * (width / 2)..(position + 1) * (width / 2);
                (&cos[pairs.clone()], &sin[pairs])
            });
            let new = queries.chunks_exact_mut(width).zip(new_keys.chunks_exact_mut(width));
            let new = new.zip(new_values.chunks_exact(width));
            let all = new.zip(keys.by_ref()).zip(values.by_ref()).zip(to.by_ref());
            tasks.extend(all.map(|(((((query, key), value), keys), values), to)| {
                Task::Head(Head { query, key, value, angles, position, keys, values, to })
            }));
        }
        let tokens: usize = self.positions.iter().map(|position| position + 1).sum();
        self.run(tasks, 2 * self.d_model * tokens)
    }

    fn run(&self, tasks: Vec<Task<'_, E>>, multiplications: usize) -> Result<(), Error> {
        let threads = if multiplications < ONE_THREAD { 1 } else { self.threads };
        let scores = || vec![0.0; self.model.context];
        for_each(threads, tasks.into_iter(), scores, |scores, task| self.isa.run(task, scores))
    }

    fn rows<'b>(&self, numbers: &'b [f32]) -> Rows<'b> {
        Rows { numbers, texts: self.positions.len() }
    }

    /// The number of a matrix's rows in a task, and a row's length.
    fn rows_of_a_task(&self, x: Rows<'_>) -> (usize, usize) {
        let length = x.numbers.len() / x.texts;
        (TASK.div_ceil(length), length)
    }
}

/// Writes x / sqrt(mean(x^2) + eps) * weight of each row of `length` numbers; without weights, a copy.
fn normalize(weights: Option<&[f32]>, eps: f32, length: usize, x: &[f32], to: &mut [f32]) {
    let Some(weights) = weights else { return to.copy_from_slice(x) };
    for (x, to) in x.chunks_exact(length).zip(to.chunks_exact_mut(length)) {
        let sum: f64 = x.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
        // float32 is the result's type.
        let scale = (sum / length as f64 + f64::from(eps)).sqrt().recip() as f32;
        for ((x, weight), to) in x.iter().zip(weights).zip(to) {
            *to = x * scale * weight;
        }
    }
}

/// Returns columns, one for each text, as rows.
fn rows_of(columns: Vec<f32>, texts: usize) -> Vec<f32> {
    if texts == 1 {
        return columns;
    }
    let mut rows = vec![0.0; columns.len()];
    for (text, row) in rows.chunks_exact_mut(columns.len() / texts).enumerate() {
        row.iter_mut().zip(columns[text..].iter().step_by(texts)).for_each(|(to, number)| *to = *number);
    }
    rows
}
