//! A write as a question: how many rows would it touch? Pure. What is asked is made from the
//! statement's own tree, and is itself classified before anybody asks it.

use std::ops::Range;

use pg_query::{
    NodeEnum,
    protobuf::{MergeMatchKind, Node, ParseResult, RangeVar, RawStmt, ReturningClause, SelectStmt, WithClause},
};

use super::{
    classify::with_tree,
    effect::{Action, Object},
};

/// How the rows of one statement can be known before it runs.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// It names them itself: `INSERT … VALUES` with so many lists.
    Named(u64),
    /// A query finds them.
    Found(Found),
    /// A query finds as many at most.
    AtMost(Found),
    /// Nothing but the statement itself says.
    Unknown,
}

/// The same rows as a question. Nothing of the statement's own text is in it but names and conditions.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Counts them.
    pub count: String,
    /// Finds them; for the planner.
    pub find: String,
    /// What `find` is made of.
    select: SelectStmt,
    with: Option<WithClause>,
}

impl Found {
    /// Lists these columns of the rows found.
    #[must_use]
    pub fn columns(&self, names: &[String]) -> Option<String> {
        let mut select = self.select.clone();
        let template = template("SELECT a")?.target_list.pop()?;
        for name in names {
            let mut target = template.clone();
            let NodeEnum::ResTarget(of) = target.node.as_mut()? else { return None };
            let NodeEnum::ColumnRef(column) = of.val.as_mut()?.node.as_mut()? else { return None };
            let NodeEnum::String(field) = column.fields.first_mut()?.node.as_mut()? else { return None };
            field.sval.clone_from(name);
            select.target_list.push(target);
        }
        text(select, self.with.as_ref())
    }
}

/// One statement of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Its bytes within the text, without what divides it from others.
    pub range: Range<usize>,
    /// Whose rows it writes by itself; several where others stand before it in WITH. `None` for one of
    /// which that can't be told.
    pub writes: Vec<Writes>,
}

/// A statement, or a part of one in WITH, that writes rows of one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Writes {
    /// What it does.
    pub action: Action,
    /// The table as the text names it: schema, empty where it names none, and name.
    pub table: (String, String),
    /// Its rows.
    pub rows: Rows,
    /// The columns that an UPDATE sets, or an INSERT of a row that is there already.
    sets: Option<Vec<String>>,
}

/// The statements of a text, and what each writes; none where it is no SQL.
#[must_use]
pub fn parts(sql: &str) -> Vec<Part> {
    with_tree(sql, |tree| {
        let Ok(tree) = tree else { return Vec::new() };
        let part = |raw: &RawStmt| {
            let start = usize::try_from(raw.stmt_location).unwrap_or(0).min(sql.len());
            let end = match usize::try_from(raw.stmt_len) {
                Ok(length) if length > 0 => start.saturating_add(length).min(sql.len()),
                _ => sql.len(),
            };
            Part { range: start..end, writes: raw.stmt.as_deref().map(all).unwrap_or_default() }
        };
        tree.stmts.iter().map(part).collect()
    })
}

impl Writes {
    /// Whether it may give one of the columns that a foreign key points to a new value; they are the second
    /// of each pair.
    #[must_use]
    pub fn may_set(&self, key: &[(String, String)]) -> bool {
        let pointed = |name: &String| key.is_empty() || key.iter().any(|(_, to)| to == name);
        match self.action {
            Action::Update | Action::Insert => self.sets.as_ref().is_none_or(|sets| sets.iter().any(pointed)),
            _ => true,
        }
    }

    /// Whether this is the table of an effect.
    #[must_use]
    pub fn is_on(&self, object: &Object) -> bool {
        let (schema, name) = &self.table;
        matches!(object, Object::Table { schema: s, name: n } if n == name && (schema.is_empty() || s == schema))
    }
}

/// What a statement writes, and what those before it in WITH do.
fn all(node: &Node) -> Vec<Writes> {
    let Some(node) = node.node.as_ref() else { return Vec::new() };
    let with = match node {
        NodeEnum::DeleteStmt(n) => n.with_clause.as_ref(),
        NodeEnum::UpdateStmt(n) => n.with_clause.as_ref(),
        NodeEnum::InsertStmt(n) => n.with_clause.as_ref(),
        NodeEnum::MergeStmt(n) => n.with_clause.as_ref(),
        NodeEnum::SelectStmt(n) => n.with_clause.as_ref(),
        _ => None,
    };
    let mut all = Vec::new();
    for (at, cte) in with.map(|with| with.ctes.as_slice()).unwrap_or_default().iter().enumerate() {
        let Some(NodeEnum::CommonTableExpr(cte)) = &cte.node else { continue };
        let Some(query) = cte.ctequery.as_deref().and_then(|query| query.node.as_ref()) else { continue };
        // Those before it are all that it can name, unless they may name each other.
        let before = with.filter(|with| at > 0 || with.recursive).map(|with| match with.recursive {
            true => with.clone(),
            false => WithClause { ctes: with.ctes.iter().take(at).cloned().collect(), ..with.clone() },
        });
        all.extend(one(query, before.as_ref()));
    }
    all.extend(one(node, with));
    all
}

fn one(node: &NodeEnum, with: Option<&WithClause>) -> Option<Writes> {
    // A WITH of its own, of one that stands in WITH itself, is not followed.
    let own = |own: Option<&WithClause>| own.is_some() && own != with;
    let known = !match node {
        NodeEnum::DeleteStmt(n) => own(n.with_clause.as_ref()),
        NodeEnum::UpdateStmt(n) => own(n.with_clause.as_ref()),
        NodeEnum::InsertStmt(n) => own(n.with_clause.as_ref()),
        NodeEnum::MergeStmt(n) => own(n.with_clause.as_ref()),
        _ => return None,
    };
    // What writes before is asked as what reads the same rows.
    let with = with.map(instead);
    let known = known && with.as_ref().is_none_or(Option::is_some);
    let with = with.flatten();
    let with = with.as_ref();
    let (action, relation, rows) = match node {
        NodeEnum::DeleteStmt(n) => {
            let rows = || count(n.relation.as_ref(), &n.using_clause, n.where_clause.as_deref(), with);
            (Action::Delete, n.relation.as_ref(), known.then(rows))
        }
        NodeEnum::UpdateStmt(n) => {
            let rows = || count(n.relation.as_ref(), &n.from_clause, n.where_clause.as_deref(), with);
            (Action::Update, n.relation.as_ref(), known.then(rows))
        }
        NodeEnum::InsertStmt(n) => (Action::Insert, n.relation.as_ref(), Some(inserted(n, known, with))),
        NodeEnum::MergeStmt(n) => (Action::Merge, n.relation.as_ref(), known.then(|| merged(n, with))),
        _ => return None,
    };
    let relation = relation?;
    let table = (relation.schemaname.clone(), relation.relname.clone());
    let sets = match node {
        NodeEnum::UpdateStmt(n) => Some(set_by(&n.target_list)),
        NodeEnum::InsertStmt(n) => Some(set_by(n.on_conflict_clause.as_ref().map_or(&[], |on| &on.target_list))),
        _ => None,
    };
    Some(Writes { action, table, rows: rows.flatten().unwrap_or(Rows::Unknown), sets })
}

fn set_by(targets: &[Node]) -> Vec<String> {
    let name = |target: &Node| match &target.node {
        Some(NodeEnum::ResTarget(target)) => Some(target.name.clone()),
        _ => None,
    };
    targets.iter().filter_map(name).collect()
}

/// WITH whose parts only read: a DELETE there becomes the SELECT of what it returns. All parts of a
/// statement see the rows as they were before it (manual, 7.8.4). Nothing where that can't be said.
fn instead(with: &WithClause) -> Option<WithClause> {
    let mut with = with.clone();
    for cte in &mut with.ctes {
        let NodeEnum::CommonTableExpr(cte) = cte.node.as_mut()? else { return None };
        let query = cte.ctequery.as_mut()?.node.as_mut()?;
        *query = match query {
            NodeEnum::SelectStmt(_) => continue,
            NodeEnum::DeleteStmt(n) if n.using_clause.is_empty() && n.with_clause.is_none() => {
                selected(n.relation.as_ref()?, returned(n.returning_clause.as_ref())?, n.where_clause.clone())?
            }
            NodeEnum::UpdateStmt(n) if n.from_clause.is_empty() && n.with_clause.is_none() => {
                let returned = returned(n.returning_clause.as_ref())?;
                // What it sets is returned as it is afterwards.
                let set = set_by(&n.target_list);
                let plain = |target: &Node| column_of(target).is_some_and(|name| !set.iter().any(|set| set == name));
                let stays = returned.iter().all(plain);
                if !stays {
                    return None;
                }
                selected(n.relation.as_ref()?, returned, n.where_clause.clone())?
            }
            _ => return None,
        };
    }
    Some(with)
}

/// What RETURNING lists, where it is a plain list.
fn returned(clause: Option<&ReturningClause>) -> Option<Vec<Node>> {
    clause.filter(|clause| clause.options.is_empty()).map(|clause| clause.exprs.clone())
}

/// The plain column that a target is.
fn column_of(target: &Node) -> Option<&str> {
    let Some(NodeEnum::ResTarget(target)) = &target.node else { return None };
    let Some(NodeEnum::ColumnRef(column)) = &target.val.as_ref()?.node else { return None };
    match &column.fields.last()?.node {
        Some(NodeEnum::String(name)) => Some(&name.sval),
        _ => None,
    }
}

fn selected(from: &RangeVar, targets: Vec<Node>, condition: Option<Box<Node>>) -> Option<NodeEnum> {
    let mut select = template("SELECT FROM it")?;
    select.from_clause = vec![Node { node: Some(NodeEnum::RangeVar(from.clone())) }];
    select.target_list = targets;
    select.where_clause = condition;
    Some(NodeEnum::SelectStmt(Box::new(select)))
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

fn inserted(n: &pg_query::protobuf::InsertStmt, known: bool, with: Option<&WithClause>) -> Option<Rows> {
    let Some(source) = n.select_stmt.as_deref() else { return Some(Rows::Named(1)) };
    let NodeEnum::SelectStmt(select) = source.node.as_ref()? else { return None };
    match select.values_lists.as_slice() {
        [] => {}
        [only] => return one_list(only, known, with),
        // A function that gives several rows is refused where there are several lists.
        lists => return u64::try_from(lists.len()).ok().map(Rows::Named),
    }
    if !known {
        return None;
    }
    let mut finds = template("SELECT FROM (SELECT FROM it) AS brought")?;
    let NodeEnum::RangeSubselect(from) = finds.from_clause.first_mut()?.node.as_mut()? else { return None };
    from.subquery = Some(Box::new(source.clone()));
    found(finds, with)
}

/// One list is what a SELECT would list: a function in it may give several rows.
fn one_list(list: &Node, known: bool, with: Option<&WithClause>) -> Option<Rows> {
    let Some(NodeEnum::List(list)) = &list.node else { return None };
    if list.items.iter().all(is_plain) {
        return Some(Rows::Named(1));
    }
    if !known {
        return None;
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
fn merged(n: &pg_query::protobuf::MergeStmt, with: Option<&WithClause>) -> Option<Rows> {
    let by_source = |when: &Node| match &when.node {
        Some(NodeEnum::MergeWhenClause(when)) => when.match_kind() == MergeMatchKind::MergeWhenNotMatchedBySource,
        _ => true,
    };
    if n.merge_when_clauses.iter().any(by_source) {
        return None;
    }
    let mut finds = template("SELECT FROM a LEFT JOIN b ON true")?;
    let NodeEnum::JoinExpr(join) = finds.from_clause.first_mut()?.node.as_mut()? else { return None };
    join.larg = n.source_relation.clone();
    join.rarg = Some(Box::new(Node { node: Some(NodeEnum::RangeVar(n.relation.clone()?)) }));
    join.quals = n.join_condition.clone();
    match found(finds, with)? {
        Rows::Found(found) => Some(Rows::AtMost(found)),
        other => Some(other),
    }
}

fn found(finds: SelectStmt, with: Option<&WithClause>) -> Option<Rows> {
    let mut counts = finds.clone();
    counts.target_list = template("SELECT pg_catalog.count(*)")?.target_list;
    let (count, find) = (text(counts, with)?, text(finds.clone(), with)?);
    Some(Rows::Found(Found { count, find, select: finds, with: with.cloned() }))
}

fn template(sql: &str) -> Option<SelectStmt> {
    let tree = pg_query::parse(sql, 0).ok()?.protobuf;
    match tree.stmts.into_iter().next()?.stmt?.node? {
        NodeEnum::SelectStmt(select) => Some(*select),
        _ => None,
    }
}

/// As text, with what stood before the statement in WITH.
fn text(mut select: SelectStmt, with: Option<&WithClause>) -> Option<String> {
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
        parts(sql).pop().expect("a statement").writes.pop().expect("it writes rows").rows
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
            ("with new as (insert into u select 1 returning id) insert into t select * from new", Rows::Unknown),
            ("with set as (update u set id = 2 returning id) insert into t select * from set", Rows::Unknown),
            ("with set as (update u set a = 2 returning *) insert into t select * from set", Rows::Unknown),
            ("with gone as (delete from u using v returning v.id) insert into t select * from gone", Rows::Unknown),
            ("with new as (insert into u select 1 returning id) insert into t values (1)", Rows::Named(1)),
            (
                "merge into t using s on t.id = s.id when not matched by source then delete when matched then do nothing",
                Rows::Unknown,
            ),
            ("with few as (select 1) insert into t values (1)", Rows::Named(1)),
        ];
        for (sql, expected) in table {
            assert_eq!(rows(sql), expected, "{sql}");
        }
        for sql in ["select 1", "truncate t", "drop table t", "begin"] {
            assert_eq!(parts(sql)[0].writes, [], "{sql}");
        }
        assert_eq!(parts("selec"), []);
    }

    #[test]
    fn what_writes_in_with_is_counted_and_read_instead() {
        let count = |rows: &Rows| match rows {
            Rows::Found(found) | Rows::AtMost(found) => found.count.clone(),
            other => format!("{other:?}"),
        };
        let table: [(&str, &[(Action, &str)]); 4] = [
            (
                "with gone as (delete from u returning id) delete from t where id in (select id from gone)",
                &[
                    (Action::Delete, "SELECT pg_catalog.count(*) FROM u"),
                    (
                        Action::Delete,
                        "WITH gone AS (SELECT id FROM u) SELECT pg_catalog.count(*) FROM t WHERE id IN (SELECT id FROM gone)",
                    ),
                ],
            ),
            (
                "with a as (select 1), b as (update u set x = 1 where id in (table a) returning id) insert into t table b",
                &[
                    (
                        Action::Update,
                        "WITH a AS (SELECT 1) SELECT pg_catalog.count(*) FROM u WHERE id IN (SELECT * FROM a)",
                    ),
                    (
                        Action::Insert,
                        "WITH a AS (SELECT 1), b AS (SELECT id FROM u WHERE id IN (SELECT * FROM a)) \
                         SELECT pg_catalog.count(*) FROM (SELECT * FROM b) brought",
                    ),
                ],
            ),
            (
                "with x as (delete from t where id = 1 returning 1) select 1",
                &[(Action::Delete, "SELECT pg_catalog.count(*) FROM t WHERE id = 1")],
            ),
            (
                "merge into t using (select * from u) s on t.id = s.id when matched then delete",
                &[(Action::Merge, "SELECT pg_catalog.count(*) FROM (SELECT * FROM u) s LEFT JOIN t ON t.id = s.id")],
            ),
        ];
        for (sql, expected) in table {
            let writes = &parts(sql)[0].writes;
            let counts: Vec<_> = writes.iter().map(|writes| (writes.action, count(&writes.rows))).collect();
            let expected: Vec<_> = expected.iter().map(|(action, count)| (*action, (*count).to_owned())).collect();
            assert_eq!(counts, expected, "{sql}");
        }
    }

    #[test]
    fn statements_lie_where_they_lie() {
        let sql = "select 1 ;\n  delete from t;update t set a = 1";
        let texts: Vec<&str> = parts(sql).into_iter().map(|part| &sql[part.range]).collect();
        assert_eq!(texts, ["select 1 ", "delete from t", "update t set a = 1"]);
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
