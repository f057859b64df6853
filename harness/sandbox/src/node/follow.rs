//! The dataplane's clock: applies what is told, and what becomes due without being told.

use std::{
    sync::{Arc, PoisonError, mpsc},
    time::Instant,
};

use super::{
    Node,
    dataplane::{Dataplane, Memory},
    dns::Zone,
    errors::note,
};
use crate::wire::{FromNode, State};

/// What the dataplane's thread is told.
pub(crate) enum News {
    /// What the cluster is like; answered by [`FromNode::Synced`].
    State {
        /// Of the answer.
        generation: u64,
        /// When the API accepted what is new in it.
        accepted: Instant,
        /// All of it.
        state: Box<State>,
    },
    /// A pod's command starts.
    Started {
        /// The pod's uid.
        uid: String,
        /// When.
        at: Instant,
    },
}

impl Node {
    /// Tells the dataplane that a pod's command starts now.
    pub(super) fn has_started(&self, uid: &str) {
        // It fails when the thread has ended, which the next state's answer says.
        let _ = self.news.send(News::Started { uid: uid.to_owned(), at: Instant::now() });
    }
}

/// Applies states, one after another; of several that wait, all are learnt and the last is applied, and all are
/// answered.
pub(super) fn follow(node: &Node, mut dataplane: Dataplane, queue: &mpsc::Receiver<News>) {
    let mut memory = Memory::default();
    loop {
        let due = [memory.due(), dataplane.due()].into_iter().flatten().min();
        let first = match due {
            None => queue.recv().map(Some).ok(),
            Some(due) => match queue.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(news) => Some(Some(news)),
                Err(mpsc::RecvTimeoutError::Timeout) => Some(None),
                Err(mpsc::RecvTimeoutError::Disconnected) => None,
            },
        };
        let Some(first) = first else { return };
        let mut answers = vec![];
        let mut zone = None;
        for news in first.into_iter().chain(queue.try_iter()) {
            match news {
                News::State { generation, accepted, state } => {
                    answers.push(generation);
                    zone = Some(Zone::new(&state));
                    memory.learn(*state, accepted);
                }
                News::Started { uid, at } => memory.started(uid, at),
            }
        }
        let now = Instant::now();
        if answers.is_empty() && due.is_none_or(|due| due > now) {
            continue;
        }
        let error = dataplane.apply(&memory.at(now)).err().map(|error| error.to_string());
        if let Some(zone) = zone {
            *node.zone.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(zone);
        }
        if let (Some(error), true) = (&error, answers.is_empty()) {
            // Nobody waits for an answer; the next state is refused for the same reason, and says so.
            note(format_args!("what became due cannot be put in force: {error}"));
        }
        for generation in answers {
            node.say(&FromNode::Synced { generation, error: error.clone() });
        }
    }
}
