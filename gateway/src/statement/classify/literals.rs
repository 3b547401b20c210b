//! Whether the values of a text's constants had a part in what it was found to do.
//!
//! An application says the same statement with other constants a million times. Where no value
//! mattered, one analysis serves all of them. What is not known to be so counts as mattering.

use std::collections::BTreeSet;

use pg_query::{
    NodeEnum,
    protobuf::{Node, a_const},
};

use crate::statement::effect::{Action, Effect};

/// Whether a statement is of a kind in which constants are mere values. In any other they are
/// options, names or whole texts.
pub(super) fn may_be_blind(statement: &Node) -> bool {
    matches!(
        &statement.node,
        Some(
            NodeEnum::SelectStmt(_)
                | NodeEnum::InsertStmt(_)
                | NodeEnum::UpdateStmt(_)
                | NodeEnum::DeleteStmt(_)
                | NodeEnum::MergeStmt(_)
        )
    )
}

/// Whether effects are on rows alone. Whatever has another had a reason, and that may be a value.
pub(super) fn are_plain(effects: &BTreeSet<Effect>) -> bool {
    let plain =
        [Action::Select, Action::Temp, Action::Insert, Action::Update, Action::Delete, Action::Merge, Action::Lock];
    effects.iter().all(|effect| plain.contains(&effect.action))
}

/// Whether constants of a type of the server's own are names that it looks up.
pub(super) fn are_looked_up_by(type_name: &str) -> bool {
    type_name.starts_with("reg") || type_name.starts_with("_reg")
}

/// Whether an element of GROUP BY, ORDER BY or DISTINCT ON names an output column by its number.
pub(super) fn is_position(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::SortBy(n)) => n.node.as_deref().is_some_and(is_position),
        Some(NodeEnum::GroupingSet(n)) => n.content.iter().any(is_position),
        Some(NodeEnum::RowExpr(n)) => n.args.iter().any(is_position),
        Some(NodeEnum::AConst(n)) => matches!(n.val, Some(a_const::Val::Ival(_))),
        _ => false,
    }
}

/// Whether a text may have identifiers or strings whose meaning is written in another constant:
/// `U&"d!0061t" UESCAPE '!'`.
pub(super) fn in_identifiers(sql: &str) -> bool {
    sql.as_bytes().windows(3).any(|w| matches!(w, [b'u' | b'U', b'&', b'"' | b'\'']))
}

#[cfg(test)]
mod tests {
    use crate::statement::classify::tests::ask;

    #[test]
    fn constants_of_ordinary_statements_are_mere_values() {
        for sql in [
            "SELECT name FROM products WHERE id = 1",
            "SELECT 1",
            "SELECT * FROM orders WHERE status IN ('a', 'b') AND total > 1.5 ORDER BY id LIMIT 10 OFFSET 5",
            "SELECT lower('X'), coalesce(status, 'none'), total::int FROM orders",
            "SELECT * FROM orders WHERE status LIKE 'a%' AND id = $1",
            "SELECT '2026-01-01'::date, x.n FROM generate_series(1, 10) AS x (n)",
            "SELECT * FROM open_orders WHERE id = 7",
            "INSERT INTO products VALUES (1, 'x', 2.5), (2, 'y', -3)",
            "INSERT INTO plain_default (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET id = 2 RETURNING id",
            "UPDATE products SET name = 'x', price = price + 1 WHERE id = 1",
            "DELETE FROM products WHERE id = 1 AND name <> 'x'",
            "SELECT * FROM products WHERE id = 1 FOR UPDATE",
            "MERGE INTO products p USING customers c ON p.id = c.id WHEN MATCHED AND c.id > 5 THEN DELETE",
            "SELECT * FROM scratch WHERE id = 1",
            "SELECT 1; SELECT 2",
        ] {
            assert!(!ask(sql).literal_sensitive(), "{sql}");
        }
    }

    #[test]
    fn where_a_constant_is_more_than_a_value_it_is_told() {
        let cases: &[(&str, &str)] = &[
            ("SELECT 'orders'::regclass", "a name that the server looks up"),
            ("SELECT CAST('lower' AS pg_catalog.regproc)", "the same, in SQL's words"),
            ("SELECT '{orders}'::regclass[]", "the same, in an array"),
            ("SELECT 'x'::email", "a domain's check runs on it"),
            ("SELECT 'x'::mood", "a type of the database's own"),
            ("SELECT 'x'::varchar(3)", "a type's modifier has bounds"),
            ("SELECT nextval('orders_id_seq')", "a sequence by name"),
            ("SELECT set_config('work_mem', '1MB', false)", "a setting by name"),
            ("SELECT current_setting('x.y')", "a setting of the gateway's own must not pass"),
            ("SELECT pg_notify('a', 'b')", "not on the list of harmless functions"),
            ("SELECT query_to_xml('select 1', true, true, '')", "SQL as text"),
            ("SELECT wipe(1)", "a function of the database's own"),
            ("SELECT similarity('a', 'b')", "an extension's function"),
            ("SELECT unheard_of(1)", "a function that is not known"),
            ("SELECT id FROM orders ORDER BY 1", "a column by its number"),
            ("SELECT status, count(*) FROM orders GROUP BY 1", "the same in GROUP BY"),
            ("SELECT status, count(*) FROM orders GROUP BY ROLLUP (1)", "the same in a grouping set"),
            ("SELECT DISTINCT ON (1) id FROM orders", "the same in DISTINCT ON"),
            ("SELECT U&\"d!0061ta\" UESCAPE '!' FROM orders", "what escapes within a name"),
            ("SELECT * FROM nowhere WHERE id = 1", "in doubt"),
            ("SELEC 1", "not understood"),
            ("SELECT * INTO t FROM orders WHERE id = 1", "not a mere query"),
            ("SET work_mem = '1MB'", "a setting's value"),
            ("SET countersign.reason = 'x'", "the gateway's own"),
            ("PREPARE p AS SELECT 1", "a later statement's text"),
            ("EXECUTE proto (1)", "a statement that is remembered"),
            ("EXPLAIN SELECT 1", "options are constants"),
            ("DO 'begin end'", "a program"),
            ("COPY products TO '/tmp/x'", "a file"),
            ("COPY products FROM STDIN WITH (DELIMITER ',')", "an option"),
            ("CALL refund(1)", "a procedure"),
            ("DECLARE c CURSOR FOR SELECT 1", "not a mere query"),
            ("SELECT 1; SET work_mem = '1MB'", "one of two"),
        ];
        for (sql, why) in cases {
            assert!(ask(sql).literal_sensitive(), "{sql}: {why}");
        }
        assert!(!ask("").literal_sensitive(), "nothing has no constants");
    }

    /// The promise itself: other values, the same answer.
    #[test]
    fn other_values_give_the_same_answer_where_none_mattered() {
        let pairs: &[(&str, &[&str])] = &[
            ("SELECT name FROM products WHERE id = 1", &["SELECT name FROM products WHERE id = 2147483647"]),
            (
                "UPDATE products SET name = 'x' WHERE name = 'y'",
                &["UPDATE products SET name = 'pg_authid' WHERE name = 'on '"],
            ),
            ("SELECT has_table_privilege('orders', 'select')", &["SELECT has_table_privilege('nowhere', 'update')"]),
            ("DELETE FROM products WHERE 1 = 1", &["DELETE FROM products WHERE 1 = 2"]),
            ("SELECT 'a' || 'b' FROM orders LIMIT 1", &["SELECT ';' || '--' FROM orders LIMIT 0"]),
        ];
        for (first, others) in pairs {
            let first = ask(first);
            assert!(!first.literal_sensitive());
            for other in *others {
                let mut other = ask(other);
                for (statement, known) in other.statements.iter_mut().zip(&first.statements) {
                    statement.range = known.range.clone();
                }
                assert_eq!(first, other);
            }
        }
    }
}
