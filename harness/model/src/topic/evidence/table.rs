//! The table. Links into sources name the commit that was read.

use super::Evidence;
use crate::topic::Topic;

/// Rows by dataplane and mode.
macro_rules! evidence {
    ($($dataplane:literal $mode:literal { $($topic:ident $does:literal $link:literal;)+ })+) => {
        /// All that is known.
        pub const EVIDENCE: &[Evidence] = &[$($(Evidence {
            dataplane: $dataplane,
            mode: $mode,
            topic: Topic::$topic,
            does: $does,
            link: concat!("https://", $link),
        },)+)+];
    };
}

evidence! {
    "calico" "" {
        IpBlockPods "matches pods by CIDR"
            "github.com/projectcalico/calico/issues/6634";
        IpBlockNodes "matches nodes by CIDR; from another node that may be a tunnel's address"
            "github.com/rancher/rke2/issues/1227";
        ServiceAddresses "judges the backend behind a Service, but another node's port as that node"
            "github.com/projectcalico/calico/issues/9869";
        OwnService "judges a pod's connection to itself through its Service by its policies"
            "github.com/projectcalico/calico/blob/87c15906f2/e2e/pkg/tests/networking/workload_egress.go";
        NodePorts "sees a node instead of the client where a node port leads to another node, and of a pod always"
            "github.com/projectcalico/calico/blob/87c15906f2/e2e/pkg/tests/networking/workload_ingress.go";
        ToOwnNode "applies egress policies, then what its setting DefaultEndpointToHostAction says"
            "github.com/projectcalico/calico/blob/87c15906f2/felix/docs/config-params.md";
        FromOwnNode "lets a node reach its own pods"
            "github.com/projectcalico/calico/blob/87c15906f2/e2e/pkg/tests/networking/workload_ingress.go";
        HostNetwork "finds no hostNetwork pod by selectors"
            "github.com/projectcalico/calico/issues/4493";
        NamedPorts "looks a port's name up on each pod; since pull request 8885 of 2024 also those of sidecars"
            "github.com/projectcalico/calico/pull/8885";
        Established "leaves connections that exist alone"
            "github.com/tigera/docs/blob/f2a2762432/calico/network-policy/get-started/calico-policy/calico-network-policy.mdx";
        StartUp "lets nothing pass for a new pod before its policies are in place"
            "github.com/tigera/docs/blob/f2a2762432/calico/reference/host-endpoints/overview.mdx";
        DenialSignal "drops what is denied, unless told to reject it"
            "github.com/projectcalico/calico/blob/87c15906f2/felix/docs/config-params.md";
    }
    "calico" "ebpf" {
        OwnService "lets a pod reach itself through its Service past all policies"
            "github.com/projectcalico/calico/blob/87c15906f2/e2e/pkg/tests/networking/workload_egress.go";
        NodePorts "keeps the client's address through node ports"
            "github.com/projectcalico/calico/blob/87c15906f2/e2e/pkg/tests/networking/workload_ingress.go";
        ServiceAddresses "judges the backend behind a Service, and behind every node's port"
            "github.com/projectcalico/calico/issues/9869";
        Sctp "does not support SCTP in policies"
            "github.com/tigera/docs/blob/f2a2762432/calico/operations/ebpf/enabling-ebpf.mdx";
    }
    "cilium" "" {
        IpBlockPods "never matches pods by CIDR"
            "github.com/cilium/cilium/issues/9209";
        IpBlockNodes "matches no nodes by CIDR, unless policy-cidr-match-mode says so"
            "github.com/cilium/cilium/issues/20550";
        ServiceAddresses "judges the backend behind a Service"
            "github.com/cilium/cilium/issues/1299";
        OwnService "lets a pod reach itself through its Service past all policies"
            "github.com/cilium/cilium/pull/15321";
        NodePorts "sees the outside or a remote node, depending on routing"
            "docs.cilium.io/en/stable/security/policy/caveats/";
        ToOwnNode "blocks it, unless the entity host is allowed"
            "github.com/cilium/cilium/issues/13081";
        HostNetwork "finds no hostNetwork pod by selectors"
            "github.com/cilium/cilium/issues/10405";
        Icmp "blocks echo under any policy for ports"
            "github.com/cilium/cilium/issues/2571";
        NamedPorts "passes over a port's name in an egress rule that has several numbers (mended by pull request 45760), and does not know those of sidecars"
            "github.com/cilium/cilium/pull/12567";
        EgressPortNames "passes over a port's name in an egress rule that has several numbers (mended by pull request 45760)"
            "github.com/cilium/cilium/issues/30003";
        EndPort "supports ranges of ports since 1.17"
            "github.com/MicrosoftDocs/azure-aks-docs/blob/fb060abe6a/articles/aks/migrate-from-npm-to-cilium-network-policy.md";
        Sctp "supports SCTP only with sctp.enabled, which is off by default"
            "docs.cilium.io/en/stable/configuration/sctp/";
        Established "judges every packet, and so cuts connections at once"
            "github.com/cilium/cilium/issues/3605";
        StartUp "drops what a new pod sends until its identity is known"
            "github.com/cilium/cilium/issues/3855";
        DenialSignal "drops what is denied; can be told to answer with ICMP since 1.19"
            "github.com/cilium/cilium/pull/41406";
    }
    "antrea" "" {
        OwnService "lets a pod reach itself through its Service whatever ingress rules say, with AntreaProxy"
            "github.com/antrea-io/antrea/blob/fc70f2bb70/docs/antrea-network-policy.md";
        NodePorts "sees a node instead of the client, unless DSR or externalTrafficPolicy Local keeps it"
            "github.com/antrea-io/antrea/blob/fc70f2bb70/docs/antrea-proxy.md";
        NamedPorts "looks a port's name up on each pod, but does not know those of sidecars; an unknown one opens nothing"
            "github.com/antrea-io/antrea/blob/fc70f2bb70/pkg/controller/networkpolicy/networkpolicy_controller.go";
        EgressPortNames "looks a port's name up on the destination pods"
            "github.com/antrea-io/antrea/issues/343";
        Established "leaves connections that exist alone"
            "github.com/antrea-io/antrea/blob/fc70f2bb70/docs/antrea-network-policy.md";
        ToOwnNode "applies egress policies to whatever leaves a pod, by its pipeline"
            "github.com/antrea-io/antrea/blob/fc70f2bb70/docs/design/ovs-pipeline.md";
    }
    "kube-router" "" {
        IpBlockPods "matches pods by CIDR"
            "github.com/cloudnativelabs/kube-router/blob/7c2c2779e3/pkg/controllers/netpol/policy.go";
        OwnService "has no way from a pod to itself through its Service by default"
            "github.com/cloudnativelabs/kube-router/blob/7c2c2779e3/docs/user-guide.md";
        NodePorts "sees a node instead of the client"
            "github.com/cloudnativelabs/kube-router/issues/744";
        ToOwnNode "applies egress policies"
            "github.com/cloudnativelabs/kube-router/pull/891";
        FromOwnNode "lets a node reach its own pods"
            "github.com/cloudnativelabs/kube-router/issues/803";
        HostNetwork "finds no hostNetwork pod by selectors"
            "github.com/cloudnativelabs/kube-router/blob/7c2c2779e3/pkg/controllers/netpol/utils.go";
        Icmp "lets echo requests through to every pod"
            "github.com/cloudnativelabs/kube-router/blob/7c2c2779e3/pkg/controllers/netpol/npc_nftables.go";
        NamedPorts "looks a port's name up on each pod, but does not know those of sidecars"
            "github.com/cloudnativelabs/kube-router/blob/7c2c2779e3/pkg/controllers/netpol/policy.go";
        EgressPortNames "looks a port's name up on pods of the policy's namespace only, and opens nothing in a block"
            "github.com/cloudnativelabs/kube-router/pull/1037";
        EndPort "supports ranges of ports"
            "github.com/cloudnativelabs/kube-router/pull/1080";
        Sctp "supports SCTP since March 2026"
            "github.com/cloudnativelabs/kube-router/issues/1019";
        Established "leaves connections that exist alone"
            "github.com/cloudnativelabs/kube-router/blob/7c2c2779e3/pkg/controllers/netpol/npc_iptables.go";
        StartUp "leaves a new pod open until its rules are synchronised, seconds by its own account"
            "github.com/cloudnativelabs/kube-router/blob/7c2c2779e3/docs/troubleshoot.md";
        DenialSignal "refuses what is denied with ICMP port unreachable"
            "github.com/cloudnativelabs/kube-router/blob/7c2c2779e3/pkg/controllers/netpol/npc_iptables.go";
    }
    "ovn-kubernetes" "" {
        IpBlockPods "matches pods by CIDR"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/docs/features/network-security-controls/network-policy.md";
        ServiceAddresses "judges the backend behind a Service"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/docs/design/acls.md";
        OwnService "lets a pod reach itself through its Service past all policies"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/test/e2e/e2e.go";
        FromOwnNode "lets a node reach its own pods"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/go-controller/pkg/ovn/base_network_controller_policy.go";
        HostNetwork "finds hostNetwork pods by a podSelector, though not by a namespaceSelector alone"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/go-controller/pkg/ovn/base_network_controller_policy.go";
        Icmp "blocks echo, unless allow-icmp-network-policy is set"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/go-controller/pkg/config/config.go";
        NamedPorts "opens every port of the protocol for a port's name"
            "github.com/ovn-org/ovn-kubernetes/issues/2117";
        EgressPortNames "opens every port of the protocol for a port's name"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/go-controller/pkg/ovn/gress_policy.go";
        EndPort "supports ranges of ports"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/go-controller/pkg/ovn/gress_policy.go";
        Sctp "supports SCTP"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/go-controller/pkg/libovsdb/util/acl.go";
        Established "judges every packet, and so cuts connections at once"
            "github.com/kubernetes-sigs/network-policy-api/issues/305";
        DenialSignal "drops what is denied"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/docs/features/network-security-controls/network-policy.md";
        ToOwnNode "applies egress policies to whatever leaves a pod, by its ACLs"
            "github.com/ovn-kubernetes/ovn-kubernetes/blob/8871cd9cec/go-controller/pkg/ovn/base_network_controller_policy.go";
    }
    "aws" "" {
        IpBlockPods "matches pods by CIDR"
            "github.com/aws/amazon-network-policy-controller-k8s/blob/ecc7e6a793/pkg/resolvers/endpoints.go";
        HostBits "takes such a CIDR as the network; keys could collide before pull request 608"
            "github.com/aws/aws-network-policy-agent/pull/608";
        ServiceAddresses "judges egress by the Service's own address; selectors open the port of it that leads to theirs"
            "github.com/aws/aws-network-policy-agent/issues/166";
        OwnService "drops what a pod sends to itself through its Service"
            "github.com/aws/amazon-network-policy-controller-k8s/issues/236";
        HostNetwork "leaves hostNetwork pods out of a policy's pods"
            "github.com/aws/amazon-network-policy-controller-k8s/blob/ecc7e6a793/pkg/resolvers/endpoints.go";
        Icmp "blocks echo under any policy"
            "github.com/aws/aws-network-policy-agent/issues/90";
        NamedPorts "opens all numbers that a port's name has on the policy's pods on each of them, but does not know those of sidecars"
            "github.com/aws/amazon-network-policy-controller-k8s/blob/ecc7e6a793/pkg/resolvers/endpoints.go";
        EgressPortNames "passes over a port's name without peers and in a block"
            "github.com/aws/amazon-network-policy-controller-k8s/blob/ecc7e6a793/pkg/resolvers/endpoints.go";
        Sctp "supports SCTP"
            "github.com/aws/aws-network-policy-agent/blob/c8619c056b/pkg/ebpf/c/tc.v4ingress.bpf.c";
        Established "judges connections that exist anew only when the pods that policies select have changed"
            "github.com/aws/aws-network-policy-agent/issues/650";
        StartUp "leaves a new pod open for 1 to 2 seconds in standard mode"
            "github.com/aws/aws-network-policy-agent/issues/271";
        ToOwnNode "lets everything pass between a node and its pods"
            "github.com/aws/aws-network-policy-agent/pull/65";
    }
    "azure-npm" "" {
        IpBlockPods "matches pods by CIDR"
            "github.com/MicrosoftDocs/azure-aks-docs/blob/fb060abe6a/articles/aks/migrate-from-npm-to-cilium-network-policy.md";
        IpBlockNodes "matches nodes by CIDR"
            "github.com/MicrosoftDocs/azure-aks-docs/blob/fb060abe6a/articles/aks/migrate-from-npm-to-cilium-network-policy.md";
        NodePorts "lets everybody in through a node port with externalTrafficPolicy Cluster"
            "github.com/MicrosoftDocs/azure-aks-docs/blob/fb060abe6a/articles/aks/migrate-from-npm-to-cilium-network-policy.md";
        ToOwnNode "never blocks what a pod sends to its own node"
            "github.com/MicrosoftDocs/azure-aks-docs/blob/fb060abe6a/articles/aks/migrate-from-npm-to-cilium-network-policy.md";
        HostNetwork "finds no hostNetwork pod by selectors"
            "github.com/Azure/azure-container-networking/blob/cbd7560cfc/npm/pkg/controlplane/controllers/v1/podController.go";
        NamedPorts "looks a port's name up on each pod, but does not know those of sidecars; not on Windows"
            "github.com/Azure/azure-container-networking/blob/cbd7560cfc/npm/pkg/controlplane/controllers/common/pod.go";
        EndPort "supports ranges of ports"
            "github.com/Azure/azure-container-networking/blob/cbd7560cfc/npm/pkg/controlplane/translation/translatePolicy.go";
        Sctp "supports SCTP; not on Windows"
            "github.com/Azure/azure-container-networking/blob/cbd7560cfc/npm/pkg/controlplane/translation/translatePolicy.go";
        StartUp "leaves a new pod open at the beginning of its life"
            "github.com/Azure/AKS/issues/2996";
    }
    "kube-network-policies" "" {
        IpBlockPods "matches pods by CIDR"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/networkpolicy/networkpolicy.go";
        IpBlockNodes "matches nodes by CIDR"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/networkpolicy/networkpolicy.go";
        ServiceAddresses "judges the backend behind a Service"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/dataplane/controller.go";
        ToOwnNode "applies egress policies since April 2026"
            "github.com/kubernetes-sigs/kube-network-policies/pull/339";
        FromOwnNode "lets only processes of root reach the pods of their node"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/dataplane/controller.go";
        HostNetwork "finds no hostNetwork pod by selectors"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/networkpolicy/networkpolicy.go";
        Icmp "blocks echo, but no neighbour discovery"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/dataplane/controller.go";
        NamedPorts "looks a port's name up on each pod, but does not know those of sidecars"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/api/helper.go";
        EndPort "supports ranges of ports"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/networkpolicy/networkpolicy.go";
        Sctp "supports SCTP"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/dataplane/conntrack.go";
        Established "judges connections that exist anew, within 30 seconds"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/dataplane/controller.go";
        StartUp "leaves a new pod open until its next synchronisation, at least a second after the last"
            "github.com/kubernetes-sigs/kube-network-policies/blob/5f81cc376b/pkg/dataplane/controller.go";
    }
    "weave" "" {
        IpBlockPods "matches pods by CIDR"
            "github.com/weaveworks/weave/blob/8c84763813/npc/analyser.go";
        NodePorts "lets everybody in through a node port"
            "github.com/weaveworks/weave/issues/3452";
        ToOwnNode "never blocks what a pod sends to its own node"
            "github.com/weaveworks/weave/blob/8c84763813/prog/weave-npc/main.go";
        HostNetwork "finds no hostNetwork pod by selectors"
            "github.com/weaveworks/weave/blob/8c84763813/npc/namespace.go";
        NamedPorts "refuses a policy that has a port's name"
            "github.com/weaveworks/weave/blob/8c84763813/npc/analyser.go";
        EgressPortNames "refuses a policy that has a port's name"
            "github.com/weaveworks/weave/blob/8c84763813/npc/analyser.go";
        EndPort "opens only the first port of a range, for its API is older"
            "github.com/weaveworks/weave/blob/8c84763813/go.mod";
        Established "leaves connections that exist alone"
            "github.com/weaveworks/weave/blob/8c84763813/prog/weave-npc/main.go";
        DenialSignal "drops what is denied"
            "github.com/weaveworks/weave/issues/3436";
    }
    "flannel" "" {
        Enforcement "has no policies of its own"
            "github.com/flannel-io/flannel/blob/cdf760595c/README.md";
    }
}
