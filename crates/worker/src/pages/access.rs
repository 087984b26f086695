//! Who may read outputs: whoever shows the token; without a token, whoever is on this machine.

use std::hint::black_box;
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bellwether_common::config::Secret;

use super::{Pages, Refusal};

/// The rule.
#[derive(Debug)]
pub(super) struct Access {
    token: Option<Secret>,
    on_loopback: bool,
}

impl Access {
    /// `bound`: where the server listens.
    pub(super) fn new(token: Option<Secret>, bound: IpAddr) -> Self {
        Self { token, on_loopback: bound.to_canonical().is_loopback() }
    }

    fn judge(&self, authorization: Option<&[u8]>) -> Result<(), Refusal> {
        let Some(token) = &self.token else {
            let closed = "outputs are not served: this worker listens on more than loopback, and has no token to tell its readers by";
            let refusal = Refusal::new(StatusCode::FORBIDDEN, "no-token-configured", closed);
            let way = "set http.token_file for the worker and for whoever reads, or let http.listen be on loopback";
            return if self.on_loopback { Ok(()) } else { Err(refusal.hint(way)) };
        };
        let how = "set http.token_file to the file with the worker's token, or send it as: Authorization: Bearer TOKEN";
        let Some(shown) = authorization.and_then(bearer) else {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "token-missing", "outputs are read with a token").hint(how));
        };
        match same(shown, token.reveal()) {
            true => Ok(()),
            false => Err(Refusal::new(StatusCode::UNAUTHORIZED, "token-wrong", "that is not the token of this worker").hint(how)),
        }
    }
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Takes as long for every token of the right length, however much of it is right.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
    one.len() == other.len() && difference == 0
}

/// Whoever asks may read outputs. Asked for before anything is looked up.
#[derive(Debug)]
pub(super) struct Allowed;

impl FromRequestParts<Pages> for Allowed {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, pages: &Pages) -> Result<Self, Refusal> {
        pages.access.judge(parts.headers.get(header::AUTHORIZATION).map(|value| value.as_bytes())).map(|()| Self)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn word(access: &Access, authorization: Option<&str>) -> &'static str {
        access.judge(authorization.map(str::as_bytes)).map_or_else(|refusal| refusal.word, |()| "allowed")
    }

    #[test]
    fn without_a_token_only_this_machine_reads() {
        let access = |ip: IpAddr| Access::new(None, ip);
        let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST), mapped] {
            assert_eq!(word(&access(ip), None), "allowed");
        }
        for ip in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7))] {
            assert_eq!(word(&access(ip), Some("Bearer x")), "no-token-configured");
        }
    }

    #[test]
    fn with_a_token_only_who_shows_it_reads() {
        for ip in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::UNSPECIFIED)] {
            let access = Access::new(Some(Secret::new(TOKEN.into())), ip);
            for good in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
                assert_eq!(word(&access, Some(good)), "allowed");
            }
            for wrong in ["Bearer 0123456789abcdee", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Bearer "] {
                assert_eq!(word(&access, Some(wrong)), "token-wrong", "{wrong:?}");
            }
            for none in [None, Some(""), Some("Basic 0123456789abcdef"), Some(TOKEN)] {
                assert_eq!(word(&access, none), "token-missing", "{none:?}");
            }
        }
    }
}
