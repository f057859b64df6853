//! `verdikt clean`

use verdikt_cluster::Cluster;
use verdikt_model::ExitCode;
use verdikt_report::escape;

use crate::{
    args::Clean,
    failure::{Failure, Outcome},
    target, terminal,
    ui::Ui,
};

pub(super) async fn clean(args: Clean, ui: Ui) -> Outcome {
    let Some(named) = target::named(&args.cluster) else {
        return Err(Failure::usage("clean needs a cluster: name one with --context NAME or --in-cluster")
            .help("an embedded sandbox leaves nothing behind; `verdikt sandbox down` stops one that is up"));
    };
    let cluster = Cluster::connect(&named).await.map_err(Failure::setup)?;
    let report =
        cluster.clean(args.run.as_deref(), args.older_than, args.dry_run).await.map_err(Failure::setup)?;
    let word = if args.dry_run { "would delete" } else { "deleted" };
    for namespace in &report.namespaces {
        terminal::print(&format!("{word} namespace/{}\n", escape(namespace)));
    }
    for left in &report.left {
        terminal::print(&format!("still there: {}\n", escape(left)));
    }
    if report.namespaces.is_empty() {
        ui.remark("nothing of verdikt is there");
    }
    Ok(if report.left.is_empty() { ExitCode::Ok } else { ExitCode::Setup })
}
