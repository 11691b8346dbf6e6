//! Certificates: those of `[sip.tls]`, and the authorities that we believe where no file says others:
//! those of the system (`SSL_CERT_FILE` and `SSL_CERT_DIR` name them elsewhere), and on a machine
//! without any, such as a bare container, the public ones that came with us.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use trunkline_routing::Node;
use trunkline_transport::{LiveTls, Roots, TlsFiles};

/// The certificates of `[sip.tls]`, read.
///
/// # Errors
/// Where a file is missing or does not fit.
pub(crate) fn load(
    node: &Node,
    folder: &Path,
    roots: Arc<RootCertStore>,
) -> anyhow::Result<Option<Arc<LiveTls>>> {
    let Some(settings) = &node.sip.tls else {
        return Ok(None);
    };
    let files = TlsFiles {
        certificate: folder.join(&settings.certificate),
        private_key: folder.join(&settings.private_key),
        client_ca: settings.client_ca.as_ref().map(|path| folder.join(path)),
        roots: settings
            .carrier_ca
            .as_ref()
            .map_or(Roots::These(roots), |path| Roots::File(folder.join(path))),
    };
    Ok(Some(Arc::new(LiveTls::load(files)?)))
}

/// The authorities.
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "some of the system's certificate authorities cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
