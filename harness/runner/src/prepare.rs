//! Before the first lane: which scenarios can run here, and which must run alone.

use std::collections::BTreeMap;

use verdikt_cluster::ClusterError;
use verdikt_model::{
    Action, EndpointName, Family, ObjectRef, PolicyObject, Requirement, Scenario, Serve, Topology,
    policy_kind::{Standing, kind_name, standing},
};

use crate::{facts::Facts, options::Options};

/// Scenarios, sorted by how they are run.
#[derive(Default)]
pub(crate) struct Prepared {
    /// In lanes, several at once.
    pub(crate) shared: Vec<Scenario>,
    /// One after another, when no other runs: they have cluster-scoped objects.
    pub(crate) alone: Vec<Scenario>,
    /// Not at all, with the reason.
    pub(crate) skipped: Vec<(Scenario, String)>,
}

/// Looks at what each scenario needs.
///
/// # Errors
/// If the cluster cannot be asked.
pub(crate) async fn prepare(
    facts: &Facts,
    scenarios: Vec<Scenario>,
    options: &Options,
) -> Result<Prepared, ClusterError> {
    let mut prepared = Prepared::default();
    let mut crds: BTreeMap<String, bool> = BTreeMap::new();
    for scenario in scenarios {
        match look(facts, &scenario, options, &mut crds).await? {
            Look::Shared => prepared.shared.push(scenario),
            Look::Alone => prepared.alone.push(scenario),
            Look::Skip(why) => prepared.skipped.push((scenario, why)),
        }
    }
    Ok(prepared)
}

enum Look {
    Shared,
    Alone,
    Skip(String),
}

async fn look(
    facts: &Facts,
    scenario: &Scenario,
    options: &Options,
    crds: &mut BTreeMap<String, bool>,
) -> Result<Look, ClusterError> {
    for requirement in &scenario.requires {
        let why = match requirement {
            Requirement::Crd(name) => {
                let there = match crds.get(name) {
                    Some(there) => *there,
                    None => {
                        let there = facts.cluster.has_crd(name).await?;
                        crds.insert(name.clone(), there);
                        there
                    }
                };
                (!there).then(|| format!("this cluster has no custom resource definition {name}"))
            }
            Requirement::Dataplane(name) => {
                let found = facts.environment.dataplane.name.as_str();
                (found != name).then(|| match found {
                    "" | "unknown" => {
                        format!("needs {name}, and what enforces policies here could not be told; --dataplane says it")
                    }
                    found => format!("needs {name}, and this cluster has {found}"),
                })
            }
            Requirement::DualStack => {
                let cluster = facts.environment.ip_families.len();
                let probed = facts.families.len();
                (probed < Family::ALL.len()).then(|| match cluster {
                    2 => "needs both IP families, and --ip-family leaves one".to_owned(),
                    _ => "needs both IP families, and this cluster has one".to_owned(),
                })
            }
            Requirement::Nodes(n) => {
                let have = facts.usable_nodes();
                (have < usize::from(*n))
                    .then(|| format!("needs {n} nodes on which pods may run, and there are {have}"))
            }
            Requirement::External => (!facts.has_external() && facts.given.is_empty())
                .then(|| "needs a host outside the cluster; --external HOST:PORT names one".to_owned()),
            // Only an agent can tell; the lane asks it.
            Requirement::Sctp | Requirement::Dns(_) => None,
        };
        if let Some(why) = why {
            return Ok(Look::Skip(why));
        }
    }
    let mut cluster_scoped = false;
    if let Some(name) =
        unlisted_kind(scenario.steps.iter().flat_map(|step| &step.actions), &options.allow_kinds)
    {
        return Ok(Look::Skip(format!(
            "applies {name}, which is not a kind of policy; --allow-kind {name} lets it run"
        )));
    }
    for object in scenario.steps.iter().flat_map(|step| &step.actions).filter_map(|action| match action {
        Action::Apply(object @ PolicyObject::Other(_)) => Some(object.reference()),
        Action::Delete(reference) if reference.kind != "NetworkPolicy" => Some(reference.clone()),
        _ => None,
    }) {
        match facts.kinds.get(&facts.cluster, &object.api_version, &object.kind).await {
            Ok(kind) => cluster_scoped |= kind.cluster_scoped,
            Err(error @ ClusterError::NoSuchKind { .. }) => return Ok(Look::Skip(error.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(match (cluster_scoped, options.allow_cluster_scoped) {
        (false, _) => Look::Shared,
        (true, true) => Look::Alone,
        (true, false) => {
            Look::Skip("has cluster-scoped objects; --allow-cluster-scoped lets it run, alone".into())
        }
    })
}

/// A kind that the scenario applies or deletes, that is not a policy, and that the user has not allowed.
fn unlisted_kind<'a>(actions: impl Iterator<Item = &'a Action>, allowed: &[String]) -> Option<String> {
    let objects = actions.filter_map(|action| match action {
        Action::Apply(object @ PolicyObject::Other(_)) => Some(object.reference()),
        Action::Delete(reference) => Some(reference.clone()),
        _ => None,
    });
    let is_policy =
        |object: &ObjectRef| matches!(standing(object.group(), &object.kind), Standing::Policy(_));
    let mut names = objects
        .filter(|object| !is_policy(object))
        .map(|object| kind_name(&object.api_version, &object.kind));
    names.find(|name| !allowed.contains(name))
}

/// The union of what scenarios want the external host to listen on: its pod is shared.
pub(crate) fn external_serve<'a>(topologies: impl IntoIterator<Item = &'a Topology>) -> Serve {
    let mut serve = Serve::default();
    for (name, extra) in topologies.into_iter().flat_map(|topology| &topology.endpoints) {
        if matches!(name, EndpointName::External(_)) {
            serve.ports.extend(extra.serve.ports.iter().copied());
            serve.http.extend(extra.serve.http.iter().copied());
        }
    }
    serve
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use verdikt_model::{ExtraEndpoint, PortProtocol, Protocol};

    use super::*;

    #[test]
    fn a_scenario_applies_no_kind_but_policies_and_what_the_user_names() {
        let apply = |api_version: &str, kind: &str| {
            let object =
                json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "o", "namespace": "x"}});
            Action::Apply(PolicyObject::Other(object))
        };
        let actions = [apply("cilium.io/v2", "CiliumNetworkPolicy"), apply("tekton.dev/v1", "TaskRun")];
        let name = "TaskRun.tekton.dev".to_owned();
        assert_eq!(unlisted_kind(actions.iter(), &[]), Some(name.clone()));
        assert_eq!(unlisted_kind(actions.iter(), &[name]), None);
        assert_eq!(unlisted_kind(actions[..1].iter(), &[]), None);
        let role = apply("rbac.authorization.k8s.io/v1", "RoleBinding");
        assert_eq!(
            unlisted_kind([role].iter(), &[]).as_deref(),
            Some("RoleBinding.rbac.authorization.k8s.io")
        );
    }

    #[test]
    fn the_external_host_listens_on_whatever_any_scenario_wants() {
        let host = |serve| Topology {
            endpoints: [(EndpointName::External(1), ExtraEndpoint { serve })].into(),
            ..Topology::default()
        };
        let tcp = PortProtocol { port: 80, protocol: Protocol::Tcp };
        let plain = host(Serve { ports: [tcp].into(), ..Serve::default() });
        let http = host(Serve { http: [8080].into(), ..Serve::default() });
        let all = external_serve([&plain, &http]);
        assert_eq!((all.ports, all.http), ([tcp].into(), [8080].into()));
    }
}
