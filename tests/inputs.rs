//! Every kind of input gives the same counts as its texts from an iterator, for every chunk size and thread count; what is
//! damaged or is no text is an error that says where.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use bpe_lm::corpus::{BadLines, Corpus, Cutter, Format, InputOptions};
use bpe_lm::counts::count_pretokens;
use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use common::Random;
use common::naive::Counts;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const PIECES: [&str; 18] = [
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "a",
    "word",
    " word",
    "don't",
    "'s",
    "12",
    "...",
    "中",
    "\u{a0}",
    "\"",
    "\\",
    "{}",
    "<|endoftext|>",
];

fn special_tokens() -> SpecialTokens {
    SpecialTokens::new(["<|endoftext|>"]).unwrap()
}

fn try_count(corpus: &Corpus, chunk_bytes: usize, threads: usize, job: &Job) -> Result<Counts, Error> {
    let special_tokens = special_tokens();
    let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes };
    let counts = count_pretokens(corpus, cutter, threads, job)?;
    Ok(counts.iter().map(|(pretoken, count)| (pretoken.to_vec(), count)).collect())
}

fn count(corpus: &Corpus, chunk_bytes: usize, threads: usize) -> Counts {
    try_count(corpus, chunk_bytes, threads, &Job::default()).unwrap()
}

fn error(corpus: &Corpus) -> Error {
    try_count(corpus, 50, 3, &Job::default()).unwrap_err()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// Compressed in one piece or, as `cat a.gz b.gz` does, in two.
fn pack(random: &mut Random, bytes: &[u8], pack: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let (head, tail) = bytes.split_at(random.below(bytes.len() + 1));
    if random.below(2) == 0 { pack(bytes) } else { [pack(head), pack(tail)].concat() }
}

fn lines(random: &mut Random, texts: &[String]) -> String {
    let mut lines = String::new();
    for text in texts {
        let text = serde_json::Value::from(text.as_str());
        lines += &match random.below(3) {
            0 => format!("{{\"text\": {text}}}\n"),
            1 => format!("{{\"id\": 1, \"text\": {text}, \"meta\": {{\"text\": []}}}}\r\n"),
            _ => format!("  {{\"text\":\"\",\"text\":{text}}}\n\n"),
        };
    }
    lines
}

#[test]
fn every_kind_of_file_counts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(11);
    for case in 0..400 {
        let mut texts = Vec::new();
        let mut paths = Vec::new();
        for number in 0..1 + random.below(4) {
            let name = *random.pick(&["txt", "txt.gz", "txt.zst", "jsonl", "jsonl.gz", "ndjson.zst", "odd"]);
            let path = folder.path().join(format!("{number}.{name}"));
            let is_lines = name.contains("json");
            let own: Vec<String> = (0..if is_lines { 1 + random.below(8) } else { 1 })
                .map(|_| random.text(60, &PIECES) + "x")
                .collect();
            let content = if is_lines { lines(&mut random, &own) } else { own[0].clone() }.into_bytes();
            let content = match name {
                _ if name.ends_with("gz") => pack(&mut random, &content, gzip),
                _ if name.ends_with("zst") => pack(&mut random, &content, zstd),
                "odd" if random.below(2) == 0 => gzip(&content),
                _ => content,
            };
            std::fs::write(&path, content).unwrap();
            texts.extend(own.into_iter().map(String::into_bytes));
            paths.push(path);
        }
        let expected = count(&Corpus::from_texts(texts), 1 << 20, 1);
        let (chunk_bytes, threads) = (1 + random.below(64), 1 + random.below(8));
        let found = count(&Corpus::open(&paths).unwrap(), chunk_bytes, threads);
        assert_eq!(found, expected, "case {case}: {paths:?}, chunks of {chunk_bytes}, {threads} threads");
    }
}

#[test]
fn a_long_stream_is_cut_as_a_file_is() {
    let folder = tempfile::tempdir().unwrap();
    let (plain, packed) = (folder.path().join("text"), folder.path().join("text.gz"));
    let mut random = Random(12);
    for unit in ["a", "\n", " ", "中", "word ", "<|endoftext|>"] {
        let text =
            format!("{}{}{}", random.text(2000, &PIECES), unit.repeat(30_000), random.text(2000, &PIECES));
        std::fs::write(&plain, &text).unwrap();
        std::fs::write(&packed, gzip(text.as_bytes())).unwrap();
        let expected = count(&Corpus::from_texts([text.into_bytes()]), 1 << 30, 1);
        for chunk_bytes in [1, 100, 5000, 1 << 20] {
            for path in [&plain, &packed] {
                assert_eq!(
                    count(&Corpus::open([path]).unwrap(), chunk_bytes, 2),
                    expected,
                    "{unit:?} {chunk_bytes}"
                );
            }
        }
    }
}

fn pipe(folder: &Path, content: Vec<u8>) -> PathBuf {
    let path = folder.join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let to = path.clone();
    std::thread::spawn(move || std::fs::write(to, content));
    path
}

#[test]
fn a_pipe_is_read_once_and_to_its_end() {
    for pack in [|bytes: &[u8]| bytes.to_vec(), gzip, zstd] {
        let folder = tempfile::tempdir().unwrap();
        let text = "word <|endoftext|> don't ".repeat(20_000).into_bytes();
        let path = pipe(folder.path(), pack(&text));
        let expected = count(&Corpus::from_texts([text]), 1000, 1);
        assert_eq!(count(&Corpus::open([path]).unwrap(), 1000, 3), expected);
    }
}

/// With somebody at its other end who writes no more, and with nobody there at all.
#[test]
fn waiting_for_a_pipe_stops_when_the_job_is_cancelled() {
    for has_writer in [true, false] {
        wait_for_a_pipe(has_writer);
    }
}

fn wait_for_a_pipe(has_writer: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let writer = path.clone();
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let held_open = std::thread::spawn(move || {
        if has_writer {
            let mut pipe = std::fs::File::create(writer).unwrap();
            pipe.write_all(b"some words, and then nothing").unwrap();
            let _ = wait.recv();
        }
    });
    let job = Job::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(200));
            job.cancel();
        });
        let start = Instant::now();
        let counted = try_count(&Corpus::open([&path]).unwrap(), 1000, 2, &job);
        assert!(matches!(counted, Err(Error::Cancelled)));
        assert!(start.elapsed() < Duration::from_secs(5), "it did not wait for the writer");
    });
    drop(done);
    held_open.join().unwrap();
}

fn open(path: &Path, format: Format, bad_lines: BadLines) -> Corpus {
    let options = InputOptions { format, bad_lines, ..InputOptions::default() };
    Corpus::open_with([path], options).unwrap()
}

#[test]
fn a_bad_line_is_named_or_counted_and_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let good = "{\"text\": \"word \"}\n".repeat(100);
    for (bad, reason) in [
        ("{\"text\": 5}", "expected a string"),
        ("{\"body\": \"word\"}", "there is no field \"text\""),
        ("{\"text\": \"wo", "EOF while parsing a string"),
        ("word", "expected value"),
    ] {
        let content = format!("{good}\n{bad}\n{good}");
        for (name, content) in
            [("lines.jsonl", content.clone().into_bytes()), ("lines.jsonl.gz", gzip(content.as_bytes()))]
        {
            let path = folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            match error(&open(&path, Format::ByName, BadLines::Refuse)) {
                Error::BadLine { path: named, line, reason: found } => {
                    assert_eq!((named, line), (path.display().to_string(), 102));
                    assert!(found.contains(reason), "{found}");
                }
                other => panic!("{other}"),
            }
            let corpus = open(&path, Format::ByName, BadLines::Skip);
            assert_eq!(count(&corpus, 50, 3)[&b"word"[..]], 200);
            assert_eq!(corpus.skipped_lines(), 1);
        }
    }
    let path = folder.path().join("all.jsonl");
    std::fs::write(&path, "{}\n{}\n").unwrap();
    let corpus = open(&path, Format::ByName, BadLines::Skip);
    assert!(error(&corpus).to_string().contains("every line was skipped"));
}

#[test]
fn the_format_can_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.json");
    std::fs::write(&path, "{\"text\": \"word\"}\n").unwrap();
    assert_eq!(count(&open(&path, Format::Jsonl, BadLines::Refuse), 50, 1).len(), 1);
    assert!(count(&open(&path, Format::ByName, BadLines::Refuse), 50, 1).len() > 1);
    let options =
        InputOptions { json_field: "body".to_owned(), format: Format::Jsonl, ..InputOptions::default() };
    std::fs::write(&path, "{\"body\": \"word\"}").unwrap();
    assert_eq!(count(&Corpus::open_with([&path], options).unwrap(), 50, 1).len(), 1);
}

#[test]
fn what_is_damaged_is_an_error_that_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(13);
    let text = random.bytes(2_000_000, b"abcdefgh \n");
    for (name, packed) in [("cut.gz", gzip(&text)), ("cut.zst", zstd(&text))] {
        let path = folder.path().join(name);
        std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        let Error::Decompress { path: named, offset, .. } = error(&Corpus::open([&path]).unwrap()) else {
            panic!("{name} should be damaged")
        };
        assert_eq!(named, path.display().to_string());
        assert!(offset > 100_000 && offset < 2_000_000, "{offset}");
        std::fs::write(&path, "not packed").unwrap();
        assert!(matches!(Corpus::open([&path]), Err(Error::Format { .. })));
    }
    let mut packed = gzip(&text);
    let crc = packed.len() - 6;
    packed[crc] ^= 1;
    let path = folder.path().join("crc.gz");
    std::fs::write(&path, packed).unwrap();
    assert!(matches!(error(&Corpus::open([&path]).unwrap()), Error::Decompress { .. }));
    std::fs::write(&path, gzip(b"")).unwrap();
    assert!(matches!(error(&Corpus::open([&path]).unwrap()), Error::EmptyCorpus { .. }));
}

#[test]
fn standard_input_can_be_named_once() {
    assert!(matches!(Corpus::open(["-", "-"]), Err(Error::Option { .. })));
}
