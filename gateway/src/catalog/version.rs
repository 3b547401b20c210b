//! The version of what a statement touches: an approval is void once it changes, and only then.

use countersign_shared::digest::{Digest, Fields};

use super::snapshot::{Function, Relation, Snapshot};
use crate::statement::effect::{Effect, Object};

impl Snapshot {
    /// A digest over the catalog's facts of the objects that `effects` name. Unrelated changes
    /// leave it as it is. Operators, casts and types that run unseen code count always: they can
    /// meet any statement.
    #[must_use]
    pub fn version_of(&self, effects: &[Effect]) -> Digest {
        let mut objects: Vec<&Object> = effects.iter().map(|effect| &effect.object).collect();
        objects.sort_unstable();
        objects.dedup();
        let mut fields = Fields::of("countersign/catalog/v2").field("known", [u8::from(self.known)]);
        fields = fields
            .list("operators", self.operators.iter().map(|(name, codes)| format!("{name} {codes:?}")))
            .list("casts", self.casts.iter().map(|code| format!("{code:?}")))
            .list("event triggers", self.event_triggers.iter().map(|code| format!("{code:?}")));
        let mut types: Vec<String> = self
            .types
            .values()
            .filter(|facts| !(facts.hazards.is_empty() && facts.checks.is_empty()))
            .map(|facts| format!("{:?}", (&facts.schema, &facts.name, &facts.parts, &facts.hazards, &facts.checks)))
            .collect();
        types.sort_unstable();
        fields = fields.list("types", types);
        if objects.iter().any(|object| self.runs_code(object)) {
            // What a function calls, and what that calls, is in no effect. Where any code of the
            // database runs, all of it counts.
            let mut code: Vec<String> = self.functions.values().flatten().map(describe_function).collect();
            code.sort_unstable();
            fields = fields.list("code", code);
        }
        for object in objects {
            fields = match object {
                Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                    fields.optional("relation", self.relation(schema, name).map(|r| describe_relation(r)))
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
}

fn describe_relation(relation: &Relation) -> String {
    format!(
        "{:?}",
        (
            (relation.oid, &relation.schema, &relation.name, relation.kind, &relation.columns),
            (&relation.definition, &relation.of, &relation.hazards, &relation.expressions),
            (&relation.children, &relation.referrers),
        )
    )
}

fn describe_function(function: &Function) -> String {
    format!("{function:?}")
}

#[cfg(test)]
mod tests {
    use crate::{
        catalog::{Body, Code, Events, builder::Builder},
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
