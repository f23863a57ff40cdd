/*!
The tokens as a tree of their prefixes, which finds the longest token with which a text begins.

Why not a map of children in each node, or a hash table of edges? Following edges is half of the work of
encoding a new pretoken. In a double array (Aoe 1989, An Efficient Digital Search Algorithm by Using a
Double-Array Structure) a step takes one load and one comparison. If a node has a child for a byte, the child
is at the node's base plus the byte, and it names the node as its parent.
*/

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;
/// The root's parent.
const NOBODY: u32 = NONE - 1;

/// A prefix of some token, or a free slot.
#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    base: u32,
    /// The number of the token that equals the prefix, or [`NONE`].
    token: u32,
}

const FREE: Node = Node { parent: NONE, base: 0, token: NONE };

/// A tree of tokens, each with a number.
pub(super) struct PrefixTree {
    /// At least 256 nodes follow the greatest base.
    nodes: Vec<Node>,
}

impl PrefixTree {
    /// Builds the tree of distinct tokens, which are sorted by their bytes.
    pub fn new(tokens: &[(&[u8], u32)]) -> Self {
        let mut tree = PrefixTree { nodes: vec![FREE; 256] };
        tree.nodes[0].parent = NOBODY;
        let mut first_free = 1;
        // Nodes whose children have no slots yet, with the length of each prefix and the tokens that begin
        // with it.
        let mut open = vec![(ROOT, 0, tokens)];
        while let Some((node, len, mut tokens)) = open.pop() {
            if let Some(&(token, number)) = tokens.first()
                && token.len() == len
            {
                tree.nodes[node as usize].token = number;
                tokens = &tokens[1..];
            }
            let by_byte = || tokens.chunk_by(|(a, _), (b, _)| a[len] == b[len]);
            let bytes: Vec<usize> = by_byte().map(|group| group[0].0[len].into()).collect();
            let Some(base) = tree.find_base(&bytes, &mut first_free) else { continue };
            tree.nodes[node as usize].base = base;
            for (group, byte) in by_byte().zip(bytes) {
                tree.nodes[base as usize + byte].parent = node;
                open.push((base + group[0].0[len] as u32, len + 1, group));
            }
        }
        tree
    }

    /// The first base at which the slots of all these bytes are free.
    fn find_base(&mut self, bytes: &[usize], first_free: &mut usize) -> Option<u32> {
        let first = *bytes.first()?;
        let is_free = |nodes: &[Node], at: usize| nodes.get(at).is_none_or(|node| node.parent == NONE);
        while !is_free(&self.nodes, *first_free) {
            *first_free += 1;
        }
        let mut base = first_free.saturating_sub(first);
        while !bytes.iter().all(|byte| is_free(&self.nodes, base + byte)) {
            base += 1;
        }
        self.nodes.resize(self.nodes.len().max(base + 256), FREE);
        u32::try_from(base).ok()
    }

    /// The number and the length of the longest token with which `text` begins.
    #[inline]
    pub fn longest(&self, text: &[u8]) -> Option<(u32, usize)> {
        let (mut at, mut node, mut longest) = (ROOT, self.nodes[ROOT as usize], (NONE, 0));
        for (&byte, len) in text.iter().zip(1..) {
            let next = node.base + u32::from(byte);
            node = self.nodes[next as usize];
            if node.parent != at {
                break;
            }
            at = next;
            if node.token != NONE {
                longest = (node.token, len);
            }
        }
        (longest.0 != NONE).then_some(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_token_is_found_that_a_text_begins_with() {
        let mut tokens: Vec<Vec<u8>> = (0..3000_usize)
            .map(|n| (0..1 + n % 7).map(|i| [0, 1, 97, 98, 255][(n >> i) * (i + 3) % 5]).collect())
            .collect();
        tokens.sort();
        tokens.dedup();
        let numbered: Vec<(&[u8], u32)> = tokens.iter().map(Vec::as_slice).zip(10..).collect();
        for step in [1, 2, 5, 1000] {
            let some: Vec<_> = numbered.iter().copied().step_by(step).collect();
            let tree = PrefixTree::new(&some);
            assert!(tree.nodes.len() <= 256 * (some.len() + 2));
            for token in &tokens {
                let text = [&token[..], b"ab"].concat();
                let longest = some
                    .iter()
                    .filter(|(token, _)| text.starts_with(token))
                    .max_by_key(|(token, _)| token.len());
                assert_eq!(tree.longest(&text), longest.map(|&(token, number)| (number, token.len())));
            }
        }
        assert_eq!(PrefixTree::new(&[]).longest(b"a"), None);
        assert_eq!(PrefixTree::new(&numbered).longest(b""), None);
    }
}
