//! What a TLS handshake says of a server. ZooKeeper's client only says that none could be connected to; this asks once more, and tells
//! why. Nothing that is decided depends on it.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, ClientConnection, Error, RootCertStore, StreamOwned};
use zookeeper_client::{TlsCa, TlsCerts, TlsIdentity};

use super::Pem;

/// What is wrong, and with which key of the configuration.
type Wrong = (&'static str, String);

/// What a connection needs to know.
///
/// # Errors
/// Which file holds what cannot be used.
pub(crate) fn config(pem: &Pem) -> Result<Arc<ClientConfig>, Wrong> {
    let (ca_file, cert_file, key_file) = ("zookeeper.ca_file", "zookeeper.cert_file", "zookeeper.key_file");
    let mut roots = RootCertStore::empty();
    for certificate in parsed(&pem.ca, ca_file)? {
        roots.add(certificate).map_err(|error| (ca_file, format!("holds a certificate that cannot vouch for anybody: {error}")))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let Some((certificate, key)) = &pem.identity else { return Ok(Arc::new(builder.with_no_client_auth())) };
    let chain = parsed(certificate, cert_file)?;
    let key = PrivateKeyDer::from_pem_slice(key.reveal()).map_err(|error| (key_file, format!("holds no usable key: {error}")))?;
    let config = builder.with_client_auth_cert(chain, key);
    let wrong = |error| match error {
        Error::InconsistentKeys(_) => (key_file, "is not the key of the certificate in zookeeper.cert_file".to_owned()),
        error => (cert_file, format!("cannot be used with its key: {error}")),
    };
    config.map(Arc::new).map_err(wrong)
}

fn parsed(pem: &str, key: &'static str) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    certificates.map_err(|error| (key, format!("holds a broken certificate: {error}")))
}

/// The same for ZooKeeper's client.
///
/// # Errors
/// As [`config`].
pub(crate) fn certs(pem: &Pem) -> Result<TlsCerts, Wrong> {
    config(pem)?;
    let wrong = |key: &'static str| move |error: zookeeper_client::Error| (key, error.to_string());
    let mut builder = TlsCerts::builder().with_ca(TlsCa::from_pem(&pem.ca).map_err(wrong("zookeeper.ca_file"))?);
    if let Some((certificate, key)) = &pem.identity {
        let key = String::from_utf8_lossy(key.reveal());
        builder = builder.with_identity(TlsIdentity::from_pem(certificate, &key).map_err(wrong("zookeeper.cert_file"))?);
    }
    builder.build().map_err(wrong("zookeeper.ca_file"))
}

/// Whether a certificate can be for this host: a name or an address.
pub(crate) fn can_be_certified(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

/// Connects, and says in words what came of it; `None`: a server answered as it should.
pub(crate) fn diagnose(pem: &Pem, host: &str, port: u16, patience: Duration) -> Option<String> {
    let config = match config(pem) {
        Ok(config) => config,
        Err((key, why)) => return Some(format!("{key} {why}")),
    };
    let asked = ask(config, host, port, patience);
    asked.err().map(|error| explain(&error, host, pem.identity.is_some()))
}

/// A handshake and one question: who wants a certificate complains after the handshake.
fn ask(config: Arc<ClientConfig>, host: &str, port: u16, patience: Duration) -> io::Result<()> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::NotFound)?;
    let tcp = TcpStream::connect_timeout(&address, patience)?;
    tcp.set_read_timeout(Some(patience))?;
    tcp.set_write_timeout(Some(patience))?;
    let connection = ClientConnection::new(config, name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, tcp);
    stream.write_all(b"ruok")?;
    stream.flush()?;
    match stream.read(&mut [0; 64]) {
        Ok(_) => Ok(()),
        // It has agreed to everything, and has nothing to say: it may not answer this question.
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => Ok(()),
        // Without a farewell: it agreed to everything as well.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !stream.conn.is_handshaking() => Ok(()),
        Err(error) => Err(error),
    }
}

fn explain(error: &io::Error, host: &str, shows_certificate: bool) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                "it does not answer in TLS: zookeeper.connect must name its secureClientPort, or zookeeper.tls must be false".to_owned()
            }
            _ => error.to_string().to_lowercase(),
        };
    };
    match tls {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "nobody in zookeeper.ca_file has issued its certificate".to_owned()
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired; renew it there (or set this machine's clock)".to_owned()
        }
        Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
            format!("its certificate is not for {host}; name it in zookeeper.connect as its certificate does, or renew that with this name")
        }
        Error::AlertReceived(alert) => refused(*alert, shows_certificate),
        Error::InvalidMessage(_) => {
            "it speaks, but not TLS: zookeeper.connect must name its secureClientPort, or zookeeper.tls must be false".to_owned()
        }
        other => format!("no TLS with it: {other}"),
    }
}

fn refused(alert: AlertDescription, shows_certificate: bool) -> String {
    match shows_certificate {
        true => format!("it refuses the certificate in zookeeper.cert_file, or cannot agree with us ({alert:?})"),
        false => format!("it demands a certificate ({alert:?}): set zookeeper.cert_file and zookeeper.key_file"),
    }
}
