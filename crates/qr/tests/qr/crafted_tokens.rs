//! Tokens as a forger would write them: any header, any payload, any signature, encoded here without the crate's own encoder.

use aws_lc_rs::digest::{SHA256, digest};
use cashgate_qr::QrClaims;
use ciborium::Value;

use super::test_keys::{TestKey, usual_claims};

pub(crate) type Hash = [u8; 32];

/// A COSE_Sign1 whose parts can be bent one by one before it is signed.
pub(crate) struct CraftedToken {
    pub(crate) protected: Vec<u8>,
    pub(crate) unprotected: Value,
    pub(crate) payload: Vec<u8>,
    /// What is signed in the payload's stead: the root of a tree.
    pub(crate) root: Option<Hash>,
    pub(crate) context: &'static str,
    pub(crate) external_data: &'static [u8],
}

impl CraftedToken {
    /// A token with these claims that names this key, with nothing wrong yet.
    pub(crate) fn naming(key: &TestKey, payload: Vec<u8>) -> Self {
        let protected = cbor(&map([(1, (-7).into()), (4, key.key_id().0.as_slice().into())]));
        let unprotected = Value::Map(vec![]);
        Self { protected, unprotected, payload, root: None, context: "Signature1", external_data: b"" }
    }

    /// The token of one of several entries under one signature, with nothing wrong yet if there are 2, 4, 8, 16, 32 or 64.
    pub(crate) fn in_tree(key: &TestKey, entries: &[Vec<u8>], index: usize) -> Self {
        let key_id = key.key_id();
        let protected = cbor(&map([(1, (-7).into()), (4, key_id.0.as_slice().into()), (395, 1.into())]));
        let unprotected = proofs(&proof(entries.len() as u64, index, &inclusion_path(index, entries)));
        let root = Some(merkle_tree_hash(entries));
        Self { protected, unprotected, root, ..Self::naming(key, entries[index].clone()) }
    }

    /// The signature over what the token holds now.
    pub(crate) fn signature(&self, key: &TestKey) -> [u8; 64] {
        let signed = cbor(&Value::Array(vec![
            self.context.into(),
            self.protected.as_slice().into(),
            self.external_data.into(),
            self.root.as_ref().map_or(self.payload.as_slice(), Hash::as_slice).into(),
        ]));
        key.sign_digest(digest(&SHA256, &signed).as_ref().try_into().unwrap())
    }

    pub(crate) fn value(&self, signature: &[u8]) -> Value {
        Value::Array(vec![
            self.protected.as_slice().into(),
            self.unprotected.clone(),
            self.payload.as_slice().into(),
            signature.into(),
        ])
    }

    pub(crate) fn bytes(&self, signature: &[u8]) -> Vec<u8> {
        cbor(&self.value(signature))
    }

    /// The text, signed by this key.
    pub(crate) fn text(&self, key: &TestKey) -> String {
        text(&self.bytes(&self.signature(key)))
    }
}

/// The claims of [`usual_claims`] as the keys and values of their map.
pub(crate) fn usual_fields() -> Vec<(Value, Value)> {
    fields_of(&usual_claims())
}

/// Claims without an amount as the keys and values of their map.
fn fields_of(claims: &QrClaims) -> Vec<(Value, Value)> {
    let Value::Map(fields) = map([
        (1, 1.into()),
        (2, claims.network.as_str().into()),
        (3, claims.atm.as_str().into()),
        (4, (claims.issued_at.unix_ms() / 1000).into()),
        (5, claims.lifetime_seconds.into()),
        (6, claims.qr_session.as_bytes().as_slice().into()),
        (7, claims.nonce.0.as_slice().into()),
    ]) else {
        unreachable!("`map` makes maps")
    };
    fields
}

/// The entries of a tree: these claims in the order of their leaf hashes, and the empty entry up to the next power of two.
pub(crate) fn entries_of(claims: &[QrClaims]) -> Vec<Vec<u8>> {
    let mut entries: Vec<Vec<u8>> = claims.iter().map(|claims| cbor(&Value::Map(fields_of(claims)))).collect();
    entries.sort_by_key(|entry| leaf_hash(entry));
    entries.resize(entries.len().next_power_of_two(), vec![]);
    entries
}

/// MTH of RFC 9162 section 2.1.1, as it is written there.
pub(crate) fn merkle_tree_hash(entries: &[Vec<u8>]) -> Hash {
    match entries {
        [entry] => leaf_hash(entry),
        _ => {
            let (left, right) = entries.split_at(entries.len().next_power_of_two() / 2);
            node_hash(&merkle_tree_hash(left), &merkle_tree_hash(right))
        }
    }
}

/// PATH of RFC 9162 section 2.1.3.1, as it is written there.
pub(crate) fn inclusion_path(index: usize, entries: &[Vec<u8>]) -> Vec<Hash> {
    if entries.len() == 1 {
        return vec![];
    }
    let split = entries.len().next_power_of_two() / 2;
    let (left, right) = entries.split_at(split);
    let (mut path, sibling) = if index < split {
        (inclusion_path(index, left), merkle_tree_hash(right))
    } else {
        (inclusion_path(index - split, right), merkle_tree_hash(left))
    };
    path.push(sibling);
    path
}

pub(crate) fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0x00], entry].concat())
}

pub(crate) fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x01], left.as_slice(), right.as_slice()].concat())
}

pub(crate) fn sha256(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

/// The content of an inclusion proof.
pub(crate) fn proof(tree_size: impl Into<Value>, leaf_index: impl TryInto<i64>, path: &[Hash]) -> Value {
    let leaf_index = leaf_index.try_into().ok().map(Value::from).unwrap();
    let path = path.iter().map(|hash| hash.as_slice().into()).collect();
    Value::Array(vec![tree_size.into(), leaf_index, Value::Array(path)])
}

/// The unprotected header with this proof.
pub(crate) fn proofs(proof: &Value) -> Value {
    map([(396, map([(-1, Value::Array(vec![cbor(proof).into()]))]))])
}

/// The tree size, leaf index and path in a genuine token; none in the single form.
pub(crate) fn proof_in(token: &[u8]) -> Option<(usize, usize, Vec<Hash>)> {
    let token: Value = ciborium::from_reader(token).unwrap();
    let (_, proofs) = token.as_array().unwrap()[1].as_map().unwrap().first()?;
    let proof = proofs.as_map().unwrap()[0].1.as_array().unwrap()[0].as_bytes().unwrap();
    let proof: Value = ciborium::from_reader(proof.as_slice()).unwrap();
    let [size, index, path] = proof.as_array().unwrap().as_slice() else {
        unreachable!("a genuine proof has three parts")
    };
    let number = |value: &Value| usize::try_from(value.as_integer().unwrap()).unwrap();
    let hash = |value: &Value| value.as_bytes().unwrap().as_slice().try_into().unwrap();
    Some((number(size), number(index), path.as_array().unwrap().iter().map(hash).collect()))
}

/// The root that a path leads to in a tree of a power of two.
pub(crate) fn root_from(leaf: Hash, leaf_index: usize, path: &[Hash]) -> Hash {
    let climb = |(node, index): (Hash, usize), sibling: &Hash| {
        (if index % 2 == 1 { node_hash(sibling, &node) } else { node_hash(&node, sibling) }, index / 2)
    };
    path.iter().fold((leaf, leaf_index), climb).0
}

/// The Sig_structure of a genuine token of either form.
pub(crate) fn signed_bytes(token: &[u8]) -> Vec<u8> {
    let proof = proof_in(token);
    let token: Value = ciborium::from_reader(token).unwrap();
    let [protected, _, payload, _] = token.as_array().unwrap().as_slice() else {
        unreachable!("a COSE_Sign1 has four parts")
    };
    let claims = payload.as_bytes().unwrap();
    let signed = match proof {
        Some((_, index, path)) => root_from(leaf_hash(claims), index, &path).as_slice().into(),
        None => payload.clone(),
    };
    cbor(&Value::Array(vec!["Signature1".into(), protected.clone(), b"".as_slice().into(), signed]))
}

pub(crate) fn map<const N: usize>(fields: [(i64, Value); N]) -> Value {
    Value::Map(fields.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

pub(crate) fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

pub(crate) fn text(bytes: &[u8]) -> String {
    format!("CG1:{}", base45::encode(bytes))
}
