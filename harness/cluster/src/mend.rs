//! What to do about it: the ends of messages, and what Kubernetes' words about a pod that does not start call for.

pub(crate) const CONTEXT: &str = "name one of them with --context, or another file with --kubeconfig";
pub(crate) const KUBECONFIG: &str = "check the file, or name another with --kubeconfig";
pub(crate) const IN_CLUSTER: &str =
    "run verdikt in a pod whose automountServiceAccountToken is not false, or name a --context";
pub(crate) const UNREACHABLE: &str = "check that it runs and that the address is right";
pub(crate) const TOO_LONG: &str = "check that it is the address of an API server";
pub(crate) const TLS: &str = "check certificate-authority-data and tls-server-name in the kubeconfig";
pub(crate) const CREDENTIALS: &str =
    "they may have expired: log in again, or renew the token or certificate in the kubeconfig";

/// About an image that nodes cannot pull.
pub(crate) const IMAGE: &str = "name an image that the nodes can pull with --image, with --image-pull-secret where its registry wants a password; \
     `verdikt image push` puts it into a registry of yours, `verdikt image save` writes it for loading into nodes";

/// (words, what to do)
const KNOWN: [(&str, &str); 9] = [
    (
        "SysctlForbidden",
        "the kubelets do not let pods set net.ipv4.ip_unprivileged_port_start, which probe pods need for ports \
         below 1024: start them with --allowed-unsafe-sysctls=net.ipv4.ip_unprivileged_port_start",
    ),
    (
        "violates PodSecurity",
        "probe pods pass the level `restricted`; those that stand for nodes use their node's network and need \
         `privileged`: exempt verdikt's namespaces, or leave scenarios with nodes out",
    ),
    (
        "security context constraint",
        "on OpenShift whoever runs verdikt needs a constraint that allows user 65532 and, for scenarios with nodes, \
         their network: `oc adm policy add-scc-to-user privileged USER`",
    ),
    ("exceeded quota", "raise the quota, or run fewer lanes with --lanes"),
    (
        "admission webhook",
        "exempt namespaces with the label verdikt.dev/run from this webhook, or change the pods as it asks",
    ),
    (
        "didn't match Pod's node affinity/selector",
        "choose nodes that are there with --node-selector, or leave it out",
    ),
    ("untolerated taint", "name the taint with --toleration, or choose other nodes with --node-selector"),
    (
        "FailedScheduling",
        "free some room on a node that takes pods: each asks for 5m of CPU and 16 MiB of memory",
    ),
    ("Unschedulable", "make room on a node, or remove a taint: `kubectl describe nodes` says more"),
];

/// Reasons of a container that waits for its image.
const IMAGE_WORDS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ErrImageNeverPull",
    "InvalidImageName",
    "RegistryUnavailable",
    "ImageInspectError",
    "Failed to pull image",
];

/// Whether a text about a pod says that its image cannot be had.
pub(crate) fn is_image(text: &str) -> bool {
    IMAGE_WORDS.iter().any(|word| text.contains(word))
}

/// What to do about a text of Kubernetes about a pod that does not start; `None` when nothing is known.
pub(crate) fn of_pod(text: &str) -> Option<&'static str> {
    if is_image(text) {
        return Some(IMAGE);
    }
    KNOWN.iter().find(|(words, _)| text.contains(words)).map(|(_, mend)| *mend)
}

/// The same as the end of a message.
pub(crate) fn after(text: &str) -> String {
    of_pod(text).map(|mend| format!("; {mend}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_kubernetes_have_their_mend() {
        let pulled = "x/a is Pending, ImagePullBackOff: Back-off pulling image (Failed: 403 Forbidden)";
        assert_eq!(of_pod(pulled), Some(IMAGE));
        let sysctl =
            "x/a is Failed, SysctlForbidden: forbidden sysctl: \"net.ipv4.ip_unprivileged_port_start\"";
        assert!(after(sysctl).contains("--allowed-unsafe-sysctls"));
        assert_eq!(after("x/a is Pending"), "");
    }
}
