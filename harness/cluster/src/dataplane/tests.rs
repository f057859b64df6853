//! Clusters as they are met, reduced to what tells them apart.

use k8s_openapi::api::apps::v1::DaemonSet;
use serde_json::{Value, json};

use super::*;
use crate::dataplane::seen::{Marks, PodMarks, Workload};

/// (name, image, arguments, environment)
type Container<'a> = (&'a str, &'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

/// A DaemonSet with these containers.
fn set(place: &str, containers: &[Container<'_>]) -> DaemonSet {
    let (namespace, name) = place.split_once('/').unwrap();
    let containers: Vec<Value> = containers
        .iter()
        .map(|(name, image, args, env)| {
            let env: Vec<Value> =
                env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
            json!({"name": name, "image": image, "args": args, "env": env})
        })
        .collect();
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {}, "template": {"spec": {"containers": containers}}},
        "status": {"currentNumberScheduled": 2, "desiredNumberScheduled": 2, "numberMisscheduled": 0, "numberReady": 2},
    }))
    .unwrap()
}

fn seen(sets: &[DaemonSet]) -> Seen {
    Seen { containers: Some(sets.iter().flat_map(Workload::of).collect()), ..Seen::default() }
}

fn node(metadata: Value, kubelet: &str, reason: &str) -> Marks {
    let node: ApiNode = serde_json::from_value(json!({
        "metadata": metadata,
        "status": {
            "conditions": [{"type": "NetworkUnavailable", "status": "False", "reason": reason}],
            "nodeInfo": {"kubeletVersion": kubelet, "architecture": "", "bootID": "", "containerRuntimeVersion": "",
                "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "", "osImage": "",
                "systemUUID": ""},
        },
    }))
    .unwrap();
    Marks::from(&node)
}

/// `name version (mode)`, and the others.
fn named(seen: &Seen) -> (String, Vec<String>) {
    let judged = judge(seen);
    let plane = &judged.dataplane;
    assert!(!plane.evidence.is_empty(), "an answer without evidence: {plane:?}");
    (format!("{} {} ({})", plane.name, plane.version, plane.mode), judged.others)
}

#[test]
fn calico_tells_its_mode_by_environment_or_felix_configuration() {
    let calico = |env: &[(&str, &str)], felix: Option<Value>| {
        let mut seen = seen(&[set(
            "calico-system/calico-node",
            &[("calico-node", "quay.io/calico/node:v3.31.7", &[], env)],
        )]);
        seen.settings.felix = felix;
        named(&seen).0
    };
    assert_eq!(calico(&[("FELIX_BPFENABLED", "true")], None), "calico v3.31.7 (ebpf)");
    assert_eq!(calico(&[], Some(json!({"bpfEnabled": true}))), "calico v3.31.7 (ebpf)");
    assert_eq!(calico(&[], Some(json!({"nftablesMode": "Enabled"}))), "calico v3.31.7 (nftables)");
    assert_eq!(calico(&[], Some(Value::Null)), "calico v3.31.7 (iptables)");
    // Not read: not guessed.
    assert_eq!(calico(&[], None), "calico v3.31.7 ()");
}

#[test]
fn canal_is_calico_on_flannel() {
    let seen = seen(&[set(
        "kube-system/rke2-canal",
        &[
            ("calico-node", "rancher/hardened-calico:v3.30.2", &[], &[]),
            ("kube-flannel", "rancher/hardened-flannel:v0.27.1", &[], &[]),
        ],
    )]);
    assert_eq!(named(&seen).0, "calico v3.30.2 ()");
    let seen = self::seen(&[set(
        "kube-system/canal",
        &[
            ("calico-node", "docker.io/calico/node:v3.30.2", &[], &[]),
            ("kube-flannel", "docker.io/flannel/flannel:v0.27.1", &[], &[]),
        ],
    )]);
    assert_eq!(
        named(&seen),
        ("calico v3.30.2 ()".into(), vec!["flannel v0.27.1 (it has no policy engine)".into()])
    );
}

#[test]
fn cilium_with_its_config_map() {
    let mut seen = seen(&[
        set("kube-system/cilium-envoy", &[("e", "quay.io/cilium/cilium-envoy:v1.34", &[], &[])]),
        set("kube-system/cilium", &[("cilium-agent", "quay.io/cilium/cilium:v1.18.2@sha256:1", &[], &[])]),
    ]);
    let map = [("routing-mode", "tunnel"), ("tunnel-protocol", "geneve"), ("kube-proxy-replacement", "true")];
    seen.settings.maps =
        [("cilium-config".to_owned(), map.map(|(k, v)| (k.to_owned(), v.to_owned())).into())].into();
    assert_eq!(named(&seen).0, "cilium v1.18.2 (ebpf, geneve, in place of kube-proxy)");
    assert_eq!(judge(&seen).proxy.name, "cilium");
    seen.settings.maps.get_mut("cilium-config").unwrap().insert("enable-policy".into(), "never".into());
    assert_eq!(judge(&seen).lax.as_deref(), Some("enable-policy is never"));

    let gke = self::seen(&[set(
        "kube-system/anetd",
        &[("cilium-agent", "gke.gcr.io/cilium/cilium:v1.15-gke.1", &[], &[])],
    )]);
    assert_eq!(named(&gke).0, "cilium v1.15-gke.1 (ebpf, GKE Dataplane V2)");
}

#[test]
fn aws_enforces_only_with_its_agent() {
    let aws = |args: &[&str]| {
        set(
            "kube-system/aws-node",
            &[
                (
                    "aws-node",
                    "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon-k8s-cni:v1.20.1",
                    &[],
                    &[("NETWORK_POLICY_ENFORCING_MODE", "standard")],
                ),
                (
                    "aws-eks-nodeagent",
                    "602401143452.dkr.ecr.eu-west-1.amazonaws.com/amazon/aws-network-policy-agent:v1.2.4",
                    args,
                    &[],
                ),
            ],
        )
    };
    assert_eq!(named(&seen(&[aws(&["--enable-network-policy=true"])])).0, "aws v1.2.4 (ebpf, standard)");
    assert_eq!(named(&seen(&[aws(&["--enable-network-policy=false"])])).0, "aws v1.2.4 (policies ignored)");
    // Chained: Calico's policies on AWS's network.
    let calico =
        set("calico-system/calico-node", &[("calico-node", "quay.io/calico/node:v3.30.0", &[], &[])]);
    let (name, others) = named(&seen(&[aws(&[]), calico]));
    assert_eq!(name, "calico v3.30.0 ()");
    assert!(others[0].starts_with("aws v1.2.4"), "{others:?}");
}

#[test]
fn what_ignores_policies_gives_way_to_what_enforces_them() {
    let flannel = set(
        "kube-flannel/kube-flannel-ds",
        &[("kube-flannel", "ghcr.io/flannel-io/flannel:v0.27.0", &[], &[])],
    );
    let mut alone = seen(std::slice::from_ref(&flannel));
    alone.nodes = vec![node(
        json!({"name": "a", "annotations": {"flannel.alpha.coreos.com/backend-type": "vxlan"}}),
        "v1.33.0",
        "",
    )];
    assert_eq!(named(&alone).0, "flannel v0.27.0 (vxlan, policies ignored)");
    let engine = set(
        "kube-system/kube-network-policies",
        &[("k", "registry.k8s.io/networking/kube-network-policies:v1.1.1", &[], &[])],
    );
    assert_eq!(named(&seen(&[flannel, engine])).0, "kube-network-policies v1.1.1 (nfqueue)");
    let router = set(
        "kube-system/kube-router",
        &[("kube-router", "docker.io/cloudnativelabs/kube-router:v2.6.0", &["--run-firewall=false"], &[])],
    );
    let weave = set(
        "kube-system/weave-net",
        &[
            ("weave", "weaveworks/weave-kube:2.8.1", &[], &[]),
            ("weave-npc", "weaveworks/weave-npc:2.8.1", &[], &[]),
        ],
    );
    assert_eq!(named(&seen(&[router, weave])).0, "weave 2.8.1 (iptables)");
}

#[test]
fn kindnet_by_its_version() {
    let of = |tag: &str| {
        named(&seen(&[set(
            "kube-system/kindnet",
            &[("k", &format!("docker.io/kindest/kindnetd:{tag}"), &[], &[])],
        )]))
        .0
    };
    assert_eq!(of("v20240202-8f1494ea"), "kindnet v20240202-8f1494ea (policies ignored)");
    assert_eq!(of("v20240813-c6f155d6"), "kindnet v20240813-c6f155d6 (nfqueue)");
    assert_eq!(of("v1.2.0"), "kindnet v1.2.0 (policies ignored)");
    assert_eq!(of("v1.8.0"), "kindnet v1.8.0 (nfqueue)");
}

#[test]
fn the_rest_of_the_table() {
    for (place, image, expected) in [
        ("kube-system/antrea-agent", "antrea/antrea-agent-ubuntu:v2.4.0", "antrea v2.4.0 (ovs)"),
        ("openshift-ovn-kubernetes/ovnkube-node", "quay.io/openshift@sha256:1", "ovn-kubernetes  (ovn)"),
        (
            "kube-system/azure-npm",
            "mcr.microsoft.com/containernetworking/azure-npm:v1.5.45",
            "azure-npm v1.5.45 (iptables)",
        ),
        (
            "kube-system/azure-cns",
            "mcr.microsoft.com/containernetworking/azure-cns:v1.6.5",
            "azure-cni v1.6.5 (policies ignored)",
        ),
        (
            "kube-system/kube-router",
            "docker.io/cloudnativelabs/kube-router:v2.6.0",
            "kube-router v2.6.0 (iptables)",
        ),
        (
            "kube-system/renamed",
            "registry.local/cloudnativelabs/kube-router:v2.6.0",
            "kube-router v2.6.0 (iptables)",
        ),
    ] {
        assert_eq!(named(&seen(&[set(place, &[("c", image, &[], &[])])])).0, expected);
    }
}

#[test]
fn without_a_daemon_set_kubelets_and_pods_speak() {
    let mut k3s = Seen { nodes: vec![node(json!({"name": "a"}), "v1.33.1+k3s1", "")], ..Seen::default() };
    assert_eq!(named(&k3s).0, "kube-router  (iptables, in k3s)");
    k3s.nodes[0].all.insert("k3s.io/node-args".into(), r#"["server","--disable-network-policy"]"#.into());
    assert_eq!(named(&k3s).0, "kube-router  (policies ignored)");

    let mut calico = Seen { containers: Some(Vec::new()), ..Seen::default() };
    calico.settings.calico_version = Some("v3.31.7".into());
    calico.settings.felix = Some(json!({"nftablesMode": "Enabled"}));
    calico.pods = vec![pod("coredns-1", json!({"cni.projectcalico.org/podIP": "10.0.0.1/32"}))];
    assert_eq!(named(&calico).0, "calico v3.31.7 (nftables)");
    let mut cilium = Seen { containers: Some(Vec::new()), ..Seen::default() };
    cilium.pods = vec![pod("coredns-1", json!({}))];
    cilium.settings.cilium_endpoints = ["coredns-0".to_owned()].into();
    assert_eq!(named(&cilium).0, "unknown  ()");
    cilium.settings.cilium_endpoints = ["coredns-1".to_owned()].into();
    assert_eq!(named(&cilium).0, "cilium  (ebpf)");
}

fn pod(name: &str, annotations: Value) -> PodMarks {
    marks(json!({"name": name, "annotations": annotations}), "Running", "True").unwrap()
}

fn marks(metadata: Value, phase: &str, ready: &str) -> Option<PodMarks> {
    let pod = json!({"metadata": metadata, "spec": {"containers": []},
        "status": {"phase": phase, "conditions": [{"type": "Ready", "status": ready}]}});
    PodMarks::of(serde_json::from_value(pod).unwrap())
}

#[test]
fn only_pods_that_live_tell_who_connects_pods() {
    let metadata =
        || json!({"name": "coredns-1", "annotations": {"cni.projectcalico.org/podIP": "10.0.0.1/32"}});
    let of = |pod: Option<PodMarks>| {
        named(&Seen { containers: Some(Vec::new()), pods: pod.into_iter().collect(), ..Seen::default() }).0
    };
    assert_eq!(of(marks(metadata(), "Running", "True")), "calico  ()");
    let mut ending = metadata();
    ending["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(of(marks(ending, "Running", "True")), "unknown  ()");
    assert_eq!(of(marks(metadata(), "Running", "False")), "unknown  ()");
    assert_eq!(of(marks(metadata(), "Failed", "False")), "unknown  ()");
}

#[test]
fn a_pod_outlives_the_dataplane_that_has_connected_it() {
    let router = set(
        "kube-system/kube-router",
        &[("kube-router", "docker.io/cloudnativelabs/kube-router:v2.6.0", &[], &[])],
    );
    let flannel = set(
        "kube-flannel/kube-flannel-ds",
        &[("kube-flannel", "ghcr.io/flannel-io/flannel:v0.27.0", &[], &[])],
    );
    let of = |sets: &[DaemonSet]| {
        let mut seen = seen(sets);
        seen.pods = vec![pod("coredns-1", json!({"cni.projectcalico.org/podIP": "10.0.0.1/32"}))];
        seen
    };
    let switched = of(&[router]);
    assert_eq!(named(&switched), ("kube-router v2.6.0 (iptables)".into(), vec![]));
    let evidence = judge(&switched).dataplane.evidence;
    assert!(
        evidence.iter().any(|e| e.contains("traces of calico") && e.contains("coredns-1")),
        "{evidence:?}"
    );
    // A network without policies does not speak against an engine that shows nothing else.
    assert_eq!(named(&of(&[flannel])).0, "calico  ()");
}

#[test]
fn traces_of_what_has_gone_name_nothing() {
    let marked = || {
        vec![node(
            json!({"name": "a", "annotations": {"projectcalico.org/IPv4Address": "10.0.0.1/24"}}),
            "v1.33.0",
            "",
        )]
    };
    let mut left = seen(&[]);
    left.nodes = marked();
    left.groups = ["crd.projectcalico.org".to_owned()].into();
    left.settings.calico_version = Some("v3.31.7".into());
    assert_eq!(named(&left).0, "unknown  ()");
    assert!(judge(&left).dataplane.evidence.iter().any(|e| e.contains("traces of calico")), "{left:?}");
    // Nor do they outweigh what runs.
    let mut migrated =
        seen(&[set("kube-system/cilium", &[("cilium-agent", "quay.io/cilium/cilium:v1.18.2", &[], &[])])]);
    migrated.nodes = marked();
    assert_eq!(named(&migrated), ("cilium v1.18.2 (ebpf)".into(), vec![]));
    // Where DaemonSets may not be read they are all there is.
    left.containers = None;
    assert_eq!(named(&left).0, "calico v3.31.7 ()");
    left.nodes.push(node(json!({"name": "b"}), "v1.33.0", "CiliumIsUp"));
    assert_eq!(named(&left).0, "unknown  ()");
}

#[test]
fn an_idle_daemon_set_is_a_trace_only() {
    let mut aws = set("kube-system/aws-node", &[("aws-node", "amazon-k8s-cni:v1", &[], &[])]);
    aws.status.as_mut().unwrap().desired_number_scheduled = 0;
    let judged = judge(&seen(&[aws]));
    assert_eq!(judged.dataplane.name, "unknown");
    assert!(judged.dataplane.evidence.iter().any(|e| e.contains("runs on no node")), "{judged:?}");
}

#[test]
fn a_daemon_set_that_is_not_ready_anywhere_or_goes_is_a_trace_only() {
    let cilium = || set("kube-system/cilium", &[("cilium-agent", "quay.io/cilium/cilium:v1.18.2", &[], &[])]);
    let router = || {
        set(
            "kube-system/kube-router",
            &[("kube-router", "docker.io/cloudnativelabs/kube-router:v2.6.0", &[], &[])],
        )
    };
    let mut broken = cilium();
    broken.status.as_mut().unwrap().number_ready = 0;
    let mut going: DaemonSet = cilium();
    going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    for (off, why) in [(broken, "has no pod that is ready"), (going, "is being deleted")] {
        assert_eq!(named(&seen(&[off.clone(), router()])).0, "kube-router v2.6.0 (iptables)");
        let judged = judge(&seen(&[off]));
        assert_eq!(judged.dataplane.name, "unknown");
        assert!(judged.dataplane.evidence.iter().any(|e| e.contains(why)), "{judged:?}");
    }
}

#[test]
fn the_mode_of_kube_proxy() {
    let proxy = |args: &[&str], conf: Option<&str>| {
        let mut seen = seen(&[set(
            "kube-system/kube-proxy",
            &[("kube-proxy", "registry.k8s.io/kube-proxy:v1.33.0", args, &[])],
        )]);
        if let Some(conf) = conf {
            seen.settings.maps =
                [("kube-proxy".to_owned(), [("config.conf".to_owned(), conf.to_owned())].into())].into();
        }
        judge(&seen).proxy.name
    };
    assert_eq!(proxy(&[], None), "kube-proxy");
    assert_eq!(proxy(&["--proxy-mode=ipvs"], None), "kube-proxy ipvs");
    assert_eq!(proxy(&[], Some("kind: KubeProxyConfiguration\nmode: \"\"\n")), "kube-proxy iptables");
    assert_eq!(proxy(&[], Some("mode: nftables\n")), "kube-proxy nftables");
    assert_eq!(judge(&Seen::default()).proxy, Proxy::default());
}

#[test]
fn the_sandbox_says_its_base_and_what_was_added() {
    let networking = |metadata: Value| {
        let node: ApiNode = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        sandbox(&[node])
    };
    assert_eq!(networking(json!({"name": "n"})), None);
    let plain = networking(json!({"name": "n", "labels": {SANDBOX_PROFILE_LABEL: "reference"}})).unwrap();
    assert_eq!((&*plain.dataplane.name, &*plain.dataplane.mode), ("reference", "nftables"));
    let metadata = |traits: &str| {
        json!({"name": "n", "labels": {SANDBOX_PROFILE_LABEL: "reference"},
            "annotations": {SANDBOX_TRAITS_ANNOTATION: traits}})
    };
    let late = networking(metadata("policy-delay=200ms+rejects")).unwrap();
    assert_eq!(late.dataplane.mode, "nftables, policy-delay=200ms, rejects");
    assert!(late.dataplane.evidence[1].contains("sandbox.verdikt.dev/traits=policy-delay=200ms+rejects"));
    assert!(late.dataplane.emulated && late.lax.is_none());
    let idle = networking(metadata("enforces-nothing")).unwrap();
    assert_eq!(idle.dataplane.mode, "nftables, enforces-nothing, policies ignored");
    assert!(idle.lax.is_some());
    let cilium = networking(json!({"name": "n", "labels": {SANDBOX_PROFILE_LABEL: "cilium"}})).unwrap();
    assert_eq!((&*cilium.dataplane.name, &*cilium.dataplane.version), ("cilium", ""));
}
