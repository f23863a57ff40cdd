/*!
The changes that one merge makes to the counts of pairs.

A merge of the pair `ab` touches only the pairs to its left (`xa`) and to its right (`by`). The words report
each `x` and `y`, and the index then lowers the counts of the old pairs and adds the new ones.
*/

use super::pair::{Site, Symbol};

/// The changes that one merge made: how often each symbol was a left or a right neighbour of the pair.
pub(super) struct Neighbours<S> {
    pub left: Side<S>,
    pub right: Side<S>,
}

/// The neighbours on one side: sums by symbol, and a log of the sites of each, in ascending order of sites.
pub(super) struct Side<S> {
    pub tallies: Vec<Tally>,
    pub touched: Vec<S>,
    pub log: Vec<(Site, S)>,
}

/// The sum of one neighbour.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    pub count: u64,
    /// The number of sites in the log. A word that has the pair twice is one site.
    pub num_sites: u32,
    /// The last of these sites.
    pub last_site: Site,
    /// The position of the next site in the index, while the sites are copied there.
    pub cursor: usize,
}

impl<S: Symbol> Side<S> {
    /// Adds a neighbour at a site whose word occurs `count` times.
    #[inline]
    pub fn add(&mut self, neighbour: S, count: u64, site: Site) {
        let tally = &mut self.tallies[neighbour.id() as usize];
        tally.count += count;
        if tally.num_sites == 0 {
            self.touched.push(neighbour);
        } else if tally.last_site == site {
            return;
        }
        tally.num_sites += 1;
        tally.last_site = site;
        self.log.push((site, neighbour));
    }

    /// Moves the neighbours of another side here, whose sites are all behind those of this one and before those of
    /// the neighbours that are added next, so that no site is added twice.
    fn append(&mut self, other: &mut Side<S>) {
        for neighbour in other.touched.drain(..) {
            let from = std::mem::take(&mut other.tallies[neighbour.id() as usize]);
            let to = &mut self.tallies[neighbour.id() as usize];
            if to.num_sites == 0 {
                self.touched.push(neighbour);
            }
            to.count += from.count;
            to.num_sites += from.num_sites;
        }
        self.log.append(&mut other.log);
    }
}

impl<S: Symbol> Neighbours<S> {
    /// No neighbours, and no room for any.
    pub fn new() -> Self {
        let side = || Side { tallies: Vec::new(), touched: Vec::new(), log: Vec::new() };
        Neighbours { left: side(), right: side() }
    }

    /// Moves other neighbours here, whose sites are all behind these, and leaves none there.
    pub fn append(&mut self, other: &mut Neighbours<S>) {
        self.left.append(&mut other.left);
        self.right.append(&mut other.right);
    }

    /// Makes room for the tallies of `num_symbols` symbols.
    pub fn resize(&mut self, num_symbols: usize) {
        self.left.tallies.resize(num_symbols, Tally::default());
        self.right.tallies.resize(num_symbols, Tally::default());
    }
}
