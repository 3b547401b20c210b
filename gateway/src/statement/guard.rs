//! The row guard: an approved write that touches more rows than its card stated is undone. Pure: what is
//! stated and what was touched come from outside.
//!
//! What was touched is the server's own count of this transaction (`pg_stat_xact_all_tables`, manual 27.2),
//! before and after, for every table: so whatever a statement does by WITH, foreign keys or triggers counts.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use countersign_shared::{api::Impact, impact::thousands};

use super::counting::Part;
use crate::catalog::{Relation, Snapshot};

/// With how many rows more than stated a statement still counts as what was approved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tolerance {
    /// So many,
    pub rows: u64,
    /// or so many of a hundred, whichever is more.
    pub percent: u64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { rows: 10, percent: 5 }
    }
}

impl Tolerance {
    /// The most rows that count as `stated`.
    #[must_use]
    pub fn above(self, stated: u64) -> u64 {
        let share = u128::from(stated) * u128::from(self.percent) / 100;
        stated.saturating_add(self.rows.max(u64::try_from(share).unwrap_or(u64::MAX)))
    }
}

/// What is known of one table that a statement writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// The statement's number in its text.
    pub statement: usize,
    /// What people are told.
    pub impact: Impact,
    /// The table, its partitions, and what inherits from it.
    pub oids: Vec<u32>,
}

impl Measured {
    /// What was stated before, as it is kept.
    #[must_use]
    pub fn again(impact: Impact, catalog: &Snapshot) -> Self {
        let mut dots = impact.table.match_indices('.').map(|(at, _)| at);
        let relation = dots.find_map(|at| catalog.relation(&impact.table[..at], &impact.table[at + 1..])).cloned();
        Self { statement: impact.statement, oids: oids(relation, catalog), impact }
    }
}

/// A table, its partitions, and what inherits from it.
#[must_use]
pub fn oids(table: Option<Arc<Relation>>, catalog: &Snapshot) -> Vec<u32> {
    let mut oids = Vec::new();
    let mut open: Vec<Arc<Relation>> = table.into_iter().collect();
    while let Some(relation) = open.pop() {
        if !oids.contains(&relation.oid) {
            oids.push(relation.oid);
            open.extend(relation.children.iter().filter_map(|(schema, name)| catalog.relation(schema, name)).cloned());
        }
    }
    oids
}

/// What a text may touch, statement by statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// All of its statements, in order.
    pub pieces: Vec<Piece>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// What it may touch, where anything was stated.
    pub limits: Option<Limits>,
}

/// How many rows one statement may touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    each: Vec<Limit>,
    /// For a table that nothing was stated of, as one that a trigger writes; nothing where what the statement
    /// itself touches is unknown too.
    rest: Option<u64>,
    /// Whether all tables that nothing was stated of may have so many together, since nobody looked.
    together: bool,
    /// The most rows of all tables together, whatever was stated: what its approvers allowed a run to touch.
    most: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Limit {
    table: String,
    oids: Vec<u32>,
    /// Whether a row that moves between partitions is one row.
    moves: bool,
    /// Stated, and the most; nothing where nobody could say.
    rows: Option<(u64, u64)>,
}

/// More than was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The table.
    pub table: String,
    /// What the card stated; nothing where it did not name the table.
    pub stated: Option<u64>,
    /// The most that would have counted as that.
    pub most: u64,
    /// What was touched.
    pub touched: u64,
    /// Whether that is of all tables together, and more than a run was allowed to touch.
    pub in_all: bool,
}

impl Exceeded {
    /// `1,204 rows of public.orders were touched, and 5 were approved (up to 15 with the tolerance)`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let (touched, most) = (thousands(self.touched), thousands(self.most));
        if self.in_all {
            return format!(
                "{touched} rows were touched in all, {} among them, and a run may touch {most}",
                self.table
            );
        }
        match self.stated {
            Some(stated) => format!(
                "{touched} rows of {} were touched, and {} were approved (up to {most} with the tolerance)",
                self.table,
                thousands(stated)
            ),
            None => format!(
                "{touched} rows of {} were touched, of which the card stated no number; up to {most} would have been \
                 within what was approved",
                self.table
            ),
        }
    }
}

impl Guard {
    /// What `text` may touch, and `measured` with the limits that people are told; nothing where nothing was
    /// stated.
    #[must_use]
    pub fn of(parts: &[Part], measured: &mut [Measured], tolerance: Tolerance) -> Option<Self> {
        for one in measured.iter_mut() {
            one.impact.statement = one.statement;
        }
        let piece = |(at, part): (usize, &Part)| {
            let of = measured.iter().filter(|one| one.statement == at);
            Piece { range: part.range.clone(), limits: Limits::of(of, tolerance) }
        };
        let pieces: Vec<Piece> = parts.iter().enumerate().map(piece).collect();
        // Several lines of one table have one limit; none where the number of one of them is not known.
        for one in measured.iter_mut() {
            let limits = pieces.get(one.statement).and_then(|piece| piece.limits.as_ref());
            let of = |limit: &&Limit| limit.oids.iter().any(|oid| one.oids.contains(oid));
            let limit = limits.and_then(|limits| limits.each.iter().find(of));
            one.impact.limit = limit.and_then(|limit| limit.rows).map(|(_, most)| most);
        }
        pieces.iter().any(|piece| piece.limits.is_some()).then_some(Self { pieces })
    }
}

impl Guard {
    /// All tables that nothing was stated of may have no more rows touched together than the statement itself
    /// was to touch: for what passes by its number alone.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.pieces.iter_mut().filter_map(|piece| piece.limits.as_mut()).for_each(|limits| limits.together = true);
        self
    }
}

impl Guard {
    /// A run may touch so many rows of all tables together, and no more.
    #[must_use]
    pub fn capped(parts: &[Part], most: u64) -> Self {
        let limits = || Limits { most: Some(most), ..Limits::default() };
        Self { pieces: parts.iter().map(|part| Piece { range: part.range.clone(), limits: Some(limits()) }).collect() }
    }

    /// The same beside what was stated.
    #[must_use]
    pub fn and_capped(mut self, most: u64) -> Self {
        self.pieces.iter_mut().for_each(|piece| {
            piece.limits.get_or_insert_default().most = Some(most);
        });
        self
    }
}

impl Limits {
    fn of<'a>(measured: impl Iterator<Item = &'a Measured>, tolerance: Tolerance) -> Option<Self> {
        let mut limits = Self { rest: Some(0), ..Self::default() };
        let mut stated = Some(0_u64);
        for Measured { impact, oids, .. } in measured {
            if impact.cascade_of.is_none() {
                stated = stated.zip(impact.rows).map(|(sum, rows)| sum.saturating_add(rows));
            }
            let shared = limits.each.iter_mut().find(|limit| limit.oids.iter().any(|oid| oids.contains(oid)));
            if let Some(limit) = shared {
                // Written twice: what both may touch together.
                let sum = limit.rows.zip(impact.rows).map(|((stated, _), rows)| stated.saturating_add(rows));
                limit.rows = sum.map(|sum| (sum, tolerance.above(sum)));
                limit.moves &= impact.action == "update";
                limit.oids.extend(oids);
            } else {
                limits.each.push(Limit {
                    table: impact.table.clone(),
                    oids: oids.clone(),
                    moves: impact.action == "update",
                    rows: impact.rows.map(|rows| (rows, tolerance.above(rows))),
                });
            }
        }
        limits.rest = stated.map(|stated| tolerance.above(stated));
        limits.each.iter().any(|limit| limit.rows.is_some()).then_some(limits)
    }

    /// Whether more was touched than was approved: first in the tables that the card names, in its order.
    #[must_use]
    pub fn exceeded(&self, before: &Touched, after: &Touched) -> Option<Exceeded> {
        self.more_than_stated(before, after).or_else(|| self.more_than_allowed(before, after))
    }

    /// Whether all tables together have more rows touched than a run may touch. A row that moves between partitions
    /// counts twice.
    fn more_than_allowed(&self, before: &Touched, after: &Touched) -> Option<Exceeded> {
        let most = self.most?;
        let since = after.since(before);
        let all = since.tables.values().map(|(_, count)| count.rows(false)).fold(0, u64::saturating_add);
        let (table, _) = since.tables.values().max_by_key(|(_, count)| count.rows(false))?;
        let exceeded = Exceeded { table: table.clone(), stated: None, most, touched: all, in_all: true };
        (all > most).then_some(exceeded)
    }

    fn more_than_stated(&self, before: &Touched, after: &Touched) -> Option<Exceeded> {
        let mut sums: Vec<Count> = vec![Count::default(); self.each.len()];
        // Partitions are one table, however many they are.
        let mut others = BTreeMap::<u32, (&String, u64)>::new();
        for (oid, (table, now)) in &after.tables {
            let count = now.since(before.tables.get(oid).map(|(_, count)| *count).unwrap_or_default());
            match self.each.iter().position(|limit| limit.oids.contains(oid)) {
                Some(at) => sums[at].add(count),
                None => {
                    let of = if self.together { 0 } else { after.roots.get(oid).copied().unwrap_or(*oid) };
                    let rows = &mut others.entry(of).or_insert((table, 0)).1;
                    *rows = rows.saturating_add(count.rows(false));
                }
            }
        }
        let named = self.each.iter().zip(sums).find_map(|(limit, sum)| {
            let touched = sum.rows(limit.moves);
            let (stated, most) = limit.rows.filter(|(_, most)| touched > *most)?;
            Some(Exceeded { table: limit.table.clone(), stated: Some(stated), most, touched, in_all: false })
        });
        let other = || {
            let most = self.rest?;
            let (table, touched) = others.into_values().find(|(_, touched)| *touched > most)?;
            Some(Exceeded { table: table.clone(), stated: None, most, touched, in_all: false })
        };
        named.or_else(other)
    }
}

/// Rows of one table that a transaction has touched so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// `n_tup_ins`.
    pub inserted: u64,
    /// `n_tup_upd`.
    pub updated: u64,
    /// `n_tup_del`.
    pub deleted: u64,
}

impl Count {
    const fn since(self, before: Self) -> Self {
        Self {
            inserted: self.inserted.saturating_sub(before.inserted),
            updated: self.updated.saturating_sub(before.updated),
            deleted: self.deleted.saturating_sub(before.deleted),
        }
    }

    const fn add(&mut self, other: Self) {
        self.inserted = self.inserted.saturating_add(other.inserted);
        self.updated = self.updated.saturating_add(other.updated);
        self.deleted = self.deleted.saturating_add(other.deleted);
    }

    fn rows(self, moves: bool) -> u64 {
        let others = if moves {
            // A row that an UPDATE moves to another partition is deleted there and inserted here.
            self.inserted.max(self.deleted)
        } else {
            self.inserted.saturating_add(self.deleted)
        };
        self.updated.saturating_add(others)
    }
}

/// What a transaction has touched so far: tables by oid, with their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Each table by its oid.
    pub tables: BTreeMap<u32, (String, Count)>,
    /// Of a partition, the oid of the partitioned table.
    pub roots: BTreeMap<u32, u32>,
}

impl Touched {
    /// What has been touched since `before`. The server counts what its process did in transactions before, too, as
    /// long as it has not reported that.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let since = |(oid, (table, now)): (&u32, &(String, Count))| {
            let count = now.since(before.tables.get(oid).map(|(_, count)| *count).unwrap_or_default());
            (count != Count::default()).then(|| (*oid, (table.clone(), count)))
        };
        Self { tables: self.tables.iter().filter_map(since).collect(), roots: self.roots.clone() }
    }

    /// Asks for it: oid, schema, name, and rows inserted, updated, deleted. All is named in full, since the
    /// session's path is the client's.
    pub const QUERY: &str = "SELECT relid, schemaname, relname, n_tup_ins, n_tup_upd, n_tup_del, \
         pg_catalog.current_setting('track_counts'), pg_catalog.pg_partition_root(relid)::pg_catalog.oid FROM pg_catalog.pg_stat_xact_all_tables \
         WHERE n_tup_ins OPERATOR(pg_catalog.>) 0 OR n_tup_upd OPERATOR(pg_catalog.>) 0 \
         OR n_tup_del OPERATOR(pg_catalog.>) 0 \
         UNION ALL SELECT 0, '', '', 0, 0, 0, pg_catalog.current_setting('track_counts'), NULL";

    /// Reads the answer; nothing where the server does not count, or answers something else.
    #[must_use]
    pub fn read(rows: &[Vec<Option<String>>]) -> Option<Self> {
        let mut all = Self::default();
        let mut counts = false;
        for row in rows {
            let [oid, schema, name, inserted, updated, deleted, on, root] = row.as_slice() else { return None };
            let number = |text: &Option<String>| text.as_ref()?.parse::<u64>().ok();
            let (schema, name) = (schema.as_ref()?, name.as_ref()?);
            counts = on.as_deref() == Some("on");
            let count = Count { inserted: number(inserted)?, updated: number(updated)?, deleted: number(deleted)? };
            // What belongs to the server, and what only this session has, is no row that anybody approved.
            let own = ["pg_catalog", "pg_toast", "information_schema"].contains(&schema.as_str())
                || schema.starts_with("pg_temp")
                || schema.starts_with("pg_toast_temp")
                || schema.is_empty();
            if !own {
                let oid = oid.as_ref()?.parse().ok()?;
                if root.is_some() {
                    all.roots.insert(oid, u32::try_from(number(root)?).ok()?);
                }
                all.tables.insert(oid, (format!("{schema}.{name}"), count));
            }
        }
        counts.then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: u32 = 1;
    const PART: u32 = 2;
    const ITEMS: u32 = 3;
    const AUDIT: u32 = 4;

    fn stated(action: &str, table: &str, rows: Option<u64>, oids: &[u32], carried: bool) -> Measured {
        let cascade_of = carried.then(|| "public.orders".to_owned());
        let (action, table) = (action.to_owned(), table.to_owned());
        let impact = Impact { action, table, rows, cascade_of, ..Impact::default() };
        Measured { statement: 0, impact, oids: oids.to_vec() }
    }

    fn count(inserted: u64, updated: u64, deleted: u64) -> Count {
        Count { inserted, updated, deleted }
    }

    fn touched(all: &[(u32, Count)]) -> Touched {
        let tables = all.iter().map(|(oid, count)| (*oid, (format!("t{oid}"), *count))).collect();
        Touched { tables, ..Touched::default() }
    }

    fn guard_of(measured: &mut [Measured]) -> Guard {
        Guard::of(&[Part::default()], measured, Tolerance::default()).expect("a guard")
    }

    fn guard(measured: &mut [Measured]) -> Option<Limits> {
        let parts = [Part::default()];
        Guard::of(&parts, measured, Tolerance::default())
            .map(|mut guard| guard.pieces.remove(0).limits.expect("limits"))
    }

    #[test]
    fn the_tolerance_is_the_larger_of_both() {
        for (stated, most) in [(0, 10), (5, 15), (200, 210), (1_000, 1_050), (u64::MAX, u64::MAX)] {
            assert_eq!(Tolerance::default().above(stated), most, "{stated}");
        }
    }

    #[test]
    fn more_than_was_stated_and_tolerated_is_too_much_wherever_it_is() {
        let orders = stated("delete", "public.orders", Some(5), &[ORDERS, PART], false);
        let items = stated("delete", "public.items", Some(100), &[ITEMS], true);
        let unknown_items = stated("delete", "public.items", None, &[ITEMS], true);
        let update = stated("update", "public.orders", Some(5), &[ORDERS, PART], false);
        let unknown = stated("delete", "public.orders", None, &[ORDERS, PART], false);
        // What is stated, what was touched before, what has been touched after, and where it is too much.
        type Case = (&'static str, Vec<Measured>, Vec<(u32, Count)>, Vec<(u32, Count)>, Option<(&'static str, u64)>);
        let table: Vec<Case> = vec![
            ("as stated", vec![orders.clone()], vec![], vec![(ORDERS, count(0, 0, 5))], None),
            ("within the tolerance", vec![orders.clone()], vec![], vec![(ORDERS, count(0, 0, 15))], None),
            ("one above", vec![orders.clone()], vec![], vec![(ORDERS, count(0, 0, 16))], Some(("public.orders", 16))),
            (
                "what was touched before is not of this statement",
                vec![orders.clone()],
                vec![(ORDERS, count(7, 0, 100))],
                vec![(ORDERS, count(7, 0, 105))],
                None,
            ),
            (
                "partitions count together",
                vec![orders.clone()],
                vec![],
                vec![(ORDERS, count(0, 0, 8)), (PART, count(0, 0, 8))],
                Some(("public.orders", 16)),
            ),
            (
                "what is carried on, as stated",
                vec![orders.clone(), items.clone()],
                vec![],
                vec![(ORDERS, count(0, 0, 5)), (ITEMS, count(0, 0, 110))],
                None,
            ),
            (
                "what is carried on, and more",
                vec![orders.clone(), items],
                vec![],
                vec![(ORDERS, count(0, 0, 5)), (ITEMS, count(0, 0, 111))],
                Some(("public.items", 111)),
            ),
            (
                "what is carried on to where nobody could count",
                vec![orders.clone(), unknown_items],
                vec![],
                vec![(ITEMS, count(0, 0, 1_000))],
                None,
            ),
            (
                "a trigger writes a row for each",
                vec![orders.clone()],
                vec![],
                vec![(ORDERS, count(0, 0, 15)), (AUDIT, count(15, 0, 0))],
                None,
            ),
            (
                "a trigger writes without end",
                vec![orders],
                vec![],
                vec![(ORDERS, count(0, 0, 1)), (AUDIT, count(16, 0, 0))],
                Some(("t4", 16)),
            ),
            (
                "rows that move between partitions",
                vec![update.clone()],
                vec![],
                vec![(ORDERS, count(0, 0, 15)), (PART, count(15, 0, 0))],
                None,
            ),
            (
                "written twice by one statement",
                vec![update.clone(), stated("delete", "public.orders", Some(5), &[ORDERS], false)],
                vec![],
                vec![(ORDERS, count(0, 10, 10))],
                None,
            ),
            (
                "the one known, the other not",
                vec![unknown.clone(), stated("delete", "public.items", Some(5), &[ITEMS], false)],
                vec![],
                vec![(ORDERS, count(0, 0, 1_000)), (ITEMS, count(0, 0, 16)), (AUDIT, count(900, 0, 0))],
                Some(("public.items", 16)),
            ),
        ];
        for (case, mut measured, before, after, expected) in table {
            let limits = guard(&mut measured).expect("something was stated");
            let exceeded = limits.exceeded(&touched(&before), &touched(&after));
            let exceeded = exceeded.as_ref().map(|one| (one.table.as_str(), one.touched));
            assert_eq!(exceeded, expected, "{case}");
        }
        assert_eq!(guard(&mut [unknown]), None, "nothing was stated");
    }

    #[test]
    fn people_are_told_the_limit_and_both_numbers() {
        let mut measured = [stated("delete", "public.orders", Some(1_200), &[ORDERS], false)];
        let limits = guard(&mut measured).expect("a limit");
        assert_eq!(measured[0].impact.limit, Some(1_260));
        let exceeded = limits.exceeded(&touched(&[]), &touched(&[(ORDERS, count(0, 0, 5_000))])).expect("too much");
        let said = "5,000 rows of public.orders were touched, and 1,200 were approved (up to 1,260 with the tolerance)";
        assert_eq!(exceeded.sentence(), said);
    }

    #[test]
    fn a_run_touches_no_more_than_was_allowed_in_all_tables_together() {
        let mut guard = Guard::capped(&[Part::default()], 10);
        let limits = guard.pieces.remove(0).limits.expect("limits");
        let exceeded = |after: &[(u32, Count)]| limits.exceeded(&touched(&[(ORDERS, count(7, 0, 0))]), &touched(after));
        let table = [
            ("nothing", vec![(ORDERS, count(7, 0, 0))], None),
            ("as many", vec![(ORDERS, count(7, 0, 10))], None),
            ("one more", vec![(ORDERS, count(7, 0, 11))], Some(11)),
            ("of all kinds", vec![(ORDERS, count(11, 4, 4))], Some(12)),
            ("of all tables", vec![(ORDERS, count(7, 0, 6)), (AUDIT, count(5, 0, 0))], Some(11)),
            ("moved between partitions", vec![(ORDERS, count(7, 0, 6)), (PART, count(6, 0, 0))], Some(12)),
        ];
        for (case, after, expected) in table {
            assert_eq!(exceeded(&after).map(|one| one.touched), expected, "{case}");
        }
        let said = "11 rows were touched in all, t1 among them, and a run may touch 10";
        assert_eq!(exceeded(&[(ORDERS, count(7, 0, 11))]).expect("too much").sentence(), said);
        // Beside what was stated, the tighter counts.
        let stated = [stated("delete", "public.orders", Some(5), &[ORDERS], false)];
        let stated = guard_of(&mut stated.clone()).and_capped(6).pieces.remove(0).limits.expect("limits");
        let after = |deleted| touched(&[(ORDERS, count(0, 0, deleted))]);
        assert_eq!(stated.exceeded(&touched(&[]), &after(6)), None);
        assert!(
            stated.exceeded(&touched(&[]), &after(7)).expect("too much").in_all,
            "within the tolerance, and too many"
        );
        assert!(!stated.exceeded(&touched(&[]), &after(16)).expect("too much").in_all);
    }

    #[test]
    fn partitions_that_nothing_was_stated_of_are_one_table_and_for_a_policy_all_are() {
        let stated = [stated("update", "public.orders", Some(10), &[ORDERS], false)];
        let limits = guard(&mut stated.clone()).expect("a limit");
        let after = |roots: &[(u32, u32)]| Touched {
            roots: roots.iter().copied().collect(),
            ..touched(&[(ORDERS, count(0, 10, 0)), (PART, count(0, 0, 15)), (ITEMS, count(0, 0, 15))])
        };
        assert_eq!(limits.exceeded(&touched(&[]), &after(&[])), None, "each has no more than stated and tolerated");
        let exceeded = limits.exceeded(&touched(&[]), &after(&[(PART, 9), (ITEMS, 9)])).expect("too much");
        assert_eq!((exceeded.touched, exceeded.most), (30, 20), "of one partitioned table");
        let mut strict = Guard { pieces: vec![Piece { range: 0..0, limits: Some(limits) }] }.strict();
        let limits = strict.pieces.remove(0).limits.expect("limits");
        assert_eq!(limits.exceeded(&touched(&[]), &after(&[])).expect("too much").touched, 30, "where nobody looked");
    }

    #[test]
    fn a_server_that_does_not_count_says_nothing() {
        let row = |schema: &str, on: &str| -> Vec<Option<String>> {
            ["7", schema, "orders", "1", "2", "3", on, "5"].map(|text| Some(text.to_owned())).into()
        };
        let tables = [(7, ("public.orders".to_owned(), count(1, 2, 3)))].into();
        let counted = Touched { tables, roots: [(7, 5)].into() };
        assert_eq!(Touched::read(&[row("public", "on")]), Some(counted));
        assert_eq!(Touched::read(&[row("pg_temp_3", "on"), row("pg_catalog", "on")]), Some(Touched::default()));
        assert_eq!(Touched::read(&[row("public", "off")]), None);
        assert_eq!(Touched::read(&[]), None);
        assert_eq!(Touched::read(&[vec![None]]), None);
    }
}
