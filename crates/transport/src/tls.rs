//! Certificates: ours, swapped live by a reload; those of clients, where an authority is given; and
//! the authorities that carriers' certificates are checked against.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use trunkline_sip::PeerNames;

/// Whom we believe.
#[derive(Debug, Clone)]
pub enum Roots {
    /// The authorities in a PEM file, read again at each reload.
    File(PathBuf),
    /// These.
    These(Arc<RootCertStore>),
}

/// Where the PEM files lie.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Our chain.
    pub certificate: PathBuf,
    /// Our key.
    pub private_key: PathBuf,
    /// Authorities of client certificates.
    pub client_ca: Option<PathBuf>,
    /// Authorities of carriers.
    pub roots: Roots,
}

/// Why the files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0}: {1}")]
    File(PathBuf, rustls::pki_types::pem::Error),
    /// A file has no certificate.
    #[error("{0}: no certificate in it")]
    Empty(PathBuf),
    /// The certificates do not fit together.
    #[error("certificates: {0}")]
    Rustls(#[from] rustls::Error),
    /// The client authority cannot be used.
    #[error("client_ca: {0}")]
    ClientCa(#[from] rustls::server::VerifierBuilderError),
}

/// The TLS configuration in force.
pub struct LiveTls {
    files: TlsFiles,
    server: ArcSwap<ServerConfig>,
    client: ArcSwap<ClientConfig>,
}

impl LiveTls {
    /// Reads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let (server, client) = (server(&files)?, client(&files)?);
        Ok(Self { files, server: ArcSwap::from(server), client: ArcSwap::from(client) })
    }

    /// Reads the files again; connections that are up keep what they have.
    ///
    /// # Errors
    /// See [`TlsError`]; what was in force stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let (server, client) = (server(&self.files)?, client(&self.files)?);
        self.server.store(server);
        self.client.store(client);
        Ok(())
    }

    pub(crate) fn acceptor(&self) -> tokio_rustls::TlsAcceptor {
        self.server.load_full().into()
    }

    pub(crate) fn connector(&self) -> tokio_rustls::TlsConnector {
        self.client.load_full().into()
    }
}

/// The SIP domains in the certificate that a client has shown and that was verified: those of its
/// `sip:` URIs, and its DNS names only where it has none (RFC 5922 §7.1).
pub(crate) fn names(shown: Option<&[CertificateDer<'_>]>) -> PeerNames {
    let leaf = webpki::EndEntityCert::try_from(shown?.first()?).ok()?;
    let domain = |uri: &str| {
        let rest = uri.get(..4).filter(|scheme| scheme.eq_ignore_ascii_case("sip:")).and(uri.get(4..))?;
        // One with a user part names a person.
        (!rest.contains('@')).then(|| rest.to_owned())
    };
    let domains: Vec<String> = leaf.valid_uri_names().filter_map(domain).collect();
    Some(match domains.is_empty() {
        true => leaf.valid_dns_names().map(str::to_owned).collect(),
        false => domains.into(),
    })
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrap = |error| TlsError::File(path.clone(), error);
    let list: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(wrap)?.collect::<Result<_, _>>().map_err(wrap)?;
    if list.is_empty() { Err(TlsError::Empty(path.clone())) } else { Ok(list) }
}

fn authorities(path: &PathBuf) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(&files.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .map_err(|error| TlsError::File(files.private_key.clone(), error))?;
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(builder.with_single_cert(chain, key)?))
}

fn client(files: &TlsFiles) -> Result<Arc<ClientConfig>, TlsError> {
    let roots = match &files.roots {
        Roots::File(path) => Arc::new(authorities(path)?),
        Roots::These(roots) => Arc::clone(roots),
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
