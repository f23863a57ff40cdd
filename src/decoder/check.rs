/*!
The weights of a model, and the sizes that they must have.
*/

use crate::error::Error;

/// The function between the two products of a feed-forward network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`
    Silu,
    /// `max(x, 0)^2`
    Relu2,
}

/// The weights of a block. A matrix (out, in) is its rows, one after another.
#[derive(Debug)]
pub struct Block<'a, E> {
    /// The weights of the first norm, if there is one.
    pub norm1: Option<&'a [f32]>,
    /// One matrix for queries, keys and values, or one for each: together (3 `d_model`, `d_model`).
    pub qkv: Vec<&'a [E]>,
    /// (`d_model`, `d_model`)
    pub output: &'a [E],
    /// The weights of the second norm, if there is one.
    pub norm2: Option<&'a [f32]>,
    /// One matrix (`d_ff`, `d_model`), or with a gate two: the first goes through the activation.
    pub up: Vec<&'a [E]>,
    /// (`d_model`, `d_ff`)
    pub down: &'a [E],
}

/// The weights of a model, and what else its formula depends on.
#[derive(Debug)]
pub struct Model<'a, E> {
    /// The blocks.
    pub blocks: Vec<Block<'a, E>>,
    /// Whether norms come after the sums, and not before the sub-layers.
    pub is_post_norm: bool,
    /// The activation of all blocks.
    pub activation: Activation,
    /// The weights of the norm before the head, if there is one.
    pub norm_final: Option<&'a [f32]>,
    /// (`vocab_size`, `d_model`)
    pub head: &'a [E],
    /// cos and sin of each position and pair of channels, (context, d_k / 2) each, if queries and keys are rotated.
    pub angles: Option<(&'a [f32], &'a [f32])>,
    /// The number of attention heads.
    pub heads: usize,
    /// The number of tokens that a cache holds.
    pub context: usize,
    /// What a norm adds to the mean of squares.
    pub eps: f32,
}

impl<E> Model<'_, E> {
    /// Refuses arguments that do not fit each other. Texts may have fewer slots than the caches.
    pub(super) fn check(
        &self,
        keys: usize,
        values: usize,
        x: usize,
        positions: &[usize],
        logits: usize,
    ) -> Result<(), Error> {
        let texts = positions.len();
        let d_model = x / texts.max(1);
        let fits = texts > 0
            && x == texts * d_model
            && d_model > 0
            && self.heads > 0
            && d_model.is_multiple_of(self.heads)
            && self.blocks.iter().all(|block| block.fits(d_model))
            && self.norm_final.is_none_or(|norm| norm.len() == d_model)
            && logits > 0
            && logits.is_multiple_of(texts)
            && Some(self.head.len()) == (logits / texts).checked_mul(d_model)
            && self.angles_fit(d_model / self.heads)
            && self.caches_fit(keys, texts, d_model)
            && values == keys;
        if !fits {
            return Err(Error::Option {
                name: "shapes",
                value: format!("{x} numbers of {texts} texts, {logits} logits, {keys} keys"),
                rule: "those of one model, its caches and its texts",
            });
        }
        match positions.iter().find(|position| **position >= self.context) {
            Some(position) => Err(Error::Option {
                name: "positions",
                value: position.to_string(),
                rule: "below the context of the caches",
            }),
            None => Ok(()),
        }
    }

    fn angles_fit(&self, width: usize) -> bool {
        let pairs = self.context.checked_mul(width / 2);
        self.angles.is_none_or(|(cos, sin)| {
            width.is_multiple_of(2) && Some(cos.len()) == pairs && sin.len() == cos.len()
        })
    }

    fn caches_fit(&self, keys: usize, texts: usize, d_model: usize) -> bool {
        let Some(text) = self.context.checked_mul(d_model).filter(|text| *text > 0) else { return false };
        let Some(all) = self.blocks.len().checked_mul(text) else { return false };
        self.blocks.is_empty() && keys == 0 || all > 0 && keys.is_multiple_of(all) && keys / all >= texts
    }
}

impl<E> Block<'_, E> {
    fn fits(&self, d_model: usize) -> bool {
        let square = d_model * d_model;
        let d_ff = self.up.first().map_or(0, |up| up.len() / d_model);
        let norms = [self.norm1, self.norm2];
        norms.iter().flatten().all(|norm| norm.len() == d_model)
            && self.qkv.iter().all(|matrix| matrix.len().is_multiple_of(d_model))
            && self.qkv.iter().map(|matrix| matrix.len()).sum::<usize>() == 3 * square
            && self.output.len() == square
            && matches!(self.up.len(), 1 | 2)
            && d_ff > 0
            && self.up.iter().all(|matrix| matrix.len() == d_ff * d_model)
            && self.down.len() == d_ff * d_model
    }
}
