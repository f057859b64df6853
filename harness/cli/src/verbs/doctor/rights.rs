//! The rights that verdikt needs, and those that it would like to have.

use verdikt_cluster::{Cluster, MissingRight, mend_of_rights};

use super::check::{Check, Status};

/// One check for what is needed, and one for the rest.
pub(super) async fn rights(cluster: &Cluster, prefix: &str, user: Option<&str>) -> Vec<Check> {
    let own = format!("{prefix}-doctor");
    let missing = match cluster.missing_rights(&own, |_| true).await {
        Ok(missing) => missing,
        Err(error) => return vec![Check::error("rights", Status::Unknown, &error)],
    };
    let (optional, needed): (Vec<MissingRight>, Vec<MissingRight>) =
        missing.into_iter().partition(|missing| missing.right.lost.is_some());
    vec![
        if needed.is_empty() {
            Check::ok("rights", "all that verdikt needs")
        } else {
            Check::failed("rights", format!("missing: {}", list(&needed)))
                .evidence(needed.iter().map(|missing| format!("{missing}: {}", missing.right.why)))
                .mend(mend_of_rights(user))
        },
        if optional.is_empty() {
            Check::ok("optional rights", "all")
        } else {
            let lost =
                |missing: &MissingRight| format!("{missing}: {}", missing.right.lost.unwrap_or_default());
            Check::missing("optional rights", format!("missing: {}", list(&optional)))
                .evidence(optional.iter().map(lost))
                .mend(mend_of_rights(user))
        },
    ]
}

fn list(missing: &[MissingRight]) -> String {
    missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
