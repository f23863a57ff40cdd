//! Extending and truncating tokenizers, against the naive learner, the definition of encoding, and trainings of their own.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs)]

mod common;

use bpe_lm::corpus::Corpus;
use bpe_lm::error::Error;
use bpe_lm::formats::tokenizer_json::Nfc;
use bpe_lm::formats::{self, gpt2, tiktoken, tokenizer_json};
use bpe_lm::job::Job;
use bpe_lm::merges::{Merges, TieBreak};
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_id::TokenId;
use bpe_lm::tokenizer::{Special, Tokenizer};
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use bpe_lm::training::Training;
use bpe_lm::vocab::Vocab;
use common::naive::{self, Counts, Naive, NaiveStart, Token};
use common::row::few_or;
use common::{Random, spell};
use std::collections::BTreeMap;
use std::sync::Arc;

const ALPHABETS: [&[u8]; 3] = [b"ab", b"abc \n", b"the cat's \xC3\xA9\xFF\n12<|e>"];

fn special(tokens: &[&str]) -> SpecialTokens {
    SpecialTokens::new(tokens.iter().copied()).unwrap()
}

fn texts(random: &mut Random, alphabet: &[u8]) -> Vec<Vec<u8>> {
    let texts = (0..1 + random.below(12)).map(|_| random.bytes(80, alphabet));
    texts.chain([vec![alphabet[0]; 2]]).collect()
}

fn train(texts: &[Vec<u8>], options: &TrainOptions) -> (Tokenizer, Training) {
    let corpus = Corpus::from_texts(texts.to_vec());
    let (vocab, merges, training) = train_bpe(&corpus, options, &Job::default()).unwrap();
    let all = options.special_tokens.clone();
    let ids = match &options.init {
        None => all.as_slice().iter().zip(vocab.len() - all.len()..).map(|(_, id)| id as TokenId).collect(),
        Some(init) => {
            let new = all.len() - init.special_ids().len();
            let new = (vocab.len() - new..vocab.len()).map(|id| id as TokenId);
            init.special_ids().iter().copied().chain(new).collect()
        }
    };
    let tokenizer = Tokenizer::with_special_ids(vocab, merges, all, ids, options.pattern.clone()).unwrap();
    training.check_fits(tokenizer.merges().len()).unwrap();
    let ignores = options.init.as_ref().is_some_and(|init| init.ignores_merges());
    (if ignores { tokenizer.with_ignored_merges() } else { tokenizer }, training)
}

/// A tokenizer that no training would learn: many merges never happen, several make the same token, ids have gaps, and some
/// tokens are made by no merge.
fn invent(random: &mut Random, alphabet: &[u8], pattern: &Pattern) -> Option<Tokenizer> {
    let mut tokens: Vec<Token> = (0..=255).map(|byte| vec![byte]).collect();
    let mut made: Vec<TokenId> = alphabet.iter().map(|&byte| byte.into()).collect();
    let mut pairs = Vec::new();
    for _ in 0..random.below(40) {
        let pair = (*random.pick(&made), *random.pick(&made));
        let token = [&tokens[pair.0 as usize][..], &tokens[pair.1 as usize]].concat();
        if pairs.contains(&pair) || token.len() > 8 {
            continue;
        }
        pairs.push(pair);
        if !tokens.contains(&token) {
            tokens.resize(tokens.len() + random.below(2), Vec::new());
            made.push(tokens.len() as TokenId);
            tokens.push(token);
        }
    }
    for _ in 0..random.below(4) {
        let token = random.bytes(6, alphabet);
        if token.len() > 1 && !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    let vocab = Vocab::from_tokens(tokens).unwrap();
    let (merges, none) = (Merges::from_pairs(pairs), special(&[]));
    let tokenizer = Tokenizer::new(vocab, merges, none, pattern.clone()).ok()?;
    Some(if random.below(2) == 0 { tokenizer.with_ignored_merges() } else { tokenizer })
}

fn counts(texts: &[Vec<u8>], pattern: &Pattern, special_tokens: &SpecialTokens) -> Counts {
    let mut counts = Counts::new();
    for text in texts {
        special_tokens
            .split(text, 0..text.len(), |stretch, _| {
                for pretoken in pattern.pretokens(&text[stretch])? {
                    *counts.entry(pretoken.to_vec()).or_default() += 1;
                }
                Ok::<(), Error>(())
            })
            .unwrap();
    }
    counts
}

/// Merges as bytes, of any tokenizer.
fn spelled(tokenizer: &Tokenizer) -> Vec<(Token, Token)> {
    let bytes = |id: TokenId| tokenizer.vocab().get(id).unwrap().to_vec();
    tokenizer.merges().as_slice().iter().map(|&(a, b)| (bytes(a), bytes(b))).collect()
}

fn start(tokenizer: &Tokenizer, new_special: &[String]) -> NaiveStart {
    let pairs = spelled(tokenizer).into_iter().zip(0..).collect();
    let unmade = tokenizer.vocab().iter().map(|(_, token)| token.to_vec());
    let unmade = unmade.filter(|token| naive::apply(token, &pairs).0.len() > 1);
    NaiveStart {
        merges: spelled(tokenizer),
        unmade: unmade.chain(new_special.iter().map(|token| token.clone().into_bytes())).collect(),
        takes_whole: tokenizer.ignores_merges(),
    }
}

#[test]
fn an_extended_tokenizer_is_that_of_recounting_and_encodes_as_learned() {
    let num_cases = few_or(400, 10_000);
    let mut random = Random(num_cases as u64);
    let mut kinds = BTreeMap::new();
    for case in 0..num_cases {
        let alphabet = ALPHABETS[case % 3];
        let pattern = Pattern::new(["gpt2", "o200k", r"\S+|\s+", "(?s).+"][case % 4]).unwrap();
        let old_special = special(&["<|e>", "<|", "cat"][..case % 4 % 3]);
        let old = match case % 2 {
            0 => {
                let size = 256 + old_special.len() + random.below(30);
                let options =
                    TrainOptions { pattern: pattern.clone(), ..TrainOptions::new(size, old_special) };
                train(&texts(&mut random, alphabet), &options).0
            }
            _ => match invent(&mut random, alphabet, &pattern) {
                Some(invented) => invented,
                None => continue,
            },
        };
        let old = Arc::new(old);
        let given = special([&[][..], &["<|new|>"], &["<|e>", "<|new|>", "zz"]][random.below(3)]);
        let size = old.vocab().len() + 3 + random.below(40);
        let options = TrainOptions {
            pattern: pattern.clone(),
            tie_break: *random.pick(&[TieBreak::Bytes, TieBreak::Hf]),
            max_token_length: *random.pick(&[None, None, Some(4)]),
            min_frequency: *random.pick(&[1, 1, 2]),
            threads: *random.pick(&[1, 2, 3]),
            ..TrainOptions::new(size, given)
        };
        let options = options.extending(Arc::clone(&old)).unwrap();
        let num_old_special = old.special_tokens().len();
        let new_special = options.special_tokens.as_slice()[num_old_special..].to_vec();
        let texts = texts(&mut random, alphabet);
        let (extended, training) = train(&texts, &options);

        let counts = counts(&texts, &pattern, &options.special_tokens);
        let naive = Naive {
            num_merges: size - old.vocab().len() - new_special.len(),
            tie_break: options.tie_break,
            min_frequency: options.min_frequency,
            max_token_length: options.max_token_length.unwrap_or(usize::MAX),
        };
        let expected = naive.learn_more(&counts, &start(&old, &new_special));
        let (num_old, case) = (old.merges().len(), format!("case {case}: {old:?} {texts:?}"));
        assert_eq!(extended.merges().as_slice()[..num_old], *old.merges().as_slice(), "{case}");
        assert_eq!(spelled(&extended)[num_old..], expected.merges, "{case}");
        assert_eq!(training.merge_counts, expected.merge_counts, "{case}");
        let tokens = expected.merges.iter().map(|(a, b)| [&a[..], b].concat());
        let tokens = tokens.chain(new_special.iter().map(|token| token.clone().into_bytes()));
        let new: Vec<_> = (old.vocab().len() as TokenId..).zip(tokens).collect();
        let found = extended.vocab().iter().map(|(id, token)| (id, token.to_vec()));
        let kept = old.vocab().iter().map(|(id, token)| (id, token.to_vec()));
        assert!(found.eq(kept.chain(new)), "{case}");
        assert_eq!(extended.special_ids()[..num_old_special], *old.special_ids());
        let uses = (0..).zip(&training.token_uses).filter(|&(_, &uses)| uses > 0);
        let uses = uses.map(|(id, &uses)| (extended.vocab().get(id).unwrap().to_vec(), uses));
        assert_eq!(uses.collect::<Counts>(), expected.token_uses, "{case}");

        let bytes = |id: TokenId| extended.vocab().get(id).unwrap().to_vec();
        for (word, tokens) in counts.keys().zip(&expected.words) {
            let ids = extended.encode(word, Special::Text, &Job::default()).unwrap();
            if pattern.pretokens(word).unwrap().len() == 1 {
                assert_eq!(ids.into_iter().map(bytes).collect::<Vec<_>>(), *tokens, "{case} {word:?}");
            }
        }
        if !extended.ignores_merges() {
            for _ in 0..3 {
                let text = random.bytes(100, alphabet);
                let ids = extended.encode(&text, Special::Allow, &Job::default()).unwrap();
                assert_eq!(ids, naive::encode(&extended, &text, Special::Allow), "{case} {text:?}");
            }
        }
        if random.below(8) == 0 {
            check_files(&extended, &texts);
        }
        let kind = (old.ignores_merges(), !expected.merges.is_empty(), old.vocab().len() > 256);
        *kinds.entry(kind).or_insert(0) += 1;
    }
    for ignores in [false, true] {
        assert!(kinds[&(ignores, true, true)] > num_cases / 20, "{kinds:?}");
    }
}

/// Each file that is written reads back as the same tokenizer.
fn check_files(tokenizer: &Tokenizer, texts: &[Vec<u8>]) {
    let folder = tempfile::tempdir().unwrap();
    formats::save(tokenizer, None, folder.path(), true).unwrap();
    let path = |name| folder.path().join(name);
    let mut read = vec![tokenizer_json::load(&path(formats::TOKENIZER_JSON), Nfc::Refuse).unwrap().0];
    if path(formats::MERGES_TXT).exists() {
        let pattern = tokenizer.pattern().clone();
        let special = Some(tokenizer.special_tokens().as_slice().to_vec());
        read.push(
            gpt2::load(&path(formats::VOCAB_JSON), &path(formats::MERGES_TXT), special, pattern).unwrap(),
        );
    }
    if path(formats::TIKTOKEN).exists() {
        read.push(tiktoken::load(&path(formats::TIKTOKEN), None, None).unwrap());
    }
    for read in read {
        assert_eq!(read.vocab(), tokenizer.vocab());
        for text in texts {
            let ids =
                |tokenizer: &Tokenizer| tokenizer.encode(text, Special::Allow, &Job::default()).unwrap();
            assert_eq!(ids(&read), ids(tokenizer));
        }
    }
}

#[test]
fn a_truncated_tokenizer_and_its_record_are_those_of_a_smaller_training() {
    let mut random = Random(8);
    for case in 0..150 {
        let alphabet = ALPHABETS[case % 3];
        let special_tokens = special(&["<|e>", "<|"][..case % 4 % 3]);
        let texts = texts(&mut random, alphabet);
        let of_size = |vocab_size: usize, init: Option<&Arc<Tokenizer>>| {
            let threads = 1 + case % 3;
            let options = TrainOptions { threads, ..TrainOptions::new(vocab_size, special_tokens.clone()) };
            match init {
                Some(init) => options.extending(Arc::clone(init)).unwrap(),
                None => options,
            }
        };
        let init = Arc::new(train(&self::texts(&mut random, alphabet), &of_size(270, None)).0);
        let init = Some(&init).filter(|_| case % 2 == 1);
        let least = init.map_or(256 + special_tokens.len(), |init| init.vocab().len() + 1);
        let (largest, record) = train(&texts, &of_size(least + 80, init));
        for _ in 0..4 {
            let size = least + random.below(largest.vocab().len() + 1 - least.min(largest.vocab().len()));
            if size > largest.vocab().len() {
                continue;
            }
            let (expected, mut expected_record) = train(&texts, &of_size(size, init));
            let truncated = largest.truncate(size).unwrap();
            assert_eq!(truncated.hash(), expected.hash(), "{case} {size}");
            assert_eq!(truncated.special_ids(), expected.special_ids());
            let record = record.clone().truncate(&largest, size).unwrap();
            (expected_record.count_seconds, expected_record.merge_seconds) =
                (record.count_seconds, record.merge_seconds);
            assert_eq!(record, expected_record, "{case} {size}");
        }
    }
}

#[test]
fn what_cannot_be_truncated_is_refused_by_name() {
    let texts = [b"the cat sat on the mat, the cat ate".to_vec()];
    let (tokenizer, record) = train(&texts, &TrainOptions::new(270, special(&["<|e|>"])));
    assert!(matches!(tokenizer.truncate(256), Err(Error::VocabTooSmall { given: 256, minimum: 257 })));
    assert!(matches!(tokenizer.truncate(271), Err(Error::VocabTooLarge { given: 271, maximum: 270 })));
    assert_eq!(tokenizer.truncate(270).unwrap().hash(), tokenizer.hash());
    assert_eq!(tokenizer.truncate(257).unwrap().merges().len(), 0);
    // A token behind the last merge would move.
    let mut tokens: Vec<Token> = tokenizer.vocab().iter().map(|(_, token)| token.to_vec()).collect();
    tokens.push(b"no merge makes this".to_vec());
    let vocab = Vocab::from_tokens(tokens).unwrap();
    let unmade =
        Tokenizer::new(vocab, tokenizer.merges().clone(), special(&["<|e|>"]), Pattern::Gpt2).unwrap();
    let reason = unmade.truncate(265).unwrap_err().to_string();
    assert!(reason.contains("token 270") && reason.contains("no merge makes this"), "{reason}");
    let reason = record.clone().truncate(&tokenizer.truncate(260).unwrap(), 259).unwrap_err().to_string();
    assert!(reason.contains("another training"), "{reason}");
    let init = Arc::new(tokenizer);
    let options = TrainOptions::new(275, special(&[])).extending(Arc::clone(&init)).unwrap();
    let (extended, record) = train(&texts, &options);
    let shorter = extended.truncate(262).unwrap();
    assert_eq!((shorter.merges().len(), shorter.special_ids()), (5, &[261][..]));
    assert_eq!(shorter.hash(), init.truncate(262).unwrap().hash());
    let reason = record.truncate(&extended, 262).unwrap_err().to_string();
    assert!(reason.contains("first 13 merges"), "{reason}");
}

#[test]
fn what_cannot_be_extended_is_refused_by_name() {
    let texts = [b"the cat sat on the mat, the cat ate".to_vec()];
    let (tokenizer, _) = train(&texts, &TrainOptions::new(270, special(&["<|e|>"])));
    let tokenizer = Arc::new(tokenizer);
    let extend = |options: TrainOptions| {
        let options = options.extending(Arc::clone(&tokenizer))?;
        train_bpe(&Corpus::from_texts(texts.to_vec()), &options, &Job::default())
    };
    let usual = |vocab_size, tokens: &[&str]| TrainOptions::new(vocab_size, special(tokens));
    for vocab_size in [0, 270] {
        let error = extend(usual(vocab_size, &[])).unwrap_err();
        assert!(matches!(error, Error::NotExtended { known: 270, minimum: 271, .. }), "{error}");
    }
    let error = extend(usual(271, &["<|a|>", "<|e|>", "<|b|>"])).unwrap_err();
    assert!(matches!(error, Error::NotExtended { minimum: 272, .. }), "{error}");
    assert!(matches!(extend(usual(1 << 40, &[])), Err(Error::VocabTooLarge { .. })));
    let token = spell(tokenizer.merges())[0].clone();
    let token = String::from_utf8([token.0, token.1].concat()).unwrap();
    let error = extend(usual(280, &["<|a|>", &token])).unwrap_err();
    assert!(matches!(&error, Error::SpecialToken { index: 1, .. }), "{error}");
    let other = TrainOptions { pattern: Pattern::new("o200k").unwrap(), ..usual(280, &[]) };
    let error = extend(other).unwrap_err().to_string();
    assert!(error.starts_with("pattern = \"o200k\" is not possible"), "{error}");
    let (vocab, merges, _) = extend(usual(272, &["<|a|>", "<|b|>"])).unwrap();
    assert_eq!((vocab.get(270), vocab.get(271)), (Some(&b"<|a|>"[..]), Some(&b"<|b|>"[..])));
    assert_eq!(merges, *tokenizer.merges());
}
