//! A commit that stalls, as it does on a disk or for a standby that does not answer.

use edgeseal_signer::audit::{Blinding, Chain, Event, Log, chain::Row};

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
