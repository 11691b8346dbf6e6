//! `check`, `route` and `diff`: the tables from the command line.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use trunkline_routing::{Decision, InboundCall, IpNet, RouteTable, asks_for_proof, decide, key_changes};
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
            println!("taken as given: it comes by trunk {name}, from {source}");
            // Whatever else holds the address.
            table.trunks.retain(|trunk| trunk.name == *name);
            source
        }
        (None, Some(source)) => source,
        (None, None) => {
            let source = IpAddr::from([127, 0, 0, 1]);
            println!("assumed: it comes from {source}, as neither --trunk nor --source-ip is given");
            source
        }
    };
    if let Some(at) = args.at {
        println!("at {at}: the tables have no schedules, so the time has no influence");
    }
    let request = invite(&args.number, &args.from);
    let mut call = InboundCall { source, names: &[], proved: args.trunk.as_deref(), request: &request };
    // A challenge comes before the decision; of those whose credentials would do, the first is shown.
    let asking = asks_for_proof(&table, &call).first().map(|trunk| trunk.name.clone());
    if let Some(name) = &asking {
        println!("assumed: it shows the credentials of trunk {name}, which challenges its callers");
        call.proved = Some(name);
    }
    let mut steps = Some(Vec::new());
    let decision = decide(&table, &call, &mut steps);
    for (number, step) in steps.unwrap_or_default().iter().enumerate() {
        println!("{}. {step}", number + 1);
    }
    Ok(print_decision(&decision))
}

/// The last line, and the exit code: success where the caller is answered.
fn print_decision(decision: &Decision) -> ExitCode {
    match decision {
        Decision::Route(route) => {
            println!(
                "=> agent {} answers; caller {}; rings at most {} s; lasts at most {} s",
                route.agent.name,
                route.caller,
                route.ringing_timeout.as_secs(),
                route.max_call_duration.as_secs(),
            );
            ExitCode::SUCCESS
        }
        Decision::NotInService { .. } => {
            println!("=> \"not in service\" is announced, then 480");
            ExitCode::SUCCESS
        }
        Decision::Refuse { code, .. } => {
            println!("=> {code} {}", trunkline_sip::reason_phrase(*code));
            ExitCode::FAILURE
        }
        Decision::Stranger => {
            println!("=> dropped or refused, as unknown_peers says");
            ExitCode::FAILURE
        }
    }
}

/// Shows what another configuration would change.
pub(super) fn diff(args: &ConfigArgs, new: &Path) -> anyhow::Result<ExitCode> {
    let (old, new) = (read(&args.config)?, read(new)?);
    let mut changes = old.table.changes(&new.table);
    changes.extend(key_changes(&old.node.api.keys, &new.node.api.keys));
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
fn source_of(table: &RouteTable, name: &str) -> anyhow::Result<IpAddr> {
    let Some(trunk) = table.trunks.iter().find(|trunk| trunk.name == name) else {
        let known: Vec<&str> = table.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
        anyhow::bail!("there is no trunk {name:?}; there are: {}", known.join(", "));
    };
    if !trunk.takes_calls() {
        anyhow::bail!("nobody calls by trunk {name:?}: its direction is outbound");
    }
    Ok(trunk.allowed_addresses.first().map_or(IpAddr::from([127, 0, 0, 1]), IpNet::addr))
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
