//! A commit that stalls, as it does on a disk or for a standby that does not answer.

use std::{collections::BTreeMap, net::SocketAddr, process::Command, str::FromStr as _, sync::Arc, time::Instant};

use edgeseal_signer::{
    agents::{AgentRoots, Directory, Known},
    audit::{Blinding, Chain, Event, Log, chain::Row},
    http::listener::Peer,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgConnectOptions};

use super::*;

/// Only on PostgreSQL does a commit go on when whoever waits for it gives up, unseen by all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_stalls_breaks_no_chain() {
    let place = postgres("stalled");
    let StoreSettings::Postgres(PostgresSettings { url, .. }) = place.settings.clone() else { panic!("{place:?}") };
    let store = place.open().await;
    let (log, end) = Log::begin(store.clone(), Duration::from_millis(500), Blinding::none()).await.unwrap();
    // Looked at by the commit itself, which waits there for a lock that somebody else holds.
    for sql in [
        "CREATE FUNCTION stall() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER stall AFTER INSERT ON audit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stall()",
    ] {
        postgres::shared().sql(&url, sql);
    }
    let holder = url.clone();
    let held = std::thread::spawn(move || postgres::shared().sql(&holder, "SELECT pg_advisory_lock(1), pg_sleep(4)"));
    let holders = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 1 AND granted \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    while postgres::shared().sql(&url, holders) != "1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let announce = |subject: &'static str| log.append(Event::new("agent:a", "token.intent", subject));
    announce("stalled").await.unwrap_err();
    while !held.is_finished() {
        // Other connections are there for others meanwhile.
        assert_eq!(store.keys().await.unwrap(), []);
        let _ = announce("meanwhile").await;
    }
    while announce("after").await.is_err() {}
    end.end().await;

    let rows = store.audit_page(log.chain(), None, 1_000).await.unwrap();
    let mut chain = Chain::new(log.chain());
    let mut subjects = Vec::new();
    for row in &rows {
        let read = Row::read(&row.hash, &row.body).unwrap();
        chain.follow(&read).unwrap();
        subjects.push(read.text("subject").to_owned());
    }
    assert_eq!(subjects.iter().filter(|subject| *subject == "stalled").count(), 1, "{subjects:?}");
    assert!(subjects.contains(&"after".to_owned()), "{subjects:?}");
    assert_eq!(store.audit_end(log.chain()).await.unwrap(), chain);
}

/// Nobody else comes to this table until the connection is dropped.
async fn lock(table: &str, url: &str) -> PgConnection {
    let options = PgConnectOptions::from_str(url).unwrap().password(postgres::PASSWORD);
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    for sql in ["BEGIN".to_owned(), format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")] {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    connection
}

/// A process that does nothing until this is dropped.
struct Stopped(String);

impl Stopped {
    fn new(pid: String) -> Self {
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        Self(pid)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-CONT", &self.0]).status();
    }
}

/// A server that stopped in the middle of a statement says nothing, and TCP alone would wait for it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_ever() {
    let place = postgres("silent");
    let StoreSettings::Postgres(PostgresSettings { url, .. }) = place.settings.clone() else { panic!("{place:?}") };
    let store = place.open().await;
    assert_eq!(store.keys().await.unwrap(), []);
    let locked = lock("keys", &url).await;
    let waiting = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'edgeseal' \
                   AND wait_event_type = 'Lock'";
    let ask = || {
        let store = store.clone();
        tokio::spawn(async move { store.keys().await.unwrap_err().to_string() })
    };
    // PostgreSQL ends the statement itself.
    let refused = ask().await.unwrap();
    assert!(refused.contains("statement timeout"), "{refused}");
    // One that is stopped does not even do that.
    let asked = ask();
    let mut pid = String::new();
    while pid.is_empty() && !asked.is_finished() {
        pid = postgres::shared().sql(&url, waiting);
    }
    let stopped = Stopped::new(pid);
    let refused = asked.await.unwrap();
    assert!(refused.contains("no answer within 11 s"), "{refused}");
    drop(locked);
    // Another connection is made in the place of that one.
    let began = Instant::now();
    while let Err(refused) = store.keys().await {
        assert!(began.elapsed() < Duration::from_secs(30), "{refused}");
    }
    drop(stopped);
}

/// The way to the server, as its clients have it: a socket of its own, whose connections of one moment can be held up for good while
/// others come through.
struct Way {
    folder: tempfile::TempDir,
    held_up: tokio::sync::watch::Sender<()>,
}

impl Way {
    fn to(folder: &str) -> Self {
        let way = Self { folder: tempfile::tempdir().unwrap(), held_up: tokio::sync::watch::Sender::new(()) };
        let listener = tokio::net::UnixListener::bind(way.folder.path().join(".s.PGSQL.5432")).unwrap();
        let (server, held_up) = (format!("{folder}/.s.PGSQL.5432"), way.held_up.clone());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut server, mut held_up) = (tokio::net::UnixStream::connect(&server).await.unwrap(), held_up.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
                        // Open, and silent.
                        _ = held_up.changed() => std::future::pending().await,
                    }
                });
            }
        });
        way
    }
}

/// A host that vanished takes no places of the pool with it: what it leaves unanswered is closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_vanishes_takes_no_connection_with_it() {
    let place = postgres("vanished");
    let StoreSettings::Postgres(PostgresSettings { url, password }) = place.settings.clone() else { panic!("{place:?}") };
    let (_, folder) = url.split_once("?host=").unwrap();
    let way = Way::to(folder);
    let of_clients = url.replace(folder, way.folder.path().to_str().unwrap());
    let store = Store::open(&StoreSettings::Postgres(PostgresSettings { url: of_clients, password })).await.unwrap();
    let locked = [lock("keys", &url).await, lock("audit", &url).await];
    // All eight: statements by themselves, and within transactions.
    let reads: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn({
                let store = store.clone();
                async move { store.keys().await.map(drop) }
            })
        })
        .collect();
    let appends = (0..4).map(|chain| {
        let store = store.clone();
        tokio::spawn(async move { store.append_audit(vec![row(&format!("vanished-{chain}"), 1)]).await })
    });
    let asked: Vec<_> = reads.into_iter().chain(appends).collect();
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'edgeseal' \
                   AND wait_event_type = 'Lock'";
    while postgres::shared().sql(&url, waiting) != "8" {
        assert!(asked.iter().all(|asked| !asked.is_finished()));
    }
    way.held_up.send_replace(());
    for asked in asked {
        let refused = asked.await.unwrap().unwrap_err().to_string();
        assert!(refused.contains("no answer within"), "{refused}");
    }
    drop(locked);
    let began = Instant::now();
    let again = (0..8).map(|chain| {
        let store = store.clone();
        tokio::spawn(async move {
            store.append_audit(vec![row(&format!("again-{chain}"), 1)]).await?;
            store.keys().await
        })
    });
    for again in again.collect::<Vec<_>>() {
        assert_eq!(again.await.unwrap().unwrap(), []);
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// With the database away each request hears of it in the time that one question takes.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_in_line_for_a_store_that_is_away() {
    let place = postgres("away");
    let StoreSettings::Postgres(PostgresSettings { url, .. }) = place.settings.clone() else { panic!("{place:?}") };
    let store = place.open().await;
    let roots = AgentRoots::new();
    let directory = Arc::new(Directory::new(BTreeMap::new(), roots, store, Duration::from_secs(15)));
    let peer = Peer {
        address: SocketAddr::from(([127, 0, 0, 1], 1)),
        agent: None,
        fingerprint: None,
        issuer: None,
        not_after: None,
        admin: None,
    };
    let identify = || {
        let (directory, peer) = (Arc::clone(&directory), peer.clone());
        tokio::spawn(async move { directory.identify(&peer).await })
    };
    let locked = lock("versions", &url).await;
    let began = Instant::now();
    let asked: Vec<_> = (0..20).map(|_| identify()).collect();
    for asked in asked {
        let refused = asked.await.unwrap().unwrap_err().to_string();
        assert!(refused.contains("no answer within 2 s"), "{refused}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    drop(locked);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(matches!(identify().await.unwrap(), Ok(Known::Nobody(_))));
}

/// An end is one of rows that are there, of a chain that nobody has written to as well; and asking leaves nothing behind.
pub(super) async fn the_end_of_a_chain(place: Place) {
    let store = place.open().await;
    assert_eq!(store.audit_end("a").await.unwrap(), Chain::new("a"));
    assert_eq!(store.audit_sums().await.unwrap(), (0, 0, 0));
    store.append_audit(vec![row("a", 1), row("a", 2), row("b", 1)]).await.unwrap();
    assert_eq!(store.audit_end("a").await.unwrap(), Chain::at("a", 2, "hash-a-2"));
    assert_eq!(store.audit_end("c").await.unwrap(), Chain::new("c"));
    store.append_audit(vec![row("a", 3)]).await.unwrap();
    assert_eq!(store.audit_end("a").await.unwrap(), Chain::at("a", 3, "hash-a-3"));
    assert_eq!(store.audit_sums().await.unwrap(), (4, 2, 4));
}
