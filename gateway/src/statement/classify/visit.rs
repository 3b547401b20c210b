//! The one dispatch over PostgreSQL's grammar. Every node is named here and there is no `_` arm,
//! so that a parser with a new node does not compile until somebody has said what the node does.

use pg_query::{NodeEnum, protobuf::Node};

use super::{CursorMove, walk::Walk};
use crate::statement::effect::Action;

type Boxed = Option<Box<Node>>;

impl Walk<'_> {
    pub fn list(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.visit(node);
        }
    }

    pub fn maybe(&mut self, node: &Boxed) {
        if let Some(node) = node {
            self.visit(node);
        }
    }

    pub fn unexpected(&mut self, node: &str) {
        self.opaque(format!("the parser gave a node that no text has: {node}"));
    }

    pub fn visit(&mut self, node: &Node) {
        use NodeEnum as N;
        let Some(node) = &node.node else {
            // An empty place in a list: `ARRAY[1:]`, a default in VALUES, `SUM(DISTINCT x)`.
            return;
        };
        match node {
            // Leaves.
            N::AConst(_) | N::AStar(_) | N::SetToDefault(_) => {}
            N::ParamRef(_) => self.found.casts = true,
            N::CurrentOfExpr(_) => self.found.statement.of_cursor = true,
            N::Integer(_) | N::Float(_) | N::Boolean(_) | N::String(_) | N::BitString(_) => {}
            N::Alias(_) | N::RoleSpec(_) | N::SqlvalueFunction(_) => {}
            N::JsonFormat(_) | N::JsonReturning(_) | N::ReturningOption(_) | N::CtesearchClause(_) => {}
            N::TriggerTransition(_) | N::AccessPriv(_) | N::ReplicaIdentityStmt(_) | N::AtalterConstraint(_) => {}
            N::List(list) => self.list(&list.items),

            // Expressions.
            N::ColumnRef(n) => self.column(&n.fields),
            N::AIndirection(n) => {
                self.maybe(&n.arg);
                self.indirection(&n.indirection);
            }
            N::AIndices(n) => {
                self.maybe(&n.lidx);
                self.maybe(&n.uidx);
            }
            N::AArrayExpr(n) => self.list(&n.elements),
            N::AExpr(n) => self.expression(n),
            N::BoolExpr(n) => self.list(&n.args),
            N::NullTest(n) => self.maybe(&n.arg),
            N::BooleanTest(n) => self.maybe(&n.arg),
            N::CaseExpr(n) => {
                if n.arg.is_some() {
                    self.operator_named("=");
                }
                self.maybe(&n.arg);
                self.list(&n.args);
                self.maybe(&n.defresult);
            }
            N::CaseWhen(n) => {
                self.maybe(&n.expr);
                self.maybe(&n.result);
            }
            N::CoalesceExpr(n) => self.list(&n.args),
            N::MinMaxExpr(n) => self.list(&n.args),
            N::RowExpr(n) => self.list(&n.args),
            N::GroupingFunc(n) => self.list(&n.args),
            N::GroupingSet(n) => self.list(&n.content),
            N::NamedArgExpr(n) => self.maybe(&n.arg),
            N::CollateClause(n) => self.maybe(&n.arg),
            N::MultiAssignRef(n) => self.maybe(&n.source),
            N::SubLink(n) => self.sub_link(n),
            N::TypeCast(n) => {
                self.maybe(&n.arg);
                self.type_name(n.type_name.as_ref());
            }
            N::TypeName(n) => self.type_name(Some(n)),
            N::FuncCall(n) => self.function_call(n),
            N::SortBy(n) => {
                self.maybe(&n.node);
                self.operator(&n.use_op);
            }
            N::WindowDef(n) => self.window(n),
            N::ResTarget(n) => {
                for step in &n.indirection {
                    if let Some(N::AIndices(_)) = &step.node {
                        self.visit(step);
                    }
                }
                self.maybe(&n.val);
            }
            N::XmlExpr(n) => {
                self.list(&n.named_args);
                self.list(&n.args);
            }
            N::XmlSerialize(n) => {
                self.maybe(&n.expr);
                self.type_name(n.type_name.as_ref());
            }
            N::JsonValueExpr(n) => self.json_value(Some(n)),
            N::JsonIsPredicate(n) => self.maybe(&n.expr),
            N::JsonBehavior(n) => self.maybe(&n.expr),
            N::JsonOutput(n) => self.json_output(Some(n)),
            N::JsonArgument(n) => self.json_value(n.val.as_deref()),
            N::JsonKeyValue(n) => {
                self.maybe(&n.key);
                self.json_value(n.value.as_deref());
            }
            N::MergeSupportFunc(_) => self.younger_word(&["merge_action"]),
            N::JsonFuncExpr(n) => {
                self.younger_word(&["json_exists", "json_query", "json_value"]);
                self.json_value(n.context_item.as_deref());
                self.maybe(&n.pathspec);
                self.list(&n.passing);
                self.json_output(n.output.as_ref());
                for behavior in [&n.on_empty, &n.on_error].into_iter().flatten() {
                    self.maybe(&behavior.expr);
                }
            }
            N::JsonTablePathSpec(n) => self.maybe(&n.string),
            N::JsonTable(n) => {
                self.younger_word(&["json_table"]);
                self.json_value(n.context_item.as_deref());
                if let Some(path) = &n.pathspec {
                    self.maybe(&path.string);
                }
                self.list(&n.passing);
                self.list(&n.columns);
                if let Some(behavior) = &n.on_error {
                    self.maybe(&behavior.expr);
                }
            }
            N::JsonTableColumn(n) => {
                self.type_name(n.type_name.as_ref());
                if let Some(path) = &n.pathspec {
                    self.maybe(&path.string);
                }
                self.list(&n.columns);
                for behavior in [&n.on_empty, &n.on_error].into_iter().flatten() {
                    self.maybe(&behavior.expr);
                }
            }
            N::JsonParseExpr(n) => {
                self.younger_word(&["json"]);
                self.json_value(n.expr.as_deref());
                self.json_output(n.output.as_ref());
            }
            N::JsonScalarExpr(n) => {
                self.younger_word(&["json_scalar"]);
                self.maybe(&n.expr);
                self.json_output(n.output.as_ref());
            }
            N::JsonSerializeExpr(n) => {
                self.younger_word(&["json_serialize"]);
                self.json_value(n.expr.as_deref());
                self.json_output(n.output.as_ref());
            }
            N::JsonObjectConstructor(n) => {
                self.younger_word(&["json_object"]);
                self.list(&n.exprs);
                self.json_output(n.output.as_ref());
            }
            N::JsonArrayConstructor(n) => {
                self.younger_word(&["json_array"]);
                self.list(&n.exprs);
                self.json_output(n.output.as_ref());
            }
            N::JsonArrayQueryConstructor(n) => {
                self.younger_word(&["json_array"]);
                self.maybe(&n.query);
                self.json_output(n.output.as_ref());
            }
            N::JsonAggConstructor(n) => self.json_aggregate(n),
            N::JsonObjectAgg(n) => {
                self.younger_word(&["json_objectagg"]);
                if let Some(aggregate) = &n.constructor {
                    self.json_aggregate(aggregate);
                }
                if let Some(pair) = &n.arg {
                    self.maybe(&pair.key);
                    self.json_value(pair.value.as_deref());
                }
            }
            N::JsonArrayAgg(n) => {
                self.younger_word(&["json_arrayagg"]);
                if let Some(aggregate) = &n.constructor {
                    self.json_aggregate(aggregate);
                }
                self.json_value(n.arg.as_deref());
            }

            // FROM and its kin.
            N::RangeVar(n) => self.read(n),
            N::RangeSubselect(n) => self.maybe(&n.subquery),
            N::RangeFunction(n) => {
                self.list(&n.functions);
                self.list(&n.coldeflist);
            }
            N::RangeTableFunc(n) => {
                self.maybe(&n.docexpr);
                self.maybe(&n.rowexpr);
                self.list(&n.namespaces);
                self.list(&n.columns);
            }
            N::RangeTableFuncCol(n) => {
                self.type_name(n.type_name.as_ref());
                self.maybe(&n.colexpr);
                self.maybe(&n.coldefexpr);
            }
            N::RangeTableSample(n) => self.table_sample(n),
            N::JoinExpr(n) => {
                if n.is_natural || !n.using_clause.is_empty() {
                    self.operator_named("=");
                }
                self.maybe(&n.larg);
                self.maybe(&n.rarg);
                self.maybe(&n.quals);
            }
            N::LockingClause(_) => {}
            N::WithClause(n) => self.list(&n.ctes),
            N::CommonTableExpr(n) => self.common_table(n),
            N::CtecycleClause(n) => {
                self.operator_named("=");
                self.maybe(&n.cycle_mark_value);
                self.maybe(&n.cycle_mark_default);
            }
            N::InferClause(n) => {
                self.list(&n.index_elems);
                self.maybe(&n.where_clause);
            }
            N::OnConflictClause(n) => self.conflict(n),
            N::MergeWhenClause(n) => {
                self.maybe(&n.condition);
                self.list(&n.target_list);
                self.list(&n.values);
            }
            N::ReturningClause(n) => self.list(&n.exprs),

            // Queries and what changes rows.
            N::RawStmt(n) => self.maybe(&n.stmt),
            N::SelectStmt(n) => self.select(n),
            N::InsertStmt(n) => self.insert(n),
            N::UpdateStmt(n) => self.update(n),
            N::DeleteStmt(n) => self.delete(n),
            N::MergeStmt(n) => self.merge(n),
            N::CopyStmt(n) => self.copy(n),
            N::TruncateStmt(n) => self.truncate(n),
            N::LockStmt(n) => self.lock(n),

            // Statements about statements, sessions and the server.
            N::ExplainStmt(n) => self.explain(n),
            N::PrepareStmt(n) => self.prepare(n),
            N::ExecuteStmt(n) => self.execute(n),
            N::DeallocateStmt(_) => self.on_connection(Action::Set),
            N::DeclareCursorStmt(n) => self.declare_cursor(n),
            N::FetchStmt(n) => {
                self.on_connection(Action::Select);
                // What its query does, it does now.
                self.found.statement.changes_session = true;
                self.found.statement.cursor = Some(CursorMove::Fetches { name: n.portalname.clone() });
            }
            N::ClosePortalStmt(n) => {
                self.on_connection(Action::Select);
                let name = Some(n.portalname.clone()).filter(|name| !name.is_empty());
                self.found.statement.cursor = Some(CursorMove::Closes { name });
            }
            N::DoStmt(n) => self.do_block(n),
            N::CallStmt(n) => self.call(n),
            N::TransactionStmt(n) => self.transaction(n),
            N::VariableSetStmt(n) => self.set(n),
            N::VariableShowStmt(n) => self.show(n),
            N::ConstraintsSetStmt(_) => {
                self.found.settles = true;
                self.on_connection(Action::Set);
            }
            N::DiscardStmt(n) => self.discard(n),
            N::ListenStmt(_) | N::UnlistenStmt(_) => self.on_connection(Action::Listen),
            N::NotifyStmt(_) => self.on_connection(Action::Notify),
            N::AlterSystemStmt(n) => {
                self.set_for_later(n.setstmt.as_ref());
                self.server();
            }
            N::LoadStmt(_) | N::CheckPointStmt(_) => self.server(),
            N::CreatedbStmt(_) | N::DropdbStmt(_) | N::AlterDatabaseStmt(_) => self.server(),
            N::CreateTableSpaceStmt(_) | N::DropTableSpaceStmt(_) | N::AlterTableSpaceOptionsStmt(_) => self.server(),
            N::CreateSubscriptionStmt(_)
            | N::AlterSubscriptionStmt(_)
            | N::DropSubscriptionStmt(_)
            | N::CreatePublicationStmt(_)
            | N::AlterPublicationStmt(_) => {
                self.event_triggers_fire();
                self.server();
            }
            N::AlterTableMoveAllStmt(_) => {
                self.ddl(Action::Alter);
                self.server();
            }
            N::CreateRoleStmt(_) | N::AlterRoleStmt(_) | N::DropRoleStmt(_) => {
                self.privilege();
            }
            N::AlterRoleSetStmt(n) => {
                self.set_for_later(n.setstmt.as_ref());
                self.privilege();
            }
            N::AlterDatabaseSetStmt(n) => {
                self.set_for_later(n.setstmt.as_ref());
                self.privilege();
            }
            N::GrantStmt(n) => self.grant(n),
            N::GrantRoleStmt(_) => self.privilege(),
            N::AlterDefaultPrivilegesStmt(_) | N::SecLabelStmt(_) | N::ReassignOwnedStmt(_) => {
                self.event_triggers_fire();
                self.privilege();
            }
            N::DropOwnedStmt(_) => {
                self.privilege();
                self.ddl(Action::Drop);
            }
            N::VacuumStmt(n) => self.vacuum(n),
            N::VacuumRelation(n) => self.maintain(n.relation.as_ref()),
            N::ClusterStmt(n) => self.cluster(n),
            N::ReindexStmt(n) => self.reindex(n),
            N::RefreshMatViewStmt(n) => self.refresh(n),
            N::AlterDatabaseRefreshCollStmt(_) => self.on_connection(Action::Maintain),

            // DDL.
            N::CreateStmt(n) => self.create_table(n),
            N::CreateForeignTableStmt(n) => self.create_foreign_table(n),
            N::CreateTableAsStmt(n) => self.create_table_as(n),
            N::IntoClause(n) => self.into(n),
            N::ViewStmt(n) => self.create_view(n),
            N::CreateSchemaStmt(n) => self.create_schema(n),
            N::CreateSeqStmt(n) => self.created(n.sequence.as_ref()),
            N::AlterSeqStmt(n) => self.altered(n.sequence.as_ref()),
            N::IndexStmt(n) => self.create_index(n),
            N::IndexElem(n) => {
                self.maybe(&n.expr);
                self.operator_class(&n.opclass);
            }
            N::CreateStatsStmt(n) => {
                self.ddl(Action::Create);
                self.list(&n.exprs);
            }
            N::StatsElem(n) => self.maybe(&n.expr),
            N::CreateTrigStmt(n) => self.acts_later(n.relation.as_ref()),
            N::RuleStmt(n) => self.acts_later(n.relation.as_ref()),
            N::CreatePolicyStmt(n) => {
                self.privilege();
                self.hung_on(n.table.as_ref());
                self.only_planned(|walk| [&n.qual, &n.with_check].into_iter().for_each(|node| walk.maybe(node)));
            }
            N::AlterPolicyStmt(n) => {
                self.privilege();
                self.altered(n.table.as_ref());
                self.only_planned(|walk| [&n.qual, &n.with_check].into_iter().for_each(|node| walk.maybe(node)));
            }
            N::CreateFunctionStmt(n) => self.create_function(n),
            N::FunctionParameter(n) => self.type_name(n.arg_type.as_ref()),
            N::AlterFunctionStmt(n) => {
                let name = n.func.as_ref().map(|f| f.objname.as_slice()).unwrap_or_default();
                self.function_ddl(Action::Alter, name);
                self.options_set(&n.actions);
            }
            N::AlterTableStmt(n) => self.alter_table(n),
            N::AlterTableCmd(n) => self.alter_table_command(n),
            N::ColumnDef(n) => self.column_definition(n),
            N::Constraint(n) => self.constraint(n),
            N::TableLikeClause(n) => self.table_like(n),
            N::PartitionSpec(n) => self.list(&n.part_params),
            N::PartitionElem(n) => {
                self.maybe(&n.expr);
                self.operator_class(&n.opclass);
            }
            N::PartitionBoundSpec(n) => self.partition_bound(n),
            N::PartitionRangeDatum(n) => self.maybe(&n.value),
            N::PartitionCmd(n) => {
                self.altered(n.name.as_ref());
                if let Some(bound) = &n.bound {
                    self.partition_bound(bound);
                }
            }
            N::DefElem(n) => self.maybe(&n.arg),
            N::DefineStmt(n) => self.define(n),
            N::DropStmt(n) => self.dropped(n),
            N::CommentStmt(n) => self.comment(n),
            N::RenameStmt(n) => self.rename(n),
            N::AlterObjectSchemaStmt(n) => {
                self.object_ddl(Action::Alter, n.object_type, n.relation.as_ref(), &n.object);
            }
            N::AlterObjectDependsStmt(n) => {
                self.object_ddl(Action::Alter, n.object_type, n.relation.as_ref(), &n.object);
            }
            N::AlterOwnerStmt(n) => {
                self.privilege();
                self.object_ddl(Action::Alter, n.object_type, n.relation.as_ref(), &n.object);
            }
            N::CreateExtensionStmt(_) | N::ImportForeignSchemaStmt(_) => {
                self.ddl(Action::Create);
                self.opaque("what it creates is not in the text");
            }
            N::AlterExtensionStmt(_) => {
                self.ddl(Action::Alter);
                self.opaque("an extension's script is not in the text");
            }
            N::AlterDomainStmt(n) => {
                self.ddl(Action::Alter);
                self.maybe(&n.def);
                // VALIDATE has its checks run, whatever they are by now.
                if let Some(name) = super::functions::strings(&n.type_name).last() {
                    self.type_called(name);
                }
            }
            N::CreateFdwStmt(_) | N::CreateForeignServerStmt(_) | N::CreateUserMappingStmt(_) | N::CreateAmStmt(_) => {
                self.ddl(Action::Create);
                self.server();
            }
            N::AlterFdwStmt(_) | N::AlterForeignServerStmt(_) | N::AlterUserMappingStmt(_) => {
                self.ddl(Action::Alter);
                self.server();
            }
            N::DropUserMappingStmt(_) => {
                self.ddl(Action::Drop);
                self.server();
            }
            N::CreateEventTrigStmt(_) | N::CreatePlangStmt(_) => {
                self.ddl(Action::Create);
                self.privilege();
            }
            N::AlterEventTrigStmt(_) => {
                self.ddl(Action::Alter);
                self.privilege();
            }
            N::CreateDomainStmt(n) => self.create_domain(n),
            N::CompositeTypeStmt(n) => self.create_composite_type(n),
            N::CreateRangeStmt(n) => self.create_code(&n.type_name),
            N::CreateEnumStmt(n) => self.create_code(&n.type_name),
            N::CreateOpClassStmt(n) => self.create_code(&n.opclassname),
            N::CreateOpFamilyStmt(_) | N::CreateConversionStmt(_) | N::CreateCastStmt(_) => self.ddl(Action::Create),
            N::CreateTransformStmt(_) => self.ddl(Action::Create),
            N::AlterCollationStmt(_) | N::AlterOpFamilyStmt(_) | N::AlterOperatorStmt(_) | N::AlterTypeStmt(_) => {
                self.ddl(Action::Alter);
            }
            N::AlterEnumStmt(_)
            | N::AlterStatsStmt(_)
            | N::AlterTsdictionaryStmt(_)
            | N::AlterTsconfigurationStmt(_) => {
                self.ddl(Action::Alter);
            }
            N::AlterExtensionContentsStmt(_) => self.ddl(Action::Alter),

            // Parts that only their statements know how to read.
            N::ObjectWithArgs(_) => self.unexpected("ObjectWithArgs"),
            N::CreateOpClassItem(_) => self.unexpected("CreateOpClassItem"),
            N::PublicationTable(_) => self.unexpected("PublicationTable"),
            N::PublicationObjSpec(_) => self.unexpected("PublicationObjSpec"),

            // What the parser makes only inside functions, or the analyser after it.
            N::ReturnStmt(_)
            | N::PlassignStmt(_)
            | N::InlineCodeBlock(_)
            | N::CallContext(_)
            | N::TableFunc(_)
            | N::Var(_)
            | N::Param(_)
            | N::Aggref(_)
            | N::WindowFunc(_)
            | N::WindowFuncRunCondition(_)
            | N::SubscriptingRef(_)
            | N::FuncExpr(_)
            | N::OpExpr(_)
            | N::DistinctExpr(_)
            | N::NullIfExpr(_)
            | N::ScalarArrayOpExpr(_)
            | N::SubPlan(_)
            | N::AlternativeSubPlan(_)
            | N::FieldSelect(_)
            | N::FieldStore(_)
            | N::RelabelType(_)
            | N::CoerceViaIo(_)
            | N::ArrayCoerceExpr(_)
            | N::ConvertRowtypeExpr(_)
            | N::CollateExpr(_)
            | N::CaseTestExpr(_)
            | N::ArrayExpr(_)
            | N::RowCompareExpr(_)
            | N::JsonConstructorExpr(_)
            | N::JsonExpr(_)
            | N::JsonTablePath(_)
            | N::JsonTablePathScan(_)
            | N::JsonTableSiblingJoin(_)
            | N::MergeAction(_)
            | N::CoerceToDomain(_)
            | N::CoerceToDomainValue(_)
            | N::NextValueExpr(_)
            | N::InferenceElem(_)
            | N::ReturningExpr(_)
            | N::TargetEntry(_)
            | N::RangeTblRef(_)
            | N::FromExpr(_)
            | N::OnConflictExpr(_)
            | N::Query(_)
            | N::RangeTblEntry(_)
            | N::RtepermissionInfo(_)
            | N::RangeTblFunction(_)
            | N::TableSampleClause(_)
            | N::WithCheckOption(_)
            | N::SortGroupClause(_)
            | N::WindowClause(_)
            | N::RowMarkClause(_)
            | N::SetOperationStmt(_)
            | N::IntList(_)
            | N::OidList(_) => {
                self.unexpected("one of the analyser's own");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    /// A new node does not compile, but a new field of a known one does.
    #[test]
    fn a_new_parser_is_read_before_it_is_used() {
        let reviewed = "name = \"pg_query\"\nversion = \"18.1.0\"";
        let lock = include_str!("../../../../Cargo.lock");
        assert!(
            lock.contains(reviewed),
            "compare the fields of its nodes with those that are visited, then say so here"
        );
    }
}
