//! Which scenario a lane takes next.
//!
//! Scenarios with equal topologies form a group. A lane stays with its group, whose pods it has; then it takes the
//! largest group that nobody works on, and at last helps with a group that still has several scenarios.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;
use verdikt_model::{EndpointName, Scenario, Topology};

/// A scenario for a lane.
pub(crate) struct Job {
    pub(crate) group: usize,
    pub(crate) topology: Arc<Topology>,
    pub(crate) scenario: Scenario,
}

struct Group {
    topology: Arc<Topology>,
    /// Whether it listens on nodes' own ports, so that only one such group can stand at a time.
    host_ports: bool,
    /// How long a scenario of it may take, roughly: pairs of pods.
    weight: usize,
    waiting: VecDeque<Scenario>,
    lanes: usize,
}

/// The scenarios that wait for a lane.
pub(crate) struct Queue {
    groups: Mutex<Vec<Group>>,
    changed: Notify,
    closed: AtomicBool,
}

enum Next {
    Job(Box<Job>),
    /// Something waits, but must not be begun yet.
    Later,
    Nothing,
}

impl Queue {
    pub(crate) fn new(scenarios: Vec<Scenario>) -> Self {
        let mut by_topology: BTreeMap<Topology, VecDeque<Scenario>> = BTreeMap::new();
        for scenario in scenarios {
            by_topology.entry(scenario.topology.clone()).or_default().push_back(scenario);
        }
        let groups = by_topology
            .into_iter()
            .map(|(topology, waiting)| Group {
                host_ports: host_ports(&topology),
                weight: topology.pods().count().pow(2).max(1),
                topology: Arc::new(topology),
                waiting,
                lanes: 0,
            })
            .collect();
        Self { groups: Mutex::new(groups), changed: Notify::new(), closed: AtomicBool::new(false) }
    }

    /// The next scenario for a lane whose group is `current`; `None` when nothing is left for it.
    pub(crate) async fn next(&self, current: Option<usize>) -> Option<Job> {
        let mut current = current;
        loop {
            // Registered before looking, so that a change in between is not missed.
            let changed = self.changed.notified();
            match self.take(current.take()) {
                Next::Job(job) => return Some(*job),
                Next::Nothing => return None,
                Next::Later => changed.await,
            }
        }
    }

    /// Whether the lane of `current` would have to leave its group now.
    pub(crate) fn is_exhausted(&self, current: usize) -> bool {
        self.groups.lock().expect("no holder of the lock panics")[current].waiting.is_empty()
    }

    /// What has not been taken, for a run that ends early.
    pub(crate) fn drain(&self) -> Vec<Scenario> {
        let mut groups = self.groups.lock().expect("no holder of the lock panics");
        let left = groups.iter_mut().flat_map(|group| group.waiting.drain(..)).collect();
        drop(groups);
        self.changed.notify_waiters();
        left
    }

    /// Gives nothing out any more: a lane is lost, and with it what it had taken.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.changed.notify_waiters();
    }

    fn take(&self, current: Option<usize>) -> Next {
        if self.closed.load(Ordering::Relaxed) {
            return Next::Nothing;
        }
        let mut groups = self.groups.lock().expect("no holder of the lock panics");
        if let Some(index) = current {
            if let Some(job) = pop(&mut groups, index) {
                return Next::Job(Box::new(job));
            }
            groups[index].lanes -= 1;
            self.changed.notify_waiters();
        }
        let host_ports_taken = groups.iter().any(|group| group.host_ports && group.lanes > 0);
        let mut best: Option<(bool, usize, usize)> = None;
        let mut later = false;
        for (index, group) in groups.iter().enumerate() {
            if group.waiting.is_empty() {
                continue;
            }
            if group.host_ports && host_ports_taken {
                later = true;
                continue;
            }
            // The last scenario of a group is done sooner by the lane that has its pods.
            if group.lanes > 0 && group.waiting.len() < 2 {
                continue;
            }
            let cost = group.weight * group.waiting.len() / (group.lanes + 1);
            let rank = (group.lanes == 0, cost, index);
            if best.is_none_or(|have| rank > have) {
                best = Some(rank);
            }
        }
        match best {
            Some((_, _, index)) => {
                groups[index].lanes += 1;
                pop(&mut groups, index).map_or(Next::Nothing, |job| Next::Job(Box::new(job)))
            }
            None if later => Next::Later,
            None => Next::Nothing,
        }
    }
}

fn pop(groups: &mut [Group], index: usize) -> Option<Job> {
    let group = &mut groups[index];
    let scenario = group.waiting.pop_front()?;
    Some(Job { group: index, topology: Arc::clone(&group.topology), scenario })
}

/// Whether a topology listens on ports of nodes themselves.
pub(crate) fn host_ports(topology: &Topology) -> bool {
    topology.pods().any(|(_, _, pod)| pod.host_network)
        || topology
            .endpoints
            .iter()
            .any(|(name, extra)| matches!(name, EndpointName::Node(_)) && !extra.serve.ports.is_empty())
}

#[cfg(test)]
mod tests {
    use verdikt_model::{Level, NamespaceSpec, PodSpec};

    use super::*;

    fn scenario(name: &str, pods: &[&str], host_network: bool) -> Scenario {
        let pod = PodSpec { host_network, ..PodSpec::default() };
        let pods = pods.iter().map(|name| ((*name).to_owned(), pod.clone())).collect();
        Scenario {
            name: name.into(),
            labels: BTreeMap::new(),
            level: Level::Core,
            summary: String::new(),
            clauses: vec![],
            references: vec![],
            differs: Vec::new(),
            requires: vec![],
            repeat: 1,
            topology: Topology {
                namespaces: [("x".to_owned(), NamespaceSpec { pods, ..NamespaceSpec::default() })].into(),
                ..Topology::default()
            },
            steps: vec![],
            source: String::new(),
        }
    }

    #[tokio::test]
    async fn a_lane_stays_with_its_topology_and_then_helps() {
        let queue = Queue::new(vec![
            scenario("small", &["a"], false),
            scenario("big-1", &["a", "b", "c"], false),
            scenario("big-2", &["a", "b", "c"], false),
            scenario("big-3", &["a", "b", "c"], false),
            scenario("big-4", &["a", "b", "c"], false),
        ]);
        let first = queue.next(None).await.unwrap();
        assert_eq!(first.scenario.name, "big-1");
        let other = queue.next(None).await.unwrap();
        assert_eq!(other.scenario.name, "small");
        // The other lane has nothing of its own left, and three are waiting here.
        let helped = queue.next(Some(other.group)).await.unwrap();
        assert_eq!(helped.scenario.name, "big-2");
        assert_eq!(queue.next(Some(first.group)).await.unwrap().scenario.name, "big-3");
        assert_eq!(queue.next(Some(first.group)).await.unwrap().scenario.name, "big-4");
        assert!(queue.next(Some(first.group)).await.is_none());
        assert!(queue.next(Some(helped.group)).await.is_none());
    }

    #[tokio::test]
    async fn a_closed_queue_gives_nothing_and_lets_go_who_waits() {
        let queue = Arc::new(Queue::new(vec![
            scenario("h1", &["a"], true),
            scenario("h2", &["a", "b"], true),
            scenario("other", &["c"], false),
        ]));
        let first = queue.next(None).await.unwrap();
        let second = queue.next(None).await.unwrap();
        assert_ne!((first.scenario.name == "other"), (second.scenario.name == "other"));
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.next(None).await.is_none() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        queue.close();
        assert!(waiting.await.unwrap());
        assert!(queue.next(Some(first.group)).await.is_none());
        assert_eq!(queue.drain().len(), 1, "what was not begun can still be told");
    }

    #[tokio::test]
    async fn topologies_on_host_ports_stand_one_at_a_time() {
        let queue =
            Arc::new(Queue::new(vec![scenario("h1", &["a"], true), scenario("h2", &["a", "b"], true)]));
        let first = queue.next(None).await.unwrap();
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.next(None).await.map(|job| job.scenario.name) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        // Its lane ends: whichever of the two asks first gets the other one.
        let own = queue.next(Some(first.group)).await.map(|job| job.scenario.name);
        if own.is_none() {
            assert!(waiting.await.unwrap().is_some());
        } else {
            waiting.abort();
        }
    }
}
