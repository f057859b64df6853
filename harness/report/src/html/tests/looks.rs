//! Pictures, to be looked at: `target/screenshots/`. What can be told without eyes is asserted.

use super::{super::html, browser::Browser, pages};

#[test]
fn light_and_dark() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("looks", pages::with_policies());
    let background = "getComputedStyle(document.body).backgroundColor";
    let mut seen = Vec::new();
    for scheme in ["light", "dark"] {
        browser.look(1280, 1000, scheme);
        browser.open(&file, "");
        seen.push(browser.eval(background));
        browser.screenshot(&format!("overview-{scheme}"));
        browser.open(&file, "#s=selectors%2Fand-versus-or&t=0&g=0&c=3.0");
        browser.screenshot(&format!("cell-{scheme}"));
    }
    assert_ne!(seen[0], seen[1]);
    // The reader's choice goes before the system's.
    browser.click("#theme");
    assert_eq!(browser.eval(background), seen[0]);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn nothing_sticks_out_of_a_narrow_window() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("narrow", pages::with_policies());
    browser.look(420, 900, "light");
    for hash in ["", "#s=selectors%2Fand-versus-or&t=0&g=0&c=3.0"] {
        browser.open(&file, hash);
        assert_eq!(browser.eval("document.documentElement.scrollWidth"), 420, "{hash}");
    }
    browser.screenshot("narrow");
}

#[test]
fn records_are_compared() {
    let Some(mut browser) = Browser::start() else { return };
    let records = [super::one(pages::with_policies()), pages::changed()].concat();
    assert!(html(&records).contains("calico against flannel"));
    let file = pages::file("compared", &records);
    browser.look(1280, 1000, "light");
    browser.open(&file, "");
    browser.eval("document.querySelector('.patterns details').open = true");
    browser.screenshot("compared");
    assert_eq!(browser.eval("document.querySelectorAll('.record').length"), 2);
    assert_eq!(browser.eval("document.querySelectorAll('.patterns table.differences').length > 0"), true);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// `ci/screenshots.sh` runs it, with the record in `VERDIKT_RECORD`.
#[test]
#[ignore = "makes the pictures of the README from a record"]
fn pictures_of_a_record() {
    let path = std::env::var_os("VERDIKT_RECORD").expect("VERDIKT_RECORD names a record");
    let record: verdikt_model::Record = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut browser = Browser::start().expect("a Chromium in PATH");
    let file = pages::file("pictures", &[("run.json".to_owned(), record)]);
    browser.look(1280, 860, "light");
    browser.open(&file, "");
    browser.screenshot("report-overview");
    for (scheme, name) in [("light", "report-matrix"), ("dark", "report-dark")] {
        browser.look(1280, 860, scheme);
        browser.open(&file, "");
        browser.eval(WIDEST);
        browser.until("document.querySelector('.detail') !== null");
        browser.eval("document.querySelector('.detail').closest('.step').scrollIntoView()");
        browser.screenshot(name);
    }
}

/// Opens the failed scenario with the widest matrix at its first wrong cell.
const WIDEST: &str = "{
    const failed = [...document.querySelectorAll('.scenario:has(> details > summary.fail) > details')].slice(0, 40);
    failed.forEach(d => { d.open = true; });
    const heads = d => d.querySelector('table[role=grid]')?.rows.length ?? 0;
    new Promise(done => setTimeout(done, 500)).then(() => {
        const [first, ...rest] = failed.sort((a, b) => heads(b) - heads(a));
        rest.forEach(d => { d.open = false; });
        first.querySelector('td.c-fail').click();
    });
}";
