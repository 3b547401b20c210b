//! Every statement of PostgreSQL's own regression suite, said to be something by the analyser and
//! then run. The server is the judge: what was called a read and is given a transaction id, or
//! changes rows, was called wrong.

use std::collections::{BTreeMap, BTreeSet};

use countersign_gateway::{
    catalog::{Snapshot, read, temporary, within},
    statement::{
        classify::{Analysis, Names, classify, columns::columns_of},
        effect::{Action, Effect},
    },
};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::{
    columns::{self, Compared},
    psql::{Script, Step, without_comments},
};

struct Asks<'a>(&'a Client);

#[async_trait::async_trait]
impl read::CatalogQuery for Asks<'_> {
    async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
        rows(self.0, sql).await
    }
}

pub async fn rows(client: &Client, sql: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let messages = client.simple_query(sql).await.map_err(|error| match error.as_db_error() {
        Some(error) => error.to_string(),
        None => format!("connection: {error}"),
    })?;
    let cells = |row: &tokio_postgres::SimpleQueryRow| {
        (0..row.len()).map(|at| row.try_get(at).ok().flatten().map(str::to_owned)).collect()
    };
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(cells(row)),
            _ => None,
        })
        .collect())
}

async fn connect(address: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await.expect("the database can be reached");
    tokio::spawn(connection);
    rows(&client, "SET statement_timeout = '20s'; SET lock_timeout = '1s'").await.expect("it is set");
    client
}

/// What the session's names mean now; as the gateway asks it.
const FACTS: &str = "SELECT pg_catalog.array_to_json(pg_catalog.current_schemas(true))::pg_catalog.text,
    COALESCE((SELECT pg_catalog.json_object_agg(s.name, s.statement)::pg_catalog.text FROM pg_catalog.pg_prepared_statements s), '{}'),
    SESSION_USER::pg_catalog.text, pg_catalog.current_schema()::pg_catalog.text";

/// One session, and what is known of it.
struct Session {
    client: Client,
    /// Another, which reads the catalog.
    look: Client,
    address: String,
    snapshot: Snapshot,
    names: Names,
    /// Whether names or catalog may have changed.
    dirty: bool,
    compared: Compared,
}

/// Whether a transaction is open, and has an id; how many rows it has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    open: bool,
    id: bool,
    changed: u64,
}

const STATE: &str = "SELECT (pg_catalog.now() <> pg_catalog.statement_timestamp())::pg_catalog.text,
    (pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL)::pg_catalog.text,
    (SELECT COALESCE(pg_catalog.sum(n_tup_ins + n_tup_upd + n_tup_del), 0) FROM pg_catalog.pg_stat_xact_user_tables)::pg_catalog.text";

impl Session {
    async fn new(address: &str) -> Self {
        Self {
            client: connect(address).await,
            look: connect(address).await,
            address: address.to_owned(),
            snapshot: Snapshot::default(),
            names: Names::default(),
            dirty: true,
            compared: Compared::default(),
        }
    }

    /// None in a failed transaction, where nothing can be asked.
    async fn state(&self) -> Option<State> {
        let row = rows(&self.client, STATE).await.ok()?.pop()?;
        let is = |at: usize| row.get(at).cloned().flatten().is_some_and(|value| value == "true");
        let changed = row.get(2).cloned().flatten().and_then(|n| n.parse().ok()).unwrap_or(0);
        Some(State { open: is(0), id: is(1), changed })
    }

    async fn refresh(&mut self) -> bool {
        if !self.dirty {
            return true;
        }
        let Ok(mut facts) = rows(&self.client, FACTS).await else { return false };
        let Some(row) = facts.pop() else { return false };
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let Ok(own) = rows(&self.client, &temporary::QUERY).await else { return false };
        let Some((temporary, temporary_types)) = temporary::read(&own) else { return false };
        self.names = Names {
            search_path: serde_json::from_str(&text(0)).unwrap_or_default(),
            creates_in: row.get(3).cloned().flatten(),
            temporary,
            temporary_types,
            prepared: serde_json::from_str(&text(1)).unwrap_or_default(),
            login: text(2),
            reads_otherwise: false,
        };
        // Within a transaction its own changes count, which nobody else sees yet.
        let Some(state) = self.state().await else { return false };
        let read = if state.open {
            within::read(&mut Asks(&self.client), 0).await.map(|seen| seen.snapshot)
        } else {
            let fingerprint = read::fingerprint(&mut Asks(&self.look)).await;
            if fingerprint.as_deref() == Ok(self.snapshot.fingerprint()) {
                self.dirty = false;
                return true;
            }
            read::read(&mut Asks(&self.look)).await
        };
        match read {
            Ok(snapshot) => {
                self.snapshot = snapshot;
                self.dirty = false;
                true
            }
            Err(why) => {
                assert!(!why.contains("could not be understood"), "{why}");
                false
            }
        }
    }
}

#[derive(Default)]
struct Tally {
    statements: usize,
    opaque: usize,
    reads: usize,
    reasons: BTreeMap<String, (usize, String)>,
}

/// Plain reads and writes, by their first word.
const PLAIN: [&str; 10] =
    ["select", "values", "table", "with", "insert", "update", "delete", "merge", "copy", "explain"];

/// Those whose rows are compared with what was said of their columns.
const GIVES_ROWS: [&str; 4] = ["select", "values", "table", "with"];

fn first_word(sql: &str) -> String {
    let text = without_comments(sql);
    let word = text.trim_start_matches('(').trim_start();
    word.chars().take_while(|c| c.is_ascii_alphabetic()).collect::<String>().to_ascii_lowercase()
}

fn effects(analysis: &Analysis) -> BTreeSet<Effect> {
    analysis.statements.iter().flat_map(|statement| statement.effects.iter().cloned()).collect()
}

/// Reads that are given a transaction id and change nothing of their own: those that ask for one,
/// through a view of `alter_table`'s too, and rows of a cursor, whose DECLARE has what they lock.
fn asks_for_an_id(sql: &str) -> bool {
    matches!(first_word(sql).as_str(), "fetch" | "move")
        || ["txid_current()", "pg_current_xact_id()", "from my_locks"].iter().any(|function| sql.contains(function))
}

/// Runs one statement. Gives what was wrong with what was said of it.
async fn judge(session: &mut Session, sql: &str, tally: &mut BTreeMap<String, Tally>) -> Option<String> {
    let known = session.refresh().await;
    let analysis = classify(sql, &session.snapshot, &session.names);
    let effects = effects(&analysis);
    let reads = |effect: &Effect| matches!(effect.action, Action::Select | Action::CopyOut | Action::Listen);
    let only_reads =
        known && effects.iter().all(|e| reads(e) || matches!(e.action, Action::Call)) && !asks_for_an_id(sql);
    let is_opaque = effects.iter().any(|effect| effect.action == Action::Opaque);
    let mut wrong = None;
    let to_stdout = first_word(sql) == "copy" && sql.to_ascii_lowercase().contains("stdout");
    let outcome = if to_stdout {
        // The driver's simple queries don't take a copy's data; what a COPY reads is a query's.
        Ok(Vec::new())
    } else if only_reads {
        let before = session.state().await;
        // Alone, a statement is its own transaction, which is over before it can be asked about.
        let alone = before.is_some_and(|state| !state.open);
        if alone {
            rows(&session.client, "BEGIN").await.ok();
        }
        let before = session.state().await;
        let outcome = rows(&session.client, sql).await;
        if let (Ok(_), Some(before), Some(after)) = (&outcome, before, session.state().await)
            && (!before.id && after.id || after.changed > before.changed)
        {
            wrong = Some(format!("it is no read: {before:?} {after:?}"));
        }
        if let (Ok(_), None, [_], true) =
            (&outcome, &wrong, analysis.statements.as_slice(), GIVES_ROWS.contains(&first_word(sql).as_str()))
        {
            let said = columns_of(sql, &analysis, &session.snapshot, &session.names).pop().unwrap_or_default();
            wrong = columns::wrong(&session.client, sql, &said, &mut session.compared).await;
        }
        if alone {
            rows(&session.client, if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" }).await.ok();
        }
        outcome
    } else {
        rows(&session.client, sql).await
    };
    let plain_move = |e: &Effect| matches!(e.action, Action::Insert | Action::Update | Action::Delete | Action::Merge);
    session.dirty |= !known || !effects.iter().all(|effect| reads(effect) || plain_move(effect));
    if outcome.as_ref().is_err_and(|why| why.starts_with("connection")) {
        *session = Session { compared: session.compared, ..Session::new(&session.address.clone()).await };
        return wrong;
    }
    let word = first_word(sql);
    if outcome.is_ok() && known && PLAIN.contains(&word.as_str()) {
        let entry = tally.entry(word).or_default();
        entry.statements += 1;
        entry.reads += usize::from(only_reads);
        if is_opaque {
            entry.opaque += 1;
            let notes: Vec<&str> =
                analysis.statements.iter().flat_map(|s| s.notes.iter().map(String::as_str)).collect();
            let reason = entry.reasons.entry(notes.first().copied().unwrap_or("?").to_owned()).or_default();
            reason.0 += 1;
            sql.clone_into(&mut reason.1);
        }
    }
    wrong
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes, and PostgreSQL's sources: COUNTERSIGN_REGRESS=…/src/test/regress \
            COUNTERSIGN_TEST_DATABASE='host=… user=… dbname=…' (a superuser, a new database named regression) \
            cargo test -p countersign-tests --test corpus -- --ignored --nocapture"]
async fn no_write_of_postgresqls_own_tests_is_called_a_read() {
    let folder = std::env::var("COUNTERSIGN_REGRESS").expect("COUNTERSIGN_REGRESS names src/test/regress");
    let address = std::env::var("COUNTERSIGN_TEST_DATABASE").expect("COUNTERSIGN_TEST_DATABASE names a database");
    let only = std::env::var("COUNTERSIGN_REGRESS_ONLY").unwrap_or_default();
    let schedule = std::fs::read_to_string(format!("{folder}/parallel_schedule")).expect("there is a schedule");
    let files: Vec<&str> = schedule
        .lines()
        .filter_map(|line| line.strip_prefix("test:"))
        .flat_map(str::split_whitespace)
        .filter(|file| only.is_empty() || only.split(',').any(|wanted| wanted == *file))
        .collect();
    let (mut tally, mut wrong, mut all, mut compared) = (BTreeMap::new(), Vec::new(), 0_usize, Vec::new());
    for file in files {
        let Ok(text) = std::fs::read_to_string(format!("{folder}/sql/{file}.sql")) else { continue };
        let mut script = Script::new(
            &text,
            &[
                ("abs_srcdir", &folder),
                ("abs_builddir", &folder),
                ("libdir", &format!("{folder}/lib")),
                ("dlsuffix", ".so"),
            ],
        );
        let mut session = Session::new(&address).await;
        let begun = std::time::Instant::now();
        while let Some(step) = script.step() {
            let sql = match step {
                Step::Quit => break,
                Step::Reconnect => {
                    session = Session { compared: session.compared, ..Session::new(&address).await };
                    continue;
                }
                Step::Gather(sql, prefix) => {
                    if let Ok(messages) = session.client.simple_query(&sql).await {
                        for message in messages {
                            if let SimpleQueryMessage::Row(row) = message {
                                for (at, column) in row.columns().iter().enumerate() {
                                    let value = row.try_get(at).ok().flatten().unwrap_or_default().to_owned();
                                    script.variables.insert(format!("{prefix}{}", column.name()), value);
                                }
                            }
                        }
                    }
                    sql
                }
                Step::Sql(sql) => sql,
            };
            all += 1;
            if let Some(why) = judge(&mut session, &sql, &mut tally).await {
                println!("WRONG {file}: {sql}\n  {why}");
                wrong.push(format!("{file}: {sql}\n  {why}"));
            }
        }
        compared.push(session.compared);
        println!("{file}: {:?}, {all} so far", begun.elapsed());
        if let Ok(path) = std::env::var("COUNTERSIGN_REGRESS_TABLE") {
            std::fs::write(path, table(&tally, all)).expect("the table is written");
        }
    }
    assert!(wrong.is_empty(), "{} called wrong:\n{}", wrong.len(), wrong.join("\n"));
    let (opaque, plain) = tally.values().fold((0, 0), |(o, p), t: &Tally| (o + t.opaque, p + t.statements));
    println!("{opaque} of {plain} opaque");
    let sum = |of: fn(&Compared) -> usize| compared.iter().map(of).sum::<usize>();
    let (queries, without, doubt) = (sum(|c| c.queries), sum(|c| c.without_list), sum(|c| c.in_doubt));
    println!("columns of {queries} queries compared; {without} without a list, {doubt} in doubt");
}

fn table(tally: &BTreeMap<String, Tally>, all: usize) -> String {
    let mut out =
        format!("{all} statements\n| statement | ran | reads | opaque | not opaque |\n|---|---|---|---|---|\n");
    let mut reasons: Vec<(&String, &(usize, String))> = Vec::new();
    for (word, t) in tally {
        let share = 100.0 * (t.statements - t.opaque) as f64 / t.statements.max(1) as f64;
        out += &format!("| {word} | {} | {} | {} | {share:.2} % |\n", t.statements, t.reads, t.opaque);
        reasons.extend(&t.reasons);
    }
    reasons.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
    for (reason, (count, example)) in reasons.iter().take(400) {
        let example = example.chars().take(160).collect::<String>().replace('\n', " ");
        out += &format!("{count:5} {reason}\n      e.g. {example}\n");
    }
    out
}
