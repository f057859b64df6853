//! The dataplanes that are known, and by what: a table, in the order in which they are believed to enforce policies
//! where several are there.

/// One dataplane and its traces in a cluster.
#[derive(Debug)]
pub(super) struct Known {
    /// Its name in records.
    pub(super) name: &'static str,
    /// Names of its DaemonSets.
    pub(super) sets: &'static [&'static str],
    /// Ends of the names of its images, without registry and tag, for DaemonSets of other names.
    pub(super) images: &'static [&'static str],
    /// Annotation that it sets on the pods that it connects.
    pub(super) pod_mark: &'static str,
    /// Part of the kubelet's version where it is built into a distribution.
    pub(super) kubelet: &'static str,
    /// Beginnings of annotations and labels that it sets on nodes. They stay when it goes.
    pub(super) marks: &'static [&'static str],
    /// Reason with which it says in a node's conditions that the network is up. It may stay, too.
    pub(super) reason: &'static str,
    /// API groups of its custom resources, which stay as well.
    pub(super) groups: &'static [&'static str],
}

const NONE: Known = Known {
    name: "",
    sets: &[],
    images: &[],
    pod_mark: "",
    kubelet: "",
    marks: &[],
    reason: "",
    groups: &[],
};

/// Engines that can be chained onto others stand before those.
pub(super) static KNOWN: [Known; 15] = [
    Known {
        name: "calico",
        // GKE and MicroK8s have calico-node in kube-system, the operator in calico-system. Canal is Calico's policies
        // on flannel's network.
        sets: &["calico-node", "canal", "rke2-canal"],
        images: &["calico/node", "mirrored-calico-node"],
        pod_mark: "cni.projectcalico.org/podIP",
        marks: &["projectcalico.org/"],
        reason: "CalicoIsUp",
        groups: &["crd.projectcalico.org"],
        ..NONE
    },
    Known {
        name: "cilium",
        // anetd is GKE's Dataplane V2.
        sets: &["cilium", "anetd"],
        images: &["cilium/cilium", "cilium/cilium-distroless", "mirrored-cilium-cilium"],
        marks: &["network.cilium.io/", "io.cilium.", "kubernetes.azure.com/ebpf-dataplane"],
        reason: "CiliumIsUp",
        groups: &["cilium.io"],
        ..NONE
    },
    Known {
        name: "antrea",
        sets: &["antrea-agent"],
        images: &["antrea/antrea-agent-ubuntu", "antrea/antrea-ubuntu"],
        marks: &["node.antrea.io/"],
        groups: &["crd.antrea.io", "controlplane.antrea.io"],
        ..NONE
    },
    Known {
        name: "ovn-kubernetes",
        sets: &["ovnkube-node", "ovnkube-node-dpu-host"],
        pod_mark: "k8s.ovn.org/pod-networks",
        marks: &["k8s.ovn.org/"],
        groups: &["k8s.ovn.org"],
        ..NONE
    },
    Known {
        name: "kube-router",
        sets: &["kube-router"],
        images: &["cloudnativelabs/kube-router"],
        marks: &["kube-router.io/"],
        // k3s has its policy controller built in.
        kubelet: "+k3s",
        ..NONE
    },
    Known {
        name: "kube-ovn",
        sets: &["kube-ovn-cni"],
        pod_mark: "ovn.kubernetes.io/ip_address",
        marks: &["ovn.kubernetes.io/"],
        groups: &["kubeovn.io"],
        ..NONE
    },
    Known { name: "azure-npm", sets: &["azure-npm"], images: &["azure-npm"], ..NONE },
    Known {
        name: "kube-network-policies",
        sets: &["kube-network-policies"],
        images: &["kube-network-policies"],
        ..NONE
    },
    Known {
        name: "weave",
        sets: &["weave-net"],
        images: &["weaveworks/weave-npc"],
        reason: "WeaveIsUp",
        ..NONE
    },
    Known {
        name: "aws",
        sets: &["aws-node"],
        images: &["amazon-k8s-cni", "aws-network-policy-agent"],
        marks: &["vpc.amazonaws.com/"],
        groups: &["networking.k8s.aws"],
        ..NONE
    },
    Known { name: "openshift-sdn", sets: &["sdn"], images: &["openshift/sdn"], ..NONE },
    Known {
        name: "kindnet",
        sets: &["kindnet"],
        images: &["kindest/kindnetd", "aojea/kindnetd", "kindnet/kindnetd"],
        ..NONE
    },
    // Below are networks without policies.
    Known {
        name: "flannel",
        sets: &["kube-flannel-ds", "kube-flannel"],
        images: &["flannel/flannel", "coreos/flannel", "mirrored-flannel-flannel"],
        marks: &["flannel.alpha.coreos.com/"],
        reason: "FlannelIsUp",
        ..NONE
    },
    Known { name: "azure-cni", sets: &["azure-cns", "azure-cni-networkmonitor"], ..NONE },
    Known { name: "gke-netd", sets: &["netd"], ..NONE },
];

/// Names of everything that is looked for, for an answer that says `unknown`.
pub(super) fn looked_for() -> String {
    KNOWN.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
}
