//! The lines that say how a run goes: header, one for each scenario, summary.

use verdikt_model::{
    CellCounts, Enforced, Environment, RunInfo, ScenarioOutcome, ScenarioRecord, Summary, Try, WrongStep,
};

use crate::{
    escape::{NAME, SENTENCE, cut},
    remarks::is_unanchored,
    style::{self, Paint},
    text::{count, seconds, thousands},
};

/// Column of scenario names, in characters.
const NAME_COLUMN: usize = 44;

/// `    Starting 42 scenarios in 2 lanes on sandbox (…) run 01jd2m`
pub(crate) fn starting(
    run: &RunInfo,
    env: &Environment,
    scenarios: usize,
    lanes: usize,
    paint: Paint,
) -> String {
    // Records that are joined have no lanes.
    if lanes == 0 {
        return format!(
            "{} {} of {} on {}\n",
            paint.paint(style::PASS, "      Joined"),
            count(scenarios as u64, "scenario"),
            count(1 + run.others.len() as u64, "run"),
            place(env),
        );
    }
    format!(
        "{} {} in {} on {} run {}\n",
        paint.paint(style::PASS, "    Starting"),
        count(scenarios as u64, "scenario"),
        count(lanes as u64, "lane"),
        place(env),
        cut(&run.id, NAME),
    )
}

/// `sandbox (flannel 0.1.0 nftables, emulated from documentation, Kubernetes v1.33.0, 2 nodes, ipv4)`
pub(crate) fn place(env: &Environment) -> String {
    let mut facts = Vec::new();
    let dataplane = [&env.dataplane.name, &env.dataplane.version, &env.dataplane.mode];
    let dataplane: Vec<&str> = dataplane.into_iter().map(String::as_str).filter(|w| !w.is_empty()).collect();
    if !dataplane.is_empty() {
        facts.push(cut(&dataplane.join(" "), NAME).into_owned());
    }
    if env.dataplane.emulated {
        facts.push("emulated from documentation".to_owned());
    }
    if !env.kubernetes.is_empty() {
        facts.push(format!("Kubernetes {}", cut(&env.kubernetes, NAME)));
    }
    facts.push(count(env.nodes.into(), "node"));
    facts.extend(env.ip_families.iter().map(ToString::to_string));
    facts.extend(env.enforcement.as_ref().and_then(|seen| match seen.enforced {
        Enforced::Yes => None,
        Enforced::Partly => Some("policies enforced only partly".to_owned()),
        Enforced::No => Some("policies not enforced".to_owned()),
        Enforced::Unknown => Some("enforcement unknown".to_owned()),
    }));
    format!("{} ({})", cut(&env.target, NAME), facts.join(", "))
}

/// `        PASS [   0.41s] ( 1/42) name    81 cells`
pub(crate) fn scenario(record: &ScenarioRecord, index: usize, total: usize, paint: Paint) -> String {
    let (verb, style) = match record.outcome {
        ScenarioOutcome::Passed => ("PASS", style::PASS),
        ScenarioOutcome::Failed => ("FAIL", style::FAIL),
        ScenarioOutcome::Flaky => ("FLAKY", style::SKIP),
        ScenarioOutcome::Errored => ("ERROR", style::ERROR),
        ScenarioOutcome::Skipped => ("SKIP", style::SKIP),
    };
    let time = match record.outcome {
        ScenarioOutcome::Skipped => String::new(),
        // Of several attempts all count.
        _ => seconds(record.duration_ms.max(record.tries.iter().map(|of| of.duration_ms).sum())),
    };
    let digits = total.to_string().len();
    let name = cut(&record.name, NAME);
    let pad = NAME_COLUMN.saturating_sub(name.chars().count());
    let line = format!(
        "{} [{time:>8}] ({index:>digits$}/{total}) {}{:pad$} {}",
        paint.paint(style, format_args!("{verb:>12}")),
        paint.paint(style::NAME, &name),
        "",
        outcome_text(record),
    );
    format!("{}\n", line.trim_end())
}

/// What a scenario's line says after its name.
pub(crate) fn outcome_text(record: &ScenarioRecord) -> String {
    let mut cells = record.counts();
    let checks = record.check_counts();
    let reason = || record.reason.as_deref().map(|reason| cut(reason, SENTENCE).into_owned());
    // The line has one word for what is known, whatever it is.
    cells.deviation += checks.deviation;
    let head = match record.outcome {
        // Its cells are those of one attempt that failed.
        ScenarioOutcome::Flaky => {
            let good = record.tries.iter().filter(|of| of.is_good()).count();
            let reason = reason().map(|reason| format!(": {reason}")).unwrap_or_default();
            return format!("{good}/{}{reason}", record.tries.len());
        }
        ScenarioOutcome::Passed if checks.total() > 0 => {
            format!("{}, {}", count(cells.total(), "cell"), count(checks.total(), "check"))
        }
        ScenarioOutcome::Passed => count(cells.total(), "cell"),
        ScenarioOutcome::Failed if cells.fail > 0 => {
            let verb = if cells.fail == 1 { "differs" } else { "differ" };
            format!("{} of {} {verb}", thousands(cells.fail), count(cells.total(), "cell"))
        }
        ScenarioOutcome::Failed if checks.fail > 0 => {
            let verb = if checks.fail == 1 { "differs" } else { "differ" };
            format!("{} of {} {verb}", thousands(checks.fail), count(checks.total(), "check"))
        }
        ScenarioOutcome::Failed => reason().unwrap_or_else(|| count(cells.total(), "cell")),
        // The head says it; no need to count it again.
        ScenarioOutcome::Errored => {
            let cells = std::mem::take(&mut cells.error);
            reason().unwrap_or_else(|| format!("{} could not be measured", count(cells, "cell")))
        }
        ScenarioOutcome::Skipped => return reason().unwrap_or_else(|| "no reason given".into()),
    };
    let unanchored = record.steps.iter().filter(|step| is_unanchored(step)).count() as u64;
    let unanchored = (unanchored > 0).then(|| format!("{} not anchored", count(unanchored, "step")));
    let remarks = remarks(&cells).into_iter().chain(unanchored).chain(attempts(record));
    std::iter::once(head).chain(remarks).collect::<Vec<_>>().join(", ")
}

/// In how many of several attempts a scenario failed, and whether always in the same way: `at 3 of 3 attempts`.
fn attempts(record: &ScenarioRecord) -> Option<String> {
    if record.outcome != ScenarioOutcome::Failed || record.tries.len() < 2 {
        return None;
    }
    let failed: Vec<&Try> = record.tries.iter().filter(|of| of.outcome == ScenarioOutcome::Failed).collect();
    let told = format!("at {} of {} attempts", failed.len(), record.tries.len());
    let alike = failed.windows(2).all(|two| seen(two[0]) == seen(two[1]));
    Some(if alike { told } else { format!("{told}, not in the same cells each time") })
}

/// What an attempt saw where it was not as expected, in words that do not tell how long it took or why.
fn seen(of: &Try) -> Vec<String> {
    let step = |wrong: &WrongStep| {
        let cells = wrong.cells.rows.iter().map(|row| {
            let (from, to) = (wrong.cells.name(row.cell.from), wrong.cells.name(row.cell.to));
            format!("{from} {to} {:?} {:?}", row.cell, row.observed)
        });
        let checks = wrong.checks.iter().map(|of| {
            format!("{} {} {:?} {:?} {:?} {:?}", of.from, of.to, of.kind, of.what, of.family, of.seen)
        });
        let all = cells.chain(checks);
        all.map(|one| format!("{} {} {one}", wrong.step, wrong.pass)).collect::<Vec<String>>()
    };
    of.wrong.iter().flat_map(step).collect()
}

/// `     Summary [  19.80s] 42 scenarios: 40 passed, 1 failed, 1 skipped; 3,400 of 3,402 cells as expected`
pub(crate) fn summary(run: &RunInfo, planned: usize, summary: &Summary, paint: Paint) -> String {
    let scenarios = &summary.scenarios;
    let style = if scenarios.failed > 0 {
        style::FAIL
    } else if scenarios.errored + scenarios.flaky > 0 || (scenarios.total() as usize) < planned {
        style::ERROR
    } else {
        style::PASS
    };
    format!(
        "{}\n{} [{:>8}] {}\n",
        "─".repeat(12),
        paint.paint(style, "     Summary"),
        seconds(run.duration_ms),
        counts(planned, summary),
    )
}

/// `42 scenarios: 40 passed, 1 failed, 1 skipped; 3,400 of 3,402 cells as expected`
pub(crate) fn counts(planned: usize, summary: &Summary) -> String {
    let Summary { scenarios, cells, checks } = summary;
    let mut parts = vec![format!("{} passed", scenarios.passed)];
    for (n, word) in [
        (scenarios.failed, "failed"),
        (scenarios.flaky, "flaky"),
        (scenarios.errored, "errored"),
        (scenarios.skipped, "skipped"),
    ] {
        if n > 0 {
            parts.push(format!("{n} {word}"));
        }
    }
    if let Some(rest) = planned.checked_sub(scenarios.total() as usize).filter(|rest| *rest > 0) {
        parts.push(format!("{rest} not run"));
    }
    let measured = cells.total() - cells.skipped;
    let mut tail = vec![format!("{} of {} as expected", thousands(cells.pass), count(measured, "cell"))];
    if checks.total() > checks.skipped {
        let measured = count(checks.total() - checks.skipped, "check");
        tail.push(format!("{} of {measured}", thousands(checks.pass)));
    }
    tail.extend(remarks(&CellCounts { deviation: cells.deviation + checks.deviation, ..*cells }));
    format!(
        "{}: {}; {}",
        count(planned.max(scenarios.total() as usize) as u64, "scenario"),
        parts.join(", "),
        tail.join(", "),
    )
}

/// Cells that are neither plainly right nor plainly wrong.
fn remarks(cells: &CellCounts) -> Vec<String> {
    let mut words = Vec::new();
    if cells.deviation > 0 {
        words.push(count(cells.deviation, "known deviation"));
    }
    for (n, word) in [(cells.flaky, "flaky"), (cells.error, "not measured"), (cells.skipped, "skipped")] {
        if n > 0 {
            words.push(format!("{} {word}", thousands(n)));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn lines(color: bool) -> String {
        let paint = Paint { color };
        let record = sample::record();
        let mut text = starting(&record.run, &record.environment, 42, 2, paint);
        for (index, of) in record.scenarios.iter().enumerate() {
            text.push_str(&scenario(of, index + 1, 42, paint));
        }
        text.push_str(&summary(&record.run, 42, &record.summary, paint));
        text
    }

    #[test]
    fn every_line_plain() {
        insta::assert_snapshot!(lines(false));
    }

    #[test]
    fn every_line_in_colour() {
        insta::assert_snapshot!(sample::visible(&lines(true)));
    }

    #[test]
    fn a_flaky_scenario_has_its_word_and_its_attempts() {
        let line = scenario(&sample::flaky(), 2, 5, Paint { color: false });
        let told = "1/3: as expected at 1 of 3 attempts, different at 2";
        assert!(line.contains("FLAKY [  46.89s] (2/5) selectors/and-versus-or"), "{line}");
        assert!(line.trim_end().ends_with(told), "{line}");
        let mut counts = Summary::default();
        counts.add(&sample::flaky());
        let text = summary(&sample::run_info(1), 1, &counts, Paint { color: false });
        assert!(text.contains("0 passed, 1 flaky;"), "{text}");
    }

    #[test]
    fn a_failure_says_at_how_many_attempts_and_whether_in_the_same_cells() {
        let line = |wrong: [Vec<WrongStep>; 3]| {
            let of = |wrong| Try { outcome: ScenarioOutcome::Failed, duration_ms: 1, reason: None, wrong };
            let record = ScenarioRecord { tries: wrong.map(of).into(), ..sample::failed() };
            outcome_text(&record)
        };
        let all = sample::failed().wrong();
        let alike = line([all.clone(), all.clone(), all.clone()]);
        assert!(alike.ends_with("differ, at 3 of 3 attempts"), "{alike}");
        let other = line([all.clone(), Vec::new(), all]);
        assert!(other.ends_with("at 3 of 3 attempts, not in the same cells each time"), "{other}");
        assert!(!outcome_text(&sample::failed()).contains("attempt"));
    }

    #[test]
    fn a_clean_run_is_summed_up_in_one_clause_each() {
        let mut clean = Summary::default();
        clean.add(&sample::passed());
        assert_eq!(
            summary(&sample::run_info(413), 1, &clean, Paint { color: false }),
            "────────────\n     Summary [   0.41s] 1 scenario: 1 passed; 162 of 162 cells as expected\n"
        );
    }

    #[test]
    fn hostile_names_stay_on_their_line() {
        let mut record = sample::passed();
        record.name = format!("\u{1b}[2J\n        PASS fake\u{202e}{}", "n".repeat(10_000));
        let line = scenario(&record, 1, 1, Paint { color: false });
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.chars().count() < 250 && !line.contains(['\u{1b}', '\u{202e}']), "{line}");
    }
}
