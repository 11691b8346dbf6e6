//! What happens in a [`World`](crate::World): the network, the agent, who leaves when.

use std::time::Duration;

use trunkline_sip::{HeaderName, Message, Method};

use crate::callee::CalleePlan;
use crate::network::Faults;
use crate::transfers::TransferPlan;

/// What the agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentPlan {
    /// It is there after so long.
    Comes(Duration),
    /// It cannot be reached after so long.
    Fails(Duration),
    /// It never says a word.
    Never,
}

/// What happens in a world.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// The network.
    pub faults: Faults,
    /// Its seed.
    pub seed: u64,
    /// The agent.
    pub agent: AgentPlan,
    /// Media ports are free.
    pub ports: bool,
    /// The caller hangs up, or gives up, so long after its INVITE.
    pub caller_leaves: Duration,
    /// The agent leaves so long after the answer.
    pub agent_leaves: Option<Duration>,
    /// What the INVITE, whoever sends it, asks for beside a call.
    pub terms: Terms,
    /// The shard calls this one; the caller's plans are for nothing then. `caller_leaves` is when the
    /// call is hung up by request.
    pub callee: Option<CalleePlan>,
    /// A transfer of the caller, and holds.
    pub transfer: Option<TransferPlan>,
}

/// What an INVITE asks for beside a call. It is put in on the way, as a proxy would: that way each copy
/// of it has the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// The ringing is to be acknowledged (RFC 3262).
    pub reliable: bool,
    /// The session is to be refreshed (RFC 4028): by the called side or by the calling one.
    pub refresher: Option<&'static str>,
    /// The sender says nothing of UPDATE: refreshes are re-INVITEs.
    pub without_update: bool,
}

impl Terms {
    pub(crate) fn put_into(self, message: &mut Message) {
        let Message::Request(request) = message else { return };
        let opens = request.method == Method::Invite && request.to().is_some_and(|to| to.tag().is_none());
        if !opens {
            return;
        }
        if self.reliable {
            request.headers.push(HeaderName::Require, "100rel");
        }
        if let Some(refresher) = self.refresher {
            // In place of the sender's own wish, which is too long for a test to wait for.
            request.headers.remove(&HeaderName::SessionExpires);
            request.headers.push(HeaderName::SessionExpires, format!("90;refresher={refresher}"));
        }
        if self.without_update {
            request.headers.remove(&HeaderName::Allow);
        }
    }
}
