//! Debian packages: installed where that is possible, named exactly where it is not.

use std::path::Path;
use std::process::Command;

use crate::command;

/// Something that this repository needs and Cargo does not bring.
pub(crate) struct Package {
    /// Its Debian name.
    name: &'static str,
    /// What it is for.
    purpose: &'static str,
    is_there: fn() -> bool,
}

pub(crate) const SOFTHSM: Package = Package {
    name: "softhsm2",
    purpose: "the PKCS#11 token of demo and tests",
    is_there: || {
        let modules = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so"];
        modules.iter().any(|module| Path::new(module).exists()) && command::succeeds("softhsm2-util", &["--version"])
    },
};

pub(crate) const OPENSC: Package = Package {
    name: "opensc",
    purpose: "pkcs11-tool makes keys in hsm-config/, pkcs11-spy counts what the tests call",
    is_there: || Path::new("/usr/bin/pkcs11-tool").exists(),
};

pub(crate) const NSS: Package = Package {
    name: "libnss3",
    purpose: "softokn, the second PKCS#11 module of the tests",
    is_there: || exists_in_library_folder(&["nss/libsoftokn3.so", "libsoftokn3.so"]),
};

pub(crate) const NSS_TOOLS: Package = Package {
    name: "libnss3-tools",
    purpose: "certutil makes softokn's database",
    is_there: || Path::new("/usr/bin/certutil").exists(),
};

pub(crate) const P11_KIT: Package = Package {
    name: "p11-kit",
    purpose: "puts a PKCS#11 module into a server that tests can kill",
    is_there: || Path::new("/usr/bin/p11-kit").exists(),
};

pub(crate) const P11_KIT_MODULES: Package = Package {
    name: "p11-kit-modules",
    purpose: "the PKCS#11 module that talks to that server",
    is_there: || exists_in_library_folder(&["pkcs11/p11-kit-client.so"]),
};

pub(crate) const POSTGRESQL: Package = Package {
    name: "postgresql-15",
    purpose: "the servers that the ledger's tests start, kill and promote",
    is_there: || Path::new("/usr/lib/postgresql/15/bin/initdb").exists(),
};

pub(crate) const STRACE: Package = Package {
    name: "strace",
    purpose: "lets a disk fail under the gateway",
    is_there: || command::succeeds("strace", &["--version"]),
};

pub(crate) const UTIL_LINUX: Package = Package {
    name: "util-linux",
    purpose: "unshare gives a test a small disk of its own to fill",
    is_there: || command::succeeds("unshare", &["--version"]),
};

pub(crate) const DEJAVU: Package = Package {
    name: "fonts-dejavu-core",
    purpose: "the letters in pictures",
    is_there: || Path::new("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf").exists(),
};

pub(crate) const CHROMIUM: Package = Package {
    name: "chromium",
    purpose: "a browser that looks at the report of the load test",
    is_there: || command::succeeds("chromium", &["--version"]) || command::succeeds("google-chrome", &["--version"]),
};

pub(crate) const PROMETHEUS: Package = Package {
    name: "prometheus",
    purpose: "promtool tests the alert rules, Prometheus lets them fire",
    is_there: || command::succeeds("promtool", &["--version"]) && command::succeeds("prometheus", &["--version"]),
};

pub(crate) const CURL: Package = Package {
    name: "curl",
    purpose: "the commands of the runbooks use it",
    is_there: || command::succeeds("curl", &["--version"]),
};

pub(crate) const OPENSSL: Package = Package {
    name: "openssl",
    purpose: "issues a certificate that ends soon, and reads one in a runbook",
    is_there: || command::succeeds("openssl", &["version"]),
};

pub(crate) const C_COMPILER: Package = Package {
    name: "build-essential",
    purpose: "SQLite, AWS-LC and jemalloc are compiled from source",
    is_there: || command::succeeds("cc", &["--version"]) && command::succeeds("make", &["--version"]),
};

pub(crate) const PYTHON_VENV: Package = Package {
    name: "python3-venv",
    purpose: "the checks that are written in Python",
    is_there: || command::succeeds("python3", &["-c", "import venv, ensurepip"]),
};

fn exists_in_library_folder(names: &[&str]) -> bool {
    let folders = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    folders.iter().any(|folder| names.iter().any(|name| Path::new(folder).join(name).exists()))
}

/// Makes sure that the packages are there.
pub(crate) fn ensure(packages: &[Package]) -> Result<(), String> {
    let missing: Vec<&Package> = packages.iter().filter(|package| !(package.is_there)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    for package in &missing {
        println!("missing: Debian package {} ({})", package.name, package.purpose);
    }
    let how = format!("apt-get install {}", names.join(" "));
    if !command::succeeds("apt-get", &["--version"]) {
        return Err(format!(
            "this is no Debian: install what its packages {} hold, then run this again",
            names.join(" ")
        ));
    }
    let prefix: &[&str] = if is_root() {
        &[]
    } else if command::succeeds("sudo", &["-n", "true"]) {
        &["sudo", "-n"]
    } else {
        return Err(format!("run `sudo {how}`, then run this again"));
    };
    println!("installing: {how}");
    apt_get(prefix, &["update", "-qq"])?;
    let install: Vec<&str> = ["install", "-y", "-qq", "--no-install-recommends"].into_iter().chain(names).collect();
    if names_postgresql(&install) {
        keep_from_starting(prefix)?;
    }
    apt_get(prefix, &install)?;
    match missing.iter().find(|package| !(package.is_there)()) {
        None => Ok(()),
        Some(package) => Err(format!("{} was installed, but what it should bring is still not found", package.name)),
    }
}

fn names_postgresql(words: &[&str]) -> bool {
    words.iter().any(|word| word.starts_with("postgresql"))
}

/// Debian's package would make a cluster of the system's own and start it. Tests start their own servers.
fn keep_from_starting(prefix: &[&str]) -> Result<(), String> {
    let file = "/etc/postgresql-common/createcluster.conf";
    let write = format!(
        "mkdir -p /etc/postgresql-common && {{ [ -e {file} ] || echo 'create_main_cluster = false' > {file}; }}"
    );
    let words: Vec<&str> = prefix.iter().copied().chain(["sh", "-c", &write]).collect();
    let (program, args) = words.split_first().ok_or("no command")?;
    command::run(Command::new(program).args(args))
}

fn apt_get(prefix: &[&str], args: &[&str]) -> Result<(), String> {
    // `env`, because sudo does not hand the variable on.
    let words = prefix.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).chain(args);
    let words: Vec<&&str> = words.collect();
    let (program, args) = words.split_first().ok_or("no command")?;
    command::run(Command::new(program).args(args.iter().map(|word| **word)))
}

fn is_root() -> bool {
    command::output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}
