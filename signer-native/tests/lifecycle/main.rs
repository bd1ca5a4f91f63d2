//! The life of keys against its rules: every step at every time, and years of rotations.

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod table;
