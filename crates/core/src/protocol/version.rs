//! Which protocol a cluster speaks, and who may take part: the rule behind `/bellwether/version`.
//!
//! The znode holds one number. A program takes part if it speaks that protocol: its own, or the one before. So versions N and N−1 of
//! the programs work side by side while the znode says N−1; when the last program has been upgraded, the number is raised by hand.

use super::PROTOCOL_VERSION;

/// Whether this program may take part in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It speaks the cluster's protocol.
    Welcome,
    /// Nobody has said yet what the cluster speaks: a service creates the znode with [`data`].
    Unsaid,
    /// It does not speak the cluster's protocol.
    Refused(Mismatch),
}

/// Why a program may not take part. Its text tells the operator what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The cluster has moved on.
    #[error(
        "the cluster speaks protocol {cluster} ({path}), this program only {own} and {before}: upgrade this program to a version that speaks {cluster}",
        path = super::path::VERSION,
        before = own.saturating_sub(1)
    )]
    TooOld {
        /// What the cluster speaks.
        cluster: u32,
        /// The newest that this program speaks.
        own: u32,
    },
    /// The cluster was left behind by more than one version.
    #[error(
        "the cluster speaks protocol {cluster} ({path}), this program only {own} and {before}: upgrade the cluster version by version, no program more than one version ahead of the others, and then set {path} to {before}",
        path = super::path::VERSION,
        before = own.saturating_sub(1)
    )]
    TooNew {
        /// What the cluster speaks.
        cluster: u32,
        /// The newest that this program speaks.
        own: u32,
    },
    /// The znode does not hold a number.
    #[error(
        "{path} holds {found:?} where the number of a protocol should be, and this program speaks {own} and {before}: look who wrote it, then delete the node, or set it to what the services that run already speak",
        path = super::path::VERSION,
        before = own.saturating_sub(1)
    )]
    Garbage {
        /// The beginning of what is there.
        found: String,
        /// The newest that this program speaks.
        own: u32,
    },
}

/// What a service writes into a cluster that has not said yet what it speaks.
#[must_use]
pub fn data() -> Vec<u8> {
    PROTOCOL_VERSION.to_string().into_bytes()
}

/// Whether this program may take part where `/bellwether/version` holds `data`, or is missing.
#[must_use]
pub fn admission(data: Option<&[u8]>) -> Admission {
    admission_of(PROTOCOL_VERSION, data)
}

fn admission_of(own: u32, data: Option<&[u8]>) -> Admission {
    /// Enough to recognise whose data it is.
    const SHOWN: usize = 40;
    let Some(data) = data else { return Admission::Unsaid };
    let text = String::from_utf8_lossy(data);
    // A hand that types the number may end it with a newline.
    match text.trim().parse::<u32>() {
        Ok(cluster) if cluster > own => Admission::Refused(Mismatch::TooOld { cluster, own }),
        Ok(cluster) if own - cluster > 1 => Admission::Refused(Mismatch::TooNew { cluster, own }),
        Ok(_) => Admission::Welcome,
        Err(_) => Admission::Refused(Mismatch::Garbage { found: text.chars().take(SHOWN).collect(), own }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_takes_part_where_its_own_protocol_or_the_one_before_is_spoken() {
        for own in [1, 2, 3, 7] {
            let of = |cluster: u32| admission_of(own, Some(cluster.to_string().as_bytes()));
            assert_eq!((of(own), of(own - 1)), (Admission::Welcome, Admission::Welcome));
            assert_eq!(of(own + 1), Admission::Refused(Mismatch::TooOld { cluster: own + 1, own }));
            if own > 1 {
                assert_eq!(of(own - 2), Admission::Refused(Mismatch::TooNew { cluster: own - 2, own }));
            }
        }
    }

    #[test]
    fn neighbours_meet_in_the_older_protocol_and_part_when_it_is_raised() {
        let both = |cluster: &str| [1, 2].map(|own| admission_of(own, Some(cluster.as_bytes())) == Admission::Welcome);
        assert_eq!(both("1"), [true, true], "side by side");
        assert_eq!(both("2"), [false, true], "raised: the old one is left out");
    }

    #[test]
    fn what_is_written_is_understood() {
        assert_eq!(admission(Some(&data())), Admission::Welcome);
        assert_eq!(admission(Some(b" 1\n")), Admission::Welcome);
        assert_eq!(admission(None), Admission::Unsaid);
    }

    #[test]
    fn what_is_no_number_is_refused_and_shown() {
        for garbage in [&b""[..], b"one", b"-1", b"1.5", b"99999999999", b"\xff\x00", &[b'7'; 500]] {
            let Admission::Refused(Mismatch::Garbage { found, own: 1 }) = admission(Some(garbage)) else { panic!("{garbage:?}") };
            assert!(found.chars().count() <= 40);
        }
    }

    #[test]
    fn each_refusal_names_both_versions_and_what_to_do() {
        let text = Mismatch::TooOld { cluster: 3, own: 2 }.to_string();
        assert_eq!(
            text,
            "the cluster speaks protocol 3 (/bellwether/version), this program only 2 and 1: upgrade this program to a version that speaks 3"
        );
        assert!(
            Mismatch::TooNew { cluster: 1, own: 3 }.to_string().contains("protocol 1 (/bellwether/version), this program only 3 and 2")
        );
        assert!(Mismatch::Garbage { found: "x".into(), own: 2 }.to_string().contains("holds \"x\""));
    }
}
