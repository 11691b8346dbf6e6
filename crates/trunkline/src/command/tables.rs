//! `check`, `route` and `diff`: the tables from the command line.

use std::path::Path;
use std::process::ExitCode;

use trunkline_routing::{Decision, InboundCall, RouteTable, decide};
use trunkline_sip::{HeaderName, Method, Request};

use super::{ConfigArgs, RouteArgs};
use crate::config::{ConfigError, Loaded, read, read_all};

/// Reports every problem.
pub(super) fn check(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    match read_all(&args.config) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                println!("{warning}");
            }
            println!("{}", summary(&loaded.table));
            Ok(ExitCode::SUCCESS)
        }
        Err(ConfigError::Problems(problems)) => {
            for problem in &problems {
                println!("{problem}");
            }
            println!("{} problems; nothing would be loaded", problems.len());
            Ok(ExitCode::FAILURE)
        }
        Err(ConfigError::Files(error)) => Err(error),
    }
}

/// Explains a decision.
pub(super) fn route(args: &RouteArgs) -> anyhow::Result<ExitCode> {
    let Loaded { mut table, .. } = read(&args.config.config)?;
    let source = match (&args.trunk, args.source_ip) {
        (Some(name), _) => {
            let source = source_of(&table, name)?;
            // As if the call were known to come by it, whatever else holds the address.
            table.trunks.retain(|trunk| trunk.name == *name);
            source
        }
        (None, Some(source)) => source,
        (None, None) => std::net::IpAddr::from([127, 0, 0, 1]),
    };
    let request = invite(&args.number, &args.from);
    let shown: Vec<String> = match &args.trunk {
        Some(_) => table.trunks.iter().filter_map(|trunk| trunk.address_host()).collect(),
        None => Vec::new(),
    };
    let call = InboundCall { source, names: &shown, proved: args.trunk.as_deref(), request: &request };
    let mut steps = Some(Vec::new());
    let decision = decide(&table, &call, &mut steps);
    for (number, step) in steps.unwrap_or_default().iter().enumerate() {
        println!("{}. {step}", number + 1);
    }
    if args.at.is_some() {
        println!("note: the tables have no schedules yet, so --at changes nothing");
    }
    match decision {
        Decision::Route(route) => {
            println!(
                "=> agent {} answers; caller {}; rings at most {} s; lasts at most {} s",
                route.agent.name,
                route.caller,
                route.ringing_timeout.as_secs(),
                route.max_call_duration.as_secs(),
            );
            Ok(ExitCode::SUCCESS)
        }
        Decision::NotInService { .. } => {
            println!("=> \"not in service\" is announced, then 480");
            Ok(ExitCode::SUCCESS)
        }
        Decision::Refuse { code, .. } => {
            println!("=> {code} {}", trunkline_sip::reason_phrase(code));
            Ok(ExitCode::FAILURE)
        }
        Decision::Stranger => {
            println!("=> dropped or refused, as unknown_peers says");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Shows what another configuration would change.
pub(super) fn diff(args: &ConfigArgs, new: &Path) -> anyhow::Result<ExitCode> {
    let (old, new) = (read(&args.config)?, read(new)?);
    let mut changes = old.table.changes(&new.table);
    changes.extend(old.node.changes(&new.node));
    print_changes(&changes);
    Ok(ExitCode::SUCCESS)
}

/// Changes as `diff` shows them, wherever they come from.
pub(super) fn print_changes(changes: &[String]) {
    for change in changes {
        println!("{change}");
    }
    if changes.is_empty() {
        println!("no change");
    }
}

fn summary(table: &RouteTable) -> String {
    format!(
        "{} numbers, {} trunks, {} agents: fine",
        table.numbers.len(),
        table.trunks.len(),
        table.agents.len()
    )
}

/// An address that the trunk holds.
fn source_of(table: &RouteTable, name: &str) -> anyhow::Result<std::net::IpAddr> {
    let trunk = table.trunks.iter().find(|trunk| trunk.name == name);
    let trunk = trunk.ok_or_else(|| anyhow::anyhow!("there is no trunk {name:?}"))?;
    let held = trunk.allowed_addresses.first().map(ipnet_addr);
    Ok(held.unwrap_or_else(|| std::net::IpAddr::from([127, 0, 0, 1])))
}

fn ipnet_addr(network: &trunkline_routing::IpNet) -> std::net::IpAddr {
    network.addr()
}

fn invite(number: &str, from: &str) -> Request {
    let target = match number.contains(':') {
        true => number.to_owned(),
        false => format!("sip:{number}@gateway"),
    };
    let mut request = Request::new(Method::Invite, target.clone());
    request.headers.push(HeaderName::To, format!("<{target}>"));
    request.headers.push(HeaderName::From, format!("<sip:{from}@caller>;tag=1"));
    request
}
