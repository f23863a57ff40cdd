/*!
How often learning looks at the cancel flag: in every loop whose length the corpus decides.

Why not only between merges? One line of a gigabyte is one word, and then a single merge, or a single pass that
closes its gaps, takes seconds.
*/

use crate::error::Error;

/// Checks whether the work was cancelled.
pub(super) type Check<'a> = &'a (dyn Fn() -> Result<(), Error> + Sync);

/// Words, sites or symbols between two checks of the cancel flag: some milliseconds at most.
pub(super) const CHECK_EVERY: usize = 1 << 16;

/// Makes a vector longer, with checks between its parts.
pub(super) fn grow<T>(
    vector: &mut Vec<T>,
    len: usize,
    mut value: impl FnMut() -> T,
    check: Check<'_>,
) -> Result<(), Error> {
    vector.reserve(len.saturating_sub(vector.len()));
    while vector.len() < len {
        check()?;
        let end = len.min(vector.len() + CHECK_EVERY);
        vector.resize_with(end, &mut value);
    }
    Ok(())
}
