//! Every kind of input gives the same counts as its texts from an iterator, for every chunk size and thread
//! count. Input that is damaged or not text is an error that states the place.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use bpe_lm::corpus::{BadLines, Corpus, Cutter, Format, InputOptions};
use bpe_lm::counts::{Knobs, count_with_knobs};
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
    let knobs = Knobs { min_share: 1, ..Knobs::new(threads) };
    let counts = count_with_knobs(corpus, cutter, threads, job, knobs)?;
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
            let names = ["txt", "txt.gz", "txt.zst", "jsonl", "JSONL.GZ", "json.gz", "ndjson.zst", "odd"];
            let name = *random.pick(&names);
            let path = folder.path().join(format!("{number}.{name}"));
            let is_lines = name.to_ascii_lowercase().contains("json");
            let own: Vec<String> = (0..if is_lines { 1 + random.below(8) } else { 1 })
                .map(|_| random.text(60, &PIECES) + "x")
                .collect();
            let content = if is_lines { lines(&mut random, &own) } else { own[0].clone() }.into_bytes();
            let content = match name {
                _ if name.to_ascii_lowercase().ends_with("gz") => pack(&mut random, &content, gzip),
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

/// Once with a writer that writes no more, and once without a writer.
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
    assert!(count(&open(&path, Format::Text, BadLines::Refuse), 50, 1).len() > 1);
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

/// Packed in every way that a stream can be, and plain.
fn packed(text: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    [("", text.to_vec()), (".gz", gzip(text)), (".GZ", gzip(text)), (".zstd", zstd(text))]
}

#[test]
fn json_lines_are_taken_as_lines_under_every_name_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["x.json", "X.JSONL", "x.NdJson", "x.jsonl"] {
        for (ending, content) in packed(b"\xEF\xBB\xBF{\"text\": \"word\"}\n{\"text\": \"word\"}\n") {
            let path = folder.path().join(format!("{name}{ending}"));
            std::fs::write(&path, content).unwrap();
            let expected = Counts::from([(b"word".to_vec(), 2)]);
            assert_eq!(count(&Corpus::open([&path]).unwrap(), 50, 2), expected, "{}", path.display());
        }
    }
}

#[test]
fn json_that_would_be_taken_as_text_is_refused_unless_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let lines = "\u{FEFF}\n {\"text\": \"word\"}\n";
    for (ending, content) in packed(lines.as_bytes()) {
        let path = folder.path().join(format!("part-0000{ending}"));
        std::fs::write(&path, &content).unwrap();
        let Err(Error::NotText { remedy, .. }) = Corpus::open([&path]) else { panic!("{}", path.display()) };
        assert!(remedy.contains("--input-format jsonl"));
        assert!(count(&open(&path, Format::Text, BadLines::Refuse), 50, 1).contains_key(&b"\":"[..]));
        assert_eq!(count(&open(&path, Format::Jsonl, BadLines::Refuse), 50, 1).len(), 1);
        let text = folder.path().join(format!("part.txt{ending}"));
        std::fs::write(&text, &content).unwrap();
        assert!(count(&Corpus::open([text]).unwrap(), 50, 1).contains_key(&b"\":"[..]));
    }
    for (name, content) in [
        ("a.json", "[\n  {\"text\": \"word\"},\n  {\"text\": \"word\"}\n]\n"),
        ("b.json", "[{\"text\": \"word\"}]"),
        ("c.jsonl", "[{\"text\": \"word\"}]\n"),
        ("d.json", "{\n  \"text\": \"word\"\n}\n"),
        ("e", "[{\"text\": \"word\"}]"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        for bad_lines in [BadLines::Refuse, BadLines::Skip] {
            let options = InputOptions { bad_lines, ..InputOptions::default() };
            let Err(error) = Corpus::open_with([&path], options) else { panic!("{name}") };
            assert!(error.to_string().contains("jq -c"), "{error}");
        }
    }
}

#[test]
fn what_is_no_text_by_its_first_bytes_is_refused_unless_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.txt");
    let tar = [&[b'a'; 257][..], b"ustar\0"].concat();
    for (content, what) in [
        (&b"\xFD7zXZ\0\0\x04"[..], "xz -d"),
        (b"BZh91AY&SY\x12", "bzip2 -d"),
        (b"PAR1\x15\x04\x15", "a Parquet file"),
        (b"PK\x03\x04\x14", "a zip archive"),
        (b"ARROW1\0\0\xFF\xFF", "an Arrow file"),
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
        (b"\xFF\xFEw\0o\0r\0d\0", "text in UTF-16; convert it first (iconv"),
        (b"\xFE\xFF\0w\0o", "text in UTF-16"),
        (b"\xFF\xFE\0\0w\0\0\0", "text in UTF-32"),
        (b"\x93NUMPY\x01\0", "a numpy array"),
        (&tar, "a tar archive"),
        (&gzip(b"word"), "gzip data in compressed data"),
    ] {
        for (ending, packed) in packed(content) {
            if ending.is_empty() && what.starts_with("gzip") {
                continue;
            }
            let path = folder.path().join(format!("a.txt{ending}"));
            std::fs::write(&path, packed).unwrap();
            let Err(error) = Corpus::open([&path]) else { panic!("{what}{ending}") };
            assert!(error.to_string().contains(what) && error.to_string().contains("--input-format text"));
            let corpus = open(&path, Format::Text, BadLines::Refuse);
            assert_eq!(count(&corpus, 50, 1), count(&Corpus::from_texts([content.to_vec()]), 50, 1));
        }
    }
    std::fs::write(&path, b"\xEF\xBB\xBFword").unwrap();
    let found = count(&Corpus::open([&path]).unwrap(), 50, 1);
    assert_eq!(found, count(&Corpus::from_texts([b"\xEF\xBB\xBFword".to_vec()]), 50, 1));
}

#[test]
fn a_pipe_is_refused_as_a_file_is() {
    for (content, reason) in
        [(&b"{\"text\": \"word\"}\n"[..], "jsonl"), (b"PK\x03\x04", "zip"), (b"[{\"text\": 1}]", "array")]
    {
        for pack in [|bytes: &[u8]| bytes.to_vec(), gzip] {
            let folder = tempfile::tempdir().unwrap();
            let path = pipe(folder.path(), pack(content));
            let error = error(&Corpus::open([path]).unwrap());
            assert!(matches!(error, Error::NotText { .. }) && error.to_string().contains(reason), "{error}");
        }
    }
}

#[test]
fn many_nul_bytes_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let content = b"w\0o\0r\0d\0".repeat(20);
    for (ending, content) in packed(&content) {
        let path = folder.path().join(format!("a{ending}"));
        std::fs::write(&path, content).unwrap();
        for (format, notes) in [(Format::ByName, 1), (Format::Text, 0)] {
            let job = Job::default();
            try_count(&open(&path, format, BadLines::Refuse), 50, 3, &job).unwrap();
            assert_eq!(job.take_notes().len(), notes, "{ending}");
        }
    }
    std::fs::remove_file(&path).unwrap();
    let job = Job::default();
    try_count(&Corpus::open([pipe(folder.path(), content)]).unwrap(), 50, 3, &job).unwrap();
    assert!(job.take_notes()[0].contains("pipe begins with many NUL bytes"));
}

#[test]
fn gzip_data_may_be_filled_up_with_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gz");
    let word = |content: Vec<u8>| {
        std::fs::write(&path, content).unwrap();
        Corpus::open([&path]).and_then(|corpus| try_count(&corpus, 50, 2, &Job::default()))
    };
    for zeros in [1, 511, 1 << 15, 100_000] {
        let zeros = vec![0; zeros];
        for (members, times) in [
            (vec![gzip(b"word word"), zeros.clone()], 1),
            (vec![gzip(b"word "), zeros.clone(), gzip(b"word"), zeros.clone()], 1),
            (vec![gzip(b""), zeros, gzip(b"word word")], 1),
        ] {
            assert_eq!(word(members.concat()).unwrap()[&b" word"[..]], times);
        }
    }
    for garbage in [&b"garbage"[..], b"\0\0\0garbage", b"\x1F", b"\x1F\x8Bx"] {
        let error = word([&gzip(b"word "), garbage].concat()).unwrap_err();
        assert!(matches!(error, Error::Decompress { offset: 5, .. }), "{error}");
    }
}

/// One frame with a block that is not compressed.
fn zstd_with_window(log: u8, text: &[u8]) -> Vec<u8> {
    let block = (u32::try_from(text.len()).unwrap() << 3 | 1).to_le_bytes();
    [&b"\x28\xB5\x2F\xFD\0"[..], &[(log - 10) << 3], &block[..3], text].concat()
}

#[test]
fn a_zstd_window_that_is_too_large_is_named_and_not_called_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.zst");
    std::fs::write(&path, zstd_with_window(27, b"word")).unwrap();
    assert_eq!(count(&Corpus::open([&path]).unwrap(), 50, 1).len(), 1);
    std::fs::write(&path, zstd_with_window(29, b"word")).unwrap();
    let Err(found) = Corpus::open([&path]) else { panic!("a window of 512 MiB") };
    for word in ["512 MiB", "128 MiB", "--long=29", "not damaged"] {
        assert!(found.to_string().contains(word), "{found}");
    }
    let long = b"word ".repeat(10_000);
    std::fs::write(&path, [zstd(&long), zstd_with_window(30, b"word")].concat()).unwrap();
    let found = error(&Corpus::open([&path]).unwrap());
    assert!(matches!(found, Error::Window { window: None, .. }), "{found}");
    assert!(found.to_string().contains("--long=31"));
}

#[test]
fn names_that_are_no_local_files_say_what_to_do() {
    for (name, remedy) in [
        ("https://example.org/a.txt", "download it first"),
        ("s3://bucket/a.jsonl", "only local files"),
        ("data/*.txt", "the shell expands a pattern that is not in quotes, and in Python glob.glob does"),
        ("no-such-file", "check the path"),
    ] {
        let Err(error) = Corpus::open([name]) else { panic!("{name}") };
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[test]
fn nested_fields_are_taken_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jsonl");
    std::fs::write(&path, "{\"meta\": {\"text\": \"word\", \"score\": NaN}}\n{\"meta.text\": \"word\"}\n")
        .unwrap();
    let options = InputOptions { json_field: "meta.text".to_owned(), ..InputOptions::default() };
    let found = count(&Corpus::open_with([&path], options).unwrap(), 50, 1);
    assert_eq!(found, Counts::from([(b"word".to_vec(), 2)]));
}
