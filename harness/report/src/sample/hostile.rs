//! A record in which every text that somebody else may have written tries to do something.

use std::sync::Arc;

use verdikt_model::{
    ChangeRecord, CheckRecord, CheckWord, DeviationRecord, DeviationState, Differs, Enforced, Enforcement,
    Family, Level, Outcome, Protocol, Record, SCHEMA, ScenarioOutcome, ScenarioRecord, Seen, Summary, Try,
    Via,
};

use super::{deviation, environment, errored, failed, mixed, run_info, skipped};

/// Texts that act somewhere: in HTML, XML, a terminal, Markdown, a spreadsheet, GitHub Actions, YAML.
pub(crate) fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "<script>alert(1)</script><img src=x onerror=alert(1)><a href=\"javascript:alert(1)\">",
        "</td></table></details></pre></code><h1>taken over</h1><!-- & &lt; &#60; \"' onload=x",
        "]]><x a=\"1\"/><!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>&e;",
        "\u{1b}[2J\u{1b}[31mred\u{1b}]8;;http://evil.example\u{7}link\u{9b}1m\u{0}\u{8}\u{7f}\r",
        "name\u{202e}eman\u{2066}x\u{200b}\u{feff}\u{2028}\u{ad}\u{e0041}\u{fffe}\u{ffff}",
        "`code` ```` \\`a\\` *bold* _it_ ~~s~~ [link](http://evil.example) ![i](http://evil.example/i.png) $x$ :tada:",
        "| cell \\| \\\\| || a | b |\\",
        "one\n# heading\n- item\n> quote\n```\nfence\n~~~\n\n| a | b |\n|---|---|\n---\n[ref]: http://evil.example\n<details>",
        "one\n::error::forged\r\n::stop-commands::x\n##[error]forged %0A::error::forged %25 file=a,line=1::x",
        "::add-mask::secret",
        "@octocat @org/team #123 GH-1 org/repo#5 https://evil.example www.evil.example a@evil.example \
         4c6e0f55a7b3d2e4c6e0f55a7b3d2e4c6e0f55a7",
        "=cmd|' /C calc'!A1",
        "+1+1\",\"=1",
        "-2+3\r\n=4",
        "@SUM(1)",
        "\t=1+1",
        " ＝1+1",
        "a: b # c",
        "- &a *a !!python/object:x {x: [1]}",
        "null",
        "yes",
        "---",
        "'\"${IFS}$(id)`id`;\\",
        "",
        " ",
    ]
    .map(str::to_owned)
    .into();
    texts.push("`".repeat(300));
    texts.push(format!("=<b>{}|</b>\n", "A".repeat(10_000)));
    texts
}

/// A run whose every name, label, reason, policy and fact is one of [`texts()`], in every kind of outcome.
pub(crate) fn hostile() -> Record {
    let texts = texts();
    let mut scenarios = Vec::new();
    for text in &texts {
        for kind in [failed(), errored(), mixed(), skipped()] {
            let level = [Level::Core, Level::Extended][scenarios.len() % 2];
            scenarios.push(ScenarioRecord { level, ..scenario(kind, text) });
        }
    }
    let mut summary = Summary::default();
    scenarios.iter().for_each(|s| summary.add(s));
    let all = || texts.concat();
    let mut run = run_info(1);
    run.id = all();
    run.started = all();
    run.command = [vec!["verdikt".to_owned(), "run".to_owned()], texts.clone()].concat();
    run.partition = Some(all());
    run.others = texts.clone();
    let mut env = environment();
    for field in [&mut env.target, &mut env.kubernetes, &mut env.kernel, &mut env.verdikt, &mut env.cluster] {
        *field = all();
    }
    for field in [&mut env.dataplane.name, &mut env.dataplane.version, &mut env.dataplane.mode] {
        *field = all();
    }
    env.dataplane.evidence = texts.clone();
    env.enforcement = Some(Enforcement { enforced: Enforced::No, evidence: all() });
    let deviations = texts.iter().map(|text| known(text)).collect();
    Record { schema: SCHEMA.into(), run, environment: env, summary, deviations, scenarios }
}

fn known(text: &str) -> DeviationRecord {
    let own = || text.to_owned();
    DeviationRecord {
        file: own(),
        scenario: own(),
        step: Some(own()),
        covers: vec![own()],
        reason: own(),
        link: own(),
        expires: Some(own()),
        ..deviation(DeviationState::Expired)
    }
}

fn scenario(mut scenario: ScenarioRecord, text: &str) -> ScenarioRecord {
    let own = || text.to_owned();
    scenario.name = own();
    scenario.labels = [("feature".to_owned(), own()), (own(), own())].into();
    scenario.clauses = vec![own()];
    scenario.summary = own();
    scenario.references = vec![own()];
    scenario.differs = vec![Differs { dataplane: own(), how: own(), reference: Some(own()) }];
    scenario.digest = own();
    scenario.reason = Some(own());
    scenario.tries = [ScenarioOutcome::Failed, ScenarioOutcome::Passed]
        .map(|outcome| Try { outcome, duration_ms: 1, reason: Some(own()), wrong: Vec::new() })
        .into();
    for step in &mut scenario.steps {
        step.name = own();
        let object = serde_json::json!({ "kind": text, "metadata": { "name": text }, text: [text] });
        step.changes = vec![ChangeRecord { what: own(), object: Some(object) }];
        let names = step.cells.names.iter().map(|name| format!("{text}{name}"));
        step.cells.names = Arc::new(names.collect());
        step.cells.reasons.values_mut().for_each(|reason| *reason = own());
        step.checks = [Outcome::Fail, Outcome::Flaky, Outcome::Deviation, Outcome::Pass]
            .map(|outcome| check(text, outcome))
            .into();
    }
    scenario
}

fn check(text: &str, outcome: Outcome) -> CheckRecord {
    CheckRecord {
        kind: CheckWord::Hold,
        from: text.into(),
        to: text.into(),
        via: Via::PodIp,
        port: 80,
        protocol: Protocol::Tcp,
        family: Family::Ipv4,
        what: Some(text.into()),
        expected: text.into(),
        seen: Some(Seen::Cut),
        outcome,
        time_us: Some(35_240),
        within_us: None,
        status: None,
        answered_by: Vec::new(),
        reason: Some(text.into()),
    }
}
