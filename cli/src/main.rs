//! txray
fn main() {}
