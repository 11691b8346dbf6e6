//! What a transfer came to, and who is told of it.

use std::collections::VecDeque;

use trunkline_sdp::control::{AgentNews, TransferResult};
use trunkline_sip::reason_phrase;

use super::Call;
use super::transfer::Stage;
use crate::Output;

impl Call {
    /// The transfer has succeeded.
    pub(super) fn through(&mut self, out: &mut VecDeque<Output>) {
        self.transferred_to = self.transfer.as_ref().map(|transfer| transfer.route.to.clone());
        let reason = "the caller was put through".to_owned();
        self.tell_result(TransferResult { ok: true, code: Some(200), reason }, out);
    }

    /// Tells whoever asked how a transfer came out.
    pub(super) fn tell_result(&mut self, result: TransferResult, out: &mut VecDeque<Output>) {
        self.transfer_result = Some(result.clone());
        out.push_back(Output::TransferEnded(self.handle, Box::new(result.clone())));
        self.tell(AgentNews::TransferResult { transfer_result: result }, out);
    }

    /// A transfer that the end of the call overtakes.
    pub(super) fn transfer_is_overtaken(&mut self, reason: &str, out: &mut VecDeque<Output>) {
        let transfer = self.transfer.take();
        if transfer.is_some_and(|transfer| !matches!(transfer.stage, Stage::Moved))
            && self.transferred_to.is_none()
        {
            self.tell_result(failure(None, reason), out);
        }
    }

    /// Tells the agent something, while it is there.
    pub(super) fn tell(&self, news: AgentNews, out: &mut VecDeque<Output>) {
        if self.agent_here {
            out.push_back(Output::Tell(self.handle, Box::new(news)));
        }
    }
}

pub(super) fn failure(code: Option<u16>, reason: &str) -> TransferResult {
    TransferResult { ok: false, code, reason: reason.to_owned() }
}

pub(super) fn refused(code: u16) -> String {
    format!("refused: {code} {}", reason_phrase(code))
}
