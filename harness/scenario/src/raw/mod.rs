//! The shape of the files: one struct a mapping, strict, with places. The JSON Schema is made from these.

mod document;
mod known;
mod policy;
mod topology;

pub(crate) use document::{
    RawApply, RawCheck, RawDelete, RawDiffers, RawExpect, RawLabel, RawReplace, RawRequires, RawScenario,
    RawStep, RawTopologyDocument, RawTopologyRef,
};
pub(crate) use known::{RawKnownDeviation, RawKnownDeviations};
pub(crate) use policy::{
    RawIpBlock, RawNetworkPolicy, RawPeer, RawPolicyPort, RawPortNumber, RawRule, RawSelector,
};
pub(crate) use topology::{
    RawEndpoint, RawNamespace, RawPlacement, RawPod, RawServe, RawService, RawTargetPort, RawTopology,
};
