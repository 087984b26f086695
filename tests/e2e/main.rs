//! End to end: real processes on real ZooKeeper, one module per scenario.

mod book;
mod dashboards;
mod faults;
mod faults_client;
mod faults_ensemble;
mod faults_load;
mod faults_master;
mod faults_state;
mod faults_takeover;
mod faults_worker;
mod foreign;
mod frozen;
mod harness;
mod load;
mod master;
mod metrics;
mod nemesis;
mod reload;
mod service_manager;
mod starting;
mod tutorial;
mod versions;
mod worker;
mod worker_alone;
mod zk_exporter;
mod zookeeper;
