//! The names of ZooKeeper's figures, and what they are to Prometheus: `mntr` does not say which are counters.
//!
//! From what servers 3.6 to 3.9 register with their metrics provider. A name that is missing here is exported without a type.

/// What a metric is to Prometheus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    Summary,
    Untyped,
}

impl Type {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

const GAUGES: &str = "approximate_data_size auth_failed_count avg_latency connection_drop_probability ephemerals_count
    global_sessions last_client_response_size last_proposal_size leader_uptime learners local_sessions max_client_response_size
    max_file_descriptor_count max_latency max_proposal_size min_client_response_size min_latency min_proposal_size
    non_mtls_local_conn_count non_mtls_remote_conn_count num_alive_connections observer_master_id open_file_descriptor_count
    outstanding_requests outstanding_tls_handshake packets_received packets_sent pending_syncs quorum_size synced_followers
    synced_non_voting_followers synced_observers uptime watch_count znode_count";

const COUNTERS: &str = "add_dead_watcher_stall_time bytes_received_count cnxn_closed_without_zk_server_running commit_count
    connection_drop_count connection_rejected connection_request_count connection_revalidate_count dead_watchers_cleared
    dead_watchers_queued diff_count digest_mismatches_count ensemble_auth_fail ensemble_auth_skip ensemble_auth_success
    insecure_admin_count large_requests_rejected learner_commit_received_count learner_proposal_received_count looking_count
    outstanding_changes_queued outstanding_changes_removed prep_processor_request_queued proposal_count
    quit_leading_due_to_disloyal_voter request_commit_queued request_throttle_wait_count
    requests_not_forwarded_to_commit_processor response_bytes response_packet_cache_hits response_packet_cache_misses
    response_packet_get_children_cache_hits response_packet_get_children_cache_misses revalidate_count
    sessionless_connections_expired skip_learner_request_to_next_processor_count snap_count stale_replies stale_requests
    stale_requests_dropped stale_sessions_expired sync_processor_request_queued throttled_ops tls_handshake_exceeded
    unrecoverable_error_count unsuccessful_handshake watch_bytes";

/// Summaries with a label `key`, which `mntr` puts in front of the name.
const SUMMARY_SETS: [&str; 5] =
    ["write_per_namespace", "read_per_namespace", "ack_latency", "learner_handler_qp_size", "learner_handler_qp_time_ms"];

/// Counters and gauges with a label `key`.
const SETS: [(&str, Type); 5] = [
    ("quota_exceeded_error_per_namespace", Type::Counter),
    ("quota_count_limit_per_namespace", Type::Gauge),
    ("quota_bytes_limit_per_namespace", Type::Gauge),
    ("quota_count_usage_per_namespace", Type::Gauge),
    ("quota_bytes_usage_per_namespace", Type::Gauge),
];

/// The metric, its key if it has one, and its type.
pub(super) fn of(name: &str) -> (&str, Option<&str>, Type) {
    if GAUGES.split_whitespace().any(|known| known == name) {
        return (name, None, Type::Gauge);
    }
    if COUNTERS.split_whitespace().any(|known| known == name) {
        return (name, None, Type::Counter);
    }
    let in_set = SETS.iter().find_map(|(set, kind)| Some((*set, name.strip_suffix(set)?.strip_suffix('_')?, *kind)));
    in_set.map_or((name, None, Type::Untyped), |(set, key, kind)| (set, Some(key), kind))
}

/// The summary, and its key if it has one.
pub(super) fn of_summary(name: &str) -> (&str, Option<&str>) {
    // It looks like a set's, and is none.
    if name == "quorum_ack_latency" {
        return (name, None);
    }
    let in_set = SUMMARY_SETS.iter().find_map(|set| Some((*set, name.strip_suffix(set)?.strip_suffix('_')?)));
    in_set.map_or((name, None), |(set, key)| (set, Some(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_front_of_a_name_is_a_label() {
        assert_eq!(of("app_1_quota_count_limit_per_namespace"), ("quota_count_limit_per_namespace", Some("app_1"), Type::Gauge));
        assert_eq!(of_summary("1_ack_latency"), ("ack_latency", Some("1")));
        assert_eq!(of_summary("quorum_ack_latency"), ("quorum_ack_latency", None), "a metric of its own");
        assert_eq!(of_summary("readlatency"), ("readlatency", None));
    }
}
