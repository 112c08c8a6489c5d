//! Every way in which a token of a batch is wrong, one each. Part of the table in `refused_tokens`.

use ciborium::Value;

use super::crafted_tokens::{
    CraftedToken, Hash, cbor, entries_of, inclusion_path, leaf_hash, map, merkle_tree_hash, node_hash, proof, proofs,
    sha256, text, usual_fields,
};
use super::refused_tokens::Named;
use super::test_keys::{for_several, forger, published, usual_claims};

const INDEX: usize = 2;

/// Five claims, and so a tree of eight.
pub(crate) fn entries() -> Vec<Vec<u8>> {
    entries_of(&for_several(5, &usual_claims()))
}

fn genuine() -> CraftedToken {
    CraftedToken::in_tree(&published()[0], &entries(), INDEX)
}

fn path() -> Vec<Hash> {
    inclusion_path(INDEX, &entries())
}

fn with_unprotected(unprotected: Value) -> String {
    CraftedToken { unprotected, ..genuine() }.text(&published()[0])
}

fn with_proof(proof: &Value) -> String {
    with_unprotected(proofs(proof))
}

/// Trees of another size. All but the first are genuine in RFC 9162's sense.
pub(crate) fn other_trees() -> Named {
    let key = &published()[0];
    let many = entries_of(&for_several(128, &usual_claims()));
    let tree_of = |size: usize, index: usize| CraftedToken::in_tree(key, &many[..size], index).text(key);
    vec![
        ("a tree of nothing", with_proof(&proof(0, 0, &[]))),
        ("a tree of one", tree_of(1, 0)),
        ("a tree of three", tree_of(3, 2)),
        ("a tree of five", tree_of(5, 1)),
        ("a tree of 63", tree_of(63, 0)),
        ("a tree of 65", tree_of(65, 64)),
        ("a tree of 128", tree_of(128, 0)),
        ("a tree of eight that calls itself a tree of seven", with_proof(&proof(7, INDEX, &path()))),
    ]
}

pub(crate) fn malformed_proofs() -> Named {
    let path = path();
    let longer = [path.as_slice(), &[[7; 32]]].concat();
    let parts = |parts: Vec<Value>| with_proof(&Value::Array(parts));
    let hashes = |hashes: &[&[u8]]| Value::Array(hashes.iter().map(|hash| (*hash).into()).collect());
    let plain = cbor(&proof(8, INDEX, &path));
    let as_bytes = |bytes: Vec<u8>| with_unprotected(map([(396, map([(-1, Value::Array(vec![bytes.into()]))]))]));
    let longer_number = [&plain[..1], &[0x18, 0x08], &plain[2..]].concat();
    let indefinite = [&plain[..3], &[0x9f], &plain[4..], &[0xff]].concat();
    let short_hash = hashes(&[&path[0], &path[1], &path[2][..31]]);
    let as_text = Value::Array(vec!["a".repeat(32).into(), "b".repeat(32).into(), "c".repeat(32).into()]);
    vec![
        ("leaf index of eight in a tree of eight", with_proof(&proof(8, 8, &path))),
        ("negative leaf index", with_proof(&proof(8, -1, &path))),
        ("negative tree size", with_proof(&proof(-8, INDEX, &path))),
        ("tree size as text", with_proof(&proof("8", INDEX, &path))),
        ("tree size beyond all numbers", with_proof(&proof(u64::MAX, INDEX, &path))),
        ("a path without its last hash", with_proof(&proof(8, INDEX, &path[..2]))),
        ("a path with one hash more", with_proof(&proof(8, INDEX, &longer))),
        ("an empty path", with_proof(&proof(8, INDEX, &[]))),
        ("a path of a tree of four", with_proof(&proof(4, INDEX, &path))),
        ("a hash of 31 bytes", parts(vec![8.into(), 2.into(), short_hash])),
        ("hashes as text", parts(vec![8.into(), 2.into(), as_text])),
        ("a proof of two parts", parts(vec![8.into(), 2.into()])),
        ("a proof of four parts", parts(vec![8.into(), 2.into(), hashes(&[&path[0]]), 0.into()])),
        ("a proof that is not CBOR", as_bytes(vec![0xff; 3])),
        ("a proof of no bytes", as_bytes(vec![])),
        ("a byte behind the proof", as_bytes([plain.as_slice(), &[0]].concat())),
        ("tree size in a longer form", as_bytes(longer_number)),
        ("path of indefinite length", as_bytes(indefinite)),
    ]
}

pub(crate) fn malformed_batch_headers() -> Named {
    let key = &published()[0];
    let inclusion = || Value::from(cbor(&proof(8, INDEX, &path())));
    let proofs_of = |proofs: Value| with_unprotected(map([(396, proofs)]));
    let kid = || Value::from(key.key_id().0.as_slice());
    let with_protected = |fields| CraftedToken { protected: cbor(&fields), ..genuine() }.text(key);
    let alone = CraftedToken::naming(key, cbor(&Value::Map(usual_fields())));
    let value = || genuine().value(&genuine().signature(key));
    let Value::Array(mut detached) = value() else { unreachable!("a COSE_Sign1 is an array") };
    detached[2] = Value::Null;
    let vds_unprotected = map([(395, 1.into()), (396, map([(-1, Value::Array(vec![inclusion()]))]))]);
    let one_more = map([(99, 0.into()), (396, map([(-1, Value::Array(vec![inclusion()]))]))]);
    let both_kinds = map([(-1, Value::Array(vec![inclusion()])), (-2, Value::Array(vec![inclusion()]))]);
    let without_proof = CraftedToken { unprotected: Value::Map(vec![]), root: None, ..genuine() };
    vec![
        ("a single token with a proof", CraftedToken { unprotected: genuine().unprotected, ..alone }.text(key)),
        ("a proof without its tree", with_protected(map([(1, (-7).into()), (4, kid())]))),
        ("a tree without its proof", without_proof.text(key)),
        ("another tree", with_protected(map([(1, (-7).into()), (4, kid()), (395, 2.into())]))),
        ("tree by name", with_protected(map([(1, (-7).into()), (4, kid()), (395, "RFC9162_SHA256".into())]))),
        ("tree before the key id", with_protected(map([(1, (-7).into()), (395, 1.into()), (4, kid())]))),
        ("tree in the unprotected header too", with_unprotected(vds_unprotected)),
        ("one more unprotected header", with_unprotected(one_more)),
        ("no proofs", proofs_of(Value::Map(vec![]))),
        ("proofs that are no map", proofs_of(Value::Array(vec![inclusion()]))),
        ("no inclusion proof", proofs_of(map([(-1, Value::Array(vec![]))]))),
        ("two inclusion proofs", proofs_of(map([(-1, Value::Array(vec![inclusion(), inclusion()]))]))),
        ("inclusion proof without its list", proofs_of(map([(-1, inclusion())]))),
        ("inclusion proof that is not in bytes", proofs_of(map([(-1, Value::Array(vec![proof(8, INDEX, &path())]))]))),
        ("a proof of another kind", proofs_of(map([(-2, Value::Array(vec![inclusion()]))]))),
        ("proofs of two kinds", proofs_of(both_kinds)),
        ("a receipt, its payload detached", text(&cbor(&Value::Array(detached)))),
        ("a batched token tagged as COSE_Sign1", text(&cbor(&Value::Tag(18, Box::new(value()))))),
    ]
}

/// Properly signed and proven, but not claims.
pub(crate) fn malformed_entries() -> Named {
    let key = &published()[0];
    let mut fields = usual_fields();
    fields[0].1 = 2.into();
    let entries_with_version_2 = [vec![cbor(&Value::Map(fields))], entries()[1..].to_vec()].concat();
    let root = merkle_tree_hash(&entries()[..2]);
    vec![
        ("the empty entry that fills a tree", CraftedToken::in_tree(key, &entries(), 7).text(key)),
        ("version 2 in a tree", CraftedToken::in_tree(key, &entries_with_version_2, 0).text(key)),
        ("a root signed as the payload of a single token", CraftedToken::naming(key, root.to_vec()).text(key)),
    ]
}

pub(crate) fn bad_batch_signatures() -> Named {
    let key = &published()[0];
    let (entries, path) = (entries(), path());
    let signature = genuine().signature(key);
    let signed_with = |signature: &[u8]| text(&genuine().bytes(signature));
    let alone = || CraftedToken::naming(key, genuine().payload);
    let root_under_single_header = CraftedToken { root: genuine().root, ..alone() }.signature(key);
    let mut flipped = path.clone();
    flipped[1][0] ^= 1;
    let reversed: Vec<Hash> = path.iter().rev().copied().collect();
    let neighbour = proof(8, INDEX + 1, &inclusion_path(INDEX + 1, &entries));
    let [left, right] = [INDEX, INDEX + 1].map(|index| leaf_hash(&entries[index]));
    let inner_node = CraftedToken {
        payload: [left, right].concat(),
        unprotected: proofs(&proof(4, INDEX / 2, &path[1..])),
        ..genuine()
    };
    let pair = |root: Hash, sibling: Hash| {
        let unprotected = proofs(&proof(2, 0, &[sibling]));
        CraftedToken { unprotected, root: Some(root), ..genuine() }.text(key)
    };
    let (mine, other) = (&entries[INDEX], &entries[INDEX + 1]);
    let node = |prefix: &[u8], left: Hash, right: Hash| sha256(&[prefix, &left, &right].concat());
    let swapped = |entry: &[u8]| sha256(&[&[1], entry].concat());
    vec![
        ("one bit of the path changed", with_proof(&proof(8, INDEX, &flipped))),
        ("a path from the root down", with_proof(&proof(8, INDEX, &reversed))),
        ("the proof of a neighbour", with_proof(&neighbour)),
        ("the place of a neighbour", with_proof(&proof(8, INDEX + 1, &path))),
        ("the claims of a neighbour", CraftedToken { payload: other.clone(), ..genuine() }.text(key)),
        ("half a tree", with_proof(&proof(4, INDEX, &path[..2]))),
        ("an inner node as a leaf", inner_node.text(key)),
        ("a leaf without its prefix", pair(node(&[1], sha256(mine), sha256(other)), sha256(other))),
        ("an inner node without its prefix", pair(node(&[], left, right), right)),
        ("prefixes changed places", pair(node(&[0], swapped(mine), swapped(other)), swapped(other))),
        ("left and right changed places", pair(node_hash(&right, &left), right)),
        ("the root's signature on a single token", text(&alone().bytes(&signature))),
        ("a single token's signature in a batch", signed_with(&alone().signature(key))),
        ("a root signed under the header of a single token", signed_with(&root_under_single_header)),
        ("claims signed in the root's stead", CraftedToken { root: None, ..genuine() }.text(key)),
        ("a root signed by a forger", signed_with(&genuine().signature(&forger()))),
        ("a root signed with external data", CraftedToken { external_data: &[0x08], ..genuine() }.text(key)),
        ("one bit of a batch's signature changed", {
            let mut changed = signature;
            changed[5] ^= 0x10;
            signed_with(&changed)
        }),
    ]
}
