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
/// The maximum number of entries of all tables of a call. Each of up to eight workers has a table of full size;
/// more workers share the sum, so that it does not grow with the number of cores.
const TABLES_LEN: usize = 8 * TABLE_LEN;

/// Settings that change the time and never the ids.
#[derive(Clone, Copy, Debug)]
pub struct Knobs {
    /// The maximum number of pretokens in each worker's table. It is rounded up to twice a power of two.
    pub table_len: usize,
    /// The instructions that find the borders of pretokens and look pretokens up.
    pub isa: Isa,
}

impl Knobs {
    /// The settings for one of several workers.
    pub(crate) fn for_one_of(self, workers: usize) -> Self {
        Knobs { table_len: self.table_len.min(TABLES_LEN / workers.max(1)), ..self }
    }
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
