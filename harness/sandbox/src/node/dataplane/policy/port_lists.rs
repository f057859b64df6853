//! Names of ports as lists of pods, one for each number that a name has, where a trait mixes the lists up. They are kept as
//! kube-router keeps them, whose faults these traits are:
//! <https://github.com/cloudnativelabs/kube-router/blob/v2.11.1/pkg/controllers/netpol/policy.go>.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::{
    api::networking::v1::{NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::util::intstr::IntOrString,
};

use super::{
    Resolved, Resolver,
    ports::{Ports, named_port, numbers, protocol},
    ranges,
};

/// Indices of pods.
type Pods = BTreeSet<usize>;

/// What the names of one rule's ports open: numbers, and on which pods.
#[derive(Debug, Default)]
pub(super) struct Lists(Vec<(Ports, Pods)>);

/// A rule's peers and ports.
pub(super) struct Resolution<'r> {
    pub(super) from: &'r [NetworkPolicyPeer],
    pub(super) peers: Resolved,
    pub(super) ports: &'r [NetworkPolicyPort],
    /// What its names open, where a trait mixes that up.
    pub(super) lists: Option<Lists>,
}

impl Lists {
    pub(super) fn all(&self) -> &[(Ports, Pods)] {
        &self.0
    }

    /// What a rule for ingress opens on a pod.
    pub(super) fn on(
        &self,
        pod: usize,
        ports: &[NetworkPolicyPort],
    ) -> Result<Option<BTreeSet<Ports>>, String> {
        if ports.is_empty() {
            return Ok(None);
        }
        let plain = ports.iter().filter(|port| !matches!(port.port, Some(IntOrString::String(_))));
        let mut all = plain
            .map(|port| numbers(port, protocol(port)?.1))
            .collect::<Result<BTreeSet<Ports>, String>>()?;
        all.extend(self.0.iter().filter(|(_, pods)| pods.contains(&pod)).map(|(ports, _)| *ports));
        Ok(Some(all))
    }
}

impl Resolver<'_> {
    /// The rules of a policy for one direction. `own`: the pods on which the names of ports are looked up; those of the
    /// rule's peers where there are none.
    pub(super) fn resolutions<'r>(
        &self,
        rules: impl Iterator<Item = (&'r Option<Vec<NetworkPolicyPeer>>, &'r Option<Vec<NetworkPolicyPort>>)>,
        namespace: &str,
        own: Option<&[usize]>,
    ) -> Result<Vec<Resolution<'r>>, String> {
        let traits = &self.state.traits;
        let mixed = traits.shares_port_addresses || traits.joins_names || !traits.mixes_port_names.is_zero();
        let mut all = vec![];
        for (from, ports) in rules {
            let from = from.as_deref().unwrap_or_default();
            let mut ports = ports.as_deref().unwrap_or_default();
            let peers = self.peers(from, namespace)?;
            let mut lists = None;
            if mixed || traits.undefined_port_name_opens_all {
                let pods = own.map_or_else(|| self.pods_of(&peers), <[usize]>::to_vec);
                if traits.undefined_port_name_opens_all
                    && !from.is_empty()
                    && self.are_undefined(ports, &pods)?
                {
                    ports = &[];
                }
                lists = mixed.then(|| self.lists(ports, &pods)).transpose()?;
            }
            all.push(Resolution { from, peers, ports, lists });
        }
        if traits.joins_names {
            join(&mut all);
        }
        Ok(all)
    }

    fn pods_of(&self, peers: &Resolved) -> Vec<usize> {
        let meant = |index: &usize| match &peers.pods {
            None => true,
            Some(pods) => {
                let inside = |ip: &std::net::IpAddr| ranges::contains(&peers.ranges, *ip);
                pods.contains(index) || self.state.pods[*index].ips.iter().any(inside)
            }
        };
        self.own_networks().map(|(index, _)| index).filter(meant).collect()
    }

    /// Whether all of these ports are names, and none of the pods has any of them.
    fn are_undefined(&self, ports: &[NetworkPolicyPort], pods: &[usize]) -> Result<bool, String> {
        for port in ports {
            let Some(IntOrString::String(name)) = &port.port else { return Ok(false) };
            let protocol = protocol(port)?.0;
            if pods.iter().any(|index| named_port(&self.state.pods[*index], name, protocol).is_some()) {
                return Ok(false);
            }
        }
        Ok(!ports.is_empty())
    }

    fn lists(&self, ports: &[NetworkPolicyPort], pods: &[usize]) -> Result<Lists, String> {
        let traits = &self.state.traits;
        let mut lists: Vec<Pods> = vec![];
        let mut by_port: BTreeMap<(&str, &str, u16), usize> = BTreeMap::new();
        for index in pods {
            let mut own = None;
            for (name, protocol, number) in &self.state.pods[*index].ports {
                let list = by_port.entry((name, protocol, *number)).or_insert_with(|| {
                    let next = lists.len();
                    let list = if traits.shares_port_addresses { *own.get_or_insert(next) } else { next };
                    if list == next {
                        lists.push(Pods::new());
                    }
                    list
                });
                lists[*list].insert(*index);
            }
        }
        let mut found = vec![];
        for port in ports {
            let (name_of_protocol, protocol) = protocol(port)?;
            let Some(IntOrString::String(wanted)) = &port.port else { continue };
            for ((name, of, number), list) in &by_port {
                if name == wanted && *of == name_of_protocol {
                    found.push((Ports { protocol, low: *number, high: *number }, lists[*list].clone()));
                }
            }
        }
        if !traits.mixes_port_names.is_zero()
            && let Some((first, rest)) = found.split_first_mut()
        {
            // Each number gets the pods of the next one.
            let mut last = &mut first.1;
            for (_, pods) in rest {
                std::mem::swap(last, pods);
                last = pods;
            }
        }
        Ok(Lists(found))
    }
}

/// Makes one list of those whose numbers of rule and port are alike once joined: the last one's.
fn join(rules: &mut [Resolution<'_>]) {
    let mut last: HashMap<String, Pods> = HashMap::new();
    for again in [false, true] {
        for (rule, resolution) in rules.iter_mut().enumerate() {
            for (port, (_, pods)) in
                resolution.lists.iter_mut().flat_map(|lists| lists.0.iter_mut().enumerate())
            {
                let key = format!("{rule}{port}");
                if again {
                    pods.clone_from(&last[&key]);
                } else {
                    last.insert(key, pods.clone());
                }
            }
        }
    }
}
