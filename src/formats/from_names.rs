/*!
A tokenizer from a file's vocabulary of names.
*/

use super::live_merges::live_merges;
use super::merge_by_rank::Ranks;
use super::token_names::ids_of;
use crate::byte_alphabet;
use crate::merges::Merges;
use crate::pretokenize::Pattern;
use crate::special_tokens::SpecialTokens;
use crate::token_id::TokenId;
use crate::tokenizer::Tokenizer;
use crate::vocab::{Vocab, max_ids};
use std::collections::{HashMap, HashSet};

/// A vocabulary as a file states it: names to ids.
pub(super) struct NamedTokens {
    ids: HashMap<String, TokenId>,
    pub names: Vec<String>,
}

impl NamedTokens {
    /// Builds it from names and ids.
    pub fn new(entries: impl IntoIterator<Item = (String, u64)>) -> Result<Self, String> {
        let ids: HashMap<String, u64> = entries.into_iter().collect();
        let most = max_ids(ids.len());
        let greatest = ids.values().max().map_or(0, |&id| usize::try_from(id).unwrap_or(most));
        let mut names = vec![String::new(); greatest.saturating_add(1).min(most)];
        for (name, &id) in &ids {
            let place = usize::try_from(id).ok().and_then(|id| names.get_mut(id));
            let Some(place) = place else {
                return Err(format!(
                    "token {name:?} has id {id}; with {} tokens it must be below {most}",
                    ids.len()
                ));
            };
            if name.is_empty() {
                return Err(format!("token {id} is empty"));
            }
            if !place.is_empty() {
                return Err(format!("tokens {place:?} and {name:?} have the same id {id}"));
            }
            place.clone_from(name);
        }
        let ids = ids_of(&names).map(|(name, id)| (name.clone(), id)).collect();
        Ok(NamedTokens { ids, names })
    }

    /// The id of a name.
    fn id(&self, name: &str) -> Result<TokenId, String> {
        self.ids.get(name).copied().ok_or_else(|| format!("{name:?} is not in the vocabulary"))
    }
}

/// A merge in a file: its place there, and the names of the two tokens.
pub(super) type NamedMerge<'a> = (String, &'a str, &'a str);

/// Builds a tokenizer from names and special tokens, as [`from_names`], also if the file lists merges that never happen
/// and that need tokens which are made only later.
pub(super) fn from_live_names(
    tokens: &NamedTokens,
    special: &[String],
    merges: &[NamedMerge<'_>],
    pattern: &Pattern,
) -> Result<Tokenizer, String> {
    let build =
        |merges: &[NamedMerge<'_>]| from_names(tokens, Some(special.to_vec()), merges, pattern.clone());
    build(merges).or_else(|reason| match live(tokens, merges) {
        Some(live) if live.len() < merges.len() => build(&live),
        _ => Err(reason),
    })
}

/// The merges that happen; `None` if a name is not that of a token, or does not spell bytes.
fn live<'a>(tokens: &NamedTokens, merges: &[NamedMerge<'a>]) -> Option<Vec<NamedMerge<'a>>> {
    let mut byte_ids = [0; 256];
    for byte in 0..=255_u8 {
        byte_ids[usize::from(byte)] = tokens.id(&byte_alphabet::to_text(&[byte])).ok()?;
    }
    let mut ranks = Ranks::with_capacity(merges.len());
    for (rank, (_, left, right)) in (0..).zip(merges) {
        let id = |name: &str| tokens.id(name).ok();
        ranks.insert((id(left)?, id(right)?), (rank, id(&format!("{left}{right}"))?));
    }
    let bytes = |id: TokenId| byte_alphabet::from_text(&tokens.names[id as usize]);
    let live = live_merges(&byte_ids, bytes, &ranks)?;
    Some(live.into_iter().map(|rank| merges[rank as usize].clone()).collect())
}

/// Builds a tokenizer from names. Without a list of special tokens, every token that is neither a byte nor made by a merge is
/// special.
///
/// A special token has the id of its name, or a new id if the vocabulary lacks the name. A token that is neither special, a
/// byte nor made by a merge stays in the vocabulary, but no text is encoded to it.
pub(super) fn from_names(
    tokens: &NamedTokens,
    special: Option<Vec<String>>,
    merges: &[NamedMerge<'_>],
    pattern: Pattern,
) -> Result<Tokenizer, String> {
    from_made(tokens, special, make(tokens, merges)?, pattern)
}

/// Builds a tokenizer as [`from_names`], from a list of merges that has no end of its own. Cut off between two lines it is a
/// shorter list; but then the token behind the last that is made, where ids are in the order of merges, is two tokens that
/// are made. A special token that is spelled so must be in `special`.
pub(super) fn from_names_to_the_end(
    tokens: &NamedTokens,
    special: Option<Vec<String>>,
    merges: &[NamedMerge<'_>],
    pattern: Pattern,
) -> Result<Tokenizer, String> {
    let (made, merges) = make(tokens, merges)?;
    let is_made = |name: &str| tokens.ids.get(name).is_some_and(|&id| made[id as usize].is_some());
    let next = made.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
    let known = special.as_deref().unwrap_or_default();
    if let Some(name) = tokens.names.get(next).filter(|name| !known.contains(name)) {
        let mut parts = name.char_indices().skip(1).map(|(at, _)| name.split_at(at));
        if let Some((left, right)) = parts.find(|(left, right)| is_made(left) && is_made(right)) {
            return Err(format!(
                "no line makes token {next}, {name:?}, of {left:?} and {right:?}: the file is cut off, or belongs to another \
                 vocabulary; fetch both again, or name the token in special_tokens if it is special"
            ));
        }
    }
    from_made(tokens, special, (made, merges), pattern)
}

fn from_made(
    tokens: &NamedTokens,
    special: Option<Vec<String>>,
    (made, merges): (Made, Merges),
    pattern: Pattern,
) -> Result<Tokenizer, String> {
    let is_unmade = |id: TokenId| made[id as usize].is_none();
    let unmade: Vec<TokenId> = ids_of(&tokens.names).map(|(_, id)| id).filter(|&id| is_unmade(id)).collect();
    let name = |&id: &TokenId| tokens.names[id as usize].clone();
    let special = special.unwrap_or_else(|| unmade.iter().map(name).collect());
    let special_tokens = SpecialTokens::new(special).map_err(|error| error.to_string())?;
    let mut new_ids = tokens.names.len()..;
    let special_ids = special_tokens.as_slice().iter().map(|token| match tokens.ids.get(token) {
        Some(&id) => Ok(id),
        None => TokenId::try_from(new_ids.next().unwrap_or(usize::MAX)).map_err(|error| error.to_string()),
    });
    let special_ids = special_ids.collect::<Result<Vec<_>, _>>()?;
    let of_special: HashSet<TokenId> = special_ids.iter().copied().collect();
    let unmade_bytes = |(token, id): (Option<Vec<u8>>, TokenId)| {
        token.unwrap_or_else(|| {
            let name = &tokens.names[id as usize];
            let spelled = if of_special.contains(&id) { None } else { byte_alphabet::from_text(name) };
            spelled.unwrap_or_else(|| name.as_bytes().to_vec())
        })
    };
    let bytes: Vec<Vec<u8>> = made.into_iter().zip(0..).map(unmade_bytes).collect();
    let apart = apart(&bytes, &unmade);
    let vocab = Vocab::from_tokens(bytes).map_err(|error| error.to_string())?.with_apart(apart);
    Tokenizer::with_special_ids(vocab, merges, special_tokens, special_ids, pattern)
        .map_err(|error| error.to_string())
}

/// The ids in `unmade` whose bytes another token has too. The other token is not in `unmade`, or comes
/// earlier in it.
fn apart(bytes: &[Vec<u8>], unmade: &[TokenId]) -> Vec<TokenId> {
    let of = |id: TokenId| &bytes[id as usize][..];
    let ids: HashSet<TokenId> = unmade.iter().copied().collect();
    let wanted: HashSet<&[u8]> = unmade.iter().map(|&id| of(id)).collect();
    let others = bytes.iter().zip(0..).filter(|(token, id)| wanted.contains(&token[..]) && !ids.contains(id));
    let mut known: HashSet<&[u8]> = others.map(|(token, _)| &token[..]).collect();
    unmade.iter().copied().filter(|&id| !known.insert(of(id))).collect()
}

/// The bytes of tokens that are bytes or made by merges, by id.
type Made = Vec<Option<Vec<u8>>>;

/// The tokens that merges make, and the merges.
fn make(tokens: &NamedTokens, merges: &[NamedMerge<'_>]) -> Result<(Made, Merges), String> {
    let mut made: Made = vec![None; tokens.names.len()];
    for byte in 0..=255 {
        let id =
            tokens.id(&byte_alphabet::to_text(&[byte])).map_err(|reason| format!("byte {byte}: {reason}"))?;
        made[id as usize] = Some(vec![byte]);
    }
    // The set of known pairs is built only when two merges make the same token, which few files have.
    let (mut pairs, mut known) = (Vec::new(), None::<HashSet<(TokenId, TokenId)>>);
    for &(ref place, left, right) in merges {
        let part = |name| {
            let id = tokens.id(name)?;
            let bytes = made[id as usize].as_deref();
            Ok((id, bytes.ok_or_else(|| format!("{name:?} is used before a merge makes it"))?))
        };
        let located = |reason: String| format!("{place}: {reason}");
        let ((left_id, head), (right_id, tail)) =
            (part(left).map_err(located)?, part(right).map_err(located)?);
        let token = [head, tail].concat();
        let id = tokens.id(&format!("{left}{right}")).map_err(located)?;
        if made[id as usize].is_some() && known.is_none() {
            known = Some(pairs.iter().copied().collect());
        }
        if known.as_mut().is_some_and(|known| !known.insert((left_id, right_id))) {
            return Err(located(format!(
                "{:?} is made of the same two tokens a second time",
                tokens.names[id as usize]
            )));
        }
        made[id as usize] = Some(token);
        pairs.push((left_id, right_id));
    }
    Ok((made, Merges::from_pairs(pairs)))
}
