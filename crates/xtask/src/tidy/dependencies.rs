//! Dependencies point one way. `deny.toml` says the same of the whole tree, this says it crate by crate.

use serde_json::Value;

/// What a crate of the workspace may depend on inside it, tests aside. A new crate needs a row.
const DIRECTION: [(&str, &[&str]); 16] = [
    ("cashgate-withdrawal", &[]),
    ("cashgate-limits", &["cashgate-withdrawal"]),
    ("cashgate-qr", &["cashgate-withdrawal"]),
    ("cashgate-policy", &["cashgate-withdrawal"]),
    ("cashgate-hsm", &[]),
    ("cashgate-ledger", &["cashgate-withdrawal"]),
    ("cashgate-wire", &["cashgate-withdrawal"]),
    (
        "cashgate-gateway",
        &[
            "cashgate-withdrawal",
            "cashgate-limits",
            "cashgate-qr",
            "cashgate-policy",
            "cashgate-hsm",
            "cashgate-ledger",
            "cashgate-wire",
        ],
    ),
    ("cashgate-fuzz", &[]),
    ("cashgate-postgres-server", &[]),
    ("cashgate-siege", &["cashgate-wire"]),
    ("cashgate-fleet", &["cashgate-withdrawal", "cashgate-qr", "cashgate-wire"]),
    ("cashgate-loadtest", &["cashgate-withdrawal", "cashgate-wire", "cashgate-fleet"]),
    (
        "cashgate-simulation",
        &[
            "cashgate-withdrawal",
            "cashgate-limits",
            "cashgate-qr",
            "cashgate-policy",
            "cashgate-ledger",
            "cashgate-wire",
            "cashgate-gateway",
        ],
    ),
    (
        "cashgate-replay",
        &["cashgate-withdrawal", "cashgate-limits", "cashgate-qr", "cashgate-policy", "cashgate-gateway"],
    ),
    ("xtask", &["cashgate-postgres-server"]),
];

/// What only these crates may name at all, in tests too.
const ONLY_THROUGH: [(&str, &[&str]); 10] = [
    ("cryptoki", &["cashgate-hsm"]),
    ("cryptoki-sys", &["cashgate-hsm"]),
    ("dashmap", &["cashgate-limits"]),
    ("prost", &["cashgate-wire"]),
    ("prost-types", &["cashgate-wire"]),
    ("tonic-prost", &["cashgate-wire"]),
    ("rusqlite", &["cashgate-ledger", "cashgate-fleet"]),
    ("tokio-postgres", &["cashgate-ledger"]),
    ("deadpool-postgres", &["cashgate-ledger"]),
    ("cedar-policy", &["cashgate-policy"]),
];

/// Crates that may depend on exactly this: no async, wire format, clock, randomness or storage can creep in.
const PINNED: [(&str, &[&str]); 2] = [
    ("cashgate-withdrawal", &["thiserror"]),
    ("cashgate-limits", &["cashgate-withdrawal", "foldhash", "siphasher", "smallvec", "thiserror"]),
];

/// A crate of the workspace.
pub(super) struct Crate {
    pub(super) name: String,
    /// Its folder, under `crates/` or, for `loadtest`, at the root.
    pub(super) folder: String,
    pub(super) dependencies: Vec<Dependency>,
}

pub(super) struct Dependency {
    name: String,
    is_for_tests: bool,
}

impl Crate {
    /// The workspace's crates out of what `cargo metadata --no-deps` writes.
    pub(super) fn all_of(metadata: &str) -> Result<Vec<Self>, String> {
        let metadata: Value = serde_json::from_str(metadata).map_err(|error| format!("cargo metadata: {error}"))?;
        let packages = metadata.get("packages").and_then(Value::as_array).ok_or("cargo metadata: no packages")?;
        packages.iter().map(|package| Self::of(package).ok_or_else(|| format!("not a package: {package}"))).collect()
    }

    fn of(package: &Value) -> Option<Self> {
        let manifest = std::path::Path::new(package.get("manifest_path")?.as_str()?);
        let folder = manifest.parent()?.file_name()?.to_str()?.to_owned();
        let dependencies = package.get("dependencies")?.as_array()?;
        let dependency = |one: &Value| {
            let name = one.get("name")?.as_str()?.to_owned();
            Some(Dependency { name, is_for_tests: one.get("kind")?.as_str() == Some("dev") })
        };
        let dependencies = dependencies.iter().map(dependency).collect::<Option<Vec<_>>>()?;
        Some(Self { name: package.get("name")?.as_str()?.to_owned(), folder, dependencies })
    }

    /// What it needs outside tests.
    fn production(&self) -> impl Iterator<Item = &str> {
        self.dependencies.iter().filter(|one| !one.is_for_tests).map(|one| one.name.as_str())
    }
}

pub(super) fn findings(crates: &[Crate]) -> Vec<String> {
    [against_direction(crates), not_only_through(crates), not_as_pinned(crates)].concat()
}

fn against_direction(crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for one in crates {
        let Some((_, allowed)) = DIRECTION.iter().find(|(name, _)| *name == one.name) else {
            findings.push(format!("{}: has no row in DIRECTION: say what it may depend on", one.name));
            continue;
        };
        let inside = one.production().filter(|name| crates.iter().any(|other| other.name == *name));
        for forbidden in inside.filter(|name| !allowed.contains(name)) {
            findings.push(format!("{}: must not depend on {forbidden}", one.name));
        }
    }
    findings
}

fn not_only_through(crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for one in crates {
        for dependency in &one.dependencies {
            let rule = ONLY_THROUGH.iter().find(|(name, _)| *name == dependency.name);
            if let Some((name, through)) = rule.filter(|(_, through)| !through.contains(&one.name.as_str())) {
                findings.push(format!("{}: {name} may be used only through {}", one.name, through.join(" or ")));
            }
        }
    }
    findings
}

fn not_as_pinned(crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, pinned) in PINNED {
        let Some(one) = crates.iter().find(|one| one.name == name) else { continue };
        let mut has: Vec<&str> = one.production().collect();
        has.sort_unstable();
        if has != pinned {
            findings.push(format!(
                "{name}: depends on {}, and exactly {} is allowed",
                has.join(", "),
                pinned.join(", ")
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of crates with their dependencies; `name?` is one for tests.
    fn workspace(crates: &[(&str, &[&str])]) -> Vec<String> {
        let dependency =
            |name: &&str| Dependency { name: name.trim_end_matches('?').to_owned(), is_for_tests: name.ends_with('?') };
        let one = |(name, dependencies): &(&str, &[&str])| Crate {
            name: (*name).to_owned(),
            folder: name.trim_start_matches("cashgate-").to_owned(),
            dependencies: dependencies.iter().map(dependency).collect(),
        };
        findings(&crates.iter().map(one).collect::<Vec<_>>())
    }

    #[test]
    fn production_never_depends_on_fleet_but_its_tests_may() {
        let fleet: (&str, &[&str]) = ("cashgate-fleet", &[]);
        let found = workspace(&[fleet, ("cashgate-gateway", &["cashgate-fleet"])]);
        assert_eq!(found, ["cashgate-gateway: must not depend on cashgate-fleet"]);
        assert!(workspace(&[fleet, ("cashgate-gateway", &["cashgate-fleet?"])]).is_empty());
    }

    #[test]
    fn fleet_never_depends_on_gateway() {
        let found = workspace(&[("cashgate-gateway", &[]), ("cashgate-fleet", &["cashgate-gateway"])]);
        assert_eq!(found, ["cashgate-fleet: must not depend on cashgate-gateway"]);
    }

    #[test]
    fn cryptoki_prost_dashmap_and_rusqlite_are_named_by_their_owners_only() {
        for name in ["cryptoki", "dashmap", "prost", "tonic-prost", "rusqlite", "cedar-policy"] {
            let found = workspace(&[("cashgate-qr", &[name])]).join("");
            assert!(found.contains(&format!("cashgate-qr: {name} may be used only through")), "{name}: {found}");
        }
        assert_eq!(workspace(&[("cashgate-qr", &["cryptoki?"])]).len(), 1, "tests do not escape either");
        assert!(workspace(&[("cashgate-fleet", &["rusqlite"]), ("cashgate-ledger", &["rusqlite"])]).is_empty());
    }

    #[test]
    fn the_pinned_lists_are_exact() {
        assert!(workspace(&[("cashgate-withdrawal", &["thiserror", "proptest?"])]).is_empty());
        for wrong in [&["thiserror", "tokio"][..], &[], &["thiserror", "serde"]] {
            let found = workspace(&[("cashgate-withdrawal", wrong)]).join("");
            assert!(found.contains("exactly thiserror is allowed"), "{found}");
        }
    }

    #[test]
    fn a_new_crate_must_say_where_it_stands() {
        assert_eq!(
            workspace(&[("cashgate-new", &[])]),
            ["cashgate-new: has no row in DIRECTION: say what it may depend on"]
        );
    }

    #[test]
    fn cargo_metadata_is_read() {
        let text = r#"{"packages":[{"name":"cashgate-qr","manifest_path":"/w/crates/qr/Cargo.toml","dependencies":[
            {"name":"coset","kind":null},{"name":"rqrr","kind":"dev"}]}]}"#;
        let crates = Crate::all_of(text).unwrap();
        assert_eq!(crates[0].folder, "qr");
        assert_eq!(crates[0].production().collect::<Vec<_>>(), ["coset"]);
        assert!(Crate::all_of("{}").is_err());
    }
}
