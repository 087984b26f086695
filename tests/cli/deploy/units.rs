//! The systemd units: what they start, how they stop it, how much of the system they leave open, and that a systemd can work with them.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use bellwether_tests::place;
use tempfile::TempDir;

use super::{patience_is_enough, repository, settings, text, understood};

/// Unit, program, configuration file in the repository, and how much may be exposed.
const UNITS: [(&str, &str, &str, f64); 3] = [
    ("bellwether-coordinator", "bellwether-coordinator", "config/coordinator.toml", 2.0),
    ("bellwether-worker", "bellwether-worker", "config/worker.toml", 5.0),
    ("bellwether-zk-exporter", "bellwether", "deploy/etc/zk-exporter.toml", 2.0),
];

/// Values by key, of all sections: no key is in two.
fn unit(name: &str) -> BTreeMap<String, Vec<String>> {
    let mut keys: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text(&format!("deploy/systemd/{name}.service")).lines().filter(|line| !line.starts_with(['#', '['])) {
        if let Some((key, value)) = line.split_once('=') {
            keys.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    keys
}

fn seconds(value: &str) -> Duration {
    Duration::from_secs(value.strip_suffix('s').and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{value:?}")))
}

#[test]
fn what_a_unit_starts_exists_and_reads_the_file_that_is_installed() {
    for (name, program, config, _) in UNITS {
        let unit = unit(name);
        let words: Vec<String> = unit["ExecStart"][0].split(' ').map(str::to_owned).collect();
        assert_eq!(words[0], format!("/usr/bin/{program}"));
        let files = understood(program, &words[1..]);
        let installed = format!("/etc/bellwether/{}", config.rsplit('/').next().unwrap_or_default());
        assert_eq!(files, std::slice::from_ref(&installed));
        let package = if program == "bellwether" { "client" } else { program.trim_start_matches("bellwether-") };
        let manifest = text(&format!("crates/{package}/Cargo.toml"));
        assert!(manifest.contains(&format!("\"../../{config}\", \"etc/bellwether/\"")), "{config} is not in the package");
        assert!(manifest.contains(&format!("\"{installed}\"")), "{installed} is no conffile");
        let user = &unit["User"][0];
        assert!(text(&format!("deploy/sysusers.d/{name}.conf")).contains(&format!("\nu {user} ")), "{user} is made by nobody");
    }
}

#[test]
fn a_unit_knows_how_the_service_starts_stops_and_ends() {
    for (name, ..) in UNITS {
        let unit = unit(name);
        let no_restart: Vec<&str> = unit["RestartPreventExitStatus"][0].split(' ').collect();
        assert!(no_restart.contains(&"78") && !no_restart.contains(&"69") && !no_restart.contains(&"70"), "{no_restart:?}");
        assert_eq!(unit["Type"][0], "notify");
        assert!(seconds(&unit["WatchdogSec"][0]) >= Duration::from_secs(10), "a busy machine must not be taken for one that hangs");
        if name == "bellwether-zk-exporter" {
            continue;
        }
        assert!(no_restart.contains(&"77"));
        assert_eq!(unit["ExecReload"][0], "/bin/kill -HUP $MAINPID");
        assert_eq!(unit["TimeoutStartSec"][0], "infinity", "the service gives up by itself");
    }
    let worker = unit("bellwether-worker");
    assert_eq!(worker["KillMode"][0], "mixed", "commands may end before they are killed");
    assert_eq!(worker["StateDirectory"][0], "bellwether");
    patience_is_enough(&settings("config/worker.toml"), seconds(&worker["TimeoutStopSec"][0]));
}

#[test]
fn one_more_worker_on_a_host_is_run_as_the_first() {
    let lines = |name: &str| {
        let unit = text(&format!("deploy/systemd/{name}.service"));
        unit.lines().skip_while(|line| *line != "[Unit]").map(str::to_owned).collect::<Vec<_>>()
    };
    let (first, more) = (lines("bellwether-worker"), lines("bellwether-worker@"));
    assert_eq!(first.len(), more.len());
    let own: Vec<&str> = more.iter().filter(|line| !first.contains(line)).map(String::as_str).collect();
    let expected = [
        "Description=Bellwether worker %i",
        "ExecStart=/usr/bin/bellwether-worker --config /etc/bellwether/worker.toml --config /etc/bellwether/worker-%i.toml",
        "StateDirectory=bellwether/%i",
        "WorkingDirectory=%S/bellwether/%i",
    ];
    assert_eq!(own, expected, "everything else is as in bellwether-worker.service");
}

/// Boots a systemd in namespaces of its own, and has it start, watch, reload and stop the services: `deploy/test-units`.
#[test]
fn a_real_systemd_starts_watches_reloads_and_stops_the_services() {
    const CANNOT: i32 = 77;
    let programs = place::binary("bellwether").parent().expect("a directory").to_owned();
    let output = Command::new(repository().join("deploy/test-units")).arg(programs).output().expect("a script");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.code() == Some(CANNOT) {
        println!("{}", said.trim());
        return;
    }
    assert!(output.status.success(), "{said}");
}

#[test]
fn the_drop_in_gives_the_credential_that_the_services_look_for() {
    let drop_in = text("deploy/systemd/zookeeper-auth.conf");
    assert!(drop_in.contains("\nLoadCredential=zookeeper-auth:"));
    let variable = drop_in.lines().find_map(|line| line.strip_prefix("Environment=")).expect("a variable");
    super::variable_is_known(variable.split('=').next().unwrap_or_default());
}

/// Runs `systemd-analyze`; nothing where it is not installed.
fn systemd_analyze(arguments: &[&str]) -> Option<String> {
    match Command::new("systemd-analyze").args(arguments).output() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(error) => {
            println!("skipped: systemd-analyze: {error}");
            None
        }
    }
}

#[test]
fn units_leave_little_open() {
    for (name, _, _, most) in UNITS {
        let file = repository().join(format!("deploy/systemd/{name}.service"));
        let arguments = ["security", "--offline=true", "--no-pager", file.to_str().expect("a path")];
        let Some(report) = systemd_analyze(&arguments) else { return };
        let exposure = report.split("exposure level for ").nth(1).and_then(|rest| rest.split(": ").nth(1)?.split(' ').next()?.parse().ok());
        let exposure: f64 = exposure.unwrap_or_else(|| panic!("{report}"));
        println!("exposure of {name}: {exposure} (at most {most})");
        assert!(exposure <= most, "{report}");
    }
}

#[test]
fn systemd_has_nothing_to_say_about_the_units() {
    let dir = TempDir::new().expect("a directory");
    for (name, program, ..) in UNITS {
        // Where the packages put programs and their documentation; here they are elsewhere.
        let installed = text(&format!("deploy/systemd/{name}.service"));
        let here = installed.replace(&format!("/usr/bin/{program} "), &format!("{} ", place::binary(program).display()));
        let here = here.lines().filter(|line| !line.starts_with("Documentation=")).collect::<Vec<_>>().join("\n");
        let file = dir.path().join(format!("{name}.service"));
        std::fs::write(&file, here).expect("written");
        let Some(said) = systemd_analyze(&["verify", "--man=no", file.to_str().expect("a path")]) else { return };
        let said: Vec<&str> = said.lines().filter(|line| line.contains(name)).collect();
        assert!(said.is_empty(), "{said:?}");
    }
}
