//! What is done with an input that nobody meant, and what must come of it. Whatever loads must encode any bytes and give
//! them back; everything else must be an error of its own kind. The scanners, the encoder and the learner are compared
//! with their oracles.

use crate::common::naive::{self, Counts, Naive};
use crate::common::{regex_pretokens, spell};
use crate::repair;
use bpe_lm::corpus::{BadLines, Corpus, Cutter, Format, InputOptions};
use bpe_lm::count_corpus::{Part, add_counts, collect_counts, store_collected};
use bpe_lm::count_file::{CountReader, Rules, Weight};
use bpe_lm::counts::{PretokenCounts, count_pretokens};
use bpe_lm::decode::StreamDecoder;
use bpe_lm::encode_corpus::EncodeOptions;
use bpe_lm::encode_stream::StreamEncoder;
use bpe_lm::error::Error;
use bpe_lm::formats::tokenizer_json::{self, Nfc};
use bpe_lm::formats::{self, gpt2, tiktoken, training_json};
use bpe_lm::job::Job;
use bpe_lm::merges::{MergeOptions, TieBreak, learn_merges};
use bpe_lm::pretokenize::Pattern;
use bpe_lm::pretokenize::regex::RegexPretokenizer;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_file::{Manifest, TokenFileOptions, encode_file, open, verify};
use bpe_lm::tokenizer::{Special, Tokenizer};
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use bpe_lm::training::Training;
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A parser, or a function with an oracle.
pub struct Target {
    /// The blind mutations in each run of the tests.
    pub few: usize,
    /// Inputs that are right.
    pub seeds: Vec<Vec<u8>>,
    pub work: Work,
}

type Work = Box<dyn FnMut(&[u8])>;

/// The targets.
pub const NAMES: [&str; 20] = [
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.tiktoken",
    "tokenizer.tiktoken.json",
    "training.json",
    "corpus.jsonl",
    "corpus.jsonl.gz",
    "corpus.jsonl.zst",
    "corpus.txt",
    "token-file",
    "manifest",
    "index",
    "journal",
    "count-file",
    "weight",
    "pattern",
    "scanners",
    "encoder",
    "learner",
];

/// The target of a name, with its files in `folder`.
pub fn target(name: &str, folder: &Path) -> Target {
    match name {
        "tokenizer.json"
        | "vocab.json"
        | "merges.txt"
        | "tokenizer.tiktoken"
        | "tokenizer.tiktoken.json"
        | "training.json" => tokenizer_file(name, folder),
        "corpus.jsonl" | "corpus.jsonl.gz" | "corpus.jsonl.zst" | "corpus.txt" => corpus(name, folder),
        "token-file" | "manifest" | "index" => token_file(name, folder),
        "journal" => journal(folder),
        "count-file" => count_file(folder),
        "weight" => Target { few: 500, seeds: ["1", "0.25", "12.5"].map(Vec::from).to_vec(), work: weight() },
        "pattern" => Target { few: 500, seeds: pattern_seeds(), work: pattern() },
        "scanners" => Target { few: 1000, seeds: scanner_seeds(), work: scanners() },
        "encoder" => Target { few: 2000, seeds: texts(), work: encoder() },
        "learner" => Target { few: 200, seeds: texts(), work: learner() },
        _ => panic!("no target {name}"),
    }
}

/// The value, if there is one. A panic is a fault, also where it was caught.
fn fine<T>(result: Result<T, Error>) -> Option<T> {
    assert!(!matches!(result, Err(Error::Internal(_))), "{:?}", result.err());
    result.ok()
}

fn job() -> Job {
    Job::default()
}

fn special_tokens() -> SpecialTokens {
    SpecialTokens::new(["<|endoftext|>", "<|pad|>"]).unwrap()
}

fn small() -> (Tokenizer, Training) {
    let text = b"the cat sat on the mat, the cat that sat \xC3\xA9t\xC3\xA9 12 12\n".repeat(3);
    let options = TrainOptions::new(280, special_tokens());
    let (vocab, merges, training) = train_bpe(&Corpus::from_texts([text]), &options, &job()).unwrap();
    (Tokenizer::new(vocab, merges, special_tokens(), Pattern::Gpt2).unwrap(), training)
}

/// Whatever is a tokenizer encodes any bytes, and gives them back.
fn use_tokenizer(tokenizer: &Tokenizer) {
    for text in [
        &b"the cat<|endoftext|> sat \xE4\xB8\xAD\xFF 12"[..],
        b"",
        b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ] {
        if let Some(ids) = fine(tokenizer.encode(text, Special::Allow, &job())) {
            assert_eq!(tokenizer.decode(ids).unwrap(), text);
        }
    }
}

fn tokenizer_file(name: &str, folder: &Path) -> Target {
    let good = folder.join("good");
    let (tokenizer, training) = small();
    formats::save(&tokenizer, Some(&training), &good, false).unwrap();
    for entry in fs::read_dir(&good).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.join(path.file_name().unwrap())).unwrap();
    }
    let file = |name: &str| folder.join(name);
    let changed = file(name);
    let load: Box<dyn Fn() -> Option<Tokenizer>> = match name {
        "tokenizer.json" => {
            let path = changed.clone();
            Box::new(move || fine(tokenizer_json::load(&path, Nfc::LeaveOut)).map(|loaded| loaded.0))
        }
        "vocab.json" | "merges.txt" => {
            let (vocab, merges) = (file("vocab.json"), file("merges.txt"));
            Box::new(move || {
                let special = Some(vec!["<|endoftext|>".to_owned()]);
                fine(gpt2::load(&vocab, &merges, special, Pattern::Gpt2))
            })
        }
        "training.json" => {
            let path = changed.clone();
            Box::new(move || {
                fine(training_json::load(&path));
                None
            })
        }
        _ => {
            let path = file("tokenizer.tiktoken");
            Box::new(move || fine(tiktoken::load(&path, None, None)))
        }
    };
    let seeds = vec![fs::read(good.join(name)).unwrap()];
    let work = move |bytes: &[u8]| {
        fs::write(&changed, bytes).unwrap();
        if let Some(tokenizer) = load() {
            use_tokenizer(&tokenizer);
        }
    };
    Target { few: 250, seeds, work: Box::new(work) }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

/// The same counts come of every length of a chunk.
fn corpus(name: &str, folder: &Path) -> Target {
    let lines =
        b"{\"text\": \"a b\\u00e9\", \"meta\": {\"text\": [1, null, NaN]}}\n{\"text\": \"\"}\n".repeat(3);
    let seeds = match name {
        "corpus.jsonl" => vec![lines],
        "corpus.jsonl.gz" => vec![gzip(&lines), [gzip(b"{\"text\": \"a\"}\n"), gzip(&lines)].concat()],
        "corpus.jsonl.zst" => vec![zstd::encode_all(&lines[..], 1).unwrap()],
        _ => vec![b"a text<|endoftext|> of \xE4\xB8\xAD words, 12 <|endoft".to_vec()],
    };
    let (path, special_tokens) = (folder.join(name), special_tokens());
    let work = move |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        for format in [Format::ByName, Format::Text] {
            let count = |chunk_bytes: usize| -> Option<Counts> {
                let input = InputOptions { format, bad_lines: BadLines::Skip, ..InputOptions::default() };
                let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes };
                let corpus = fine(Corpus::open_with([&path], input))?;
                let counts = fine(count_pretokens(&corpus, cutter, 1, &job()))?;
                Some(counts.iter().map(|(pretoken, count)| (pretoken.to_vec(), count)).collect())
            };
            let found = count(50);
            assert_eq!(found, count(1 << 20));
        }
    };
    Target { few: 500, seeds, work: Box::new(work) }
}

/// Two texts that become a token file.
struct Encoding {
    tokenizer: Tokenizer,
    texts: [PathBuf; 2],
    out: PathBuf,
}

impl Encoding {
    const UNIT: &'static str = "the cat sat\n";

    fn new(folder: &Path) -> Self {
        let texts = ["a.txt", "b.txt"].map(|name| folder.join(name));
        fs::write(&texts[0], Encoding::UNIT.repeat(10)).unwrap();
        fs::write(&texts[1], "on the<|endoftext|> mat\n".repeat(10)).unwrap();
        Encoding { tokenizer: small().0, texts, out: folder.join("a.npy") }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        PathBuf::from(format!("{}{ending}", self.out.display()))
    }

    fn run(&self, resume: bool) -> Result<Manifest, Error> {
        let encode = EncodeOptions { chunk_bytes: 40, ..EncodeOptions::new(&self.tokenizer, 1) };
        let options = TokenFileOptions { resume, ..TokenFileOptions::new(encode) };
        encode_file(&self.tokenizer, Corpus::open(&self.texts)?, &self.out, &options, &job())
    }
}

/// What is verified can be opened.
fn token_file(name: &str, folder: &Path) -> Target {
    let encoding = Encoding::new(folder);
    encoding.run(false).unwrap();
    let path = match name {
        "token-file" => encoding.out.clone(),
        "manifest" => encoding.beside(".json"),
        _ => encoding.beside(".idx"),
    };
    let seeds = vec![fs::read(&path).unwrap()];
    let work = move |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let is_open = fine(open(&encoding.out, None, None)).is_some();
        let is_right = fine(verify(&encoding.out, None, &job())).is_some();
        assert!(is_open || !is_right);
    };
    Target { few: 500, seeds, work: Box::new(work) }
}

/// A run that goes on writes what it would have written alone, or says why not. Where the checksums of the journal were
/// made right and its content is not, the file may be anything that the journal describes and that readers accept.
fn journal(folder: &Path) -> Target {
    let encoding = Encoding::new(folder);
    let begun = encoding.run(false).unwrap();
    let whole = fs::read(&encoding.out).unwrap();
    let first = encoding.tokenizer.encode(Encoding::UNIT.as_bytes(), Special::Allow, &job()).unwrap();
    let written = whole[..begun.data_offset as usize + 2 * first.len()].to_vec();
    let mut manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(encoding.beside(".json")).unwrap()).unwrap();
    (manifest["count"], manifest["text_bytes"], manifest["crc32"]) = (json!(0), json!(0), json!([]));
    manifest["index"] = json!({"documents": 0, "crc32": "00000000"});
    let entry = json!({
        "source": 0, "offset": Encoding::UNIT.len(), "is_separated": false, "count": first.len(),
        "text_bytes": Encoding::UNIT.len(), "skipped_lines": 0, "blocks": [],
        "tail": crc32fast::hash(&written[begun.data_offset as usize..]),
        "index": {"documents": 1, "crc32": format!("{:08x}", crc32fast::hash(&[0; 8]))},
        "begins": false, "is_done": false,
    });
    let seed = repair::journal(format!("{manifest}\n{entry}\n").as_bytes());
    let resume = move |bytes: &[u8]| {
        let rest = ["", ".json", ".idx", ".partial.json"];
        rest.iter().for_each(|name| _ = fs::remove_file(encoding.beside(name)));
        fs::write(encoding.beside(".partial.journal"), bytes).unwrap();
        fs::write(encoding.beside(".partial"), &written).unwrap();
        // A header that is not written yet, and the position of the first document.
        fs::write(encoding.beside(".partial.idx"), [0; 48]).unwrap();
        let manifest = fine(encoding.run(true))?;
        assert_eq!(open(&encoding.out, None, None).unwrap(), manifest);
        Some(fs::read(&encoding.out).unwrap())
    };
    assert_eq!(resume(&seed).as_ref(), Some(&whole));
    let work = move |bytes: &[u8]| {
        assert!(resume(bytes).is_none_or(|found| found == whole));
        resume(&repair::journal(bytes));
    };
    Target { few: 50, seeds: vec![seed], work: Box::new(work) }
}

/// What is read is what is written again, and it can be added to other counts.
fn count_file(folder: &Path) -> Target {
    let rules = || Rules::new(&Pattern::Gpt2, &special_tokens());
    let [path, again, sum] = ["counts", "again", "sum"].map(|name| folder.join(name));
    let store = move |counts: &Counts, path: &Path| {
        let mut collected = collect_counts(rules(), path, true).unwrap();
        // A count file may have more bytes than 64 bits count; what it has else is possible.
        let added = counts.iter().try_for_each(|(pretoken, &count)| collected.add(pretoken, count, &job()));
        fine(added.and_then(|()| store_collected(collected, None, 0, path, true, &job())))
    };
    let long = b" a word that is longer than thirty-two bytes";
    let some = Counts::from([(b"the".to_vec(), 5), (b"then".to_vec(), 1), (long.to_vec(), 1 << 40)]);
    let seeds = [some, Counts::new()].map(|counts| {
        store(&counts, &path).unwrap();
        fs::read(&path).unwrap()
    });
    let read = |path: &Path| -> Option<Counts> {
        let counts = fine(CountReader::open(path).and_then(|reader| PretokenCounts::read(reader, &job())))?;
        Some(counts.iter().map(|(pretoken, count)| (pretoken.to_vec(), count)).collect())
    };
    let work = move |bytes: &[u8]| {
        for bytes in [bytes.to_vec(), repair::count_file(bytes)] {
            fs::write(&path, bytes).unwrap();
            let weights = ["1", "0.5"].map(|weight| Weight::new(weight).unwrap());
            let parts = weights.map(|weight| Part { path: path.clone(), weight });
            fine(add_counts(&parts, &sum, true, &job()));
            let Some(found) = read(&path) else { continue };
            if store(&found, &again).is_some() {
                assert_eq!(read(&again), Some(found));
            }
        }
    };
    Target { few: 250, seeds: seeds.to_vec(), work: Box::new(work) }
}

fn weight() -> Work {
    Box::new(|bytes: &[u8]| {
        let Some(weight) = fine(Weight::new(&String::from_utf8_lossy(bytes))) else { return };
        assert_eq!(weight.times(0), Some(0));
        assert!(weight.times(1) <= weight.times(1000) || weight.times(1000).is_none());
    })
}

fn pattern_seeds() -> Vec<Vec<u8>> {
    Pattern::names().map(|name| Pattern::new(name).unwrap().source().as_bytes().to_vec()).collect()
}

/// An expression that gets a scanner is scanned as the engine matches it.
fn pattern() -> Work {
    let (tokenizer, _) = small();
    Box::new(move |bytes: &[u8]| {
        let source = String::from_utf8_lossy(bytes);
        let Some(pattern) = fine(Pattern::new(&source)) else { return };
        if pattern.has_scanner() {
            let splits: Vec<_> =
                pattern.splits().iter().map(|split| RegexPretokenizer::new(split).unwrap()).collect();
            let text = "the Cat's  12345 \u{4e2d}\u{301}E\n\n //\r\n sat  'LL don't <|endoftext|>".as_bytes();
            assert_eq!(pattern.pretokens(text).unwrap(), regex_pretokens(&splits, text));
        }
        let parts =
            (tokenizer.vocab().clone(), tokenizer.merges().clone(), tokenizer.special_tokens().clone());
        use_tokenizer(&Tokenizer::new(parts.0, parts.1, parts.2, pattern).unwrap());
    })
}

fn scanner_seeds() -> Vec<Vec<u8>> {
    let patterns = 0..Pattern::names().count() as u8;
    let texts = texts();
    patterns.flat_map(|pattern| texts.iter().map(move |text| [&[pattern], &text[..]].concat())).collect()
}

/// The first byte chooses the pattern; the rest is the text. A place is safe to cut by what lies four bytes around it, and
/// what it divides is pretokenized as in one piece.
fn scanners() -> Work {
    let pairs: Vec<(Pattern, Vec<RegexPretokenizer>)> = Pattern::names()
        .map(|name| {
            let pattern = Pattern::new(name).unwrap();
            let splits =
                pattern.splits().iter().map(|split| RegexPretokenizer::new(split).unwrap()).collect();
            (pattern, splits)
        })
        .collect();
    Box::new(move |bytes: &[u8]| {
        let Some((&first, text)) = bytes.split_first() else { return };
        let (pattern, splits) = &pairs[first as usize % pairs.len()];
        let pretokens = pattern.pretokens(text).unwrap();
        assert_eq!(pretokens, regex_pretokens(splits, text), "{}", pattern.name());
        let cuts: Vec<usize> = (1..text.len()).filter(|&at| pattern.is_safe_cut(text, at)).collect();
        for &at in &cuts {
            let around = at.saturating_sub(4)..text.len().min(at + 4);
            assert!(pattern.is_safe_cut(&text[around.clone()], at - around.start), "{} {at}", pattern.name());
        }
        if let Some(&at) = cuts.get(first as usize % cuts.len().max(1)) {
            let parts = [&text[..at], &text[at..]].map(|part| pattern.pretokens(part).unwrap());
            assert_eq!(parts.concat(), pretokens, "{} {at}", pattern.name());
        }
    })
}

fn texts() -> Vec<Vec<u8>> {
    ["the cat's 12  \n\n sat<|endoftext|>", "\u{4e2d}\u{301}e\u{3000}\u{a0}\u{1F600}", "\r\n\t'LL a1"]
        .map(|text| text.as_bytes().repeat(3))
        .into_iter()
        .chain([b"The mat, and 1234 <|pad|> mats isn't THE\xFF\xE4\xB8  \n mat.\r\n// ".repeat(4)])
        .collect()
}

/// The ids of a text at once, of the same text in pieces, and those of the definition.
fn encoder() -> Work {
    let (tokenizer, _) = small();
    Box::new(move |bytes: &[u8]| {
        for special in [Special::Allow, Special::Text] {
            let ids = tokenizer.encode(bytes, special, &job()).unwrap();
            assert_eq!(ids, naive::encode(&tokenizer, bytes, special));
            assert_eq!(tokenizer.decode(ids.iter().copied()).unwrap(), bytes);
            let (mut stream, mut streamed) = (StreamEncoder::new(special), Vec::new());
            for piece in bytes.chunks(1 + bytes.len() % 9) {
                streamed.extend_from_slice(stream.push(&tokenizer, piece).unwrap());
            }
            streamed.extend_from_slice(stream.finish(&tokenizer).unwrap());
            assert_eq!(streamed, ids);
            let (mut decoder, mut text) = (StreamDecoder::default(), String::new());
            ids.iter().for_each(|&id| text.push_str(&decoder.push(&tokenizer, id).unwrap()));
            text.push_str(&decoder.finish());
            assert_eq!(text, String::from_utf8_lossy(bytes));
        }
    })
}

/// The first byte chooses the options; the rest is the corpus.
fn learner() -> Work {
    Box::new(move |bytes: &[u8]| {
        let Some((&first, text)) = bytes.split_first() else { return };
        let text = &text[..text.len().min(400)];
        if text.is_empty() {
            return; // An error.
        }
        let special_tokens = SpecialTokens::default();
        let cutter = Cutter { pattern: &Pattern::Gpt2, special_tokens: &special_tokens, chunk_bytes: 64 };
        let counts = count_pretokens(&Corpus::from_texts([text.to_vec()]), cutter, 1, &job()).unwrap();
        let mut expected = Counts::new();
        Pattern::Gpt2
            .pretokens(text)
            .unwrap()
            .iter()
            .for_each(|pretoken| *expected.entry(pretoken.to_vec()).or_default() += 1);
        let found: Counts = counts.iter().map(|(pretoken, count)| (pretoken.to_vec(), count)).collect();
        assert_eq!(found, expected);
        let choose = |bit: u8| first >> bit & 1 == 1;
        let options = MergeOptions {
            tie_break: if choose(0) { TieBreak::Bytes } else { TieBreak::Hf },
            min_frequency: if choose(1) { 1 } else { 2 },
            max_token_length: if choose(2) { usize::MAX } else { 4 },
            long_word: if choose(3) { 4 } else { 128 },
            threshold_divisor: if choose(4) { 2 } else { 16 },
            ..MergeOptions::new(20)
        };
        let naive = Naive {
            num_merges: options.num_merges,
            tie_break: options.tie_break,
            min_frequency: options.min_frequency,
            max_token_length: options.max_token_length,
        };
        let learned = learn_merges(counts, options, &job()).unwrap();
        assert_eq!(spell(&learned.merges), naive.learn(&expected));
    })
}
