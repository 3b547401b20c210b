//! A write as a question: how many rows would it touch? Pure. What is asked is made from the
//! statement's own tree, and is itself classified before anybody asks it.

use pg_query::{
    NodeEnum,
    protobuf::{Node, ParseResult, RangeVar, RawStmt, SelectStmt, WithClause},
};

use super::{
    classify::with_tree,
    effect::{Action, Object},
};

/// How the rows of one statement can be known before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rows {
    /// It names them itself: `INSERT … VALUES` with so many lists.
    Named(u64),
    /// A query finds them.
    Found(Found),
    /// A query finds as many at most; the planner may guess its rows.
    AtMost(String),
    /// Nothing but the statement itself says.
    Unknown,
}

/// The same rows as a question. Nothing of the statement's own text is in it but names and conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Counts them.
    pub count: String,
    /// Finds them; for the planner.
    pub find: String,
}

/// A statement that writes rows of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writes {
    /// What it does.
    pub action: Action,
    /// The table as the text names it: schema, empty where it names none, and name.
    pub table: (String, String),
    /// Its rows.
    pub rows: Rows,
}

/// What each statement of a text writes; `None` for one that writes no rows by itself.
#[must_use]
pub fn writes(sql: &str) -> Vec<Option<Writes>> {
    with_tree(sql, |tree| match tree {
        Ok(tree) => tree.stmts.iter().map(|raw| raw.stmt.as_deref().and_then(one)).collect(),
        Err(_) => Vec::new(),
    })
}

impl Writes {
    /// Whether this is the table of an effect.
    #[must_use]
    pub fn is_on(&self, object: &Object) -> bool {
        let (schema, name) = &self.table;
        matches!(object, Object::Table { schema: s, name: n } if n == name && (schema.is_empty() || s == schema))
    }
}

fn one(node: &Node) -> Option<Writes> {
    let (action, relation, rows, with) = match node.node.as_ref()? {
        NodeEnum::DeleteStmt(n) => {
            let rows = count(n.relation.as_ref(), &n.using_clause, n.where_clause.as_deref(), n.with_clause.as_ref());
            (Action::Delete, n.relation.as_ref(), rows, n.with_clause.as_ref())
        }
        NodeEnum::UpdateStmt(n) => {
            let rows = count(n.relation.as_ref(), &n.from_clause, n.where_clause.as_deref(), n.with_clause.as_ref());
            (Action::Update, n.relation.as_ref(), rows, n.with_clause.as_ref())
        }
        NodeEnum::InsertStmt(n) => (Action::Insert, n.relation.as_ref(), inserted(n), n.with_clause.as_ref()),
        NodeEnum::MergeStmt(n) => (Action::Merge, n.relation.as_ref(), merged(n), n.with_clause.as_ref()),
        _ => return None,
    };
    let relation = relation?;
    // What writes before it is no part of its own number, and nobody should take that for all.
    let rows = rows.filter(|rows| !matches!(rows, Rows::Named(_)) || with.is_none_or(reads));
    let table = (relation.schemaname.clone(), relation.relname.clone());
    Some(Writes { action, table, rows: rows.unwrap_or(Rows::Unknown) })
}

/// `SELECT FROM table WHERE …`. What is joined only chooses rows: a row that meets several of them is
/// written once.
fn count(
    table: Option<&RangeVar>,
    joined: &[Node],
    condition: Option<&Node>,
    with: Option<&WithClause>,
) -> Option<Rows> {
    let table = Node { node: Some(NodeEnum::RangeVar(table?.clone())) };
    let condition = condition.cloned().map(Box::new);
    let mut finds = template("SELECT FROM it")?;
    if joined.is_empty() {
        finds.where_clause = condition;
    } else {
        let mut chooses = template("SELECT FROM it WHERE EXISTS (SELECT FROM it)")?;
        let exists = chooses.where_clause.as_mut()?;
        let NodeEnum::SubLink(link) = exists.node.as_mut()? else { return None };
        let NodeEnum::SelectStmt(inner) = link.subselect.as_mut()?.node.as_mut()? else { return None };
        inner.from_clause = joined.to_vec();
        inner.where_clause = condition;
        finds.where_clause = chooses.where_clause;
    }
    finds.from_clause = vec![table];
    found(finds, with)
}

fn inserted(n: &pg_query::protobuf::InsertStmt) -> Option<Rows> {
    let Some(source) = n.select_stmt.as_deref() else { return Some(Rows::Named(1)) };
    let NodeEnum::SelectStmt(select) = source.node.as_ref()? else { return None };
    match select.values_lists.as_slice() {
        [] => {}
        [only] => return one_list(only, n.with_clause.as_ref()),
        // A function that gives several rows is refused where there are several lists.
        lists => return u64::try_from(lists.len()).ok().map(Rows::Named),
    }
    let mut finds = template("SELECT FROM (SELECT FROM it) AS brought")?;
    let NodeEnum::RangeSubselect(from) = finds.from_clause.first_mut()?.node.as_mut()? else { return None };
    from.subquery = Some(Box::new(source.clone()));
    found(finds, n.with_clause.as_ref())
}

/// One list is what a SELECT would list: a function in it may give several rows.
fn one_list(list: &Node, with: Option<&WithClause>) -> Option<Rows> {
    let Some(NodeEnum::List(list)) = &list.node else { return None };
    if list.items.iter().all(is_plain) {
        return Some(Rows::Named(1));
    }
    let mut finds = template("SELECT FROM (SELECT a) AS brought")?;
    let NodeEnum::RangeSubselect(from) = finds.from_clause.first_mut()?.node.as_mut()? else { return None };
    let NodeEnum::SelectStmt(inner) = from.subquery.as_mut()?.node.as_mut()? else { return None };
    let target = inner.target_list.pop()?;
    for item in list.items.iter().filter(|item| !matches!(item.node, Some(NodeEnum::SetToDefault(_)))) {
        let mut target = target.clone();
        let NodeEnum::ResTarget(named) = target.node.as_mut()? else { return None };
        named.val = Some(Box::new(item.clone()));
        inner.target_list.push(target);
    }
    found(finds, with)
}

/// A value that calls nothing.
fn is_plain(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::SetToDefault(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().is_some_and(is_plain),
        _ => false,
    }
}

/// Each row of the source does something to one row at most.
fn merged(n: &pg_query::protobuf::MergeStmt) -> Option<Rows> {
    let mut finds = template("SELECT FROM a LEFT JOIN b ON true")?;
    let NodeEnum::JoinExpr(join) = finds.from_clause.first_mut()?.node.as_mut()? else { return None };
    join.larg = n.source_relation.clone();
    join.rarg = Some(Box::new(Node { node: Some(NodeEnum::RangeVar(n.relation.clone()?)) }));
    join.quals = n.join_condition.clone();
    Some(Rows::AtMost(text(finds, n.with_clause.as_ref())?))
}

fn found(finds: SelectStmt, with: Option<&WithClause>) -> Option<Rows> {
    let mut counts = finds.clone();
    counts.target_list = template("SELECT pg_catalog.count(*)")?.target_list;
    Some(Rows::Found(Found { count: text(counts, with)?, find: text(finds, with)? }))
}

fn template(sql: &str) -> Option<SelectStmt> {
    let tree = pg_query::parse(sql, 0).ok()?.protobuf;
    match tree.stmts.into_iter().next()?.stmt?.node? {
        NodeEnum::SelectStmt(select) => Some(*select),
        _ => None,
    }
}

/// Whether what stands before a statement in WITH only reads.
fn reads(with: &WithClause) -> bool {
    with.ctes.iter().all(|cte| {
        let Some(NodeEnum::CommonTableExpr(cte)) = &cte.node else { return false };
        matches!(cte.ctequery.as_deref().and_then(|q| q.node.as_ref()), Some(NodeEnum::SelectStmt(_)))
    })
}

/// As text, with what stood before the statement in WITH. What writes there can't be asked without writing.
fn text(mut select: SelectStmt, with: Option<&WithClause>) -> Option<String> {
    if !with.is_none_or(reads) {
        return None;
    }
    select.with_clause = with.cloned();
    let node = Node { node: Some(NodeEnum::SelectStmt(Box::new(select))) };
    let stmt = RawStmt { stmt: Some(Box::new(node)), stmt_location: 0, stmt_len: 0 };
    let tree = ParseResult { version: 180_000, stmts: vec![stmt] };
    pg_query::deparse(&tree, pg_query::DeparseOptions::default()).ok()
}

/// The parameters that a text uses, by number, from 1; sorted.
#[must_use]
pub fn parameters_of(sql: &str) -> Vec<usize> {
    let Ok(scanned) = pg_query::scan(sql) else { return Vec::new() };
    let number = |token: &pg_query::protobuf::ScanToken| {
        let range = usize::try_from(token.start).ok()?..usize::try_from(token.end).ok()?;
        (token.token() == pg_query::protobuf::Token::Param)
            .then(|| sql.get(range)?.strip_prefix('$')?.parse().ok())
            .flatten()
    };
    let mut all: Vec<usize> = scanned.tokens.iter().filter_map(number).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(sql: &str) -> Rows {
        writes(sql).pop().flatten().expect("it writes rows").rows
    }

    #[test]
    fn a_write_becomes_the_query_that_counts_its_rows() {
        let table = [
            ("delete from orders", "SELECT pg_catalog.count(*) FROM orders"),
            (
                "delete from only a.orders o where o.id = $1",
                "SELECT pg_catalog.count(*) FROM ONLY a.orders o WHERE o.id = $1",
            ),
            ("update t set a = $1 where b = $2 returning *", "SELECT pg_catalog.count(*) FROM t WHERE b = $2"),
            (
                "delete from t using u where t.id = u.id",
                "SELECT pg_catalog.count(*) FROM t WHERE EXISTS (SELECT FROM u WHERE t.id = u.id)",
            ),
            (
                "update t set a = 1 from u join v using (id) where t.id = u.id",
                "SELECT pg_catalog.count(*) FROM t WHERE EXISTS (SELECT FROM u JOIN v USING (id) WHERE t.id = u.id)",
            ),
            (
                "insert into t select * from u limit 3",
                "SELECT pg_catalog.count(*) FROM (SELECT * FROM u LIMIT 3) brought",
            ),
            (
                "insert into t values (default, generate_series(1, 1000000), now())",
                "SELECT pg_catalog.count(*) FROM (SELECT generate_series(1, 1000000), now()) brought",
            ),
            (
                "with old as (select id from t) delete from t where id in (select id from old)",
                "WITH old AS (SELECT id FROM t) SELECT pg_catalog.count(*) FROM t WHERE id IN (SELECT id FROM old)",
            ),
        ];
        for (sql, expected) in table {
            let Rows::Found(found) = rows(sql) else { panic!("{sql} is not counted") };
            assert_eq!(found.count, expected, "{sql}");
            assert_eq!(found.find, expected.replacen("SELECT pg_catalog.count(*) FROM", "SELECT FROM", 1), "{sql}");
        }
    }

    #[test]
    fn what_names_its_rows_needs_no_query_and_what_writes_elsewhere_has_none() {
        let table = [
            ("insert into t values (1), (2), (3)", Rows::Named(3)),
            ("insert into t default values", Rows::Named(1)),
            ("insert into t values (1, default, '2', $1, '2030-01-01'::date)", Rows::Named(1)),
            (
                "with gone as (delete from u returning id) delete from t where id in (select id from gone)",
                Rows::Unknown,
            ),
            ("with gone as (delete from u returning id) insert into t select * from gone", Rows::Unknown),
            ("with gone as (delete from u returning id) insert into t values (1)", Rows::Unknown),
            ("with few as (select 1) insert into t values (1)", Rows::Named(1)),
            (
                "merge into t using (select * from u) s on t.id = s.id when matched then delete",
                Rows::AtMost("SELECT FROM (SELECT * FROM u) s LEFT JOIN t ON t.id = s.id".into()),
            ),
        ];
        for (sql, expected) in table {
            assert_eq!(rows(sql), expected, "{sql}");
        }
        for sql in ["select 1", "truncate t", "drop table t", "begin", "with x as (delete from t returning 1) select 1"]
        {
            assert_eq!(writes(sql), [None], "{sql}");
        }
        assert_eq!(writes("selec"), []);
    }

    #[test]
    fn parameters_are_those_of_the_text_and_no_others() {
        assert_eq!(parameters_of("select $2, '$1', \"$3\", $$ $4 $$, $12 -- $5"), [2, 12]);
    }

    #[test]
    fn names_and_constants_survive_being_written_anew() {
        let sql = r#"delete from "we""ird"."ta ble" where "Id" = 'it''s' and b = E'a\nb' and c = 1.50"#;
        let Rows::Found(Found { count, .. }) = rows(sql) else { panic!("it is counted") };
        let same = r#"SELECT pg_catalog.count(*) FROM "we""ird"."ta ble" WHERE "Id" = 'it''s' AND b = 'a
b' AND c = 1.50"#;
        assert_eq!(count, same);
    }
}
