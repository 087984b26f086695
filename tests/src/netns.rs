//! A network namespace of a test's own: a second machine, as far as the network goes, joined to this one by a cable on which packets
//! get lost. Needs root, and a kernel that has them.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::place;

/// A namespace and its end of the cable; both go with this handle.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    here: Ipv4Addr,
    there: Ipv4Addr,
}

/// Which packets get lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// One in five, in both directions.
    AFifth,
    /// All that are sent from the namespace.
    Outgoing,
    /// All that are sent to it.
    Incoming,
}

impl Namespace {
    /// A new one.
    ///
    /// # Errors
    /// Why this machine has none.
    pub fn new() -> Result<Self, String> {
        let number = (std::process::id() as usize).wrapping_mul(7).wrapping_add(place::serial()) % 16_000;
        let name = format!("bw{number}");
        let (third, fourth) = (u8::try_from(number / 64).unwrap_or(0), u8::try_from(number % 64 * 4).unwrap_or(0));
        let address = |last: u8| Ipv4Addr::new(10, 213, third, fourth + last);
        let namespace = Self { name: name.clone(), here: address(1), there: address(2) };
        let (near, far) = (format!("{name}a"), format!("{name}b"));
        run(&["ip", "netns", "add", &name])?;
        run(&["ip", "link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &name])?;
        run(&["ip", "addr", "add", &format!("{}/30", namespace.here), "dev", &near])?;
        run(&["ip", "link", "set", &near, "up"])?;
        namespace.inside(&["ip", "addr", "add", &format!("{}/30", namespace.there), "dev", &far])?;
        namespace.inside(&["ip", "link", "set", &far, "up"])?;
        namespace.inside(&["ip", "link", "set", "lo", "up"])?;
        namespace.inside(&["iptables", "-S"])?;
        Ok(namespace)
    }

    /// Where this machine is seen from inside.
    #[must_use]
    pub fn here(&self) -> Ipv4Addr {
        self.here
    }

    /// Where the inside is seen from here.
    #[must_use]
    pub fn there(&self) -> Ipv4Addr {
        self.there
    }

    /// What stands in front of a command to run it inside.
    #[must_use]
    pub fn wrapper(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).into()
    }

    /// From now on packets to and from this port here get lost.
    ///
    /// # Panics
    /// They cannot be made to.
    pub fn lose(&self, loss: Loss, port: u16) {
        let port = port.to_string();
        let outgoing = ["iptables", "-A", "OUTPUT", "-p", "tcp", "--dport", &port];
        let incoming = ["iptables", "-A", "INPUT", "-p", "tcp", "--sport", &port];
        let chance = ["-m", "statistic", "--mode", "random", "--probability", "0.2"];
        let rules: Vec<Vec<&str>> = match loss {
            Loss::AFifth => [outgoing, incoming].iter().map(|chain| [chain.as_slice(), &chance].concat()).collect(),
            Loss::Outgoing => vec![outgoing.to_vec()],
            Loss::Incoming => vec![incoming.to_vec()],
        };
        for rule in rules {
            self.inside(&[rule.as_slice(), &["-j", "DROP"]].concat()).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Nothing gets lost any more.
    ///
    /// # Panics
    /// The rules cannot be removed.
    pub fn heal(&self) {
        self.inside(&["iptables", "-F"]).unwrap_or_else(|error| panic!("{error}"));
    }

    /// How many packets were lost since the last healing.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let listed = self.inside(&["iptables", "-L", "-v", "-n", "-x"]).unwrap_or_default();
        let drops = listed.lines().filter(|line| line.contains("DROP") && !line.starts_with("Chain"));
        drops.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum()
    }

    fn inside(&self, command: &[&str]) -> Result<String, String> {
        run(&[&["ip", "netns", "exec", &self.name], command].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cable goes with it.
        let _ = run(&["ip", "netns", "del", &self.name]);
    }
}

fn run(command: &[&str]) -> Result<String, String> {
    let output = Command::new(command[0]).args(&command[1..]).output().map_err(|error| format!("{}: {error}", command.join(" ")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}: {}", command.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}
