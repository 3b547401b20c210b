//! Expressions: their operators, sub-selects, windows and JSON constructors.

use pg_query::protobuf::{
    AExpr, AExprKind, JsonAggConstructor, JsonOutput, JsonValueExpr, SubLink, SubLinkType, WindowDef,
};

use super::{Names, walk::Walk};
use crate::catalog::Snapshot;

impl Walk<'_> {
    /// Words of the newest grammar that an older server reads as the name of any function, or of a type that
    /// is called like one.
    pub fn younger_word(&mut self, names: &[&str]) {
        for name in names {
            if self.snapshot.functions(name).is_empty() {
                self.type_called(name);
            } else {
                self.function("", name, None);
            }
            self.temporary_type(name);
        }
    }

    /// Whether one of such words is the name of something in the database.
    pub fn is_taken(snapshot: &Snapshot, names: &Names, word: &str) -> bool {
        !snapshot.functions(word).is_empty()
            || !snapshot.types_named(word).is_empty()
            || names.temporary_types.contains(word)
    }

    pub fn expression(&mut self, n: &AExpr) {
        match AExprKind::try_from(n.kind) {
            Ok(AExprKind::AexprDistinct | AExprKind::AexprNotDistinct | AExprKind::AexprNullif) => {
                self.operator_named("=");
            }
            Ok(
                AExprKind::AexprOp
                | AExprKind::AexprOpAny
                | AExprKind::AexprOpAll
                | AExprKind::AexprIn
                | AExprKind::AexprLike
                | AExprKind::AexprIlike
                | AExprKind::AexprSimilar,
            ) => self.operator(&n.name),
            Ok(
                AExprKind::AexprBetween
                | AExprKind::AexprNotBetween
                | AExprKind::AexprBetweenSym
                | AExprKind::AexprNotBetweenSym,
            ) => {
                for operator in [">=", "<=", "<", ">"] {
                    self.operator_named(operator);
                }
            }
            Ok(AExprKind::Undefined) | Err(_) => self.unexpected("A_Expr of a new kind"),
        }
        self.maybe(&n.lexpr);
        self.maybe(&n.rexpr);
    }

    pub fn sub_link(&mut self, n: &SubLink) {
        match SubLinkType::try_from(n.sub_link_type) {
            Ok(SubLinkType::AnySublink | SubLinkType::AllSublink | SubLinkType::RowcompareSublink) => {
                if n.oper_name.is_empty() {
                    // A stored text says IN for the server's own `=` alone.
                    self.operator_written("=");
                } else {
                    self.operator(&n.oper_name);
                }
            }
            Ok(
                SubLinkType::ExistsSublink
                | SubLinkType::ExprSublink
                | SubLinkType::MultiexprSublink
                | SubLinkType::ArraySublink,
            ) => {}
            Ok(SubLinkType::CteSublink | SubLinkType::Undefined) | Err(_) => self.unexpected("SubLink of a new kind"),
        }
        self.maybe(&n.testexpr);
        self.maybe(&n.subselect);
    }

    pub fn window(&mut self, n: &WindowDef) {
        self.list(&n.partition_clause);
        self.list(&n.order_clause);
        self.maybe(&n.start_offset);
        self.maybe(&n.end_offset);
    }

    pub fn json_value(&mut self, n: Option<&JsonValueExpr>) {
        if let Some(n) = n {
            self.maybe(&n.raw_expr);
            self.maybe(&n.formatted_expr);
        }
    }

    pub fn json_output(&mut self, n: Option<&JsonOutput>) {
        self.type_name(n.and_then(|n| n.type_name.as_ref()));
    }

    pub fn json_aggregate(&mut self, n: &JsonAggConstructor) {
        self.json_output(n.output.as_ref());
        self.maybe(&n.agg_filter);
        self.list(&n.agg_order);
        if let Some(window) = &n.over {
            self.window(window);
        }
    }
}
