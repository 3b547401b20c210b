//! Expressions: what their values rest on. Sub-selects within them are read on the way.

use pg_query::{
    NodeEnum,
    protobuf::{
        AExprKind, AIndirection, CaseExpr, FuncCall, JsonAggConstructor, JsonValueExpr, Node, SetOperation, SubLink,
        SubLinkType, TypeCast, WindowDef,
    },
};

use super::{Use, reader::Reader, scope::Value};
use crate::{
    catalog::builtins,
    statement::classify::{
        functions::{schema_and_name, strings},
        walk::Walk,
    },
};

type Boxed = Option<Box<Node>>;

/// Functions that read of their first argument what the others say.
const TAKES_A_PART: [&str; 7] = ["substr", "substring", "left", "right", "overlay", "get_byte", "get_bit"];

impl Reader<'_> {
    pub fn list(&mut self, nodes: &[Node]) -> Value {
        let mut value = Value::default();
        for node in nodes {
            let one = self.expression(node);
            value.add(&one);
        }
        value
    }

    pub fn maybe(&mut self, node: &Boxed) -> Value {
        node.as_ref().map(|node| self.expression(node)).unwrap_or_default()
    }

    pub fn uses(&mut self, node: &Node, role: Use) {
        let value = self.expression(node);
        self.record(&value, role);
    }

    /// What rows must meet, where there is such a condition.
    pub fn conditions<'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node>) {
        for node in nodes {
            self.condition(node);
        }
    }

    pub fn use_all<'n>(&mut self, nodes: impl IntoIterator<Item = &'n Node>, role: Use) {
        for node in nodes {
            self.uses(node, role);
        }
    }

    /// What the value of an expression rests on. A kind that is not known here rests on everything.
    pub fn expression(&mut self, node: &Node) -> Value {
        let value = self.value_of(node);
        // EXPLAIN ANALYZE says how much memory a value took, and how many blocks were read to get it.
        if self.is_shown && !matches!(node.node, Some(NodeEnum::ColumnRef(_))) {
            self.shows(&value);
        }
        value
    }

    fn value_of(&mut self, node: &Node) -> Value {
        use NodeEnum as N;
        if !self.spend(1) {
            return Value::default();
        }
        let Some(node) = &node.node else { return Value::default() };
        match node {
            N::AConst(_) | N::ParamRef(_) | N::SetToDefault(_) | N::CurrentOfExpr(_) => Value::default(),
            N::SqlvalueFunction(_) => Value::default(),
            N::Integer(_) | N::Float(_) | N::Boolean(_) | N::String(_) | N::BitString(_) | N::MergeSupportFunc(_) => {
                Value::default()
            }
            N::List(n) => self.list(&n.items),
            N::ColumnRef(n) => self.reference(&n.fields),
            N::AIndirection(n) => self.indirection(n),
            N::AIndices(n) => self.both(&n.lidx, &n.uidx),
            N::AArrayExpr(n) => self.list(&n.elements),
            N::AExpr(n) => {
                let value = self.both(&n.lexpr, &n.rexpr);
                self.operator(&n.name, &value);
                // IN, BETWEEN and rows are compared one by one, until it is known.
                let is_row = |node: &Boxed| matches!(node.as_ref().and_then(|n| n.node.as_ref()), Some(N::RowExpr(_)));
                if n.kind != AExprKind::AexprOp as i32 || is_row(&n.lexpr) {
                    self.decides_within(&value);
                }
                value
            }
            N::BoolExpr(n) => {
                let value = self.list(&n.args);
                self.decides_within(&value);
                value
            }
            N::NullTest(n) => {
                let value = self.computed(&n.arg);
                // Of a row, its columns are looked at one by one, until it is known.
                if matches!(n.arg.as_ref().and_then(|arg| arg.node.as_ref()), Some(N::RowExpr(_))) {
                    self.decides_within(&value);
                }
                value
            }
            N::BooleanTest(n) => self.computed(&n.arg),
            N::CaseExpr(n) => {
                let value = self.case(n);
                self.decides_within(&value);
                value
            }
            N::CaseWhen(n) => self.both(&n.expr, &n.result),
            N::CoalesceExpr(n) => {
                let value = self.list(&n.args);
                self.decides_within(&value);
                value
            }
            N::MinMaxExpr(n) => self.list(&n.args),
            N::RowExpr(n) => self.list(&n.args),
            N::GroupingFunc(n) => self.list(&n.args),
            N::NamedArgExpr(n) => self.maybe(&n.arg),
            N::CollateClause(n) => self.computed(&n.arg),
            N::MultiAssignRef(n) => self.maybe(&n.source),
            N::SubLink(n) => self.sub_link(n),
            N::TypeCast(n) => self.cast(n),
            N::FuncCall(n) => self.function_call(n),
            N::ResTarget(n) => self.maybe(&n.val),
            N::SortBy(n) => {
                let value = self.maybe(&n.node);
                self.operator(&n.use_op, &value);
                value
            }
            N::GroupingSet(n) => self.list(&n.content),
            N::XmlExpr(n) => {
                let mut value = self.list(&n.named_args);
                value.add(&self.list(&n.args));
                value
            }
            N::XmlSerialize(n) => {
                let value = self.computed(&n.expr);
                self.type_name(n.type_name.as_ref(), &value);
                value
            }
            _ => self.json(node),
        }
    }

    fn both(&mut self, one: &Boxed, other: &Boxed) -> Value {
        let mut value = self.computed(one);
        let other = self.maybe(other);
        value.add(&other);
        value
    }

    /// Its value, which is not the column's own.
    fn computed(&mut self, node: &Boxed) -> Value {
        Value::over(self.maybe(node).from)
    }

    /// A column, or with a star all of a relation.
    fn reference(&mut self, fields: &[Node]) -> Value {
        if !matches!(fields.last().and_then(|node| node.node.as_ref()), Some(NodeEnum::AStar(_))) {
            return self.column(fields);
        }
        let rows = self.star(fields);
        self.whole(&rows)
    }

    /// `(x).y`: of a whole row, that column; of any other value, the value.
    fn indirection(&mut self, n: &AIndirection) -> Value {
        if let (Some(NodeEnum::ColumnRef(inner)), Some(NodeEnum::String(name))) = (
            n.arg.as_ref().and_then(|arg| arg.node.as_ref()),
            n.indirection.first().and_then(|step| step.node.as_ref()),
        ) && let [relation] = strings(&inner.fields).as_slice()
            && !self.scopes.iter().any(|level| level.star.fields.iter().any(|f| f.name.as_deref() == Some(relation)))
            && !self.has_nameless()
            && let Some(item) = self.item("", relation)
            && let Some((value, true)) = self.named(&item.rows, &name.sval)
        {
            let rest = n.indirection.get(1..).unwrap_or_default();
            return if rest.is_empty() { value } else { self.steps(Value::over(value.from), rest) };
        }
        let value = self.computed(&n.arg);
        self.steps(value, &n.indirection)
    }

    /// Fields and elements of a value.
    fn steps(&mut self, mut value: Value, steps: &[Node]) -> Value {
        for step in steps {
            match &step.node {
                // A field of a composite value, or a function of any value.
                Some(NodeEnum::String(name)) => {
                    self.tells_of_what_it_is_given(&name.sval, &value.clone());
                    if self.may_be_called(&name.sval) {
                        self.call("", &name.sval, 1, &value.clone());
                    }
                }
                Some(NodeEnum::AStar(_)) | None => {}
                // Where the array is NULL, it is not worked out.
                Some(_) => {
                    let index = self.expression(step);
                    if !index.from.is_subset(&value.from) {
                        self.record_own(&index, Use::Predicate);
                    }
                    value.add(&index);
                    self.decides_within(&value);
                }
            }
        }
        value
    }

    /// Whether a name after a dot may be a function that does more than compute.
    fn may_be_called(&self, name: &str) -> bool {
        !self.snapshot.functions(name).is_empty()
            || !self.snapshot.types_named(name).is_empty()
            || self.snapshot.has_builtin(name) && !builtins::is_harmless(name)
    }

    fn case(&mut self, n: &CaseExpr) -> Value {
        let mut value = self.computed(&n.arg);
        value.add(&self.list(&n.args));
        if n.arg.is_some() {
            self.equality(&value.clone());
        }
        let default = self.maybe(&n.defresult);
        value.add(&default);
        value
    }

    fn cast(&mut self, n: &TypeCast) -> Value {
        let value = self.computed(&n.arg);
        self.type_name(n.type_name.as_ref(), &value);
        value
    }

    fn function_call(&mut self, n: &FuncCall) -> Value {
        let (mut schema, name) = schema_and_name(&n.funcname);
        if schema == "pg_catalog" && name == "json_object" {
            schema.clear();
        }
        if name == "system_user" && n.args.is_empty() {
            // A word of the grammar, which to servers before 16 is a name as any.
            return self.perhaps(&name);
        }
        let mut value = Value::default();
        for (at, node) in n.args.iter().enumerate() {
            let one = self.expression(node);
            // How much of a long value was read shows in the statistics of where it lies.
            if at > 0 && TAKES_A_PART.contains(&name.as_str()) && !one.from.is_subset(&value.from) {
                self.record_own(&one, Use::Predicate);
            }
            value.add(&one);
        }
        let mut value = Value::over(value.from);
        if n.agg_within_group {
            // The ordered values are the aggregate's arguments.
            value.add(&self.list(&n.agg_order));
        }
        if n.agg_distinct {
            self.record(&value, Use::Predicate);
        }
        self.use_all(&n.agg_order, Use::Predicate);
        self.use_all(n.agg_filter.as_deref(), Use::Predicate);
        if let Some(window) = &n.over {
            self.window(window);
            // What stands for a row that there is not is worked out only there.
            self.decides_within(&value);
        }
        self.tells_of_what_it_is_given(&name, &value);
        if !builtins::is_harmless(&name) || name.starts_with("pg_stat") {
            self.reads();
        }
        self.call_with(&schema, &name, &n.args, &value);
        value
    }

    /// What a call tells of what it is given beside its value, however it is written: how many rows it gives, and that it was
    /// carried out.
    pub fn tells_of_what_it_is_given(&mut self, name: &str, value: &Value) {
        self.draws |= matches!(name, "random" | "random_normal");
        // How many rows a function gives that is not the server's own, is not known here.
        let counted = self.snapshot.functions(name).iter().any(|function| function.returns_set);
        if let Some(role) = tells_otherwise(name).or(counted.then_some(Use::Predicate)) {
            self.record_own(value, role);
            if role == Use::Source {
                self.may_be_conditional();
                // What a sub-select or a view gives is worked out where it is used.
                self.locks_within |= self.muted == 0;
            }
        }
    }

    pub fn window(&mut self, n: &WindowDef) {
        self.use_all(&n.partition_clause, Use::Predicate);
        self.use_all(&n.order_clause, Use::Predicate);
        self.use_all(n.start_offset.as_deref(), Use::Predicate);
        self.use_all(n.end_offset.as_deref(), Use::Predicate);
    }

    fn sub_link(&mut self, n: &SubLink) -> Value {
        let mut value = self.computed(&n.testexpr);
        let rows = n.subselect.as_ref().map(|query| self.query(query)).unwrap_or_default();
        if n.subselect.as_deref().is_some_and(reads_tables) {
            self.reads();
        }
        match SubLinkType::try_from(n.sub_link_type) {
            // Whether there is a row rests on what chooses rows, which is a predicate already.
            Ok(SubLinkType::ExistsSublink) => {}
            kind => {
                let whole = self.whole(&rows);
                value.add(&whole);
                if matches!(
                    kind,
                    Ok(SubLinkType::AnySublink | SubLinkType::AllSublink | SubLinkType::RowcompareSublink)
                ) {
                    self.decides_within(&value);
                    self.operator(&n.oper_name, &value.clone());
                    self.equality(&value.clone());
                }
            }
        }
        value
    }

    fn json(&mut self, node: &NodeEnum) -> Value {
        use NodeEnum as N;
        let mut value = Value::default();
        match node {
            N::JsonValueExpr(n) => value = self.json_value(Some(n)),
            N::JsonIsPredicate(n) => value = self.computed(&n.expr),
            N::JsonBehavior(n) => value = self.computed(&n.expr),
            N::JsonArgument(n) => value = self.json_value(n.val.as_deref()),
            N::JsonKeyValue(n) => {
                value.add(&self.maybe(&n.key));
                value.add(&self.json_value(n.value.as_deref()));
            }
            N::JsonFuncExpr(n) => {
                value.add(&self.json_value(n.context_item.as_deref()));
                value.add(&self.maybe(&n.pathspec));
                value.add(&self.list(&n.passing));
                // DEFAULT is computed only where it is wanted.
                self.decides_within(&value);
                for behavior in [&n.on_empty, &n.on_error].into_iter().flatten() {
                    value.add(&self.maybe(&behavior.expr));
                }
            }
            N::JsonTablePathSpec(n) => value = self.computed(&n.string),
            N::JsonParseExpr(n) => value = self.json_value(n.expr.as_deref()),
            N::JsonScalarExpr(n) => value = self.computed(&n.expr),
            N::JsonSerializeExpr(n) => value = self.json_value(n.expr.as_deref()),
            N::JsonObjectConstructor(n) => value = self.list(&n.exprs),
            N::JsonArrayConstructor(n) => value = self.list(&n.exprs),
            N::JsonArrayQueryConstructor(n) => {
                let rows = n.query.as_ref().map(|query| self.query(query)).unwrap_or_default();
                value = self.whole(&rows);
            }
            N::JsonAggConstructor(n) => self.json_aggregate(n),
            N::JsonObjectAgg(n) => {
                n.constructor.iter().for_each(|aggregate| self.json_aggregate(aggregate));
                if let Some(pair) = &n.arg {
                    value.add(&self.maybe(&pair.key));
                    value.add(&self.json_value(pair.value.as_deref()));
                }
            }
            N::JsonArrayAgg(n) => {
                n.constructor.iter().for_each(|aggregate| self.json_aggregate(aggregate));
                value.add(&self.json_value(n.arg.as_deref()));
            }
            _ => value = self.lost("what an expression of a new kind rests on"),
        }
        // The newest grammar's words are names of functions to an older server.
        let (snapshot, names) = (self.snapshot, self.names);
        for word in [
            "json",
            "json_scalar",
            "json_serialize",
            "json_object",
            "json_objectagg",
            "json_array",
            "json_arrayagg",
            "json_exists",
            "json_query",
            "json_value",
        ] {
            if Walk::is_taken(snapshot, names, word) {
                let mut walk = self.walk();
                walk.younger_word(&[word]);
                let strange = snapshot.functions(word).iter().any(|function| !function.is_trusted());
                self.ran(walk.found, strange, &value.clone());
            }
        }
        Value::over(value.from)
    }

    pub fn json_value(&mut self, n: Option<&JsonValueExpr>) -> Value {
        let mut value = Value::default();
        if let Some(n) = n {
            value.add(&self.maybe(&n.raw_expr));
            value.add(&self.maybe(&n.formatted_expr));
        }
        value
    }

    fn json_aggregate(&mut self, n: &JsonAggConstructor) {
        self.use_all(n.agg_filter.as_deref(), Use::Predicate);
        self.use_all(&n.agg_order, Use::Predicate);
        if let Some(window) = &n.over {
            self.window(window);
        }
    }
}

/// Whether a query may read any table.
fn reads_tables(query: &Node) -> bool {
    match &query.node {
        Some(NodeEnum::SelectStmt(n)) => {
            !n.from_clause.is_empty() || n.op != SetOperation::SetopNone as i32 || n.with_clause.is_some()
        }
        _ => true,
    }
}

/// The server's own functions whose value is not all that they tell of what they are given: how many rows
/// there are, how long it takes, what random numbers come next.
fn tells_otherwise(name: &str) -> Option<Use> {
    const ROWS: &[&str] = &[
        "_pg_expandarray",
        "aclexplode",
        "generate_series",
        "generate_subscripts",
        "json_array_elements",
        "json_array_elements_text",
        "json_each",
        "json_each_text",
        "json_object_keys",
        "json_populate_recordset",
        "json_to_recordset",
        "jsonb_array_elements",
        "jsonb_array_elements_text",
        "jsonb_each",
        "jsonb_each_text",
        "jsonb_object_keys",
        "jsonb_path_query",
        "jsonb_path_query_tz",
        "jsonb_populate_recordset",
        "jsonb_to_recordset",
        "pg_extension_update_paths",
        "pg_get_multixact_members",
        "pg_ls_dir",
        "pg_ls_replslotdir",
        "pg_ls_tmpdir",
        "pg_mcv_list_items",
        "pg_options_to_table",
        "pg_partition_ancestors",
        "pg_snapshot_xip",
        "pg_tablespace_databases",
        "regexp_matches",
        "regexp_split_to_table",
        "string_to_table",
        "ts_parse",
        "ts_stat",
        "ts_token_type",
        "txid_snapshot_xip",
        "unnest",
    ];
    match name {
        "setseed" | "pg_sleep" | "pg_sleep_for" | "pg_sleep_until" | "txid_current" | "pg_current_xact_id" => {
            Some(Use::Source)
        }
        // They lock what they look at, which everybody sees until the transaction ends.
        "currval"
        | "lastval"
        | "pg_sequence_last_value"
        | "pg_get_sequence_data"
        | "pg_get_viewdef"
        | "pg_get_ruledef"
        | "pg_get_functiondef"
        | "pg_get_function_sqlbody"
        | "pg_get_expr"
        | "pg_get_indexdef"
        | "pg_get_constraintdef"
        | "pg_get_triggerdef"
        | "pg_get_partkeydef"
        | "pg_get_partition_constraintdef"
        | "pg_get_statisticsobjdef"
        | "pg_get_object_address"
        | "pg_get_statisticsobjdef_expressions"
        | "pg_get_statisticsobjdef_columns"
        | "obj_description"
        | "shobj_description"
        | "col_description"
        | "ts_debug"
        | "pg_partition_tree"
        | "pg_get_publication_tables" => Some(Use::Source),
        // What was looked at once stays as it was to the end of the transaction (`stats_fetch_consistency`).
        _ if name.starts_with("pg_stat_get_") => Some(Use::Source),
        _ => ROWS.contains(&name).then_some(Use::Predicate),
    }
}
