//! The transaction layer (RFC 3261 §17): one machine a transaction, one file a machine, and the
//! table that finds them.
//!
//! | machine | file | states |
//! |---|---|---|
//! | INVITE server | `invite_server` | Proceeding → Completed → Confirmed, or Accepted (RFC 6026) |
//! | non-INVITE server | `non_invite_server` | Trying → Proceeding → Completed |
//! | INVITE client | `invite_client` | Calling → Proceeding → Completed, or Accepted (RFC 6026) |
//! | non-INVITE client | `non_invite_client` | Trying → Proceeding → Completed |

mod ends;
mod incoming;
mod invite_client;
mod invite_server;
mod key;
mod layer;
mod non_invite_client;
mod non_invite_server;
mod paths;

use bytes::Bytes;
use trunkline_sip::{Flow, Request, Response};

pub use layer::Transactions;

/// Names a server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(u64);

/// Names a client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

/// What the layer passes up.
#[derive(Debug)]
pub enum Inbound {
    /// A request that opened a server transaction.
    Request(ServerId, Box<Request>, Flow),
    /// An ACK that belongs to no transaction: it acknowledges a 2xx.
    Ack(Box<Request>, Flow),
    /// A CANCEL, already answered, for a transaction that still exists.
    Cancel(ServerId, Box<Request>),
    /// A response of a client transaction.
    Response(ClientId, Box<Response>),
    /// A 2xx to an INVITE whose transaction is gone or has seen another 2xx (forking).
    StrayOk(Box<Response>, Flow),
    /// A client transaction got no final response in time, or could not send.
    Timeout(ClientId),
    /// A server transaction's final response was never acknowledged.
    NotAcknowledged(ServerId),
}

/// What a machine asks of the layer.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    /// Send these bytes on the transaction's path.
    Send(Bytes),
    /// Hand the response up.
    Pass,
    /// Tell the user that time ran out.
    TimedOut,
    /// Forget the transaction.
    Terminate,
}

#[cfg(test)]
mod tests;
