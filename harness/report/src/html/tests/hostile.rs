//! What others have written does nothing but stand there.

use super::{browser::Browser, pages::page};
use crate::{escape::escape, sample};

/// Every element and attribute that pages are made of.
const ELEMENTS: &str = "html head meta title style body a header p svg rect main section h1 h2 h3 h4 h5 h6 div span \
    strong b ul ol li dl dt dd table caption thead tbody tr th td details summary pre code button select option input \
    canvas noscript script";

#[test]
fn a_hostile_record_is_inert() {
    let Some(mut browser) = Browser::start() else { return };
    let file = page("hostile", sample::hostile());
    browser.open(&file, "");
    // Every fold is opened, every matrix drawn, and a cell of each kind of scenario opened.
    browser.eval("document.querySelectorAll('details').forEach(d => { d.open = true; })");
    browser.until("document.querySelectorAll('td[role=gridcell]').length > 0");
    browser.eval("document.querySelectorAll('.matrix').forEach(m => m.scrollIntoView())");
    browser.eval("[...document.querySelectorAll('.matrix')].slice(0, 40).forEach(m => m.querySelector('td[role=gridcell]')?.click())");
    browser.until("document.querySelectorAll('.detail').length > 5");

    let elements = browser.eval("[...new Set([...document.querySelectorAll('*')].map(e => e.localName))]");
    for element in elements.as_array().unwrap() {
        let name = element.as_str().unwrap();
        assert!(ELEMENTS.split_whitespace().any(|known| known == name), "<{name}>");
    }
    assert_eq!(browser.eval("document.scripts.length"), 2);
    let handlers = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).map(a => a.name) \
                    .filter(n => n.startsWith('on') || n === 'style' || n === 'src' || n === 'srcdoc')";
    // Set through the object model: the sizes of maps, which these matrices do not need.
    assert_eq!(browser.eval(handlers), serde_json::json!([]));
    let links = "[...document.querySelectorAll('a')].map(a => a.getAttribute('href')) \
                 .filter(h => !h.startsWith('#') && !/^https?:[!-~]*$/.test(h))";
    assert_eq!(browser.eval(links), serde_json::json!([]));

    // What was written is seen as it was written.
    let text = browser.eval("document.body.textContent");
    let text = text.as_str().unwrap();
    for written in sample::hostile_texts() {
        assert!(text.contains(&*escape(&written)), "{written:?}");
    }
    let seen = browser.eval("document.querySelector('main').innerText");
    assert!(!seen.as_str().unwrap().chars().any(|c| c != '\n' && c != '\t' && crate::escape::is_harmful(c)));

    assert_eq!(browser.complaints(), [""; 0]);
    assert_eq!(browser.requests(), [""; 0]);
    browser.look(1280, 900, "light");
    browser.screenshot("hostile");
}

#[test]
fn an_address_cannot_make_the_page_do_anything() {
    let Some(mut browser) = Browser::start() else { return };
    let file = page("address", sample::record());
    for hash in [
        "#o=%3Cscript%3E,constructor,__proto__&l=x&f=__proto__&r=99&s=__proto__&t=-1&g=1e9&c=0.0",
        "#s=selectors%2Fand-versus-or&t=7&g=99999&c=99999.99999&r=0",
        "#s=selectors%2Fand-versus-or&t=0&g=99999&c=1.1",
        "#%%%&q=%00%1b%3Cimg%3E",
    ] {
        browser.open(&file, hash);
        assert_eq!(browser.eval("document.querySelectorAll('.scenario').length"), 5, "{hash}");
        assert_eq!(browser.complaints(), [""; 0], "{hash}");
    }
}

#[test]
fn the_policy_stops_what_the_page_itself_would_try() {
    let Some(mut browser) = Browser::start() else { return };
    let file = page("policy", sample::record());
    browser.open(&file, "");
    let tried = browser.eval(
        "(async () => {
            const tried = {};
            try { document.body.innerHTML = '<b>x</b>'; tried.markup = true; } catch { tried.markup = false; }
            try { await fetch('file:///etc/hostname'); tried.fetch = true; } catch { tried.fetch = false; }
            const image = document.createElement('img');
            tried.image = await new Promise(done => {
                image.onload = () => done(true); image.onerror = () => done(false);
                image.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA='; });
            return tried; })()",
    );
    assert_eq!(tried, serde_json::json!({"markup": false, "fetch": false, "image": false}));
}
