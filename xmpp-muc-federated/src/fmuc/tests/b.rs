//! What is said, who comes and goes, and where it goes (§6.B).

mod chain;
mod presence;
mod said;
