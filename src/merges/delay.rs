/*!
A queue of a fixed length, for work whose memory is prefetched.

An item that goes in comes out when enough others have gone in that its memory has arrived. Why not a batch? The
words do not come in batches of pairs, and a batch would be filled and emptied in turns, with nothing prefetched
while it is emptied.
*/

/// The number of items between going in and coming out.
const DELAY: usize = 16;

/// A queue that always holds the same number of items.
pub(super) struct Delay<T> {
    items: [T; DELAY],
    next: usize,
}

impl<T: Copy> Delay<T> {
    /// A queue of copies of `nothing`, an item that means no work.
    pub fn new(nothing: T) -> Self {
        Delay { items: [nothing; DELAY], next: 0 }
    }

    /// Puts an item in, and takes the oldest one out.
    #[inline]
    pub fn exchange(&mut self, item: T) -> T {
        let oldest = std::mem::replace(&mut self.items[self.next % DELAY], item);
        self.next = (self.next + 1) % DELAY;
        oldest
    }

    /// All items, the oldest first.
    pub fn into_items(self) -> impl Iterator<Item = T> {
        (0..DELAY).map(move |i| self.items[(self.next + i) % DELAY])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_comes_out_once_and_in_order() {
        for number in [0, 1, DELAY - 1, DELAY, 5 * DELAY + 3] {
            let mut delay = Delay::new(None);
            let mut out: Vec<_> = (0..number).map(|item| delay.exchange(Some(item))).collect();
            out.extend(delay.into_items());
            let nothing = [None; DELAY];
            let expected: Vec<_> = nothing.into_iter().chain((0..number).map(Some)).collect();
            assert_eq!(out, expected);
        }
    }
}
