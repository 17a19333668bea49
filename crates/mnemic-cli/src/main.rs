//! The command line of Mnemic.

fn main() {}
