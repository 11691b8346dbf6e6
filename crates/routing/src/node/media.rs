//! `[media]`.

use std::net::IpAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use trunkline_sdp::Codec;

use super::MediaSettings;
use crate::load::{Entry, Reader};
use crate::problem::Report;

pub(super) fn read(entry: Option<&Entry<'_>>, report: &mut Report<'_>) -> MediaSettings {
    let mut settings = MediaSettings {
        listen_addresses: vec![IpAddr::from([0, 0, 0, 0])],
        ports: 10_000..=30_000,
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        no_media_timeout: Duration::from_secs(60),
    };
    let Some(entry) = entry else { return settings };
    let mut reader = Reader::of_entry(entry, report);
    if let Some(list) = reader.strings("listen_address") {
        settings.listen_addresses = addresses(list, &entry.span, &mut reader);
    }
    if let Some((numbers, span)) = reader.integers("ports") {
        match port_range(&numbers) {
            Some(range) => settings.ports = range,
            None => reader.report.error(
                &span,
                "ports must be [lowest, highest], from 1024 to 65535, with an even port and the next in it",
            ),
        }
    }
    if let Some(list) = reader.strings("codecs") {
        settings.codecs = codecs(list, &entry.span, &mut reader);
    }
    if let Some(span) = reader.seconds("no_media_timeout_seconds", 1..=86_400) {
        settings.no_media_timeout = span;
    }
    reader.finish(&[]);
    settings
}

type Texts = Vec<(String, Range<usize>)>;

fn addresses(list: Texts, section: &Range<usize>, reader: &mut Reader<'_, '_, '_>) -> Vec<IpAddr> {
    if list.is_empty() {
        reader.report.error(section, "listen_address is empty: no media could come; leave it out");
    }
    let mut addresses = Vec::new();
    for (text, span) in list {
        match text.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => reader.report.error(&span, format!("{text:?} is no IP address")),
        }
    }
    addresses
}

fn codecs(list: Texts, section: &Range<usize>, reader: &mut Reader<'_, '_, '_>) -> Vec<Codec> {
    if list.is_empty() {
        reader.report.error(section, "codecs is empty: no call could be answered; leave it out");
    }
    let mut codecs = Vec::new();
    for (text, span) in list {
        match Codec::from_name(&text) {
            Some(codec) => codecs.push(codec),
            None => {
                reader.report.error(
                    &span,
                    format!("{text:?} is no codec; write \"PCMU\", \"PCMA\", \"G722\" or \"opus\""),
                );
            }
        }
    }
    codecs
}

/// A range that holds at least one pair: an even port and the one behind it.
fn port_range(numbers: &[i64]) -> Option<RangeInclusive<u16>> {
    let [low, high] = numbers else { return None };
    let (low, high) = (u16::try_from(*low).ok()?, u16::try_from(*high).ok()?);
    let first_even = low.checked_add(low % 2)?;
    (low >= 1024 && first_even < high).then_some(low..=high)
}
