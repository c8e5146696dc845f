//! The packets that carry state: OK with its session state changes, EOF, ERR, PREPARE_OK.
#![no_main]

use lagwise::protocol::eof::EofPacket;
use lagwise::protocol::ok::changes;
use lagwise::protocol::prepare::PrepareOk;
use lagwise::protocol::{ErrPacket, OkPacket, StatusFlags};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    for session_track in [false, true] {
        let Ok(ok) = OkPacket::parse(data, session_track) else { continue };
        let walked = changes(ok.state).take(data.len() + 1).count();
        assert!(walked <= data.len(), "a walk without end");
        let has_state = ok.status.contains(StatusFlags::SESSION_STATE_CHANGED);
        if session_track == has_state {
            let mut bytes = Vec::new();
            ok.write(&mut bytes);
            assert_eq!(OkPacket::parse(&bytes, session_track), Ok(ok));
        }
    }
    // As the state alone: the walk ends at the first malformed entry.
    let mut broken = false;
    for change in changes(data) {
        assert!(!broken, "something after the malformed entry");
        broken = change.is_err();
    }
    let _ = EofPacket::parse(data);
    let _ = PrepareOk::parse(data);
    if let Ok(err) = ErrPacket::parse(data) {
        let mut bytes = Vec::new();
        err.write(&mut bytes);
        assert_eq!(ErrPacket::parse(&bytes).map(|again| again.code), Ok(err.code));
    }
});
