//! What a change of the schema locks, whom that keeps waiting, and whether the whole table is read or written
//! for it (manual, 13.3 and ALTER TABLE; `AlterTableGetLockLevel`). From the text alone. Pure.

use pg_query::{
    NodeEnum,
    protobuf::{AlterTableCmd, AlterTableType as Alter, ColumnDef, ConstrType, Node, ObjectType, RangeVar},
};

use super::classify::with_tree;

/// Table locks that keep others waiting, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lock {
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

impl Lock {
    const fn name(self) -> &'static str {
        match self {
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    const fn keeps_waiting(self) -> &'static str {
        match self {
            Self::ShareUpdateExclusive => "other changes of its schema wait, reads and writes go on",
            Self::Share | Self::ShareRowExclusive => "all writes to it wait",
            Self::Exclusive => "all writes to it wait, and reads that lock rows",
            Self::AccessExclusive => "everything else on it waits, reads too",
        }
    }
}

/// What is done to the whole table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Little,
    Read,
    MayWrite,
    Write,
}

impl Work {
    const fn told(self) -> &'static str {
        match self {
            Self::Little => "",
            Self::Read => " All of it is read.",
            Self::MayWrite => " All of it may be written anew.",
            Self::Write => " All of it is written anew.",
        }
    }
}

/// Sentences for the card, one for each table that a text locks so that others wait.
#[must_use]
pub fn notes(sql: &str) -> Vec<String> {
    with_tree(sql, |tree| {
        let Ok(tree) = tree else { return Vec::new() };
        let nodes = tree.stmts.iter().filter_map(|raw| raw.stmt.as_ref()?.node.as_ref());
        let mut notes: Vec<String> = nodes.flat_map(of).map(|(table, lock, work)| note(&table, lock, work)).collect();
        notes.dedup();
        notes
    })
}

fn note(table: &str, lock: Lock, work: Work) -> String {
    format!("{table}: {} lock, so {}.{}", lock.name(), lock.keeps_waiting(), work.told())
}

fn name(relation: &RangeVar) -> String {
    if relation.schemaname.is_empty() {
        relation.relname.clone()
    } else {
        format!("{}.{}", relation.schemaname, relation.relname)
    }
}

fn of(node: &NodeEnum) -> Vec<(String, Lock, Work)> {
    use Lock::{AccessExclusive, Exclusive, Share, ShareRowExclusive, ShareUpdateExclusive};
    let one = |relation: Option<&RangeVar>, lock: Lock, work: Work| {
        relation.map(|relation| (name(relation), lock, work)).into_iter().collect::<Vec<_>>()
    };
    match node {
        NodeEnum::AlterTableStmt(n) if n.objtype() == ObjectType::ObjectTable => {
            let commands = n.cmds.iter().filter_map(|cmd| match &cmd.node {
                Some(NodeEnum::AlterTableCmd(cmd)) => Some(cmd.as_ref()),
                _ => None,
            });
            let all: Vec<(Lock, Work)> = commands.clone().map(altered).collect();
            let (Some(lock), Some(work)) = (all.iter().map(|a| a.0).max(), all.iter().map(|a| a.1).max()) else {
                return Vec::new();
            };
            let others = commands.filter_map(points_to).map(|other| (name(other), ShareRowExclusive, Work::Little));
            one(n.relation.as_ref(), lock, work).into_iter().chain(others).collect()
        }
        NodeEnum::IndexStmt(n) => {
            one(n.relation.as_ref(), if n.concurrent { ShareUpdateExclusive } else { Share }, Work::Read)
        }
        NodeEnum::CreateTrigStmt(n) => one(n.relation.as_ref(), ShareRowExclusive, Work::Little),
        NodeEnum::RuleStmt(n) => one(n.relation.as_ref(), AccessExclusive, Work::Little),
        NodeEnum::RenameStmt(n) => one(n.relation.as_ref(), AccessExclusive, Work::Little),
        NodeEnum::TruncateStmt(n) => relations(&n.relations, AccessExclusive, Work::Little),
        NodeEnum::RefreshMatViewStmt(n) => {
            one(n.relation.as_ref(), if n.concurrent { Exclusive } else { AccessExclusive }, Work::Write)
        }
        NodeEnum::ClusterStmt(n) => one(n.relation.as_ref(), AccessExclusive, Work::Write),
        NodeEnum::ReindexStmt(n) => one(n.relation.as_ref(), Share, Work::Read),
        NodeEnum::VacuumStmt(n) if n.is_vacuumcmd => {
            let full = n.options.iter().any(|option| {
                matches!(&option.node, Some(NodeEnum::DefElem(option)) if option.defname.eq_ignore_ascii_case("full"))
            });
            let rels = n.rels.iter().filter_map(|rel| match &rel.node {
                Some(NodeEnum::VacuumRelation(rel)) => rel.relation.as_ref(),
                _ => None,
            });
            let (lock, work) = if full { (AccessExclusive, Work::Write) } else { (ShareUpdateExclusive, Work::Read) };
            rels.map(|relation| (name(relation), lock, work)).collect()
        }
        NodeEnum::LockStmt(n) => {
            // `LOCKMODE` as PostgreSQL numbers them; up to ROW EXCLUSIVE nobody waits who only reads or writes.
            let lock = match n.mode {
                4 => ShareUpdateExclusive,
                5 => Share,
                6 => ShareRowExclusive,
                7 => Exclusive,
                8 => AccessExclusive,
                _ => return Vec::new(),
            };
            relations(&n.relations, lock, Work::Little)
        }
        NodeEnum::DropStmt(n) if n.remove_type() == ObjectType::ObjectTable => {
            let names = n.objects.iter().filter_map(|object| match &object.node {
                Some(NodeEnum::List(list)) => Some(list.items.iter().filter_map(text).collect::<Vec<_>>().join(".")),
                _ => None,
            });
            names.map(|table| (table, AccessExclusive, Work::Little)).collect()
        }
        _ => Vec::new(),
    }
}

fn text(node: &Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(text)) => Some(&text.sval),
        _ => None,
    }
}

fn relations(all: &[Node], lock: Lock, work: Work) -> Vec<(String, Lock, Work)> {
    let relations = all.iter().filter_map(|node| match &node.node {
        Some(NodeEnum::RangeVar(relation)) => Some(name(relation)),
        _ => None,
    });
    relations.map(|table| (table, lock, work)).collect()
}

/// The table that a new foreign key points to: it is locked too.
fn points_to(cmd: &AlterTableCmd) -> Option<&RangeVar> {
    let Some(NodeEnum::Constraint(constraint)) = cmd.def.as_ref()?.node.as_ref() else { return None };
    (constraint.contype() == ConstrType::ConstrForeign).then_some(constraint.pktable.as_ref()).flatten()
}

fn altered(cmd: &AlterTableCmd) -> (Lock, Work) {
    use Lock::{AccessExclusive, ShareRowExclusive, ShareUpdateExclusive};
    match cmd.subtype() {
        Alter::AtSetStatistics
        | Alter::AtSetOptions
        | Alter::AtResetOptions
        | Alter::AtClusterOn
        | Alter::AtDropCluster
        | Alter::AtSetRelOptions
        | Alter::AtResetRelOptions
        | Alter::AtAttachPartition => (ShareUpdateExclusive, Work::Little),
        Alter::AtValidateConstraint => (ShareUpdateExclusive, Work::Read),
        Alter::AtEnableTrig
        | Alter::AtEnableAlwaysTrig
        | Alter::AtEnableReplicaTrig
        | Alter::AtDisableTrig
        | Alter::AtEnableTrigAll
        | Alter::AtDisableTrigAll
        | Alter::AtEnableTrigUser
        | Alter::AtDisableTrigUser => (ShareRowExclusive, Work::Little),
        Alter::AtAddConstraint => match cmd.def.as_ref().and_then(|def| def.node.as_ref()) {
            Some(NodeEnum::Constraint(constraint)) => {
                let work = if constraint.skip_validation { Work::Little } else { Work::Read };
                let foreign = constraint.contype() == ConstrType::ConstrForeign;
                (if foreign { ShareRowExclusive } else { AccessExclusive }, work)
            }
            _ => (AccessExclusive, Work::Read),
        },
        Alter::AtSetNotNull => (AccessExclusive, Work::Read),
        Alter::AtAlterColumnType => (AccessExclusive, Work::MayWrite),
        Alter::AtSetLogged
        | Alter::AtSetUnLogged
        | Alter::AtSetAccessMethod
        | Alter::AtSetTableSpace
        | Alter::AtSetExpression => (AccessExclusive, Work::Write),
        Alter::AtAddColumn => match cmd.def.as_ref().and_then(|def| def.node.as_ref()) {
            Some(NodeEnum::ColumnDef(column)) => (AccessExclusive, added(column)),
            _ => (AccessExclusive, Work::MayWrite),
        },
        _ => (AccessExclusive, Work::Little),
    }
}

/// A new column is filled row by row where its values are not the same for all.
fn added(column: &ColumnDef) -> Work {
    let serial = column.type_name.as_ref().and_then(|of| of.names.last()).and_then(text);
    if serial.is_some_and(|name| name.to_ascii_lowercase().contains("serial")) {
        return Work::Write;
    }
    let each = column.constraints.iter().map(|node| match &node.node {
        Some(NodeEnum::Constraint(constraint)) => match constraint.contype() {
            ConstrType::ConstrIdentity => Work::Write,
            ConstrType::ConstrGenerated if constraint.generated_kind != "v" => Work::Write,
            ConstrType::ConstrDefault if !constraint.raw_expr.as_deref().is_some_and(is_constant) => Work::MayWrite,
            ConstrType::ConstrPrimary | ConstrType::ConstrUnique | ConstrType::ConstrCheck => Work::Read,
            _ => Work::Little,
        },
        _ => Work::MayWrite,
    });
    each.max().unwrap_or(Work::Little)
}

fn is_constant(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::AConst(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().is_some_and(is_constant),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_the_schema_says_whom_it_keeps_waiting() {
        let all = "everything else on it waits, reads too";
        let table: [(&str, &[String]); 24] = [
            ("select 1", &[]),
            ("delete from orders", &[]),
            ("alter table a.orders add column x int", &[format!("a.orders: ACCESS EXCLUSIVE lock, so {all}.")]),
            ("alter table orders add column x int default 7", &[format!("orders: ACCESS EXCLUSIVE lock, so {all}.")]),
            (
                "alter table orders add column x timestamptz default clock_timestamp()",
                &[format!("orders: ACCESS EXCLUSIVE lock, so {all}. All of it may be written anew.")],
            ),
            (
                "alter table orders add column x bigserial",
                &[format!("orders: ACCESS EXCLUSIVE lock, so {all}. All of it is written anew.")],
            ),
            (
                "alter table orders alter column x type bigint, alter column y set not null",
                &[format!("orders: ACCESS EXCLUSIVE lock, so {all}. All of it may be written anew.")],
            ),
            (
                "alter table orders set unlogged",
                &[format!("orders: ACCESS EXCLUSIVE lock, so {all}. All of it is written anew.")],
            ),
            (
                "alter table orders validate constraint c",
                &["orders: SHARE UPDATE EXCLUSIVE lock, so other changes of its schema wait, reads and writes go on. \
                   All of it is read."
                    .into()],
            ),
            (
                "alter table items add foreign key (o) references orders not valid",
                &[
                    "items: SHARE ROW EXCLUSIVE lock, so all writes to it wait.".into(),
                    "orders: SHARE ROW EXCLUSIVE lock, so all writes to it wait.".into(),
                ],
            ),
            (
                "alter table orders add check (x > 0)",
                &[format!("orders: ACCESS EXCLUSIVE lock, so {all}. All of it is read.")],
            ),
            (
                "create index on orders (x)",
                &["orders: SHARE lock, so all writes to it wait. All of it is read.".into()],
            ),
            (
                "create index concurrently on orders (x)",
                &["orders: SHARE UPDATE EXCLUSIVE lock, so other changes of its schema wait, reads and writes go on. \
                   All of it is read."
                    .into()],
            ),
            (
                "create index i on only orders (x); select 1",
                &["orders: SHARE lock, so all writes to it wait. All of it is read.".into()],
            ),
            (
                "create trigger t after insert on orders execute function f()",
                &["orders: SHARE ROW EXCLUSIVE lock, so all writes to it wait.".into()],
            ),
            (
                "truncate orders, items",
                &[
                    format!("orders: ACCESS EXCLUSIVE lock, so {all}."),
                    format!("items: ACCESS EXCLUSIVE lock, so {all}."),
                ],
            ),
            ("drop table a.orders", &[format!("a.orders: ACCESS EXCLUSIVE lock, so {all}.")]),
            ("alter table orders rename to o", &[format!("orders: ACCESS EXCLUSIVE lock, so {all}.")]),
            (
                "refresh materialized view concurrently m",
                &["m: EXCLUSIVE lock, so all writes to it wait, and reads that lock rows. All of it is written anew."
                    .into()],
            ),
            ("vacuum full orders", &[format!("orders: ACCESS EXCLUSIVE lock, so {all}. All of it is written anew.")]),
            ("lock table orders in share mode", &["orders: SHARE lock, so all writes to it wait.".into()]),
            ("lock table orders in row share mode", &[]),
            ("lock table orders", &[format!("orders: ACCESS EXCLUSIVE lock, so {all}.")]),
            ("selec", &[]),
        ];
        for (sql, expected) in table {
            assert_eq!(notes(sql), expected, "{sql}");
        }
    }
}
