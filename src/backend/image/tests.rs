//! From one state to another.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::protocol::ok::write_system_variable;

fn initial() -> Vec<u8> {
    let mut reported = Vec::new();
    write_system_variable(&mut reported, b"sql_mode", b"TRADITIONAL");
    write_system_variable(&mut reported, b"collation_connection", b"utf8mb4_bin");
    reported
}

fn image(schema: &str, names: Option<&str>, variables: &[(&str, &str)]) -> Image {
    let variables = variables.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    Image::new(false, schema.as_bytes(), names.map(str::as_bytes), variables)
}

#[track_caller]
fn check(from: &Image, to: &Image, schema: Option<&str>, set: Option<&str>) {
    let got = from.switch(to, &initial()).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert_eq!(got.schema.as_deref().map(text).as_deref(), schema);
    assert_eq!(got.set.as_deref().map(text).as_deref(), set);
    assert_eq!(from == to, got.is_empty());
    assert_eq!(from == to, from.fingerprint() == to.fingerprint());
}

#[test]
fn only_what_differs_is_sent() {
    let plain = Image::default();
    let shop = image("shop", None, &[]);
    let ansi = image("shop", None, &[("sql_mode", "ANSI"), ("time_zone", "+01:00")]);
    let other = image("blog", None, &[("autocommit", "OFF"), ("time_zone", "+01:00")]);
    check(&plain, &plain, None, None);
    check(&ansi, &ansi.clone(), None, None);
    check(&plain, &shop, Some("shop"), None);
    let set = "SET SESSION sql_mode='ANSI', SESSION time_zone='+01:00'";
    check(&shop, &ansi, None, Some(set));
    // What was reported at the login is set, and the server's default of what was not.
    let set = "SET SESSION sql_mode='TRADITIONAL', SESSION time_zone=DEFAULT";
    check(&ansi, &shop, None, Some(set));
    let set = "SET SESSION sql_mode='TRADITIONAL', SESSION autocommit='OFF'";
    check(&ansi, &other, Some("blog"), Some(set));
}

#[test]
fn character_sets_are_said_as_a_whole() {
    let (results, collation) = ("character_set_results", "collation_connection");
    let shop = image("shop", None, &[]);
    let german = image("shop", Some("NAMES 'latin1' COLLATE 'latin1_german1_ci'"), &[]);
    let latin1 = image("shop", None, &[("character_set_client", "latin1"), (results, "")]);
    let both = image(
        "shop",
        Some("NAMES 'latin1' COLLATE 'latin1_bin'"),
        &[(results, "utf8mb4"), (collation, "latin1_general_ci"), ("sql_mode", "")],
    );
    check(&shop, &german, None, Some("SET NAMES 'latin1' COLLATE 'latin1_german1_ci'"));
    check(&german, &shop, None, Some("SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin'"));
    let set = "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_bin', SESSION character_set_client='latin1', \
               SESSION character_set_results=NULL";
    check(&german, &latin1, None, Some(set));
    let set = "SET SESSION character_set_client='latin1', SESSION character_set_results=NULL";
    check(&shop, &latin1, None, Some(set));
    let set = "SET NAMES 'latin1' COLLATE 'latin1_bin', SESSION character_set_results='utf8mb4', \
               SESSION collation_connection='latin1_general_ci', SESSION sql_mode=''";
    check(&shop, &both, None, Some(set));
}

#[test]
fn what_cannot_be_reached() {
    let shop = image("shop", None, &[]);
    let plain = Image::default();
    let reset = Image::new(true, b"shop", None, []);
    assert_eq!(shop.switch(&plain, &initial()), Err(Unreachable), "no schema");
    assert_eq!(shop.switch(&reset, &initial()), Err(Unreachable));
    assert_eq!(reset.switch(&shop, &initial()), Err(Unreachable));
    let german = image("shop", Some("NAMES 'latin1' COLLATE 'latin1_german1_ci'"), &[]);
    assert_eq!(german.switch(&shop, b""), Err(Unreachable), "the login's is not known");
    assert!(shop.switch(&german, b"").is_ok());
    let strange = image("shop", None, &[("init_connect", "it's")]);
    assert_eq!(shop.switch(&strange, &initial()), Err(Unreachable));
    assert_ne!(shop.fingerprint(), reset.fingerprint());
}
