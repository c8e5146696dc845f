//! Headers of the PROXY protocol: any bytes are survived, no more is taken than belongs to the header,
//! and what was taken in whole is understood the same however it came.
#![no_main]

use lagwise::protocol::proxy_header::{Step, begins, step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut taken = 0;
    loop {
        match step(&data[..taken]) {
            Ok(Step::Read(count)) => {
                assert!(count > 0);
                if taken == data.len() {
                    return;
                }
                taken = data.len().min(taken + count);
            }
            Ok(Step::Done(said)) => {
                assert!(begins(data));
                assert!(taken <= 4096);
                assert_eq!(step(&data[..taken]), Ok(Step::Done(said)));
                return;
            }
            Err(_) => return,
        }
    }
});
