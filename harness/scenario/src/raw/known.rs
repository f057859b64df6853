//! Documents of known deviations.

use crate::{decode::raw_struct, span::At};

raw_struct! {
    /// What one dataplane is known to do otherwise than the specification says. Only runs that are given the file take
    /// it into account.
    #[schemars(rename = "KnownDeviations")]
    RawKnownDeviations, "KnownDeviations" {
        /// `verdikt.dev/v1alpha1`
        #[expect(dead_code, reason = "told apart before the document is decoded; here for strictness and the schema")]
        api_version: At<String> = "apiVersion",
        /// `KnownDeviations`
        #[expect(dead_code, reason = "told apart before the document is decoded; here for strictness and the schema")]
        kind: At<String> = "kind",
        /// Its name.
        metadata: RawKnownMetadata = "metadata",
        /// Of which dataplane, and what.
        spec: RawKnownSpec = "spec",
    }
}

raw_struct! {
    /// Name.
    #[schemars(rename = "KnownDeviationsMetadata")]
    RawKnownMetadata, "metadata" {
        /// Under which the deviations are reported.
        name: At<String> = "name",
    }
}

raw_struct! {
    /// Of which dataplane, and what.
    #[schemars(rename = "KnownDeviationsSpec")]
    RawKnownSpec, "spec" {
        /// The dataplane that they are of; elsewhere the file is ignored.
        dataplane: RawKnownDataplane = "dataplane",
        /// What is known; an empty list says that nothing is.
        deviations: Vec<RawKnownDeviation> = "deviations",
    }
}

raw_struct! {
    /// A dataplane.
    #[schemars(rename = "KnownDataplane")]
    RawKnownDataplane, "a dataplane" {
        /// cilium, calico, antrea, …, as `verdikt doctor` and the record name it.
        name: At<String> = "name",
        /// nftables, ebpf, …, a word of what the record has; by default all.
        mode: Option<At<String>> = "mode",
        /// Versions, such as ">=1.16, <1.20"; by default all. Where the version cannot be told, the file is ignored.
        versions: Option<At<String>> = "versions",
    }
}

raw_struct! {
    /// Something that it is known to do otherwise. It covers cells; with `checks` it covers checks, and no cells.
    #[schemars(rename = "KnownDeviation")]
    RawKnownDeviation, "a deviation" {
        /// Name of the scenario; `*` stands for any run of characters but `/`.
        scenario: At<String> = "scenario",
        /// Name of the step, with `*` as above; by default all steps.
        step: Option<At<String>> = "step",
        /// The cells, or the cells between which checks are meant: FROM -> TO[:PORT/PROTOCOL][ via PATH][ over FAMILY]; by
        /// default all.
        #[schemars(default)]
        cells: Vec<At<String>> = "cells",
        /// Kinds of checks: hold, first, sample, transfer, http.
        #[schemars(default)]
        checks: Vec<At<String>> = "checks",
        /// What is observed in place of what should be: allowed, dropped or rejected; by default any of them.
        observed: Option<At<String>> = "observed",
        /// Why it is so.
        reason: At<String> = "reason",
        /// Where that is told: https://…
        link: At<String> = "link",
        /// Narrows the versions of the dataplane.
        versions: Option<At<String>> = "versions",
        /// The last day on which it counts as known, as in 2026-12-31; after it, its cells fail. By default none.
        expires: Option<At<String>> = "expires",
    }
}
