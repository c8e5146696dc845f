//! What is sent to a replica holds nothing dangerous in the eyes of a scanner that knows nothing of the
//! classifier.
#![no_main]

#[path = "support/naive.rs"]
mod naive;
#[path = "support/texts.rs"]
mod texts;

use lagwise::route::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&how, bytes)) = data.split_first() else { return };
    let mode = texts::mode(how);
    let sql = texts::expand(bytes);
    let route = texts::route(&sql, &mode);
    if route.target == Target::Replica {
        let danger = naive::danger(&sql, &mode);
        assert_eq!(danger, None, "{}\n{mode:?} {route:?}", String::from_utf8_lossy(&sql));
    }
});
