//! The text that the benches run on: 20 MB of sample stories, or the file that `BPE_LM_CORPUS` names.

use bpe_lm::corpus::{Corpus, Cutter};
use bpe_lm::counts::{PretokenCounts, count_pretokens};
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::sample::{Split, write_sample};
use bpe_lm::special_tokens::SpecialTokens;
use std::io::Write;
use std::path::{Path, PathBuf};

pub struct Bench {
    path: PathBuf,
    special_tokens: SpecialTokens,
    _sample: Option<tempfile::NamedTempFile>,
}

#[allow(dead_code, clippy::unwrap_used)] // Not every bench uses all of it.
impl Bench {
    pub fn new() -> Self {
        let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
        if let Some(path) = std::env::var_os("BPE_LM_CORPUS") {
            return Bench { path: path.into(), special_tokens, _sample: None };
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write_sample(&mut file, 20_000_000, 336, Split::Train).unwrap();
        file.flush().unwrap();
        Bench { path: file.path().to_owned(), special_tokens, _sample: Some(file) }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn num_bytes(&self) -> u64 {
        self.path.metadata().unwrap().len()
    }

    pub fn count(&self, threads: usize, chunk_bytes: usize) -> PretokenCounts {
        let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &self.special_tokens, chunk_bytes };
        count_pretokens(&Corpus::open([&self.path]).unwrap(), cutter, threads, &Job::default()).unwrap()
    }
}
