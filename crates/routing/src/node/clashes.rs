//! Sockets that cannot be had together: each key is fine by itself, and the start would fail, or a call
//! much later.

use std::net::{IpAddr, SocketAddr};

use trunkline_sip::Transport;

use super::{ListenAddress, MediaSettings};
use crate::load::Entry;
use crate::problem::Report;

/// Reports what `listen` of `[sip]`, `ports` of `[media]` and `listen` of `[api]` want twice.
pub(super) fn check(
    listen: &[ListenAddress],
    (media, media_entry): (&MediaSettings, Option<&Entry<'_>>),
    (api, api_entry): (SocketAddr, Option<&Entry<'_>>),
    report: &mut Report<'_>,
) {
    for (at, second) in listen.iter().enumerate() {
        let same = |first: &&ListenAddress| {
            is_udp(first) == is_udp(second) && overlap(first.address, second.address)
        };
        if let Some(first) = listen[..at].iter().find(same) {
            let (what, place) = (first.socket(), &first.place);
            report.problems.push(second.place.error(format!(
                "{} and {what} at {place} are one socket; keep one of them or write another port",
                second.socket(),
            )));
        }
    }
    if let Some(first) = listen.iter().find(|first| !is_udp(first) && overlap(first.address, api)) {
        let (span, what, place) = (span_of(api_entry, "listen"), first.socket(), &first.place);
        report.error(
            &span,
            format!("the API's {api} and {what} at {place} are one socket; write another port"),
        );
    }
    let meet = |ip: &IpAddr, address: SocketAddr| overlap(SocketAddr::new(*ip, address.port()), address);
    let inside = |first: &&ListenAddress| {
        is_udp(first)
            && media.ports.contains(&first.address.port())
            && media.listen_addresses.iter().any(|ip| meet(ip, first.address))
    };
    for first in listen.iter().filter(inside) {
        let (span, what, place) = (span_of(media_entry, "ports"), first.socket(), &first.place);
        report.error(
            &span,
            format!(
                "{what} at {place} lies in the media ports {} to {}; write a range without it",
                media.ports.start(),
                media.ports.end(),
            ),
        );
    }
}

fn is_udp(listen: &ListenAddress) -> bool {
    listen.transport == Transport::Udp
}

/// Whether two sockets of one protocol would hold the same packets; IPv6 sockets take no IPv4.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // With port 0 the system chooses one that is free.
    a.port() == b.port()
        && a.port() != 0
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

/// Where a key's value stands, or else its section, or the file's beginning.
fn span_of(entry: Option<&Entry<'_>>, key: &str) -> std::ops::Range<usize> {
    entry.map_or(0..0, |entry| entry.table.get(key).map_or(entry.span.clone(), |value| value.span()))
}
