/*!
Large pages: memory in pages of two megabytes instead of four kilobytes.

Why ask for them? A table that is larger than what the processor's list of pages covers costs a walk through the
page table for nearly every lookup, and the system takes longer to provide 200 MB in small pages than it takes
to fill them (benches/record/3-encode.md).
*/

/// A multiple of every usual page size, in bytes.
const PAGE: usize = 1 << 16;
/// The usual size of a large page in bytes.
pub(crate) const LARGE_PAGE: usize = 1 << 21;
/// Memory of at least this many bytes is worth large pages, wherever it begins and however much of it is used.
const WORTH_LARGE_PAGES: usize = 1 << 23;

/// Asks the system for large pages, if the items are many. Call it before the memory is first written.
pub(crate) fn advise_large_pages<T>(items: &[T]) {
    if size_of_val(items) >= WORTH_LARGE_PAGES {
        ask_for_large_pages(items);
    }
}

/// Asks the system for large pages, of which the items fill one at least. Call it before the memory is first written.
#[allow(unsafe_code)]
pub(crate) fn ask_for_large_pages<T>(items: &[T]) {
    #[cfg(target_os = "linux")]
    {
        let start = items.as_ptr() as usize;
        let whole = start.next_multiple_of(PAGE)..(start + size_of_val(items)) / PAGE * PAGE;
        // SAFETY: the pages belong to `items`, and the advice changes nothing of what is in them.
        let advised = unsafe {
            rustix::mm::madvise(whole.start as *mut _, whole.len(), rustix::mm::Advice::LinuxHugepage)
        };
        let _ = advised; // Without large pages everything works, a little slower.
    }
    #[cfg(not(target_os = "linux"))]
    let _ = items;
}
