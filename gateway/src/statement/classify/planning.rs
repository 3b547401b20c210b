//! What the planner may run of a stored expression, although no row is looked at: it computes calls
//! of immutable functions with constant arguments beforehand, of those too that are falsely called
//! immutable (manual, "Function Volatility Categories").

use pg_query::{NodeEnum, protobuf::Node};

use super::{
    functions::{schema_and_name, strings},
    walk::Walk,
};

/// Whether something of `node` may be run while it is only planned. A node that is not known here may.
pub(super) fn may_run(walk: &Walk<'_>, node: &Node) -> bool {
    looked_at(walk, node).runs
}

#[derive(Clone, Copy, Default)]
struct Seen {
    /// Something in it may be run.
    runs: bool,
    /// It rests on a column, and so is no constant.
    of_row: bool,
}

impl Seen {
    fn and(self, other: Self) -> Self {
        Self { runs: self.runs || other.runs, of_row: self.of_row || other.of_row }
    }
}

fn all<'n>(walk: &Walk<'_>, nodes: impl IntoIterator<Item = &'n Node>) -> Seen {
    nodes.into_iter().fold(Seen::default(), |seen, node| seen.and(looked_at(walk, node)))
}

fn looked_at(walk: &Walk<'_>, node: &Node) -> Seen {
    use NodeEnum as N;
    let unknown = Seen { runs: true, of_row: false };
    let Some(node) = &node.node else { return Seen::default() };
    match node {
        N::AConst(_) => Seen::default(),
        N::ColumnRef(_) => Seen { runs: false, of_row: true },
        N::SelectStmt(n) if n.from_clause.is_empty() && n.larg.is_none() => all(walk, &n.target_list),
        N::ResTarget(n) => all(walk, n.val.as_deref()),
        N::List(n) => all(walk, &n.items),
        N::RowExpr(n) => all(walk, &n.args),
        N::BoolExpr(n) => all(walk, &n.args),
        N::CoalesceExpr(n) => all(walk, &n.args),
        N::AArrayExpr(n) => all(walk, &n.elements),
        N::NullTest(n) => all(walk, n.arg.as_deref()),
        N::BooleanTest(n) => all(walk, n.arg.as_deref()),
        N::CollateClause(n) => all(walk, n.arg.as_deref()),
        N::AExpr(n) => {
            let sides = all(walk, n.lexpr.as_deref().into_iter().chain(n.rexpr.as_deref()));
            let own = strings(&n.name).last().is_some_and(|name| !walk.snapshot.operator_hazards(name).is_empty());
            Seen { runs: sides.runs || own, ..sides }
        }
        N::TypeCast(n) => {
            let value = all(walk, n.arg.as_deref());
            let (_, name) = n.type_name.as_ref().map(|n| schema_and_name(&n.names)).unwrap_or_default();
            let own = !walk.snapshot.types_named(&name).is_empty() || !walk.snapshot.cast_hazards().is_empty();
            Seen { runs: value.runs || own && !value.of_row, ..value }
        }
        N::FuncCall(n) => {
            let args = all(walk, &n.args);
            let (_, name) = schema_and_name(&n.funcname);
            let mut own = walk.snapshot.functions(&name).iter();
            let runs = own.any(|function| {
                // One in SQL may be written out in place of the call, with constants of its own.
                let computed = function.language == "sql" || !function.volatile && !args.of_row;
                !function.is_trusted() && computed
            });
            Seen { runs: args.runs || runs, ..args }
        }
        _ => unknown,
    }
}
