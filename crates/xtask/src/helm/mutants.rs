//! Each check is shown to fail: a copy of the chart with one thing wrong, and the check that must find it.

use std::fs;
use std::path::Path;

use super::Checks;
use super::chart::Chart;

/// A check, by what finds the mistake; the file; what is replaced; by what; and a word that the finding must have.
struct Mutant {
    check: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
    word: &'static str,
}

const MUTANTS: &[Mutant] = &[
    Mutant { check: "lint", file: "Chart.yaml", from: "version: 0.1.0\n", to: "version: one\n", word: "version" },
    Mutant {
        check: "schemas",
        file: "templates/statefulset.yaml",
        from: "serviceName:",
        to: "serviceNam:",
        word: "serviceNam",
    },
    Mutant {
        check: "models",
        file: "templates/monitoring.yaml",
        from: "scrapeTimeout: ",
        to: "scrapeTimeOut: ",
        word: "scrapeTimeOut",
    },
    Mutant {
        check: "models",
        file: "templates/certificate.yaml",
        from: "renewBefore: ",
        to: "renewBefor: ",
        word: "renewBefor",
    },
    Mutant {
        check: "checkov",
        file: "templates/_pod.tpl",
        from: "readOnlyRootFilesystem: true",
        to: "readOnlyRootFilesystem: false",
        word: "CKV_K8S_22",
    },
    Mutant {
        check: "refusals",
        file: "templates/_checks.tpl",
        from: "if not $v.hsm.softhsm.iKnowThatThisProtectsNoKey",
        to: "if false",
        word: "hsm.from=\"softhsm\" is taken",
    },
    Mutant {
        check: "rollouts",
        file: "templates/_config.tpl",
        from: "omit . \"limits\"",
        to: "omit . \"limit\"",
        word: "must not restart",
    },
    Mutant {
        check: "rollouts",
        file: "templates/statefulset.yaml",
        from: "checksum/config:",
        to: "checksum/none: x #",
        word: "must restart",
    },
    Mutant {
        check: "rollouts",
        file: "templates/statefulset.yaml",
        from: "podManagementPolicy: Parallel",
        to: "podManagementPolicy: OrderedReady",
        word: "a rollback must replace a pod",
    },
    Mutant {
        check: "hooks",
        file: "templates/migrate.yaml",
        from: "{{- include \"cashgate.volumes.database\"",
        to: "{{- include \"cashgate.volumes.replicas\" $ | nindent 8 }}\n        {{- include \"cashgate.volumes.database\"",
        word: "waits for trial-cashgate-replica-0",
    },
    Mutant {
        check: "readme",
        file: "values.schema.json",
        from: "how often rules and limits",
        to: "how often policies",
        word: "README.md",
    },
    Mutant {
        check: "readme",
        file: "README.md",
        from: "signing_key_label: qr-1",
        to: "signing_key_labels: qr-1",
        word: "'signing_key_labels' not allowed",
    },
    Mutant {
        check: "configs",
        file: "templates/_config.tpl",
        from: "\"token_label\"",
        to: "\"token\"",
        word: "token_label: is missing",
    },
    Mutant {
        check: "configs",
        file: "templates/_pod.tpl",
        from: "secretName: {{ include \"cashgate.tlsSecret\" .root }}\n    defaultMode: 0440",
        to: "secretName: {{ include \"cashgate.tlsSecret\" .root }}\n    defaultMode: 0400",
        word: "tls",
    },
    Mutant {
        check: "replicated",
        file: "templates/_database.tpl",
        from: "if and .migration $database.migrationDsn.existingSecret",
        to: "if and .migration $database.migrationDsn.nowhere",
        word: "permission denied",
    },
    Mutant {
        check: "replicated",
        file: "templates/migrate.yaml",
        from: "- --grant-to={{ . }}",
        to: "",
        word: "permission denied",
    },
    Mutant {
        check: "replicated",
        file: "templates/_database.tpl",
        from: "}}:{{ .Values.ports.replica }}\"",
        to: "}}:{{ .Values.ports.api }}\"",
        word: "shows its peers another certificate",
    },
    Mutant {
        check: "replicated",
        file: "templates/services.yaml",
        from: "name\" (printf \"%s-headless\" $fullname)",
        to: "name\" (printf \"%s-headles\" $fullname)",
        word: "no rendered Service gives the name",
    },
];

/// Tries every mutant; the error names those that nobody found.
pub(super) fn check(checks: &Checks<'_>, folder: &Path) -> Result<String, String> {
    let mut findings = Vec::new();
    for (number, mutant) in MUTANTS.iter().enumerate() {
        let chart = Chart { folder: folder.join(number.to_string()).join("cashgate") };
        plant(mutant, &chart)?;
        match checks.run(mutant.check, &chart) {
            Ok(_) => findings.push(format!("{}: `{}` is not found by `{}`", mutant.file, mutant.to, mutant.check)),
            Err(said) if said.contains(mutant.word) => {}
            Err(said) => findings
                .push(format!("{}: `{}` was found, but not as `{}`: {said}", mutant.file, mutant.to, mutant.word)),
        }
    }
    if findings.is_empty() {
        Ok(format!("{} planted mistakes are found", MUTANTS.len()))
    } else {
        Err(findings.join("\n"))
    }
}

fn plant(mutant: &Mutant, chart: &Chart) -> Result<(), String> {
    copy(&Chart::ours().folder, &chart.folder).map_err(|error| format!("{}: {error}", chart.folder.display()))?;
    let file = chart.folder.join(mutant.file);
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    if !text.contains(mutant.from) {
        return Err(format!("{}: there is no `{}` to make a mistake of", mutant.file, mutant.from));
    }
    fs::write(&file, text.replace(mutant.from, mutant.to)).map_err(|error| format!("{}: {error}", file.display()))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let inside = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &inside)?;
        } else {
            fs::copy(entry.path(), inside)?;
        }
    }
    Ok(())
}
