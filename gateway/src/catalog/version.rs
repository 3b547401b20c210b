//! The version of what a statement touches: an approval is void once it changes, and only then.

use std::fmt::Debug;

use countersign_shared::digest::{Digest, Fields};

use super::snapshot::{Function, Kind, Relation, Snapshot};
use crate::statement::effect::{Action, Effect, Object};

impl Snapshot {
    /// [`Snapshot::version_for`] where it is not known whether the statement runs code of the database's: it may,
    /// if the database has operators, casts or types that do.
    #[must_use]
    pub fn version_of(&self, effects: &[Effect]) -> Digest {
        let anywhere = !(self.operators.is_empty() && self.casts.is_empty() && self.event_triggers.is_empty())
            || self.types.values().any(|facts| !(facts.hazards.is_empty() && facts.checks.is_empty()));
        self.version_for(effects, anywhere)
    }

    /// A digest over the catalog's facts of the objects that `effects` name. Unrelated changes
    /// leave it as it is. Operators, casts and types that run unseen code count always: they can
    /// meet any statement. `runs_code` says that the statement runs functions of the database's, whatever calls
    /// them.
    #[must_use]
    pub fn version_for(&self, effects: &[Effect], runs_code: bool) -> Digest {
        let mut objects: Vec<&Object> = effects.iter().map(|effect| &effect.object).collect();
        objects.sort_unstable();
        objects.dedup();
        let mut fields = Fields::of("countersign/catalog/v3").field("known", [u8::from(self.known)]);
        fields = fields
            .list("operators", self.operators.iter().map(|(name, codes)| format!("{name} {:?}", sorted(codes))))
            .list("casts", sorted(&self.casts))
            .list("event triggers", sorted(&self.event_triggers));
        let acts = self.types.values().filter(|facts| !(facts.hazards.is_empty() && facts.checks.is_empty()));
        let mut types: Vec<String> = acts
            .map(|facts| {
                let (hazards, checks) = (sorted(&facts.hazards), sorted(&facts.checks));
                format!("{:?}", (&facts.schema, &facts.name, &facts.parts, hazards, checks))
            })
            .collect();
        types.sort_unstable();
        fields = fields.list("types", types);
        if runs_code || objects.iter().any(|object| self.runs_code(object)) {
            // What a function calls, and what that calls, is in no effect. Where any code of the
            // database runs, all of it counts.
            fields = fields.field("code", self.code().as_bytes());
        }
        if effects.iter().any(|effect| effect.action == Action::Opaque) {
            // Whatever it touches, with whatever that sets off.
            fields = fields.field("everything", self.everything().as_bytes());
        }
        for object in objects {
            fields = match object {
                Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                    fields.optional("relation", self.relation(schema, name).map(|r| self.describe_relation(r)))
                }
                Object::Function { schema, name } => {
                    let mut overloads: Vec<String> =
                        self.functions(name).iter().filter(|f| &f.schema == schema).map(describe_function).collect();
                    overloads.sort_unstable();
                    fields.list("function", overloads)
                }
                Object::Schema { schema } => fields.field("schema", [u8::from(self.has_schema(schema))]),
                Object::Connection | Object::Role { .. } => fields,
            };
        }
        fields.finish()
    }

    /// What [`Snapshot::version_for`] says of the database as a whole, and of each object that `effects` name: both are
    /// the same where that is.
    #[must_use]
    pub fn versions_for(&self, effects: &[Effect], runs_code: bool) -> (Digest, Vec<(Object, Digest)>) {
        let mut objects: Vec<&Object> = effects.iter().map(|effect| &effect.object).collect();
        objects.sort_unstable();
        objects.dedup();
        let runs_code = self.may_run_code(effects, runs_code);
        let alone = |object: &Object| self.version_for(&[Effect::new(Action::Select, object.clone())], false);
        let opaque: Vec<Effect> = effects.iter().filter(|effect| effect.action == Action::Opaque).cloned().collect();
        (
            self.version_for(&opaque, runs_code),
            objects.into_iter().map(|object| (object.clone(), alone(object))).collect(),
        )
    }

    /// A digest over all that code of the database may be, or meet.
    #[must_use]
    pub fn version_of_all(&self) -> Digest {
        self.version_for(&[Effect::on_connection(Action::Opaque)], true)
    }

    /// Whether every function of the database counts for what does this, and `runs_code` by itself or not.
    #[must_use]
    pub fn may_run_code(&self, effects: &[Effect], runs_code: bool) -> bool {
        runs_code || effects.iter().any(|effect| self.runs_code(&effect.object))
    }

    /// Of every function that did not come with the server.
    fn code(&self) -> &Digest {
        self.code.get_or_init(|| {
            let mut code: Vec<String> = self.functions.values().flatten().map(describe_function).collect();
            code.sort_unstable();
            Fields::of("countersign/code/v1").list("functions", code).finish()
        })
    }

    /// Of every relation that did not come with the server.
    fn everything(&self) -> &Digest {
        self.everything.get_or_init(|| {
            let own = self.relations().filter(|relation| !relation.is_builtin());
            let mut own: Vec<String> = own.map(|relation| describe(relation)).collect();
            own.sort_unstable();
            Fields::of("countersign/relations/v1").list("relations", own).finish()
        })
    }

    /// Of every view that did not come with the server.
    fn views(&self) -> &Digest {
        self.views.get_or_init(|| {
            let views = self.relations().filter(|view| view.kind == Kind::View && !view.is_builtin());
            let mut views: Vec<String> = views.map(|view| describe(view)).collect();
            views.sort_unstable();
            Fields::of("countersign/views/v1").list("views", views).finish()
        })
    }

    /// Whether functions of the database may run where this is touched.
    fn runs_code(&self, object: &Object) -> bool {
        match object {
            Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                self.relation(schema, name).is_some_and(|relation| {
                    !(relation.is_builtin() || relation.hazards.is_empty() && relation.definition.is_none())
                        || !relation.expressions.is_empty()
                        || !relation.children.is_empty()
                        || !relation.referrers.is_empty()
                })
            }
            Object::Function { .. } => true,
            Object::Schema { .. } | Object::Connection | Object::Role { .. } => {
                !(self.operators.is_empty() && self.casts.is_empty())
            }
        }
    }

    /// A relation with its partitions and what inherits from it, which no effect names.
    fn describe_relation(&self, relation: &Relation) -> String {
        let mut described = Vec::new();
        let mut seen = std::collections::HashSet::from([relation.oid]);
        let mut rest = vec![relation];
        let mut restricted = false;
        while let Some(relation) = rest.pop() {
            restricted |= relation.expressions.iter().any(|expression| expression.what.starts_with("the policy "));
            described.push(describe(relation));
            let children = relation.children.iter().filter_map(|(schema, name)| self.relation(schema, name));
            rest.extend(children.map(AsRef::as_ref).filter(|child| seen.insert(child.oid)));
        }
        if restricted {
            // What a policy reads is in no effect, and may be a view.
            described.push(self.views().to_string());
        }
        described.sort_unstable();
        format!("{described:?}")
    }
}

fn describe(relation: &Relation) -> String {
    format!(
        "{:?}",
        (
            (relation.oid, &relation.schema, &relation.name, relation.kind, &relation.columns),
            (&relation.definition, &relation.of, sorted(&relation.hazards), sorted(&relation.expressions)),
            (sorted(&relation.children), sorted(&relation.referrers), &relation.rest),
        )
    )
}

/// Facts in an order of their own, whatever order the server told them in.
fn sorted(facts: &[impl Debug]) -> Vec<String> {
    let mut told: Vec<String> = facts.iter().map(|fact| format!("{fact:?}")).collect();
    told.sort_unstable();
    told
}

fn describe_function(function: &Function) -> String {
    format!("{function:?}")
}

#[cfg(test)]
mod tests {
    use crate::{
        catalog::{Body, Code, Events, TypeFacts, builder::Builder},
        statement::effect::{Action, Effect, Object},
    };

    fn shop() -> Builder {
        let mut builder = Builder::new();
        builder.table("public.orders", &["id", "status"]);
        builder
    }

    fn on_orders() -> Vec<Effect> {
        vec![Effect::new(Action::Delete, Object::Table { schema: "public".into(), name: "orders".into() })]
    }

    #[test]
    fn an_unrelated_table_leaves_the_version_as_it_is() {
        let plain = shop().build().version_of(&on_orders());
        assert_eq!(plain, shop().table("public.other", &["id"]).build().version_of(&on_orders()));
    }

    #[test]
    fn every_table_counts_for_what_nobody_can_see_into() {
        let opaque = [Effect::on_connection(Action::Opaque)];
        let (plain, more) = (shop().build(), shop().table("public.other", &["id"]).build());
        assert_ne!(plain.version_for(&opaque, true), more.version_for(&opaque, true));
        let acts = shop().hazard("public.orders", Events::DELETE, "trigger t").build();
        assert_ne!(plain.version_of_all(), acts.version_of_all(), "a trigger on it");
        let (all, each) = more.versions_for(&opaque, true);
        assert_ne!((all, each), plain.versions_for(&opaque, true));
    }

    #[test]
    fn code_counts_where_code_runs() {
        let with = |body: &str| {
            let mut builder = shop();
            builder.function_with("public.inner", Body::Sql(body.into()));
            builder.table("public.audited", &["id"]).hazard("public.audited", Events::DELETE, "trigger t");
            builder.build()
        };
        let of = |snapshot: &crate::catalog::Snapshot, name: &str| {
            let object = Object::Table { schema: "public".into(), name: name.into() };
            snapshot.version_of(&[Effect::new(Action::Delete, object)])
        };
        let (one, two) = (with("SELECT 1"), with("DELETE FROM orders"));
        assert_ne!(of(&one, "audited"), of(&two, "audited"), "what its trigger calls may have changed");
        assert_eq!(of(&one, "orders"), of(&two, "orders"), "nothing runs code here");
    }

    #[test]
    fn code_counts_where_a_statement_runs_it_on_a_plain_table_or_where_it_may() {
        let with = |body: &str| shop().function_with("public.inner", Body::Sql(body.into())).build();
        let (one, two) = (with("SELECT 1"), with("DELETE FROM orders"));
        let of = |snapshot: &crate::catalog::Snapshot, runs: bool| snapshot.version_for(&on_orders(), runs);
        assert_eq!(of(&one, false), of(&two, false), "an unrelated function");
        assert_ne!(of(&one, true), of(&two, true), "an operator, a cast, a domain or a block may call it");
        let operator = |body: &str| {
            let mut builder = shop();
            builder.function_with("public.inner", Body::Sql(body.into()));
            let function = builder.oid_of("public.inner");
            builder.operator("public", "###", Code { note: "the operator ###".into(), function }).build()
        };
        let domain = |body: &str| {
            let facts = TypeFacts { name: "d".into(), checks: vec!["inner(VALUE)".into()], ..TypeFacts::default() };
            shop().function_with("public.inner", Body::Sql(body.into())).add_type(20_000, facts).build()
        };
        for (what, one, two) in [
            ("an operator", operator("SELECT 1"), operator("DELETE FROM orders")),
            ("a domain", domain("SELECT 1"), domain("DELETE FROM orders")),
        ] {
            assert_ne!(one.version_of(&on_orders()), two.version_of(&on_orders()), "{what}");
        }
    }

    #[test]
    fn what_nothing_but_the_version_asks_about_changes_it_and_the_order_of_facts_does_not() {
        let version = |change: &dyn Fn(&mut Builder)| {
            let mut builder = shop();
            builder.table("public.orders_1", &["id"]).child("public.orders_1", "public.orders");
            builder.view("public.visible", "SELECT 1");
            change(&mut builder);
            builder.build().version_of(&on_orders())
        };
        let rest = |name: &'static str| {
            move |builder: &mut Builder| {
                builder.get("public", name).expect("it is there").rest = "ab".repeat(32).parse().ok();
            }
        };
        let plain = version(&|_| ());
        assert_ne!(plain, version(&rest("orders")), "its own definition");
        assert_ne!(plain, version(&rest("orders_1")), "that of a partition");
        assert_eq!(plain, version(&rest("visible")), "a view that it has nothing to do with");
        let policy = |then: &dyn Fn(&mut Builder)| {
            version(&|builder| {
                builder.expression("public.orders", Events::ANY, "the policy p", "(EXISTS (SELECT 1 FROM visible))");
                then(builder);
            })
        };
        assert_ne!(policy(&|_| ()), policy(&rest("visible")), "a policy may read it");
        let defaults = |order: [&'static str; 2]| {
            version(&move |builder| {
                for what in order {
                    builder.expression("public.orders", Events::INSERT, what, "1");
                }
            })
        };
        assert_eq!(
            defaults(["the default of id", "the default of status"]),
            defaults(["the default of status", "the default of id"])
        );
    }

    #[test]
    fn a_trigger_a_default_an_operator_and_a_drop_change_it() {
        let plain = shop().build().version_of(&on_orders());
        let changed = [
            shop().hazard("public.orders", Events::DELETE, "trigger t calls public.f()").build(),
            shop().expression("public.orders", Events::INSERT, "the default of id", "1").build(),
            shop().operator("public", "=", Code::unseen("public.eq")).build(),
            Builder::new().build(),
        ];
        for (index, snapshot) in changed.iter().enumerate() {
            assert_ne!(plain, snapshot.version_of(&on_orders()), "change {index}");
        }
    }
}
