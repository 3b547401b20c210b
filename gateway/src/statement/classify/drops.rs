//! DROP, COMMENT, RENAME and other DDL that names its object by kind.

use pg_query::{
    NodeEnum,
    protobuf::{CommentStmt, DropBehavior, DropStmt, Node, ObjectType, RangeVar, RenameStmt},
};

use super::{
    functions::{schema_and_name, strings},
    walk::Walk,
};
use crate::statement::effect::{Action, Object};

/// How an object of a kind is named.
enum Named {
    /// As a relation.
    Relation,
    /// As a part of a relation, its own name last.
    OfRelation,
    /// As a schema.
    Schema,
    /// As a function, with arguments.
    Function,
    /// Within the database, in a way that has no object of its own here.
    Other,
    /// Outside it: roles, databases, tablespaces and what else only administrators name.
    Server,
}

fn named(kind: i32) -> Named {
    use ObjectType as T;
    match T::try_from(kind) {
        Ok(
            T::ObjectTable
            | T::ObjectView
            | T::ObjectMatview
            | T::ObjectSequence
            | T::ObjectIndex
            | T::ObjectForeignTable,
        ) => Named::Relation,
        Ok(T::ObjectTrigger | T::ObjectRule | T::ObjectPolicy | T::ObjectColumn | T::ObjectTabconstraint) => {
            Named::OfRelation
        }
        Ok(T::ObjectSchema) => Named::Schema,
        Ok(T::ObjectFunction | T::ObjectProcedure | T::ObjectRoutine | T::ObjectAggregate) => Named::Function,
        Ok(
            T::ObjectAmop
            | T::ObjectAmproc
            | T::ObjectAttribute
            | T::ObjectCast
            | T::ObjectCollation
            | T::ObjectConversion
            | T::ObjectDefault
            | T::ObjectDomain
            | T::ObjectDomconstraint
            | T::ObjectExtension
            | T::ObjectOpclass
            | T::ObjectOperator
            | T::ObjectOpfamily
            | T::ObjectStatisticExt
            | T::ObjectTransform
            | T::ObjectTsconfiguration
            | T::ObjectTsdictionary
            | T::ObjectTsparser
            | T::ObjectTstemplate
            | T::ObjectType
            | T::ObjectLargeobject,
        ) => Named::Other,
        Ok(
            T::Undefined
            | T::ObjectAccessMethod
            | T::ObjectDatabase
            | T::ObjectDefacl
            | T::ObjectEventTrigger
            | T::ObjectFdw
            | T::ObjectForeignServer
            | T::ObjectLanguage
            | T::ObjectParameterAcl
            | T::ObjectPublication
            | T::ObjectPublicationNamespace
            | T::ObjectPublicationRel
            | T::ObjectRole
            | T::ObjectSubscription
            | T::ObjectTablespace
            | T::ObjectUserMapping,
        )
        | Err(_) => Named::Server,
    }
}

fn names(node: &Node) -> Vec<String> {
    match &node.node {
        Some(NodeEnum::String(s)) => vec![s.sval.clone()],
        Some(NodeEnum::List(list)) => strings(&list.items).into_iter().map(str::to_owned).collect(),
        Some(NodeEnum::ObjectWithArgs(n)) => strings(&n.objname).into_iter().map(str::to_owned).collect(),
        Some(NodeEnum::TypeName(n)) => strings(&n.names).into_iter().map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn range_var(parts: &[String]) -> Option<RangeVar> {
    let (name, before) = parts.split_last()?;
    let schemaname = before.last().cloned().unwrap_or_default();
    Some(RangeVar { schemaname, relname: name.clone(), ..RangeVar::default() })
}

impl Walk<'_> {
    pub fn dropped(&mut self, n: &DropStmt) {
        for object in &n.objects {
            self.named_ddl(Action::Drop, n.remove_type, object);
        }
        if n.objects.is_empty() {
            self.opaque("a DROP of nothing");
        }
        if n.behavior == DropBehavior::DropCascade as i32 {
            self.ddl(Action::Drop);
            self.note("CASCADE drops whatever depends on it");
        }
    }

    fn named_ddl(&mut self, action: Action, kind: i32, object: &Node) {
        let parts = names(object);
        match named(kind) {
            Named::Relation => {
                let relation = range_var(&parts);
                if relation.is_none() {
                    self.opaque("a relation that is named in a new way");
                }
                self.relation_ddl(action, relation.as_ref());
                if let Some(index) = relation {
                    // An index is part of its table.
                    let of = self.meaning(&index.schemaname, &index.relname).relation.and_then(|r| r.of.clone());
                    if let Some((schema, name)) = of {
                        self.effect(Action::Alter, Object::Table { schema, name });
                    }
                }
            }
            Named::OfRelation => {
                let relation = parts.split_last().and_then(|(_, relation)| range_var(relation));
                if relation.is_none() {
                    self.opaque("a part of a relation that is named in a new way");
                }
                self.relation_ddl(action, relation.as_ref());
                if kind == ObjectType::ObjectPolicy as i32 {
                    self.privilege();
                }
            }
            Named::Schema => match parts.last() {
                Some(schema) => self.ddl_on(action, Object::Schema { schema: schema.clone() }),
                None => self.ddl(action),
            },
            Named::Function => match &object.node {
                Some(NodeEnum::ObjectWithArgs(n)) => self.dropped_function(action, &n.objname),
                Some(NodeEnum::List(n)) => self.dropped_function(action, &n.items),
                _ => self.ddl(action),
            },
            Named::Other => self.ddl(action),
            Named::Server => {
                self.ddl(action);
                self.server();
            }
        }
    }

    /// Every function that the name may mean.
    fn dropped_function(&mut self, action: Action, name: &[Node]) {
        let (schema, last) = schema_and_name(name);
        if schema.is_empty() {
            let schemas: Vec<String> = self.snapshot.functions(&last).iter().map(|f| f.schema.clone()).collect();
            for schema in schemas {
                self.ddl_on(action, Object::Function { schema, name: last.clone() });
            }
        }
        self.function_ddl(action, name);
    }

    /// DDL that names its object by kind, as a relation or in another way.
    pub fn object_ddl(&mut self, action: Action, kind: i32, relation: Option<&RangeVar>, object: &Option<Box<Node>>) {
        match (relation, object) {
            // A trigger or policy is named by its relation and its own name.
            (Some(relation), _) => self.relation_ddl(action, Some(relation)),
            (None, Some(object)) => self.named_ddl(action, kind, object),
            (None, None) => {
                self.ddl(action);
                if matches!(named(kind), Named::Server) {
                    self.server();
                }
            }
        }
    }

    pub fn comment(&mut self, n: &CommentStmt) {
        self.object_ddl(Action::Alter, n.objtype, None, &n.object);
    }

    pub fn rename(&mut self, n: &RenameStmt) {
        if n.rename_type == ObjectType::ObjectSchema as i32 {
            let schema = n.subname.clone();
            self.ddl_on(Action::Alter, Object::Schema { schema });
        } else if n.rename_type == ObjectType::ObjectRole as i32 {
            self.privilege();
        } else if n.rename_type == ObjectType::ObjectAttribute as i32 {
            self.ddl(Action::Alter);
        } else {
            self.object_ddl(Action::Alter, n.rename_type, n.relation.as_ref(), &n.object);
        }
    }
}
