//! The embedded cluster: API server, node, dataplane on nftables, DNS.
