//! The `edgeseal` command.
fn main() {}
