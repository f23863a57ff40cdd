//! Token files: the same ids for every cutting, whatever happens on the way.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, missing_docs)]

mod common;

use bpe_lm::corpus::{BadLines, Corpus, InputOptions};
use bpe_lm::encode::EncodeOptions;
use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_file::{Dtype, Manifest, TokenFileOptions, encode_file, open, verify};
use bpe_lm::tokenizer::{Special, Tokenizer};
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use bpe_lm::vocab::TokenId;
use common::{Random, naive};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const SEPARATOR: &str = "<|endoftext|>";
const SEPARATORS: [&str; 2] = [SEPARATOR, "<|pad|>"];

fn tokenizer(special_tokens: &[&str]) -> Tokenizer {
    let special_tokens = SpecialTokens::new(special_tokens.iter().copied()).unwrap();
    let text = b"the cat sat on the mat, the dog on the log\n\n".repeat(3);
    let options = TrainOptions::new(300, special_tokens.clone());
    let (vocab, merges, _) = train_bpe(&Corpus::from_texts([text]), &options, &Job::default()).unwrap();
    Tokenizer::new(vocab, merges, special_tokens, Pattern::Gpt2).unwrap()
}

fn options(tokenizer: &Tokenizer, threads: usize, chunk_bytes: usize) -> TokenFileOptions {
    TokenFileOptions::new(EncodeOptions { chunk_bytes, ..EncodeOptions::new(tokenizer, threads) })
}

fn write(folder: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    let mut file = fs::File::create(&path).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => {
            let mut encoder = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap();
        }
        "zst" => file.write_all(&zstd::encode_all(bytes, 1).unwrap()).unwrap(),
        _ => file.write_all(bytes).unwrap(),
    }
    path
}

fn ids(path: &Path) -> Vec<TokenId> {
    let manifest = open(path, None, None).unwrap();
    let bytes = fs::read(path).unwrap();
    let data = &bytes[manifest.data_offset as usize..];
    match manifest.dtype {
        Dtype::Uint16 => data.as_chunks().0.iter().map(|id| u16::from_le_bytes(*id).into()).collect(),
        Dtype::Uint32 => data.as_chunks().0.iter().map(|id| u32::from_le_bytes(*id)).collect(),
    }
}

fn encode(
    tokenizer: &Tokenizer,
    paths: &[PathBuf],
    out: &Path,
    options: &TokenFileOptions,
) -> Result<Manifest, Error> {
    let input = InputOptions { bad_lines: BadLines::Skip, ..InputOptions::default() };
    encode_file(tokenizer, Corpus::open_with(paths, input)?, out, options, &Job::default())
}

#[test]
fn files_of_every_kind_become_the_same_ids_for_every_chunk_size_and_thread_count() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let mut random = Random(5);
    let alphabet = ["the", " cat", " dog", "\n", "\n\n", SEPARATOR, "<|pad|>", "é", " ", "12"];
    let texts: Vec<String> = (0..6).map(|_| format!("a{}b", random.text(3000, &alphabet))).collect();
    let lines: Vec<String> = texts.iter().map(|text| serde_json::json!({"text": text}).to_string()).collect();
    let jsonl = format!("{}\n{{\"text\":\"\"}}\nbad\n\n{}\n{{\"text\":\"\"}}", lines[0], lines[1]);
    let paths = [
        write(&folder, "a.txt", texts[2].as_bytes()),
        write(&folder, "b.txt.gz", format!("{}{SEPARATOR}\n", texts[3]).as_bytes()),
        write(&folder, "c.txt.zst", texts[4].as_bytes()),
        write(&folder, "d.jsonl", jsonl.as_bytes()),
        write(&folder, "e.txt", format!("\n{SEPARATOR}{}", texts[5]).as_bytes()),
        write(&folder, "f.jsonl.gz", jsonl.as_bytes()),
        write(&folder, "g.txt", b"the end"),
    ];
    let separator = tokenizer.special_id(SEPARATOR).unwrap();
    let mut expected = Vec::new();
    let text = |text: &str| naive::encode(&tokenizer, text.as_bytes(), Special::Allow);
    let field = |text: &str| naive::encode(&tokenizer, text.as_bytes(), Special::Text);
    let fields = [field(&texts[0]), vec![separator; 2], field(&texts[1]), vec![separator; 2]].concat();
    expected.extend(text(&texts[2]));
    expected.push(separator);
    expected.extend(text(&format!("{}{SEPARATOR}\n", texts[3])));
    expected.extend(text(&texts[4]));
    expected.push(separator);
    expected.extend(&fields);
    expected.extend(text(&format!("\n{SEPARATOR}{}", texts[5])));
    expected.push(separator);
    expected.extend(&fields);
    expected.extend(text("the end"));
    let mut first = None;
    for (threads, chunk_bytes) in [(1, 1), (1, 1 << 20), (2, 100), (3, 1000), (5, 17), (2, 1 << 20)] {
        let out = folder.path().join(format!("{threads}-{chunk_bytes}.bin"));
        let mut manifest =
            encode(&tokenizer, &paths, &out, &options(&tokenizer, threads, chunk_bytes)).unwrap();
        assert_eq!(ids(&out), expected, "{threads} threads, {chunk_bytes} bytes");
        assert_eq!(manifest.skipped_lines, 2);
        assert_eq!(verify(&out, Some(&tokenizer.hash()), &Job::default()).unwrap(), manifest);
        manifest.sources.clear();
        assert_eq!(*first.get_or_insert(manifest.clone()), manifest);
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), paths.len() + 2 * 6, "{names:?}");
}
