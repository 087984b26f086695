//! The command line that every service has.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::layers::Sources;

/// Where a service's settings come from. Flatten it into the arguments of a program.
#[derive(Debug, Clone, Default, Args)]
pub struct CommonArgs {
    /// ZooKeeper's servers and the cluster's root: host:port,host:port/chroot
    #[arg(value_name = "CONNECT")]
    pub connect: Option<String>,

    /// A configuration file; may be given several times, later files override earlier ones
    // Not clap's parser of paths, which refuses the empty one: an empty BELLWETHER_CONFIG is how a unit file says "none".
    #[arg(short, long = "config", value_name = "FILE", env = "BELLWETHER_CONFIG", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub config: Vec<PathBuf>,

    /// Override one key, as --set worker.slots=4; may be given several times
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
}

impl CommonArgs {
    /// The sources of settings that these arguments name.
    #[must_use]
    pub fn sources(&self) -> Sources {
        Sources {
            files: self.config.iter().filter(|file| !file.as_os_str().is_empty()).cloned().collect(),
            sets: self.set.clone(),
            overrides: self.connect.iter().map(|connect| ("zookeeper.connect".to_owned(), connect.clone())).collect(),
        }
    }
}
