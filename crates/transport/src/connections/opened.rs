//! Connections that we opened, to be used again (RFC 5923): over TLS only under the name that the peer
//! has proved there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use dashmap::Entry;
use tokio::sync::watch;
use trunkline_sip::{Flow, Transport as Kind};

use super::Connections;

/// A connection that we opened: to where, and which name the peer has proved over TLS.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Opened {
    transport: Kind,
    remote: SocketAddr,
    name: Option<String>,
}

impl Opened {
    pub(super) fn of(kind: Kind, remote: SocketAddr, name: Option<&String>) -> Self {
        Self { transport: kind, remote, name: name.cloned() }
    }
}

/// What a connection that is being opened will come to.
pub(super) type Opening = watch::Receiver<Option<Result<Flow, (io::ErrorKind, String)>>>;

impl Connections {
    /// The flow of a connection that is open to that place.
    fn opened(&self, kind: Kind, remote: SocketAddr, name: &str) -> Option<Flow> {
        let proved = (kind == Kind::Tls).then(|| name.to_owned());
        let known = self.by_remote.get(&Opened::of(kind, remote, proved.as_ref())).map(|known| *known);
        known.filter(|flow| flow.connection.is_some_and(|open| self.writers.contains_key(&open)))
    }

    /// The flow of a connection that is open to that place, or of one that is opened now. All who ask
    /// meanwhile wait for the same one: a burst of calls to a carrier is one handshake.
    pub(crate) async fn flow_to(
        self: &Arc<Self>,
        kind: Kind,
        remote: SocketAddr,
        name: &str,
    ) -> io::Result<Flow> {
        let bare = name.trim_matches(['[', ']']);
        if let Some(flow) = self.opened(kind, remote, bare) {
            return Ok(flow);
        }
        let key = Opened::of(kind, remote, (kind == Kind::Tls).then(|| bare.to_owned()).as_ref());
        let mut opening = match self.opening.entry(key.clone()) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => match self.opened(kind, remote, bare) {
                // It was opened between the two looks.
                Some(flow) => return Ok(flow),
                None => entry.insert(self.open(key, bare)).clone(),
            },
        };
        let outcome = opening.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        match outcome {
            Ok(Some(Ok(flow))) => Ok(flow),
            Ok(Some(Err((kind, reason)))) => Err(io::Error::new(kind, reason)),
            Ok(None) | Err(_) => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    /// Opens a connection for whoever waits for it.
    fn open(self: &Arc<Self>, key: Opened, name: &str) -> Opening {
        let (tell, opening) = watch::channel(None);
        let (this, name) = (Arc::clone(self), name.to_owned());
        tokio::spawn(async move {
            let kind = key.transport;
            let opened = this.connect(kind, key.remote, &name).await;
            this.opening.remove(&key);
            tell.send_replace(Some(opened.map_err(|error| (error.kind(), error.to_string()))));
        });
        opening
    }

    /// Sends over a connection that is open to that place, or opens one.
    pub(crate) async fn open_and_send(
        self: &Arc<Self>,
        kind: Kind,
        remote: SocketAddr,
        name: &str,
        payload: Bytes,
    ) -> io::Result<()> {
        let flow = self.flow_to(kind, remote, name).await?;
        let Some(payload) = self.send(flow, payload) else { return Ok(()) };
        // It broke in between: one more, since the message was not lost with it.
        let flow = self.flow_to(kind, remote, name).await?;
        match self.send(flow, payload) {
            None => Ok(()),
            Some(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}
