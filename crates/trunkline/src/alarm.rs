//! A driver's alarm clock. A deadline that moves away does not touch the runtime's timers: the alarm
//! rings at the old time, finds nothing due, and is set again. Deadlines move with almost every
//! message, and nearly always away.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::time::{Sleep, sleep_until};

/// Rings no later than it was last set to. Pending for ever while it was never set.
#[derive(Default)]
pub(crate) struct Alarm {
    /// Boxed so that the alarm may move; one allocation a driver.
    sleep: Option<Pin<Box<Sleep>>>,
    rings: Option<Instant>,
}

impl Alarm {
    /// Sets the alarm; only one that rings earlier than before costs anything.
    pub(crate) fn set(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return };
        if self.rings.is_some_and(|rings| rings <= deadline) {
            return;
        }
        self.rings = Some(deadline);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline.into()),
            None => self.sleep = Some(Box::pin(sleep_until(deadline.into()))),
        }
    }
}

impl Future for Alarm {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (Some(_), Some(sleep)) = (self.rings, &mut self.sleep) else {
            return Poll::Pending;
        };
        let rung = sleep.as_mut().poll(context);
        if rung.is_ready() {
            self.rings = None;
        }
        rung
    }
}
