/*!
Patterns by bit masks, 64 bytes at a time.

Why not go from pretoken to pretoken, as the scalar scanner does ([`super::gpt2`])? Each step would wait for
the one before, and most of its time is a mispredicted branch at the end of a word. Nearly all of a pattern
depends only on where the class of a character changes. So a block of 64 bytes becomes one 64-bit mask per
class, and shifts and ands of masks give the borders of all its pretokens at once:

- a run of letters, numbers or other characters begins where the byte before has another class, unless that
  byte is a space, which joins what follows it;
- a run of whitespace begins where the byte before is not whitespace, and its last character stands alone if
  text follows, because `\s+(?!\S)` gives it back.

That is GPT-2 (gpt2.rs). The patterns of GPT-4 and later (family.rs) need a few more masks, and leave the places that no
mask decides to their scalar scanner (escape.rs). Custom patterns have no masks.

Rare cases edit the masks. A character beyond ASCII is decoded, and its bytes get its class. An apostrophe
that begins a pretoken is compared with the contractions. A byte with which a special token may begin is
compared with the special tokens.

The bytes of a special token have no class, so the text ends before the token and begins anew after it. The
token therefore needs no pass and no split of its own, and comes out as one more pretoken. No other pretoken
can equal it, as that one would have been split, too.

Only the classes of ASCII bytes depend on the machine. Each instruction set ([`crate::isa`]) has one small
module for them, and `portable` needs no special instructions. Where the machine can look 64 bytes up at once, most
blocks need no masks at all (pairs.rs).
*/

mod masks;
mod pairs;
mod scan;
mod gpt2;
mod family;
mod escape;
mod portable;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_pairs;
mod next_window;
mod scanner;

pub use scanner::BlockScanner;
