//! Calls as one reads them in a terminal.

use serde_json::Value;

/// A call on one line.
pub(super) fn line(call: &Value) -> String {
    let text = |key: &str| call[key].as_str().unwrap_or("-").to_owned();
    let mut line = format!(
        "{} {:9} {:8} {} -> {} trunk {} agent {}",
        text("id"),
        text("status"),
        text("direction"),
        text("from"),
        text("to"),
        text("trunk"),
        text("agent"),
    );
    if let Some(reason) = call["reason"].as_str() {
        line += &format!(" ({}: {reason})", call["sip_code"]);
    }
    line
}

/// All of a call, the ladder last.
pub(super) fn call(call: &Value) -> String {
    let mut text = line(call) + "\n";
    for entry in array(&call["timeline"]) {
        let detail = entry["detail"].as_str().map(|detail| format!("  {detail}")).unwrap_or_default();
        text += &format!("  {}  {}{detail}\n", string(&entry["at"]), string(&entry["event"]));
    }
    if let Some(mos) = call["quality"]["mos"].as_f64() {
        let quality = &call["quality"];
        text += &format!(
            "  packets {} in, {} out, {} lost; jitter {:.1} ms; MOS {mos:.2}\n",
            quality["packets_received"],
            quality["packets_sent"],
            quality["packets_lost"],
            quality["jitter_ms"].as_f64().unwrap_or(0.0),
        );
    }
    text + &ladder(call)
}

/// The SIP messages: the other side on the left, the gateway on the right.
fn ladder(call: &Value) -> String {
    let legs = array(&call["ladder"]);
    let width = legs.iter().map(|rung| string(&rung["participant"]).len()).max().unwrap_or(0);
    let mut text = String::new();
    for rung in legs {
        let arrow = if rung["direction"] == "inbound" { "──▶" } else { "◀──" };
        let offset = rung["offset_ms"].as_f64().unwrap_or(0.0);
        let who = string(&rung["participant"]);
        text += &format!("  {offset:>10.1} ms  {who:width$}  {arrow}  {}\n", string(&rung["message"]));
    }
    match call["ladder_omitted"].as_u64() {
        None | Some(0) => text,
        Some(omitted) => text + &format!("  {omitted} messages in the middle were not kept\n"),
    }
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
