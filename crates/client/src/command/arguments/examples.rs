//! What people type most, as `--help` shows it below the options. A test parses every line.

pub(super) const SUBMIT: &str = "\
Examples:
  bellwether submit -- make test
  bellwether submit --shell -- 'make test | tee log'
  bellwether submit --retries 3 --retry-backoff 1s..60s --timeout 10m -- ./import.sh
  bellwether submit --require zone=eu-1 --slots 2 --resource gpu=1 -- ./train.sh
  bellwether submit --key import-2026-11-22 --label team=blue -- ./import.sh
  bellwether submit --delay 10m -- ./later.sh
  bellwether submit --every 5m --name poll -- ./poll.sh
  bellwether submit -f tasks.jsonl --max-fails 10";

pub(super) const RUN: &str = "\
Examples:
  bellwether run -- make test
  bellwether run --timeout 10m --env CI=1 -- make test
  bellwether run --stdin data.csv -- sort -u";

pub(super) const WAIT: &str = "\
Examples:
  bellwether wait last
  bellwether wait -l team=blue --progress";

pub(super) const LIST: &str = "\
Examples:
  bellwether list --state failed -l team=blue
  bellwether list --sort priority --limit 20
  bellwether list -o json";

pub(super) const LOGS: &str = "\
Examples:
  bellwether logs last -f
  bellwether logs last --stderr --tail 20";

pub(super) const CANCEL: &str = "\
Examples:
  bellwether cancel last --reason 'not needed any more'
  bellwether cancel last --grace 30s
  bellwether cancel -l team=blue";

pub(super) const RETRY: &str = "\
Examples:
  bellwether retry last
  bellwether retry -l team=blue";

pub(super) const DEAD: &str = "\
Examples:
  bellwether dead list
  bellwether dead retry all
  bellwether dead purge -l team=blue";

pub(super) const WORKER: &str = "\
Examples:
  bellwether worker list
  bellwether worker drain w1 --deadline 10m --reason 'new disks' --monitor
  bellwether worker undrain w1
  bellwether worker wait 3";

pub(super) const SCHEDULE: &str = "\
Examples:
  bellwether schedule list
  bellwether schedule pause poll
  bellwether schedule delete poll";

pub(super) const EVENTS: &str = "\
Examples:
  bellwether events
  bellwether events -f -o jsonl";
