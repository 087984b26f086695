//! Encrypted connections to a real ZooKeeper, certificates and SASL: who can prove who he is works, who cannot is told why.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bellwether_tests::certificates::{Authority, Validity};
use bellwether_tests::tasks::SOON;
use bellwether_tests::{Cluster, Process, Zookeeper, eventually, place};

/// What must not be seen: a password for SASL.
const CANARY: &str = "yellow-canary-9023";

/// Sessions live through restarts of the server.
const PATIENT: Duration = Duration::from_secs(40);

/// A ZooKeeper that speaks TLS on one port, and asks for certificates there.
struct House {
    cluster: Cluster,
    dir: PathBuf,
    port: u16,
    authority: Authority,
}

impl House {
    fn new() -> Self {
        let port = free_port();
        let mut built = None;
        let zookeeper = Zookeeper::configured(|dir, options| {
            let authority = Authority::new(dir, "good-ca");
            for name in ["server", "coordinator", "worker", "client", "admin"] {
                authority.issue(name, Validity::Now);
            }
            let jaas = dir.join("jaas.conf");
            let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
            std::fs::write(&jaas, format!("Server {{\n {module} required\n user_client=\"{CANARY}\";\n}};\n")).expect("written");
            options.java_options.push(format!("-Djava.security.auth.login.config={}", jaas.display()));
            let file = |name: &str| dir.join(name).display().to_string();
            options.more_config = vec![
                "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory".to_owned(),
                "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider".to_owned(),
                format!("secureClientPort={port}\nsecureClientPortAddress=127.0.0.1"),
                format!("ssl.keyStore.location={}\nssl.trustStore.location={}", file("server-both.pem"), file("trusted.pem")),
                "ssl.clientAuth=need".to_owned(),
            ];
            std::fs::copy(authority.certificate(), dir.join("trusted.pem")).expect("copied");
            built = Some((dir.to_owned(), authority));
        });
        let (dir, authority) = built.expect("it was configured");
        let mut builder = Cluster::builder().zookeeper(zookeeper).coordinator_session(PATIENT).setting("zookeeper.acl", "\"secured\"");
        for (role, identity) in IDENTITIES {
            builder = builder.setting(&format!("acl.{role}"), &format!("{identity:?}"));
        }
        Self { cluster: builder.start(), dir, port, authority }
    }

    fn file(&self, name: &str) -> String {
        self.dir.join(name).display().to_string()
    }

    fn connect(&self, host: &str, port: u16) -> String {
        format!("{host}:{port}{}", self.cluster.root())
    }

    /// What a process needs that shows this certificate.
    fn settings(&self, certificate: &str) -> Vec<(&'static str, String)> {
        let files = [
            ("zookeeper.ca_file", self.authority.certificate()),
            ("zookeeper.cert_file", self.file(&format!("{certificate}.pem"))),
            ("zookeeper.key_file", self.file(&format!("{certificate}.key"))),
            ("zookeeper.connect", self.connect("127.0.0.1", self.port)),
        ];
        let mut settings: Vec<(&str, String)> = files.map(|(key, value)| (key, format!("{value:?}"))).into();
        settings.push(("zookeeper.tls", "true".to_owned()));
        settings
    }

    fn service(&self, name: &str, start: impl Fn(&[(&str, &str)]) -> Process) -> Process {
        let settings = self.settings(name);
        start(&settings.iter().map(|(key, value)| (*key, value.as_str())).collect::<Vec<_>>())
    }

    /// Runs `bellwether` as who shows this certificate, with changes: its exit code and all that it printed.
    fn command(&self, certificate: &str, changes: &[(&str, &str)], args: &[&str]) -> (i32, String) {
        let mut command = Command::new(place::binary("bellwether"));
        command.args(["--request-timeout", "4s"]);
        let mut sets: Vec<(String, String)> = IDENTITIES.map(|(role, identity)| (format!("acl.{role}"), identity.to_owned())).into();
        sets.push(("zookeeper.acl".to_owned(), "secured".to_owned()));
        sets.extend(self.settings(certificate).into_iter().map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())));
        sets.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        command.args(sets.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]));
        let output = command.args(args).output().expect("it runs");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), text)
    }

    /// It fails so, and says so.
    #[track_caller]
    fn refused(&self, changes: &[(&str, &str)], code: i32, told: &str) {
        let (found, text) = self.command("client", changes, &["status"]);
        assert!(found == code && text.contains(told), "{changes:?}: expected {code} and {told:?}, found {found} and: {text}");
        assert!(!text.contains(CANARY), "{text}");
    }
}

const IDENTITIES: [(&str, &str); 4] =
    [("coordinator", "x509:CN=coordinator"), ("worker", "x509:CN=worker"), ("client", "sasl:client"), ("admin", "x509:CN=admin")];

/// Below the range from which the kernel takes those of outgoing connections.
fn free_port() -> u16 {
    let from = 20_000 + u16::try_from(std::process::id() % 5000).unwrap_or_default();
    (from..30_000).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()).expect("a free port")
}

fn secret(path: &Path, text: &str, mode: u32) -> String {
    std::fs::write(path, text).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    path.display().to_string()
}

fn ready(service: &Process) -> bool {
    service.get("/health/ready").is_ok_and(|(code, _)| code == 200)
}

#[test]
fn whoever_proves_who_he_is_works_and_who_cannot_is_told_why() {
    let house = House::new();
    let coordinator = house.service("coordinator", |settings| house.cluster.coordinator_with("c1", settings));
    let worker = house.service("worker", |settings| house.cluster.worker_with("w1", 1, settings));
    for service in [&coordinator, &worker] {
        eventually(SOON, "it is ready", || ready(service));
    }
    let password = secret(&house.dir.join("password"), &format!("client:{CANARY}\n"), 0o600);
    let sasl = [("zookeeper.sasl", "digest-md5"), ("zookeeper.auth_file", password.as_str())];
    let (code, text) = house.command("client", &sasl, &["run", "--", "sh", "-c", "exit 7"]);
    assert_eq!(code, 7, "{text}");
    let (code, text) = house.command("admin", &[], &["acl", "check"]);
    assert_eq!(code, 0, "{text}");

    // Who is somebody else to ZooKeeper has no rights; who knows no password is nobody.
    house.refused(&[], 125, "denies READ");
    let wrong = secret(&house.dir.join("wrong"), "client:mistyped", 0o600);
    house.refused(&[sasl[0], ("zookeeper.auth_file", &wrong)], 125, "refused the credentials");
    let stranger = house.service("client", |settings| house.cluster.worker_with("w2", 1, settings));
    assert_eq!(stranger.exit_code(SOON), 77, "{}", stranger.log());
    handshakes(&house, &sasl);
    files(&house);
    for service in [&coordinator, &worker] {
        assert_eq!(service.terminate(SOON), 0, "{}", service.log());
        assert!(!service.log().contains(CANARY));
    }
}

/// Each way in which two cannot agree, and what is said of it.
fn handshakes(house: &House, sasl: &[(&str, &str); 2]) {
    let other = Authority::new(&house.dir, "other-ca");
    other.issue("stranger", Validity::Now);
    house.authority.issue("late", Validity::Past);
    let (plain, ca) = (house.cluster.connect_string(), other.certificate());
    let (by_name, by_tls) = (house.connect("localhost", house.port), house.connect("127.0.0.1", house.port));
    let shows = |name: &str| [house.file(&format!("{name}.pem")), house.file(&format!("{name}.key"))];
    let (stranger, late) = (shows("stranger"), shows("late"));
    let without = [("zookeeper.cert_file", ""), ("zookeeper.key_file", "")];
    let no_tls = [("zookeeper.tls", "false"), ("zookeeper.ca_file", ""), without[0], without[1], ("zookeeper.connect", by_tls.as_str())];
    let cases = [
        (&[("zookeeper.ca_file", ca.as_str())][..], "nobody in zookeeper.ca_file has issued its certificate"),
        (&[("zookeeper.connect", by_name.as_str())], "its certificate is not for localhost"),
        (&without, "demands a certificate"),
        (
            &[("zookeeper.cert_file", stranger[0].as_str()), ("zookeeper.key_file", &stranger[1])],
            "refuses the certificate in zookeeper.cert_file",
        ),
        (&[("zookeeper.cert_file", late[0].as_str()), ("zookeeper.key_file", &late[1])], "refuses the certificate in zookeeper.cert_file"),
        (&[("zookeeper.connect", plain.as_str())], "TLS: zookeeper.connect must name its secureClientPort"),
        (&no_tls, "speaks TLS: set zookeeper.tls"),
    ];
    // Each goes on trying until its time is over: all at once.
    std::thread::scope(|scope| {
        for (changes, told) in cases {
            scope.spawn(move || house.refused(&[changes, sasl].concat(), 125, told));
        }
    });
}

/// Files that hold what they should not, or that others may read.
fn files(house: &House) {
    let open = secret(&house.dir.join("open.key"), &std::fs::read_to_string(house.file("client.key")).expect("a key"), 0o644);
    let (certificate, other) = (house.file("client.pem"), house.file("worker.key"));
    for (change, told) in [
        (("zookeeper.key_file", open.as_str()), "chmod 0640"),
        (("zookeeper.key_file", "/nowhere/key.pem"), "cannot be read: No such file"),
        (("zookeeper.key_file", &certificate), "holds a certificate and no key"),
        (("zookeeper.key_file", &other), "is not the key of the certificate"),
        (("zookeeper.ca_file", &other), "holds a key and no certificate"),
    ] {
        house.refused(&[change], 78, told);
    }
}

#[test]
fn certificates_are_renewed_without_a_restart_and_an_expired_server_is_told() {
    let house = House::new();
    let coordinator = house.service("coordinator", |settings| house.cluster.coordinator_with("c1", settings));
    eventually(SOON, "it is ready", || ready(&coordinator));
    // The server comes back with a certificate that has expired, and then everybody has new ones, of another authority.
    house.authority.issue("server", Validity::Past);
    house.cluster.zookeeper().restart(0);
    house.refused(&[], 125, "its certificate has expired");
    let again = Authority::new(&house.dir, "good-ca");
    ["server", "coordinator"].into_iter().for_each(|name| again.issue(name, Validity::Now));
    std::fs::copy(again.certificate(), house.dir.join("trusted.pem")).expect("copied");
    house.cluster.zookeeper().restart(0);
    eventually(SOON, "it has read the new ones", || coordinator.log().contains("certificates were renewed"));
    eventually(SOON, "it is back", || ready(&coordinator));
    assert_eq!(coordinator.terminate(SOON), 0, "{}", coordinator.log());
}
