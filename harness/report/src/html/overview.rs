//! What a run says at first sight: the verdict, counts, where it ran.

use verdikt_model::{CellCounts, Enforced, Environment, Record, Summary};

use super::{
    bar::bar,
    deviations::deviations,
    features::{features, shares},
    words::{self, Look},
    writer::Html,
};
use crate::{
    escape::{NAME, SENTENCE, cut},
    text::{self, count, thousands},
};

/// Everything above the list of scenarios.
pub(super) fn overview(w: &mut Html, record: &Record) {
    verdict(w, record);
    notices(w, record);
    w.el("div", &[("class", "tiles")], |w| {
        let Summary { scenarios, cells, checks } = &record.summary;
        tile(w, "Scenarios", &shares(scenarios), scenarios.skipped.into());
        for (what, counts) in [("Cells", cells), ("Checks", checks)] {
            if counts.total() > 0 {
                tile(w, what, &words::by_outcome(counts), counts.skipped);
            }
        }
    });
    w.el("div", &[("class", "columns")], |w| {
        features(w, record);
        facts(w, record);
    });
    deviations(w, &record.deviations);
}

/// `flannel 0.1.0 nftables`
pub(super) fn dataplane(env: &Environment) -> String {
    let plane = &env.dataplane;
    let words = [&plane.name, &plane.version, &plane.mode];
    words.into_iter().filter(|word| !word.is_empty()).map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn verdict(w: &mut Html, record: &Record) {
    let n = &record.summary.scenarios;
    let run = n.total() - n.skipped;
    let (class, sign, text) = if n.failed > 0 {
        let (of, verb) = (count(run.into(), "scenario"), if n.failed == 1 { "differs" } else { "differ" });
        ("fail", "✗", format!("{} of {of} {verb} from what is specified", thousands(n.failed.into())))
    } else if n.flaky > 0 {
        let (of, verb) = (count(run.into(), "scenario"), if n.flaky == 1 { "is" } else { "are" });
        ("flaky", "%", format!("{} of {of} {verb} flaky: attempts disagree", thousands(n.flaky.into())))
    } else if n.errored > 0 {
        let of = count(run.into(), "scenario");
        ("error", "?", format!("No difference proved; {} of {of} could not be measured", n.errored))
    } else if run == 0 {
        ("skipped", "–", "Nothing was measured".to_owned())
    } else {
        let (all, verb) = (count(run.into(), "scenario"), if run == 1 { "is" } else { "are" });
        ("pass", "✓", format!("{all} {verb} as expected"))
    };
    w.el("p", &[("class", "verdict")], |w| {
        w.el("span", &[("class", class)], |w| {
            w.tag("span", &[("class", "sign"), ("aria-hidden", "true")], sign);
        });
        w.text(" ");
        w.text(&text);
        let CellCounts { fail, deviation, flaky, error, .. } = record.summary.cells;
        let parts = [
            (fail, count(fail, "different cell")),
            (flaky, format!("{} flaky", thousands(flaky))),
            (error, format!("{} not measured", thousands(error))),
            (deviation, count(deviation, "known deviation")),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|(n, _)| *n > 0).map(|(_, text)| text).collect();
        if !parts.is_empty() {
            w.tag("span", &[("class", "quiet")], &format!(" {}", parts.join(" · ")));
        }
    });
}

/// What the reader must know before believing any number.
fn notices(w: &mut Html, record: &Record) {
    let env = &record.environment;
    if env.dataplane.emulated {
        notice(
            w,
            "Emulated from documentation.",
            &format!(
                "This run was on verdikt's sandbox (profile {}), which imitates a dataplane: it is no evidence about any \
                 product.",
                env.dataplane.name
            ),
        );
    }
    if let Some(seen) = &env.enforcement {
        let head = match seen.enforced {
            Enforced::Yes => None,
            Enforced::Partly => Some("Policies are enforced only partly."),
            Enforced::No => Some("Policies are not enforced at all."),
            Enforced::Unknown => Some("Whether policies are enforced could not be measured."),
        };
        if let Some(head) = head {
            notice(w, head, &seen.evidence);
        }
    }
    if let Some(rest) = record.run.planned.checked_sub(record.summary.scenarios.total()).filter(|n| *n > 0) {
        notice(
            w,
            "Not complete.",
            &format!("{} were chosen but not run.", count(rest.into(), "more scenario")),
        );
    }
}

fn notice(w: &mut Html, head: &'static str, text: &str) {
    w.el("div", &[("class", "notice"), ("role", "note")], |w| {
        w.tag("strong", &[], head);
        w.text(" ");
        w.long(text, SENTENCE);
    });
}

/// One kind of thing that was counted.
fn tile(w: &mut Html, what: &'static str, counts: &[(Look, u64)], skipped: u64) {
    w.el("section", &[("class", "tile")], |w| {
        let total: u64 = counts.iter().map(|(_, n)| n).sum();
        w.el("h3", &[], |w| {
            w.text(what);
            w.tag("span", &[("class", "total")], &thousands(total - skipped));
        });
        bar(w, counts);
        w.el("ul", &[("class", "legend")], |w| {
            for (look, n) in counts.iter().filter(|(_, n)| *n > 0) {
                w.el("li", &[("class", look.class)], |w| {
                    w.tag("span", &[("class", "sign"), ("aria-hidden", "true")], look.sign);
                    w.tag("b", &[], &thousands(*n));
                    w.text(" ");
                    w.text(look.word);
                });
            }
        });
    });
}

fn facts(w: &mut Html, record: &Record) {
    let (run, env) = (&record.run, &record.environment);
    let families: Vec<_> = env.ip_families.iter().map(|f| f.as_str()).collect();
    let emulated = if env.dataplane.emulated { " (emulated)" } else { "" };
    let facts = [
        ("Target", env.target.clone()),
        ("Dataplane", dataplane(env) + emulated),
        ("Kubernetes", env.kubernetes.clone()),
        ("Nodes", env.nodes.to_string()),
        ("Kernel", env.kernel.clone()),
        ("IP families", families.join(", ")),
        ("Enforcement", env.enforcement.as_ref().map(|seen| seen.evidence.clone()).unwrap_or_default()),
        ("Cluster", env.cluster.clone()),
        ("Started", run.started.clone()),
        ("Took", text::micros(run.duration_ms.saturating_mul(1000))),
        ("Part", run.partition.clone().unwrap_or_default()),
        ("Run", run.id.clone()),
        ("With", run.others.join(", ")),
        ("verdikt", env.verdikt.clone()),
    ];
    w.el("section", &[("class", "facts")], |w| {
        w.tag("h3", &[], "Where and when");
        w.el("dl", &[], |w| {
            for (term, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
                w.tag("dt", &[], term);
                w.el("dd", &[], |w| w.long(value, NAME));
            }
            if !env.dataplane.evidence.is_empty() {
                w.tag("dt", &[], "Told by");
                w.el("dd", &[], |w| {
                    w.el("ul", &[], |w| {
                        for evidence in &env.dataplane.evidence {
                            w.el("li", &[], |w| w.long(evidence, NAME));
                        }
                    });
                });
            }
            w.tag("dt", &[], "Command");
            w.el("dd", &[("class", "command")], |w| {
                w.tag("code", &[], &cut(&run.command.join(" "), 20 * NAME));
            });
        });
    });
}
