/*!
Pretokens and counts that were sorted in a file, one after another. They need not be looked up, so they take no more than
their own bytes, and two to eleven bytes for lengths and counts.
*/

use crate::count_file::{number, push_number};

/// Pretokens, each with its length before it and its count behind it.
#[derive(Default)]
pub(super) struct Listed {
    bytes: Vec<u8>,
    len: usize,
}

impl Listed {
    /// The number of pretokens.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds a pretoken, which is not there yet.
    pub fn push(&mut self, pretoken: &[u8], count: u64) {
        push_number(&mut self.bytes, pretoken.len() as u64);
        self.bytes.extend_from_slice(pretoken);
        push_number(&mut self.bytes, count);
        self.len += 1;
    }

    /// Each pretoken and its count.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let len = usize::try_from(number(&self.bytes, &mut at)?).ok()?;
            let pretoken = self.bytes.get(at..at + len)?;
            at += len;
            Some((pretoken, number(&self.bytes, &mut at)?))
        })
    }
}
