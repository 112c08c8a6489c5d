//! The Merkle tree of RFC 9162 section 2.1 with SHA-256, over the claims that one signature covers.
//!
//! Leaves are hashed behind a byte 00 and inner nodes behind a byte 01, so that neither can stand for the other. Trees here have a
//! power of two of leaves: places that no claims fill hold the empty entry, which is nobody's claims. A signed root says nothing
//! about the size of its tree, and with any size allowed the same proof would do for several sizes (index 0 of 3 and of 4). With
//! powers of two the length of the path is the size, and each bit of the index is a side: a token has one form.

use crate::cbor;
use crate::qr_token::sha256;

/// The most claims that one signature covers, and the largest tree.
pub const BATCH_MAX: usize = 64;
/// The smallest tree. One claim alone takes the single form.
const TREE_SIZE_MIN: usize = 2;
/// The longest path: the height of the largest tree.
const PATH_LENGTH_MAX: usize = BATCH_MAX.ilog2() as usize;

/// The longest proof, in bytes of CBOR.
pub(crate) const PROOF_LENGTH_MAX: usize = 1
    + cbor::head_length(BATCH_MAX as u64)
    + cbor::head_length(BATCH_MAX as u64 - 1)
    + 1
    + PATH_LENGTH_MAX * HASH_FIELD_LENGTH;

const HASH_LENGTH: usize = 32;
const HASH_FIELD_LENGTH: usize = cbor::head_length(HASH_LENGTH as u64) + HASH_LENGTH;

/// A SHA-256 in the tree.
pub(crate) type Hash = [u8; HASH_LENGTH];

/// The hash of an entry (RFC 9162 section 2.1.1).
pub(crate) fn leaf_hash(entry: &[u8]) -> Hash {
    let mut prefixed = Vec::with_capacity(1 + entry.len());
    prefixed.push(0x00);
    prefixed.extend_from_slice(entry);
    sha256(&prefixed)
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut prefixed = [0x01; 1 + 2 * HASH_LENGTH];
    // In two pieces, which are two moves each: a tree has as many nodes as it has leaves.
    let [_, hashes @ ..] = &mut prefixed;
    let (first, second) = hashes.split_at_mut(HASH_LENGTH);
    first.copy_from_slice(left);
    second.copy_from_slice(right);
    sha256(&prefixed)
}

/// A tree from its leaves up.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    /// The leaves first, the root alone in the last.
    levels: Vec<Vec<Hash>>,
    root: Hash,
}

impl Tree {
    /// A tree over these leaves, filled up with the empty entry to the next power of two.
    pub(crate) fn over(mut leaves: Vec<Hash>) -> Self {
        let size = leaves.len().next_power_of_two().max(TREE_SIZE_MIN);
        if leaves.len() < size {
            leaves.resize(size, leaf_hash(b""));
        }
        let mut levels = Vec::with_capacity(PATH_LENGTH_MAX);
        let mut level = leaves;
        loop {
            let (pairs, _) = level.as_chunks::<2>();
            let above: Vec<Hash> = pairs.iter().map(|[left, right]| node_hash(left, right)).collect();
            levels.push(level);
            if let [root] = above.as_slice() {
                return Self { levels, root: *root };
            }
            level = above;
        }
    }

    pub(crate) fn root(&self) -> &Hash {
        &self.root
    }

    /// The proof for the leaf at `index`, which must lie in the tree.
    pub(crate) fn proof(&self, index: usize) -> InclusionProof {
        let siblings = self.levels.iter().enumerate().filter_map(|(height, level)| level.get((index >> height) ^ 1));
        let mut path = Vec::with_capacity(self.levels.len());
        path.extend(siblings);
        InclusionProof { tree_size: 1 << self.levels.len(), leaf_index: index, path }
    }
}

/// What leads from a leaf to the root (RFC 9162 section 2.1.3). Always of a shape that a tree here can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InclusionProof {
    tree_size: usize,
    leaf_index: usize,
    /// The siblings, from the leaf up.
    path: Vec<Hash>,
}

impl InclusionProof {
    /// Takes a proof from outside.
    pub(crate) fn new(tree_size: u64, leaf_index: u64, path: Vec<Hash>) -> Result<Self, &'static str> {
        let tree_size = usize::try_from(tree_size).map_err(|_| SIZE_IS_WRONG)?;
        if !(TREE_SIZE_MIN..=BATCH_MAX).contains(&tree_size) || !tree_size.is_power_of_two() {
            return Err(SIZE_IS_WRONG);
        }
        let leaf_index = usize::try_from(leaf_index).ok().filter(|index| *index < tree_size);
        let leaf_index = leaf_index.ok_or("the leaf index is not below the tree size")?;
        if path.len() != tree_size.ilog2() as usize {
            return Err("the inclusion path does not have the length that the tree size wants");
        }
        Ok(Self { tree_size, leaf_index, path })
    }

    /// The root that this proof leads to from a leaf: RFC 9162 section 2.1.3.2, whose case of a last node without a sibling does not
    /// occur in a tree whose size is a power of two.
    pub(crate) fn root(&self, leaf: Hash) -> Hash {
        self.path.iter().enumerate().fold(leaf, |node, (height, sibling)| match (self.leaf_index >> height) & 1 {
            0 => node_hash(&node, sibling),
            _ => node_hash(sibling, &node),
        })
    }

    /// The proof as CBOR: `[tree size, leaf index, [+ hash]]` (RFC 9942 section 5.2).
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        cbor::array(to, 3);
        cbor::unsigned(to, self.tree_size as u64);
        cbor::unsigned(to, self.leaf_index as u64);
        cbor::array(to, self.path.len());
        for hash in &self.path {
            cbor::bytes(to, hash);
        }
    }

    /// How many bytes [`Self::write`] writes.
    pub(crate) fn length(&self) -> usize {
        let numbers = cbor::head_length(self.tree_size as u64) + cbor::head_length(self.leaf_index as u64);
        1 + numbers + 1 + self.path.len() * HASH_FIELD_LENGTH
    }
}

const SIZE_IS_WRONG: &str = "the tree size is not 2, 4, 8, 16, 32 or 64";

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u8) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&[number])).collect()
    }

    /// The entries and roots that Certificate Transparency's own implementations are tested with.
    #[test]
    fn the_roots_are_those_of_certificate_transparency() {
        let entries =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(&hex::decode(entry).unwrap())).collect();
        for (size, root) in [
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (4, "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ] {
            assert_eq!(hex::encode(Tree::over(leaves[..size].to_vec()).root()), root, "{size} entries");
        }
    }

    #[test]
    fn free_places_hold_the_empty_entry() {
        let mut filled = leaves(5);
        filled.extend([leaf_hash(b""); 3]);
        assert_eq!(Tree::over(leaves(5)).root(), Tree::over(filled).root());
    }

    #[test]
    fn every_leaf_of_every_tree_is_proven_and_only_at_its_place() {
        for count in 2..=64_u8 {
            let tree = Tree::over(leaves(count));
            for (index, leaf) in leaves(count).into_iter().enumerate() {
                let proof = tree.proof(index);
                assert_eq!(proof.root(leaf), *tree.root(), "{index} of {count}");
                for other in (0..proof.tree_size).filter(|other| *other != index) {
                    let moved = InclusionProof { leaf_index: other, ..proof.clone() };
                    assert_ne!(moved.root(leaf), *tree.root(), "{index} of {count} at {other}");
                }
            }
        }
    }

    #[test]
    fn a_proof_has_the_shape_of_its_tree_or_is_refused() {
        for tree_size in 0..=130_u64 {
            for leaf_index in 0..=130_u64 {
                for length in 0..=8 {
                    let is_tree = [2, 4, 8, 16, 32, 64].contains(&tree_size);
                    let fits = is_tree && leaf_index < tree_size && 1_u64 << length == tree_size;
                    let proof = InclusionProof::new(tree_size, leaf_index, vec![[0; 32]; length]);
                    assert_eq!(proof.is_ok(), fits, "{leaf_index} of {tree_size}, path of {length}");
                }
            }
        }
        assert!(InclusionProof::new(u64::MAX, 0, vec![]).is_err());
        assert!(InclusionProof::new(2, u64::MAX, vec![[0; 32]]).is_err());
    }

    #[test]
    fn a_proof_has_the_length_it_says_and_the_longest_is_known() {
        let mut longest = 0;
        for count in 2..=64_u8 {
            let tree = Tree::over(leaves(count));
            for index in 0..usize::from(count) {
                let mut written = Vec::new();
                tree.proof(index).write(&mut written);
                assert_eq!(written.len(), tree.proof(index).length(), "{index} of {count}");
                longest = longest.max(written.len());
            }
        }
        assert_eq!(longest, PROOF_LENGTH_MAX);
    }
}
