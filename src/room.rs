/*!
Room for many items, in memory that goes back to the system when it is freed.

Why not leave this to the allocator? glibc maps memory from 128 KiB on until a program frees such a piece. From then
on it takes pieces of up to that size, or 32 MiB, from its heaps, where freed memory stays. Tables that double then
leave each of their sizes behind: training on 170 MB of web text took 100 MiB, of which 65 were ever in use at once.
A piece of more than 32 MiB is always mapped, and does not change what is mapped later. Memory that is reserved and
not written takes addresses only. So many items get room for at least that much.
(benches/record/7-limit-of-the-chip.md)

Why not an allocator of our own for everything? That was measured. Encoding then takes 1.2 times as long where lists
of ids are made again and again, because each page of a new mapping is a fault.
*/

use crate::large_pages::advise_large_pages;

/// Items of at least this many bytes get a mapping of their own.
const WORTH_MAPPING: usize = 1 << 20;
/// glibc maps each piece of at least this many bytes.
const ALWAYS_MAPPED: usize = (32 << 20) + 1;
/// Elsewhere reserved memory may count as used, or there are too few addresses.
const RESERVES: bool = cfg!(all(target_os = "linux", target_pointer_width = "64"));

/// Room for at least `len` items, in large pages if they are many.
pub(crate) fn room<T>(len: usize) -> Vec<T> {
    let mut items = Vec::with_capacity(capacity::<T>(len));
    advise_large_pages(&items.spare_capacity_mut()[..len]);
    items
}

/// A vector of `len` copies of a value, in large pages if they are many.
pub(crate) fn filled<T: Copy>(value: T, len: usize) -> Vec<T> {
    let mut items = room(len);
    items.resize(len, value);
    items
}

/// Makes a vector longer by copies of a value, as [`filled`] makes it.
pub(crate) fn lengthen<T: Copy>(items: &mut Vec<T>, value: T, len: usize) {
    items.reserve_exact(capacity::<T>(len).saturating_sub(items.len()));
    let old = items.len();
    advise_large_pages(&items.spare_capacity_mut()[..len - old]);
    items.resize(len, value);
}

/// The number of items for which `len` items reserve room.
pub(crate) fn capacity<T>(len: usize) -> usize {
    let is_worth = RESERVES && len.saturating_mul(size_of::<T>()) >= WORTH_MAPPING;
    if is_worth { len.max(ALWAYS_MAPPED.div_ceil(size_of::<T>())) } else { len }
}

/// Gives the memory of small pieces that were freed back to the system. Worth a call where many megabytes were.
#[allow(unsafe_code)]
pub(crate) fn give_back_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: glibc locks each heap, and only memory that nobody owns goes back.
        unsafe { malloc_trim(0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_items_have_room_that_glibc_maps_and_few_have_no_more_than_they_need() {
        for (len, most) in [(0, 0), (100, 100), ((1 << 17) - 1, (1 << 17) - 1)] {
            assert_eq!(room::<u64>(len).capacity(), most);
        }
        for len in [1 << 17, 1 << 22, 5 << 20] {
            let num_bytes = 8 * room::<u64>(len).capacity();
            assert!(num_bytes >= 8 * len);
            assert!(!RESERVES || num_bytes > 32 << 20, "{num_bytes} bytes for {len} items");
        }
    }

    #[test]
    fn a_vector_that_is_lengthened_keeps_its_items_and_repeats_the_value() {
        let mut items = filled(1_u64, 10);
        for (value, len) in [(2, 11), (3, 1 << 17), (4, 1 << 18), (5, 5 << 20)] {
            let mut expected = items.clone();
            expected.resize(len, value);
            lengthen(&mut items, value, len);
            assert_eq!(items, expected);
        }
    }
}
