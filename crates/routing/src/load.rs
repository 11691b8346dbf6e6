//! Files to [`RouteTable`]: reads everything, reports every problem in one pass, and builds a table
//! only where none of them is an error.

mod agent;
mod attributes;
mod changes;
mod entries;
mod reader;
mod trunk;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::problem::{Place, ReadSecret, Report, no_secrets};
use crate::{Agent, Mode, Problem, RouteTable, Severity, Trunk};
pub use attributes::is_own_parameter;
pub(crate) use entries::networks;
pub(crate) use reader::{Entry, Reader, TextOrTable, parse_document};

/// A file as read from disk.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, for problems.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Where a name was first given, for clashes.
type Seen = BTreeMap<String, Place>;

/// Builds the table of all files together, with `default_agent` of the node's file.
///
/// # Errors
/// Every problem where one of them is an error. The warnings of a good table come with it.
pub fn load(
    sources: &[Source],
    default_agent: Option<&(String, Place)>,
) -> Result<(RouteTable, Vec<Problem>), Vec<Problem>> {
    build(sources, default_agent, true, &no_secrets)
}

/// The same with a way to read the secrets that the files only point to.
///
/// # Errors
/// Every problem where one of them is an error.
pub fn load_with(
    sources: &[Source],
    default_agent: Option<&(String, Place)>,
    secrets: ReadSecret<'_>,
) -> Result<(RouteTable, Vec<Problem>), Vec<Problem>> {
    build(sources, default_agent, true, secrets)
}

/// The same where some of the files cannot be read: what is wrong with the others by themselves.
/// Agents and trunks that none of them has are not called unknown.
///
/// # Errors
/// Every problem where one of them is an error.
pub fn load_part(
    sources: &[Source],
    secrets: ReadSecret<'_>,
) -> Result<(RouteTable, Vec<Problem>), Vec<Problem>> {
    build(sources, None, false, secrets)
}

fn build(
    sources: &[Source],
    default_agent: Option<&(String, Place)>,
    complete: bool,
    secrets: ReadSecret<'_>,
) -> Result<(RouteTable, Vec<Problem>), Vec<Problem>> {
    let documents: Vec<_> = sources.iter().map(|source| parse_document(&source.text)).collect();
    let mut reports: Vec<_> = sources.iter().map(|source| Report::new(&source.name, &source.text)).collect();
    for report in &mut reports {
        report.complete = complete;
        report.secrets = secrets;
    }
    let mut table = RouteTable::default();
    let mut seen = Names::default();
    // Numbers name trunks and agents of any file, so they are read last.
    for (report, (document, errors)) in reports.iter_mut().zip(&documents) {
        for error in errors {
            report.error(&error.span().unwrap_or(0..0), error.message());
        }
        read_peers(document, report, &mut table, &mut seen);
    }
    for (report, (document, _)) in reports.iter_mut().zip(&documents) {
        read_numbers(document, report, &mut table, &mut seen);
    }
    let mut problems = Vec::new();
    for report in reports {
        problems.extend(report.problems);
        table.sounds.extend(report.sounds);
        table.written_secrets.extend(report.written_secrets);
    }
    if let Some((name, place)) = default_agent {
        match table.agents.get(name) {
            Some(agent) if agent.mode != Mode::Text => table.default_agent = Some(Arc::clone(agent)),
            Some(_) => problems
                .push(place.error(format!("default_agent {name:?} is a text agent and cannot take calls"))),
            None => {
                let hint = closest(name, table.agents.keys());
                problems.push(place.error(format!("default_agent {name:?} is no agent of the tables{hint}")));
            }
        }
    }
    warn_of_twins(&table, &seen.trunks, &mut problems);
    dedup(&mut problems);
    match problems.iter().any(|problem| problem.severity == Severity::Error) {
        true => Err(problems),
        false => Ok((table, problems)),
    }
}

/// Where each name was first given.
#[derive(Default)]
struct Names {
    trunks: Seen,
    agents: Seen,
    numbers: Seen,
}

type Document<'a> = toml::Spanned<toml::de::DeTable<'a>>;

fn read_peers<'a>(
    document: &'a Document<'a>,
    report: &mut Report<'_>,
    table: &mut RouteTable,
    seen: &mut Names,
) {
    let mut top = Reader::of_document(document, report);
    let trunks = top.tables("trunk");
    let agents = top.tables("agent");
    top.finish(&["number"]);
    for entry in trunks {
        let span = entry.span.clone();
        if let Some(trunk) = trunk::read(entry, report)
            && is_new(&mut seen.trunks, &trunk.name, "trunk", report, &span)
        {
            table.trunks.push(Arc::new(trunk));
        }
    }
    for entry in agents {
        let span = entry.span.clone();
        if let Some(agent) = agent::agent(entry, report)
            && is_new(&mut seen.agents, &agent.name, "agent", report, &span)
        {
            table.agents.insert(agent.name.clone(), Arc::new(agent));
        }
    }
}

fn read_numbers<'a>(
    document: &'a Document<'a>,
    report: &mut Report<'_>,
    table: &mut RouteTable,
    seen: &mut Names,
) {
    let numbers = Reader::of_document(document, report).tables("number");
    for entry in numbers {
        let span = entry.span.clone();
        if let Some(number) = entries::number(entry, report, table)
            && is_new(&mut seen.numbers, &number.number.to_string(), "number", report, &span)
        {
            table.numbers.insert(number.number, Arc::new(number));
        }
    }
}

fn dedup(problems: &mut Vec<Problem>) {
    let mut seen = std::collections::BTreeSet::new();
    problems.retain(|p| seen.insert((p.file.clone(), p.line, p.column, p.message.clone())));
}

fn is_new(seen: &mut Seen, name: &str, kind: &str, report: &mut Report<'_>, span: &Range<usize>) -> bool {
    if let Some(place) = seen.get(name) {
        report.error(span, format!("{kind} {name:?} is already given at {place}; keep one of them"));
        return false;
    }
    seen.insert(name.to_owned(), report.place(span));
    true
}

/// Inbound trunks whose addresses overlap are told apart by number, Request-URI host or prefix;
/// where nothing differs, the second never gets a call whose number is bound to neither.
fn warn_of_twins(table: &RouteTable, places: &Seen, problems: &mut Vec<Problem>) {
    let inbound: Vec<&Arc<Trunk>> = table.trunks.iter().filter(|t| t.takes_calls()).collect();
    for (at, first) in inbound.iter().enumerate() {
        for second in &inbound[at + 1..] {
            if are_twins(first, second)
                && let Some(place) = places.get(&second.name)
            {
                problems.push(place.warning(format!(
                    "trunks {:?} and {:?} cannot be told apart by address; bind their numbers with `trunk = \"…\"`",
                    first.name, second.name,
                )));
            }
        }
    }
}

fn are_twins(first: &Trunk, second: &Trunk) -> bool {
    // Who has to show a certificate is told by its name, never by an address.
    if first.require_certificate || second.require_certificate {
        return false;
    }
    // Hosts tell them apart where carriers write them and only one trunk has each; one without any does not.
    let hosts = (first.hosts().collect::<Vec<_>>(), second.hosts().collect::<Vec<_>>());
    let meet = hosts.0.is_empty() || hosts.1.is_empty() || hosts.0.iter().any(|host| second.has_host(host));
    // As networks, however they are spelled; of two sizes the closer one takes the call.
    let holds = |net: &ipnet::IpNet| second.allowed_addresses.iter().any(|n| n.trunc() == net.trunc());
    let both_open = first.allowed_addresses.is_empty() && second.allowed_addresses.is_empty();
    meet && (both_open || first.allowed_addresses.iter().any(holds))
}

/// What a number's slot names.
pub(crate) fn slot(
    table: &RouteTable,
    name: &str,
    span: &Range<usize>,
    voice: bool,
    report: &mut Report<'_>,
) -> Option<Arc<Agent>> {
    let Some(agent) = table.agents.get(name) else {
        if report.complete {
            report.error(span, format!("unknown agent {name:?}{}", closest(name, table.agents.keys())));
        }
        return None;
    };
    if voice && agent.mode == Mode::Text {
        report.error(span, format!("{name:?} is a text agent; a voice slot needs mode realtime or pipeline"));
        return None;
    }
    Some(Arc::clone(agent))
}

/// ` (did you mean "x"?)` for the nearest known word, if one is near.
pub(crate) fn closest<'a>(word: &str, known: impl Iterator<Item = &'a String>) -> String {
    let near = known.map(|k| (distance(word, k), k)).filter(|(d, _)| *d <= 2).min();
    near.map_or_else(String::new, |(_, known)| format!(" (did you mean {known:?}?)"))
}

/// Edit distance, for words of at most 32 bytes.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 32 || b.len() > 32 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
