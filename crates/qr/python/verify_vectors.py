#!/usr/bin/env python3
"""Checks ../vectors/*.json with COSE, base45, Merkle tree, signature and QR code that shares nothing with the Rust crate.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python verify_vectors.py

It is also the format of README.md once more, as a program: `verify_qr_token` and `verify_approval` are what an app does. Every valid
vector must verify and say what is written beside it; every invalid one must fail. Exits with 1 and one line for each vector
that does not; the last line counts.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import base45
import cbor2
import segno
import zxingcpp
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from cwt import COSE, COSEKey

PREFIX = "CG1:"
TEXT_LENGTH_MAX = 766
MINOR_UNITS_MAX = 10**12
ES256 = -7
VDS, VDP, INCLUSION, RFC9162_SHA256 = 395, 396, -1, 1
TREE_SIZES = (2, 4, 8, 16, 32, 64)
COSE_SIGN1_TAG = b"\xd2"
TEXT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CLAIMS = {
    1: ("version", lambda v: is_integer(v) and v == 1),
    2: ("network", lambda v: isinstance(v, str) and TEXT_ID.fullmatch(v)),
    3: ("atm", lambda v: isinstance(v, str) and TEXT_ID.fullmatch(v)),
    4: ("issued_unix_s", lambda v: is_integer(v) and 0 <= v <= (2**64 - 1) // 1000),
    5: ("lifetime_s", lambda v: is_integer(v) and 1 <= v <= 300),
    6: ("qr_session", lambda v: isinstance(v, bytes) and len(v) == 16),
    7: ("nonce", lambda v: isinstance(v, bytes) and len(v) == 16),
    8: ("amount_minor_units", lambda v: is_integer(v) and 1 <= v <= MINOR_UNITS_MAX),
    9: ("currency", lambda v: isinstance(v, str) and re.fullmatch(r"[A-Z]{3}", v)),
    10: ("replica", lambda v: is_integer(v) and 0 <= v <= 32767),
}


class Refused(Exception):
    """Not genuine, and why."""


def is_integer(value):
    return isinstance(value, int) and not isinstance(value, bool)


def require(condition, why):
    if not condition:
        raise Refused(why)


def verify_qr_token(text, keys):
    """The claims, digest and key id of a genuine token. `keys` are COSE keys by key id (hexadecimal)."""
    require(len(text) <= TEXT_LENGTH_MAX, "too long")
    require(text.startswith(PREFIX), "another prefix")
    try:
        token = base45.b45decode(text[len(PREFIX) :])
        array = cbor2.loads(token)
    except Exception as error:
        raise Refused(f"not base45 of CBOR: {error}") from error
    require(PREFIX + base45.b45encode(token).decode() == text, "not the only base45 form")
    require(isinstance(array, list) and len(array) == 4, "not an untagged COSE_Sign1")
    protected, unprotected, payload, signature = array
    require(isinstance(protected, bytes) and isinstance(payload, bytes), "no protected header or payload")
    require(isinstance(signature, bytes) and len(signature) == 64, "the signature is not 64 bytes")
    require(cbor2.dumps(array, canonical=True) == token, "the COSE_Sign1 is not deterministic CBOR")
    # a2 01 26 04 44 or a3 01 26 04 44, and the key id: alg ES256, kid of 4 bytes.
    kid = protected[5:9]
    headers = {1: ES256, 4: kid}
    if unprotected != {}:
        headers[VDS] = RFC9162_SHA256
    require(protected == cbor2.dumps(headers, canonical=True), "other protected headers")
    signed = payload
    if unprotected != {}:
        signed = root_of(sha256(b"\x00" + payload), *inclusion_proof(unprotected))
    require(kid.hex() in keys, "a key that is not published")
    # With the payload taken out, a batched token is the receipt of RFC 9942; a single one verifies in the same way.
    receipt = COSE_SIGN1_TAG + cbor2.dumps([protected, unprotected, None, signature], canonical=True)
    try:
        COSE.new().decode(receipt, keys[kid.hex()], detached_payload=signed)
    except Exception as error:
        raise Refused(f"wrong signature: {error!r}") from error
    return read_claims(payload), hashlib.sha256(token).hexdigest(), kid.hex()


def sha256(data):
    return hashlib.sha256(data).digest()


def inclusion_proof(unprotected):
    """Tree size, leaf index and path out of {396: {-1: [h'proof']}}."""
    require(isinstance(unprotected, dict) and list(unprotected) == [VDP], "other unprotected headers")
    proofs = unprotected[VDP]
    require(isinstance(proofs, dict) and list(proofs) == [INCLUSION], "other proofs than of inclusion")
    inclusion = proofs[INCLUSION]
    require(isinstance(inclusion, list) and len(inclusion) == 1, "not exactly one proof")
    require(isinstance(inclusion[0], bytes), "the proof is not in bytes")
    try:
        proof = cbor2.loads(inclusion[0])
    except Exception as error:
        raise Refused(f"the proof is not CBOR: {error}") from error
    require(isinstance(proof, list) and len(proof) == 3, "the proof has other parts")
    require(cbor2.dumps(proof, canonical=True) == inclusion[0], "the proof is not deterministic CBOR")
    tree_size, leaf_index, path = proof
    require(is_integer(tree_size) and tree_size in TREE_SIZES, "another tree size")
    require(is_integer(leaf_index) and 0 <= leaf_index < tree_size, "the leaf is not in the tree")
    require(isinstance(path, list), "the path is no list")
    require(all(isinstance(hash, bytes) and len(hash) == 32 for hash in path), "other hashes than SHA-256")
    return tree_size, leaf_index, path


def root_of(leaf_hash, tree_size, leaf_index, path):
    """RFC 9162 section 2.1.3.2, step by step as it is written there, for any tree size."""
    fn, sn, r = leaf_index, tree_size - 1, leaf_hash
    for p in path:
        require(sn != 0, "the path is too long")
        if fn & 1 or fn == sn:
            r = sha256(b"\x01" + p + r)
            while not fn & 1 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\x01" + r + p)
        fn, sn = fn >> 1, sn >> 1
    require(sn == 0, "the path is too short")
    return r


def read_claims(payload):
    try:
        claims = cbor2.loads(payload)
    except Exception as error:
        raise Refused(f"the claims are not CBOR: {error}") from error
    require(isinstance(claims, dict), "the claims are not a map")
    require(set(claims) - {10} in ({1, 2, 3, 4, 5, 6, 7}, {1, 2, 3, 4, 5, 6, 7, 8, 9}), "other claims than expected")
    for key, (name, is_good) in CLAIMS.items():
        require(key not in claims or is_good(claims[key]), f"the claim {name} is wrong")
    # Sorted integer keys, shortest forms, no key twice, nothing behind: all of that is in the bytes.
    require(cbor2.dumps(claims, canonical=True) == payload, "the claims are not deterministic CBOR")
    return {name: claims.get(key) for key, (name, _) in CLAIMS.items()}


def signing_text(statement):
    fields = ("qr_token", "institution", "account", "amount_minor_units", "currency", "device")
    return "\n".join(["cashgate-approval-v1", *(str(statement[field]) for field in fields)])


def verify_approval(statement, signature, key):
    try:
        key.verify(signature, signing_text(statement).encode(), ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise Refused("wrong signature") from error


def check_key_sets(tokens):
    """Both forms hold the same keys, each under the beginning of its RFC 7638 thumbprint. Gives them by id."""
    from_jwks = {}
    for jwk in tokens["jwks"]["keys"]:
        required = {name: jwk[name] for name in ("crv", "kty", "x", "y")}
        thumbprint = hashlib.sha256(json.dumps(required, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
        assert thumbprint[:8] == jwk["kid"], f"key id {jwk['kid']} is not the beginning of {thumbprint}"
        # COSE's kid is the four bytes; a JWK can only hold them as text.
        from_jwks[jwk["kid"]] = COSEKey.from_jwk({**jwk, "kid": bytes.fromhex(jwk["kid"]).decode("latin-1")})
    from_cose = {}
    cose_key_set = bytes.fromhex(tokens["cose_key_set"])
    for cose_key in cbor2.loads(cose_key_set):
        from_cose[cose_key[2].hex()] = COSEKey.new(cose_key)
    assert cbor2.dumps(cbor2.loads(cose_key_set), canonical=True) == cose_key_set, "the COSE key set is not deterministic"
    points = lambda keys: {kid: key.key.public_numbers() for kid, key in keys.items()}
    assert points(from_jwks) == points(from_cose), "the JWK set and the COSE key set differ"
    return from_cose


def check_valid_token(vector, keys):
    claims, digest, key_id = verify_qr_token(vector["text"], keys)
    for name in ("qr_session", "nonce"):
        claims[name] = claims[name].hex()
    assert claims.pop("version") == 1
    assert claims == vector["claims"], f"claims are {claims}"
    assert digest == vector["digest"], f"digest is {digest}"
    assert key_id == vector["key_id"], f"key id is {key_id}"
    assert claims["issued_unix_s"] + claims["lifetime_s"] == vector["expires_unix_s"], "another expiry"
    token = bytes.fromhex(vector["cose_sign1"])
    protected, unprotected, payload, _ = cbor2.loads(token)
    tree, signed = None, payload
    if unprotected:
        size, index, path = inclusion_proof(unprotected)
        leaf_hash = sha256(b"\x00" + payload)
        signed = root_of(leaf_hash, size, index, path)
        tree = {"size": size, "leaf_index": index, "leaf_hash": leaf_hash.hex(), "root": signed.hex()}
        tree["path"] = [hash.hex() for hash in path]
    assert tree == vector["tree"], f"tree is {tree}"
    sig_structure = cbor2.dumps(["Signature1", protected, b"", signed])
    assert hashlib.sha256(sig_structure).hexdigest() == vector["signed_digest"], "another signed digest"


def check_picture(vector):
    """Another encoder makes a code of the same size, and another decoder than that of the Rust tests reads it."""
    code = segno.make(vector["text"], error="m", boost_error=False, micro=False)
    assert (code.mode, code.version) == ("alphanumeric", vector["qr_version"]), f"{code.mode}, version {code.version}"
    rows = [[0 if dark else 255 for dark in row] for row in code.matrix_iter(scale=4, border=4)]
    image = memoryview(bytes(pixel for row in rows for pixel in row)).cast("B", shape=[len(rows), len(rows[0])])
    scanned = [found.text for found in zxingcpp.read_barcodes(image)]
    assert scanned == [vector["text"]], f"scanned {scanned}"


def check_valid_approval(vector, key):
    assert signing_text(vector["statement"]) == vector["signing_text"], "another signing text"
    verify_approval(vector["statement"], bytes.fromhex(vector["signature"]), key)


def check_refused(verify):
    try:
        verify()
    except Refused:
        return
    raise AssertionError("was accepted")


def main():
    vectors = Path(__file__).resolve().parent.parent / "vectors"
    tokens = json.loads((vectors / "tokens.json").read_text())
    approvals = json.loads((vectors / "approvals.json").read_text())
    try:
        keys = check_key_sets(tokens)
    except AssertionError as problem:
        print(f"FAILED: key sets: {problem}", file=sys.stderr)
        return 1
    phone = load_der_public_key(bytes.fromhex(approvals["device_key"]["spki_der"]))
    checks = {
        "valid tokens": (tokens["valid"], lambda v: check_valid_token(v, keys)),
        "pictures": (tokens["valid"], check_picture),
        "invalid tokens": (tokens["invalid"], lambda v: check_refused(lambda: verify_qr_token(v["text"], keys))),
        "valid approvals": (approvals["valid"], lambda v: check_valid_approval(v, phone)),
        "invalid approvals": (
            approvals["invalid"],
            lambda v: check_refused(lambda: verify_approval(v["statement"], bytes.fromhex(v["signature"]), phone)),
        ),
    }
    failures = 0
    for kind, (listed, check) in checks.items():
        if not listed:
            failures += 1
            print(f"FAILED: no {kind} to check", file=sys.stderr)
        for vector in listed:
            try:
                check(vector)
            except (AssertionError, Refused) as problem:
                failures += 1
                print(f"FAILED: {kind}: {vector['name']}: {problem}", file=sys.stderr)
    counts = ", ".join(f"{len(listed)} {kind}" for kind, (listed, _) in checks.items())
    print(f"{len(keys)} keys, {counts}: {failures} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
