//! The exit codes of the services. The command's own codes are another matter: it passes on those of tasks.

use std::process::ExitCode;

/// Why a service ended. The codes are those of `sysexits.h`, so that service managers can tell what a restart may mend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Somebody asked it to stop, and it stopped in order.
    Asked = 0,
    /// The command line is wrong; clap ends the process itself with this code.
    Usage = 2,
    /// No session within `zookeeper.give_up_after`. A restart may help.
    Unreachable = 69,
    /// A panic: a defect of this program.
    Panic = 70,
    /// ZooKeeper refuses this service's rights or password.
    Denied = 77,
    /// The configuration is wrong, or what stands under the root is not ours.
    Config = 78,
}

impl Exit {
    /// The code as the operating system sees it.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_what_operators_were_told() {
        let codes = [Exit::Asked, Exit::Usage, Exit::Unreachable, Exit::Panic, Exit::Denied, Exit::Config].map(Exit::code);
        assert_eq!(codes, [0, 2, 69, 70, 77, 78]);
    }
}
