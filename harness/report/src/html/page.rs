//! The page: head, a section for each record, data, script.

use verdikt_model::Record;

use super::{
    assets::{POLICY, SCRIPT, STYLE, TEMPLATE},
    compare::comparison,
    data::data,
    order::ordered,
    overview::{dataplane, overview},
    scenario::scenario,
    writer::Html,
};
use crate::{
    compare::compare,
    escape::{NAME, cut},
    repeat::target_flags,
};

pub(super) fn page(records: &[(String, Record)]) -> String {
    let mut w = Html::default();
    w.template(TEMPLATE, |w, slot| match slot {
        "policy" => w.open("meta", &[("http-equiv", "Content-Security-Policy"), ("content", &POLICY)]),
        "title" => w.text(&title(records)),
        "style" => w.constant(STYLE),
        "script" => w.constant(SCRIPT),
        "data" => w.json("data", &data(records)),
        "main" => {
            if let Some((reference, others)) = records.split_first().filter(|(_, others)| !others.is_empty())
            {
                contents(w, records);
                for other in others {
                    comparison(w, &compare((&reference.0, &reference.1), (&other.0, &other.1)));
                }
            }
            for (index, (label, record)) in records.iter().enumerate() {
                section(w, index, label, record);
            }
        }
        _ => {}
    });
    w.finish()
}

fn title(records: &[(String, Record)]) -> String {
    let planes = records.iter().map(|(_, record)| cut(&dataplane(&record.environment), NAME).into_owned());
    format!("verdikt: {}", planes.collect::<Vec<_>>().join(", "))
}

/// Links to the records.
fn contents(w: &mut Html, records: &[(String, Record)]) {
    w.el("nav", &[("class", "records"), ("aria-label", "Records")], |w| {
        for (index, (label, _)) in records.iter().enumerate() {
            let address = format!("#r{index}");
            w.tag("a", &[("href", &address)], &cut(label, NAME));
        }
    });
}

fn section(w: &mut Html, index: usize, label: &str, record: &Record) {
    let id = format!("r{index}");
    w.el("section", &[("class", "record"), ("id", &id), ("tabindex", "-1")], |w| {
        w.el("h1", &[], |w| {
            w.text(&cut(&dataplane(&record.environment), NAME));
            let on = format!(" on {}", cut(&record.environment.target, NAME));
            w.tag("span", &[("class", "quiet")], &on);
        });
        w.el("div", &[("class", "label")], |w| w.long(label, NAME));
        overview(w, record);
        w.tag("h2", &[], "Scenarios");
        w.el("div", &[("class", "filters")], |_| {});
        w.el("ol", &[("class", "scenarios")], |w| {
            let target = target_flags(&record.run.command);
            for (at, of) in ordered(record) {
                scenario(w, (index, at), of, &target);
            }
        });
    });
}
