//! Keys alone, and what a screen reader is told.

use super::{browser::Browser, pages};

fn tab_to(browser: &mut Browser, what: &str) {
    for _ in 0..200 {
        browser.key("Tab");
        if browser.eval(&format!("document.activeElement.matches('{what}')")) == true {
            return;
        }
    }
    panic!("200 times Tab do not lead to {what}");
}

#[test]
fn a_cell_is_found_and_opened_by_keys() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("keyboard", pages::with_policies());
    browser.open(&file, "");
    tab_to(&mut browser, ".scenario summary");
    browser.key("Enter");
    browser.until("document.querySelectorAll('td[role=gridcell]').length > 0");
    tab_to(&mut browser, "td[role=gridcell]");
    let label = "document.activeElement.getAttribute('aria-label')";
    // The first cell that is wrong.
    let wrong = "z/a to x/a, 80/tcp, 81/tcp ipv4, ipv6: expected deny, observed allowed, fail";
    assert_eq!(browser.eval(label), wrong);
    browser.key("ArrowRight");
    browser.key("ArrowUp");
    assert_eq!(
        browser.eval(label),
        "x/c to x/b, 80/tcp, 81/tcp ipv4, ipv6: expected allow, observed allowed, pass"
    );
    browser.key("Home");
    browser.key("ArrowDown");
    assert_eq!(browser.eval(label), wrong);
    assert_eq!(
        browser.eval("document.activeElement.closest('table').querySelectorAll('td[tabindex=\"0\"]').length"),
        1
    );

    browser.key("Enter");
    assert_eq!(browser.eval(label), format!("Cell: {wrong}"));
    let detail = browser.eval("document.activeElement.innerText");
    let detail = detail.as_str().unwrap();
    for part in [
        "z/a → x/a",
        "deny (dropped or rejected)",
        "80/tcp ipv4",
        "ipblock-pods – ipBlock and the addresses of pods (N20, left open)",
        "policy x/p isolates x/a for ingress",
        "verdikt run --sandbox flannel --exact selectors/and-versus-or --cell 'z/a -> x/a:80/tcp over ipv4'",
        "In force at this step",
        "kind: NetworkPolicy",
    ] {
        assert!(detail.contains(part), "{part} is not in\n{detail}");
    }
    // A link to this cell shows it again.
    let address = browser.eval("location.hash");
    browser.open(&file, address.as_str().unwrap());
    assert_eq!(browser.eval("document.querySelector('.detail h5').textContent"), "z/a → x/a");
    assert_eq!(browser.eval("document.querySelectorAll('.scenario details[open]').length > 0"), true);

    browser.eval("document.querySelector('.detail').focus()");
    browser.key("Escape");
    assert_eq!(browser.eval("document.querySelectorAll('.detail').length"), 0);
    assert_eq!(browser.eval(label), wrong);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_screen_reader_is_told_everything() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("accessible", pages::with_policies());
    browser.open(&file, "#s=selectors%2Fand-versus-or&t=0&g=0&c=3.0");
    let tree = browser.accessible();
    let has = |role: &str, name: &str| tree.iter().any(|(r, n)| r == role && n == name);
    assert!(has("grid", "Observed, 80/tcp, 81/tcp ipv4, ipv6; rows connect to columns"));
    assert!(has("gridcell", "z/a to x/a, 80/tcp, 81/tcp ipv4, ipv6: expected deny, observed allowed, fail"));
    assert!(has("rowheader", "z/a") && has("columnheader", "x/a"));
    assert!(has("searchbox", "Search in names and summaries"));
    assert!(has("button", "Copy the command"));
    // Nothing that can be used goes without a name.
    for (role, name) in &tree {
        let usable =
            ["button", "link", "textbox", "searchbox", "combobox", "gridcell", "grid", "DisclosureTriangle"];
        assert!(!usable.contains(&role.as_str()) || !name.is_empty(), "a {role} without a name");
    }
}

#[test]
fn filters_are_in_the_address() {
    let Some(mut browser) = Browser::start() else { return };
    let file = pages::page("filters", pages::with_policies());
    browser.open(&file, "");
    let shown =
        "[...document.querySelectorAll('.scenario:not([hidden]) .name')].map(n => n.textContent).join(' ')";
    browser.click(".filters [data-outcome=failed]");
    assert_eq!(browser.eval(shown), "selectors/and-versus-or");
    assert_eq!(browser.eval("location.hash"), "#o=failed");
    browser.click(".filters [data-outcome=failed]");
    assert_eq!(browser.eval("location.hash"), "");
    browser.click(".filters .differences");
    // A flaky cell and a known deviation are differences of a scenario that passed.
    assert_eq!(browser.eval(shown), "selectors/and-versus-or ports/named field/three-tier");
    browser.open(&file, "#q=sctp&l=core&f=selectors");
    assert_eq!(browser.eval(shown), "sctp/port-match");
    assert_eq!(browser.eval("document.querySelector('.filters .shown').textContent"), "1 of 5 scenarios");
    assert_eq!(browser.eval("document.querySelector('.filters [type=search]').value"), "sctp");
}
