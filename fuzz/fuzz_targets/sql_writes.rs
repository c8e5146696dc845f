//! What writes, locks or lives on a connection is never sent to a replica, whatever its dress.
#![no_main]

#[path = "support/grammar.rs"]
mod grammar;
#[path = "support/texts.rs"]
#[allow(dead_code)]
mod texts;

use lagwise::route::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&how, choices)) = data.split_first() else { return };
    let mode = texts::mode(how);
    let sql = grammar::dangerous(&mut grammar::Choices(choices), &mode);
    let route = texts::route(sql.as_bytes(), &mode);
    assert_eq!(route.target, Target::Primary, "{sql}\n{mode:?} {route:?}");
});
