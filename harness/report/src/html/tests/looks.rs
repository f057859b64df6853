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
