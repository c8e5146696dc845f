//! What other connections are told of a session.

use super::*;

/// What a connection in the session's schema is told, as text.
pub(super) fn replay(state: &mut SessionState, side: Side) -> Option<String> {
    let begun = Image::new(
        state.replayed.image(side).is_reset(),
        state.schema().unwrap_or_default(),
        None,
        [],
    );
    let switch = begun.switch(state.replayed.image(side), b"").unwrap();
    assert_eq!(switch.schema, None);
    switch.set.map(|sql| String::from_utf8(sql).unwrap())
}

#[test]
fn what_is_reported_is_replayed() {
    #[track_caller]
    fn check(changes: &[Vec<u8>], want: Option<&str>) {
        let mut bed = bed();
        for change in changes {
            bed.ok(Side::Primary, "SET x = y", AUTOCOMMIT, change);
        }
        let mut replay = |side| replay(&mut bed.state, side);
        assert_eq!(replay(Side::Replica).as_deref(), want);
        let changed = replay(Side::Primary).is_some();
        assert_eq!(bed.state.hold(), None);
        assert_eq!(bed.state.replayed.version() > 1, changed, "a version for each change");
    }
    check(&[], None);
    check(&[variable("time_zone", "UTC")], Some("SET SESSION time_zone='UTC'"));
    check(
        &[variable("time_zone", "UTC"), variable("time_zone", "SYSTEM")],
        Some("SET SESSION time_zone='SYSTEM'"),
    );
    check(&[variable("autocommit", "OFF")], None);
}
