//! The page as text here; in a browser in the other files.

mod browser;
mod essentials;
mod hostile;
mod keyboard;
mod large;
mod looks;
mod pages;

use super::html;
use crate::sample;

fn one(record: verdikt_model::Record) -> Vec<(String, verdikt_model::Record)> {
    vec![("run.json".to_owned(), record)]
}

#[test]
fn the_same_records_give_the_same_bytes() {
    for records in
        [one(sample::record()), one(sample::hostile()), [one(sample::record()), pages::changed()].concat()]
    {
        assert_eq!(html(&records), html(&records));
    }
}

#[test]
fn the_body_without_data() {
    let page = html(&one(pages::with_policies()));
    let main = page.split_once("<main").unwrap().1.split_once("</main>").unwrap().0;
    // One element a line.
    insta::assert_snapshot!(main.replace("><", ">\n<"));
}

#[test]
fn the_data_of_a_step() {
    let page = html(&one(sample::record()));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: serde_json::Value = serde_json::from_str(data).unwrap();
    let scenario = &data["records"][0][1];
    assert_eq!(scenario["name"], "selectors/and-versus-or");
    assert_eq!(scenario["head"], "verdikt run --sandbox flannel --exact selectors/and-versus-or --cell");
    let step = &scenario["steps"][0];
    // Both ports and families look the same.
    assert_eq!(step["groups"][0]["title"], "80/tcp, 81/tcp ipv4, ipv6");
    assert_eq!(step["groups"].as_array().unwrap().len(), 1);
    let grid = &step["grids"][0];
    assert_eq!(grid["place"], serde_json::json!(["pod-ip", 80, "tcp", "ipv4"]));
    assert_eq!(grid["kinds"].as_array().unwrap().len(), 36);
    // z/a to x/a
    let kind = grid["kinds"][3 * 6].as_u64().unwrap() as usize;
    let kind = &scenario["kinds"][kind];
    assert_eq!([&kind[0], &kind[1], &kind[2]], ["deny", "allowed", "fail"]);
    let reason = scenario["reasons"][kind[6].as_u64().unwrap() as usize].as_str().unwrap();
    assert!(reason.starts_with("policy x/p isolates x/a"), "{reason}");
}

#[test]
fn what_disagrees_is_told_apart_from_what_fails() {
    let mut record = sample::record();
    record.scenarios = vec![sample::flaky(), sample::passed()];
    record.summary = verdikt_model::Summary::default();
    record.scenarios.iter().for_each(|scenario| record.summary.add(scenario));
    let page = html(&one(record));
    assert!(page.contains("1 of 2 scenarios is flaky: attempts disagree"));
    assert!(page.contains("Attempt 2: "));
    assert!(page.contains("Known deviations: 1 happened"));
}
