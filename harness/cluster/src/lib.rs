//! What verdikt says to a Kubernetes API: namespaces, probe pods, objects, agent sessions, clean-up.
