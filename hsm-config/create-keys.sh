#!/bin/sh
# Creates the gateway's keys on an HSM token, and the HSM token too when no token has the label yet: key pairs that sign codes, and
# the secret keys that dispense tokens are made with, one for each machine.
# It needs pkcs11-tool (Debian: opensc, tried with 0.23) and the vendor's PKCS#11 module (Debian: softhsm2).
#
# PINs come from files and reach pkcs11-tool through its environment (env:NAME), never through its arguments, which every user of
# the machine can read. That is why softhsm2-util is not used: it takes PINs as arguments only.
set -eu

usage() {
    cat >&2 <<'TEXT'
usage: create-keys.sh --token-label LABEL --pin-file FILE [--so-pin-file FILE] [--module FILE] WHAT

  --token-label   the HSM token; created when no token has this label (at most 32 bytes)
  --pin-file      first line: the user PIN (AWS CloudHSM: user:password)
  --so-pin-file   first line: the security officer's PIN; needed only when the HSM token is created
  --module        the PKCS#11 module (default: /usr/lib/softhsm/libsofthsm2.so, with SOFTHSM2_CONF in the environment)

WHAT is one of
  --key-label LABEL      creates a P-256 key pair that signs codes, and prints its key id; refused when a key has this label
  --dispense-key ATM_ID  creates the key of one machine's dispense tokens, labelled dispense-ATM_ID; refused when a key has this label
      --import FILE      takes its 32 bytes from this file instead of drawing them in the HSM: for trials, since the file is the key
  --show LABEL           creates nothing; prints the key id of the signing key with this label
TEXT
    exit 2
}

fail() {
    echo "create-keys.sh: $*" >&2
    exit 1
}

module=/usr/lib/softhsm/libsofthsm2.so
token_label='' pin_file='' so_pin_file='' key_label='' atm_id='' import_file='' shown_label=''
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
        --module) module=$2 ;;
        --token-label) token_label=$2 ;;
        --key-label) key_label=$2 ;;
        --dispense-key) atm_id=$2 ;;
        --import) import_file=$2 ;;
        --show) shown_label=$2 ;;
        --pin-file) pin_file=$2 ;;
        --so-pin-file) so_pin_file=$2 ;;
        *) usage ;;
    esac
    shift 2
done
if [ -z "$token_label" ] || [ -z "$pin_file" ]; then usage; fi
case ${key_label:+k}${atm_id:+d}${shown_label:+s} in k | d | s) ;; *) usage ;; esac
if [ -n "$import_file" ] && [ -z "$atm_id" ]; then usage; fi
# A longer label would be cut by the HSM, and then not be found.
[ "$(printf %s "$token_label" | wc -c)" -le 32 ] || fail "the token label has more than 32 bytes"
if [ -n "$atm_id" ]; then
    # The alphabet of ATM ids, as the gateway reads them from certificates.
    case $atm_id in *[!A-Za-z0-9._-]*) fail "'$atm_id' is no ATM id: letters, digits, dot, dash and underscore only" ;; esac
    [ "$(printf %s "$atm_id" | wc -c)" -le 64 ] || fail "the ATM id has more than 64 bytes"
    key_label=dispense-$atm_id
fi
if [ -n "$import_file" ]; then
    [ -r "$import_file" ] || fail "key file $import_file cannot be read"
    [ "$(wc -c <"$import_file")" -eq 32 ] || fail "key file $import_file must hold exactly 32 bytes: the key itself, no text, no line's end"
fi
command -v pkcs11-tool >/dev/null || fail "pkcs11-tool is missing: install it (Debian: opensc)"
[ -r "$module" ] || fail "PKCS#11 module $module is missing: install the vendor's package (Debian: softhsm2) or name it with --module"

# Reads the first line of a PIN file into $pin.
read_pin() {
    [ -r "$1" ] || fail "PIN file $1 cannot be read"
    pin=''
    IFS= read -r pin <"$1" || [ -n "$pin" ] || fail "PIN file $1 is empty"
    [ -n "$pin" ] || fail "PIN file $1 begins with an empty line"
}

tool() {
    pkcs11-tool --module "$module" "$@"
}

as_user() {
    tool --token-label "$token_label" --login --pin env:CASHGATE_PIN "$@"
}

# How many HSM tokens have the label. Compared as text through the environment: awk would read escapes in an argument.
count_tokens() {
    printf '%s\n' "$slots" | LABEL=$token_label awk '
        /^  token label +: / { sub(/^  token label +: /, ""); if ($0 == ENVIRON["LABEL"]) found++ }
        END { print found + 0 }'
}

create_token() {
    [ -n "$so_pin_file" ] || fail "no HSM token is labelled '$token_label'; to create it, add --so-pin-file"
    free_slot=$(printf '%s\n' "$slots" | awk '
        /^Slot [0-9]+ / { slot = $2 }
        /token state: +uninitialized/ { print slot; exit }')
    [ -n "$free_slot" ] || fail "no slot has an uninitialised HSM token: make a partition with the vendor's tool"
    read_pin "$so_pin_file"
    CASHGATE_SO_PIN=$pin
    export CASHGATE_SO_PIN
    tool --slot-index "$free_slot" --init-token --label "$token_label" --so-pin env:CASHGATE_SO_PIN
    tool --token-label "$token_label" --init-pin --so-pin env:CASHGATE_SO_PIN --pin env:CASHGATE_PIN
    unset CASHGATE_SO_PIN
}

# How many objects of a kind have a label. The kind is how pkcs11-tool begins the line above the object's label; '' is any.
count_keys() {
    printf '%s\n' "$objects" | KIND=$1 LABEL=$2 awk '
        /^[^ ]/ { kind = $0 }
        /^  label: +/ { sub(/^  label: +/, ""); if ($0 == ENVIRON["LABEL"] && index(kind, ENVIRON["KIND"]) == 1) found++ }
        END { print found + 0 }'
}

# One random id for both halves of a pair, so that tools which pair keys by id find them.
random_id() {
    od -An -N16 -tx1 /dev/urandom | tr -d ' \n'
}

hex_of() {
    od -An -v -tx1 | tr -d ' \n'
}

# Bytes $1 to $2 of a file, counted from 1, in base64url without padding (RFC 4648 section 5).
base64url_of() {
    head -c "$2" "$3" | tail -c +"$1" | base64 | tr '+/' '-_' | tr -d '=\n'
}

# Prints what tells a public key apart: the key id, which is the first 4 bytes of the JWK thumbprint (RFC 7638), and all of the
# thumbprint. Names the key by --label or --id. A public key is no secret, so it may pass through a file.
print_key_id() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    as_user --read-object --type pubkey "$@" --output-file "$scratch/public.der" >/dev/null 2>"$scratch/said" ||
        fail "the public key cannot be read: $(cat "$scratch/said")"
    # SubjectPublicKeyInfo of an uncompressed P-256 point (RFC 5480): always these 27 bytes, then x and y of 32 bytes each.
    head=$(head -c 27 "$scratch/public.der" | hex_of)
    if [ "$head" != 3059301306072a8648ce3d020106082a8648ce3d03010703420004 ] || [ "$(wc -c <"$scratch/public.der")" -ne 91 ]; then
        fail "the public key is not on P-256"
    fi
    x=$(base64url_of 28 59 "$scratch/public.der")
    y=$(base64url_of 60 91 "$scratch/public.der")
    thumbprint=$(printf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}' "$x" "$y" | sha256sum | cut -c 1-64)
    echo "key id:     $(printf %s "$thumbprint" | cut -c 1-8)"
    echo "thumbprint: $thumbprint"
}

create_signing_key() {
    id=$(random_id)
    # pkcs11-tool makes keys non-extractable unless told otherwise; --sensitive does the rest.
    as_user --keypairgen --key-type EC:prime256v1 --usage-sign --sensitive --label "$key_label" --id "$id"
    echo "created key '$key_label' on HSM token '$token_label'"
    print_key_id --id "$id"
}

# A generic secret of 32 bytes that makes and verifies HMACs. Without --extractable it cannot leave the HSM, not even wrapped.
create_dispense_key() {
    id=$(random_id)
    if [ -n "$import_file" ]; then
        # No --key-type: a generic secret is what pkcs11-tool writes then, and 0.23 refuses to be told so (OpenSC issue 2954).
        as_user --write-object "$import_file" --type secrkey --usage-sign --sensitive --private --label "$key_label" --id "$id"
    else
        as_user --keygen --key-type GENERIC:32 --usage-sign --sensitive --private --label "$key_label" --id "$id"
    fi
    objects=$(as_user --list-objects --type secrkey)
    if [ "$(count_keys 'Secret Key Object; Generic secret length 32' "$key_label")" -ne 1 ]; then
        as_user --delete-object --type secrkey --id "$id" || true
        fail "the HSM did not make a generic secret of 32 bytes of it: use another version of pkcs11-tool or the vendor's tool"
    fi
    echo "created dispense key '$key_label' on HSM token '$token_label'"
    print_check_value
}

# The same figure on both sides shows that the machine and the HSM hold the same key, and tells nothing about it.
print_check_value() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    printf 'cashgate key check' >"$scratch/text"
    as_user --sign --mechanism SHA256-HMAC --id "$id" --input-file "$scratch/text" --output-file "$scratch/hmac" \
        >/dev/null 2>"$scratch/said" || fail "the new key makes no HMAC: $(cat "$scratch/said")"
    echo "check value: $(head -c 4 "$scratch/hmac" | hex_of) (first 4 bytes of HMAC-SHA256 over the text 'cashgate key check')"
}

slots=$(tool --list-slots) || fail "the slots cannot be listed (SoftHSM2: is SOFTHSM2_CONF set, does its token directory exist?)"
read_pin "$pin_file"
CASHGATE_PIN=$pin
export CASHGATE_PIN

has_token=$(count_tokens)
[ "$has_token" -le 1 ] || fail "$has_token HSM tokens are labelled '$token_label': rename or remove all but one"
if [ "$has_token" -eq 0 ]; then
    [ -z "$shown_label" ] || fail "no HSM token is labelled '$token_label'"
    create_token
fi

# The first and only try of the PIN when it is wrong: the script stops here then.
objects=$(as_user --list-objects) ||
    fail "the keys of HSM token '$token_label' cannot be listed: is the PIN in $pin_file right? It was tried once"

if [ -n "$shown_label" ]; then
    halves=$(count_keys 'Private Key Object' "$shown_label")-$(count_keys 'Public Key Object' "$shown_label")
    case $halves in
        1-1) print_key_id --label "$shown_label" ;;
        0-0) fail "no key is labelled '$shown_label' on HSM token '$token_label'" ;;
        *) fail "private and public keys labelled '$shown_label': $halves; there must be one of each" ;;
    esac
    exit
fi

[ "$(count_keys '' "$key_label")" -eq 0 ] ||
    fail "a key labelled '$key_label' already exists on HSM token '$token_label': choose another label"
if [ -n "$atm_id" ]; then create_dispense_key; else create_signing_key; fi
