/*!
The expressions that published tokenizers use, and their names here.
*/

use super::grammar::{AfterOthers, Contractions, Grammar, Words};

/// The pattern of GPT-2, as `tiktoken` writes it.
pub const GPT2_PATTERN: &str = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The same, as OpenAI first wrote it.
pub(super) const GPT2_FIRST_PATTERN: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";

/// The pattern of cl100k_base (GPT-3.5 and GPT-4), as `tiktoken` writes it.
pub const CL100K_PATTERN: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s";

/// The pattern of Llama 3, and of GLM 4.
pub const LLAMA3_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The pattern of Qwen 2, 2.5 and 3.
pub const QWEN2_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The pattern of Qwen 3.5.
pub const QWEN35_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The pattern of o200k_base (GPT-4o) and of gpt-oss, as `tiktoken` writes it.
pub const O200K_PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// The pattern of Mistral's Tekken.
pub const TEKKEN_PATTERN: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// The pattern of Kimi K2.
pub const KIMI_K2_PATTERN: &str = concat!(
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);

/// The patterns of DeepSeek V3 and R1. Each splits what the ones before left together.
pub const DEEPSEEK_V3_PATTERNS: [&str; 3] = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
];

/// The same in one string, one a line.
pub(super) const DEEPSEEK_V3_LINES: &str = concat!(
    r"\p{N}{1,3}",
    "\n[一-龥぀-ゟ゠-ヿ]+\n",
    r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
);

/// A pattern of the family that has a name.
#[derive(Debug)]
pub(super) struct Published {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    pub expression: &'static str,
    pub grammar: Grammar,
}

const CL100K: Grammar = Grammar {
    words: Words::Letters,
    contractions: Contractions::AnyCase,
    max_numbers: 3,
    after_others: AfterOthers::Newlines,
    keeps_last_whitespace: true,
};
const LLAMA3: Grammar = Grammar { keeps_last_whitespace: false, ..CL100K };
const QWEN2: Grammar = Grammar { max_numbers: 1, ..LLAMA3 };
const O200K: Grammar =
    Grammar { words: Words::Cased, after_others: AfterOthers::NewlinesAndSlashes, ..LLAMA3 };

pub(super) static FAMILY: [Published; 7] = [
    Published {
        name: "cl100k",
        aliases: &["cl100k_base", "dbrx"],
        expression: CL100K_PATTERN,
        grammar: CL100K,
    },
    Published { name: "llama3", aliases: &["glm4"], expression: LLAMA3_PATTERN, grammar: LLAMA3 },
    Published { name: "qwen2", aliases: &["qwen2.5", "qwen3"], expression: QWEN2_PATTERN, grammar: QWEN2 },
    Published {
        name: "qwen3.5",
        aliases: &[],
        expression: QWEN35_PATTERN,
        grammar: Grammar { words: Words::LettersAndMarks, ..QWEN2 },
    },
    Published {
        name: "o200k",
        aliases: &["o200k_base", "o200k_harmony", "gpt-oss"],
        expression: O200K_PATTERN,
        grammar: O200K,
    },
    Published {
        name: "tekken",
        aliases: &[],
        expression: TEKKEN_PATTERN,
        grammar: Grammar { contractions: Contractions::None, max_numbers: 1, ..O200K },
    },
    Published {
        name: "kimi_k2",
        aliases: &["kimi"],
        expression: KIMI_K2_PATTERN,
        grammar: Grammar { words: Words::CasedBesideHan, after_others: AfterOthers::Newlines, ..O200K },
    },
];
