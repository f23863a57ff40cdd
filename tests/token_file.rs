//! Token files: the ids are the same however the texts are cut, and whatever interrupts the run.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, missing_docs)]

mod common;

use bpe_lm::corpus::{BadLines, Corpus, InputOptions};
use bpe_lm::encode_corpus::EncodeOptions;
use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_file::{Dtype, Manifest, TokenFileOptions, encode_file, open, verify};
use bpe_lm::token_id::TokenId;
use bpe_lm::tokenizer::{Special, Tokenizer};
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use common::row::passed;
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
    TokenFileOptions::new(EncodeOptions {
        chunk_bytes,
        min_share: 1,
        ..EncodeOptions::new(tokenizer, threads)
    })
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

/// The positions in the index, read by its layout.
fn documents(path: &Path) -> Vec<u64> {
    let bytes = fs::read(format!("{}.idx", path.display())).unwrap();
    let numbers: Vec<u64> = bytes[8..].as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
    assert_eq!((&bytes[..8], numbers[0]), (&b"BPELMIDX"[..], 1));
    assert_eq!((numbers[1], numbers[2]), (numbers.len() as u64 - 4, ids(path).len() as u64));
    assert_eq!(numbers[3], u64::from(crc32fast::hash(&bytes[40..])));
    numbers[4..].to_vec()
}

/// The first id, and each id after a separator.
fn naive_documents(ids: &[TokenId], separator: TokenId) -> Vec<u64> {
    (0..ids.len()).filter(|&i| i == 0 || ids[i - 1] == separator).map(|i| i as u64).collect()
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
        assert_eq!(
            documents(&out),
            naive_documents(&expected, separator),
            "{threads} threads, {chunk_bytes}"
        );
        assert_eq!(manifest.skipped_lines, 2);
        assert_eq!(verify(&out, Some(&tokenizer.hash()), &Job::default()).unwrap(), manifest);
        manifest.sources.clear();
        assert_eq!(*first.get_or_insert(manifest.clone()), manifest);
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), paths.len() + 3 * 6, "{names:?}");
    passed("R12", 6);
}

/// The ids by the rule for separators itself: one between two files, unless one is there, apart from whitespace.
fn with_separators(tokenizer: &Tokenizer, texts: &[String]) -> Vec<TokenId> {
    let separator = tokenizer.special_id(SEPARATOR).unwrap();
    let (mut ids, mut is_separated) = (Vec::new(), true);
    for text in texts {
        let content = text.trim();
        if !is_separated && !content.starts_with(SEPARATOR) {
            ids.push(separator);
            is_separated = true;
        }
        ids.extend(naive::encode(tokenizer, text.as_bytes(), Special::Allow));
        if !content.is_empty() {
            is_separated = content.ends_with(SEPARATOR);
        }
    }
    ids
}

#[test]
fn separators_between_files_do_not_depend_on_where_whitespace_is_cut() {
    let tokenizer = tokenizer(&SEPARATORS);
    let mut random = Random(18);
    let spaces = [" ", "\n", "\n\n", "  ", "\t", " \n \n"];
    let content = [SEPARATOR, "<|pad|>", "the", " cat", "12", " \n", "\n\n", " "];
    let long = " \n".repeat(40);
    for _ in 0..20 {
        let folder = TempDir::new().unwrap();
        let mut text = || match random.below(5) {
            0 => random.text(3, &spaces),
            1 => format!("{}{}", long, random.text(2, &content)),
            2 => format!("{}{}{}", random.text(3, &spaces), random.text(1, &content), long),
            _ => format!("{}{}", random.text(3, &spaces), random.text(6, &content)),
        };
        // An empty file is an error.
        let texts: Vec<String> = (0..5).map(|_| format!("{}\n", text())).collect();
        let names = ["a.txt", "b.txt.gz", "c.txt", "d.txt.zst", "e.txt"];
        let paths: Vec<_> =
            names.iter().zip(&texts).map(|(name, text)| write(&folder, name, text.as_bytes())).collect();
        let expected = with_separators(&tokenizer, &texts);
        for (threads, chunk_bytes) in [(1, 1 << 20), (1, 1), (2, 3), (3, 1), (4, 20), (8, 1), (8, 7)] {
            let out = folder.path().join(format!("{threads}-{chunk_bytes}.bin"));
            let manifest =
                encode(&tokenizer, &paths, &out, &options(&tokenizer, threads, chunk_bytes)).unwrap();
            assert_eq!(ids(&out), expected, "{threads} threads, {chunk_bytes} bytes, {texts:?}");
            assert_eq!(documents(&out), naive_documents(&expected, tokenizer.special_id(SEPARATOR).unwrap()));
            assert_eq!(manifest.text_bytes, texts.iter().map(|text| text.len() as u64).sum::<u64>());
        }
    }
}

/// Makes something at a path.
type Make = fn(&Path);

fn mkfifo(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn nothing_but_a_file_is_replaced_or_followed_with_and_without_force() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let text = write(&folder, "a.txt", b"the cat");
    let other = write(&folder, "other.txt", b"precious");
    let out = folder.path().join("out.bin");
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", out.display()));
    let make: [(&str, Make); 4] = [
        ("a named pipe", mkfifo),
        ("a socket", |path| drop(std::os::unix::net::UnixListener::bind(path).unwrap())),
        ("a directory", |path| fs::create_dir(path).unwrap()),
        ("a link", |path| std::os::unix::fs::symlink(path.with_file_name("other.txt"), path).unwrap()),
    ];
    let endings = [
        "",
        ".json",
        ".idx",
        ".partial",
        ".partial.idx",
        ".partial.journal",
        ".partial.json",
        ".partial.old",
        ".partial.old.json",
        ".partial.old.idx",
    ];
    for ending in endings {
        for (kind, make) in make {
            if kind == "a link" && !ending.starts_with(".partial") {
                continue;
            }
            let path = beside(ending);
            make(&path);
            let before = fs::symlink_metadata(&path).unwrap().file_type();
            for (force, resume) in [(false, false), (true, false), (false, true)] {
                let options = TokenFileOptions { force, resume, ..options(&tokenizer, 2, 100) };
                let error = encode(&tokenizer, std::slice::from_ref(&text), &out, &options).unwrap_err();
                assert!(matches!(error, Error::NotAnOutput { .. }), "{ending} {kind} {error}");
                assert!(error.to_string().starts_with(&format!("{} is {kind}", path.display())), "{error}");
                assert_eq!(fs::symlink_metadata(&path).unwrap().file_type(), before);
            }
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "{ending} {kind}");
            if kind == "a directory" { fs::remove_dir(&path) } else { fs::remove_file(&path) }.unwrap();
        }
    }
    assert_eq!(fs::read(other).unwrap(), b"precious");
}

#[test]
fn names_that_no_file_can_have_are_refused_before_any_work() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let text = write(&folder, "a.txt", b"the cat");
    let shards = format!("{}/shards/", folder.path().display());
    for (out, reason) in [
        (shards.as_str(), "the name of a directory"),
        (&format!("{shards}."), "the name of a directory"),
        ("", "the name of a directory"),
        ("..", "a directory"),
        ("s3://bucket/out.bin", "only local files are written"),
    ] {
        let error =
            encode(&tokenizer, std::slice::from_ref(&text), out.as_ref(), &options(&tokenizer, 1, 100));
        let error = error.unwrap_err();
        assert!(matches!(error, Error::NotAnOutput { .. }) && error.to_string().contains(reason), "{error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    assert!(!Path::new("s3:").exists());
}

#[test]
fn a_text_is_not_replaced_by_what_is_written_beside_its_ids() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let lines = write(&folder, "out.bin.json", b"{\"text\": \"the cat\"}\n");
    let options = TokenFileOptions { force: true, ..options(&tokenizer, 1, 100) };
    let out = folder.path().join("out.bin");
    let error = encode(&tokenizer, std::slice::from_ref(&lines), &out, &options).unwrap_err();
    assert!(error.to_string().contains("one of the texts"), "{error}");
    assert_eq!(fs::read(lines).unwrap(), b"{\"text\": \"the cat\"}\n");
}

#[test]
fn a_link_to_nothing_is_not_replaced_unasked() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let text = write(&folder, "a.txt", b"the cat");
    let out = folder.path().join("out.bin");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &out).unwrap();
    let error = encode(&tokenizer, &[text], &out, &options(&tokenizer, 1, 100)).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
}

#[test]
fn resuming_what_never_began_replaces_nothing_of_others() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let text = write(&folder, "a.txt", b"the cat");
    let out = folder.path().join("corpus");
    for (name, half_a_line) in [("corpus.json", ""), ("corpus.idx", ""), ("corpus.json", "{\"format\"")] {
        let others = write(&folder, name, b"precious");
        let journal = folder.path().join("corpus.partial.journal");
        if !half_a_line.is_empty() {
            fs::write(&journal, half_a_line).unwrap();
        }
        let options = TokenFileOptions { resume: true, ..options(&tokenizer, 1, 100) };
        let error = encode(&tokenizer, std::slice::from_ref(&text), &out, &options).unwrap_err();
        assert!(matches!(&error, Error::Exists { path } if *path == others), "{error}");
        assert_eq!(fs::read(&others).unwrap(), b"precious");
        fs::remove_file(others).unwrap();
        encode(&tokenizer, std::slice::from_ref(&text), &out, &options).unwrap();
        fs::remove_file(&out).unwrap();
        for ending in ["json", "idx"] {
            fs::remove_file(out.with_extension(ending)).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

/// A journal of one entry whose checksum is right, beside a partial file of zeros.
fn write_journal(out: &Path, changes: &serde_json::Value, partial_bytes: u64) {
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", out.display()));
    let mut begun: serde_json::Value = serde_json::from_slice(&fs::read(beside(".json")).unwrap()).unwrap();
    (begun["count"], begun["text_bytes"], begun["crc32"]) = (0.into(), 0.into(), serde_json::json!([]));
    begun["index"] = serde_json::json!({"documents": 0, "crc32": "00000000"});
    let mut entry = serde_json::json!({
        "source": 0, "offset": 0, "is_separated": true, "count": 0, "text_bytes": 0, "skipped_lines": 0,
        "blocks": [], "tail": 0, "index": begun["index"], "begins": true, "is_done": false,
    });
    entry.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let line = |json: String| format!("{json} {:08x}\n", crc32fast::hash(json.as_bytes()));
    fs::write(beside(".partial.journal"), line(begun.to_string()) + &line(entry.to_string())).unwrap();
    fs::File::create(beside(".partial")).unwrap().set_len(partial_bytes).unwrap();
    ["", ".json", ".idx"].iter().for_each(|ending| fs::remove_file(beside(ending)).unwrap());
}

#[test]
fn numbers_of_a_journal_that_no_file_can_have_are_refused() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let text = write(&folder, "a.txt", b"the cat sat");
    let out = folder.path().join("out.bin");
    let options = TokenFileOptions { resume: true, ..options(&tokenizer, 1, 100) };
    let zeros = crc32fast::hash(&[0; 10]);
    let documents = |documents: u64| serde_json::json!({"documents": documents, "crc32": "00000000"});
    for (changes, partial_bytes) in [
        // Two bytes each: as a number of 64 bits, the sum is 0.
        (serde_json::json!({"count": 1_u64 << 63}), 0),
        (serde_json::json!({"count": u64::MAX}), 0),
        // The checksums of two blocks are missing.
        (serde_json::json!({"count": 1 << 26}), 1 << 27),
        (serde_json::json!({"count": 5, "tail": zeros, "blocks": [0]}), 10),
        (serde_json::json!({"count": 5, "tail": zeros, "text_bytes": u64::MAX}), 10),
        (serde_json::json!({"count": 5, "tail": zeros, "skipped_lines": u64::MAX}), 10),
        (serde_json::json!({"count": 5, "tail": zeros, "source": 1}), 10),
        (serde_json::json!({"count": 5, "tail": zeros, "index": documents(6)}), 10),
    ] {
        encode(&tokenizer, std::slice::from_ref(&text), &out, &options).unwrap();
        write_journal(&out, &changes, partial_bytes);
        let error = encode(&tokenizer, std::slice::from_ref(&text), &out, &options).unwrap_err();
        assert!(error.to_string().contains("describes a file that does not exist"), "{changes}: {error}");
        assert_eq!(fs::metadata(folder.path().join("out.bin.partial")).unwrap().len(), partial_bytes);
        ["", ".journal", ".idx"].iter().for_each(|ending| {
            let _ = fs::remove_file(folder.path().join(format!("out.bin.partial{ending}")));
        });
    }
}

#[test]
fn names_are_refused_before_a_border_is_looked_for() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let bad = write(&folder, "a.jsonl.gz", b"no JSON\n");
    let good = write(&folder, "b.jsonl", b"{\"text\":\"a\"}\n");
    let out = folder.path().join("out.bin");
    let shard = Some(bpe_lm::corpus::Shard::new(1, 2).unwrap());
    let options = TokenFileOptions { shard, ..options(&tokenizer, 1, 100) };
    let attempt = |paths: &[&PathBuf], options: &TokenFileOptions, job: &Job| {
        encode_file(&tokenizer, Corpus::open(paths).unwrap(), &out, options, job)
    };
    let job = Job::default();
    // The border lies in the first file, which cannot be cut, and the text before it is looked at.
    let error = attempt(&[&bad, &good], &options, &job).unwrap_err();
    assert!(matches!(error, Error::BadLine { .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    fs::write(&out, "precious").unwrap();
    let error = attempt(&[&bad, &good], &options, &job).unwrap_err();
    assert!(matches!(error, Error::Exists { .. }), "{error}");
    fs::remove_file(&out).unwrap();
    let partial = folder.path().join("out.bin.partial");
    fs::write(&partial, "precious").unwrap();
    let error = attempt(&[&bad, &good], &options, &job).unwrap_err();
    assert!(matches!(error, Error::Unfinished { .. }), "{error}");
    // A run that fails before it has begun leaves what another one has left.
    let forced = TokenFileOptions { force: true, ..options.clone() };
    let error = attempt(&[&bad, &good], &forced, &job).unwrap_err();
    assert!(matches!(error, Error::BadLine { .. }), "{error}");
    assert_eq!(fs::read(&partial).unwrap(), b"precious");
    attempt(&[&good, &good], &forced, &job).unwrap();
    let stages: Vec<&str> = job.finished().iter().map(|stage| stage.stage.name()).collect();
    assert_eq!(stages, ["seek", "encode"]);
}

#[test]
fn where_nothing_was_written_nothing_is_left() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let lines = write(&folder, "a.jsonl", b"{\"body\": \"the cat\"}\n{\"body\": \"the dog\"}\n");
    let out = folder.path().join("out.bin");
    for (bad_lines, resume) in [(BadLines::Refuse, false), (BadLines::Skip, false), (BadLines::Refuse, true)]
    {
        let input = InputOptions { bad_lines, ..InputOptions::default() };
        let options = TokenFileOptions { resume, ..options(&tokenizer, 2, 100) };
        let corpus = Corpus::open_with([&lines], input).unwrap();
        let error = encode_file(&tokenizer, corpus, &out, &options, &Job::default()).unwrap_err();
        match bad_lines {
            BadLines::Refuse => assert!(matches!(error, Error::BadLine { .. }), "{error}"),
            BadLines::Skip => assert!(error.to_string().contains("every line was skipped"), "{error}"),
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    let input = InputOptions { json_field: "body".to_owned(), ..InputOptions::default() };
    let corpus = Corpus::open_with([&lines], input).unwrap();
    encode_file(&tokenizer, corpus, &out, &options(&tokenizer, 2, 100), &Job::default()).unwrap();
}

#[test]
fn a_token_file_that_is_a_pipe_is_refused_without_waiting() {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer(&SEPARATORS);
    let text = write(&folder, "a.txt", b"the cat");
    let out = folder.path().join("out.bin");
    encode(&tokenizer, &[text], &out, &options(&tokenizer, 1, 100)).unwrap();
    let manifest = folder.path().join("out.bin.json");
    fs::remove_file(&manifest).unwrap();
    mkfifo(&manifest);
    assert!(open(&out, None, None).unwrap_err().to_string().contains("is a named pipe"));
    fs::remove_file(&out).unwrap();
    mkfifo(&out);
    assert!(open(&out, None, None).unwrap_err().to_string().contains("is a named pipe"));
}
