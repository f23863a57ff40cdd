/*!
The spelling of English words: forms by rule, the article before a word, capital letters.

The rules hold for the regular words of lexicon.txt. That file spells out the forms of all other words.
*/

fn is_vowel(byte: u8) -> bool {
    matches!(byte, b'a' | b'e' | b'i' | b'o' | b'u')
}

fn ends_in_consonant_y(word: &str) -> bool {
    matches!(word.as_bytes(), [.., before, b'y'] if !is_vowel(*before))
}

/// A word with its `s`: the plural of a noun, or the form of a verb that goes with "she".
pub(super) fn with_s(word: &str) -> String {
    if ends_in_consonant_y(word) {
        return format!("{}ies", &word[..word.len() - 1]);
    }
    let hisses = ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end));
    let extra_e = hisses || ["potato", "tomato", "mango", "mosquito", "domino"].contains(&word);
    format!("{word}{}", if extra_e { "es" } else { "s" })
}

/// Doubles the last letter of a short word with one vowel: `stop` becomes `stopp`.
fn doubled(word: &str) -> String {
    let short = match word.as_bytes() {
        [head @ .., vowel, last] => {
            let head = head.strip_suffix(b"qu").unwrap_or(head);
            is_vowel(*vowel)
                && !head.iter().any(|&byte| is_vowel(byte) || byte == b'y')
                && !is_vowel(*last)
                && !matches!(last, b'w' | b'x' | b'y')
        }
        _ => false,
    };
    let last = if short { &word[word.len() - 1..] } else { "" };
    format!("{word}{last}")
}

/// A verb's four forms: walk, walks, walked, walking. `other` has the last two forms if they are irregular.
pub(super) fn verb_forms(phrase: &str, other: &[&str]) -> [String; 4] {
    let (verb, tail) = phrase.split_at(phrase.find(' ').unwrap_or(phrase.len()));
    let stem = verb.strip_suffix('e').filter(|stem| !stem.ends_with(['e', 'o', 'i']));
    let past = match (verb.strip_suffix('e'), verb.strip_suffix('y')) {
        (Some(_), _) => format!("{verb}d"),
        (_, Some(stem)) if ends_in_consonant_y(verb) => format!("{stem}ied"),
        _ => format!("{}ed", doubled(verb)),
    };
    let going = stem.map_or_else(|| format!("{}ing", doubled(verb)), |stem| format!("{stem}ing"));
    let past = other.first().map_or_else(|| format!("{past}{tail}"), |past| past.to_string());
    let going = other.get(1).map_or_else(|| format!("{going}{tail}"), |going| going.to_string());
    let does = if verb.ends_with('o') { format!("{verb}es") } else { with_s(verb) };
    [phrase.into(), format!("{does}{tail}"), past, going]
}

/// An adjective with the ending `er` or `est`.
pub(super) fn compared(word: &str, ending: &str) -> String {
    match (word.strip_suffix('e'), word.strip_suffix('y')) {
        (Some(stem), _) => format!("{stem}{ending}"),
        (_, Some(stem)) if ends_in_consonant_y(word) && word.len() > 3 => format!("{stem}i{ending}"),
        _ => format!("{}{ending}", doubled(word)),
    }
}

/// The adverb of an adjective.
pub(super) fn adverb(word: &str) -> String {
    if let Some(stem) = word.strip_suffix('y').filter(|_| ends_in_consonant_y(word) && word.len() > 3) {
        return format!("{stem}ily");
    }
    match (word.strip_suffix("le"), word) {
        (_, "sole" | "pale") => format!("{word}ly"),
        (Some(stem), _) => format!("{stem}ly"),
        _ if word.ends_with("ll") => format!("{word}y"),
        _ if word.ends_with("ic") => format!("{word}ally"),
        _ => format!("{word}ly"),
    }
}

/// Whether the article before a text is `an`.
pub(super) fn wants_an(text: &str) -> bool {
    let start = text.trim_start_matches('"');
    let sounds_like_you =
        ["uni", "use", "uku", "eu", "ewe", "one"].iter().any(|head| start.starts_with(head));
    let is_silent = ["hour", "honest", "8", "11", "18"].iter().any(|head| start.starts_with(head));
    let is_vowel = start.starts_with(['a', 'e', 'i', 'o', 'u', 'é', 'A', 'E', 'I', 'O', 'U', 'É']);
    is_silent || (is_vowel && !sounds_like_you)
}

/// Makes a text's first letter a capital, after quotation marks if there are any.
pub(super) fn capitalize(text: &mut String) {
    let Some((at, first)) = text.char_indices().find(|(_, first)| *first != '"') else {
        return;
    };
    if first.is_lowercase() {
        let upper: String = first.to_uppercase().collect();
        text.replace_range(at..at + first.len_utf8(), &upper);
    }
}

/// A text with the capital letters of a title.
pub(super) fn in_title_case(text: &str) -> String {
    let mut title = String::with_capacity(text.len());
    for word in text.split(' ') {
        let mut word = word.to_string();
        let is_minor =
            ["a", "an", "and", "at", "by", "for", "in", "of", "on", "the", "to"].contains(&word.as_str());
        if !is_minor || title.is_empty() {
            capitalize(&mut word);
        }
        if !title.is_empty() {
            title.push(' ');
        }
        title.push_str(&word);
    }
    title
}
