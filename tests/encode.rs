//! Encoding equals its definition, whatever the vocabulary, the pattern, the cutting and the table.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, clippy::cast_sign_loss, missing_docs)]

mod common;

use bpe_lm::corpus::Corpus;
use bpe_lm::decode::StreamDecoder;
use bpe_lm::encode::{Knobs, TABLE_LEN};
use bpe_lm::encode_batch::{Batch, encode_arriving, encode_batch, encode_pieces};
use bpe_lm::encode_stream::StreamEncoder;
use bpe_lm::error::Error;
use bpe_lm::formats;
use bpe_lm::isa::Isa;
use bpe_lm::job::Job;
use bpe_lm::merges::Merges;
use bpe_lm::pretokenize::Pattern;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_id::TokenId;
use bpe_lm::tokenizer::{Special, Tokenizer};
use bpe_lm::train_bpe::{TrainOptions, train_bpe};
use bpe_lm::vocab::Vocab;
use common::{Random, naive, shared, shared_text};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

const ALPHABETS: [&[u8]; 3] = [b"ab", b"abc \n", b"the cat's \xC3\xA9\xFF\x00\n12<|e>"];

fn trained(random: &mut Random, alphabet: &[u8], special_tokens: &[&str], pattern: &str) -> Tokenizer {
    let texts: Vec<Vec<u8>> = (0..10).map(|_| random.bytes(100, alphabet)).collect();
    let special_tokens = SpecialTokens::new(special_tokens.iter().copied()).unwrap();
    let pattern = Pattern::new(pattern).unwrap();
    let size = 256 + special_tokens.len() + random.below(200);
    let options =
        TrainOptions { pattern: pattern.clone(), ..TrainOptions::new(size, special_tokens.clone()) };
    let Ok((vocab, merges, _)) = train_bpe(&Corpus::from_texts(texts), &options, &Job::default()) else {
        return Tokenizer::new(bytes(), Merges::default(), special_tokens, pattern).unwrap();
    };
    Tokenizer::new(vocab, merges, special_tokens, pattern).unwrap()
}

fn bytes() -> Vocab {
    Vocab::from_tokens((0..=255).map(|byte| vec![byte]).collect()).unwrap()
}

/// Merges that no training would learn: many never happen, and several make the same token.
fn invented(random: &mut Random, alphabet: &[u8], pattern: &str) -> Tokenizer {
    std::iter::repeat_with(|| invent(random, alphabet, pattern)).flatten().next().unwrap()
}

/// The same, which fails if the merges have no possible order.
fn invent(random: &mut Random, alphabet: &[u8], pattern: &str) -> Result<Tokenizer, Error> {
    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let mut made: Vec<TokenId> = alphabet.iter().map(|&byte| byte.into()).collect();
    let mut pairs = Vec::new();
    while pairs.len() < 100 {
        let pair = (*random.pick(&made), *random.pick(&made));
        let token = [&tokens[pair.0 as usize][..], &tokens[pair.1 as usize]].concat();
        if pairs.contains(&pair) || token.len() > 12 {
            continue;
        }
        pairs.push(pair);
        let id = tokens.iter().position(|other| *other == token).unwrap_or(tokens.len());
        if id == tokens.len() {
            tokens.push(token);
            made.push(id as TokenId);
        }
    }
    let vocab = Vocab::from_tokens(tokens).unwrap();
    let pattern = Pattern::new(pattern).unwrap();
    Tokenizer::new(vocab, Merges::from_pairs(pairs), SpecialTokens::default(), pattern)
}

fn check(tokenizer: &Tokenizer, text: &[u8]) {
    for special in [Special::Allow, Special::Text] {
        let ids = tokenizer.encode(text, special, &Job::default()).unwrap();
        assert_eq!(ids, naive::encode(tokenizer, text, special), "{:?}", String::from_utf8_lossy(text));
        assert_eq!(tokenizer.decode(ids).unwrap(), text);
    }
}

#[test]
fn encoding_equals_merging() {
    let mut random = Random(41);
    let special_tokens = ["<|e>", "<|e><|e>", "a", "cat"];
    for round in 0..300 {
        let alphabet = ALPHABETS[round % 3];
        let pattern = ["gpt2", "cl100k", "o200k", r"\S+|\s+", "(?s).+"][round % 5];
        let special_tokens = &special_tokens[..[0, 1, 2, 4][round % 4]];
        let tokenizer = match round % 2 {
            0 => trained(&mut random, alphabet, special_tokens, pattern),
            _ => invented(&mut random, alphabet, pattern),
        };
        let sets = Isa::available();
        let isa = sets[round % sets.len()];
        let table_len = [1, 13, TABLE_LEN][round % 7 % 3];
        let tokenizer = tokenizer.with_knobs(Knobs { table_len, isa });
        for _ in 0..20 {
            check(&tokenizer, &random.bytes(300, alphabet));
        }
    }
}

/// A long text makes the table begin with the tokens of the vocabulary.
#[test]
fn a_long_text_has_the_ids_that_merging_gives_its_parts() {
    let mut random = Random(46);
    let special_tokens = ["<|e>", "<|e><|e>", "a", "cat"];
    for round in 0..24 {
        let alphabet = ALPHABETS[round % 3];
        let pattern = ["gpt2", "cl100k", "o200k"][round / 2 % 3];
        let special_tokens = &special_tokens[..[0, 1, 2, 4][round % 4]];
        let tokenizer = match round % 2 {
            0 => trained(&mut random, alphabet, special_tokens, pattern),
            _ => invented(&mut random, alphabet, pattern),
        };
        let sets = Isa::available();
        let table_len = [100, TABLE_LEN][round / 3 % 2];
        let tokenizer = tokenizer.with_knobs(Knobs { table_len, isa: sets[round % sets.len()] });
        let special = [Special::Allow, Special::Text][round / 4 % 2];
        let texts: Vec<Vec<u8>> = (0..1000).map(|_| random.bytes(300, alphabet)).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        assert!(texts.concat().len() > 256 * tokenizer.vocab().len());
        let batch: Batch<u32> = encode_batch(&tokenizer, &texts, special, 1, &Job::default()).unwrap();
        for (text, ends) in texts.iter().zip(batch.offsets.windows(2)) {
            let ids = &batch.ids[ends[0] as usize..ends[1] as usize];
            assert_eq!(ids, naive::encode(&tokenizer, text, special), "{:?}", String::from_utf8_lossy(text));
        }
    }
}

fn gpt2() -> Option<Tokenizer> {
    let vocab = shared("cs336/gpt2_vocab.json")?;
    Some(formats::gpt2::load(&vocab, &shared("cs336/gpt2_merges.txt")?, None, Pattern::Gpt2).unwrap())
}

#[test]
fn gpt2_encodes_as_it_merges() {
    let Some(gpt2) = gpt2() else { return };
    for name in ["tinystories", "webtext", "multilingual", "childrens"] {
        let Some(text) = shared_text(name, 200_000) else { return };
        check(&gpt2, &text);
    }
}

#[test]
fn batches_and_streams_equal_single_texts() {
    let mut random = Random(43);
    for (round, pattern) in ["gpt2", "cl100k", "o200k", r"\S+|\s+"].iter().cycle().take(40).enumerate() {
        let alphabet = ALPHABETS[round % 3];
        let tokenizer = trained(&mut random, alphabet, &["<|e>", "<|e><|e>", "12"][..round % 4], pattern);
        let special = [Special::Allow, Special::Text][round % 2];
        let encode = |text: &[u8]| tokenizer.encode(text, special, &Job::default()).unwrap();
        let texts: Vec<Vec<u8>> = (0..50).map(|_| random.bytes(400, alphabet)).collect();
        let texts: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let expected: Vec<TokenId> = texts.iter().flat_map(|text| encode(text)).collect();
        for threads in [1, 3] {
            let batch: Batch<u32> =
                encode_batch(&tokenizer, &texts, special, threads, &Job::default()).unwrap();
            assert_eq!(batch.ids, expected);
            assert!(texts.iter().enumerate().all(|(i, text)| {
                batch.ids[batch.offsets[i] as usize..batch.offsets[i + 1] as usize] == encode(text)
            }));
            let narrow: Batch<u16> =
                encode_batch(&tokenizer, &texts, special, threads, &Job::default()).unwrap();
            assert!(narrow.ids.iter().map(|&id| u32::from(id)).eq(expected.iter().copied()));
        }
        let whole = texts.concat();
        let (mut stream, mut ids) = (StreamEncoder::new(special), Vec::new());
        let mut rest = &whole[..];
        while !rest.is_empty() {
            let (piece, others) = rest.split_at(random.below(9).min(rest.len()));
            ids.extend(stream.push(&tokenizer, piece).unwrap());
            rest = others;
        }
        ids.extend(stream.finish(&tokenizer).unwrap());
        assert_eq!(ids, encode(&whole));
        let mut decoder = StreamDecoder::default();
        let mut text: String = ids.iter().map(|&id| decoder.push(&tokenizer, id).unwrap()).collect();
        text.push_str(&decoder.finish());
        assert_eq!(text, String::from_utf8_lossy(&whole));
    }
}

#[test]
fn a_long_text_in_a_batch_is_cut_where_nothing_is_split() {
    let mut random = Random(44);
    for pattern in ["gpt2", "cl100k", "o200k"] {
        let tokenizer = trained(&mut random, ALPHABETS[2], &["<|e>", "<|e><|e>"], pattern);
        let long: Vec<u8> = (0..3_000_000).map(|_| *random.pick(ALPHABETS[2])).collect();
        let texts = [&b"a"[..], &long, b"", &long[..1_000_000], b"b"];
        let batch: Batch<u32> = encode_batch(&tokenizer, &texts, Special::Allow, 3, &Job::default()).unwrap();
        let encode = |text| tokenizer.encode(text, Special::Allow, &Job::default()).unwrap();
        let expected: Vec<Vec<TokenId>> = texts.into_iter().map(encode).collect();
        let lens: Vec<i64> = expected.iter().map(|ids| ids.len() as i64).collect();
        assert_eq!(batch.offsets.windows(2).map(|two| two[1] - two[0]).collect::<Vec<_>>(), lens);
        assert_eq!(batch.ids, expected.concat());
    }
}

/// Groups of texts, some of them empty.
fn grouped(random: &mut Random, mut texts: Vec<Vec<u8>>) -> Vec<Arc<Vec<Vec<u8>>>> {
    let mut groups = Vec::new();
    while !texts.is_empty() {
        let rest = texts.split_off(random.below(40).min(texts.len()));
        groups.push(Arc::new(std::mem::replace(&mut texts, rest)));
    }
    groups
}

#[test]
fn texts_that_arrive_in_groups_have_the_ids_of_texts_that_are_there() {
    let mut random = Random(47);
    let mut numbers = [0; 2];
    for round in 0..12 {
        let pattern = ["gpt2", "cl100k", r"\S+|\s+"][round % 3];
        let tokenizer = trained(&mut random, ALPHABETS[2], &["<|e>"], pattern);
        let num_texts = [0, 1, 30, 1000][round / 3 % 4];
        let mut texts: Vec<Vec<u8>> = (0..num_texts).map(|_| random.bytes(400, ALPHABETS[2])).collect();
        if round % 2 == 1 {
            let long = (0..400_000).map(|_| *random.pick(ALPHABETS[2])).collect();
            texts.insert(random.below(texts.len() + 1), long);
        }
        let slices: Vec<&[u8]> = texts.iter().map(Vec::as_slice).collect();
        let expected: Batch<u32> =
            encode_batch(&tokenizer, &slices, Special::Allow, 1, &Job::default()).unwrap();
        for threads in [1, 2, 7] {
            let groups = grouped(&mut random, texts.clone());
            numbers[0] += groups.len();
            numbers[1] += groups.iter().filter(|group| group.is_empty()).count();
            let (sender, receiver) = channel();
            let late = std::thread::spawn(move || {
                for (place, group) in groups.into_iter().enumerate() {
                    sender.send(group).unwrap();
                    if place % 16 == 5 {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            });
            let (special, job) = (Special::Allow, Job::default());
            let batch = encode_arriving(&tokenizer, receiver.into_iter(), special, threads, &job).unwrap();
            late.join().unwrap();
            assert_eq!(expected, batch);
        }
    }
    assert!(numbers[0] > 150 && numbers[1] > 3, "{numbers:?}");
}

#[test]
fn the_pieces_of_a_text_follow_each_other_and_have_its_ids() {
    let mut random = Random(46);
    for pattern in ["gpt2", "llama3", r"\w+|\W"] {
        let tokenizer = trained(&mut random, ALPHABETS[2], &["<|e>"], pattern);
        for (piece_bytes, num_bytes) in [(1, 0), (1, 50), (7, 300), (40, 300), (1000, 300)] {
            let text: Vec<u8> = (0..num_bytes).map(|_| *random.pick(ALPHABETS[2])).collect();
            let (mut end, mut ids, mut num_pieces) = (0, Vec::new(), 0);
            encode_pieces(&tokenizer, &text, piece_bytes, Special::Allow, &Job::default(), |range, piece| {
                assert!(range.start == end && range.end > end);
                end = range.end;
                num_pieces += 1;
                ids.extend_from_slice(piece);
            })
            .unwrap();
            assert_eq!(end, text.len());
            assert_eq!(ids, tokenizer.encode(&text, Special::Allow, &Job::default()).unwrap());
            let is_cut = piece_bytes < text.len() && tokenizer.pattern().has_scanner();
            assert_eq!(num_pieces > 1, is_cut, "{num_pieces} of {} bytes", text.len());
        }
    }
}

#[test]
fn what_cannot_be_encoded_or_decoded_is_named() {
    let mut random = Random(45);
    let tokenizer = trained(&mut random, ALPHABETS[2], &["<|e>"], "gpt2");
    let raised = tokenizer.encode(b"ab <|e>", Special::Raise, &Job::default()).unwrap_err().to_string();
    assert!(raised.starts_with("the text has the special token \"<|e>\" at byte 3"), "{raised}");
    let texts = [&b"ab"[..], b"a<|e>"];
    let raised = encode_batch::<u32>(&tokenizer, &texts, Special::Raise, 1, &Job::default()).unwrap_err();
    assert!(
        raised.to_string().starts_with("text number 1 (from 0) has the special token \"<|e>\" at byte 1")
    );
    let pieces = encode_pieces(&tokenizer, b"ab ab <|e>", 2, Special::Raise, &Job::default(), |_, _| ());
    let raised = pieces.unwrap_err().to_string();
    assert!(raised.starts_with("the text has the special token \"<|e>\" at byte 6"), "{raised}");
    let decoded = tokenizer.decode([97, 70_000]).unwrap_err().to_string();
    assert!(decoded.starts_with("70000 (number 1 of the ids, from 0) is not a token id"), "{decoded}");
    let late = Merges::from_pairs(vec![(256, 99), (97, 98)]);
    let tokens = [b"ab".to_vec(), b"abc".to_vec()];
    let vocab =
        Vocab::from_tokens(bytes().iter().map(|(_, byte)| byte.to_vec()).chain(tokens).collect()).unwrap();
    let refused =
        Tokenizer::new(vocab, late, SpecialTokens::default(), Pattern::Gpt2).unwrap_err().to_string();
    assert!(refused.contains("merge 0 needs token 256, which only merge 1 makes"), "{refused}");
}
