//! WHERE and ON: of what they compare, two forms are told apart, since a policy may permit them where
//! it does not permit the rest: a column that equals a constant, and one that equals another column.

use pg_query::{
    NodeEnum,
    protobuf::{AExpr, AExprKind, BoolExprType, Node},
};

use super::{Use, reader::Reader, scope::Value};
use crate::statement::classify::functions::schema_and_name;

impl Reader<'_> {
    /// A condition that rows must meet. Each part of an AND is one by itself.
    pub fn condition(&mut self, node: &Node) -> Value {
        match &node.node {
            Some(NodeEnum::BoolExpr(n)) if n.boolop == BoolExprType::AndExpr as i32 => {
                let mut value = Value::default();
                for part in &n.args {
                    let part = self.condition(part);
                    value.add(&part);
                }
                self.decides(&value);
                value
            }
            Some(NodeEnum::AExpr(n)) if is_equality(n) => self.equals(node, n),
            _ => {
                let value = self.expression(node);
                self.record(&value, Use::Predicate);
                value
            }
        }
    }

    fn equals(&mut self, node: &Node, n: &AExpr) -> Value {
        // The whole is read as any other: operators and casts may be code.
        let value = self.expression(node);
        let (Some(left), Some(right)) = (n.lexpr.as_deref(), n.rexpr.as_deref()) else {
            self.record(&value, Use::Predicate);
            return value;
        };
        let (one, other) = (self.plain_column(left), self.plain_column(right));
        match (one, other) {
            (Some(one), Some(other)) => self.record_join(&one, &other),
            (Some(column), None) if is_constant(right) => self.record(&column, Use::Lookup),
            (None, Some(column)) if is_constant(left) => self.record(&column, Use::Lookup),
            _ => self.record(&value, Use::Predicate),
        }
        value
    }

    /// One column itself, and nothing computed from it.
    fn plain_column(&mut self, node: &Node) -> Option<Value> {
        let Some(NodeEnum::ColumnRef(_)) = &node.node else { return None };
        let value = self.expression(node);
        value.is_one_column().then_some(value)
    }
}

/// The server's own `=` between two values that are no rows. Another `=` that the search path finds is code, and
/// counts as that beside this.
fn is_equality(n: &AExpr) -> bool {
    n.kind == AExprKind::AexprOp as i32
        && matches!(schema_and_name(&n.name), (schema, name) if name == "=" && (schema.is_empty() || schema == "pg_catalog"))
}

/// A literal or a parameter, with casts or without.
fn is_constant(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(n)) => n.arg.as_deref().is_some_and(is_constant),
        _ => false,
    }
}
