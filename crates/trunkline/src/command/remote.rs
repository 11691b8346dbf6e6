//! `dial`, `calls`, `trunks`, `dtmf`, `transfer`, `hangup`, and `diff` with no file: a running gateway, over its API.

mod args;
mod print;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::runtime;
use super::tables::print_changes;

pub(super) use args::{ApiArgs, CallsArgs, DialArgs, DtmfArgs, HangupArgs, TransferArgs, TrunksArgs};
use args::{CallsCommand, ShowArgs};

/// Longest answer read.
const MAX_ANSWER: usize = 16 << 20;
/// How often a call is looked at that somebody waits for.
const LOOK: Duration = Duration::from_millis(200);

/// Places a call and follows it until it is answered or over.
pub(super) fn dial(args: &DialArgs) -> anyhow::Result<ExitCode> {
    let mut wanted = json!({ "to": args.to, "from": args.from });
    for (name, value) in [("agent", &args.agent), ("trunk", &args.trunk)] {
        if let Some(value) = value {
            wanted[name] = json!(value);
        }
    }
    runtime(1)?.block_on(async {
        let mut call = ask(&args.api, Method::POST, "/v1/calls", Some(&wanted)).await?;
        let id = call["id"].as_str().context("the gateway named no call")?.to_owned();
        println!("{id} pending");
        while call["status"] == "pending" {
            tokio::time::sleep(LOOK).await;
            call = ask(&args.api, Method::GET, &format!("/v1/calls/{id}"), None).await?;
        }
        println!("{}", print::line(&call));
        Ok(match call["status"].as_str() {
            Some("active" | "completed") => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    })
}

/// Lists calls, or shows one.
pub(super) fn calls(args: &CallsArgs) -> anyhow::Result<ExitCode> {
    if let Some(CallsCommand::Show(show)) = &args.one {
        return self::show(show);
    }
    let mut path = format!("/v1/calls?limit={}", args.limit);
    for (name, value) in [("status", &args.status), ("number", &args.number)] {
        if let Some(value) = value {
            path += &format!("&{name}={}", query_part(value));
        }
    }
    let list = runtime(1)?.block_on(ask(&args.api, Method::GET, &path, None))?;
    list["calls"].as_array().into_iter().flatten().for_each(|call| println!("{}", print::line(call)));
    Ok(ExitCode::SUCCESS)
}

/// Shows a call.
fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let call = runtime(1)?.block_on(ask(&args.api, Method::GET, &call_path(&args.id, ""), None))?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&call)?),
        false => print!("{}", print::call(&call)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The path of a call, whatever somebody types as its id.
fn call_path(id: &str, below: &str) -> String {
    format!("/v1/calls/{}{below}", query_part(id))
}

/// Text as a part of an address (RFC 3986 §2.1).
fn query_part(text: &str) -> String {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let part = |byte: u8| if fine(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(part).collect()
}

/// Lists trunks: each on a line, its addresses below it.
pub(super) fn trunks(args: &TrunksArgs) -> anyhow::Result<ExitCode> {
    let list = runtime(1)?.block_on(ask(&args.api, Method::GET, "/v1/trunks", None))?;
    for trunk in list["trunks"].as_array().into_iter().flatten() {
        let text = |key: &str| trunk[key].as_str().unwrap_or("-").to_owned();
        let reason = trunk["reason"].as_str().map(|reason| format!(" ({reason})")).unwrap_or_default();
        println!("{} {} registration {}{reason}", text("name"), text("direction"), text("registration"));
        for address in trunk["addresses"].as_array().into_iter().flatten() {
            let health = match address["healthy"].as_bool() {
                Some(true) => "healthy",
                Some(false) => "down",
                None => "not asked",
            };
            println!("  {} {health}", address["address"].as_str().unwrap_or("-"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends a call.
pub(super) fn hang_up(args: &HangupArgs) -> anyhow::Result<ExitCode> {
    let path = call_path(&args.id, "");
    runtime(1)?.block_on(ask(&args.api, Method::DELETE, &path, None))?;
    Ok(ExitCode::SUCCESS)
}

/// Puts the caller through and follows it until that has worked or not.
pub(super) fn transfer(args: &TransferArgs) -> anyhow::Result<ExitCode> {
    let wanted = json!({ "to": args.to, "mode": args.mode, "fallback": args.fallback });
    runtime(1)?.block_on(async {
        let path = call_path(&args.id, "");
        let outcomes = |call: &Value| {
            let events = call["timeline"].as_array().into_iter().flatten();
            let is_outcome =
                |entry: &&Value| entry["event"].as_str().is_some_and(|event| event.starts_with("transfer"));
            events.filter(is_outcome).count()
        };
        let mut call = ask(&args.api, Method::GET, &path, None).await?;
        let before = outcomes(&call);
        ask(&args.api, Method::POST, &call_path(&args.id, "/transfer"), Some(&wanted)).await?;
        while outcomes(&call) == before {
            if !call["ended_at"].is_null() {
                bail!("the call ended before the transfer did");
            }
            tokio::time::sleep(LOOK).await;
            call = ask(&args.api, Method::GET, &path, None).await?;
        }
        let (ok, why) = (call["transfer"]["ok"] == true, call["transfer"]["reason"].as_str().unwrap_or("-"));
        println!("{} {why}", if ok { "transferred:" } else { "not transferred:" });
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    })
}

/// Presses keys in a call.
pub(super) fn dtmf(args: &DtmfArgs) -> anyhow::Result<ExitCode> {
    let (path, keys) = (call_path(&args.id, "/dtmf"), json!({ "digits": args.digits }));
    runtime(1)?.block_on(ask(&args.api, Method::POST, &path, Some(&keys)))?;
    Ok(ExitCode::SUCCESS)
}

/// Shows what a reload would change.
pub(super) fn diff(api: &ApiArgs) -> anyhow::Result<ExitCode> {
    let told = runtime(1)?.block_on(ask(api, Method::POST, "/v1/config/reload?dry_run=true", None))?;
    let lines = ["changes", "needs_restart"].map(|key| told[key].as_array().cloned().unwrap_or_default());
    let lines = lines.iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    print_changes(&lines.collect::<Vec<_>>());
    Ok(ExitCode::SUCCESS)
}

/// One request; a problem document becomes an error with what it says.
async fn ask(api: &ApiArgs, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
    let address = api.api.strip_prefix("http://").unwrap_or(&api.api).trim_end_matches('/');
    let stream = TcpStream::connect(address).await.with_context(|| format!("no gateway at {address}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends with the sender; what goes wrong with it, the request tells.
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header(header::HOST, address);
    if let Some(key) = &api.key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.reveal()));
    }
    let text = body.map(Value::to_string).unwrap_or_default();
    let request = request.header(header::CONTENT_TYPE, "application/json").body(Full::<Bytes>::from(text))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let answer = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let answer = answer.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
    let value = serde_json::from_slice(&answer).unwrap_or(Value::Null);
    if status.is_success() {
        return Ok(value);
    }
    match (status, value["detail"].as_str()) {
        (StatusCode::UNAUTHORIZED, _) => {
            bail!("the gateway wants one of its API keys: --key, or TRUNKLINE_KEY")
        }
        (_, Some(detail)) => {
            // What is wrong one by one, on lines of their own.
            let errors = value["errors"].as_array().into_iter().flatten();
            let each = errors.filter_map(|error| error["detail"].as_str()).map(|each| format!("\n{each}"));
            bail!("{detail}{}", each.collect::<String>())
        }
        (_, None) => bail!("the gateway answered {status}"),
    }
}
