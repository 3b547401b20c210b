//! The Merkle tree over the log's lines, as in RFC 9162, section 2.1 (the same hashes as RFC 6962).
//!
//! A leaf is the bytes of a line without its line break. Only the roots of the perfect subtrees are kept, so
//! that a tree over any number of entries takes a few hundred bytes.

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256.
pub type Hash = [u8; 32];

fn sha256(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// What stands before the bytes of a leaf, so that no leaf can be taken for a node.
pub(in crate::log) const LEAF: u8 = 0;

/// The hash of a leaf, given with [`LEAF`] before it: who reads many lines copies none.
pub(in crate::log) fn prefixed_leaf(prefixed: &[u8]) -> Hash {
    sha256(prefixed)
}

/// The hash of a leaf.
#[cfg(test)]
pub(super) fn leaf(line: &[u8]) -> Hash {
    prefixed_leaf(&[&[LEAF], line].concat())
}

/// The hash of a node.
pub(super) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    bytes[1..33].copy_from_slice(left);
    bytes[33..].copy_from_slice(right);
    sha256(&bytes)
}

/// A tree that only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    size: u64,
    /// The roots of its perfect subtrees, the largest first.
    roots: Vec<Hash>,
}

impl Tree {
    /// Adds a leaf by its hash.
    pub fn push(&mut self, leaf: Hash) {
        let (mut hash, mut left) = (leaf, self.size);
        while left & 1 == 1 {
            let Some(before) = self.roots.pop() else { break };
            hash = node(&before, &hash);
            left >>= 1;
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// How many leaves there are.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root; of an empty tree, the hash of nothing.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        let Some(last) = roots.next() else { return sha256(&[]) };
        roots.fold(*last, |right, left| node(left, &right))
    }
}

#[cfg(test)]
impl Tree {
    /// The root of a tree whose right edge, which is no perfect subtree, is `right`.
    pub(super) fn with_right(&self, right: Hash) -> Hash {
        self.roots.iter().rev().fold(right, |right, left| node(left, &right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9162, section 2.1.1, to the letter.
    fn by_the_book(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => sha256(&[]),
            [one] => *one,
            many => {
                let split = many.len().next_power_of_two() / 2;
                node(&by_the_book(&many[..split]), &by_the_book(&many[split..]))
            }
        }
    }

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn roots_are_those_that_certificate_transparency_tests_with() {
        // The vectors of certificate-transparency's own merkle_tree_test.
        let leaves: [&[u8]; 8] = [
            &[],
            &[0],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f],
        ];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut tree = Tree::default();
        assert_eq!(hex(tree.root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (line, root) in leaves.into_iter().zip(roots) {
            tree.push(leaf(line));
            assert_eq!(hex(tree.root()), root, "{} leaves", tree.size());
        }
    }

    #[test]
    fn every_size_has_the_root_by_the_book() {
        let leaves: Vec<Hash> = (0..130_u32).map(|n| leaf(&n.to_be_bytes())).collect();
        let mut tree = Tree::default();
        for size in 0..=leaves.len() {
            assert_eq!(tree.root(), by_the_book(&leaves[..size]), "{size}");
            if let Some(next) = leaves.get(size) {
                tree.push(*next);
            }
        }
    }
}
