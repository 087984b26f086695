//! Connecting: with which secrets and certificates, and, when no server gives a session, why.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::{info, warn};
#[cfg(feature = "sasl")]
use zookeeper_client::SaslOptions;
use zookeeper_client::{Client, Error};
#[cfg(feature = "tls")]
use zookeeper_client::{TlsDynamicCerts, TlsOptions};

use super::{Attempt, Place, SessionSettings};
#[cfg(feature = "tls")]
use crate::tls::handshake;
use crate::tls::{Pem, TlsFiles};

/// How long a server may take to say why it gives no session.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often files with certificates are read while there is no connection.
const REFRESH: Duration = Duration::from_secs(1);

/// The certificates of one session. They are read again while it has no connection, so that it comes back with renewed ones.
pub(in crate::session) struct Certificates {
    files: TlsFiles,
    last: Pem,
    /// What was wrong with the files when they were last read.
    told: Option<String>,
    #[cfg(feature = "tls")]
    certs: TlsDynamicCerts,
}

impl Certificates {
    /// Reads them again now, and then every second, until this is dropped.
    pub(in crate::session) async fn keep_fresh(&mut self) {
        loop {
            let files = self.files.clone();
            match tokio::task::spawn_blocking(move || files.read()).await {
                Ok(Ok(pem)) => self.replace(pem),
                Ok(Err(bad)) => self.complain(bad.to_string()),
                // The runtime ends.
                Err(_) => return,
            }
            tokio::time::sleep(REFRESH).await;
        }
    }

    fn replace(&mut self, pem: Pem) {
        if pem == self.last {
            return;
        }
        #[cfg(feature = "tls")]
        match handshake::certs(&pem) {
            Ok(certs) => self.certs.update(certs),
            Err((key, why)) => return self.complain(format!("{key}: {why}")),
        }
        info!("certificates were renewed: the next connection to zookeeper uses them");
        (self.last, self.told) = (pem, None);
    }

    fn complain(&mut self, why: String) {
        if self.told.as_ref() != Some(&why) {
            warn!(why, "the certificates cannot be read again; those that were read before are used");
            self.told = Some(why);
        }
    }
}

/// Tries to connect, once with each server.
pub(super) async fn connect(settings: &SessionSettings, place: &Place) -> Result<(Client, Option<Box<Certificates>>), Attempt> {
    let mut connector = Client::connector().with_session_timeout(settings.session_timeout).with_fail_eagerly();
    if let Some((scheme, secret)) = &settings.auth {
        connector = connector.with_auth(scheme, secret);
    }
    if let Some((user, password)) = &settings.sasl {
        connector = with_sasl(connector, user, password)?;
    }
    let servers = often(&place.servers);
    let (connected, certificates) = match &settings.tls {
        None => (connector.connect(&servers).await, None),
        Some(files) => {
            let files = files.clone();
            let pem = tokio::task::spawn_blocking(move || files.read().map(|pem| (files, pem))).await;
            let (files, pem) = match pem {
                Ok(Ok(read)) => read,
                // They were good when the process started: somebody may be replacing them.
                Ok(Err(bad)) => return Err(Attempt::Retry(bad.to_string())),
                Err(error) => return Err(Attempt::Retry(error.to_string())),
            };
            let (connected, certificates) = connect_by_tls(connector, &place.servers, &servers, files, pem).await?;
            (connected, Some(Box::new(certificates)))
        }
    };
    match connected {
        Ok(client) => Ok((client, certificates)),
        Err(Error::AuthFailed) => Err(Attempt::Denied {
            path: place.root.clone(),
            right: "authentication",
            why: "ZooKeeper refused the credentials, or does not know the scheme; look at zookeeper.auth_file and zookeeper.sasl"
                .to_owned(),
        }),
        Err(Error::BadArguments(why)) => Err(Attempt::BadSettings(format!("bad connect string {:?}: {why}", place.servers))),
        Err(Error::NoHosts | Error::Timeout | Error::ConnectionLoss) => {
            Err(Attempt::Retry(diagnose(&place.servers, certificates.map(|certificates| certificates.last)).await))
        }
        Err(error) => Err(Attempt::Retry(error.to_string())),
    }
}

#[cfg(feature = "sasl")]
fn with_sasl(
    connector: zookeeper_client::Connector,
    user: &str,
    password: &crate::config::Secret,
) -> Result<zookeeper_client::Connector, Attempt> {
    let password = String::from_utf8_lossy(password.reveal()).into_owned();
    Ok(connector.with_sasl(SaslOptions::digest_md5(user.to_owned(), password)))
}

#[cfg(not(feature = "sasl"))]
fn with_sasl(_: zookeeper_client::Connector, _: &str, _: &crate::config::Secret) -> Result<zookeeper_client::Connector, Attempt> {
    Err(Attempt::BadSettings("this program was built without SASL; build it with the feature sasl".to_owned()))
}

#[cfg(feature = "tls")]
async fn connect_by_tls(
    connector: zookeeper_client::Connector,
    servers: &str,
    names: &str,
    files: TlsFiles,
    pem: Pem,
) -> Result<(Result<Client, Error>, Certificates), Attempt> {
    for server in servers.split(',') {
        let (host, _) = host_and_port(server);
        if !handshake::can_be_certified(&host) {
            return Err(Attempt::BadSettings(format!("no certificate can be for the server {host:?}: name it as its certificate does")));
        }
    }
    let bad = |(key, why)| Attempt::Retry(format!("{key}: {why}"));
    let certs = TlsDynamicCerts::new(handshake::certs(&pem).map_err(bad)?);
    let options = TlsOptions::new().with_certs(certs.clone());
    let connected = connector.with_tls(options).secure_connect(names).await;
    Ok((connected, Certificates { files, last: pem, told: None, certs }))
}

#[cfg(not(feature = "tls"))]
async fn connect_by_tls(
    _: zookeeper_client::Connector,
    _: &str,
    _: &str,
    _: TlsFiles,
    _: Pem,
) -> Result<(Result<Client, Error>, Certificates), Attempt> {
    Err(Attempt::BadSettings("this program was built without TLS; build it with the feature tls".to_owned()))
}

/// The servers, each named so often that there are sixteen names or more. The client tries all names at once, then again one by one
/// with small pauses, and only then waits, each time twice as long as before; with one name or three it sleeps through the return of
/// ZooKeeper, and with it the rest of a session that could have been saved (after 8 s of an outage it would next look at 14 s).
fn often(servers: &str) -> String {
    const NAMES: usize = 16;
    let count = servers.split(',').count();
    vec![servers; NAMES.div_ceil(count)].join(",")
}

/// Says of each server why it gave no session: the client only says that none did.
async fn diagnose(servers: &str, pem: Option<Pem>) -> String {
    let mut reasons = Vec::new();
    for server in servers.split(',') {
        let (host, port) = host_and_port(server);
        let reason = match &pem {
            None => ask_plainly(&host, port).await,
            Some(pem) => ask_by_tls(pem, &host, port).await,
        };
        let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        reasons.push(format!("{shown}: {reason}"));
    }
    reasons.join("; ")
}

const NO_SESSION: &str = "accepts connections but opens no session (no quorum, or not a ZooKeeper)";

/// What a server says to a question without TLS. A ZooKeeper always says something to this one; a port for TLS, which needs five bytes
/// to see that they are none of its, answers with an alert (21, 3, …) or hangs up.
async fn ask_plainly(host: &str, port: u16) -> String {
    let asked = tokio::time::timeout(PATIENCE, async {
        let mut stream = TcpStream::connect((host, port)).await?;
        stream.write_all(b"ruok\n\n").await?;
        let mut answer = [0; 2];
        let read = tokio::time::timeout(PATIENCE / 2, stream.read(&mut answer)).await;
        Ok::<_, std::io::Error>(match read {
            Ok(Ok(0) | Err(_)) => Some("hangs up when it is asked; perhaps it speaks TLS"),
            Ok(Ok(_)) if answer == [21, 3] => Some("speaks TLS"),
            Ok(Ok(_)) | Err(_) => None,
        })
    });
    match asked.await {
        Ok(Ok(Some(what))) => format!("{what}: set zookeeper.tls and zookeeper.ca_file, or name its port without TLS"),
        Ok(Ok(None)) => NO_SESSION.to_owned(),
        Ok(Err(error)) => error.to_string().to_lowercase(),
        Err(_) => "does not answer".to_owned(),
    }
}

#[cfg(feature = "tls")]
async fn ask_by_tls(pem: &Pem, host: &str, port: u16) -> String {
    let (pem, host) = (pem.clone(), host.to_owned());
    let asked = tokio::task::spawn_blocking(move || handshake::diagnose(&pem, &host, port, PATIENCE)).await;
    asked.ok().flatten().unwrap_or_else(|| NO_SESSION.to_owned())
}

#[cfg(not(feature = "tls"))]
async fn ask_by_tls(_: &Pem, host: &str, port: u16) -> String {
    ask_plainly(host, port).await
}

/// Of one of the servers of a connect string.
fn host_and_port(server: &str) -> (String, u16) {
    let address = server.rsplit_once("://").map_or(server, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().unwrap_or(2181)),
        Some(_) | None => (address, 2181),
    };
    (host.trim_start_matches('[').trim_end_matches(']').to_owned(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_is_named_equally_often() {
        assert_eq!(often("a:1").split(',').count(), 16);
        let names: Vec<&str> = "a:1,b:2,c:3".split(',').collect();
        assert_eq!(often("a:1,b:2,c:3").split(',').collect::<Vec<_>>(), names.repeat(6));
        let many = vec!["a:1"; 20].join(",");
        assert_eq!(often(&many), many);
    }

    #[test]
    fn a_server_is_a_host_and_a_port() {
        for (server, host, port) in
            [("a:1", "a", 1), ("a", "a", 2181), ("[::1]:5", "::1", 5), ("[::1]", "::1", 2181), ("tcp://a:3", "a", 3)]
        {
            assert_eq!(host_and_port(server), (host.to_owned(), port), "{server}");
        }
    }
}
