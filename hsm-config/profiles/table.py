#!/usr/bin/env python3
"""Draws the table of README.md from the profiles; with --check, fails if README.md or a profile is behind. Python 3.11, nothing else."""

import pathlib
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- table.py: begin -->\n", "<!-- table.py: end -->\n"
PROFILES = {
    "SoftHSM2": "softhsm2",
    "AWS CloudHSM": "aws-cloudhsm",
    "Thales Luna 7": "thales-luna",
    "Entrust nShield": "entrust-nshield",
    "YubiHSM 2": "yubihsm2",
    "Azure Managed HSM": "azure-managed-hsm",
}
ROWS = {
    "pkcs11": "PKCS#11",
    "pin": "PIN",
    "token_label": "HSM token's label",
    "hsm_sessions": "HSM sessions",
    "generate": "`CKM_EC_KEY_PAIR_GEN`",
    "sign": "`CKM_ECDSA`, P-256",
    "mac": "`CKM_SHA256_HMAC`",
    "random": "`C_GenerateRandom`",
    "attributes": "attributes",
    "new_keys": "keys of another process",
    "capacity": "keys it holds",
    "rate": "P-256 signatures",
    "replication": "replication",
    "failover": "failover",
    "backup": "backup",
    "quorum": "quorum",
}
# The first profile is the pattern; these parts may hold other keys.
FREE = {"sources", "cloud_hsm", "dispense_key"}


def main() -> None:
    profiles = {name: tomllib.loads((HERE / f"{file}.toml").read_text()) for name, file in PROFILES.items()}
    problems = [problem for name, profile in profiles.items() for problem in problems_of(name, profile, profiles["SoftHSM2"])]
    if problems:
        sys.exit("\n".join(problems))
    text = README.read_text()
    if BEGIN not in text or END not in text:
        sys.exit("README.md has lost the two comments between which the table stands")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    drawn = before + BEGIN + table(profiles) + END + after
    if "--check" not in sys.argv:
        README.write_text(drawn)
    elif drawn != text:
        sys.exit("the table in README.md is not the one that the profiles give: run profiles/table.py")


def problems_of(name: str, profile: dict, pattern: dict):
    """What keeps a profile from being compared with the others, or a fact from being traced."""
    for part in sorted((pattern.keys() | profile.keys()) - FREE):
        found, wanted = keys_of(profile.get(part, {})), keys_of(pattern.get(part, {}))
        if found != wanted:
            yield f"{name}: [{part}] differs from SoftHSM2's in {sorted(found ^ wanted)}"
    for fact, known in profile["facts"].items():
        if known.keys() != {"short", "says", "from"}:
            yield f"{name}: [facts.{fact}] must have short, says and from"
        elif known["from"] == "tried here" and name != "SoftHSM2":
            yield f"{name}: [facts.{fact}] says that it was tried here"
        elif known["from"] not in {"tried here", "not found", *profile["sources"]}:
            yield f"{name}: [facts.{fact}] comes from {known['from']!r}, which is not among its sources"
    for unused in profile["sources"].keys() - {known["from"] for known in profile["facts"].values()}:
        yield f"{name}: source {unused!r} is not used"


def keys_of(part: dict) -> set:
    return {(key, sub) for key, value in part.items() for sub in (value if isinstance(value, dict) else [""])}


def table(profiles: dict) -> str:
    lines = ["| | " + " | ".join(f"[{name}](profiles/{PROFILES[name]}.toml)" for name in profiles) + " |"]
    lines.append("|---" * (len(profiles) + 1) + "|")
    for fact, title in ROWS.items():
        cells = [profile["facts"][fact]["short"] + mark(profile, fact) for profile in profiles.values()]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def mark(profile: dict, fact: str) -> str:
    """T tried here, D from the vendor's documents or published source, S from somebody else, nothing where nothing was found."""
    origin = profile["facts"][fact]["from"]
    if origin in {"tried here", "not found"}:
        return " (T)" if origin == "tried here" else ""
    return " (S)" if profile["sources"][origin].startswith("not the vendor") else " (D)"


if __name__ == "__main__":
    main()
