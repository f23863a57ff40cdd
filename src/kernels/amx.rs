/*!
The matrix unit of Intel's processors (AMX): products of tiles of bfloat16, summed in float32.

Why not AVX512-BF16 alone? One instruction of the unit does the work of 256 of AVX512-BF16's: on an Intel Xeon at 3.1 GHz the
unit reaches 3.2 TFLOP/s on one core, twelve times what a core's AVX-512 does. Stable Rust has no intrinsics for it, so this
file has the one block of assembler of the crate.

A tile is 16 rows of 64 bytes. [`Region::multiply`] computes 2 x 2 tiles of sums at a time, so that each tile of an operand is
loaded for two products. Of the eight tile registers, sums take four and operands four.

The unit ignores the rounding mode and has no exceptions. It treats denormal numbers as zeros, in operands and in results. It
sums the even and the odd terms of 32 apart, each from zero by fused multiplications and additions, adds both sums, and then
adds the result to the sum so far. `tests::emulated` does the same number by number, and the unit agrees with it bit for bit.
*/

use super::lanes::{LANES, Lanes};
use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::marker::PhantomData;
use std::sync::OnceLock;

/// The number of [`Lanes`] in a tile: one for each of its rows.
pub(super) const TILE: usize = 16;

/// The number of rows, and of columns, of a block of sums.
pub(super) const SIDE: usize = 2 * TILE;

/// A block of sums, 32 x 32 float32 in row-major order.
pub(super) type Square = [Lanes; SIDE * SIDE / LANES];

/// The permission of this process to use the unit. No value exists without it.
#[derive(Clone, Copy, Debug)]
pub struct Amx(PhantomData<()>);

impl Amx {
    /// Asks the processor and, once, the operating system. `None` if the machine has no such unit, or if the system denies it.
    pub fn get() -> Option<Amx> {
        static PERMISSION: OnceLock<Option<Amx>> = OnceLock::new();
        *PERMISSION.get_or_init(|| (processor_has_it() && is_permitted()).then_some(Amx(PhantomData)))
    }

    /// Configures the tile registers of this thread until the region is dropped.
    #[allow(unsafe_code)]
    pub(super) fn region(self) -> Region {
        let config = Config::new();
        // SAFETY: `self` proves that the processor has the instruction and that the system permits it. The operand is 64 bytes
        // with a valid configuration: palette 1, eight tiles of 16 rows of 64 bytes, which `processor_has_it` has looked for.
        // The gain of the whole file: benches/record/6-gpu-and-intel.md.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly)) };
        Region(PhantomData)
    }
}

/// Leaf 7 lists AMX-BF16 and AMX-TILE, and leaf 29 describes the tiles of palette 1: at least eight, of 16 rows of 64 bytes.
#[allow(unused_unsafe)] // Rust made these functions safe later.
#[allow(unsafe_code)]
fn processor_has_it() -> bool {
    // SAFETY: every x86-64 processor has the instruction.
    let [most, features, palette] =
        unsafe { [__cpuid_count(0, 0), __cpuid_count(7, 0), __cpuid_count(29, 1)] };
    let has_tiles = features.edx >> 22 & 1 == 1 && features.edx >> 24 & 1 == 1;
    let (bytes_per_row, tiles, rows) = (palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff);
    most.eax >= 29 && has_tiles && bytes_per_row >= 64 && tiles >= 8 && rows >= 16
}

/// Asks Linux for the permission, which all threads of the process then have. Linux refuses, and changes nothing, if it does
/// not know the tiles, or if a thread has an alternate stack for signals that is too small to save them.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn is_permitted() -> bool {
    use std::ffi::c_long;
    unsafe extern "C" {
        fn syscall(number: c_long, ...) -> c_long;
    }
    const ARCH_PRCTL: c_long = 158;
    const REQUEST_PERMISSION: c_long = 0x1023;
    const TILE_DATA: c_long = 18;
    // SAFETY: the call takes two numbers and changes no memory of the process.
    unsafe { syscall(ARCH_PRCTL, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The operand of `ldtilecfg`.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Eight tiles of 16 rows of 64 bytes.
    fn new() -> Self {
        let mut config =
            Config { palette: 1, start_row: 0, reserved: [0; 14], bytes_per_row: [0; 16], rows: [0; 16] };
        config.bytes_per_row[..8].fill(64);
        config.rows[..8].fill(16);
        config
    }
}

/// The time in which a thread's tile registers are configured. A region stays on its thread: it is not `Send`.
pub(super) struct Region(PhantomData<*const ()>);

impl Drop for Region {
    /// Brings the registers back to their first state. oneDNN uses the unit on the same threads, and configures it itself.
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the region exists, so the processor has the instruction. No value lives in a tile register outside of
        // `multiply`.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}

/// Where the tiles of an operand lie, in [`Lanes`].
#[derive(Clone, Copy)]
pub(super) struct Tiles<'a> {
    /// The operand, from its first tile on.
    pub lanes: &'a [Lanes],
    /// From one row of a tile to the next.
    pub row: usize,
    /// From the first of two tiles to the second.
    pub next: usize,
    /// From two tiles to the next 32 terms.
    pub step: usize,
}

impl<'a> Tiles<'a> {
    /// Tiles that lie one after the other, each 16 rows of one `Lanes`.
    pub(super) fn in_order(lanes: &'a [Lanes]) -> Self {
        Tiles { lanes, row: 1, next: TILE, step: 2 * TILE }
    }

    /// The number of `Lanes` up to the last that `depth` pairs of tiles read.
    fn end(&self, depth: usize) -> usize {
        (depth - 1) * self.step + self.next + (TILE - 1) * self.row + 1
    }
}

/// The instructions of [`Region::multiply`], after those that set the sums.
macro_rules! multiply {
    ($a:ident, $b:ident, $sums:ident, $row:ident, $depth:ident, $($start:literal),*) => {
        asm!(
            $($start,)*
            "2:",
            "tileloadd tmm4, [{a} + {a_row}]",
            "tileloadd tmm6, [{b} + {b_row}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b_next} + {b_row}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{a_next} + {a_row}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {a_step}",
            "add {a_next}, {a_step}",
            "add {b}, {b_step}",
            "add {b_next}, {b_step}",
            "dec {depth}",
            "jnz 2b",
            "tilestored [{sums} + {row}], tmm0",
            "tilestored [{sums} + {row} + 64], tmm1",
            "tilestored [{lower} + {row}], tmm2",
            "tilestored [{lower} + {row} + 64], tmm3",
            a = inout(reg) $a.lanes.as_ptr() => _,
            a_next = inout(reg) $a.lanes.as_ptr().wrapping_add($a.next) => _,
            a_row = in(reg) 64 * $a.row,
            a_step = in(reg) 64 * $a.step,
            b = inout(reg) $b.lanes.as_ptr() => _,
            b_next = inout(reg) $b.lanes.as_ptr().wrapping_add($b.next) => _,
            b_row = in(reg) 64 * $b.row,
            b_step = in(reg) 64 * $b.step,
            sums = in(reg) $sums.as_mut_ptr(),
            lower = in(reg) $sums.as_mut_ptr().wrapping_add(TILE * $row),
            row = in(reg) 64 * $row,
            depth = inout(reg) $depth => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

impl Region {
    /// `sums = A B`, or `sums += A B`, for 32 rows of A and 32 columns of B, and `depth` times 32 terms. Sums have `row`
    /// [`Lanes`] from one row to the next, of which the first two are written.
    ///
    /// For each 32 terms, `a` has two tiles of 16 rows of A, 32 numbers each. `b` has two tiles for 16 columns of B each:
    /// row k of a tile has the terms 2 k and 2 k + 1 of each column.
    #[inline]
    #[allow(unsafe_code)]
    pub(super) fn multiply(
        &self,
        depth: usize,
        a: Tiles<'_>,
        b: Tiles<'_>,
        sums: &mut [Lanes],
        row: usize,
        adds: bool,
    ) {
        assert!(depth > 0 && a.lanes.len() >= a.end(depth) && b.lanes.len() >= b.end(depth));
        assert!(sums.len() >= (SIDE - 1) * row + 2);
        // SAFETY: the region exists, so this thread may use the registers, and they are configured. The loop reads the tiles of
        // `a` and `b`, and the other instructions read and write the two `Lanes` of 32 rows of `sums`; the assertions cover all
        // of them. Pointers past an end are not read. No tile register has a value from one block of assembler to the next. The
        // gain, for weight gradients and for attention: benches/record/6-gpu-and-intel.md.
        unsafe {
            if adds {
                multiply!(
                    a,
                    b,
                    sums,
                    row,
                    depth,
                    "tileloadd tmm0, [{sums} + {row}]",
                    "tileloadd tmm1, [{sums} + {row} + 64]",
                    "tileloadd tmm2, [{lower} + {row}]",
                    "tileloadd tmm3, [{lower} + {row} + 64]"
                );
            } else {
                multiply!(
                    a,
                    b,
                    sums,
                    row,
                    depth,
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3"
                );
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use crate::kernels::{Bf16, Element};

    /// A denormal number as the unit sees it: a zero with its sign.
    fn flushed(number: f32) -> f32 {
        if number.is_subnormal() { 0_f32.copysign(number) } else { number }
    }

    fn multiply_add(a: Bf16, b: Bf16, sum: f32) -> f32 {
        flushed(flushed(a.widen()).mul_add(flushed(b.widen()), sum))
    }

    /// The instruction for one number of a tile: `a` and `b` are 32 terms.
    fn emulated(sum: f32, a: &[Bf16], b: &[Bf16]) -> f32 {
        let mut parts = [0.0; 2];
        for (a, b) in a.chunks_exact(2).zip(b.chunks_exact(2)) {
            for (part, (a, b)) in parts.iter_mut().zip(a.iter().zip(b)) {
                *part = multiply_add(*a, *b, *part);
            }
        }
        flushed(flushed(sum) + flushed(parts[0] + parts[1]))
    }

    /// A generator of bits (xorshift).
    struct Bits(u64);

    impl Bits {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// A number of a magnitude between 2^-span and 2^span, or, where `span` is 127, any pattern of bits.
        fn number(&mut self, span: u64) -> Bf16 {
            let bits = self.next();
            if span == 127 {
                return Bf16((bits >> 20) as u16);
            }
            let exponent = 127 - span + (bits >> 32) % (2 * span + 1);
            Bf16(((bits & 0x807f) | exponent << 7) as u16)
        }
    }

    /// The operands of `depth` times 32 terms, as rows of A and rows of B's transpose, and laid out for the unit.
    fn operands(bits: &mut Bits, depth: usize, span: u64) -> [(Vec<Vec<Bf16>>, Vec<Lanes>); 2] {
        let mut rows = || -> Vec<Vec<Bf16>> {
            (0..SIDE).map(|_| (0..depth * 32).map(|_| bits.number(span)).collect()).collect()
        };
        let (a, b) = (rows(), rows());
        let mut lanes = [vec![Lanes::ZERO; depth * 2 * TILE], vec![Lanes::ZERO; depth * 2 * TILE]];
        for row in 0..SIDE {
            for k in 0..depth * 32 {
                let (tile, r) = (k / 32 * 2 + row / TILE, row % TILE);
                let [to_a, to_b] = &mut lanes;
                let of_a: &mut [Bf16] = bytemuck::cast_slice_mut(&mut to_a[tile * TILE + r..][..1]);
                of_a[k % 32] = a[row][k];
                let of_b: &mut [Bf16] = bytemuck::cast_slice_mut(&mut to_b[tile * TILE + k % 32 / 2..][..1]);
                of_b[2 * r + k % 2] = b[row][k];
            }
        }
        let [of_a, of_b] = lanes;
        [(a, of_a), (b, of_b)]
    }

    /// Whether two sums are the same number, or both are none.
    fn agree(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    #[allow(clippy::print_stdout)]
    fn the_unit_does_what_its_emulation_does() {
        let Some(amx) = Amx::get() else {
            println!("skipped: no AMX here");
            return;
        };
        let region = amx.region();
        let mut bits = Bits(0x1234_5678_9abc_def1);
        // The last two have sums that overflow, that are denormal, and operands that are infinite or no numbers.
        for (depth, span) in [(1, 0), (2, 3), (5, 20), (3, 70), (1, 126), (2, 127)] {
            let [(a, of_a), (b, of_b)] = operands(&mut bits, depth, span);
            let mut sums: Square = [Lanes::ZERO; SIDE * SIDE / LANES];
            region.multiply(depth, Tiles::in_order(&of_a), Tiles::in_order(&of_b), &mut sums, 2, false);
            let mut twice = sums;
            region.multiply(depth, Tiles::in_order(&of_a), Tiles::in_order(&of_b), &mut twice, 2, true);
            let (sums, twice): (&[f32], &[f32]) = (bytemuck::cast_slice(&sums), bytemuck::cast_slice(&twice));
            for (row, column) in (0..SIDE).flat_map(|row| (0..SIDE).map(move |column| (row, column))) {
                let add = |start: f32| {
                    let terms = a[row].chunks_exact(32).zip(b[column].chunks_exact(32));
                    terms.fold(start, |sum, (a, b)| emulated(sum, a, b))
                };
                let (once, again) = (sums[row * SIDE + column], twice[row * SIDE + column]);
                assert!(agree(once, add(0.0)), "{depth} {span}: {row} {column}: {once} {}", add(0.0));
                assert!(agree(again, add(once)), "{depth} {span}: {row} {column}: {again} {}", add(once));
            }
        }
    }

    #[test]
    #[should_panic(expected = "assertion failed")]
    #[allow(clippy::panic)]
    fn operands_that_are_too_short_are_refused() {
        let Some(amx) = Amx::get() else { panic!("assertion failed: no AMX here") };
        let short = [Lanes::ZERO; 2 * TILE];
        let (short, mut sums) = (Tiles::in_order(&short), [Lanes::ZERO; SIDE * SIDE / LANES]);
        amx.region().multiply(2, short, short, &mut sums, 2, false);
    }
}
