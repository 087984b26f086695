//! Precedence, and every kind of error with its text. The secret stands in `secrets`, the files in `config/` in `shipped`.

mod secrets;
mod shipped;

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use clap::Parser;
use tempfile::TempDir;

use super::*;

/// Files, environment and command line of one process.
struct World {
    dir: TempDir,
    sources: Sources,
    environment: Vec<(OsString, OsString)>,
}

impl World {
    fn new() -> Self {
        Self { dir: TempDir::new().expect("a directory"), sources: Sources::default(), environment: Vec::new() }
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        fs::write(&path, text).expect("written");
        self.sources.files.push(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    fn set(mut self, set: &str) -> Self {
        self.sources.sets.push(set.to_owned());
        self
    }

    fn flag(mut self, key: &str, value: &str) -> Self {
        self.sources.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Settings, ConfigError> {
        layers::load(&self.sources, self.environment.clone().into_iter()).map(|(settings, _)| settings)
    }

    fn settings(&self) -> Settings {
        self.load().expect("good settings")
    }

    /// The problems as a reader sees them, with the directory of the files taken out.
    fn problems(&self) -> Vec<String> {
        let error = self.load().expect_err("bad settings");
        let dir = format!("{}/", self.dir.path().display());
        error.problems.iter().map(|problem| problem.to_string().replace(&dir, "")).collect()
    }
}

/// The only problem of settings in which `set` is set.
fn problem_of(set: &str) -> String {
    let mut problems = World::new().set(set).problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.remove(0)
}

#[test]
fn without_any_source_everything_is_at_its_default() {
    assert_eq!(World::new().settings(), Settings::default());
    assert_eq!(Settings::default().validate(), Ok(()));
}

#[test]
fn later_layers_override_earlier_ones_key_by_key() {
    let file = World::new().file("a.toml", "cluster = \"a\"\n[worker]\nslots = 1\nname = \"one\"\nshell = \"/bin/bash\"\n");
    assert_eq!(file.settings().worker.slots, 1);
    let files = file.file("b.toml", "[worker]\nslots = 2\nname = \"two\"\n");
    assert_eq!(files.settings().worker.slots, 2);
    let variable = files.variable("BELLWETHER__WORKER__SLOTS", "3").variable("BELLWETHER__ZOOKEEPER__CONNECT", "env:2181");
    assert_eq!(variable.settings().worker.slots, 3);
    let set = variable.set("worker.slots=4").set("zookeeper.connect=set:2181");
    assert_eq!(set.settings().zookeeper.connect, "set:2181");
    let settings = set.flag("zookeeper.connect", "flag:2181").settings();
    assert_eq!((settings.worker.slots, settings.zookeeper.connect.as_str()), (4, "flag:2181"));
    assert_eq!((settings.worker.name.as_str(), settings.worker.shell.as_str(), settings.cluster.as_str()), ("two", "/bin/bash", "a"));
}

#[test]
fn every_sort_of_value_can_come_from_every_layer() {
    let file = "[zookeeper]\nsession_timeout = \"1m 30s\"\n[worker]\non_doubt = \"keep\"\noutput_max = \"1GiB\"\n[worker.labels]\nzone = \"eu-1\"\n";
    let world = World::new()
        .file("a.toml", file)
        .variable("BELLWETHER__WORKER__LABELS__DISK", "ssd")
        .variable("BELLWETHER__LOG__FORMAT", "json")
        .variable("BELLWETHER__CLUSTER", "7")
        .set("worker.labels.zone=eu-2")
        .set("worker.labels.query=a=b")
        .set("task.timeout=500ms");
    let settings = world.settings();
    assert_eq!(settings.zookeeper.session_timeout, Duration::from_secs(90));
    assert_eq!(settings.task.timeout, Duration::from_millis(500));
    assert_eq!((settings.worker.on_doubt, settings.log.format), (OnDoubt::Keep, LogFormat::Json));
    assert_eq!((settings.worker.output_max.bytes(), settings.cluster.as_str()), (1 << 30, "7"));
    let labels: Vec<String> = settings.worker.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["disk=ssd", "query=a=b", "zone=eu-2"]);
}

#[test]
fn variables_of_others_are_left_alone() {
    let world = World::new()
        .variable("BELLWETHER_CONFIG", "/nowhere")
        .variable("BELLWETHER_SERVICE_HOST", "10.0.0.1")
        .variable("BELLWETHER_WORKER_SLOTS", "9")
        .variable("PATH", "/bin");
    assert_eq!(world.settings(), Settings::default());
}

#[test]
fn unknown_keys_are_named_with_their_source_and_the_nearest_known_one() {
    let world = World::new()
        .file(
            "w.toml",
            "slots = 4\n[zookeper]\nroot = \"/a\"\n[zookeeper]\npassword = \"hunter2\"\n[Worker]\nname = \"x\"\n[empty]\n[worker.labels]\n",
        )
        .variable("BELLWETHER__WORKER__SLOT", "9")
        .variable("BELLWETHER__WORKER", "9")
        .variable("BELLWETHER__", "9")
        .set("http.port=80")
        .set("cluster.name=x")
        .set("worker.labels.a.b=x");
    let mut problems = world.problems();
    problems.sort();
    assert_eq!(
        problems,
        [
            "Worker.name (w.toml:7): unknown key; did you mean worker.name?",
            "cluster.name (--set cluster.name): unknown key; cluster is a value, there is nothing below it",
            "empty (w.toml): unknown key; the sections are acl, client, coordinator, http, log, task, worker, zookeeper",
            "environment variable BELLWETHER__: unknown key; the sections are acl, client, coordinator, http, log, task, worker, zookeeper",
            "http.port (--set http.port): unknown key; the keys of [http] are advertise, listen, token_file",
            "slots (w.toml:1): unknown key; did you mean worker.slots?",
            "worker (environment variable BELLWETHER__WORKER): is a section; its keys are allow, allow_root, drain_timeout, environment, exec, kill_grace, labels, limits, name, no_new_privileges, on_doubt, output_dir, output_max, output_retention, output_store, output_tail, output_total, require_signature, resources, run_as, shell, slots, trusted_keys, work_dir",
            "worker.labels.a.b (--set worker.labels.a.b): unknown key; a name in worker.labels has no dot in it",
            "worker.slot (environment variable BELLWETHER__WORKER__SLOT): unknown key; did you mean worker.slots?",
            "zookeeper.password (w.toml:5): unknown key; the keys of [zookeeper] are acl, auth_file, auth_scheme, ca_file, cert_file, connect, give_up_after, key_file, root, sasl, session_timeout, tls",
            "zookeper.root (w.toml:3): unknown key; did you mean zookeeper.root?",
        ]
    );
}

#[test]
fn values_of_the_wrong_sort_are_not_bent() {
    let file = "cluster = 7\n[worker]\nslots = 1.7\nname = true\nlabels = \"a\"\n[zookeeper]\nsession_timeout = 10\n[coordinator]\nlookahead = \"3\"\nassign_batch = [1]\n[log]\nlevel = \"loud\"\n[task]\ntimeout = \"10\"\npayload_max = \"10KB\"\n";
    let world = World::new().file("w.toml", file).set("client.submit_window=1e3").set("worker.labels=a").set("worker.slots=-1");
    let mut problems = world.problems();
    problems.sort();
    assert_eq!(
        problems,
        [
            "client.submit_window = \"1e3\" (--set client.submit_window): must be a whole number between 1 and 10000",
            "cluster = 7 (w.toml:1): must be text in quotes, as \"default\"",
            "coordinator.assign_batch = […] (w.toml:10): must be a whole number between 1 and 10000",
            "coordinator.lookahead = \"3\" (w.toml:9): must be a whole number between 0 and 1000",
            "log.level = \"loud\" (w.toml:12): unknown variant `loud`, expected one of `error`, `warn`, `info`, `debug`, `trace`",
            "task.payload_max = \"10KB\" (w.toml:15): a size is a whole number and one of B, KiB, MiB, GiB, as \"16KiB\"",
            "task.timeout = \"10\" (w.toml:14): a duration is a whole number and one of ms, s, m, h, d, as \"10s\"",
            "worker.labels = \"a\" (--set worker.labels): is a table: set one of its names, as worker.labels.name",
            "worker.labels = \"a\" (w.toml:5): must be a table, as [worker.labels] and below it name = \"value\"",
            "worker.name = true (w.toml:4): must be text in quotes",
            "worker.slots = \"-1\" (--set worker.slots): must be a whole number between 0 and 4096",
            "worker.slots = 1.7 (w.toml:3): must be a whole number between 0 and 4096",
            "zookeeper.session_timeout = 10 (w.toml:7): must be text in quotes, as \"10s\"",
        ]
    );
}

#[test]
fn impossible_values_are_named_with_a_way_out() {
    let cases = [
        ("cluster=", "cluster = \"\" (--set cluster): a name must not be empty"),
        ("worker.name=a/b", "worker.name = \"a/b\" (--set worker.name): a name must not contain '/'"),
        ("coordinator.name=..", "coordinator.name = \"..\" (--set coordinator.name): \"..\" is reserved"),
        (
            "zookeeper.connect=",
            "zookeeper.connect = \"\" (--set zookeeper.connect): must name at least one server, as \"zk1:2181,zk2:2181,zk3:2181/chroot\"",
        ),
        (
            "zookeeper.session_timeout=999ms",
            "zookeeper.session_timeout = \"999ms\" (--set zookeeper.session_timeout): must be between 1s and 1h",
        ),
        (
            "zookeeper.root=prod",
            "zookeeper.root = \"prod\" (--set zookeeper.root): must be an absolute path without a slash at its end, as \"/bellwether\"",
        ),
        (
            "zookeeper.root=/zookeeper",
            "zookeeper.root = \"/zookeeper\" (--set zookeeper.root): /zookeeper belongs to ZooKeeper itself; choose another path",
        ),
        (
            "zookeeper.auth_scheme=digest",
            "zookeeper.auth_file = \"\" (the default): must name the file that holds the secret, because zookeeper.auth_scheme is set and systemd gave no credential \"zookeeper-auth\"",
        ),
        (
            "zookeeper.auth_file=/x",
            "zookeeper.auth_scheme = \"\" (the default): must be set, as \"digest\", because zookeeper.auth_file is set",
        ),
        (
            "coordinator.assign_batch=0",
            "coordinator.assign_batch = 0 (--set coordinator.assign_batch): must be a whole number between 1 and 10000",
        ),
        ("worker.slots=5000", "worker.slots = 5000 (--set worker.slots): must be a whole number between 0 and 4096"),
        ("worker.slots=99999999999", "worker.slots = \"99999999999\" (--set worker.slots): must be a whole number between 0 and 4096"),
        (
            "worker.labels.Zone=a",
            "worker.labels.Zone = \"a\" (--set worker.labels.Zone): a label's name is 1 to 63 of a-z, 0-9, - and _, and starts with a letter",
        ),
        (
            "worker.labels.zone=",
            "worker.labels.zone = \"\" (--set worker.labels.zone): a label's value is 1 to 200 bytes of printable text",
        ),
        ("worker.shell=bash", "worker.shell = \"bash\" (--set worker.shell): must be the absolute path of a shell, as \"/bin/sh\""),
        (
            "worker.output_dir=out",
            "worker.output_dir = \"out\" (--set worker.output_dir): must be an absolute path, or empty for the state directory",
        ),
        (
            "worker.output_tail=65KiB",
            "worker.output_tail = \"65KiB\" (--set worker.output_tail): must not be more than 64KiB, because it is stored in ZooKeeper",
        ),
        (
            "worker.output_max=1KiB",
            "worker.output_max = \"1KiB\" (--set worker.output_max): must not be less than worker.output_tail, which is 16KiB",
        ),
        (
            "task.payload_max=513KiB",
            "task.payload_max = \"513KiB\" (--set task.payload_max): must be between 1KiB and 512KiB, which leaves room in ZooKeeper's 1 MiB",
        ),
        (
            "http.listen=localhost:80",
            "http.listen = \"localhost:80\" (--set http.listen): must be an IP address and a port, as \"127.0.0.1:9641\" or \"[::]:9641\"",
        ),
        (
            "http.advertise=host",
            "http.advertise = \"host\" (--set http.advertise): must be a host and a port, as \"worker-1.example.com:9642\"",
        ),
        ("worker.kill_grace=2h", "worker.kill_grace = \"2h\" (--set worker.kill_grace): must be between 0s and 1h"),
        ("worker.on_doubt=hope", "worker.on_doubt = \"hope\" (--set worker.on_doubt): unknown variant `hope`, expected `kill` or `keep`"),
        ("worker.slots", "--set worker.slots: must look as section.key=value"),
    ];
    for (set, problem) in cases {
        assert_eq!(problem_of(set), problem);
    }
}

#[test]
fn connect_strings() {
    let good = ["zk1", "zk1:2181", "zk1:2181,zk2:2182", "10.0.0.1:2181/a/b", "[::1]:2181,[::1]/", "zk1:2181/"];
    for connect in good {
        assert!(World::new().flag("zookeeper.connect", connect).load().is_ok(), "{connect}");
    }
    for connect in ["/a", "zk1:", ":2181", "zk1:0", "zk1:65536", "a b", "zk1,,zk2", "zk1:2181/a/", "zk1:2181//", "::1:2181", "tcp://zk1"] {
        assert!(World::new().flag("zookeeper.connect", connect).load().is_err(), "{connect}");
    }
    let problems = World::new().flag("zookeeper.connect", "zk1,zk2:x").problems();
    let server = "zookeeper.connect = \"zk1,zk2:x\" (the command line): \"zk2:x\" is no host:port; list servers separated by commas, as \"zk1:2181,zk2:2181,zk3:2181/chroot\"";
    assert_eq!(problems, [server]);
}

#[test]
fn one_report_names_everything_that_is_wrong() {
    let world = World::new().file("w.toml", "[worker]\nslots = 5000\nslotz = 1\n").set("log.format=xml").set("task.payload_max=1B");
    let error = world.load().expect_err("bad settings").to_string();
    let lines: Vec<&str> = error.lines().map(str::trim).collect();
    assert_eq!(lines.len(), 5, "{error}");
    assert_eq!(lines[0], "bad configuration, 4 problems:");
    for part in ["worker.slots = 5000 (", "worker.slotz (", "log.format = \"xml\" (", "task.payload_max = \"1B\" ("] {
        assert!(lines.iter().any(|line| line.starts_with(part)), "{part} is missing in {error}");
    }
}

#[test]
fn only_the_topmost_value_must_be_possible() {
    let world = World::new().file("w.toml", "[worker]\nslots = 5000\n").set("worker.slots=4");
    assert_eq!(world.settings().worker.slots, 4);
}

#[test]
fn files_that_cannot_be_read_or_parsed_are_named() {
    let mut world = World::new().file("broken.toml", "[worker]\nslots = \n");
    world.sources.files.push(world.dir.path().join("missing.toml"));
    let problems = world.problems();
    assert!(problems[0].starts_with("broken.toml: TOML parse error at line 2, column 9"), "{problems:?}");
    assert_eq!(problems[1], "missing.toml: cannot be read: No such file or directory (os error 2)");
}

#[test]
fn variables_that_are_no_text_are_named() {
    let mut world = World::new();
    world.environment.push(("BELLWETHER__CLUSTER".into(), OsString::from_vec(vec![0xff])));
    assert_eq!(world.problems(), ["environment variable BELLWETHER__CLUSTER: is not valid UTF-8"]);
}

#[test]
fn settings_made_by_hand_are_checked_too() {
    let mut settings = Settings::default();
    settings.worker.slots = 5000;
    settings.worker.labels.insert("a.b".into(), "x".into());
    let error = settings.validate().expect_err("too many slots").to_string();
    assert!(error.contains("worker.slots = 5000 (the default): must be a whole number between 0 and 4096"), "{error}");
    assert!(error.contains("worker.labels.a.b = \"x\""), "{error}");
}

#[test]
fn names_addresses_and_slots_have_sensible_defaults() {
    let mut settings = Settings::default();
    assert_eq!(settings.worker_name(), settings.coordinator_name());
    assert!(bellwether_core::protocol::name::check(&settings.worker_name()).is_ok());
    assert!(settings.worker_slots() >= 1);
    assert_eq!(settings.http_listen(Role::Coordinator).to_string(), "127.0.0.1:9641");
    assert_eq!(settings.http_listen(Role::Worker).to_string(), "127.0.0.1:9642");
    assert_eq!(settings.http_advertise(SocketAddr::from(([10, 0, 0, 7], 80))), "10.0.0.7:80");
    assert!(settings.http_advertise(SocketAddr::from(([0, 0, 0, 0], 80))).ends_with(":80"));
    assert!(!settings.http_advertise(SocketAddr::from(([0, 0, 0, 0], 80))).starts_with("0.0.0.0"));
    settings.worker.name = "w7".into();
    settings.worker.slots = 3;
    settings.http.listen = "[::]:80".into();
    settings.http.advertise = "w7.example.com:80".into();
    assert_eq!((settings.worker_name().as_str(), settings.worker_slots()), ("w7", 3));
    assert_eq!(settings.http_listen(Role::Worker).to_string(), "[::]:80");
    assert_eq!(settings.http_advertise(SocketAddr::from(([10, 0, 0, 7], 80))), "w7.example.com:80");
}

#[test]
fn outputs_lie_in_the_state_directory() {
    let mut settings = Settings::default();
    let dir = |settings: &Settings, variables: &[(&str, &str)]| {
        let find = |name: &str| variables.iter().find(|(variable, _)| *variable == name).map(|(_, path)| PathBuf::from(path));
        settings.output_dir_from(find).display().to_string()
    };
    let all = [("STATE_DIRECTORY", "/var/lib/bw:/var/lib/other"), ("XDG_STATE_HOME", "/xdg"), ("HOME", "/home/a")];
    assert_eq!(dir(&settings, &all), "/var/lib/bw/output");
    assert_eq!(dir(&settings, &all[1..]), "/xdg/bellwether/output");
    assert_eq!(dir(&settings, &all[2..]), "/home/a/.local/state/bellwether/output");
    settings.worker.output_dir = "/data".into();
    assert_eq!(dir(&settings, &all), "/data");
}

#[test]
fn each_value_is_shown_with_where_it_came_from() {
    let world = World::new()
        .file("a.toml", "[worker]\nslots = 1\nname = \"one\"\n")
        .file("b.toml", "[worker]\n\nslots = 2\n")
        .variable("BELLWETHER__LOG__LEVEL", "debug")
        .set("task.timeout=5s")
        .flag("zookeeper.connect", "zk:1");
    let (_, origins) = layers::load(&world.sources, world.environment.clone().into_iter()).expect("good settings");
    let shown: Vec<String> = origins.iter().map(|(key, origin)| format!("{key}: {origin}")).collect();
    let dir = world.dir.path().display();
    assert_eq!(
        shown,
        [
            "log.level: environment variable BELLWETHER__LOG__LEVEL".to_owned(),
            "task.timeout: --set task.timeout".to_owned(),
            format!("worker.name: {dir}/a.toml:3"),
            format!("worker.slots: {dir}/b.toml:3"),
            "zookeeper.connect: the command line".to_owned(),
        ]
    );
}

#[test]
fn the_command_line_becomes_sources() {
    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        common: CommonArgs,
    }
    let line =
        ["x", "zk1:2181/prod", "--config", "a.toml", "-c", "b.toml", "--set", "worker.slots=4", "--set", "cluster=x", "--config", ""];
    let sources = Arguments::parse_from(line).common.sources();
    assert_eq!(sources.files, [PathBuf::from("a.toml"), PathBuf::from("b.toml")]);
    assert_eq!(sources.sets, ["worker.slots=4", "cluster=x"]);
    assert_eq!(sources.overrides, [("zookeeper.connect".to_owned(), "zk1:2181/prod".to_owned())]);
}

#[test]
fn a_secured_cluster_needs_everybodys_identity_and_ones_own_proof() {
    let secured = |sets: &[&str]| sets.iter().fold(World::new().set("zookeeper.acl=secured"), |world, set| world.set(set)).problems();
    let problems = secured(&[]);
    for role in ["coordinator", "worker", "client", "admin"] {
        let told = format!("acl.{role} = \"\" (the default): is missing; print it with: bellwether acl id FILE");
        assert!(problems.iter().any(|problem| problem.starts_with(&told)), "{role}: {problems:#?}");
    }
    assert!(problems.iter().any(|problem| problem.contains("zookeeper.acl") && problem.contains("needs an identity to prove")));
    let wrong = secured(&["acl.worker=digest:worker:password", "acl.client=everybody"]);
    for told in ["acl.worker = \"digest:worker:password\"", "acl.client = \"everybody\""] {
        assert!(wrong.iter().any(|problem| problem.starts_with(told)), "{wrong:#?}");
    }
    let long = format!("acl.worker=x509:CN={}", "w".repeat(200));
    let others = ["acl.coordinator=sasl:c", "acl.client=sasl:u", "acl.admin=sasl:a"];
    let problems = secured(&[&others[..], &[&long]].concat());
    assert!(problems.iter().any(|problem| problem.contains("shorten them")), "{problems:#?}");
    // What is not needed may be missing, and is checked all the same.
    assert!(World::new().set("acl.worker=sasl:w").load().is_ok());
    assert_eq!(World::new().set("acl.worker=w").problems().len(), 1);
}

#[test]
fn encryption_and_authentication_are_all_or_nothing() {
    let problem = |sets: &[&str]| sets.iter().fold(World::new(), |world, set| world.set(set)).problems().join("\n");
    for (sets, told) in [
        (&["zookeeper.tls=true"][..], "zookeeper.ca_file = \"\" (the default): must name the file"),
        (&["zookeeper.ca_file=/x"], "says something of TLS, and zookeeper.tls is false"),
        (&["zookeeper.key_file=/x"], "says something of TLS, and zookeeper.tls is false"),
        (&["zookeeper.tls=perhaps"], "zookeeper.tls = \"perhaps\" (--set zookeeper.tls): must be true or false"),
        (&["zookeeper.tls=true", "zookeeper.ca_file=/nowhere", "zookeeper.key_file=/x"], "must name the certificate of zookeeper.key_file"),
        (&["zookeeper.tls=true", "zookeeper.ca_file=/nowhere", "zookeeper.cert_file=/x"], "must name the key of zookeeper.cert_file"),
        (
            &["zookeeper.tls=true", "zookeeper.ca_file=/nowhere"],
            "zookeeper.ca_file = \"/nowhere\" (--set zookeeper.ca_file): cannot be read",
        ),
        (&["zookeeper.sasl=gssapi"], "must be \"digest-md5\", or empty for no SASL"),
        (&["zookeeper.sasl=digest-md5"], "because zookeeper.sasl is set"),
        (&["zookeeper.auth_scheme=x509"], "an x509 identity is that of the certificate"),
    ] {
        assert!(problem(sets).contains(told), "{sets:?}: {}", problem(sets));
    }
}
