//! Functions, operators and types that a text names, and those that it calls without naming.

use pg_query::{
    NodeEnum,
    protobuf::{FuncCall, Node, TypeName, a_const},
};

use super::{
    Doubt, literals,
    relations::is_temporary_schema,
    walk::{Place, Walk},
};
use crate::{
    catalog::{Function, builtins},
    statement::effect::{Action, Object},
};

/// The strings of a qualified name.
pub(super) fn strings(nodes: &[Node]) -> Vec<&str> {
    nodes
        .iter()
        .filter_map(|node| match &node.node {
            Some(NodeEnum::String(s)) => Some(s.sval.as_str()),
            _ => None,
        })
        .collect()
}

/// Schema and name of a qualified name; a database before them can only be this one.
pub(super) fn schema_and_name(nodes: &[Node]) -> (String, String) {
    match strings(nodes).as_slice() {
        [] => (String::new(), String::new()),
        [name] => (String::new(), (*name).to_owned()),
        [.., schema, name] => ((*schema).to_owned(), (*name).to_owned()),
    }
}

/// A constant as text; booleans and numbers as SET takes them. Casts to text are looked through.
pub(super) fn constant(node: &Node) -> Option<String> {
    match node.node.as_ref()? {
        NodeEnum::AConst(n) if !n.isnull => match n.val.as_ref()? {
            a_const::Val::Sval(s) => Some(s.sval.clone()),
            a_const::Val::Ival(i) => Some(i.ival.to_string()),
            a_const::Val::Fval(f) => Some(f.fval.clone()),
            a_const::Val::Boolval(b) => Some(if b.boolval { "on" } else { "off" }.to_owned()),
            a_const::Val::Bsval(_) => None,
        },
        NodeEnum::TypeCast(n) => {
            let (schema, name) = schema_and_name(&n.type_name.as_ref()?.names);
            let of = n.type_name.as_ref()?;
            // `varchar(3)` cuts it, and an array is none of these.
            let whole = of.array_bounds.is_empty() && (of.typmods.is_empty() || name == "interval");
            let plain = matches!(name.as_str(), "text" | "regclass" | "interval" | "bool" | "varchar");
            let known = schema.is_empty() || schema == "pg_catalog";
            if plain && known && whole { constant(n.arg.as_ref()?) } else { None }
        }
        _ => None,
    }
}

/// The types that a constant is cast to by names without a schema: the server's own only where nothing else is called so.
pub(super) fn casts_by_name(node: &Node) -> Vec<String> {
    let (mut names, mut at) = (Vec::new(), Some(node));
    while let Some(NodeEnum::TypeCast(n)) = at.and_then(|node| node.node.as_ref()) {
        let (schema, name) = n.type_name.as_ref().map(|of| schema_and_name(&of.names)).unwrap_or_default();
        if schema.is_empty() {
            names.push(name);
        }
        at = n.arg.as_deref();
    }
    names
}

impl Walk<'_> {
    /// A constant as the server has it; nothing where a cast may be to a type of the database's.
    pub fn given(&self, node: &Node) -> Option<String> {
        let another =
            |name: &String| !self.snapshot.types_named(name).is_empty() || self.names.temporary_types.contains(name);
        if casts_by_name(node).iter().any(another) { None } else { constant(node) }
    }

    pub fn function_call(&mut self, n: &FuncCall) {
        let (mut schema, name) = schema_and_name(&n.funcname);
        if schema == "pg_catalog" && name == "json_object" {
            // To servers before 16 it is a name as any.
            schema.clear();
        }
        self.list(&n.args);
        self.list(&n.agg_order);
        self.maybe(&n.agg_filter);
        if let Some(window) = &n.over {
            self.window(window);
        }
        self.function(&schema, &name, Some(&n.args));
    }

    /// CALL of a procedure: never one of the server's own.
    pub fn call(&mut self, n: &pg_query::protobuf::CallStmt) {
        match &n.funccall {
            Some(call) => self.function_call(call),
            None => self.opaque("a CALL of nothing"),
        }
        if n.funcexpr.is_some() || !n.outargs.is_empty() {
            self.opaque("a CALL that the analyser has seen already");
        }
    }

    pub fn is_trusted_function(&self, name: &str) -> bool {
        let candidates = self.snapshot.functions(name);
        !candidates.is_empty() && candidates.iter().all(Function::is_trusted)
    }

    /// Every function that a call may mean counts: an exact match of types in a later schema wins
    /// over an earlier one that needs a cast, and types are not known here.
    pub fn function(&mut self, schema: &str, name: &str, args: Option<&[Node]>) {
        self.found.uses_names = true;
        let in_reach: Vec<&Function> = {
            let path: Vec<&str> = self.path().collect();
            // Not known, and so anything.
            let everywhere = schema.is_empty() && self.place == Place::Text && self.names.search_path.is_empty();
            let reaches = |candidate: &&Function| match schema {
                "" => everywhere || path.contains(&candidate.schema.as_str()),
                schema => candidate.schema == schema,
            };
            let takes = |f: &&Function| args.is_none_or(|args| f.takes(args.len()));
            self.snapshot.functions(name).iter().filter(reaches).filter(takes).collect()
        };
        // A body in SQL is read under the session's own path, whoever calls it.
        let follows_path = !self.names.looks_in_pg_catalog_first();
        let mut known = !in_reach.is_empty();
        if known {
            self.reads_literals();
        }
        for candidate in in_reach {
            self.resolves(candidate.oid);
            self.found.functions.insert(format!("{}.{}", candidate.schema, candidate.name));
            self.user_function(candidate, follows_path);
        }
        self.type_called(name);
        if schema.is_empty() || schema == "pg_catalog" {
            known |= self.builtin(name, args) || builtins::is_cast(name, args.map_or(0, <[Node]>::len));
        } else if schema == "information_schema" && builtins::is_information_schema_helper(name) {
            known = true;
        }
        if !known {
            let shown = super::relations::written(schema, name);
            let schema = if schema.is_empty() { "pg_catalog" } else { schema };
            self.effect(Action::Opaque, Object::Function { schema: schema.to_owned(), name: name.to_owned() });
            self.note(format!("there is no function {shown} in the catalog that was read"));
            if self.snapshot.is_known() && !super::relations::is_temporary_schema(schema) {
                self.found.doubt.get_or_insert(Doubt::UnknownFunction { name: shown });
            }
        }
    }

    /// A type's name called like a function is a cast.
    pub fn type_called(&mut self, name: &str) {
        let snapshot = self.snapshot;
        for oid in snapshot.types_named(name) {
            self.found.uses_names = true;
            self.type_is_used(*oid);
        }
    }

    /// One of the server's own functions. `false` where there is none of that name.
    fn builtin(&mut self, name: &str, args: Option<&[Node]>) -> bool {
        if builtins::is_harmless(name) {
            self.found.functions.insert(format!("pg_catalog.{name}"));
            if name == "current_setting" {
                self.reads_setting(args);
            }
            return true;
        }
        self.reads_literals();
        if !self.snapshot.has_builtin(name) && self.snapshot.is_known() {
            return false;
        }
        self.found.functions.insert(format!("pg_catalog.{name}"));
        match name {
            "nextval" if self.place == Place::Default => {}
            "nextval" | "setval" => self.sequence(args),
            "set_config" => self.set_config(args),
            "pg_notify" => self.on_connection(Action::Notify),
            // A query in, a query replaced, a query out: only the form of two runs SQL.
            "ts_rewrite" if args.is_some_and(|args| args.len() == 3) => {}
            "ts_stat" | "query_to_xml" | "query_to_xmlschema" | "query_to_xml_and_xmlschema" => {
                self.query_as_text(name, args);
            }
            _ if name.starts_with("pg_advisory_") || name.starts_with("pg_try_advisory_") => {
                self.on_connection(Action::Set);
            }
            _ if reaches_the_server(name) => {
                self.server();
                self.note(format!("{name} reaches the server itself"));
            }
            _ => {
                let object = Object::Function { schema: "pg_catalog".to_owned(), name: name.to_owned() };
                self.effect(Action::Opaque, object);
                self.note(match name {
                    _ if name.contains("_to_xml") || matches!(name, "ts_stat" | "ts_rewrite") => {
                        format!("{name} runs a query that it is given as text, or reads tables that are not named")
                    }
                    _ if name.starts_with("lo_") || matches!(name, "loread" | "lowrite") => {
                        format!("{name} works on large objects")
                    }
                    _ => format!("{name} is not on the list of harmless functions"),
                });
            }
        }
        true
    }

    /// A function that runs its first argument: what that does, where it is in the text.
    fn query_as_text(&mut self, name: &str, args: Option<&[Node]>) {
        match args.and_then(<[Node]>::first).and_then(|node| self.given(node)) {
            Some(query) => self.inner_text(name, &query),
            None => self.opaque(format!("{name} runs a query that it is given as text")),
        }
    }

    /// `nextval('public.orders_id_seq')`: a write to the sequence.
    fn sequence(&mut self, args: Option<&[Node]>) {
        // Its name may be looked up while it runs.
        self.found.runs_code = true;
        let Some(name) = args.and_then(<[Node]>::first).and_then(|node| self.given(node)) else {
            self.opaque("which sequence is moved is not in the text");
            return;
        };
        let Some((schema, name)) = relation_in_text(&name) else {
            self.opaque("which sequence is moved is not plain from the text");
            return;
        };
        let (schema, name) = (schema.as_str(), name.as_str());
        let meaning = self.meaning(schema, name);
        if meaning.temporary {
            self.effect(Action::Temp, super::relations::temporary_object(name));
        }
        match meaning.relation {
            Some(relation) => self.write_relation(&relation, Action::Update, crate::catalog::Events::default()),
            None if meaning.temporary => {}
            None => self.unknown_relation(schema, name),
        }
    }

    /// `o.total` and `(x).total`: a column, or else a function of that name on the row or value.
    pub fn column(&mut self, fields: &[Node]) {
        if fields.len() > 1
            && let Some(NodeEnum::String(last)) = fields.last().and_then(|node| node.node.as_ref())
        {
            self.attribute(&last.sval, false);
        }
    }

    pub fn indirection(&mut self, steps: &[Node]) {
        for step in steps {
            match &step.node {
                Some(NodeEnum::String(name)) => self.attribute(&name.sval, true),
                _ => self.visit(step),
            }
        }
    }

    /// A function of any value: a relation's name stands for a row, and that of a function in FROM for what it gives.
    fn attribute(&mut self, name: &str, of_any_value: bool) {
        let strange = self.snapshot.functions(name).iter().any(|f| f.takes(1) && !f.is_trusted());
        let known = self.snapshot.has_builtin(name);
        let builtin = known && !builtins::is_harmless(name);
        // A column may be called like any function; these tell of sessions and of the server, and are asked about by name.
        if known && (name.starts_with("pg_") || matches!(name, "currval" | "current_setting")) {
            self.found.functions.insert(format!("pg_catalog.{name}"));
        }
        if strange || builtin {
            self.note(format!("{name} after a dot may be a function"));
            self.function("", name, None);
        }
        if of_any_value {
            for oid in self.snapshot.types_named(name).to_vec() {
                self.type_is_used(oid);
            }
            self.temporary_type(name);
        }
    }

    /// An operator by its written name. `OPERATOR(pg_catalog.=)` can only be the server's own.
    pub fn operator(&mut self, name: &[Node]) {
        match strings(name).as_slice() {
            [] => {}
            [name] => self.operator_written(name),
            [.., schema, _] if is_temporary_schema(schema) => {
                self.opaque("what a temporary operator runs can't be seen");
            }
            [.., schema, name] => self.operator_in(name, |candidate| candidate == *schema),
        }
    }

    /// An operator without a schema. A stored text qualifies each that is not the server's own.
    pub fn operator_written(&mut self, name: &str) {
        match self.place {
            Place::Text => self.operator_named(name),
            Place::Stored | Place::Default => self.operator_in(name, |schema| schema == "pg_catalog"),
        }
    }

    /// An operator that a construct of the text means (USING, CASE), found as if it were
    /// written. A stored text does not tell which it was: there, each of that name counts.
    pub fn operator_named(&mut self, name: &str) {
        let path: Vec<String> = self.path().map(str::to_owned).collect();
        let any = self.place != Place::Text || self.names.search_path.is_empty();
        self.operator_in(name, |schema| any || path.iter().any(|reached| reached == schema));
    }

    pub fn operator_in(&mut self, name: &str, reaches: impl Fn(&str) -> bool) {
        self.found.uses_names = true;
        let snapshot = self.snapshot;
        for (schema, code) in snapshot.operator_hazards(name) {
            if reaches(schema) {
                if let Some(oid) = code.function {
                    self.resolves(oid);
                }
                self.run_estimated(code, None);
            }
        }
    }

    pub fn type_name(&mut self, n: Option<&TypeName>) {
        let Some(n) = n else { return };
        self.list(&n.typmods);
        let (mut schema, name) = schema_and_name(&n.names);
        if schema == "pg_catalog" && name == "json" {
            // Servers before 16 look for a type that is called so.
            schema.clear();
        }
        if !n.typmods.is_empty() || literals::are_looked_up_by(&name) {
            self.reads_literals();
        }
        if schema == "pg_catalog" && self.snapshot.types_named(&name).is_empty() {
            return;
        }
        self.found.uses_names = true;
        if is_temporary_schema(&schema) {
            self.opaque("a temporary type may be a domain, whose checks can't be seen");
        } else if schema.is_empty() {
            self.temporary_type(&name);
        }
        let oids: Vec<u32> = self
            .snapshot
            .types_named(&name)
            .iter()
            .copied()
            .filter(|oid| {
                schema.is_empty() || n.pct_type || self.snapshot.type_facts(*oid).is_some_and(|f| f.schema == schema)
            })
            .collect();
        for oid in oids {
            self.type_is_used(oid);
        }
    }

    /// A type without a schema, which is looked for among the temporary ones first.
    pub fn temporary_type(&mut self, name: &str) {
        if self.place != Place::Text || !self.names.temporary_types.contains(name) {
            return;
        }
        self.reads_literals();
        if self.names.temporary.contains_key(name) {
            self.types_of_temporary(name);
        } else {
            self.opaque("a temporary type may be a domain, whose checks can't be seen");
        }
    }

    fn type_is_used(&mut self, oid: u32) {
        self.resolves(oid);
        self.reads_literals();
        self.use_type(oid, "", None);
    }

    pub fn server(&mut self) {
        self.on_connection(Action::Server);
    }

    pub fn privilege(&mut self) {
        self.on_connection(Action::Privilege);
    }
}

/// Schema and name of a relation in a string, as `regclass` reads it: folded to lower case but in
/// quotes. `None` for what is not plain.
fn relation_in_text(text: &str) -> Option<(String, String)> {
    let part = |part: &str| {
        // Digits are an oid to the server.
        let plain = |p: &str| {
            let begins = p.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
            begins && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match part.strip_prefix('"').and_then(|p| p.strip_suffix('"')) {
            Some(quoted) => plain(quoted).then(|| quoted.to_owned()),
            None => plain(part).then(|| part.to_ascii_lowercase()),
        }
    };
    match text.split('.').collect::<Vec<_>>().as_slice() {
        [name] => Some((String::new(), part(name)?)),
        [schema, name] => Some((part(schema)?, part(name)?)),
        _ => None,
    }
}

/// Functions that read or write files of the server, signal or steer it, or take part in
/// replication.
fn reaches_the_server(name: &str) -> bool {
    const BEGINNINGS: &[&str] = &[
        "pg_read_",
        "pg_ls_",
        "pg_stat_file",
        "pg_stat_reset",
        "pg_file_",
        "pg_hba_",
        "pg_ident_",
        "pg_show_all_file",
        "pg_reload_conf",
        "pg_rotate_logfile",
        "pg_current_logfile",
        "pg_cancel_backend",
        "pg_terminate_backend",
        "pg_log_",
        "pg_promote",
        "pg_switch_wal",
        "pg_wal_replay_",
        "pg_create_restore_point",
        "pg_backup_",
        "pg_start_backup",
        "pg_stop_backup",
        "pg_create_",
        "pg_drop_replication",
        "pg_copy_",
        "pg_replication_",
        "pg_logical_",
        "pg_sync_replication",
        "pg_export_snapshot",
        "pg_import_system",
        "pg_control_",
        "binary_upgrade_",
        "pg_signal_",
    ];
    BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_the_server_is_never_called_harmless_too() {
        let both: Vec<&str> = builtins::harmless().filter(|name| reaches_the_server(name)).collect();
        let expected = ["pg_replication_origin_oid", "pg_replication_origin_session_is_setup"];
        let mut both = both;
        both.sort_unstable();
        assert_eq!(both, expected, "two that only answer");
    }
}
