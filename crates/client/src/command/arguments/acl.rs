//! The options of `acl`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum AclCommand {
    /// Give each node of the cluster the rights that the table says; only the admin can
    ///
    /// Uses zookeeper.acl and the section acl of the configuration. Stop the services before the first time: those that are not configured for
    /// it lose their rights.
    Apply(ApplyArgs),
    /// Compare the rights of each node with the table; exits with 1 if any differ
    Check,
    /// Print who ZooKeeper takes somebody for who knows a password: what the section acl needs
    Id(IdArgs),
    /// Print the table: who may do what where
    Show,
}

/// What to set.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// Change nothing, and show what would be changed
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Of whom.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The file that holds user:password, as zookeeper.auth_file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
