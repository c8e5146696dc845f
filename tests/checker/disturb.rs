//! What happens to replicas meanwhile: they lag, apply nothing for a while, and restart.

use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::support::Lab;

/// Ever new disturbances until then; what was done is undone. One replica restarts, if it `restarts`.
pub fn disturb(lab: &Lab, seed: u64, until: Instant, restarts: bool) {
    let mut random = Rng::with_seed(seed);
    let mut to_restart = restarts;
    while Instant::now() < until {
        let server = random.usize(1..lab.count());
        match random.u8(0..12) {
            0..3 => lab.stop_applier(server),
            3..8 => lab.start_applier(server),
            8..10 => lab.set_source_delay(server, 1),
            10 => lab.set_source_delay(server, 0),
            _ if to_restart => {
                to_restart = false;
                lab.shut_down(server);
                lab.restart(server);
            }
            _ => {}
        }
        // Load, not a wait for something.
        let pause = Duration::from_millis(random.u64(20..250));
        std::thread::sleep(pause.min(until.saturating_duration_since(Instant::now())));
    }
    for server in 1..lab.count() {
        lab.set_source_delay(server, 0);
    }
}
