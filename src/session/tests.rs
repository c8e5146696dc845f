//! What a session holds while its client says nothing.

use std::mem::size_of;

use super::*;

/// The size of what such a function returns.
fn size_of_result<A, B, F>(_: impl Fn(A, B) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn an_idle_client_is_small() {
    // Of the 8 KiB that it may cost: the allocator, tokio and the table of sessions need some, too.
    let (task, session) = (size_of_result(serve), size_of::<Session>());
    assert!(task + session <= 4 << 10, "task {task}, session {session}");
    assert!(task <= 3 << 9, "task {task}: what a command needs belongs in a box of its own");
}
