//! Review at commit: what may run before anybody has approved it, since the end of its transaction undoes it, and
//! what the approvers of the COMMIT are told. Pure.

use chrono::{DateTime, Utc};
use countersign_shared::{
    api::Impact,
    digest::{Digest, Fields},
};

use super::{
    assemble::Request,
    classify::{Analysis, CursorMove, Statement, TransactionMove},
    decide::{Asked, Asker, Decision, SqlFacts, decide},
    effect::{Action, Effect, Object},
    guard::Touched,
    understood::Understood,
};
use crate::{
    catalog::{Kind, Snapshot},
    policy::Policies,
};

/// So many statements of a transaction can be shown.
const MOST: usize = 100;
/// So many bytes of them.
const LONGEST: usize = 32 << 10;
/// So many tables of a transaction can be told of.
const MOST_TABLES: usize = 20;

/// Whether the end of its transaction undoes an effect, and until then nobody else sees it: rows of tables that the
/// catalog knows. A sequence keeps what was done to it; whatever can't be seen could do anything.
#[must_use]
pub fn is_undone(effect: &Effect, catalog: &Snapshot) -> bool {
    let Object::Table { schema, name } = &effect.object else { return false };
    matches!(effect.action, Action::Insert | Action::Update | Action::Delete | Action::Merge | Action::CopyIn)
        && !schema.starts_with("pg_")
        && schema != "information_schema"
        && catalog.relation(schema, name).is_some_and(|relation| matches!(relation.kind, Kind::Table | Kind::View))
}

/// That of a text for which it may not run where COMMIT is held, permitted or not. What reaches out of the transaction,
/// or can't be seen, could let its changes out; what runs at the COMMIT would run when it has been approved.
#[must_use]
pub fn bars(text: &Understood) -> Option<&'static str> {
    let holds = |statement: &Statement| matches!(statement.cursor, Some(CursorMove::Declares { hold: true, .. }));
    if text.statements.iter().any(holds) {
        return Some("a cursor WITH HOLD");
    }
    let barred = text.effects.iter().find(|effect| match effect.action {
        Action::Select
        | Action::CopyOut
        | Action::Transaction
        | Action::Set
        | Action::Listen
        | Action::Temp
        | Action::Insert
        | Action::Update
        | Action::Delete
        | Action::Merge
        | Action::CopyIn
        | Action::Lock
        | Action::Notify
        | Action::Call
        | Action::Reveal => false,
        Action::Create
        | Action::Alter
        | Action::Truncate
        | Action::Drop
        | Action::Privilege
        | Action::Maintain
        | Action::Server
        | Action::Opaque
        | Action::Connect
        | Action::Approve
        | Action::Request
        | Action::Audit
        | Action::Administer => true,
    });
    barred.map(|effect| effect.action.as_str())
}

/// Why what policy permits for its review at commit may not run before that is approved; nothing where it may. Only
/// what is undone runs on its review alone: everything else must be permitted without anybody.
#[must_use]
pub fn hinders(
    policies: &Policies,
    asked: &Asked,
    text: &Understood,
    catalog: &Snapshot,
    now: DateTime<Utc>,
) -> Option<String> {
    let waits = |effect: &Effect| {
        let alone = Asked { effects: vec![effect.clone()], ..asked.clone() };
        decide(policies, &alone, &[], &[], now) != Decision::Allow
    };
    let stays = |effect: &&Effect| !is_undone(effect, catalog) && waits(effect);
    // What it changes and which rows it finds, errors and counts tell at once, whatever becomes of it.
    let tells = |effect: &&Effect| {
        matches!(effect.action, Action::Update | Action::Delete | Action::Merge)
            && waits(&Effect::new(Action::Select, effect.object.clone()))
    };
    let tell = |what| format!("{what} can't be part of a transaction that is reviewed");
    asked
        .effects
        .iter()
        .find(stays)
        .map(|effect| format!("{} is not undone by a ROLLBACK, or shows what is not permitted yet", effect.action))
        .or_else(|| {
            let told = asked.effects.iter().find(tells)?;
            Some(format!("{} finds rows in a table that may not be read without an approval", told.action))
        })
        .or_else(|| bars(text).map(tell))
}

/// Whether a text ends a transaction so that what it did stays.
#[must_use]
pub fn commits(text: &Analysis) -> bool {
    text.statements.iter().any(|statement| statement.transaction == TransactionMove::Commit)
}

/// Whether a text does no more than look.
#[must_use]
pub fn looks(text: &Understood) -> bool {
    !text.moves_transaction
        && text.effects.iter().all(|effect| matches!(effect.action, Action::Select | Action::CopyOut))
}

/// What the open transaction has done so far, as far as the approvers of its COMMIT must know. It has to be told
/// from the first statement on: which one is reviewed shows later.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// As records have them, in order.
    kept: String,
    /// As a card shows them.
    shown: String,
    digests: Vec<Digest>,
    effects: Vec<Effect>,
    /// Something of it is in no text here.
    untold: bool,
    /// A ROLLBACK was among them.
    undid: bool,
    /// More than can be shown.
    overflows: bool,
    /// What had been touched when its review began.
    before: Option<Touched>,
    /// Something had been written by then, permitted without a review.
    wrote_before: bool,
    /// The questions about what runs on its review alone.
    parts: Vec<Asked>,
    rules: Vec<String>,
    notes: Vec<String>,
    /// Some rows of tables, before what is reviewed changed them.
    rows_before: Vec<(String, Vec<String>)>,
}

impl Transaction {
    /// A transaction that has begun, or, where `untold`, one of which something is not known.
    #[must_use]
    pub fn begun(untold: bool) -> Self {
        Self { untold, ..Self::default() }
    }

    /// Whether its COMMIT is held.
    #[must_use]
    pub fn is_reviewed(&self) -> bool {
        !self.parts.is_empty()
    }

    /// Whether all of it can be shown.
    #[must_use]
    pub const fn can_be_shown(&self) -> bool {
        !self.overflows
    }

    /// A text runs in it. `digest` is that of the text, its parameters and what they rest on; `executes` says what its
    /// EXECUTEs run.
    pub fn runs(&mut self, request: &Request, digest: Digest, executes: &[String]) {
        if looks(&request.analysis) {
            return;
        }
        let undoes = |statement: &Statement| statement.transaction == TransactionMove::Rollback;
        self.undid |= request.analysis.statements.iter().any(undoes);
        self.effects.extend(request.analysis.effects.iter().cloned());
        self.effects.sort_unstable();
        self.effects.dedup();
        self.digests.push(digest);
        tell(&mut self.kept, &request.sql, &request.parameters_as_text());
        tell(&mut self.shown, request.sql_on_a_card(), &request.parameters_on_a_card());
        for one in executes {
            let line = format!("\n-- {}", on_one_line(one));
            self.kept.push_str(&line);
            self.shown.push_str(&line);
        }
        let longest = self.kept.len().max(self.shown.len());
        if self.overflows || self.digests.len() > MOST || longest > LONGEST {
            // It is not shown whole any more, so it need not be kept.
            (self.overflows, self.kept, self.shown) = (true, String::new(), String::new());
            self.digests.truncate(MOST);
        }
    }

    /// Whether a text of so many bytes still fits.
    #[must_use]
    pub fn fits(&self, request: &Request) -> bool {
        let values = |texts: &[String]| texts.iter().map(|text| 2 * text.len() + 16).sum::<usize>();
        let parameters = values(&request.parameters_as_text()).max(values(&request.parameters_on_a_card()));
        let text = request.sql.len().max(request.sql_on_a_card().len()) + parameters + 8;
        !self.overflows
            && self.digests.len() < MOST
            && self.kept.len().max(self.shown.len()).saturating_add(text) <= LONGEST
    }

    /// What had been touched when its review began: what comes from then on is counted.
    pub fn counts_from(&mut self, before: Touched) {
        self.before.get_or_insert(before);
    }

    /// Whether it is known from where it is counted.
    #[must_use]
    pub const fn is_counted(&self) -> bool {
        self.before.is_some()
    }

    /// What it has touched since its review began; nothing where that is not known.
    #[must_use]
    pub fn touched(&self, now: &Touched) -> Option<Touched> {
        self.before.as_ref().map(|before| now.since(before))
    }

    /// From now on its COMMIT is held: `asked` is what policy permits for that alone.
    pub fn is_to_be_reviewed(&mut self, asked: Asked, rules: Vec<String>, notes: Vec<String>) {
        let writes = |effect: &Effect| effect.action.group() == Some("write");
        self.wrote_before |= self.parts.is_empty() && (self.untold || self.effects.iter().any(writes));
        let asked = Asked { at_commit: true, ..asked };
        if !self.parts.contains(&asked) {
            self.parts.push(asked);
        }
        self.rules.extend(rules);
        self.rules.sort();
        self.rules.dedup();
        self.notes.extend(notes);
        let mut said = Vec::new();
        self.notes.retain(|note| {
            !said.contains(note) && {
                said.push(note.clone());
                true
            }
        });
    }

    /// Some rows of tables, as they are before something changes them. What is known already stays.
    pub fn shows_before(&mut self, rows: Vec<(String, Vec<String>)>) {
        for (table, rows) in rows {
            if !self.rows_before.iter().any(|(known, _)| *known == table) {
                self.rows_before.push((table, rows));
            }
        }
    }

    /// The same.
    #[must_use]
    pub fn rows_before(&self) -> &[(String, Vec<String>)] {
        &self.rows_before
    }

    /// The policies that ask for the review.
    #[must_use]
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// The question whether it may be kept, of `asker` as they stand now: that of each part.
    #[must_use]
    pub fn asked(&self, asker: &Asker) -> Option<Asked> {
        // Which template one was may be another matter by now.
        let part = |part: &Asked| {
            let sql = SqlFacts { template: None, ..part.sql.clone() };
            Asked { asker: asker.clone(), sql, ..part.clone() }
        };
        let parts: Vec<Asked> = self.parts.iter().map(part).collect();
        let last = parts.last()?.clone();
        let all = || parts.iter().map(|part| &part.sql);
        let sql = SqlFacts {
            has_where: all().all(|sql| sql.has_where),
            tables: sorted(all().flat_map(|sql| sql.tables.clone())),
            functions: sorted(all().flat_map(|sql| sql.functions.clone())),
            statement_count: u32::try_from(self.digests.len()).unwrap_or(u32::MAX),
            in_transaction: true,
            rows: None,
            template: None,
        };
        let effects = self.effects.iter().filter(|effect| effect.action != Action::Reveal).cloned().collect();
        Some(Asked { effects, sql, columns: Vec::new(), at_commit: true, parts, ..last })
    }

    /// All of it as one text, as it is held: nothing more may come before the COMMIT.
    #[must_use]
    pub fn request(&self) -> Request {
        let statement = Statement { effects: self.effects.clone(), has_where: true, ..Statement::default() };
        let mut request = alone(&self.kept, statement);
        request.masking.shown = Some(self.shown.clone());
        request
    }

    /// What an approval of its COMMIT binds: each statement in order, and what all of them did. `session` names
    /// whose it is.
    #[must_use]
    pub fn digest(&self, session: &str, commit: &str, touched: &Touched) -> Digest {
        let rows = touched.tables.iter().map(|(oid, (table, count))| {
            format!("{oid} {table} {} {} {}", count.inserted, count.updated, count.deleted)
        });
        Fields::of("countersign/commit/v1")
            .field("session", session)
            .field("commit", commit)
            .list("statements", self.digests.iter().map(|digest| *digest.as_bytes()))
            .list("rows", rows)
            .finish()
    }

    /// Sentences for the card.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = vec![match self.digests.len() {
            1 => {
                "Review at commit: this has run, and its rows are counted. Nobody else sees what it did; what waits is \
                  the COMMIT."
                    .to_owned()
            }
            many => format!(
                "Review at commit: these {many} texts have run in one transaction, and its rows are counted. Nobody else \
                 sees what they did; what waits is the COMMIT."
            ),
        }];
        if self.untold {
            notes.push(
                "The transaction did something before these that is not shown, when policy reviewed nothing at its \
                 commit."
                    .to_owned(),
            );
        }
        if self.wrote_before {
            notes.push("Rows that it wrote before the first that is reviewed are not among the numbers.".to_owned());
        }
        if self.undid {
            notes.push("What a ROLLBACK among them undid is still in the text and in the numbers.".to_owned());
        }
        notes.extend(self.notes.iter().take(5).cloned());
        notes
    }
}

/// A COMMIT in these words.
#[must_use]
pub fn commit(sql: &str) -> Request {
    let statement = Statement {
        range: 0..sql.len(),
        effects: vec![Effect::on_connection(Action::Transaction)],
        transaction: TransactionMove::Commit,
        has_where: true,
        changes_session: true,
        ..Statement::default()
    };
    alone(sql, statement)
}

/// A request of one statement without parameters.
fn alone(sql: &str, statement: Statement) -> Request {
    Request {
        sql: sql.into(),
        parameters: Vec::new(),
        formats: Vec::new(),
        types: std::sync::Arc::default(),
        declared: std::sync::Arc::default(),
        limit: 0,
        analysis: std::sync::Arc::new(Analysis { statements: vec![statement], ..Analysis::default() }.into()),
        masking: super::assemble::Masking::default(),
    }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names.dedup();
    names
}

/// Adds a statement and its parameters to a text that people read.
fn tell(to: &mut String, sql: &str, parameters: &[String]) {
    if !to.is_empty() {
        to.push('\n');
    }
    let sql = sql.trim();
    to.push_str(sql);
    if !sql.ends_with(';') {
        // After a comment it would be part of that.
        to.push_str(if sql.lines().next_back().is_some_and(|line| line.contains("--")) { "\n;" } else { ";" });
    }
    if !parameters.is_empty() {
        let values = parameters.iter().enumerate().map(|(at, value)| format!("${} = {}", at + 1, on_one_line(value)));
        to.push_str(" -- with ");
        to.push_str(&values.collect::<Vec<_>>().join(", "));
    }
}

/// A value that can't be taken for a line of its own.
#[must_use]
pub fn on_one_line(value: &str) -> String {
    let mut line = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// What a transaction did to rows, table by table, by the server's own count; and whether that is all of it.
#[must_use]
pub fn impact(touched: &Touched) -> (Vec<Impact>, bool) {
    let mut all = Vec::new();
    for (table, count) in touched.tables.values() {
        for (action, rows) in [("insert", count.inserted), ("update", count.updated), ("delete", count.deleted)] {
            if rows > 0 {
                let (action, table) = (action.to_owned(), table.clone());
                all.push(Impact { action, table, rows: Some(rows), counted: true, done: true, ..Impact::default() });
            }
        }
    }
    let whole = all.len() <= MOST_TABLES;
    all.sort_by(|one, other| other.rows.cmp(&one.rows).then_with(|| one.table.cmp(&other.table)));
    all.truncate(MOST_TABLES);
    (all, whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        catalog::builder::Builder,
        statement::{
            assemble::Masking,
            classify::{Names, classify},
            guard::Count,
        },
    };

    fn shop() -> Snapshot {
        let mut builder = Builder::new();
        builder
            .table("public.orders", &["id", "status"])
            .table("public.refunds", &["id"])
            .other("public.numbers", Kind::Sequence)
            .other("public.elsewhere", Kind::Foreign)
            .view("public.open_orders", "SELECT o.id, o.status FROM public.orders o")
            .function("public.wipe", "plpgsql");
        builder.build()
    }

    fn understood(sql: &str) -> Understood {
        let names = Names { search_path: vec!["pg_catalog".into(), "public".into()], ..Names::default() };
        classify(sql, &shop(), &names).into()
    }

    fn request(sql: &str, parameters: &[&'static str]) -> Request {
        Request {
            sql: sql.into(),
            parameters: parameters.iter().map(|p| Some(bytes::Bytes::from_static(p.as_bytes()))).collect(),
            formats: vec![0; parameters.len()],
            types: vec![25; parameters.len()].into(),
            declared: std::sync::Arc::default(),
            limit: 0,
            analysis: std::sync::Arc::new(understood(sql)),
            masking: Masking::default(),
        }
    }

    #[test]
    fn only_rows_of_tables_are_undone_for_certain() {
        let catalog = shop();
        // Whether all that it does is undone, and whether it may be part of such a transaction at all.
        let table = [
            ("update orders set status = 'x'", true, true),
            ("insert into orders select * from orders", false, true),
            ("delete from orders where id = 1 returning id", false, true),
            ("update open_orders set status = 'x'", false, true),
            ("copy orders from stdin", true, true),
            ("select nextval('numbers')", false, true),
            ("select setval('numbers', 7)", false, true),
            ("update elsewhere set id = 1", false, false),
            ("update orders set status = wipe(1)", false, false),
            ("select wipe(1)", false, false),
            ("truncate orders", false, false),
            ("create table t (id int)", false, false),
            ("drop table orders", false, false),
            ("vacuum orders", false, false),
            ("alter system set work_mem = 1", false, false),
            ("copy orders to program 'cat'", false, false),
            ("prepare transaction 'x'", false, false),
            ("commit prepared 'x'", false, false),
            ("grant select on orders to public", false, false),
            ("set role app", false, false),
            ("set session_replication_role = replica", false, false),
            ("do $$ begin execute 'x'; end $$", false, false),
            ("do $$ begin commit; end $$", false, false),
            ("update pg_catalog.pg_class set relname = 'x'", false, false),
            ("declare c cursor with hold for select 1", false, false),
            ("declare c cursor for select 1", false, true),
            ("notify c", false, true),
            ("listen c", false, true),
            ("lock table orders", false, true),
            ("savepoint s", false, true),
            ("selec 1", false, false),
        ];
        for (sql, undone, may) in table {
            let text = understood(sql);
            assert_eq!(text.effects.iter().all(|effect| is_undone(effect, &catalog)), undone, "{sql}: {text:?}");
            assert_eq!(bars(&text).is_none(), may, "{sql}: {:?}", text.effects);
        }
    }

    #[test]
    fn what_ends_a_transaction_and_keeps_it_is_known_in_any_spelling() {
        for sql in
            ["commit", "END", "commit work", "commit and chain", "select 1; end transaction", "prepare transaction 'x'"]
        {
            assert!(commits(&understood(sql)), "{sql}");
        }
        for sql in ["rollback", "abort", "rollback to s", "release s", "begin", "select 'commit'", "rollback and chain"]
        {
            assert!(!commits(&understood(sql)), "{sql}");
        }
    }

    #[test]
    fn it_is_told_whole_in_order_and_without_doubt_where_a_text_ends() {
        let mut transaction = Transaction::begun(false);
        let digest = |n: u8| Fields::of("t").field("n", [n]).finish();
        for (at, (sql, parameters)) in [
            ("begin", &[][..]),
            ("select * from orders", &[]),
            ("update orders set status = $1 where id = $2 -- all", &["a\n;delete from orders\u{2028}\\", "7"]),
            ("delete from refunds;", &[]),
        ]
        .into_iter()
        .enumerate()
        {
            transaction.runs(&request(sql, parameters), digest(u8::try_from(at).unwrap()), &[]);
        }
        let expected = "begin;\nupdate orders set status = $1 where id = $2 -- all\n; -- with $1 = \
                        a\\n;delete from orders\\u{2028}\\\\, $2 = 7\ndelete from refunds;";
        assert_eq!(&*transaction.request().sql, expected);
        assert!(
            !transaction.is_reviewed()
                && transaction.asked(&Asker { human: human(), groups: vec![], roles: vec![] }).is_none()
        );
    }

    fn human() -> countersign_shared::duties::Human {
        countersign_shared::duties::Human {
            principal: "ana@acme.dev".into(),
            issuer: "https://idp".into(),
            subject: "ana".into(),
            owner: None,
        }
    }

    #[test]
    fn an_approval_of_a_commit_binds_each_text_their_order_and_every_row() {
        let digest = |n: u8| Fields::of("t").field("n", [n]).finish();
        let of = |order: &[u8]| {
            let mut transaction = Transaction::begun(false);
            order.iter().for_each(|n| transaction.runs(&request("delete from refunds", &[]), digest(*n), &[]));
            transaction
        };
        let touched = |inserted, deleted| {
            let count = Count { inserted, updated: 0, deleted };
            Touched { tables: [(7, ("public.refunds".to_owned(), count))].into(), ..Touched::default() }
        };
        let one = of(&[1, 2]).digest("S", "commit", &touched(0, 2));
        assert_eq!(one, of(&[1, 2]).digest("S", "commit", &touched(0, 2)));
        let others = [
            of(&[2, 1]).digest("S", "commit", &touched(0, 2)),
            of(&[1]).digest("S", "commit", &touched(0, 2)),
            of(&[1, 2, 2]).digest("S", "commit", &touched(0, 2)),
            of(&[1, 2]).digest("T", "commit", &touched(0, 2)),
            of(&[1, 2]).digest("S", "commit and chain", &touched(0, 2)),
            of(&[1, 2]).digest("S", "commit", &touched(0, 3)),
            of(&[1, 2]).digest("S", "commit", &touched(2, 0)),
            of(&[1, 2]).digest("S", "commit", &Touched::default()),
        ];
        assert!(others.iter().all(|other| *other != one));
    }

    #[test]
    fn what_can_not_be_shown_is_not_kept_either() {
        let digest = Fields::of("t").finish();
        let mut transaction = Transaction::begun(false);
        let text = request(&format!("delete from refunds where id = 1 -- {}", "x".repeat(1_000)), &[]);
        let mut fitting = 0;
        while transaction.fits(&text) {
            transaction.runs(&text, digest, &[]);
            fitting += 1;
        }
        assert!(transaction.can_be_shown() && (10..=MOST).contains(&fitting), "{fitting}");
        transaction.runs(&text, digest, &[]);
        assert!(!transaction.can_be_shown() && transaction.request().sql.is_empty());
        let mut many = Transaction::begun(false);
        (0..=MOST).for_each(|_| many.runs(&request("delete from refunds", &[]), digest, &[]));
        assert!(!many.can_be_shown());
    }
}
