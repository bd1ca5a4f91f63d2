//! The binary as its users meet it: a real `SoftHSM` token for every test, the command line, HTTPS.

// Marked as tests so that helpers beside the test functions may unwrap as well.
#[cfg(test)]
mod admin;
#[cfg(test)]
mod agent;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod console;
#[cfg(test)]
mod digests;
#[cfg(test)]
mod drills;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod enrolment;
#[cfg(test)]
mod evidence;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod held;
#[cfg(test)]
mod issuing;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod layer;
#[cfg(test)]
mod links;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod mistakes;
#[cfg(test)]
mod modules;
#[cfg(test)]
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "tests of the store use all of it")]
mod postgres;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod profiles;
#[cfg(test)]
mod renewal;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod running;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod shares;
#[cfg(test)]
mod support;
#[cfg(test)]
mod traces;
