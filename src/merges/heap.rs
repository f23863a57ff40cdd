/*!
A binary max-heap of pairs by count. The tie rule orders pairs of equal count.

Why not `std::collections::BinaryHeap`? The tie rule compares the bytes of tokens, which the heap does not
own. With an `Ord` on the entries alone, each entry would have to carry them.
*/

use super::pair::Symbol;
use super::tie_break::TokenOrder;

/// Pairs, the counts that they had when they were pushed, and their numbers in the index.
pub(super) struct Heap<S: Symbol> {
    entries: Vec<(u64, S::Key, u32)>,
}

impl<S: Symbol> Heap<S> {
    pub fn new() -> Self {
        Heap { entries: Vec::new() }
    }

    pub fn first(&self) -> Option<(u64, S::Key, u32)> {
        self.entries.first().copied()
    }

    pub fn push(&mut self, count: u64, key: S::Key, number: u32, order: &TokenOrder) {
        let mut at = self.entries.len();
        self.entries.push((count, key, number));
        while at > 0 && self.is_before(at, (at - 1) / 2, order) {
            self.entries.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    pub fn remove_first(&mut self, order: &TokenOrder) {
        self.entries.swap_remove(0);
        self.sift_down(order);
    }

    /// Lowers the count of the first entry to the one that its pair has by now.
    pub fn lower_first(&mut self, count: u64, order: &TokenOrder) {
        self.entries[0].0 = count;
        self.sift_down(order);
    }

    fn sift_down(&mut self, order: &TokenOrder) {
        let mut at = 0;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.entries.len() {
                return;
            }
            let child =
                if right < self.entries.len() && self.is_before(right, left, order) { right } else { left };
            if !self.is_before(child, at, order) {
                return;
            }
            self.entries.swap(at, child);
            at = child;
        }
    }

    fn is_before(&self, a: usize, b: usize, order: &TokenOrder) -> bool {
        let ((count_a, a, _), (count_b, b, _)) = (self.entries[a], self.entries[b]);
        count_a > count_b || count_a == count_b && order.is_before(S::pair(a), S::pair(b))
    }
}
