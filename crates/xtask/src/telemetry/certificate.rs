//! The gateway's certificate, replaced while it runs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::world::World;
use crate::command;

/// As `cashgate init` names the gateway.
const EXTENSIONS: &str = "subjectAltName = DNS:localhost, IP:127.0.0.1, URI:spiffe://cashgate.test/gateway\nextendedKeyUsage = serverAuth, clientAuth\n";

impl World {
    /// A certificate of the same authority for the same key, for seven days.
    pub(super) fn certificate_for_a_week(&mut self) -> Result<(), String> {
        let work = self.site.folder();
        let (request, extensions, issued) = (work.join("week.csr"), work.join("week.ext"), work.join("week.pem"));
        fs::write(&extensions, EXTENSIONS)
            .map_err(|error| format!("cannot write {}: {error}", extensions.display()))?;
        let own = |name: &str| self.site.dir().join(name);
        let mut ask = Command::new("openssl");
        ask.args(["req", "-new", "-subj", "/CN=gateway", "-key"]).arg(own("gateway-key.pem")).arg("-out").arg(&request);
        command::output(&mut ask)?;
        let mut issue = Command::new("openssl");
        issue.args(["x509", "-req", "-days", "7", "-CAcreateserial", "-in"]).arg(&request);
        issue.arg("-CA").arg(own("ca.pem")).arg("-CAkey").arg(own("ca-key.pem"));
        issue.arg("-CAserial").arg(work.join("week.srl")).arg("-extfile").arg(&extensions).arg("-out").arg(&issued);
        command::output(&mut issue)?;
        fs::copy(self.certificate(), self.kept()).map_err(|error| format!("cannot keep the certificate: {error}"))?;
        let week = fs::read(&issued).map_err(|error| format!("cannot read {}: {error}", issued.display()))?;
        self.write_certificate(&week)
    }

    pub(super) fn write_certificate(&mut self, content: &[u8]) -> Result<(), String> {
        fs::write(self.certificate(), content).map_err(|error| format!("cannot write the certificate: {error}"))
    }

    /// The one that it was made with.
    pub(super) fn restore_certificate(&mut self) -> Result<(), String> {
        fs::copy(self.kept(), self.certificate()).map(drop).map_err(|error| format!("the certificate is lost: {error}"))
    }

    fn certificate(&self) -> PathBuf {
        self.site.dir().join("gateway.pem")
    }

    fn kept(&self) -> PathBuf {
        self.site.folder().join("gateway.pem.kept")
    }
}
