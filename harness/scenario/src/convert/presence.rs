//! Which pods are there, step by step, and what can be done to them then: as with a StatefulSet's pod of that name,
//! which is made with the labels of its template, and made again only when the one before is gone or has completed.

use std::collections::BTreeMap;

use verdikt_model::{Action, EndpointName, PodChange, PodSpec, Topology};

use super::late::pod_of;
use crate::{clean, decode::Findings, diagnostic::Finding, span::At};

/// Which pods are there.
pub(super) struct Pods(BTreeMap<String, Presence>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Not made yet, or removed.
    Gone,
    There,
    Terminating,
    /// Its processes have ended; the object stays.
    Completed,
}

impl Presence {
    /// What becomes of a pod by a change, or why it cannot be made. `other`: of the pod whose address it is to have.
    fn after(self, change: PodChange, spec: &PodSpec, other: Option<Self>) -> Result<Self, &'static str> {
        match (change, self) {
            (PodChange::Start, _) if other.is_some_and(|of| !matches!(of, Self::Gone | Self::Completed)) => {
                Err(
                    "the pod whose address it is to have (`addressOf`) has not ended yet: complete or remove it before",
                )
            }
            (PodChange::Start, Self::Gone | Self::Completed) if spec.late => Ok(Self::There),
            (PodChange::Start, Self::Terminating) if spec.late => Err(
                "it is still terminating, and only one pod can have its name: `remove` it before, which waits until it is gone",
            ),
            (PodChange::Start, _) => Err("only a pod that is `late: true` and not there can be started"),
            (PodChange::Complete, Self::There) => Ok(Self::Completed),
            (PodChange::Complete, _) => Err("only a pod that is there can complete"),
            (PodChange::Terminate, Self::There) if spec.linger_s > 0 => Ok(Self::Terminating),
            (PodChange::Terminate, _) => {
                Err("only a pod that is there, and lingers (`linger: SECONDS`), can be seen terminating")
            }
            (PodChange::Remove, Self::Gone) => {
                Err("only a pod that is there, or has completed, can be removed")
            }
            (PodChange::Remove, _) => Ok(Self::Gone),
        }
    }
}

impl Pods {
    /// As the topology has them.
    pub(super) fn new(topology: &Topology) -> Self {
        let of = |late| if late { Presence::Gone } else { Presence::There };
        Self(topology.pods().map(|(ns, pod, spec)| (format!("{ns}/{pod}"), of(spec.late))).collect())
    }

    /// The pods that the steps leave otherwise than they found them, and so cannot be repeated.
    pub(super) fn left_otherwise(&self, topology: &Topology) -> Vec<String> {
        let back = |now: Presence, late: bool| match now {
            Presence::There => !late,
            Presence::Gone | Presence::Completed => late,
            Presence::Terminating => false,
        };
        let named = topology.pods().map(|(ns, pod, spec)| (format!("{ns}/{pod}"), spec.late));
        named.filter(|(name, late)| !back(self.0[name], *late)).map(|(name, _)| name).collect()
    }

    /// Starts or ends the pods of a list.
    pub(super) fn change(
        &mut self,
        list: &[At<String>],
        change: PodChange,
        topology: &Topology,
        actions: &mut Vec<Action>,
        findings: &mut Findings,
    ) {
        for name in list {
            let Some(EndpointName::Pod { namespace, name: pod }) = pod_of(name, topology, findings) else {
                continue;
            };
            let spec = &topology.namespaces[&namespace].pods[&pod];
            let other = spec.address_of.as_ref().and_then(|of| self.0.get(&of.to_string()).copied());
            match self.0[&name.value].after(change, spec, other) {
                Ok(then) => {
                    self.0.insert(name.value.clone(), then);
                    actions.push(Action::Pod { namespace, pod, change });
                }
                Err(why) => findings.push(
                    Finding::error(
                        "scenario/pod-not-there",
                        name.span,
                        format!("`{}` cannot be changed like this here", clean::word(&name.value)),
                    )
                    .help(why),
                ),
            }
        }
    }

    /// Whether a pod of the topology can be labelled; otherwise that is told.
    pub(super) fn can_be_labelled(&self, name: &At<String>, findings: &mut Findings) -> bool {
        let there = self.0.get(&name.value).is_some_and(|now| *now != Presence::Gone);
        if !there {
            findings.push(
                Finding::error(
                    "scenario/pod-not-there",
                    name.span,
                    format!("`{}` cannot be labelled here", clean::word(&name.value)),
                )
                .help(
                    "it is not there at this point, and is made with the labels of the topology: within a step, \
                     `start` comes after `label`",
                ),
            );
        }
        there
    }
}
