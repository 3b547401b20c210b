//! How PostgreSQL names a column of a query that has no alias (`FigureColname` in its parser).

use pg_query::{
    NodeEnum,
    protobuf::{AExprKind, Node, SubLinkType},
};

use crate::statement::classify::functions::strings;

/// The name of a target; None where it may be any.
pub(super) fn of_target(alias: &str, value: &Node) -> Option<String> {
    if !alias.is_empty() {
        return Some(alias.to_owned());
    }
    match figure(value) {
        Figured::Weak(name) | Figured::Strong(name) => Some(name),
        Figured::None => Some("?column?".to_owned()),
        Figured::Any => None,
    }
}

enum Figured {
    Strong(String),
    /// A name that a better one beats.
    Weak(String),
    None,
    Any,
}

fn strong(name: &str) -> Figured {
    Figured::Strong(name.to_owned())
}

fn figure(node: &Node) -> Figured {
    use NodeEnum as N;
    let Some(node) = &node.node else { return Figured::None };
    match node {
        N::ColumnRef(n) => strings(&n.fields).last().map_or(Figured::None, |name| strong(name)),
        N::FuncCall(n) => strings(&n.funcname).last().map_or(Figured::Any, |name| strong(name)),
        N::AIndirection(n) => match (strings(&n.indirection).last(), &n.arg) {
            (Some(name), _) => strong(name),
            (None, Some(arg)) => figure(arg),
            (None, None) => Figured::None,
        },
        N::TypeCast(n) => {
            let inner = n.arg.as_deref().map_or(Figured::None, figure);
            let of_type = n.type_name.as_ref().and_then(|t| strings(&t.names).last().map(|name| (*name).to_owned()));
            match (inner, of_type) {
                (Figured::None | Figured::Weak(_), Some(name)) => Figured::Weak(name),
                (inner, _) => inner,
            }
        }
        N::CollateClause(n) => n.arg.as_deref().map_or(Figured::None, figure),
        N::CaseExpr(n) => match n.defresult.as_deref().map_or(Figured::None, figure) {
            Figured::None | Figured::Weak(_) => Figured::Weak("case".to_owned()),
            better => better,
        },
        N::AExpr(n) if n.kind == AExprKind::AexprNullif as i32 => strong("nullif"),
        N::AArrayExpr(_) => strong("array"),
        N::RowExpr(_) => strong("row"),
        N::CoalesceExpr(_) => strong("coalesce"),
        N::GroupingFunc(_) => strong("grouping"),
        N::SubLink(n) => match SubLinkType::try_from(n.sub_link_type) {
            Ok(SubLinkType::ExistsSublink) => strong("exists"),
            Ok(SubLinkType::ArraySublink) => strong("array"),
            Ok(SubLinkType::AnySublink | SubLinkType::AllSublink) => Figured::None,
            // Its own column's name.
            _ => Figured::Any,
        },
        N::AExpr(_) | N::BoolExpr(_) | N::NullTest(_) | N::BooleanTest(_) | N::AConst(_) | N::ParamRef(_) => {
            Figured::None
        }
        _ => Figured::Any,
    }
}
