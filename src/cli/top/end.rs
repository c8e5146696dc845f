//! Signals that end `lagwise top`: without a handler they would leave the terminal as it needs it, in
//! which nothing that is typed is seen.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// What turns true when SIGTERM, SIGHUP, SIGINT or SIGQUIT has come.
///
/// # Errors
/// There are no handlers to be had.
pub(super) fn on_signals() -> io::Result<Arc<AtomicBool>> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    let mut signals = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::interrupt())?,
            signal(SignalKind::quit())?,
        )
    };
    let is_over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_over);
    // It ends with the process.
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (terminate, hangup, interrupt, quit) = &mut signals;
            tokio::select! {
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
                _ = interrupt.recv() => {}
                _ = quit.recv() => {}
            }
        });
        told.store(true, Ordering::Relaxed);
    });
    Ok(is_over)
}
