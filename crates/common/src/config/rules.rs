//! Which values are possible. Pure: looks at settings alone, never at files or the network.

use std::net::SocketAddr;
use std::time::Duration;

use bellwether_core::admission::Rate;
use bellwether_core::protocol::acl::BadIdentity;
use bellwether_core::protocol::acl::identity::ACL_BYTES_MAX;
use bellwether_core::protocol::admission::Label;
use bellwether_core::protocol::name;

use super::allow::AllowedCommand;
use super::keys;
use super::limits::Limits;
use super::schema::{AclMode, Exec, Settings, Zookeeper};
use super::values::ByteSize;
use crate::output::store;
use crate::signing::PublicKey;

/// Most slots of one worker.
pub(super) const SLOTS_MAX: usize = bellwether_core::protocol::record::SLOTS_MAX as usize;
/// Most that one worker may have of a resource.
const RESOURCE_MAX: u32 = bellwether_core::protocol::record::RESOURCE_MAX;

/// Every number with the least and the most that makes sense.
pub(super) const NUMBERS: [(&str, u32, u32); 8] = [
    ("coordinator.assign_batch", 1, 10_000),
    ("coordinator.lookahead", 0, 1000),
    ("coordinator.max_pending", 1, 100_000_000),
    ("coordinator.max_worker_losses", 1, 1000),
    ("coordinator.status_max", 1, 10_000_000),
    ("worker.slots", 0, SLOTS_MAX as u32),
    ("task.retries", 0, 1000),
    ("client.submit_window", 1, 10_000),
];

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// Keys and what is wrong with their values.
type Broken = Vec<(String, String)>;

/// What `key`, a number, may be.
pub(super) fn range(key: &str) -> String {
    let found = NUMBERS.iter().find(|(number, ..)| *number == key);
    found.map_or_else(|| "must be a whole number".to_owned(), |(_, min, max)| format!("must be a whole number between {min} and {max}"))
}

/// Every key whose value is impossible, and why.
pub(super) fn broken(settings: &Settings) -> Broken {
    let mut broken = Vec::new();
    names(settings, &mut broken);
    zookeeper(settings, &mut broken);
    numbers(settings, &mut broken);
    durations(settings, &mut broken);
    worker(settings, &mut broken);
    policy(settings, &mut broken);
    signatures(settings, &mut broken);
    limits(settings, &mut broken);
    retries(settings, &mut broken);
    sizes(settings, &mut broken);
    http(settings, &mut broken);
    broken
}

/// Adds `why` for `key`, unless `fine`.
fn demand(broken: &mut Broken, fine: bool, key: &str, why: impl Into<String>) {
    if !fine {
        broken.push((key.to_owned(), why.into()));
    }
}

fn names(settings: &Settings, broken: &mut Broken) {
    let names = [("cluster", &settings.cluster), ("coordinator.name", &settings.coordinator.name), ("worker.name", &settings.worker.name)];
    for (key, given) in names {
        // An empty name of a service stands for the host's name; a cluster has no such default.
        if given.is_empty() && key != "cluster" {
            continue;
        }
        if let Err(bad) = name::check(given) {
            broken.push((key.to_owned(), bad.to_string()));
        }
    }
}

fn zookeeper(settings: &Settings, broken: &mut Broken) {
    let zookeeper = &settings.zookeeper;
    if let Err(why) = connect_string(&zookeeper.connect) {
        broken.push(("zookeeper.connect".to_owned(), why));
    }
    let root = "must be an absolute path without a slash at its end, as \"/bellwether\"";
    demand(broken, zookeeper.root == "/" || is_path(&zookeeper.root), "zookeeper.root", root);
    let reserved = zookeeper.root == "/zookeeper" || zookeeper.root.starts_with("/zookeeper/");
    demand(broken, !reserved, "zookeeper.root", "/zookeeper belongs to ZooKeeper itself; choose another path");
    authentication(zookeeper, broken);
    tls(zookeeper, broken);
    acl(settings, broken);
}

fn authentication(zookeeper: &Zookeeper, broken: &mut Broken) {
    let secret = !zookeeper.auth_file.is_empty() || zookeeper.secret.is_some();
    for (key, asks) in [("zookeeper.auth_scheme", !zookeeper.auth_scheme.is_empty()), ("zookeeper.sasl", !zookeeper.sasl.is_empty())] {
        let no_secret =
            format!("must name the file that holds the secret, because {key} is set and systemd gave no credential \"zookeeper-auth\"");
        demand(broken, !asks || secret, "zookeeper.auth_file", no_secret);
    }
    let asked = !zookeeper.auth_scheme.is_empty() || !zookeeper.sasl.is_empty();
    let no_scheme = "must be set, as \"digest\", because zookeeper.auth_file is set";
    demand(broken, asked || !secret, "zookeeper.auth_scheme", no_scheme);
    let certificate = "an x509 identity is that of the certificate: set zookeeper.tls and zookeeper.cert_file, and leave this empty";
    demand(broken, zookeeper.auth_scheme != "x509", "zookeeper.auth_scheme", certificate);
    demand(broken, matches!(zookeeper.sasl.as_str(), "" | "digest-md5"), "zookeeper.sasl", "must be \"digest-md5\", or empty for no SASL");
    let without = "this program was built without SASL; build it with the feature sasl";
    demand(broken, zookeeper.sasl.is_empty() || cfg!(feature = "sasl"), "zookeeper.sasl", without);
}

/// The files themselves are looked at when they are read.
fn tls(zookeeper: &Zookeeper, broken: &mut Broken) {
    let files = [
        ("zookeeper.ca_file", &zookeeper.ca_file),
        ("zookeeper.cert_file", &zookeeper.cert_file),
        ("zookeeper.key_file", &zookeeper.key_file),
    ];
    if !zookeeper.tls {
        for (key, file) in files {
            demand(broken, file.is_empty(), key, "says something of TLS, and zookeeper.tls is false: connections would not be encrypted");
        }
        return;
    }
    demand(broken, cfg!(feature = "tls"), "zookeeper.tls", "this program was built without TLS; build it with the feature tls");
    let no_ca = "must name the file with the certificates (PEM) that vouch for the servers, because zookeeper.tls is true";
    demand(broken, !zookeeper.ca_file.is_empty(), "zookeeper.ca_file", no_ca);
    let (cert, key) = (!zookeeper.cert_file.is_empty(), !zookeeper.key_file.is_empty());
    demand(broken, cert || !key, "zookeeper.cert_file", "must name the certificate of zookeeper.key_file");
    demand(broken, key || !cert, "zookeeper.key_file", "must name the key of zookeeper.cert_file");
}

fn acl(settings: &Settings, broken: &mut Broken) {
    let (zookeeper, acl) = (&settings.zookeeper, &settings.acl);
    let secured = zookeeper.acl == AclMode::Secured;
    match acl.identities() {
        Ok(identities) if identities.bytes() > ACL_BYTES_MAX => {
            let bytes = identities.bytes();
            let why = format!(
                "the identities of all roles take {bytes} bytes in each request, at most {ACL_BYTES_MAX} are left for them: shorten them"
            );
            demand(broken, false, "acl.coordinator", why);
        }
        Ok(_) => {}
        // Those that are missing are missed only where they are needed.
        Err(bad) => {
            for (role, why) in bad.into_iter().filter(|(_, why)| secured || *why != BadIdentity::Missing) {
                let needed = if secured && why == BadIdentity::Missing { " (zookeeper.acl is \"secured\")" } else { "" };
                demand(broken, false, &format!("acl.{}", role.as_str()), format!("{why}{needed}"));
            }
        }
    }
    let proves = !zookeeper.auth_scheme.is_empty() || !zookeeper.sasl.is_empty() || !zookeeper.cert_file.is_empty();
    let nobody = "needs an identity to prove: set zookeeper.auth_scheme and zookeeper.auth_file, or zookeeper.sasl, or zookeeper.cert_file";
    demand(broken, !secured || proves, "zookeeper.acl", nobody);
}

/// `host:port,host:port/chroot`
fn connect_string(connect: &str) -> Result<(), String> {
    let example = "as \"zk1:2181,zk2:2181,zk3:2181/chroot\"";
    let (hosts, chroot) = connect.split_at(connect.find('/').unwrap_or(connect.len()));
    if hosts.is_empty() {
        return Err(format!("must name at least one server, {example}"));
    }
    if let Some(bad) = hosts.split(',').find(|host| !is_server(host)) {
        return Err(format!("{bad:?} is no host:port; list servers separated by commas, {example}"));
    }
    if matches!(chroot, "" | "/") || is_path(chroot) { Ok(()) } else { Err(format!("{chroot:?} is no path of a znode, {example}")) }
}

/// `host`, which means ZooKeeper's own port, or `host:port`; an IPv6 address stands in brackets.
fn is_server(text: &str) -> bool {
    let bracketed = text.starts_with('[') && text.ends_with(']') && text.len() > 2;
    let bare = !text.is_empty() && !text.contains([':', '[', ']', '@']) && !text.contains(char::is_whitespace);
    bracketed || bare || is_host_and_port(text)
}

fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let bracketed = host.starts_with('[') && host.ends_with(']') && host.len() > 2;
    let bare = !host.is_empty() && !host.contains([':', '[', ']', '@', '/', ',']) && !host.contains(char::is_whitespace);
    (bracketed || bare) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

fn is_path(path: &str) -> bool {
    let good = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(|c: char| c.is_control() || c.is_whitespace());
    path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(good))
}

fn numbers(settings: &Settings, broken: &mut Broken) {
    for (key, min, max) in NUMBERS {
        let value = keys::value_of(settings, key).and_then(|value| value.as_u64());
        let fits = value.is_some_and(|value| (u64::from(min)..=u64::from(max)).contains(&value));
        demand(broken, fits, key, range(key));
    }
}

fn durations(settings: &Settings, broken: &mut Broken) {
    let second = Duration::from_secs(1);
    let bounded = [
        ("zookeeper.session_timeout", settings.zookeeper.session_timeout, second, HOUR),
        ("zookeeper.give_up_after", settings.zookeeper.give_up_after, second, YEAR),
        ("coordinator.status_retention", settings.coordinator.status_retention, second, 10 * YEAR),
        ("coordinator.key_retention", settings.coordinator.key_retention, second, 10 * YEAR),
        ("coordinator.silence_timeout", settings.coordinator.silence_timeout, Duration::ZERO, YEAR),
        ("coordinator.reconcile_interval", settings.coordinator.reconcile_interval, second, 24 * HOUR),
        ("coordinator.standby_delay", settings.coordinator.standby_delay, Duration::ZERO, Duration::from_secs(60)),
        ("worker.output_retention", settings.worker.output_retention, second, 10 * YEAR),
        ("worker.drain_timeout", settings.worker.drain_timeout, Duration::ZERO, YEAR),
        ("worker.kill_grace", settings.worker.kill_grace, Duration::ZERO, HOUR),
        ("client.sign_for", settings.client.sign_for, second, 10 * YEAR),
        ("task.timeout", settings.task.timeout, Duration::ZERO, YEAR),
        ("task.queue_timeout", settings.task.queue_timeout, Duration::ZERO, YEAR),
        ("task.start_timeout", settings.task.start_timeout, Duration::ZERO, YEAR),
        ("task.backoff", settings.task.backoff, Duration::ZERO, 24 * HOUR),
        ("task.backoff_max", settings.task.backoff_max, Duration::ZERO, 24 * HOUR),
    ];
    for (key, value, min, max) in bounded {
        let (least, most) = (humantime::format_duration(min), humantime::format_duration(max));
        demand(broken, (min..=max).contains(&value), key, format!("must be between {least} and {most}"));
    }
}

fn limits(settings: &Settings, broken: &mut Broken) {
    let coordinator = &settings.coordinator;
    let label = "must be named by a label and its value, as \"team=blue\"";
    let is_one = |text: &str| Label::parse(text).is_some_and(|label| is_label(&label.name));
    for (text, most) in &coordinator.quota {
        let key = format!("coordinator.quota.{text}");
        demand(broken, is_one(text), &key, label);
        demand(broken, (1..=100_000_000).contains(most), &key, "must be a whole number between 1 and 100000000");
    }
    for (text, rate) in &coordinator.rate {
        let key = format!("coordinator.rate.{text}");
        demand(broken, is_one(text), &key, label);
        let form = "must be a number between 1 and 100000 per second, minute or hour, as \"10/s\", \"600/m\" or \"5/h\"";
        demand(broken, Rate::parse(rate).is_some(), &key, form);
    }
}

fn worker(settings: &Settings, broken: &mut Broken) {
    let worker = &settings.worker;
    for (label, value) in &worker.labels {
        let key = format!("worker.labels.{label}");
        let name = "a label's name is 1 to 63 of a-z, 0-9, - and _, and starts with a letter";
        demand(broken, is_label(label), &key, name);
        let printable = !value.is_empty() && value.len() <= 200 && !value.contains(char::is_control);
        demand(broken, printable, &key, "a label's value is 1 to 200 bytes of printable text");
    }
    for (resource, count) in &worker.resources {
        let key = format!("worker.resources.{resource}");
        let name = "a resource's name is 1 to 63 of a-z, 0-9, - and _, and starts with a letter";
        demand(broken, is_label(resource), &key, name);
        let most = format!("must be a whole number between 1 and {RESOURCE_MAX}");
        demand(broken, (1..=RESOURCE_MAX).contains(count), &key, most);
    }
    demand(broken, worker.shell.starts_with('/'), "worker.shell", "must be the absolute path of a shell, as \"/bin/sh\"");
    let absolute = worker.output_dir.is_empty() || worker.output_dir.starts_with('/');
    demand(broken, absolute, "worker.output_dir", "must be an absolute path, or empty for the state directory");
    if let Some(why) = store::check(&worker.output_store).err().filter(|_| !worker.output_store.is_empty()) {
        demand(broken, false, "worker.output_store", why);
    }
}

/// What tasks may do: whether it can be done is looked at by the worker.
fn policy(settings: &Settings, broken: &mut Broken) {
    let worker = &settings.worker;
    for (name, line) in &worker.allow {
        let key = format!("worker.allow.{name}");
        demand(broken, is_label(name), &key, "a command's name is 1 to 63 of a-z, 0-9, - and _, and starts with a letter");
        if let Err(why) = AllowedCommand::parse(line) {
            demand(broken, false, &key, why);
        }
    }
    let listed = worker.exec == Exec::Allowlist;
    demand(broken, !listed || !worker.allow.is_empty(), "worker.exec", "allows nothing: name commands below [worker.allow]");
    let idle = "has no effect: set worker.exec = \"allowlist\", or remove the commands";
    demand(broken, listed || worker.allow.is_empty(), "worker.allow", idle);
    if let Err((name, why)) = Limits::parse(&worker.limits) {
        demand(broken, false, &format!("worker.limits.{name}"), why);
    }
}

fn signatures(settings: &Settings, broken: &mut Broken) {
    let worker = &settings.worker;
    let mut seen = std::collections::BTreeSet::new();
    for line in &worker.trusted_keys {
        match line.parse::<PublicKey>() {
            Ok(key) => demand(broken, seen.insert(key.id()), "worker.trusted_keys", format!("names the key {} twice", key.id())),
            Err(why) => demand(broken, false, "worker.trusted_keys", why.to_string()),
        }
    }
    let none = "nothing could run: name the keys of those who submit as worker.trusted_keys (bellwether key new)";
    demand(broken, !worker.require_signature || !worker.trusted_keys.is_empty(), "worker.require_signature", none);
    let idle = "has no effect: set worker.require_signature = true, or remove the keys";
    demand(broken, worker.require_signature || worker.trusted_keys.is_empty(), "worker.trusted_keys", idle);
}

/// Lower-case because environment variables arrive so: `BELLWETHER__WORKER__LABELS__ZONE` must mean what `zone` means in a file.
fn is_label(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.bytes().all(allowed)
}

fn retries(settings: &Settings, broken: &mut Broken) {
    let task = &settings.task;
    let least = humantime::format_duration(task.backoff);
    demand(broken, task.backoff_max >= task.backoff, "task.backoff_max", format!("must not be less than task.backoff, which is {least}"));
    let codes = task.retry_on.iter().all(|code| (1..=255).contains(code));
    demand(broken, codes, "task.retry_on", "must be exit codes between 1 and 255, as [1, 75]");
}

fn sizes(settings: &Settings, broken: &mut Broken) {
    let (tail, whole) = (settings.worker.output_tail, settings.worker.output_max);
    demand(broken, tail <= ByteSize::kib(64), "worker.output_tail", "must not be more than 64KiB, because it is stored in ZooKeeper");
    demand(broken, whole >= tail, "worker.output_max", format!("must not be less than worker.output_tail, which is {tail}"));
    let total = settings.worker.output_total >= whole;
    demand(broken, total, "worker.output_total", format!("must not be less than worker.output_max, which is {whole}"));
    let results = settings.coordinator.status_bytes >= ByteSize::kib(1);
    demand(broken, results, "coordinator.status_bytes", "must be at least 1KiB");
    let lines = (ByteSize::kib(1)..=ByteSize::mib(512)).contains(&settings.client.lines_max);
    demand(broken, lines, "client.lines_max", "must be between 1KiB and 512MiB");
    let payload = (ByteSize::kib(1)..=ByteSize::kib(512)).contains(&settings.task.payload_max);
    demand(broken, payload, "task.payload_max", "must be between 1KiB and 512KiB, which leaves room in ZooKeeper's 1 MiB");
}

fn http(settings: &Settings, broken: &mut Broken) {
    let listen = settings.http.listen.is_empty() || settings.http.listen.parse::<SocketAddr>().is_ok();
    demand(broken, listen, "http.listen", "must be an IP address and a port, as \"127.0.0.1:9641\" or \"[::]:9641\"");
    let advertise = settings.http.advertise.is_empty() || is_host_and_port(&settings.http.advertise);
    demand(broken, advertise, "http.advertise", "must be a host and a port, as \"worker-1.example.com:9642\"");
}
