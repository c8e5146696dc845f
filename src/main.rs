//! The `lagwise` command.
fn main() {}
