//! `bellwether config`: needs no cluster, names everything that is wrong.

use bellwether_tests::Cluster;

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let cluster = Cluster::new();
    let file = cluster.dir().join("bad.toml");
    std::fs::write(&file, "[client]\ncolour = \"red\"\n[worker]\nslots = 99999\n").expect("a file");
    let file = file.to_str().expect("a path");
    for args in [&["config", "check", file][..], &["-c", file, "status"][..]] {
        let output = cluster.cli(args).code(78);
        assert!(output.stderr.contains("client.colour") && output.stderr.contains("worker.slots = 99999"), "{output:#?}");
        assert!(
            output.stderr.contains(file)
                && output.stderr.lines().last().is_some_and(|line| line.starts_with("bellwether: bad-configuration: 2 "))
        );
    }
    assert!(cluster.cli(&["-c", "/does/not/exist", "config", "check"]).code(78).stderr.contains("/does/not/exist: cannot be read"));
}

#[test]
fn what_is_right_is_shown_with_its_values() {
    let cluster = Cluster::new();
    assert!(cluster.cli(&["config", "check"]).success().stdout.starts_with("the configuration is right"));
    assert_eq!(cluster.cli(&["config", "check", "-o", "json"]).success().json()["valid"], true);
    let shown = cluster.cli(&["--set", "client.submit_window=7", "config", "show"]).success();
    assert!(shown.stdout.contains("submit_window = 7\n"), "{}", shown.stdout);
    assert!(shown.stdout.contains(&format!("connect = {:?}\n", cluster.connect_string())), "{}", shown.stdout);
    let file = cluster.dir().join("shown.toml");
    std::fs::write(&file, &shown.stdout).expect("a file");
    let _ = cluster.cli(&["config", "check", file.to_str().expect("a path")]).success();
}

#[test]
fn the_configured_output_is_used_unless_a_flag_says_otherwise() {
    let cluster = Cluster::new();
    let output = cluster.cli(&["--set", "client.output=json", "status"]).success();
    assert_eq!(output.json()["bellwether"], 1);
    assert!(cluster.cli(&["--set", "client.output=json", "status", "-o", "table"]).success().stdout.starts_with("zookeeper  "));
}

#[test]
fn each_value_is_shown_with_where_it_came_from() {
    let cluster = Cluster::new();
    let file = cluster.dir().join("w.toml");
    std::fs::write(&file, "[worker]\n\nslots = 3\n").expect("a file");
    let file = file.to_str().expect("a path");
    let args = ["--set", "client.submit_window=7", "config", "show", "--origin", file];
    let shown = cluster.cli(&args).success();
    let origin =
        |key: &str| shown.stdout.lines().find(|line| line.starts_with(key)).map(|line| line.rsplit("# ").next().unwrap_or_default());
    assert_eq!(origin("worker.slots = 3 "), Some(format!("{file}:3").as_str()), "{}", shown.stdout);
    assert_eq!(origin("client.submit_window = 7 "), Some("--set client.submit_window"));
    assert_eq!(origin("zookeeper.connect = "), Some("the command line"));
    assert_eq!(origin("worker.shell = "), Some("the default"));

    let json = cluster.cli(&["-o", "json", "config", "show", "--origin", file]).success().json();
    let settings = json["settings"].as_array().expect("a list").clone();
    let slots = settings.iter().find(|setting| setting["key"] == "worker.slots").expect("the key");
    assert_eq!((&slots["value"], slots["origin"].as_str()), (&serde_json::json!(3), Some(format!("{file}:3").as_str())));
}

#[test]
fn a_file_to_start_from_is_written_once() {
    let cluster = Cluster::new();
    for template in ["coordinator", "worker", "client", "reference"] {
        let file = cluster.dir().join(format!("new-{template}.toml"));
        let file = file.to_str().expect("a path");
        let _ = cluster.cli(&["config", "init", template, file]).success();
        let _ = cluster.cli(&["config", "check", file]).success();
        assert_eq!(std::fs::read_to_string(file).expect("written"), cluster.cli(&["config", "init", template]).success().stdout);
        let again = cluster.cli(&["config", "init", template, file]).code(78);
        assert!(again.stderr.contains(file) && again.stderr.contains("--force"), "{again:#?}");
        let _ = cluster.cli(&["config", "init", template, file, "--force"]).success();
    }
}

#[test]
fn the_schema_is_printed() {
    let schema = Cluster::new().cli(&["config", "schema"]).success().json();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(schema["properties"]["zookeeper"].is_object());
}
