//! 200 × 200 cells: small enough a file, quick enough a page.

use serde_json::Value;

use super::{super::html, browser::Browser, one, pages};

const MEBIBYTE: usize = 1 << 20;
/// With the matrix open.
const HASH: &str = "#s=size%2Ftwo-hundred&t=0&g=0&c=0.0";
/// From an event until its result is painted, in milliseconds.
const PAINTED: &str =
    "new Promise(done => requestAnimationFrame(() => setTimeout(() => done(performance.now()))))";

#[test]
fn two_hundred_by_two_hundred_stay_small() {
    let page = html(&one(pages::large()));
    println!("40,000 cells: {} KiB", page.len() >> 10);
    assert!(page.len() < 10 * MEBIBYTE, "{} bytes", page.len());
}

#[test]
fn two_hundred_by_two_hundred_open_and_filter_within_a_second() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("large", pages::large());
    browser.look(1280, 900, "light");

    // Best of three: machines have other things to do, too.
    let mut opened = Vec::new();
    for _ in 0..3 {
        browser.open(&file, HASH);
        opened.push(browser.eval(PAINTED).as_f64().unwrap());
        assert_eq!(browser.eval("document.querySelector('canvas').width"), 200);
        assert_eq!(browser.eval("document.querySelectorAll('.detail').length"), 1);
    }
    browser.screenshot("large");

    let mut filtered = Vec::new();
    let differences =
        "[...document.querySelectorAll('.filters .differences')][0].getAttribute('aria-pressed')";
    for pressed in ["true", "false", "true"] {
        filtered.push(clicked(&mut browser, ".filters .differences"));
        assert_eq!(browser.eval(differences), pressed);
    }
    assert_eq!(browser.eval("document.querySelectorAll('.scenario:not([hidden])').length"), 4);
    let mut chosen = Vec::new();
    for _ in 0..3 {
        chosen.push(clicked(&mut browser, ".filters [data-outcome=failed]"));
    }
    println!(
        "ms until painted: opened {opened:.0?}, only differences {filtered:.0?}, one outcome {chosen:.0?}"
    );
    for times in [opened, filtered, chosen] {
        assert!(times.iter().any(|ms| *ms < 1000.0), "{times:?}");
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Milliseconds from a click until its result is painted.
fn clicked(browser: &mut Browser, selector: &str) -> f64 {
    let selector_text = Value::from(selector);
    browser.eval(&format!(
        "{{ const e = document.querySelector({selector_text}); \
         e.addEventListener('click', c => {{ window.took = {PAINTED}.then(end => end - c.timeStamp); }}, {{once: true}}); }}"
    ));
    browser.click(selector);
    browser.eval("window.took").as_f64().unwrap()
}

#[test]
fn every_cell_of_a_large_matrix_is_reached_by_keys() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("large-keys", pages::large());
    browser.open(&file, HASH);
    browser.eval("document.querySelector('td[role=gridcell][tabindex=\"0\"]').focus()");
    let label = "document.activeElement.getAttribute('aria-label')";
    assert!(browser.eval(label).as_str().unwrap().starts_with("ns-0/pod-000 to ns-0/pod-000, 80/tcp ipv4: "));
    browser.key("End");
    assert!(browser.eval(label).as_str().unwrap().starts_with("ns-0/pod-000 to ns-9/pod-199, "));
    for _ in 0..30 {
        browser.key("ArrowDown");
    }
    assert!(browser.eval(label).as_str().unwrap().starts_with("ns-1/pod-030 to ns-9/pod-199, "));
    assert_eq!(
        browser.eval("document.querySelector('table[role=grid]').getAttribute('aria-rowcount')"),
        "201"
    );
    assert_eq!(browser.complaints(), [""; 0]);
}
