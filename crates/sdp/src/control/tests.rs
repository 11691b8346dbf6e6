use schemars::{JsonSchema, schema_for};
use serde_json::Value;

use super::*;

/// An event that is the same on every socket. Further keys in one are no fault.
#[derive(JsonSchema)]
#[serde(untagged)]
#[schemars(title = "Agent event")]
#[expect(dead_code, reason = "it is there for its schema")]
enum AgentEvent {
    /// To agents with `events = true`, beside `dtmf`, which each protocol has in its own form.
    ToAgent(AgentNews),
    /// From agents.
    Act(AgentAct),
    /// From agents.
    Ask(AgentAsk),
}

const PAGE: &str = include_str!("../../../../docs/agents.md");
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/agent-events.schema.json");

#[test]
#[expect(clippy::disallowed_methods, reason = "the file is what is tested")]
fn the_schema_in_the_documents_is_that_of_the_types() {
    let schema = serde_json::to_string_pretty(&schema_for!(AgentEvent)).expect("JSON") + "\n";
    if std::env::var("WRITE_SCHEMA").is_ok() {
        std::fs::write(FILE, &schema).expect("written");
    }
    let file = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        file == schema,
        "WRITE_SCHEMA=1 cargo test -p trunkline-sdp writes it anew; it should be\n{schema}"
    );
}

/// The page's examples, a line each, below a heading.
fn examples(heading: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(heading).expect("the heading");
    let (_, block) = section.split_once("```json\n").expect("its examples");
    block.split("```").next().expect("their end").lines().collect()
}

#[test]
fn every_event_of_an_agent_on_the_page_can_be_read() {
    let mut names = Vec::new();
    for line in examples("### From the agent") {
        let act = serde_json::from_str::<AgentAct>(line).map(|act| match act {
            AgentAct::Dtmf { .. } => "dtmf",
            AgentAct::DtmfEnd => "dtmf_end",
            AgentAct::Hangup => "hangup",
        });
        let ask = serde_json::from_str::<AgentAsk>(line).map(|ask| match ask {
            AgentAsk::Transfer { .. } => "transfer",
            AgentAsk::TransferComplete { .. } => "transfer_complete",
            AgentAsk::TransferCancel => "transfer_cancel",
            AgentAsk::Mute { .. } => "mute",
            AgentAsk::Record { .. } => "record",
            AgentAsk::Play { .. } => "play",
            AgentAsk::Transcript { .. } => "transcript",
        });
        names.push(act.or(ask).unwrap_or_else(|why| panic!("{line}: {why}")));
    }
    names.dedup();
    assert_eq!(
        names,
        [
            "dtmf",
            "dtmf_end",
            "hangup",
            "transfer",
            "transfer_complete",
            "transfer_cancel",
            "mute",
            "record",
            "play",
            "transcript"
        ]
    );
}

#[test]
fn every_event_to_an_agent_stands_on_the_page_as_it_is_sent() {
    let participant = || "leg 1".to_owned();
    let result = TransferResult { ok: false, code: Some(486), reason: "busy here".to_owned() };
    let news = [
        AgentNews::TransferResult { transfer_result: result },
        AgentNews::ParticipantJoined { participant: participant() },
        AgentNews::ParticipantLeft { participant: participant() },
        AgentNews::Hold { on: true },
        AgentNews::SpeechStarted,
        AgentNews::SpeechStopped,
    ];
    let sent = news.iter().map(|news| serde_json::to_value(news).expect("JSON"));
    let page = examples("### To the agent")
        .into_iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|why| panic!("{line}: {why}")));
    assert_eq!(page.collect::<Vec<_>>(), sent.collect::<Vec<_>>());
}
