//! A prober that tells how long its sweeps took.

use tokio::time::{Duration, Instant};
use verdikt_model::{Cell, Event};

use crate::{
    sweep::{Observation, Prober},
    tell::Teller,
};

/// Another prober, with an [`Event::Swept`] at the end of each sweep.
pub(crate) struct Timed<'a, P> {
    pub(crate) prober: P,
    pub(crate) tell: &'a Teller,
    /// The scenario.
    pub(crate) name: &'a str,
}

impl<P: Prober + Sync> Prober for Timed<'_, P> {
    async fn sweep(
        &self,
        cells: &[Cell],
        which: &[u32],
        deadline: Duration,
        sink: &mut (dyn FnMut(u32, Observation) + Send),
    ) {
        let start = Instant::now();
        self.prober.sweep(cells, which, deadline, sink).await;
        let (name, cells) = (self.name.to_owned(), which.len());
        self.tell.event(Event::Swept { name, cells, duration: start.elapsed() });
    }
}
