/*!
The names of the files in a saved tokenizer's folder.
*/

/// GPT-2's vocabulary: names of tokens to ids.
pub const VOCAB_JSON: &str = "vocab.json";
/// GPT-2's merges, one per line.
pub const MERGES_TXT: &str = "merges.txt";
/// Hugging Face's single file.
pub const TOKENIZER_JSON: &str = "tokenizer.json";
/// The settings with which Hugging Face's `AutoTokenizer` uses tokenizer.json as it is.
pub const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// tiktoken's ranks.
pub const TIKTOKEN: &str = "tokenizer.tiktoken";
/// The pattern and the special tokens, which tiktoken's ranks leave out.
pub const TIKTOKEN_JSON: &str = "tokenizer.tiktoken.json";
/// Statistics of the training.
pub const TRAINING_JSON: &str = "training.json";
/// All names.
pub const FILE_NAMES: [&str; 7] =
    [VOCAB_JSON, MERGES_TXT, TOKENIZER_JSON, TOKENIZER_CONFIG, TIKTOKEN, TIKTOKEN_JSON, TRAINING_JSON];
