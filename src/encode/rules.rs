/*!
The inputs of encoding besides the text.
*/

use super::backtrack::PretokenEncoder;
use crate::isa::Isa;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;

/// The default number of entries of a worker's table. An entry takes 32 bytes, so a full table takes 32 MiB,
/// and 64 MiB with the data stored aside. While the table grows, the old lines are held as well.
/// (docs/memory.md)
pub const TABLE_LEN: usize = 1 << 20;

/// Settings that change the time and never the ids.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// The maximum number of pretokens in each worker's table. It is rounded up to twice a power of two.
    pub table_len: usize,
    /// The instructions that split texts by GPT-2's pattern and look pretokens up.
    pub isa: Isa,
}

impl Default for Knobs {
    fn default() -> Self {
        Knobs { table_len: TABLE_LEN, isa: Isa::best() }
    }
}

/// Everything that the ids of a text depend on.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub pattern: &'a Pattern,
    pub encoder: &'a PretokenEncoder,
    /// The special tokens that stand for themselves in this text.
    pub special_tokens: &'a SpecialTokens,
    /// Their ids.
    pub special_ids: &'a [TokenId],
    pub knobs: Knobs,
}
