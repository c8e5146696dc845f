//! The status page in a headless Chromium, before real servers; and what is behind it, as documented.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod browser;
#[path = "../raw/mod.rs"]
mod raw;
#[path = "../support/mod.rs"]
mod support;

use browser::Browser;
use raw::Client;
use serde_json::json;
use support::{Lab, Make, Proxy, eventually, free_port, target_dir};

/// Narrow phones are 360 CSS pixels wide.
const PHONE: u32 = 360;
const DESK: u32 = 1280;

/// The background that the page has, as a brightness from 0 to 255.
const BRIGHTNESS: &str = "getComputedStyle(document.documentElement).backgroundColor
    .match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b) / 3";

/// What sticks out to the right, by name.
const TOO_WIDE: &str = "[...document.querySelectorAll('body *')]
    .filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.unseen, thead')
        && !e.parentElement.closest('.frame, .legend span'))
    .map((e) => e.tagName + '.' + (e.getAttribute('class') || '') + ' ' + e.textContent).join('|')";

fn fits(browser: &mut Browser, width: u32) {
    browser.wait(&format!("innerWidth === {width}"));
    browser.wait("document.documentElement.scrollWidth <= innerWidth");
    assert_eq!(browser.eval(TOO_WIDE), "", "{width} wide");
}

/// The page at both widths, light and dark, as pictures for people.
fn look_at_it(browser: &mut Browser, name: &str) {
    for (width, scheme) in [(PHONE, "light"), (PHONE, "dark"), (DESK, "light"), (DESK, "dark")] {
        browser.look_like(width, scheme);
        fits(browser, width);
        let brightness = browser.eval(BRIGHTNESS).as_f64().unwrap();
        assert_eq!(brightness < 128.0, scheme == "dark", "{scheme}: {brightness}");
        browser.picture(&target_dir().join(format!("page/{name}-{width}-{scheme}.png")));
    }
}

/// The newest lag that the chart's legend has for a server.
fn shown_lag(browser: &mut Browser, server: &str) -> String {
    let find = format!(
        "[...document.querySelectorAll('figure[aria-label=\"Lag of replicas\"] .legend li')]
         .find((e) => e.querySelector('span').textContent === {}).querySelector('b').textContent",
        json!(server)
    );
    browser.eval(&find).as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_live_lab() {
    let lab = Lab::start(Make::MariaDb, 2);
    let proxy = Proxy::start(&lab, "");
    let mut client = Client::app(proxy.port());
    client.run("UPDATE items SET id = id WHERE id = 1");
    let mut browser = Browser::start();
    let root = format!("http://127.0.0.1:{}/", proxy.http_port());
    browser.look_like(DESK, "light");
    browser.open(&root);

    // The topology is drawn, and said.
    browser.wait("!document.getElementById('main').hidden");
    for server in 0..3 {
        let name = json!(lab.address(server));
        browser.wait(&format!(
            "[...document.querySelectorAll('#topology .name')].some((e) => e.textContent === {name})"
        ));
        browser.wait(&format!(
            "document.getElementById('topology').getAttribute('aria-label').includes({name})"
        ));
    }
    browser.wait_text("ready");
    // There are values, and curves once there are two samples.
    browser.wait("document.querySelectorAll('.curve.c1').length > 0");
    eventually("statements are counted", || {
        client.run("SELECT COUNT(*) FROM items");
        let sum = "[...document.querySelectorAll('figure[aria-label=\"Statements per second\"] b')]
                   .reduce((sum, e) => sum + Number(e.textContent), 0)";
        browser.eval(sum).as_f64().unwrap() > 1.0
    });

    // A lag grows.
    lab.stop_applier(2);
    client.run("UPDATE items SET stock = stock + 1");
    let late = lab.address(2);
    eventually("the lag is over a second", || {
        let shown = shown_lag(&mut browser, &late);
        shown.strip_suffix(" s").is_some_and(|lag| lag.parse::<f64>().unwrap() >= 1.0)
    });
    // A replica goes, and that is an event, which is also said.
    lab.kill(1);
    browser.wait(
        "[...document.querySelectorAll('#events li')].some((e) =>
        e.textContent.includes('server is down'))",
    );
    browser.wait("document.getElementById('spoken').textContent.length > 0");
    let gone = json!(lab.address(1));
    browser.wait(&format!(
        "document.querySelector('#topology').getAttribute('aria-label').includes({gone} + ', replica, down')"
    ));
    look_at_it(&mut browser, "lab");
    keyboard_and_tables(&mut browser, &lab);
    // A reload takes a server away: from the pictures as well.
    assert!(proxy.reload(&format!("replicas = [\"{late}\"]\n")));
    browser.wait("document.querySelectorAll('#topology .name').length === 3");
    browser.wait(
        "document.querySelectorAll('figure[aria-label=\"Lag of replicas\"] .legend li').length === 1",
    );
    browser.wait_text("reloaded: ");

    assert_eq!(browser.complaints, [""; 0]);
    let elsewhere = |url: &&String| !url.starts_with(&root) && !url.starts_with("data:");
    assert_eq!(browser.requests.iter().filter(elsewhere).collect::<Vec<_>>(), [""; 0]);
    assert!(browser.requests.len() > 10, "{:?}", browser.requests);
}

/// Everything can be reached and opened with the keyboard alone; tables say what pictures show.
fn keyboard_and_tables(browser: &mut Browser, lab: &Lab) {
    let mut reached = Vec::new();
    browser.eval("document.activeElement.blur()");
    for _ in 0..12 {
        browser.press("Tab");
        let focus = "document.activeElement.id || document.activeElement.textContent";
        let found = browser.eval(focus).as_str().unwrap_or_default().to_owned();
        if found.ends_with("as a table") {
            browser.press("Enter");
        }
        reached.push(found);
    }
    for want in ["Skip to the content", "pause", "Lag of replicas as a table", "events"] {
        assert!(reached.iter().any(|found| found == want), "{want}: {reached:?}");
    }
    browser.wait("document.querySelectorAll('details[open]').length === 6");
    browser.wait(&format!(
        "document.getElementById('servers').innerText.includes({})",
        json!(lab.address(2))
    ));
    browser.wait(
        "[...document.querySelectorAll('figure table')].every((e) =>
        e.tBodies[0].rows.length > 0)",
    );
    look_at_it(browser, "tables");
}

#[test]
fn a_token_is_asked_for_and_kept_to_the_tab() {
    const TOKEN: &str = "token.of.the.page";
    let lab = Lab::start(Make::MariaDb, 0);
    let port = free_port();
    let root = format!("http://127.0.0.1:{port}/");
    let extra = format!("[http]\nlisten = \"127.0.0.1:{port}\"\ntoken = \"{TOKEN}\"\n");
    let mut proxy = Proxy::start_unready_at(&lab, &extra, port);
    proxy.wait_ready();
    let mut browser = Browser::start();
    browser.look_like(PHONE, "dark");
    browser.open(&root);
    browser.wait("document.activeElement.id === 'token'");
    assert_eq!(browser.eval("document.getElementById('main').hidden"), true);
    browser.picture(&target_dir().join("page/token.png"));
    browser.type_in("not-the-right-token");
    browser.press("Enter");
    browser.wait_text("The token is not accepted.");
    browser.type_in(TOKEN);
    browser.press("Enter");
    browser.wait("!document.getElementById('main').hidden");
    browser.wait_text(&lab.address(0));
    assert_eq!(browser.eval("sessionStorage.length + localStorage.length"), 1);
    assert_eq!(browser.eval("document.cookie"), "");
    assert!(!browser.requests.iter().any(|url| url.contains("token")), "{:?}", browser.requests);
    assert!(!browser.text().contains(TOKEN));
    browser.wait(
        "document.getElementById('topology').getAttribute('aria-label')
        .startsWith('lagwise with 1 server, 1 of them at work; ')",
    );
    browser.wait("document.getElementById('charts').textContent.includes('There is no replica.')");
    fits(&mut browser, PHONE);

    // lagwise goes, and another one comes: the page says so, and goes on by itself.
    proxy.terminate();
    browser.wait_text("lagwise does not answer. What is shown is of ");
    browser.wait("document.title === '(no answer) lagwise'");
    browser.picture(&target_dir().join("page/silent.png"));
    let mut next = Proxy::start_unready_at(&lab, &extra, port);
    next.wait_ready();
    browser.wait("document.getElementById('spoken').textContent.includes('started anew')");
    browser.wait("document.title === 'lagwise'");
    assert!(!browser.text().contains("does not answer"));

    // It is forgotten on demand.
    browser.loads(|browser| {
        browser.eval("document.getElementById('forget').click()");
    });
    browser.wait("document.activeElement.id === 'token' && sessionStorage.length === 0");
    many_servers(&mut browser, &root);
    // Chromium itself complains about each request that is refused or that nobody answers.
    let network = |text: &&String| !text.contains(r#""source":"network""#);
    assert_eq!(browser.complaints.iter().filter(network).collect::<Vec<_>>(), [""; 0]);
}

/// Fifty servers with long and hostile names, which no lab has: nothing sticks out, and names are text.
fn many_servers(browser: &mut Browser, root: &str) {
    let script = json!({ "source": include_str!("many.js") });
    browser.order("Page.addScriptToEvaluateOnNewDocument", script);
    browser.look_like(DESK, "light");
    browser.open(root);
    browser.wait("document.querySelectorAll('#topology .name').length === 51");
    browser.wait("document.querySelectorAll('#events li').length === 100");
    assert!(browser.text().contains("server is down db-7<img src=x onerror="));
    let label =
        browser.eval("document.getElementById('topology').getAttribute('aria-label').length");
    assert!(label.as_u64().unwrap() < 4000, "{label}");
    // No two of the first 36 lines look the same.
    browser.wait(
        "new Set([...document.querySelectorAll('.legend')[0].querySelectorAll('path')].slice(0, 36)
        .map((e) => e.getAttribute('class'))).size === 36",
    );
    look_at_it(browser, "many");
    browser.eval("document.querySelectorAll('details').forEach((e) => { e.open = true; })");
    browser.wait("document.querySelectorAll('figure table')[0].tBodies[0].rows.length > 9");
    // Too tall for a picture.
    for width in [PHONE, DESK] {
        browser.look_like(width, "light");
        fits(browser, width);
    }
    assert_eq!(browser.eval("document.querySelectorAll('img').length"), 0);
}
