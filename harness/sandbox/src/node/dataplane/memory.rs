//! What the dataplane remembers: which policies and labels are in force, and which will be.
//!
//! ```text
//! state ─► learn ─► coming views, each with its time ─► in force ─┐
//!             └──► pods, addresses, Services, at once ────────────┴─► scene: what is enforced now
//! ```
//!
//! Only changes wait: a pod or namespace that was not there before has its labels at once.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    traits::Traits,
    wire::{Place, PodState, State},
};

type Labels = BTreeMap<String, String>;

/// What the dataplane shall enforce at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Scene {
    /// The cluster, with the policies and labels that are in force.
    pub(super) state: State,
    /// Uids of pods that no policy isolates.
    pub(super) exempt: HashSet<String>,
}

/// What a delay delays.
#[derive(Debug, Clone, Default, PartialEq)]
struct View {
    policies: Vec<Value>,
    namespaces: BTreeMap<String, Labels>,
    /// By uid.
    pods: BTreeMap<String, Labels>,
}

/// Whose an address is, and whose it was before.
#[derive(Debug)]
struct Tenant {
    uid: String,
    own: Identity,
    before: Option<Identity>,
}

/// By what selectors know a pod.
#[derive(Debug, Clone)]
struct Identity {
    namespace: String,
    labels: Labels,
}

/// Everything that is remembered.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    state: State,
    in_force: View,
    coming: VecDeque<(Instant, View)>,
    /// When pods started, by uid.
    starts: HashMap<String, Instant>,
    tenants: HashMap<IpAddr, Tenant>,
    /// When it was last asked what is in force.
    asked: Option<Instant>,
    /// When other policies took force for the last time.
    changed: Option<Instant>,
}

impl Memory {
    /// Takes note of a state, the newest part of which the API accepted at that time.
    pub(crate) fn learn(&mut self, state: State, accepted: Instant) {
        for pod in &self.state.pods {
            if state.pods.iter().all(|other| other.uid != pod.uid) {
                self.starts.remove(&pod.uid);
            }
        }
        if state.traits.stale_addresses {
            self.note_tenants(&state);
        }
        let next = self.newest().followed_by(&state);
        let views = [&mut self.in_force].into_iter().chain(self.coming.iter_mut().map(|(_, view)| view));
        views.for_each(|view| view.adopt(&next));
        if *self.newest() != next {
            let policies = u32::try_from(state.policies.len()).unwrap_or(u32::MAX);
            let due = accepted + state.traits.policy_delay;
            let due = due + state.traits.delay_per_policy.saturating_mul(policies);
            // A change never overtakes an earlier one.
            let due = self.coming.back().map_or(due, |(last, _)| due.max(*last));
            self.coming.push_back((due, next));
        }
        self.state = state;
    }

    /// Takes note of a pod's start. Only the first one counts.
    pub(crate) fn started(&mut self, uid: String, at: Instant) {
        self.starts.entry(uid).or_insert(at);
    }

    /// What is in force at a time. Times must not go back.
    pub(crate) fn at(&mut self, now: Instant) -> Scene {
        self.asked = Some(now);
        while self.coming.front().is_some_and(|(due, _)| *due <= now) {
            let next = self.coming.pop_front().map(|(_, view)| view).unwrap_or_default();
            if next.policies != self.in_force.policies {
                self.changed = Some(now);
            }
            self.in_force = next;
        }
        let mut state = State { policies: self.in_force.policies.clone(), ..self.state.clone() };
        if self.sorted_out().is_none_or(|sorted_out| sorted_out <= now) {
            state.traits.mixes_port_names = Duration::ZERO;
        }
        for (name, labels) in &mut state.namespaces {
            if let Some(known) = self.in_force.namespaces.get(name) {
                labels.clone_from(known);
            }
        }
        for pod in &mut state.pods {
            if let Some(known) = self.in_force.pods.get(&pod.uid) {
                pod.labels.clone_from(known);
            }
            if let Some(before) = pod.ips.iter().find_map(|ip| self.former_tenant(pod, *ip)) {
                pod.namespace.clone_from(&before.namespace);
                pod.labels.clone_from(&before.labels);
            }
        }
        let exempt = self.state.pods.iter().filter(|pod| self.is_exempt(pod, now));
        Scene { state, exempt: exempt.map(|pod| pod.uid.clone()).collect() }
    }

    /// When something else is in force than when it was last asked, if nothing is learnt before.
    pub(crate) fn due(&self) -> Option<Instant> {
        let coming = self.coming.front().map(|(due, _)| *due);
        let delay = self.state.traits.start_delay;
        // Of a pod that the state does not have yet, its state will tell.
        let starts = self.state.pods.iter().filter_map(|pod| Some(*self.starts.get(&pod.uid)? + delay));
        let starts = starts.filter(|due| Some(*due) > self.asked);
        let started = if delay.is_zero() { None } else { starts.min() };
        let sorted_out = self.sorted_out().filter(|due| Some(*due) > self.asked);
        coming.into_iter().chain(started).chain(sorted_out).min()
    }

    /// When the names of ports are right again.
    fn sorted_out(&self) -> Option<Instant> {
        let mixed = self.state.traits.mixes_port_names;
        self.changed.filter(|_| !mixed.is_zero()).map(|changed| changed + mixed)
    }

    fn newest(&self) -> &View {
        self.coming.back().map_or(&self.in_force, |(_, view)| view)
    }

    fn is_exempt(&self, pod: &PodState, now: Instant) -> bool {
        let Traits { start_delay, forgets_terminating, .. } = self.state.traits;
        let young = || self.starts.get(&pod.uid).is_none_or(|start| *start + start_delay > now);
        (forgets_terminating && pod.terminating) || (start_delay > Duration::ZERO && young())
    }

    fn note_tenants(&mut self, state: &State) {
        for pod in state.pods.iter().filter(|pod| matches!(pod.place, Place::Pod(_))) {
            let own = Identity { namespace: pod.namespace.clone(), labels: pod.labels.clone() };
            for ip in &pod.ips {
                match self.tenants.get_mut(ip) {
                    Some(tenant) if tenant.uid == pod.uid => tenant.own = own.clone(),
                    other => {
                        let before = other.map(|tenant| tenant.own.clone());
                        let tenant = Tenant { uid: pod.uid.clone(), own: own.clone(), before };
                        self.tenants.insert(*ip, tenant);
                    }
                }
            }
        }
    }

    fn former_tenant(&self, pod: &PodState, ip: IpAddr) -> Option<&Identity> {
        self.tenants.get(&ip).filter(|tenant| tenant.uid == pod.uid)?.before.as_ref()
    }
}

impl View {
    /// The view that comes after this one.
    fn followed_by(&self, state: &State) -> Self {
        let traits = &state.traits;
        let mut next = Self {
            policies: state.policies.clone(),
            namespaces: state.namespaces.clone(),
            pods: state.pods.iter().map(|pod| (pod.uid.clone(), pod.labels.clone())).collect(),
        };
        if traits.ignores_relabelling {
            keep(&mut next.namespaces, &self.namespaces);
            keep(&mut next.pods, &self.pods);
        }
        let find = |policies: &[Value], policy: &Value| policies.iter().position(|other| same(other, policy));
        if traits.ignores_updates {
            for policy in &mut next.policies {
                if let Some(index) = find(&self.policies, policy) {
                    policy.clone_from(&self.policies[index]);
                }
            }
        }
        if traits.never_removes {
            let lost = self.policies.iter().filter(|policy| find(&next.policies, policy).is_none());
            let lost = lost.filter(|policy| next.namespaces.contains_key(namespace(policy))).cloned();
            let lost: Vec<Value> = lost.collect();
            next.policies.extend(lost);
        }
        next
    }

    /// Takes on what is new in a later view, and forgets what is gone there.
    fn adopt(&mut self, later: &Self) {
        for (mine, theirs) in [(&mut self.namespaces, &later.namespaces), (&mut self.pods, &later.pods)] {
            mine.retain(|key, _| theirs.contains_key(key));
            for (key, labels) in theirs {
                mine.entry(key.clone()).or_insert_with(|| labels.clone());
            }
        }
    }
}

/// Puts back the labels of whatever was there before.
fn keep(labels: &mut BTreeMap<String, Labels>, before: &BTreeMap<String, Labels>) {
    for (key, labels) in labels {
        if let Some(before) = before.get(key) {
            labels.clone_from(before);
        }
    }
}

fn namespace(policy: &Value) -> &str {
    policy.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or("default")
}

/// Whether two are the same object, though perhaps not with the same text.
fn same(a: &Value, b: &Value) -> bool {
    let id = |policy: &Value, pointer| policy.pointer(pointer).cloned();
    ["/metadata/namespace", "/metadata/name", "/metadata/uid"].iter().all(|key| id(a, key) == id(b, key))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const DELAY: Duration = Duration::from_secs(1);

    fn state(traits: Traits, policies: &[&str], pods: &[(&str, &str)]) -> State {
        let pod = |(uid, label): &(&str, &str)| PodState {
            uid: (*uid).to_owned(),
            namespace: "x".into(),
            name: (*uid).to_owned(),
            place: Place::Pod(0),
            labels: Labels::from([("label".into(), (*label).to_owned())]),
            ips: vec![],
            ports: vec![],
            terminating: false,
        };
        let policy = |name: &&str| json!({"metadata": {"name": name, "namespace": "x"}});
        State {
            traits,
            namespaces: [("x".to_owned(), Labels::new())].into(),
            pods: pods.iter().map(pod).collect(),
            services: vec![],
            policies: policies.iter().map(policy).collect(),
        }
    }

    fn late() -> Traits {
        Traits { policy_delay: DELAY, ..Traits::default() }
    }

    /// Policies and labels in force, as text.
    fn text(scene: &Scene) -> String {
        let policies = scene.state.policies.iter().filter_map(|policy| policy["metadata"]["name"].as_str());
        let labels = scene.state.pods.iter().map(|pod| pod.labels["label"].as_str());
        policies.chain(labels).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_change_waits_for_its_own_time() {
        let start = Instant::now();
        let at = |tenths: u32| start + DELAY / 10 * tenths;
        let mut memory = Memory::default();
        memory.learn(state(late(), &["p"], &[("a", "old")]), at(0));
        assert_eq!(text(&memory.at(at(0))), "old", "a new pod has its label at once");
        memory.learn(state(late(), &["p"], &[("a", "new")]), at(2));
        // A pod that comes between two changes, and a change that was accepted before the last one.
        memory.learn(state(late(), &["p", "q"], &[("a", "new"), ("b", "first")]), at(1));
        assert_eq!(text(&memory.at(at(3))), "old first");
        assert_eq!(memory.due(), Some(at(10)));
        assert_eq!(text(&memory.at(at(9))), "old first");
        assert_eq!(text(&memory.at(at(10))), "p old first");
        assert_eq!(memory.due(), Some(at(12)));
        assert_eq!(text(&memory.at(at(12))), "p q new first");
        assert_eq!(memory.due(), None);
        memory.learn(state(late(), &["p", "q"], &[("b", "first")]), at(20));
        assert_eq!(memory.due(), None, "a pod that ends is no change");
        assert_eq!(text(&memory.at(at(20))), "p q first");
    }

    #[test]
    fn a_change_waits_for_every_policy_that_there_is() {
        let start = Instant::now();
        let traits = Traits { delay_per_policy: DELAY, ..Traits::default() };
        let mut memory = Memory::default();
        memory.learn(state(traits.clone(), &["p", "q", "r"], &[]), start);
        assert_eq!(memory.due(), Some(start + 3 * DELAY));
        memory.at(start + 3 * DELAY);
        memory.learn(state(traits, &[], &[]), start + 4 * DELAY);
        assert_eq!(memory.due(), Some(start + 4 * DELAY), "without policies nothing is late");
    }

    #[test]
    fn port_names_are_mixed_for_a_time_after_each_change_of_policies() {
        let start = Instant::now();
        let traits = || Traits { mixes_port_names: DELAY, ..Traits::default() };
        let mixed = |scene: &Scene| !scene.state.traits.mixes_port_names.is_zero();
        let mut memory = Memory::default();
        memory.learn(state(traits(), &["p"], &[("a", "old")]), start);
        assert!(mixed(&memory.at(start)));
        assert_eq!(memory.due(), Some(start + DELAY));
        assert!(!mixed(&memory.at(start + DELAY)));
        assert_eq!(memory.due(), None);
        memory.learn(state(traits(), &["p"], &[("a", "new")]), start + 2 * DELAY);
        assert!(!mixed(&memory.at(start + 2 * DELAY)), "a label is no policy");
        memory.learn(state(traits(), &["p", "q"], &[("a", "new")]), start + 3 * DELAY);
        assert!(mixed(&memory.at(start + 3 * DELAY)));
    }

    #[test]
    fn a_pod_is_exempt_until_its_delay_is_over() {
        let start = Instant::now();
        let traits = || Traits { start_delay: DELAY, ..Traits::default() };
        let mut memory = Memory::default();
        memory.learn(state(traits(), &[], &[("a", ""), ("b", "")]), start);
        assert_eq!(memory.at(start).exempt.len(), 2, "neither has started");
        memory.started("a".into(), start);
        memory.started("a".into(), start + DELAY);
        assert_eq!(memory.due(), Some(start + DELAY), "only the first start counts");
        assert_eq!(memory.at(start + DELAY).exempt, HashSet::from(["b".to_owned()]));
        assert_eq!(memory.due(), None);
    }
}
