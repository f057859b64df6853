//! `verdikt sandbox profiles`: what the sandbox's dataplane can be told to be, and what is documented of it.

use std::fmt::Write;

use serde_json::{Value, json};
use verdikt_model::{Evidence, ExitCode, Topic, evidence};
use verdikt_sandbox::{Base, Trait, Traits};

use crate::{args::ShortFormat, failure::Outcome, terminal};

const EMULATED: &str = "All bases but reference are emulated from documentation: each does what is documented of the dataplane \
                        after which it is named.\nNo such dataplane runs, and what they show is no evidence about it.";

/// The words of profiles, or everything of one base, as text or JSON.
pub(super) fn profiles(base: Option<Base>, output: ShortFormat) -> Outcome {
    terminal::print(&match (output, base) {
        (ShortFormat::Human, None) => all(),
        (ShortFormat::Human, Some(base)) => one(base),
        (ShortFormat::Json, None) => {
            let bases: Vec<Value> = Base::ALL.iter().map(|base| in_json(*base)).collect();
            let traits: Vec<Value> = Traits::ALL
                .iter()
                .map(|known| json!({"name": known.word, "value": known.value, "about": known.about, "topics": known.topics}))
                .collect();
            format!("{}\n", json!({"bases": bases, "traits": traits}))
        }
        (ShortFormat::Json, Some(base)) => format!("{}\n", in_json(base)),
    });
    Ok(ExitCode::Ok)
}

/// A trait of a base, with its value in `word`, and what it emulates.
struct Emulation {
    word: String,
    known: &'static Trait,
    evidence: Vec<&'static Evidence>,
}

fn emulations(base: Base) -> Vec<Emulation> {
    let words = base.traits().beyond(&Traits::default());
    let find = |word: &str| {
        let name = word.split('=').next().unwrap_or_default();
        Traits::ALL.iter().find(|known| known.word == name)
    };
    words
        .into_iter()
        .filter_map(|word| {
            let known = find(&word)?;
            let rows = known.topics.iter().filter_map(|topic| documented(base, *topic));
            Some(Emulation { evidence: rows.collect(), word, known })
        })
        .collect()
}

fn documented(base: Base, topic: Topic) -> Option<&'static Evidence> {
    base.is_emulation().then(|| evidence(base.as_str(), "", topic)).flatten()
}

/// Topics of which a base has no trait, with what is documented of them: there it does as the reference.
fn without_trait(base: Base) -> Vec<(Topic, Option<&'static Evidence>)> {
    // Where nothing is enforced there is nothing that could be like the reference.
    if !base.is_emulation() || base.traits().enforces_nothing {
        return vec![];
    }
    let traits = base.traits();
    let same = Topic::ALL.iter().filter(|topic| traits.of_topic(**topic).is_empty());
    same.map(|topic| (*topic, documented(base, *topic))).collect()
}

fn all() -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "A profile is BASE[+TRAIT[=VALUE]]…, such as reference+policy-delay=200ms.\n{EMULATED}\n\nBases:"
    );
    for base in Base::ALL {
        let _ = writeln!(out, "\n  {:<16} {}", base.as_str(), base.about());
        for Emulation { word, known, evidence } in emulations(*base) {
            let _ = writeln!(out, "    {word:<32} {}", known.about);
            for link in links(&evidence) {
                let _ = writeln!(out, "    {:<32} {link}", "");
            }
        }
    }
    let _ = writeln!(out, "\nTraits:");
    for known in Traits::ALL {
        let _ = writeln!(out, "  {:<34} {}", format!("{}{}", known.word, known.value), known.about);
    }
    out
}

/// Each once: several topics may be documented in one place.
fn links(evidence: &[&'static Evidence]) -> Vec<&'static str> {
    let mut links: Vec<&str> = evidence.iter().map(|row| row.link).collect();
    links.dedup();
    links
}

fn one(base: Base) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}", base.as_str(), base.about());
    if !base.is_emulation() {
        out.push_str("It has no traits.\n");
        return out;
    }
    let _ = writeln!(
        out,
        "Emulated from documentation: what it shows is no evidence about {}.\n\nTraits:",
        base.as_str()
    );
    let name = base.as_str();
    for Emulation { word, known, evidence } in emulations(base) {
        let _ = writeln!(out, "  {word}\n    {}", known.about);
        for row in evidence {
            let _ = writeln!(out, "    {}: {name} {}\n      {}", row.topic.title(), row.does, row.link);
        }
    }
    let (known, unknown): (Vec<_>, Vec<_>) =
        without_trait(base).into_iter().partition(|(_, row)| row.is_some());
    if !known.is_empty() {
        let _ = writeln!(out, "\nDocumented, and no trait for it:");
        for row in known.iter().filter_map(|(_, row)| *row) {
            let _ = writeln!(out, "  {}: {name} {}\n      {}", row.topic.title(), row.does, row.link);
        }
    }
    if !unknown.is_empty() {
        let _ = writeln!(out, "\nAs the reference, because nothing is known to be documented:");
        for (topic, _) in unknown {
            let _ = writeln!(out, "  {}", topic.title());
        }
    }
    out
}

fn in_json(base: Base) -> Value {
    let row = |row: &&Evidence| json!({"topic": row.topic, "does": row.does, "link": row.link});
    let traits: Vec<Value> = emulations(base)
        .iter()
        .map(|one| {
            let evidence: Vec<Value> = one.evidence.iter().map(row).collect();
            json!({"word": one.word, "about": one.known.about, "evidence": evidence})
        })
        .collect();
    let same = without_trait(base);
    let known: Vec<Value> = same.iter().filter_map(|(_, found)| found.as_ref().map(row)).collect();
    let unknown: Vec<Topic> = same.iter().filter(|(_, row)| row.is_none()).map(|(topic, _)| *topic).collect();
    json!({
        "name": base.as_str(),
        "about": base.about(),
        "emulated": base.is_emulation(),
        "traits": traits,
        "withoutTrait": known,
        "undocumented": unknown,
    })
}
