//! `metadata` of a number and `headers_to_attributes` of a trunk: both become parameters of the call that
//! the agent is told, so their names share one space with the gateway's own.

use trunkline_sip::text::is_token;

use super::reader::Reader;
use crate::Trunk;

/// Whether the gateway gives that parameter itself, with every call.
#[must_use]
pub fn is_own_parameter(name: &str) -> bool {
    matches!(name, "from_number" | "to_number" | "reconnected") || name.starts_with("system__")
}

/// What the gateway takes from the INVITE where it is there.
const TAKEN_FROM_THE_INVITE: [&str; 4] = ["caller_name", "diversion", "verification", "identity"];

fn is_reserved(name: &str) -> bool {
    is_own_parameter(name) || TAKEN_FROM_THE_INVITE.contains(&name)
}

pub(super) fn metadata(reader: &mut Reader<'_, '_, '_>, trunk: Option<&Trunk>) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for ((name, span), (value, _)) in reader.pairs("metadata") {
        if name.is_empty() || is_reserved(&name) {
            reader.report.error(&span, format!("metadata: {name:?} {ANOTHER}"));
        } else if let Some((header, _)) = mapped(trunk, &name) {
            reader.report.warning(&span, format!(
                "metadata: {name:?} hides what the number's trunk takes from the header {header}; write another name",
            ));
        }
        pairs.push((name, value));
    }
    pairs
}

/// What to do about a name that is the gateway's.
const ANOTHER: &str = "is a name that the gateway gives itself; write another";

fn mapped<'t>(trunk: Option<&'t Trunk>, attribute: &str) -> Option<&'t (String, String)> {
    trunk?.headers_to_attributes.iter().find(|(_, name)| name == attribute)
}

pub(super) fn headers_to_attributes(reader: &mut Reader<'_, '_, '_>) -> Vec<(String, String)> {
    let key = "headers_to_attributes";
    let mut pairs: Vec<(String, String)> = Vec::new();
    for ((header, header_span), (attribute, span)) in reader.pairs(key) {
        let report = &mut *reader.report;
        if !is_token(&header) {
            report.error(
                &header_span,
                format!("{key}: {header:?} is no header name; write one like \"X-Account\""),
            );
        }
        if attribute.is_empty() || is_reserved(&attribute) {
            report.error(&span, format!("{key}: {attribute:?} {ANOTHER}"));
        }
        if let Some((first, _)) = pairs.iter().find(|(_, known)| *known == attribute) {
            report.error(
                &span,
                format!("{key}: {attribute:?} is what {first} becomes already; write another name"),
            );
        }
        pairs.push((header, attribute));
    }
    pairs
}
