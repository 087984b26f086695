//! The Kubernetes manifests: ports, probes, files and times agree with the configuration and the programs.

use std::time::Duration;

use serde_json::Value;

use super::{patience_is_enough, port, repository, settings, understood, variable_is_known, yaml};

const BASE: &str = "deploy/kubernetes/base";
const EXAMPLE: &str = "deploy/kubernetes/example";

fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The pod of each workload, with the workload's name.
fn pods() -> Vec<(String, Value)> {
    let resources = strings(&yaml(&format!("{BASE}/kustomization.yaml"))[0]["resources"]);
    let documents = resources.iter().flat_map(|resource| yaml(&format!("{BASE}/{resource}")));
    let workloads = documents.filter(|document| document["spec"]["template"].is_object());
    workloads.map(|it| (it["metadata"]["name"].as_str().unwrap_or_default().to_owned(), it["spec"]["template"]["spec"].clone())).collect()
}

#[test]
fn pods_run_what_there_is_with_a_file_that_is_mounted() {
    let pods = pods();
    assert_eq!(pods.len(), 3);
    for (name, pod) in pods {
        let container = &pod["containers"][0];
        let image = container["image"].as_str().unwrap_or_default().split(':').next().unwrap_or_default();
        let version = container["image"].as_str().and_then(|image| image.split(':').nth(1));
        assert_eq!(version, Some(env!("CARGO_PKG_VERSION")), "{name}");
        let file = understood(image, &strings(&container["args"])).pop().expect("a file");
        let file = format!("{BASE}/config/{}", file.strip_prefix("/etc/bellwether/").expect("where it is mounted"));
        let settings = settings(&file);
        assert_eq!(container["ports"][0]["containerPort"], port(&settings), "{name}");
        for probe in
            ["livenessProbe", "readinessProbe"].map(|probe| &container[probe]["httpGet"]["path"]).iter().filter(|path| !path.is_null())
        {
            assert!(["/health/live", "/health/ready"].contains(&probe.as_str().unwrap_or_default()), "{name}: {probe}");
        }
        for variable in container["env"].as_array().into_iter().flatten() {
            variable_is_known(variable["name"].as_str().unwrap_or_default());
        }
        if name == "bellwether-worker" {
            let patience = pod["terminationGracePeriodSeconds"].as_u64().expect("a grace period");
            patience_is_enough(&settings, Duration::from_secs(patience));
            assert_eq!(container["resources"]["limits"]["cpu"], settings.worker.slots.to_string(), "as many slots as cores");
        }
    }
}

#[test]
fn pods_may_do_no_more_than_they_need() {
    for (name, pod) in pods() {
        let container = &pod["containers"][0]["securityContext"];
        assert_eq!(
            (&pod["securityContext"]["runAsNonRoot"], &pod["automountServiceAccountToken"]),
            (&true.into(), &false.into()),
            "{name}"
        );
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        assert_eq!((&container["allowPrivilegeEscalation"], &container["readOnlyRootFilesystem"]), (&false.into(), &true.into()), "{name}");
        assert_eq!(strings(&container["capabilities"]["drop"]), ["ALL"], "{name}");
    }
}

#[test]
fn the_overlay_changes_what_is_there() {
    let base: Vec<(String, Value)> = pods();
    for name in ["coordinator", "worker", "zk-exporter"] {
        for generated in strings(&yaml(&format!("{BASE}/kustomization.yaml"))[0]["configMapGenerator"][0]["files"]) {
            assert!(repository().join(BASE).join(&generated).exists(), "{generated}");
        }
        let patch = yaml(&format!("{EXAMPLE}/{name}.yaml")).remove(0);
        let workload = patch["metadata"]["name"].as_str().unwrap_or_default();
        let (_, pod) = base.iter().find(|(name, _)| name == workload).unwrap_or_else(|| panic!("{workload} is not in the base"));
        let container = &patch["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["name"], pod["containers"][0]["name"], "another container would be added");
        for variable in container["env"].as_array().expect("variables") {
            variable_is_known(variable["name"].as_str().unwrap_or_default());
        }
        for volume in patch["spec"]["template"]["spec"]["volumes"].as_array().into_iter().flatten() {
            let mode = volume["secret"]["defaultMode"].as_u64().expect("a mode");
            assert_eq!(mode & 0o027, 0, "a secret that others may read is refused");
        }
    }
    let images = yaml(&format!("{EXAMPLE}/kustomization.yaml")).remove(0);
    let renamed: Vec<&str> = images["images"].as_array().into_iter().flatten().filter_map(|image| image["name"].as_str()).collect();
    assert_eq!(renamed, ["bellwether-coordinator", "bellwether-worker", "bellwether"]);
}
