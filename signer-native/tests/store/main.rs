//! The store on both databases: every test runs on `SQLite` and on PostgreSQL.

#[cfg(test)]
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "tests of the binary use all of it")]
mod postgres;
#[cfg(test)]
mod suite;
