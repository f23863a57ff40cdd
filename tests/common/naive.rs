//! The definition of BPE training, too simple to be wrong: count every pair anew for every merge.

use bpe_lm::error::Error;
use bpe_lm::merges::TieBreak;
use bpe_lm::special_tokens::SpecialTokens;
use bpe_lm::token_id::TokenId;
use bpe_lm::tokenizer::{Special, Tokenizer};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

pub type Token = Vec<u8>;
pub type Counts = BTreeMap<Vec<u8>, u64>;

/// The result of learning, with tokens as bytes. A token's bytes are unique, so uses need no ids.
pub struct NaiveLearned {
    pub merges: Vec<(Token, Token)>,
    pub merge_counts: Vec<u64>,
    pub token_uses: BTreeMap<Token, u64>,
    /// The tokens of each word at the end.
    pub words: Vec<Vec<Token>>,
}

/// The tokenizer that is extended.
#[derive(Debug, Default)]
pub struct NaiveStart {
    pub merges: Vec<(Token, Token)>,
    /// Tokens that no merge makes.
    pub unmade: BTreeSet<Token>,
    /// Whether a word that is one of these is that token.
    pub takes_whole: bool,
}

pub struct Naive {
    pub num_merges: usize,
    pub tie_break: TieBreak,
    pub min_frequency: u64,
    pub max_token_length: usize,
}

impl Naive {
    pub fn learn(&self, counts: &Counts) -> Vec<(Token, Token)> {
        self.learn_and_count(counts).merges
    }

    pub fn learn_and_count(&self, counts: &Counts) -> NaiveLearned {
        self.learn_more(counts, &NaiveStart::default())
    }

    /// Begins with the words as the old merges encode them. A pair whose bytes are a token of the start is never merged.
    pub fn learn_more(&self, counts: &Counts, start: &NaiveStart) -> NaiveLearned {
        let pairs: HashMap<(Token, Token), usize> = start.merges.iter().cloned().zip(0..).collect();
        let begin = |word: &Token| match start.takes_whole && start.unmade.contains(word) {
            true => vec![word.clone()],
            false => apply(word, &pairs).0,
        };
        let mut words: Vec<(Vec<Token>, u64)> =
            counts.iter().map(|(word, &count)| (begin(word), count)).collect();
        let made: BTreeSet<Token> = start.merges.iter().map(|(a, b)| [&a[..], b].concat()).collect();
        let mut ranks: HashMap<Token, usize> =
            made.iter().filter_map(|token| Some((token.clone(), apply(token, &pairs).1?))).collect();
        let known: BTreeSet<&Token> = made.iter().chain(&start.unmade).collect();
        let is_new = |a: &Token, b: &Token| known.is_empty() || !known.contains(&[&a[..], b].concat());
        let mut merges: Vec<(Token, Token)> = Vec::new();
        let mut merge_counts = Vec::new();
        while merges.len() < self.num_merges {
            let mut pairs: HashMap<(&Token, &Token), u64> = HashMap::new();
            for (word, count) in &words {
                let is_short = |p: &&[Token]| p[0].len() + p[1].len() <= self.max_token_length;
                for pair in word.windows(2).filter(is_short).filter(|p| is_new(&p[0], &p[1])) {
                    *pairs.entry((&pair[0], &pair[1])).or_default() += count;
                }
            }
            let Some(&most) = pairs.values().max().filter(|&&most| most >= self.min_frequency) else { break };
            let ties = pairs.into_iter().filter(|&(_, count)| count == most).map(|(pair, _)| pair);
            let best = match self.tie_break {
                TieBreak::Bytes => ties.max(),
                TieBreak::Hf => ties.min_by_key(|(a, b)| (rank(a, &ranks), rank(b, &ranks))),
            };
            let Some((a, b)) = best.map(|(a, b)| (a.clone(), b.clone())) else { break };
            for (word, _) in &mut words {
                *word = replace(word, &a, &b);
            }
            ranks.insert([&a[..], &b].concat(), start.merges.len() + merges.len());
            merges.push((a, b));
            merge_counts.push(most);
        }
        let mut token_uses = BTreeMap::new();
        for (word, count) in &words {
            for token in word {
                *token_uses.entry(token.clone()).or_default() += count;
            }
        }
        let words = words.into_iter().map(|(word, _)| word).collect();
        NaiveLearned { merges, merge_counts, token_uses, words }
    }
}

/// A word after all merges: while two neighbours have a merge, the earliest one is applied, at its first place. Also the
/// merge that was applied last.
pub fn apply(word: &[u8], merges: &HashMap<(Token, Token), usize>) -> (Vec<Token>, Option<usize>) {
    let mut tokens: Vec<Token> = word.iter().map(|&byte| vec![byte]).collect();
    let mut last = None;
    let rank = |pair: &[Token]| merges.get(&(pair[0].clone(), pair[1].clone())).copied();
    while let Some((first, at)) =
        tokens.windows(2).zip(0..).filter_map(|(pair, at)| Some((rank(pair)?, at))).min()
    {
        let right = tokens.remove(at + 1);
        tokens[at].extend(right);
        last = Some(first);
    }
    (tokens, last)
}

fn replace(word: &[Token], a: &Token, b: &Token) -> Vec<Token> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < word.len() {
        if i + 1 < word.len() && word[i] == *a && word[i + 1] == *b {
            out.push([&a[..], b].concat());
            i += 2;
        } else {
            out.push(word[i].clone());
            i += 1;
        }
    }
    out
}

/// The id of a token for Hugging Face: bytes in the order of GPT-2's alphabet, then merges.
fn rank(token: &Token, ranks: &HashMap<Token, usize>) -> usize {
    if let [byte] = token[..] {
        let printable = |b: u8| (33..=126).contains(&b) || (161..=172).contains(&b) || b >= 174;
        let mut alphabet: Vec<u8> = (0..=255).collect();
        alphabet.sort_by_key(|&b| (Reverse(printable(b)), b));
        return alphabet.iter().position(|&b| b == byte).unwrap();
    }
    256 + ranks[token]
}

/// Encoding by its definition: while two adjacent tokens of a pretoken have a merge, apply the earliest one.
pub fn encode(tokenizer: &Tokenizer, text: &[u8], special: Special) -> Vec<TokenId> {
    let ids: HashMap<&[u8], TokenId> = tokenizer.vocab().iter().map(|(id, token)| (token, id)).collect();
    let bytes = |id: TokenId| tokenizer.vocab().get(id).unwrap();
    let ranks: HashMap<(TokenId, TokenId), usize> =
        tokenizer.merges().as_slice().iter().copied().zip(0..).collect();
    let none = SpecialTokens::default();
    let special_tokens = if special == Special::Allow { tokenizer.special_tokens() } else { &none };
    let mut out = Vec::new();
    special_tokens
        .split(text, 0..text.len(), |stretch, special| {
            for pretoken in tokenizer.pattern().pretokens(&text[stretch])? {
                let mut tokens: Vec<TokenId> =
                    (0..pretoken.len()).map(|i| ids[&pretoken[i..i + 1]]).collect();
                let rank = |tokens: &[TokenId], at: usize| ranks.get(&(tokens[at], tokens[at + 1])).copied();
                while let Some((_, at)) =
                    (1..tokens.len()).filter_map(|i| Some((rank(&tokens, i - 1)?, i - 1))).min()
                {
                    tokens[at] = ids[&[bytes(tokens[at]), bytes(tokens[at + 1])].concat()[..]];
                    tokens.remove(at + 1);
                }
                out.extend(tokens);
            }
            out.extend(special.map(|number| tokenizer.special_ids()[number]));
            Ok::<(), Error>(())
        })
        .unwrap();
    out
}
