//! `/` for browsers: the status page. One document with its style and script in it, which asks `/status`,
//! `/history` and `/events` of this same lagwise, and nobody else.
//!
//! The page says nothing of this lagwise, and so it is given to everybody: who must say a token says it in
//! the page, which keeps it for the tab and sends it as any other client does.
//!
//! What runs is bound by a Content-Security-Policy to the hashes of the one style and the one script, and
//! names of servers and texts of events get into the page as text only.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const HTML: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

struct Page {
    html: String,
    policy: String,
}

static PAGE: LazyLock<Page> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(digest(&SHA256, text.as_bytes()));
    Page {
        html: HTML.replacen("{style}", STYLE, 1).replacen("{script}", SCRIPT, 1),
        policy: format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; img-src data:; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        ),
    }
});

/// Whether a request is a browser's for the page. Others that ask for `/` are told what there is.
pub fn is_wanted(request: &Request) -> bool {
    let read = [Method::GET, Method::HEAD].contains(request.method());
    read && request.uri().path() == "/" && takes_html(request.headers())
}

fn takes_html(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| value.to_str().is_ok_and(|value| value.contains("text/html")))
}

/// GET /
pub async fn page(headers: HeaderMap) -> Response {
    if !takes_html(&headers) {
        return super::not_found().await.into_response();
    }
    let headers: [(HeaderName, &str); 6] = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE.policy.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // After an upgrade the page is another one.
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "Accept"),
    ];
    (headers, PAGE.html.as_str()).into_response()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_are_whole_and_nothing_comes_from_elsewhere() {
        let html = &PAGE.html;
        assert!(html.contains(&format!("<style>{STYLE}</style>")));
        assert!(html.contains(&format!("<script>{SCRIPT}</script>")));
        assert_eq!((html.matches("<script").count(), html.matches("<style").count()), (1, 1));
        // The name of SVG's own namespace is an address that nobody asks.
        let elsewhere = html.replace("http://www.w3.org/2000/svg", "");
        for bad in ["http:", "https:", "//cdn", "@import", "url(", "innerHTML", "eval(", " style="]
        {
            assert!(!elsewhere.contains(bad), "{bad}");
        }
        // Either would end the element early.
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
    }
}
