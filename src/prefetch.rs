/*!
Prefetching: the processor fetches memory into its cache before the program needs it.

Why not load it earlier instead? A load that misses the cache stays in the processor's queue until the memory
answers, and the queue is full after some two hundred more instructions. So a loop of 28 instructions has at
most eight loads under way at a time. A prefetch leaves the queue at once. (Lookups of web text on one thread
take 1.39 s with loads and 0.75 s with prefetches; benches/record/2-scan-and-count.md.)
*/

/// Prefetches an item of a slice, which will be read soon. Does nothing on processors other than x86-64.
#[inline(always)]
pub(crate) fn prefetch<T>(items: &[T], index: usize) {
    prefetch_at(items.as_ptr().wrapping_add(index));
}

/// Prefetches what is at an address, which need not be valid.
#[inline(always)]
#[allow(unsafe_code)]
pub(crate) fn prefetch_at<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: any address may be prefetched, and every x86-64 has the instruction.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
