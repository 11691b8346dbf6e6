//! Certificates made with OpenSSL: an authority and what it signs.

use std::path::PathBuf;
use std::process::Command;

/// An authority in a folder of its own, which is removed with it.
pub struct Authority {
    folder: PathBuf,
}

impl Authority {
    /// Makes one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("trunkline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let authority = Self { folder };
        let (key, certificate) = (authority.path("ca.key"), authority.path("ca.pem"));
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=test authority",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ]);
        authority
    }

    /// A file of its folder.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Signs `NAME.pem` with the key `NAME.key` for these subject alternative names.
    pub fn sign(&self, name: &str, alternatives: &str) {
        let (key, request) = (self.path(&format!("{name}.key")), self.path("request.pem"));
        let subject = format!("/CN={name}");
        openssl(&[
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", &subject, "-keyout", &key, "-out", &request,
        ]);
        let extensions = self.path("extensions");
        std::fs::write(&extensions, format!("subjectAltName={alternatives}\n")).expect("written");
        openssl(&[
            "x509",
            "-req",
            "-days",
            "30",
            "-in",
            &request,
            "-CA",
            &self.path("ca.pem"),
            "-CAkey",
            &self.path("ca.key"),
            "-CAcreateserial",
            "-extfile",
            &extensions,
            "-out",
            &self.path(&format!("{name}.pem")),
        ]);
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn openssl(arguments: &[&str]) {
    let output = Command::new("openssl").args(arguments).output().expect("openssl");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
