#!/bin/sh
# Creates a signing key for the gateway on an HSM token, and the HSM token too when no token has the label yet.
# It needs pkcs11-tool (Debian: opensc) and the vendor's PKCS#11 module (Debian: softhsm2).
#
# PINs come from files and reach pkcs11-tool through its environment (env:NAME), never through its arguments, which every user of
# the machine can read. That is why softhsm2-util is not used: it takes PINs as arguments only.
set -eu

usage() {
    cat >&2 <<'TEXT'
usage: create-keys.sh --token-label LABEL --key-label LABEL --pin-file FILE [--so-pin-file FILE] [--module FILE]

  --token-label   the HSM token; created when no token has this label (at most 32 bytes)
  --key-label     the new key pair; refused when a key has this label
  --pin-file      first line: the user PIN
  --so-pin-file   first line: the security officer's PIN; needed only when the HSM token is created
  --module        the PKCS#11 module (default: /usr/lib/softhsm/libsofthsm2.so, with SOFTHSM2_CONF in the environment)
TEXT
    exit 2
}

fail() {
    echo "create-keys.sh: $*" >&2
    exit 1
}

module=/usr/lib/softhsm/libsofthsm2.so
token_label='' key_label='' pin_file='' so_pin_file=''
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
        --module) module=$2 ;;
        --token-label) token_label=$2 ;;
        --key-label) key_label=$2 ;;
        --pin-file) pin_file=$2 ;;
        --so-pin-file) so_pin_file=$2 ;;
        *) usage ;;
    esac
    shift 2
done
if [ -z "$token_label" ] || [ -z "$key_label" ] || [ -z "$pin_file" ]; then usage; fi
# A longer label would be cut by the HSM, and then not be found.
[ "$(printf %s "$token_label" | wc -c)" -le 32 ] || fail "the token label has more than 32 bytes"
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

slots=$(tool --list-slots) || fail "the slots cannot be listed (SoftHSM2: is SOFTHSM2_CONF set, does its token directory exist?)"
read_pin "$pin_file"
CASHGATE_PIN=$pin
export CASHGATE_PIN

# Compared as text through the environment: awk would read escapes in an argument.
has_token=$(printf '%s\n' "$slots" | LABEL=$token_label awk '
    /^  token label +: / { sub(/^  token label +: /, ""); if ($0 == ENVIRON["LABEL"]) found++ }
    END { print found + 0 }')
[ "$has_token" -le 1 ] || fail "$has_token HSM tokens are labelled '$token_label': rename or remove all but one"

if [ "$has_token" -eq 0 ]; then
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
fi

# The first and only try of the PIN when it is wrong: the script stops here then.
objects=$(tool --token-label "$token_label" --login --pin env:CASHGATE_PIN --list-objects) ||
    fail "the keys of HSM token '$token_label' cannot be listed: is the PIN in $pin_file right? It was tried once"
has_key=$(printf '%s\n' "$objects" | LABEL=$key_label awk '
    /^  label: +/ { sub(/^  label: +/, ""); if ($0 == ENVIRON["LABEL"]) found++ }
    END { print found + 0 }')
[ "$has_key" -eq 0 ] || fail "a key labelled '$key_label' already exists on HSM token '$token_label': choose another label"

# One random id for both halves. pkcs11-tool makes keys non-extractable unless told otherwise; --sensitive does the rest.
id=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
tool --token-label "$token_label" --login --pin env:CASHGATE_PIN \
    --keypairgen --key-type EC:prime256v1 --usage-sign --sensitive --label "$key_label" --id "$id"
echo "created key '$key_label' on HSM token '$token_label'"
