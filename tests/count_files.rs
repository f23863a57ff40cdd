//! Count files: what one machine counts, shards of a corpus, and sums. The tokenizer learned from them is the one that is
//! learned in memory, and no damaged file is read.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use bpe_lm::corpus::{Corpus, InputOptions, Shard};
use bpe_lm::count_corpus::{
    CountOptions, Part, add_counts, add_counts_by, collect_counts, count_corpus, store_collected,
};
use bpe_lm::count_file::{CountReader, Header, Rules, Weight};
use bpe_lm::counts::PretokenCounts;
use bpe_lm::error::Error;
use bpe_lm::job::Job;
use bpe_lm::merges::TieBreak;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::train_bpe::{TrainOptions, train_bpe, train_from_counts};
use common::naive::{Counts, Naive};
use common::{Random, spell};
use std::path::{Path, PathBuf};

fn job() -> Job {
    Job::default()
}

fn rules() -> Rules {
    Rules::new(&Pattern::Gpt2, &SpecialTokens::default())
}

fn read(path: &Path) -> Result<Counts, Error> {
    let counts = PretokenCounts::read(CountReader::open(path)?, &job())?;
    let found: Counts = counts.iter().map(|(pretoken, count)| (pretoken.to_vec(), count)).collect();
    assert_eq!(found.len(), counts.len());
    Ok(found)
}

fn store<'a>(counts: impl IntoIterator<Item = (&'a Vec<u8>, &'a u64)>, out: &Path) -> Header {
    let mut collected = collect_counts(rules(), out, true).unwrap();
    counts.into_iter().for_each(|(pretoken, &count)| collected.add(pretoken, count, &job()).unwrap());
    store_collected(collected, Some(0), 0, out, true, &job()).unwrap()
}

fn parts(paths: &[PathBuf]) -> Vec<Part> {
    paths.iter().map(|path| Part { path: path.clone(), weight: Weight::default() }).collect()
}

fn add(paths: &[PathBuf], out: &Path) -> Result<Header, Error> {
    add_counts(&parts(paths), out, true, &job())
}

fn random_counts(random: &mut Random) -> Counts {
    let alphabets: [&[u8]; 4] = [b"ab", b"\0a", b"\xFE\xFFa", b"abcdefgh"];
    let alphabet = *random.pick(&alphabets);
    let longest = *random.pick(&[3, 20, 300]);
    let entries = (0..random.below(200))
        .map(|_| (random.bytes(longest, alphabet), 1 + (random.next() >> random.below(64)) / 4096));
    entries.filter(|(pretoken, _)| !pretoken.is_empty()).collect()
}

#[test]
fn a_file_has_the_counts_that_were_stored_and_its_bytes_depend_on_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mut random = Random(1);
    for _ in 0..200 {
        let counts = random_counts(&mut random);
        let header = store(&counts, &one);
        assert_eq!(read(&one).unwrap(), counts);
        assert_eq!((header.num_distinct, header.num_pretokens), (counts.len() as u64, counts.values().sum()));
        store(counts.iter().rev(), &two);
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
    }
}

#[test]
fn files_of_many_blocks_are_read_and_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let words = |step: usize| -> Counts {
        (0..60_000_u64).step_by(step).map(|n| (format!(" word number {n}").into_bytes(), n + 1)).collect()
    };
    let long = vec![b'x'; 300_000];
    let mut expected = words(1);
    store(&expected, &path("all"));
    assert!(std::fs::metadata(path("all")).unwrap().len() > 3 * 65_536);
    let mut third = words(3);
    third.insert(long.clone(), 5);
    store(&third, &path("third"));
    add(&[path("all"), path("third")], &path("sum")).unwrap();
    words(3).into_iter().for_each(|(word, count)| *expected.get_mut(&word).unwrap() += count);
    expected.insert(long, 5);
    assert_eq!(read(&path("sum")).unwrap(), expected);
}

const PIECES: [&str; 22] = [
    " ",
    "  ",
    "\n",
    "a",
    "word",
    " word",
    "don't",
    "12",
    "...",
    "中",
    "é",
    "\u{3000}",
    "<|endoftext|>",
    "<|end",
    "<|",
    "of",
    "|>",
    "x<x",
    "x",
    "averyveryverylongword",
    "\r\n",
    "Word",
];

/// Writes a few files: text, JSON lines, or gzip, short or with kilobytes between two places to cut.
fn write_files(folder: &Path, random: &mut Random) -> Vec<PathBuf> {
    use std::io::Write;
    let number = 1 + random.below(3);
    let file = |i: usize| {
        let mut text = random.text(400, &PIECES);
        match random.below(6) {
            0 => text.push_str(&"z".repeat(10_000)),
            1 => text = text.repeat(40),
            _ => text.push('.'),
        }
        let lines = || text.split('\r').map(|line| serde_json::json!({ "text": line }).to_string() + "\n");
        let path = folder.join(format!("{i}.{}", random.pick(&["txt", "txt", "jsonl", "txt.gz"])));
        match path.extension().unwrap().to_str().unwrap() {
            "jsonl" => std::fs::write(&path, lines().collect::<String>()).unwrap(),
            "gz" => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                gzip.write_all(text.as_bytes()).unwrap();
                std::fs::write(&path, gzip.finish().unwrap()).unwrap();
            }
            _ => std::fs::write(&path, &text).unwrap(),
        }
        path
    };
    (0..number).map(file).collect()
}

/// Special tokens and long stretches are at the cuts; the files are counted by 1 to 8 machines, whose results are added in any
/// order, a few at a time.
#[test]
fn the_shards_of_a_corpus_add_up_to_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: String| folder.path().join(name);
    let mut random = Random(2);
    let patterns = ["gpt2", "cl100k", "deepseek_v3", r"\p{L}+|\s+"].map(|name| Pattern::new(name).unwrap());
    let tokens: [&[&str]; 4] =
        [&[], &["<|endoftext|>"], &["<|endoftext|>", "<|end", "|>"], &["x<x", " word", "a\n"]];
    for case in 0..150 {
        let files = write_files(folder.path(), &mut random);
        let special_tokens = SpecialTokens::new(random.pick(&tokens).iter().copied()).unwrap();
        let pattern = random.pick(&patterns).clone();
        let usual = CountOptions { replace: true, ..CountOptions::new(pattern, special_tokens) };
        let whole = path("whole".to_owned());
        let header = count_corpus(&Corpus::open(&files).unwrap(), &usual, &whole, &job()).unwrap();
        let number = 1 + random.below(8);
        let mut shards: Vec<PathBuf> = (0..number).map(|i| path(format!("shard-{i}"))).collect();
        let mut sum = 0;
        for (i, file) in shards.iter().enumerate() {
            let options = CountOptions {
                chunk_bytes: 1 + random.below(5000),
                threads: 1 + random.below(3),
                shard: Some(Shard::new(i as u64, number as u64).unwrap()),
                ..usual.clone()
            };
            let corpus = Corpus::open(&files).unwrap();
            sum += count_corpus(&corpus, &options, file, &job()).unwrap().num_bytes;
        }
        assert_eq!(sum, header.num_bytes, "case {case}: {files:?} {number}");
        shards.rotate_left(random.below(number));
        let added = path("added".to_owned());
        let fan_in = 2 + random.below(3);
        assert_eq!(add_counts_by(&parts(&shards), &added, true, fan_in, &job()).unwrap(), header);
        assert!(
            std::fs::read(&added).unwrap() == std::fs::read(&whole).unwrap(),
            "case {case}: {files:?} {number} {usual:?}"
        );
        files.iter().for_each(|file| std::fs::remove_file(file).unwrap());
    }
}

#[test]
fn what_cannot_be_divided_is_refused_and_shards_may_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    let (text, out) = (folder.path().join("text"), folder.path().join("out"));
    std::fs::write(&text, "ab").unwrap();
    let options =
        CountOptions { replace: true, ..CountOptions::new(Pattern::Gpt2, SpecialTokens::default()) };
    let mut shards = Vec::new();
    for i in 0..5 {
        let options = CountOptions { shard: Some(Shard::new(i, 5).unwrap()), ..options.clone() };
        count_corpus(&Corpus::open([&text]).unwrap(), &options, &out, &job()).unwrap();
        shards.extend(read(&out).unwrap());
    }
    assert_eq!(shards, [(b"ab".to_vec(), 1)]);
    let half = CountOptions { shard: Some(Shard::new(0, 2).unwrap()), ..options.clone() };
    for whole in [Corpus::from_texts([b"a".to_vec()]), Corpus::open(["-"]).unwrap()] {
        let refused = count_corpus(&whole, &half, &out, &job());
        assert!(matches!(refused, Err(Error::Option { name: "shard", .. })));
    }
    for (index, number) in [(0, 0), (1, 1), (8, 8), (0, (1 << 20) + 1)] {
        assert!(matches!(Shard::new(index, number), Err(Error::Option { name: "shard", .. })));
    }
    let onto_itself = count_corpus(&Corpus::open([&text]).unwrap(), &options, &text, &job());
    assert!(matches!(onto_itself, Err(Error::NotAnOutput { kind: "one of the texts", .. })));
    let kept = CountOptions { replace: false, ..options };
    let over = count_corpus(&Corpus::open([&text]).unwrap(), &kept, &out, &job());
    assert!(matches!(over, Err(Error::Exists { .. })));
}

/// From a file that was counted in shards, the tokenizer and its record are those of the whole corpus, and of the oracle.
#[test]
fn the_tokenizer_of_added_shards_is_the_tokenizer_of_the_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: String| folder.path().join(name);
    let mut random = Random(3);
    for case in 0..60 {
        let text = random.text(600, &PIECES) + ".";
        let file = path("text.txt".to_owned());
        std::fs::write(&file, &text).unwrap();
        let special_tokens = SpecialTokens::new(["<|endoftext|>"]).unwrap();
        let tie_break = *random.pick(&[TieBreak::Bytes, TieBreak::Hf]);
        let num_merges = random.below(80);
        let options = TrainOptions {
            tie_break,
            threads: 2,
            ..TrainOptions::new(257 + num_merges, special_tokens.clone())
        };
        let counting = CountOptions { replace: true, ..CountOptions::new(Pattern::Gpt2, special_tokens) };
        let number = 1 + random.below(5);
        let shards: Vec<PathBuf> = (0..number).map(|i| path(format!("shard-{i}"))).collect();
        for (i, shard_file) in shards.iter().enumerate() {
            let shard = Some(Shard::new(i as u64, number as u64).unwrap());
            let counting = CountOptions { shard, ..counting.clone() };
            count_corpus(&Corpus::open([&file]).unwrap(), &counting, shard_file, &job()).unwrap();
        }
        let all = path("all".to_owned());
        add(&shards, &all).unwrap();
        let counts = read(&all).unwrap();
        let (vocab, merges, training) =
            train_from_counts(CountReader::open(&all).unwrap(), &options, &job()).unwrap();
        let in_memory = train_bpe(&Corpus::open([&file]).unwrap(), &options, &job()).unwrap();
        assert_eq!(merges, in_memory.1, "case {case}");
        assert!(vocab.iter().eq(in_memory.0.iter()));
        let mut expected = in_memory.2;
        (expected.count_seconds, expected.merge_seconds) = (training.count_seconds, training.merge_seconds);
        assert_eq!(training, expected, "case {case}");
        let naive = Naive { num_merges, tie_break, min_frequency: 1, max_token_length: usize::MAX };
        assert_eq!(spell(&merges), naive.learn(&counts), "case {case}");
    }
}

/// Counts of 2^32 and beyond, without a corpus of that size: sums and weights reach them.
#[test]
fn counts_beyond_32_bits_are_exact_and_those_beyond_64_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let counts = Counts::from([(b"ab".to_vec(), 3), (b"c".to_vec(), 1), (b"cd".to_vec(), 2)]);
    store(&counts, &path("small"));
    for (weight, factor) in
        [("4294967295", (1 << 32) - 1), ("4294967296", 1 << 32), ("1099511627776", 1 << 40)]
    {
        let part = Part { path: path("small"), weight: Weight::new(weight).unwrap() };
        add_counts(&[part.clone(), part], &path("large"), true, &job()).unwrap();
        let expected: Counts =
            counts.iter().map(|(pretoken, n)| (pretoken.clone(), 2 * n * factor)).collect();
        assert_eq!(read(&path("large")).unwrap(), expected);
        let options = TrainOptions::new(259, SpecialTokens::default());
        let reader = CountReader::open(&path("large")).unwrap();
        let (_, merges, training) = train_from_counts(reader, &options, &job()).unwrap();
        assert_eq!(merges.as_slice()[..2], [(97, 98), (99, 100)]);
        assert_eq!(training.merge_counts[..2], [6 * factor, 4 * factor]);
        assert_eq!(training.num_pretokens, 12 * factor);
    }
    // 2^62, 2^63, and what no longer fits.
    let mut one = Counts::from([(b"a".to_vec(), 1 << 62)]);
    store(&one, &path("x"));
    add(&[path("x"), path("x")], &path("y")).unwrap();
    one.insert(b"a".to_vec(), 1 << 63);
    assert_eq!(read(&path("y")).unwrap(), one);
    add(&[path("y"), path("x")], &path("z")).unwrap();
    one.insert(b"a".to_vec(), 3 << 62);
    assert_eq!(read(&path("z")).unwrap(), one);
    let before = std::fs::read(path("z")).unwrap();
    for too_many in [&[path("y"), path("y")][..], &[path("z"), path("x")]] {
        let error = add(too_many, &path("z")).unwrap_err();
        assert!(matches!(error, Error::Limit { what: "the count of a pretoken", .. }), "{error}");
    }
    // The sum of two pretokens' counts does not fit, although each count does.
    store(&Counts::from([(b"b".to_vec(), 1 << 63)]), &path("b"));
    let error = add(&[path("y"), path("b")], &path("z")).unwrap_err();
    assert!(matches!(error, Error::Limit { what: "the number of pretokens", .. }), "{error}");
    let twice = Part { path: path("y"), weight: Weight::new("2").unwrap() };
    let error = add_counts(&[twice], &path("z"), true, &job()).unwrap_err();
    assert!(matches!(&error, Error::Weight { pretoken, count, .. } if pretoken == "a" && *count == 1 << 63));
    let error = error.to_string();
    assert!(error.contains("y: ") && error.contains("choose a smaller weight"), "{error}");
    assert_eq!(std::fs::read(path("z")).unwrap(), before);
    // More bytes than learning can count are an error, not a wrong vocabulary; one less is right.
    let train = |count| {
        store(&Counts::from([(b"ab".to_vec(), count)]), &path("w"));
        let options = TrainOptions::new(258, SpecialTokens::default());
        train_from_counts(CountReader::open(&path("w")).unwrap(), &options, &job())
    };
    assert!(matches!(train(1 << 62), Err(Error::Limit { what: "the number of bytes in the corpus", .. })));
    assert_eq!(train((1 << 62) - 1).unwrap().2.merge_counts, [(1 << 62) - 1]);
}

#[test]
fn weights_are_applied_to_each_count_of_a_file_and_rounded_half_up() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut random = Random(4);
    for _ in 0..100 {
        let (a, b) = (random_counts(&mut random), random_counts(&mut random));
        store(&a, &path("a"));
        store(&b, &path("b"));
        let (text, numerator, denominator) = *random.pick(&[
            ("2.5", 5_u128, 2_u128),
            ("0.1", 1, 10),
            ("0.333", 333, 1000),
            ("1", 1, 1),
            ("7", 7, 1),
        ]);
        let weighted = Part { path: path("a"), weight: Weight::new(text).unwrap() };
        let plain = Part { path: path("b"), weight: Weight::default() };
        add_counts(&[weighted, plain], &path("sum"), true, &job()).unwrap();
        let mut expected = b.clone();
        for (pretoken, count) in a {
            let twice = 2 * u128::from(count) * numerator + denominator;
            let product = (twice / (2 * denominator)) as u64;
            if product > 0 {
                *expected.entry(pretoken).or_default() += product;
            }
        }
        assert_eq!(read(&path("sum")).unwrap(), expected, "{text}");
    }
}

#[test]
fn files_that_were_counted_in_another_way_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let count = |name: &str, pattern: &str, tokens: &[&str]| {
        let special = SpecialTokens::new(tokens.iter().copied()).unwrap();
        let options =
            CountOptions { replace: true, ..CountOptions::new(Pattern::new(pattern).unwrap(), special) };
        let corpus = Corpus::from_texts([b"a text".to_vec()]);
        count_corpus(&corpus, &options, &path(name), &job()).unwrap();
    };
    count("gpt2", "gpt2", &["b", "a"]);
    count("same", "gpt2", &["a", "b"]);
    count("cl100k", "cl100k", &["a", "b"]);
    count("fewer", "gpt2", &["a"]);
    assert_eq!(std::fs::read(path("gpt2")).unwrap(), std::fs::read(path("same")).unwrap());
    assert!(add(&[path("gpt2"), path("same")], &path("sum")).is_ok());
    for (other, named) in [
        ("cl100k", ["the pattern \"cl100k\"", "the pattern \"gpt2\""]),
        ("fewer", ["the special tokens [\"a\"]", "the special tokens [\"a\", \"b\"]"]),
    ] {
        let named = |error: &str, between: &str| {
            error.contains(&format!("{other}: it was counted with {}; {between} {};", named[0], named[1]))
        };
        let error = add(&[path("gpt2"), path(other)], &path("sum")).unwrap_err().to_string();
        assert!(named(&error, &format!("{} was counted with", path("gpt2").display())), "{error}");
        let options = TrainOptions::new(300, SpecialTokens::new(["a", "b"]).unwrap());
        let reader = CountReader::open(&path(other)).unwrap();
        let error = train_from_counts(reader, &options, &job()).unwrap_err();
        assert!(matches!(error, Error::CountFile { .. }), "{error}");
        assert!(named(&error.to_string(), "the training has"), "{error}");
    }
    assert!(matches!(add(&[], &path("sum")), Err(Error::Option { .. })));
}

#[test]
fn a_file_that_is_cut_off_or_has_a_flipped_bit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts");
    let mut random = Random(5);
    let counts = random_counts(&mut random);
    store(&counts, &path);
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).expect_err(what);
        assert!(matches!(error, Error::CountFile { .. }), "{what}: {error}");
    };
    for len in 0..whole.len() {
        refused(&whole[..len], &format!("cut off after {len}"));
    }
    for _ in 0..1000 {
        let mut bytes = whole.clone();
        let bit = random.below(8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        refused(&bytes, &format!("bit {bit}"));
    }
    refused(&[&whole[..], b"\0"].concat(), "one byte more");
    refused(&[&whole[..], &whole].concat(), "twice");
    refused(
        b"a text of some length, which is longer than the header of a count file and has no magic in it",
        "text",
    );
    assert!(matches!(CountReader::open(folder.path()), Err(Error::CountFile { .. })));
    assert!(matches!(CountReader::open(&folder.path().join("missing")), Err(Error::Io { .. })));
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(read(&path).unwrap(), counts);
}

#[test]
fn a_cancelled_or_failed_sum_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let words: Counts = (0..50_000).map(|n| (format!("word {n}").into_bytes(), 1)).collect();
    store(&words, &path("a"));
    let cancelled = Job::default();
    cancelled.cancel();
    let stopped = add_counts(&parts(&[path("a"), path("a")]), &path("sum"), false, &cancelled);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    let mut damaged = std::fs::read(path("a")).unwrap();
    let last = damaged.len() - 100;
    damaged[last] ^= 1;
    std::fs::write(path("b"), damaged).unwrap();
    assert!(matches!(add(&[path("a"), path("b")], &path("sum")), Err(Error::CountFile { .. })));
    let mut names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn skipped_lines_are_added() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.jsonl"), "{\"text\": \"a b\"}\n{\"no\": 1}\n".repeat(50)).unwrap();
    let options =
        CountOptions { replace: true, ..CountOptions::new(Pattern::Gpt2, SpecialTokens::default()) };
    let input = InputOptions { bad_lines: bpe_lm::corpus::BadLines::Skip, ..InputOptions::default() };
    for i in 0..3 {
        let corpus = Corpus::open_with([path("a.jsonl")], input.clone()).unwrap();
        let options = CountOptions { shard: Some(Shard::new(i, 3).unwrap()), ..options.clone() };
        count_corpus(&corpus, &options, &path(&i.to_string()), &job()).unwrap();
    }
    let header = add(&[path("0"), path("1"), path("2")], &path("sum")).unwrap();
    assert_eq!((header.skipped_lines, header.num_bytes, header.num_pretokens), (50, 150, 100));
}

/// A number of bytes that the system tells about this process, if it does.
fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

/// The memory that this process holds.
fn held() -> Option<u64> {
    status("VmRSS:")
}

/// The most memory that it has held.
fn peak() -> Option<u64> {
    status("VmHWM:")
}

#[test]
fn within_a_limit_of_memory_a_line_that_does_not_fit_is_refused_with_its_file_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("counts");
    for name in ["a.jsonl", "a.jsonl.gz"] {
        let path = folder.path().join(name);
        for (megabytes, fits) in [(1, true), (8, false)] {
            let Some(held) = held() else { return };
            let line = format!("{{\"text\": \"{}\"}}\n", "word ".repeat((megabytes << 20) / 5));
            let lines = format!("{{\"text\": \"a\"}}\n{line}").into_bytes();
            let packed = {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                std::io::Write::write_all(&mut packer, &lines).unwrap();
                packer.finish().unwrap()
            };
            std::fs::write(&path, if name.ends_with("gz") { packed } else { lines }).unwrap();
            let options = CountOptions {
                memory_limit: Some(held + (200 << 20)),
                replace: true,
                ..CountOptions::new(Pattern::Gpt2, SpecialTokens::default())
            };
            let counted = count_corpus(&Corpus::open([&path]).unwrap(), &options, &out, &job());
            match counted {
                Ok(header) => assert!(fits && header.num_distinct == 4, "{name} {megabytes} {header:?}"),
                Err(Error::TooLong { path: found, offset: 0, limit, .. }) => {
                    assert!(
                        !fits && Path::new(&found) == path && (1 << 20..8 << 20).contains(&limit),
                        "{limit}"
                    );
                }
                Err(error) => panic!("{name} {megabytes} {error}"),
            }
        }
    }
}

/// Entries share their first bytes, so a short file has much to read.
#[test]
fn adding_long_pretokens_is_progress_and_stops_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts");
    let pretoken = |n: usize| format!("{}{n:04}", "a".repeat(60_000)).into_bytes();
    store(&(0..8000).map(|n| (pretoken(n), 1)).collect::<Counts>(), &path);
    assert!(std::fs::metadata(&path).unwrap().len() < 2 << 20);
    let job = job();
    let started = std::time::Instant::now();
    std::thread::scope(|scope| {
        let added = scope
            .spawn(|| add_counts(&parts(&vec![path.clone(); 2]), &folder.path().join("sum"), true, &job));
        while job.running().is_none_or(|progress| progress.done < 2) && started.elapsed().as_secs() < 60 {
            std::thread::yield_now();
        }
        let progress = job.running().map(|progress| progress.done);
        assert!(progress.is_some_and(|done| done < 16_000), "{progress:?}");
        job.cancel();
        assert!(matches!(added.join().unwrap(), Err(Error::Cancelled)));
    });
}

#[test]
fn a_length_that_no_block_or_header_has_is_refused_before_memory_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counts");
    store(&Counts::from([(b"a".to_vec(), 1)]), &path);
    let whole = std::fs::read(&path).unwrap();
    let rules_len = u32::from_le_bytes(whole[12..16].try_into().unwrap()) as usize;
    for (at, length) in
        [(80 + rules_len + 4, &(8_u64 << 30).to_le_bytes()[..]), (12, &u32::MAX.to_le_bytes())]
    {
        let mut bytes = whole.clone();
        bytes[at..at + length.len()].copy_from_slice(length);
        std::fs::write(&path, bytes).unwrap();
        std::fs::File::options().append(true).open(&path).unwrap().set_len(9 << 30).unwrap();
        let before = peak();
        let error = read(&path).unwrap_err();
        assert!(matches!(error, Error::CountFile { .. }), "{error}");
        assert!(before.zip(peak()).is_none_or(|(before, after)| after < before + (1 << 30)), "{before:?}");
    }
}

/// A name that is no UTF-8 is compared as it is.
#[test]
fn a_text_of_any_name_is_not_replaced_by_its_counts() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join(std::ffi::OsStr::from_bytes(b"\xFF.txt"));
    std::fs::write(&text, "a text").unwrap();
    let options =
        CountOptions { replace: true, ..CountOptions::new(Pattern::Gpt2, SpecialTokens::default()) };
    let refused = count_corpus(&Corpus::open([&text]).unwrap(), &options, &text, &job());
    assert!(matches!(refused, Err(Error::NotAnOutput { kind: "one of the texts", .. })), "{refused:?}");
    assert_eq!(std::fs::read(&text).unwrap(), b"a text");
}

#[test]
fn entries_whose_weighted_count_is_0_are_progress_and_a_cancelled_job_stops_among_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let words: Counts = (0..50_000).map(|n| (format!("word {n}").into_bytes(), 1)).collect();
    store(&words, &path("a"));
    let part = Part { path: path("a"), weight: Weight::new("0.000000001").unwrap() };
    let job = job();
    add_counts(std::slice::from_ref(&part), &path("sum"), true, &job).unwrap();
    assert_eq!(job.finished()[0].done, 50_000);
    assert_eq!(read(&path("sum")).unwrap(), Counts::new());
    job.cancel();
    assert!(matches!(add_counts(&[part], &path("sum"), true, &job), Err(Error::Cancelled)));
}

#[test]
fn within_a_limit_of_memory_a_text_of_an_iterator_that_does_not_fit_is_refused_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let Some(held) = held() else { return };
    let options = CountOptions {
        memory_limit: Some(held + (150 << 20)),
        ..CountOptions::new(Pattern::Gpt2, SpecialTokens::default())
    };
    let texts = [1, 30].map(|megabytes| b"word ".repeat((megabytes << 20) / 5));
    let refused = count_corpus(&Corpus::from_texts(texts), &options, &folder.path().join("out"), &job());
    let Err(Error::TooLong { path, what: "text", limit, .. }) = refused else { panic!("{refused:?}") };
    assert!(path == "text number 1 (from 0)" && (1 << 20..30 << 20).contains(&limit), "{path} {limit}");
}
