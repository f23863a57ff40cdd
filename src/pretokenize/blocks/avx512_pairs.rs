/*!
Borders from pairs of neighbours by AVX-512. VBMI looks 64 bytes up in a table of 128 at once.
*/

use super::avx512::{Avx512, load};
use super::masks::{BLOCK, add};
use super::pairs::{Around, FamilyRules, PUNCTUATION, PairContractions, PairRules, Pairs, class};
use crate::pretokenize::borders::Borders;
use std::arch::x86_64::*;
use std::ops::Range;

impl Pairs for Avx512<true> {
    #[inline(always)]
    #[allow(unsafe_code)]
    fn run(self, buffer: &[u8], range: Range<usize>, rules: &PairRules, borders: &mut Borders) -> usize {
        // SAFETY: an `Avx512<true>` exists only inside `fill_by_bytes`, which the machine can run. Measured gain:
        // benches/record/7-limit-of-the-chip.md.
        unsafe {
            match rules.family {
                None => run::<false>(self, buffer, range, rules, borders),
                Some(_) => run::<true>(self, buffer, range, rules, borders),
            }
        }
    }
}

/// See [`Pairs::run`]. A function of its own without a call, so that the tables stay in registers. `FAMILY` says whether
/// there are rules beyond those of GPT-2.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vbmi2,bmi1,bmi2,popcnt")]
fn run<const FAMILY: bool>(
    isa: Avx512<true>,
    buffer: &[u8],
    range: Range<usize>,
    rules: &PairRules,
    borders: &mut Borders,
) -> usize {
    let tables =
        [&rules.tables.class, &rules.tables.joins, &rules.tables.gives_back].map(|table| load_table(table));
    let family = rules.family.unwrap_or_default();
    let mut start = range.start;
    while start + BLOCK <= range.end {
        let Some(around) = buffer[start - 2..].first_chunk() else { break };
        let Some(looked_up) = look_up(around, tables, rules.has_punctuation) else { break };
        let mut bits = looked_up.borders();
        if FAMILY {
            let Some(more) = further(&looked_up, bits, family) else { break };
            bits |= more;
        }
        // A block without a border may continue what began long before.
        if bits == 0 {
            break;
        }
        if let Some(contractions) = rules.contractions {
            // A branch: without it, texts of many contractions gain a hundredth, and others lose six.
            let apostrophes = apostrophes(&looked_up, bits, contractions);
            if apostrophes != 0 {
                let Some(contracted) = contract(&looked_up, bits, apostrophes, contractions) else { break };
                bits = contracted;
            }
        }
        add(isa, bits, start, borders);
        start += BLOCK;
    }
    start
}

/// A table of 128 bytes.
type Table = [__m512i; 2];

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn load_table(table: &[u8; 128]) -> Table {
    let (halves, _) = table.as_chunks();
    [load(&halves[0]), load(&halves[1])]
}

/// What the tables say of the bytes of a block and of those beside each of them.
#[derive(Clone, Copy)]
struct LookedUp {
    bytes: __m512i,
    after: __m512i,
    joins: __m512i,
    gives_back: __m512i,
    class_before: __m512i,
    class_two_before: __m512i,
    class_after: __m512i,
    /// The first bytes of punctuation beyond ASCII.
    leads: u64,
}

impl LookedUp {
    /// The borders by GPT-2's rules.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn borders(&self) -> u64 {
        let joined = _mm512_test_epi8_mask(self.joins, self.class_before);
        !joined | _mm512_test_epi8_mask(self.gives_back, self.class_after)
    }
}

/// Looks a block up, unless pairs do not tell its borders.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up(
    around: &Around,
    [class, joins, gives_back]: [Table; 3],
    has_punctuation: bool,
) -> Option<LookedUp> {
    let [two_before, before, bytes, after] = load_around(around);
    let of = |[low, high]: Table, bytes| _mm512_permutex2var_epi8(low, bytes, high);
    let mut looked_up = LookedUp {
        bytes,
        after,
        joins: of(joins, bytes),
        gives_back: of(gives_back, bytes),
        class_before: of(class, before),
        class_two_before: of(class, two_before),
        class_after: of(class, after),
        leads: 0,
    };
    // These bytes cover the block and those around it.
    if _mm512_movepi8_mask(_mm512_or_si512(two_before, after)) != 0 {
        if !has_punctuation {
            return None;
        }
        looked_up = with_punctuation(around, looked_up)?;
    }
    // The highest bit is NOT_BY_PAIRS. These classes are of all bytes but the first, which no special token touches.
    let classes = _mm512_or_si512(looked_up.class_before, looked_up.class_after);
    (_mm512_movepi8_mask(classes) == 0).then_some(looked_up)
}

/// The same where all characters beyond ASCII are the dashes, quotation marks and dots of `U+2010` to `U+2027`, and lie
/// inside the block. They are of class other.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn with_punctuation(around: &Around, looked_up: LookedUp) -> Option<LookedUp> {
    let all = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
    let bytes = looked_up.bytes;
    let leads = _mm512_cmpeq_epi8_mask(bytes, all(PUNCTUATION[0]));
    let seconds = _mm512_cmpeq_epi8_mask(bytes, all(PUNCTUATION[1])) & leads << 1;
    let thirds = _mm512_cmplt_epu8_mask(_mm512_sub_epi8(bytes, all(0x90)), all(0xA8 - 0x90)) & seconds << 1;
    let beyond = _mm512_movepi8_mask(bytes);
    let is_inside = [0, 1, BLOCK + 2].into_iter().all(|i| around[i].is_ascii());
    if beyond != leads | seconds | thirds || thirds.count_ones() != leads.count_ones() || !is_inside {
        return None;
    }
    let other = all(class::OTHER);
    Some(LookedUp {
        joins: _mm512_mask_mov_epi8(looked_up.joins, beyond, all(class::OTHER | class::BLANK)),
        gives_back: _mm512_mask_mov_epi8(looked_up.gives_back, beyond, all(0)),
        class_before: _mm512_mask_mov_epi8(looked_up.class_before, beyond << 1, other),
        class_two_before: _mm512_mask_mov_epi8(looked_up.class_two_before, beyond << 2, other),
        class_after: _mm512_mask_mov_epi8(looked_up.class_after, beyond >> 1, other),
        leads,
        ..looked_up
    })
}

/// The byte two before each byte of a block, the byte before it, the bytes themselves, and the byte after each.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
#[allow(unsafe_code)]
fn load_around(around: &Around) -> [__m512i; 4] {
    // SAFETY: 64 bytes at 0 to 3 of 67, of any alignment.
    [0, 1, 2, 3].map(|start| unsafe { _mm512_loadu_si512(around.as_ptr().add(start).cast()) })
}

/// The borders beyond those of GPT-2's rules, `starts`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn further(looked_up: &LookedUp, starts: u64, rules: FamilyRules) -> Option<u64> {
    let LookedUp { bytes, joins, gives_back, class_before, class_two_before, .. } = *looked_up;
    let all = |class: u8| _mm512_set1_epi8(class.cast_signed());
    // Only letters join capitals, only numbers join numbers, only newlines join newlines, and only gaps give back.
    let after_others = _mm512_test_epi8_mask(class_before, all(class::OTHER));
    let after_several =
        _mm512_mask_test_epi8_mask(after_others, class_two_before, all(class::OTHER | class::BLANK));
    let mut borders = _mm512_mask_test_epi8_mask(after_several, joins, all(class::CAPITAL));
    if rules.joins_punctuation {
        // Three bytes that are one character.
        borders &= !((starts & looked_up.leads) << 3);
    }

    let after_newlines = _mm512_test_epi8_mask(class_before, all(class::NEWLINE));
    let gaps_after = _mm512_mask_test_epi8_mask(after_newlines, gives_back, all(class::OTHER));
    let slashes_after = _mm512_mask_cmpeq_epi8_mask(after_newlines, bytes, all(b'/'));
    if rules.has_slashes && slashes_after != 0 {
        return None;
    }
    // Another newline may follow the spaces after a newline.
    let gaps = _mm512_test_epi8_mask(gives_back, all(class::OTHER));
    let newlines = _mm512_test_epi8_mask(joins, all(class::NEWLINE));
    let (sum, reaches_next) = gaps.overflowing_add(gaps_after);
    if reaches_next || sum & !gaps & newlines != 0 {
        return None;
    }
    if rules.has_threes {
        let after_numbers = _mm512_test_epi8_mask(class_before, all(class::NUMBER));
        let inside = _mm512_mask_test_epi8_mask(after_numbers, joins, all(class::NUMBER));
        if inside & 1 != 0 {
            return None;
        }
        let fourth = inside & inside << 1 & inside << 2;
        let mut more = fourth & !(fourth << 1);
        while more != 0 {
            borders |= more;
            more = more << 3 & fourth;
        }
    }
    Some(borders)
}

/// The apostrophes that may begin a contraction.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn apostrophes(looked_up: &LookedUp, borders: u64, contractions: PairContractions) -> u64 {
    let all = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
    let starts = _mm512_mask_cmpeq_epi8_mask(borders, looked_up.bytes, all(b'\''));
    _mm512_mask_test_epi8_mask(starts, looked_up.class_before, all(contractions.after))
}

/// The borders of a block with its contractions, or `None` to leave it to the masks.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn contract(looked_up: &LookedUp, borders: u64, apostrophes: u64, rules: PairContractions) -> Option<u64> {
    let all = |byte: u8| _mm512_set1_epi8(byte.cast_signed());
    let equal = |bytes, byte| _mm512_cmpeq_epi8_mask(bytes, all(byte));
    let first = _mm512_or_si512(looked_up.bytes, all(rules.fold));
    let second = _mm512_or_si512(looked_up.after, all(rules.fold));
    let is_short = equal(first, b's') | equal(first, b'd') | equal(first, b'm') | equal(first, b't');
    let is_long = equal(first, b'l') & equal(second, b'l')
        | (equal(first, b'v') | equal(first, b'r')) & equal(second, b'e');
    let short = apostrophes << 1 & is_short;
    let long = apostrophes << 1 & is_long;
    let ends = short << 1 | long << 2;
    // Another one may begin where one ends, or one may have ended where the block begins.
    let chained = (ends | 1) & apostrophes;
    let at_end = apostrophes >> (BLOCK - 3);
    if chained | at_end != 0 {
        return None;
    }
    let letters = _mm512_test_epi8_mask(looked_up.joins, all(class::CAPITAL));
    let inside = short | long | long << 1;
    let joined = if rules.joins_word { inside | inside >> 1 } else { inside };
    Some(borders & !joined | ends & letters)
}
