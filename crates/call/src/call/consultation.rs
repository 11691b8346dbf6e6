//! How the talk with who was called ends, in a warm or an attended transfer, and how a transfer is given up.

use std::collections::VecDeque;

use trunkline_signalling::dialog::Cx;

use super::Call;
use super::outcome::failure;
use super::transfer::Stage;
use crate::Output;

impl Call {
    /// The agent, or the API, is done talking to who was called: the caller is joined with it, and the agent
    /// leaves or stays.
    pub(crate) fn complete_transfer(&mut self, cx: &mut Cx<'_>, stays: bool, out: &mut VecDeque<Output>) {
        match self.transfer.as_ref().map(|transfer| &transfer.stage) {
            Some(Stage::Consulting { member }) => {
                let member = *member;
                match self.replacing(member).filter(|_| !stays) {
                    Some(refer_to) => self.refer(cx, refer_to, Some(member), out),
                    None => self.join(cx, member, stays, out),
                }
            }
            _ => self.tell_refusal(failure(None, "nobody is there to be joined with the caller"), out),
        }
    }

    /// The transfer is given up: the caller comes back.
    pub(crate) fn cancel_transfer(&mut self, cx: &mut Cx<'_>, out: &mut VecDeque<Output>) {
        match self.transfer.as_ref().map(|transfer| &transfer.stage) {
            // What the carrier does cannot be called back.
            Some(Stage::Referring { .. } | Stage::Moved | Stage::Replaced { .. }) => {
                self.tell_refusal(failure(None, "the carrier has the transfer in its hands"), out);
            }
            Some(_) => self.back(cx, out, None, "cancelled"),
            None => self.tell_refusal(failure(None, "there is no transfer"), out),
        }
    }
}
