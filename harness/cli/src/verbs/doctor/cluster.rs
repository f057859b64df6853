//! What a real cluster has and lacks, read without changing anything; then the trial.

use std::collections::BTreeSet;

use verdikt_cluster::{Cluster, ClusterError, DnsFacts, Networking, Node, NodeState, PolicyKind, Target};
use verdikt_model::Family;
use verdikt_runner::Stop;

use super::{
    check::{Check, Status},
    rights,
    trial::trial,
};
use crate::{args::Doctor, pods::deploy_options, ui::Ui};

/// Looks at everything; what was found so far when it is stopped.
pub(super) async fn cluster(named: &Target, args: &Doctor, ui: &Ui, stop: &Stop) -> Vec<Check> {
    let looked = tokio::select! {
        looked = look(named, args) => looked,
        () = stop.stopped() => return Vec::new(),
    };
    let (cluster, nodes, mut checks) = match looked {
        Ok(looked) => looked,
        Err(check) => return vec![*check],
    };
    let failed = checks.iter().find(|check| check.status == Status::Failed);
    checks.extend(match failed {
        _ if args.no_pod => vec![Check::unknown("probe pod", "not tried (--no-pod)")],
        Some(failed) => {
            vec![Check::unknown("probe pod", format!("not tried, because {} failed", failed.name))]
        }
        None => trial(&cluster, args, &nodes, ui, stop).await,
    });
    checks
}

/// What can be read, or the one check that failed and hides all others.
async fn look(named: &Target, args: &Doctor) -> Result<(Cluster, Vec<Node>, Vec<Check>), Box<Check>> {
    let cluster = Cluster::connect(named)
        .await
        .map_err(|error| Box::new(Check::error("connection", Status::Failed, &error)))?;
    let user = cluster.user().await;
    let who = user.as_ref().map(|user| format!(", as {user}")).unwrap_or_default();
    let found = format!("Kubernetes {} at {}{who}", cluster.version(), cluster.url());
    let mut checks = vec![Check::ok("connection", found)];
    checks.extend(rights::rights(&cluster, &args.namespace_prefix, user.as_deref()).await);
    let options = deploy_options(&args.pods);
    let nodes = match tokio::try_join!(cluster.nodes_for(&options), cluster.node_states()) {
        Ok((nodes, states)) => {
            checks.push(nodes_check(&nodes, &states));
            nodes
        }
        Err(error) => {
            checks.push(Check::error("nodes", Status::Failed, &error));
            return Ok((cluster, Vec::new(), checks));
        }
    };
    let (families, dns, networking, kinds) =
        tokio::join!(cluster.families(&nodes), cluster.dns(), cluster.networking(), cluster.policy_kinds());
    checks.push(families_check(families));
    checks.push(dns_check(dns));
    checks.extend(networking_checks(networking));
    checks.push(kinds_check(kinds));
    Ok((cluster, nodes, checks))
}

fn nodes_check(nodes: &[Node], states: &[NodeState]) -> Check {
    let usable = nodes.iter().filter(|node| node.usable).count();
    let one_of_each = |of: fn(&NodeState) -> &str| {
        let all: BTreeSet<&str> = states.iter().map(of).filter(|text| !text.is_empty()).collect();
        all.into_iter().collect::<Vec<_>>().join(", ")
    };
    let found = format!(
        "{} ({usable} take pods), kernel {}, {}, kubelet {}",
        states.len(),
        one_of_each(|state| &state.kernel),
        one_of_each(|state| &state.runtime),
        one_of_each(|state| &state.kubelet)
    );
    let off = nodes.iter().filter(|node| !node.usable).map(|node| {
        let state = states.iter().find(|state| state.name == node.name);
        let why = state.and_then(|state| state.unusable.clone());
        format!("{} {}", node.name, why.unwrap_or_else(|| "is not chosen by --node-selector".to_owned()))
    });
    let check = match usable {
        0 => Check::failed("nodes", found)
            .mend("make a node ready, remove a taint that keeps pods off, or name it with --toleration"),
        1 => Check::missing("nodes", format!("{found}; scenarios that need two are skipped")),
        _ => Check::ok("nodes", found),
    };
    check.evidence(off)
}

fn families_check(families: Result<Vec<Family>, ClusterError>) -> Check {
    let families = match families {
        Ok(families) => families,
        Err(error) => return Check::error("IP families", Status::Unknown, &error),
    };
    let names: Vec<&str> = families.iter().map(|family| family.as_str()).collect();
    match names[..] {
        [] => Check::unknown("IP families", "neither nodes nor pods have addresses"),
        [one] => Check::ok("IP families", format!("{one} only; scenarios that need both are skipped")),
        _ => Check::ok("IP families", names.join(", ")),
    }
}

fn dns_check(dns: Result<Option<DnsFacts>, ClusterError>) -> Check {
    let facts = match dns {
        Ok(Some(facts)) => facts,
        Ok(None) => {
            return Check::missing("DNS", "no Service kube-system/kube-dns; cells of DNS are skipped".into());
        }
        Err(error) => return Check::error("DNS", Status::Unknown, &error),
    };
    let (all, ready) = (facts.pods.len(), facts.pods.iter().filter(|pod| pod.ready).count());
    let ips: Vec<String> = facts.cluster_ips.iter().map(ToString::to_string).collect();
    let found = format!("kube-system/kube-dns at {}, {ready} of {all} pods ready", ips.join(", "));
    if ready == 0 {
        let found = format!("{found}; scenarios with names or DNS cannot be measured");
        return Check::missing("DNS", found)
            .mend("kubectl -n kube-system describe pods shows what hinders them");
    }
    Check::ok("DNS", found)
}

fn networking_checks(networking: Result<Networking, ClusterError>) -> Vec<Check> {
    let networking = match networking {
        Ok(networking) => networking,
        Err(error) => return vec![Check::error("dataplane", Status::Unknown, &error)],
    };
    let plane = &networking.dataplane;
    let parts = [plane.name.as_str(), plane.version.as_str()].into_iter().filter(|part| !part.is_empty());
    let mut found = parts.collect::<Vec<_>>().join(" ");
    if !plane.mode.is_empty() {
        found.push_str(&format!(" ({})", plane.mode));
    }
    if !networking.others.is_empty() {
        found.push_str(&format!("; beside it {}", networking.others.join(", ")));
    }
    let check = match &networking.lax {
        _ if plane.name == "unknown" => Check::unknown("dataplane", found),
        Some(_) => Check::missing("dataplane", format!("{found}: nothing enforces NetworkPolicy here")),
        None => Check::ok("dataplane", found),
    };
    let proxy = networking.proxy;
    vec![
        check.evidence(networking.dataplane.evidence),
        if proxy.name.is_empty() {
            Check::unknown("Services", "neither kube-proxy nor what replaces it was found")
        } else {
            Check::ok("Services", proxy.name).evidence(proxy.evidence)
        },
    ]
}

/// Never fails: a cluster may well have none of them.
fn kinds_check(kinds: Result<Vec<(PolicyKind, Vec<String>)>, ClusterError>) -> Check {
    let kinds = match kinds {
        Ok(kinds) => kinds,
        Err(error) => return Check::error("policy kinds", Status::Unknown, &error),
    };
    let (there, absent): (Vec<_>, Vec<_>) = kinds.iter().partition(|(_, versions)| !versions.is_empty());
    let name = |kind: &PolicyKind| format!("{}.{}", kind.kind, kind.group);
    let found: Vec<String> =
        there.iter().map(|(kind, versions)| format!("{} ({})", name(kind), versions.join(", "))).collect();
    let found = if found.is_empty() { "NetworkPolicy only".to_owned() } else { found.join(", ") };
    let absent: Vec<String> = absent.iter().map(|(kind, _)| name(kind)).collect();
    let absent = (!absent.is_empty()).then(|| format!("not served: {}", absent.join(", ")));
    Check::ok("policy kinds", found).evidence(absent)
}
