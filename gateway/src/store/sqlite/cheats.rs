//! Somebody who writes to the file past us: the schema itself refuses.

use std::os::unix::fs::PermissionsExt;

use chrono::TimeDelta;
use countersign_shared::request::State;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, SqliteConnection, sqlite::SqliteConnectOptions};

use super::{
    super::{
        GrantEnd, How, NewRequest, PendingLink, Store, StoreError,
        allowances::{AllowanceEnd, Allowances as _, Denial, HowEnded},
        conformance::{agent, approval_of, digest_of, led_to, now, pending, released_wish, see, term_of, user},
        conformance_allowances::{allowance_of, approved_for_a_time},
        conformance_steps::approved_by_steps,
        steps::{StepEnd, Steps as _},
    },
    SqliteStore,
    races::fresh,
};

/// A connection that is not the store's, with everything off that SQLite lets a client turn off
/// without changing the schema.
async fn cheater(url: &str) -> SqliteConnection {
    let path = url.strip_prefix("sqlite://").unwrap();
    SqliteConnectOptions::new().filename(path).foreign_keys(false).connect().await.unwrap()
}

fn approval_row(new: &NewRequest, verb: &str, columns: &str) -> String {
    let at = now().timestamp_nanos_opt().unwrap();
    format!(
        "{verb} INTO approvals (request, digest, principal, issuer, subject, owner, assurance, at_ns, evidence, signature)
         VALUES ('{}', '{}', {columns}, 'cli', {at}, 'e', 's')",
        new.id, new.digest
    )
}

/// Runs a cheat, and makes sure that a wall or a check stopped it, not a slip of the pen.
async fn refused(db: &mut SqliteConnection, sql: &str, case: &str) {
    let said = db.execute(AssertSqlSafe(sql.to_owned())).await.expect_err(case).to_string();
    assert!(said.contains("wall:") || said.contains("CHECK constraint"), "{case}: {said}");
}

const VERBS: [&str; 4] = ["INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "INSERT OR ROLLBACK"];

#[tokio::test]
async fn nobody_writes_an_approval_that_is_not_another_humans() {
    let (_folder, url, store) = fresh().await;
    for human in [user("ben"), user("priya"), agent("deploy", "ana"), agent("bot", "ben")] {
        see(&store, &human).await;
    }
    let by_ana = pending(&store, user("ana")).await;
    let by_agent = pending(&store, agent("deploy", "ana")).await;
    let decided = pending(&store, user("ana")).await;
    store.add_approval(&approval_of(&decided, user("priya"))).await.unwrap();
    let denied = led_to(&store, State::Denied).await;
    let approved = led_to(&store, State::Approved).await;
    let nowhere = super::super::conformance::request_by(user("ana"));
    let other_bytes = NewRequest { digest: digest_of("other"), ..by_ana.clone() };
    let ben = "'ben@acme.dev', 'https://idp', 'sub-ben', NULL";
    let table = [
        ("the requester", &by_ana, "'ana@acme.dev', 'https://idp', 'sub-ana', NULL"),
        ("the requester in capitals", &by_ana, "'ANA@ACME.DEV', 'https://idp', 'sub-ana', NULL"),
        ("the requester under another subject", &by_ana, "'ana@acme.dev', 'https://idp', 'x', NULL"),
        ("the requester's subject under another name", &by_ana, "'ben@acme.dev', 'https://idp', 'sub-ana', NULL"),
        ("the owner of the agent", &by_agent, "'Ana@acme.dev', 'https://idp', 'sub-ana', NULL"),
        ("the owner's subject under another name", &by_agent, "'ben@acme.dev', 'https://idp', 'sub-ana', NULL"),
        ("an agent", &by_ana, "'bot', 'https://idp', 'sub-bot', 'ben@acme.dev'"),
        ("an agent that hides its owner", &by_ana, "'bot', 'https://idp', 'sub-bot', NULL"),
        ("a user who says to be an agent", &by_ana, "'ben@acme.dev', 'https://idp', 'sub-ben', 'x'"),
        ("somebody whom nobody has seen", &by_ana, "'zoe@acme.dev', 'https://idp', 'sub-zoe', NULL"),
        ("the same human twice", &decided, "'PRIYA@acme.dev', 'https://idp', 'sub-priya', NULL"),
        ("a request that was denied", &denied, ben),
        ("a request that is approved already", &approved, ben),
        ("a request that is not there", &nowhere, ben),
        ("other bytes than were asked for", &other_bytes, ben),
    ];
    let mut db = cheater(&url).await;
    for (case, new, columns) in table {
        for verb in VERBS {
            let sql = approval_row(new, verb, columns);
            refused(&mut db, &sql, &format!("{verb}: {case}")).await;
        }
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM approvals").fetch_one(&mut db).await.unwrap();
    assert_eq!(count, 2, "priya's two, and no other");
    // What the refusals above prove rests on this: another human's approval is taken.
    db.execute(AssertSqlSafe(approval_row(&by_ana, "INSERT", ben))).await.unwrap();
}

#[tokio::test]
async fn nobody_rewrites_what_was_asked_agreed_or_ended() {
    let (_folder, url, store) = fresh().await;
    see(&store, &user("ben")).await;
    let waiting = pending(&store, user("ana")).await.id;
    let approved = led_to(&store, State::Approved).await.id;
    let released = led_to(&store, State::Released).await.id;
    let done = led_to(&store, State::Done).await.id;
    let card = countersign_shared::api::CardRef { channel: "C".into(), ts: "1".into() };
    store.set_card(&approved, &card).await.unwrap();
    let slack = |user: &str| countersign_shared::bot_token::SlackAccount {
        team: "T1".into(),
        user: user.into(),
        name: String::new(),
        email: None,
        full_member: true,
    };
    for (nonce, who) in [("n1", "U1"), ("n2", "U2")] {
        let expires_at = now() + TimeDelta::minutes(1);
        store.start_link(&PendingLink { nonce: nonce.into(), slack: slack(who), expires_at }).await.unwrap();
    }
    store.complete_link("n1", "ana@acme.dev", false, now()).await.unwrap();

    let term = term_of(&released_wish(&store, 3600, None).await);
    store.give(&term).await.unwrap();
    let end = GrantEnd { at: now(), how: How::Revoked, by: None, reason: None };
    store.end_grant(&term.grant, &end).await.unwrap();

    let mut cheats: Vec<String> = vec![
        format!("UPDATE requests SET state = 'approved' WHERE id = '{waiting}'"),
        format!("UPDATE requests SET state = 'released' WHERE id = '{waiting}'"),
        format!("UPDATE OR REPLACE requests SET state = 'approved' WHERE id = '{waiting}'"),
        format!("UPDATE requests SET state = 'approved' WHERE id = '{released}'"),
        format!("UPDATE requests SET state = 'pending' WHERE id = '{approved}'"),
        format!("UPDATE requests SET state = 'released' WHERE id = '{done}'"),
        format!("UPDATE requests SET state = 'nonsense' WHERE id = '{approved}'"),
        format!("UPDATE requests SET outcome = '{{}}' WHERE id = '{done}'"),
        format!("UPDATE requests SET card_ts = '2' WHERE id = '{approved}'"),
        format!("UPDATE OR REPLACE requests SET id = '{released}' WHERE id = '{approved}'"),
        "DELETE FROM requests".to_owned(),
        "DELETE FROM approvals".to_owned(),
        "UPDATE approvals SET signature = 'x'".to_owned(),
        "UPDATE OR IGNORE approvals SET principal = 'ben@acme.dev', subject = 'sub-ben'".to_owned(),
        format!("UPDATE approvals SET request = '{waiting}' WHERE request = '{approved}'"),
        "DELETE FROM people WHERE principal = 'ana@acme.dev'".to_owned(),
        "UPDATE people SET subject = 'x' WHERE principal = 'ana@acme.dev'".to_owned(),
        "UPDATE people SET issuer = 'x' WHERE principal = 'ana@acme.dev'".to_owned(),
        "UPDATE OR REPLACE people SET principal = 'ben@acme.dev' WHERE principal = 'ana@acme.dev'".to_owned(),
        "UPDATE people SET owner = 'ben@acme.dev' WHERE principal = 'ana@acme.dev'".to_owned(),
        "INSERT OR REPLACE INTO people VALUES ('Ana@acme.dev', 'i', 's', NULL, '[]', 1, 1)".to_owned(),
        "UPDATE links SET principal = 'ben@acme.dev'".to_owned(),
        "UPDATE OR REPLACE links SET slack_user = 'U2'".to_owned(),
        "UPDATE links SET slack_email = 'ana@acme.dev'".to_owned(),
        "UPDATE links SET slack_name = 'Ana'".to_owned(),
        "INSERT OR REPLACE INTO links (team, slack_user, principal, confirmed, created_at) VALUES ('T1', 'U1', 'ben@acme.dev', 1, 1)".to_owned(),
        "INSERT OR REPLACE INTO links (team, slack_user, principal, confirmed, created_at) VALUES ('T1', 'U3', 'ana@acme.dev', 1, 1)".to_owned(),
        "UPDATE pending_links SET slack = '{}'".to_owned(),
        "UPDATE grants SET until_at = until_at + 1".to_owned(),
        "UPDATE OR REPLACE grants SET role = 'admin'".to_owned(),
        "DELETE FROM grants".to_owned(),
        "UPDATE grant_ends SET how = 'done'".to_owned(),
        "DELETE FROM grant_ends".to_owned(),
        "INSERT OR REPLACE INTO grant_ends SELECT id, 9999999999999, 'expired', NULL, NULL FROM grants".to_owned(),
        "INSERT INTO grant_ends VALUES ('NOWHERE', 1, 'done', NULL, NULL)".to_owned(),
        format!(
            "INSERT INTO grants SELECT 'NEW1', 0, principal, issuer, subject, owner, connection, role, reason,
                    '{approved}', approved_by, from_at, until_at, signature FROM grants"
        ),
        "INSERT OR REPLACE INTO grants SELECT id, 0, principal, issuer, subject, owner, connection, 'admin', reason,
                request, approved_by, from_at, until_at, signature FROM grants"
            .to_owned(),
        "INSERT INTO grants SELECT id, 1, principal, issuer, subject, owner, connection, role, reason, NULL, '[]',
                from_at + 1, until_at + 1, signature FROM grants"
            .to_owned(),
    ];
    for column in ["id", "kind", "digest", "principal", "issuer", "subject", "asked", "session", "sql", "parameters"] {
        let value = match column {
            "id" | "session" => "'XXXX'".to_owned(),
            "kind" => "'access'".to_owned(),
            "digest" => format!("'{}'", digest_of("other")),
            "principal" => "'Ana@acme.dev'".to_owned(),
            "asked" => "json_set(asked, '$.connection', 'other')".to_owned(),
            "parameters" => "'[\"1\"]'".to_owned(),
            _ => "'x'".to_owned(),
        };
        cheats.push(format!("UPDATE requests SET {column} = {value} WHERE id = '{waiting}'"));
    }
    for (column, value) in [
        ("notes", "'[]'"),
        ("impact", "'[1]'"),
        ("review", "1"),
        ("channel", "NULL"),
        ("owner", "'x'"),
        ("created_at", "1"),
        ("expires_at", "9999999999999"),
    ] {
        cheats.push(format!("UPDATE requests SET {column} = {value} WHERE id = '{waiting}'"));
    }
    let released_id = released.as_str();
    for (id, state) in [(released_id, "pending"), (released_id, "approved"), ("NEW1", "approved"), ("NEW2", "released")]
    {
        for verb in VERBS {
            cheats.push(format!(
                "{verb} INTO requests SELECT '{id}', kind, digest, principal, issuer, subject, owner, asked, session, sql,
                        parameters, notes, needed, channel, created_at, expires_at, '{state}', NULL, NULL, NULL, impact, review, allowable, steps
                   FROM requests WHERE id = '{waiting}'"
            ));
        }
    }
    cheats.push(format!(
        "INSERT INTO requests SELECT 'NEW3', kind, digest, 'ben@acme.dev', issuer, 'sub-ben', owner, asked, session, sql,
                parameters, notes, needed, channel, created_at, expires_at, state, NULL, NULL, NULL, impact, review, allowable, steps
           FROM requests WHERE id = '{waiting}'"
    ));
    let mut db = cheater(&url).await;
    let before = dump(&mut db).await;
    for cheat in &cheats {
        refused(&mut db, cheat, cheat).await;
    }
    assert_eq!(dump(&mut db).await, before, "and nothing changed");
}

/// Everything that the walls guard, as text.
async fn dump(db: &mut SqliteConnection) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT json_array(id, digest, principal, subject, asked, hex(sql), state, outcome, card_ts) FROM requests
         UNION ALL SELECT json_array(request, principal, subject, signature) FROM approvals
         UNION ALL SELECT json_array(principal, issuer, subject, owner, groups) FROM people
         UNION ALL SELECT json_array(team, slack_user, principal, confirmed) FROM links
         UNION ALL SELECT json_array(nonce_hash, slack, expires_at) FROM pending_links
         UNION ALL SELECT json_array(id, term, principal, role, request, until_at) FROM grants
         UNION ALL SELECT json_array(id, at, how) FROM grant_ends
         UNION ALL SELECT json_array(request, number, at, session, outcome, ran) FROM steps_taken",
    )
    .fetch_all(db)
    .await
    .unwrap()
}

#[tokio::test]
async fn the_schema_moves_states_exactly_as_the_code_does() {
    let (_folder, url, store) = fresh().await;
    let mut db = cheater(&url).await;
    for from in State::ALL {
        for to in State::ALL {
            let new = led_to(&store, from).await;
            if from == State::Pending && to == State::Approved {
                store.add_approval(&approval_of(&new, user("priya"))).await.unwrap();
            }
            let sql = format!("UPDATE requests SET state = '{to}' WHERE id = '{}'", new.id);
            let moved = db.execute(AssertSqlSafe(sql)).await.is_ok();
            assert_eq!(moved, from.may_become(to) || from == to, "{from} → {to}");
        }
    }
}

#[tokio::test]
async fn what_was_kept_is_there_after_a_restart() {
    let (folder, url, store) = fresh().await;
    let new = led_to(&store, State::Approved).await;
    let newest = store.last_event().await.unwrap();
    store.close().await;
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))), "a closed state says so");

    let store = SqliteStore::open(&url).await.unwrap();
    let kept = store.request(&new.id).await.unwrap().unwrap();
    assert_eq!((kept.new, kept.state, kept.approvals.len()), (new, State::Approved, 1));
    assert_eq!((*store.event_bell().borrow(), store.last_event().await.unwrap()), (newest, newest));
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[tokio::test]
async fn a_commit_is_on_the_disk_when_it_is_answered() {
    let (_folder, _, store) = fresh().await;
    let mut db = store.writer.acquire().await.unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *db).await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *db).await.unwrap();
    assert_eq!((mode.as_str(), synchronous), ("wal", 2), "2 is FULL");
    let wrote = sqlx::query("DELETE FROM events").execute(&store.readers).await;
    assert!(wrote.is_err(), "readers can't write");
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let (_folder, url, store) = fresh().await;
    store.close().await;
    let mut db = cheater(&url).await;
    db.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99990101000000, 'later', 1, x'00', 0)",
    )
    .await
    .unwrap();
    db.close().await.unwrap();
    let said = SqliteStore::open(&url).await.err().unwrap().to_string();
    assert!(said.contains("a newer countersign wrote this state") && said.contains("99990101000000"), "{said}");
}

#[tokio::test]
async fn what_is_not_a_state_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let junk = folder.path().join("junk.db");
    std::fs::write(&junk, "this is not a database, and long enough to be read as a header of one: ".repeat(20))
        .unwrap();
    let table = [
        ("postgres://db/state".to_owned(), "not a SQLite URL"),
        ("sqlite::memory:".to_owned(), "must outlive"),
        ("sqlite://".to_owned(), "name a file"),
        ("sqlite://a.db?mode=ro".to_owned(), "options are not taken"),
        ("sqlite:///nowhere/at/all.db".to_owned(), "No such file"),
        (format!("sqlite://{}", junk.display()), "not a database"),
    ];
    for (url, expected) in table {
        let said = SqliteStore::open(&url).await.err().unwrap().to_string();
        assert!(said.contains(expected), "{url}: {said}");
    }
}

#[tokio::test]
async fn nobody_allows_more_than_was_allowed() {
    let (_folder, url, store) = fresh().await;
    let plain = led_to(&store, State::Released).await.id;
    let new = approved_for_a_time(&store).await;
    let waits = approved_for_a_time(&store).await.id;
    store.release_allowed(&allowance_of(&new), None).await.unwrap();
    store.end_run(&new.id, 1, "UPDATE 1", false).await.unwrap();
    let over = approved_for_a_time(&store).await;
    store.release_allowed(&allowance_of(&over), None).await.unwrap();
    let end = AllowanceEnd { at: now(), how: HowEnded::Revoked, by: None, why: None };
    store.end_allowance(&over.id, &end).await.unwrap();
    let (id, over, at, until) = (&new.id, &over.id, now().timestamp_millis(), i64::MAX);
    let text = "0".repeat(64);
    let begins = |verb: &str, id: &countersign_shared::ids::RequestId| {
        format!(
            "{verb} INTO allowances (request, principal, connection, text, runs, began_at, until)
             VALUES ('{id}', 'ana@acme.dev', 'shop', '{text}', 1000, 1, {until})"
        )
    };
    let mut db = cheater(&url).await;
    for verb in VERBS {
        for (case, id) in
            [("twice", id), ("what has ended", over), ("what was approved once", &plain), ("what waits", &waits)]
        {
            refused(&mut db, &begins(verb, id), &format!("{verb}: {case}")).await;
        }
        for (case, number, id, at) in [
            ("a number again", 1, id, at),
            ("a number ahead", 7, id, at),
            ("what has ended", 2, over, at),
            ("too late", 2, id, at + 30 * 60_000),
        ] {
            let sql = format!("{verb} INTO allowed_runs (request, number, at) VALUES ('{id}', {number}, {at})");
            refused(&mut db, &sql, &format!("{verb}: {case}")).await;
        }
    }
    for cheat in [
        format!("UPDATE allowances SET until = until + 1 WHERE request = '{id}'"),
        format!("UPDATE allowances SET runs = 1000, ended_at = 1, how = 'void' WHERE request = '{id}'"),
        format!("UPDATE allowances SET ended_at = NULL, how = NULL WHERE request = '{over}'"),
        format!("DELETE FROM allowances WHERE request = '{id}'"),
        format!("DELETE FROM allowed_runs WHERE request = '{id}'"),
        format!("UPDATE allowed_runs SET discarded = 1, outcome = 'skipped' WHERE request = '{id}'"),
        format!("UPDATE approvals SET allow = NULL WHERE request = '{id}'"),
        format!("UPDATE requests SET allowable = json_object() WHERE id = '{plain}'"),
        "UPDATE denials SET reason = 'x'".to_owned(),
    ] {
        if cheat.contains("denials") {
            see(&store, &user("dario")).await;
            let denial = Denial { request: waits.clone(), by: user("dario"), at: now(), reason: None };
            store.deny(&denial, 2, &countersign_shared::api::Outcome::default()).await.unwrap();
        }
        refused(&mut db, &cheat, &cheat).await;
    }
    refused(&mut db, "DELETE FROM denials", "a denial taken away").await;
    assert_eq!(store.take_run(id, now(), None).await.unwrap(), Some((2, 2)), "what is left of it is as it was");
}

#[tokio::test]
async fn nobody_sends_what_is_not_next() {
    let (_folder, url, store) = fresh().await;
    let session = countersign_shared::ids::SessionId::random();
    let new = approved_by_steps(&store).await;
    assert!(store.take_step(&new.id, 2, now(), &session).await.unwrap());
    let pending = pending(&store, user("ana")).await;
    let mut db = cheater(&url).await;
    let before = dump(&mut db).await;
    let id = &new.id;
    let at = now().timestamp_millis();
    for verb in VERBS {
        for (case, of, number, columns) in [
            ("the one before has not run", id, 3, format!("'{session}', NULL, NULL")),
            ("once", id, 2, format!("'{session}', NULL, NULL")),
            ("an outcome of its own", id, 3, format!("'{session}', 'DELETE 1', 1")),
            ("not approved", &pending.id, 1, format!("'{session}', NULL, NULL")),
        ] {
            let sql = format!(
                "{verb} INTO steps_taken (request, number, at, session, outcome, ran)
                 VALUES ('{of}', {number}, {at}, {columns})"
            );
            refused(&mut db, &sql, case).await;
        }
    }
    for sql in [
        format!("UPDATE requests SET steps = NULL WHERE id = '{id}'"),
        format!("UPDATE requests SET steps = '[]' WHERE id = '{id}'"),
        format!("UPDATE requests SET state = 'released' WHERE id = '{id}'"),
        format!("UPDATE steps_taken SET number = 3 WHERE request = '{id}'"),
        format!("UPDATE steps_taken SET session = 'other', outcome = 'DELETE 1', ran = 1 WHERE request = '{id}'"),
        format!("UPDATE steps_taken SET ran = 1 WHERE request = '{id}'"),
        format!("DELETE FROM steps_taken WHERE request = '{id}'"),
    ] {
        refused(&mut db, &sql, &sql).await;
    }
    assert_eq!(dump(&mut db).await, before);
    let end = StepEnd { outcome: "DELETE 1".into(), ran: true };
    store.end_step(id, 2, &end, true, 1).await.unwrap();
    let again = format!("UPDATE steps_taken SET outcome = 'DELETE 9' WHERE request = '{id}'");
    refused(&mut db, &again, "what came of it stays").await;
    let other = format!("INSERT INTO steps_taken (request, number, at, session) VALUES ('{id}', 3, {at}, 'other')");
    refused(&mut db, &other, "another session").await;
    let late = format!(
        "INSERT INTO steps_taken (request, number, at, session) VALUES ('{id}', 3, {at} + 900000, '{session}')"
    );
    refused(&mut db, &late, "its time is over").await;
}
