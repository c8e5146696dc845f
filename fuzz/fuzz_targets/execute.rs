//! COM_STMT_EXECUTE: the types that lagwise puts in for another connection are found there again,
//! and nothing else is changed.
#![no_main]

use lagwise::protocol::execute::{Execute, with_types};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((&[params, attributes], payload)) = data.split_first_chunk::<2>() else { return };
    let (params, attributes) = (u16::from(params), attributes & 1 != 0);
    let Ok(execute) = Execute::parse(payload, params, attributes) else { return };
    let Some(at) = execute.bind_flag_at else {
        assert!(execute.types.is_none());
        return;
    };
    match execute.types {
        Some(types) => {
            // As a later execution leaves them out, and as lagwise puts them back.
            let values = &payload[at + 1 + types.len()..];
            let without = [&payload[..at], &[0], values].concat();
            let short = Execute::parse(&without, params, attributes).unwrap();
            assert_eq!((short.bind_flag_at, short.types), (Some(at), None));
            let whole = with_types(&without, at, types).unwrap();
            assert_eq!(Execute::parse(&whole, params, attributes).unwrap().types, Some(types));
            assert_eq!(whole.len(), payload.len());
            assert_eq!(&whole[at + 1..], &payload[at + 1..]);
        }
        None => assert!(with_types(payload, at, b"\x08\0").is_some()),
    }
});
