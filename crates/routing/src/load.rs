//! Files to [`RouteTable`]: reads everything, reports every problem in one pass, and builds a table
//! only where none of them is an error.

mod entries;
mod reader;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::problem::Report;
use crate::{Agent, Mode, Number, Problem, RouteTable, Severity, Trunk};
pub(crate) use entries::networks;
pub(crate) use reader::{Entry, Reader, parse_document};

/// A file as read from disk.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name, for problems.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Where a name was first given, for clashes.
type Seen = BTreeMap<String, (String, usize)>;

/// Builds the table of all files together, with `default_agent` of the node's file.
///
/// # Errors
/// Every problem where one of them is an error. The warnings of a good table come with it.
pub fn load(
    sources: &[Source],
    default_agent: Option<&str>,
) -> Result<(RouteTable, Vec<Problem>), Vec<Problem>> {
    let documents: Vec<_> = sources.iter().map(|source| parse_document(&source.text)).collect();
    let mut reports: Vec<_> = sources.iter().map(|source| Report::new(&source.name, &source.text)).collect();
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
    let mut problems: Vec<Problem> = reports.into_iter().flat_map(|report| report.problems).collect();
    table.default_agent = default_agent.and_then(|name| match table.agents.get(name) {
        Some(agent) if agent.mode != Mode::Text => Some(Arc::clone(agent)),
        Some(_) => {
            problems.push(general(format!("default_agent {name:?} is a text agent and cannot take calls")));
            None
        }
        None => {
            problems.push(general(format!("default_agent {name:?} is no agent of the tables")));
            None
        }
    });
    warn_of_twins(&table, &mut problems);
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
        if let Some(trunk) = entries::trunk(entry, report)
            && is_new(&mut seen.trunks, &trunk.name, "trunk", report, &span)
        {
            table.trunks.push(Arc::new(trunk));
        }
    }
    for entry in agents {
        let span = entry.span.clone();
        if let Some(agent) = entries::agent(entry, report)
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

fn general(message: String) -> Problem {
    let file = "trunkline.toml".to_owned();
    Problem { severity: Severity::Error, file, line: 1, column: 1, message }
}

fn is_new(seen: &mut Seen, name: &str, kind: &str, report: &mut Report<'_>, span: &Range<usize>) -> bool {
    if let Some((file, line)) = seen.get(name) {
        let message = format!("{kind} {name:?} is already given at {file}:{line}; keep one of them");
        report.error(span, message);
        return false;
    }
    let place = (report.file_name().to_owned(), report.line_of(span));
    seen.insert(name.to_owned(), place);
    true
}

/// Inbound trunks whose addresses overlap are told apart by number, Request-URI host or prefix;
/// where nothing differs, the second never gets a call whose number is bound to neither.
fn warn_of_twins(table: &RouteTable, problems: &mut Vec<Problem>) {
    let inbound: Vec<&Arc<Trunk>> = table.trunks.iter().filter(|t| t.takes_calls()).collect();
    for (at, first) in inbound.iter().enumerate() {
        for second in &inbound[at + 1..] {
            let same_host = first.address == second.address;
            let shared = first.allowed_addresses.iter().find(|net| second.allowed_addresses.contains(net));
            let both_open = first.allowed_addresses.is_empty() && second.allowed_addresses.is_empty();
            if same_host && (shared.is_some() || both_open) {
                problems.push(Problem {
                    severity: Severity::Warning,
                    ..general(format!(
                        "trunks {:?} and {:?} cannot be told apart by address; bind their numbers with `trunk = \"…\"`",
                        first.name, second.name,
                    ))
                });
            }
        }
    }
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
        report.error(span, format!("unknown agent {name:?}{}", closest(name, table.agents.keys())));
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

impl RouteTable {
    /// What a change from `self` to `next` would mean, a line each.
    #[must_use]
    pub fn changes(&self, next: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        let trunks = |table: &Self| -> BTreeMap<String, String> {
            table.trunks.iter().map(|t| (t.name.clone(), format!("{t:?}"))).collect()
        };
        let agents = |table: &Self| -> BTreeMap<String, String> {
            table.agents.values().map(|a| (a.name.clone(), format!("{a:?}"))).collect()
        };
        let numbers = |table: &Self| -> BTreeMap<String, String> {
            table.numbers.values().map(|n| (n.number.to_string(), number_text(n))).collect()
        };
        compare("trunk", &trunks(self), &trunks(next), &mut lines);
        compare("agent", &agents(self), &agents(next), &mut lines);
        compare("number", &numbers(self), &numbers(next), &mut lines);
        let name = |agent: &Option<Arc<Agent>>| agent.as_ref().map_or("none".to_owned(), |a| a.name.clone());
        let (old, new) = (name(&self.default_agent), name(&next.default_agent));
        if old != new {
            lines.push(format!("~ default_agent {old} -> {new}"));
        }
        lines
    }
}

fn number_text(number: &Number) -> String {
    let name = |agent: &Option<Arc<Agent>>| agent.as_ref().map(|a| a.name.clone());
    let (inbound, outbound, sms) = (name(&number.inbound), name(&number.outbound), name(&number.sms));
    let trunk = number.trunk.as_ref().map(|t| t.name.clone());
    format!(
        "{} {trunk:?} {inbound:?} {outbound:?} {sms:?} {} {:?} {:?}",
        number.name, number.active, number.limits, number.metadata,
    )
}

fn compare(
    kind: &str,
    old: &BTreeMap<String, String>,
    new: &BTreeMap<String, String>,
    lines: &mut Vec<String>,
) {
    for (name, text) in new {
        match old.get(name) {
            None => lines.push(format!("+ {kind} {name}")),
            Some(before) if before != text => lines.push(format!("~ {kind} {name}")),
            Some(_) => {}
        }
    }
    lines.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("- {kind} {name}")));
}

#[cfg(test)]
mod tests;
