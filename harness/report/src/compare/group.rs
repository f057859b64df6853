//! Differences to patterns: each is put down to one topic, its own, and those of one topic that look alike are one pattern.

use std::collections::{BTreeMap, BTreeSet};

use verdikt_model::{CheckWord, Outcome, Topic, evidence};

use super::{
    comparison::{Change, Counts, Difference, Known, Pattern, Ruling, Side, Through},
    pair::Found,
};

/// Patterns, the most telling first.
pub(super) fn group(
    mut found: Vec<Found>,
    alike: &BTreeSet<Topic>,
    unenforced: bool,
    reference: &Side,
    other: &Side,
) -> Vec<Pattern> {
    let topics = explain(&found, alike, unenforced, reference, other);
    let mut groups: BTreeMap<Key, Vec<usize>> = BTreeMap::new();
    for (index, one) in found.iter().enumerate() {
        let topic = topics[index];
        let area = || one.difference.scenario.split_once('/').map_or("", |(area, _)| area).to_owned();
        let key = Key {
            area: if topic.is_none() { area() } else { String::new() },
            topic,
            change: change(&one.difference),
            ruling: ruling(&one.difference),
            // How the denied side looks is the matter of another topic.
            through: one.through,
            seen: match (topic, one.through) {
                (Some(Topic::DenialSignal), _) | (_, (Through::Other, _) | (_, Through::Other)) => {
                    Some((one.difference.reference.seen.clone(), one.difference.other.seen.clone()))
                }
                _ => None,
            },
        };
        groups.entry(key).or_default().push(index);
    }
    let mut taken: Vec<Option<Found>> = found.drain(..).map(Some).collect();
    let mut patterns: Vec<Pattern> = groups
        .into_iter()
        .map(|(key, members)| {
            let members: Vec<Found> = members.into_iter().filter_map(|index| taken[index].take()).collect();
            pattern(&key, members, reference, other)
        })
        .collect();
    patterns.sort_by_key(|p| (rank(p), std::cmp::Reverse(p.counts.cells + p.counts.checks)));
    patterns
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    topic: Option<Topic>,
    area: String,
    change: Change,
    ruling: Ruling,
    through: (Through, Through),
    seen: Option<(String, String)>,
}

/// New violations first, then what is open, then what only looks different.
fn rank(pattern: &Pattern) -> u8 {
    match (pattern.topic, pattern.change) {
        (Some(Topic::DenialSignal), _) => 3,
        (_, Change::New) => 0,
        (_, Change::Changed) => 1,
        (_, Change::Fixed) => 2,
    }
}

/// The topic of each difference. Where a cell has several, it is not one in which both sides are known or have been
/// measured to do the same; then the one that its own reason names; only where there is none, the one that alone explains
/// others: those in which traffic fares alike, then any.
fn explain(
    found: &[Found],
    alike: &BTreeSet<Topic>,
    unenforced: bool,
    reference: &Side,
    other: &Side,
) -> Vec<Option<Topic>> {
    let mut behind: BTreeMap<Topic, Vec<&Found>> = BTreeMap::new();
    for one in found.iter().filter(|one| !one.signal) {
        for topic in one.topics.iter() {
            behind.entry(topic).or_default().push(one);
        }
    }
    let is_shared = |topic: Topic| {
        let known = |side: &Side| evidence(&side.dataplane, &side.mode, topic);
        known(reference).is_some_and(|one| Some(one) == known(other))
    };
    let mut known: BTreeMap<(Topic, (Through, Through)), Support> = BTreeMap::new();
    let mut support = |topic: Topic, through: (Through, Through)| {
        *known.entry((topic, through)).or_insert_with(|| {
            let all = behind.get(&topic).map_or(&[][..], Vec::as_slice);
            let alone = |one: &&&Found| one.topics.iter().count() == 1;
            let likewise = |one: &&&Found| alone(one) && one.through == through;
            let count = |which: &dyn Fn(&&&Found) -> bool| all.iter().filter(which).count();
            let alone_differ = count(&alone);
            Support {
                may_differ: !is_shared(topic),
                not_seen_alike: alone_differ > 0 || !alike.contains(&topic),
                likewise: count(&likewise),
                alone: alone_differ,
                all: all.len(),
            }
        })
    };
    let mut best = |one: &Found| {
        let mut rank = |topic| {
            let support = support(topic, one.through);
            (support.may_differ, support.not_seen_alike, one.cause == Some(topic), support)
        };
        // The first of several with as much behind them.
        let pick = |best, topic| if rank(topic) > rank(best) { topic } else { best };
        one.topics.iter().reduce(pick)
    };
    let topic = |one: &Found| match one {
        Found { signal: true, .. } => Some(Topic::DenialSignal),
        _ if unenforced => Some(Topic::Enforcement),
        one => best(one),
    };
    found.iter().map(topic).collect()
}

/// What speaks for a topic, the weightiest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Support {
    /// It is not documented of both sides in the same words.
    may_differ: bool,
    /// The two did not do the same in every cell that turns on it alone.
    not_seen_alike: bool,
    /// How many differences it alone explains in which traffic fares alike.
    likewise: usize,
    /// How many it alone explains at all.
    alone: usize,
    /// How many it could explain.
    all: usize,
}

fn change(difference: &Difference) -> Change {
    let wrong = |outcome: Outcome| outcome == Outcome::Fail;
    match (wrong(difference.reference.outcome), wrong(difference.other.outcome)) {
        (false, true) => Change::New,
        (true, false) => Change::Fixed,
        _ => Change::Changed,
    }
}

fn ruling(difference: &Difference) -> Ruling {
    let wrong = |outcome: Outcome| matches!(outcome, Outcome::Fail | Outcome::Deviation);
    match (wrong(difference.reference.outcome), wrong(difference.other.outcome)) {
        (false, true) => Ruling::OtherWrong,
        (true, false) => Ruling::ReferenceWrong,
        (true, true) => Ruling::BothWrong,
        (false, false) => Ruling::Open,
    }
}

fn pattern(key: &Key, members: Vec<Found>, reference: &Side, other: &Side) -> Pattern {
    let through = members.first().map_or((Through::Other, Through::Other), |one| one.through);
    let known = |side: &Side| {
        let documented = key.topic.and_then(|topic| evidence(&side.dataplane, &side.mode, topic));
        documented.map(Known::from).or_else(|| note(&members, side, key.topic))
    };
    let (reference_evidence, other_evidence) = (known(reference), known(other));
    let differences: Vec<Difference> = members.into_iter().map(|one| one.difference).collect();
    let all = |seen: fn(&Difference) -> &str| {
        let mut words: Vec<&str> = differences.iter().map(seen).collect();
        words.sort_unstable();
        words.dedup();
        words.join(" or ")
    };
    let mut scenarios: Vec<&str> = differences.iter().map(|d| d.scenario.as_str()).collect();
    scenarios.sort_unstable();
    scenarios.dedup();
    let checks = differences.iter().filter(|d| d.check.is_some()).count() as u64;
    let is_check = checks == differences.len() as u64;
    Pattern {
        topic: key.topic,
        title: key.topic.map_or_else(
            || format!("{}: no known topic", if key.area.is_empty() { "others" } else { &key.area }),
            |topic| topic.title().to_owned(),
        ),
        // What leaves a topic open does not decide a cell: another statement does.
        statement: key
            .topic
            .filter(|topic| key.ruling == Ruling::Open || !topic.is_open())
            .and_then(Topic::statement),
        ruling: key.ruling,
        change: key.change,
        reference: all(|d| &d.reference.seen),
        other: all(|d| &d.other.seen),
        effect: effect(key.topic, through, is_check.then(|| differences[0].check).flatten()),
        counts: Counts {
            scenarios: scenarios.len() as u64,
            cells: differences.len() as u64 - checks,
            checks,
        },
        reference_evidence,
        other_evidence,
        differences,
    }
}

/// What the scenarios say of a dataplane, where no topic is known or nothing is documented of it.
fn note(members: &[Found], side: &Side, topic: Option<Topic>) -> Option<Known> {
    if topic == Some(Topic::DenialSignal) || topic == Some(Topic::Enforcement) {
        return None;
    }
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase()
    };
    let wanted = plain(&side.dataplane);
    let notes = members.iter().flat_map(|one| &one.notes);
    let mut of_side = notes.filter(|(dataplane, ..)| plain(dataplane) == wanted);
    of_side.next().map(|(_, does, link)| Known { does: does.clone(), link: link.clone() })
}

/// What a change from the reference to the other would mean for traffic.
const fn effect(topic: Option<Topic>, through: (Through, Through), check: Option<CheckWord>) -> &'static str {
    match (topic, through, check) {
        (Some(Topic::DenialSignal), ..) => {
            "what is denied stays denied; clients learn of it sooner where it is refused, later where it is silence"
        }
        (Some(Topic::Established), (Through::Yes, Through::No), _) => {
            "connections that live on now would be cut when policies change"
        }
        (Some(Topic::Established), (Through::No, Through::Yes), _) => {
            "connections that are cut now would live on after a policy has forbidden them"
        }
        (Some(Topic::StartUp), (Through::No, _), _) => "new pods would be open for a while after their start",
        (Some(Topic::StartUp), (_, Through::No), _) => "new pods would be closed from their first packet on",
        (_, (Through::Yes, Through::No), _) => "what gets through now would stop",
        (_, (Through::No, Through::Yes), _) => "what is stopped now would get through",
        _ => "see the single cells",
    }
}
