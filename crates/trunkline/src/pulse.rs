//! Whether a node lives: a shard's driver or a media thread that has ended takes its calls with it, and
//! nobody else can run them. Whoever runs the node ends the process then, so that it is started anew.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use trunkline_media::Pool;

use crate::driver::{Edges, ShardState};

/// How often the media threads are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// The pulse of a node.
#[derive(Clone)]
pub struct Pulse {
    shards: Arc<[ShardState]>,
    stopped: watch::Receiver<bool>,
}

impl Pulse {
    /// Watches over the drivers and media threads.
    pub(crate) fn watch(mut drivers: JoinSet<()>, edges: &Edges) -> Self {
        let (tell, stopped) = watch::channel(false);
        let pool = Arc::clone(&edges.pool);
        tokio::spawn(async move {
            tokio::select! {
                ended = drivers.join_next() => tracing::error!(?ended, "the driver of a shard has ended"),
                () = ends(&pool) => tracing::error!("a media thread has ended"),
            }
            tell.send_replace(true);
            // Those that are left go on until whoever runs the node has heard.
            while drivers.join_next().await.is_some() {}
        });
        Self { shards: Arc::clone(&edges.shards), stopped }
    }

    /// Whether everything still runs, as far as is known.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !*self.stopped.borrow()
    }

    /// Waits until something has ended that never should.
    pub async fn stops(&mut self) {
        // An error means that the runtime goes, and with it everything.
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
    }

    /// Whether every shard takes a turn within `limit`.
    pub async fn beats(&self, limit: Duration) -> bool {
        let turns = || self.shards.iter().map(|shard| shard.turns.load(Ordering::Relaxed));
        let before: Vec<u64> = turns().collect();
        for shard in &*self.shards {
            shard.probe.notify_one();
        }
        self.is_there()
            && wait_until(limit, || turns().zip(&before).all(|(now, before)| now != *before)).await
    }
}

/// Waits until a media thread has ended.
async fn ends(pool: &Pool) {
    let mut look = tokio::time::interval(LOOK);
    while pool.is_alive() {
        look.tick().await;
    }
}

/// Looks until something holds; false where it does not within `limit`.
pub(crate) async fn wait_until(limit: Duration, holds: impl Fn() -> bool) -> bool {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let waited = tokio::time::timeout(limit, async {
        while !holds() {
            look.tick().await;
        }
    });
    waited.await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse() -> (Pulse, watch::Sender<bool>) {
        let (tell, stopped) = watch::channel(false);
        (Pulse { shards: [ShardState::default()].into(), stopped }, tell)
    }

    #[tokio::test]
    async fn a_shard_that_takes_no_turn_is_found_and_an_idle_one_is_asked_for_one() {
        let (pulse, tell) = pulse();
        assert!(!pulse.beats(Duration::from_millis(50)).await);
        let shards = Arc::clone(&pulse.shards);
        let driver = tokio::spawn(async move {
            loop {
                shards[0].probe.notified().await;
                shards[0].turns.fetch_add(1, Ordering::Relaxed);
            }
        });
        assert!(pulse.beats(Duration::from_secs(10)).await);
        tell.send_replace(true);
        assert!(!pulse.beats(Duration::from_secs(10)).await, "another part has ended");
        driver.abort();
    }
}
