//! The rules of a connection over one catalog: which columns of which relations are classified.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    rules::{Mask, Rule},
    value::Kind as Values,
};
use crate::{
    catalog::{Body, Key, Kind, Relation, Snapshot, builtins},
    statement::{
        classify::{
            Analysis, Names, Statement, classify,
            columns::{Column, Columns, Use, columns_of},
        },
        effect::{Action, Effect, Object},
    },
};

/// What a column is classified as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// `resource.classification`.
    pub label: String,
    /// What leaves in its place, where it is the column itself.
    pub mask: Mask,
}

/// Columns of the server's own that hold values of others' rows, or texts of others' statements.
const OF_THE_SERVER: [(&str, &str, &[&str]); 8] = [
    (
        "pg_stats",
        STATISTICS,
        &[
            "most_common_vals",
            "histogram_bounds",
            "most_common_elems",
            "range_bounds_histogram",
            "range_length_histogram",
        ],
    ),
    ("pg_stats_ext", STATISTICS, &["most_common_vals"]),
    ("pg_stats_ext_exprs", STATISTICS, &["most_common_vals", "histogram_bounds", "most_common_elems"]),
    ("pg_statistic", STATISTICS, &["stavalues1", "stavalues2", "stavalues3", "stavalues4", "stavalues5"]),
    ("pg_statistic_ext_data", STATISTICS, &["stxdmcv", "stxdexpr"]),
    ("pg_stat_activity", "activity", &["query"]),
    // What the server sends of a COPY, before it is masked.
    ("pg_stat_progress_copy", "activity", &["bytes_processed", "bytes_total"]),
    // What values took in memory.
    (
        "pg_backend_memory_contexts",
        "activity",
        &["total_bytes", "free_bytes", "used_bytes", "total_nblocks", "free_chunks"],
    ),
];
const STATISTICS: &str = "statistics";

/// Functions that are harmless in themselves, and give what those columns hold.
const LEAKY: [&str; 6] = [
    "pg_stat_get_activity",
    "pg_stat_get_backend_activity",
    "pg_stat_get_progress_info",
    "pg_get_backend_memory_contexts",
    "pg_mcv_list_items",
    "pg_stat_statements",
];

/// Functions that reach the server and tell nothing of what is in it.
const STEERING: [&str; 16] = [
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_switch_wal",
    "pg_promote",
    "pg_create_restore_point",
    "pg_export_snapshot",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_wal_replay_pause",
    "pg_wal_replay_resume",
    "pg_stat_reset",
    "pg_stat_reset_shared",
    "pg_stat_reset_single_table_counters",
    "pg_current_logfile",
];

/// The classified columns of one catalog.
#[derive(Clone, Debug, Default)]
pub struct Sensitive {
    tables: HashMap<Key, BTreeMap<String, Class>>,
    /// By the table's oid and the column's number, as RowDescription names them.
    by_number: HashMap<(u32, u16), Column>,
    oids: BTreeSet<u32>,
    /// The kind of each one's values.
    kinds: HashMap<Column, Values>,
    /// Whether the catalog is known at all.
    pub known: bool,
    /// Whether code of the database may put values of rows into notifications.
    pub notifies: bool,
}

impl Sensitive {
    /// What `rules` classify in a catalog; the first rule that fits counts.
    #[must_use]
    pub fn new(rules: &[Rule], snapshot: &Snapshot) -> Self {
        let mut found = Self { known: snapshot.is_known(), ..Self::default() };
        if rules.is_empty() {
            return found;
        }
        for relation in snapshot.relations() {
            if relation.is_builtin() {
                found.of_the_server(relation);
                continue;
            }
            for rule in rules {
                found.classify(rule, relation, snapshot);
            }
        }
        found.inherit(snapshot, false);
        found.generated(snapshot);
        found.inherit(snapshot, false);
        found.inherit(snapshot, true);
        found.copies(snapshot);
        for ((schema, table), columns) in &found.tables {
            let Some(relation) = snapshot.relation(schema, table) else { continue };
            found.oids.insert(relation.oid);
            for column in relation.columns.iter().filter(|column| columns.contains_key(&column.name)) {
                let (schema, table, name) = (schema.clone(), table.clone(), column.name.clone());
                let named = Column { schema, table, name };
                found.kinds.insert(named.clone(), kind_of(column.base_oid, snapshot));
                found.by_number.insert((relation.oid, column.number), named);
            }
        }
        found.notifies = snapshot.all_functions().any(|function| {
            !function.is_trusted()
                && match &function.body {
                    Body::Sql(text) | Body::SqlResolved(text) | Body::PlPgSql(text) => {
                        text.to_ascii_lowercase().contains("notify")
                    }
                    Body::Unseen => !matches!(function.language.as_str(), "c" | "internal"),
                    Body::Constructor | Body::Calls(_) => false,
                }
        });
        found
    }

    fn of_the_server(&mut self, relation: &Relation) {
        let known = OF_THE_SERVER.iter().find(|(name, ..)| relation.schema == "pg_catalog" && relation.name == *name);
        let Some((_, label, columns)) = known else { return };
        let class = Class { label: (*label).to_owned(), mask: Mask::Redact };
        let of = self.tables.entry(relation.key()).or_default();
        of.extend(columns.iter().map(|column| ((*column).to_owned(), class.clone())));
    }

    fn classify(&mut self, rule: &Rule, relation: &Relation, snapshot: &Snapshot) {
        let columns = || relation.columns.iter().filter(|column| rule.fits(relation, column));
        match relation.kind {
            Kind::Table | Kind::Materialized | Kind::Foreign => {
                let class = Class { label: rule.label.clone(), mask: rule.mask };
                for column in columns() {
                    self.add(relation.key(), &column.name, class.clone());
                }
            }
            // A view holds nothing: what it shows is classified where it is held.
            Kind::View if rule.names_views() => {
                for column in columns() {
                    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
                    let (column, schema, view) =
                        (quoted(&column.name), quoted(&relation.schema), quoted(&relation.name));
                    let (outputs, bare) = lineage(&format!("SELECT {column} FROM {schema}.{view}"), snapshot);
                    let mask = if bare { rule.mask } else { Mask::Redact };
                    for held in outputs {
                        let class = Class { label: rule.label.clone(), mask };
                        self.add((held.schema, held.table), &held.name, class);
                    }
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, table: Key, column: &str, class: Class) -> bool {
        let columns = self.tables.entry(table).or_default();
        let new = !columns.contains_key(column);
        if new {
            columns.insert(column.to_owned(), class);
        }
        new
    }

    /// Partitions and tables that inherit have what their parents have; and a parent gives the rows of all
    /// below it.
    fn inherit(&mut self, snapshot: &Snapshot, up: bool) {
        let mut again = true;
        while again {
            again = false;
            for parent in snapshot.relations().filter(|relation| !relation.children.is_empty()) {
                for child in &parent.children {
                    let (from, to) = if up { (child.clone(), parent.key()) } else { (parent.key(), child.clone()) };
                    let has = |name: &str| {
                        snapshot
                            .relation(&to.0, &to.1)
                            .is_some_and(|to| to.columns.iter().any(|column| column.name == name))
                    };
                    for (name, class) in self.tables.get(&from).cloned().unwrap_or_default() {
                        again |= has(&name) && self.add(to.clone(), &name, class);
                    }
                }
            }
        }
    }

    /// Columns that are computed from classified ones.
    fn generated(&mut self, snapshot: &Snapshot) {
        let tables: Vec<Key> = self.tables.keys().cloned().collect();
        for key in tables {
            let Some(relation) = snapshot.relation(&key.0, &key.1) else { continue };
            for expression in relation.expressions.iter().filter(|expression| expression.is_default()) {
                let of = expression.what.trim_start_matches("the default of ").to_owned();
                let columns = self.tables.get(&key).cloned().unwrap_or_default();
                let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
                let sql = format!("SELECT {} FROM {}.{}", expression.text, quoted(&key.0), quoted(&key.1));
                let (from, _) = lineage(&sql, snapshot);
                let rests_on = from.iter().find_map(|column| columns.get(&column.name));
                if let Some(class) = rests_on {
                    let class = Class { label: class.label.clone(), mask: Mask::Redact };
                    self.add(key.clone(), &of, class);
                }
            }
        }
    }

    /// Columns of materialized views, which hold copies.
    fn copies(&mut self, snapshot: &Snapshot) {
        let names = Names { search_path: vec!["pg_catalog".to_owned()], ..Names::default() };
        let mut again = true;
        while again {
            again = false;
            for relation in snapshot.relations().filter(|relation| relation.kind == Kind::Materialized) {
                let read = relation.definition.as_ref().map(|definition| {
                    let analysis = classify(definition, snapshot, &names);
                    columns_of(definition, &analysis, snapshot, &names).pop().unwrap_or_default()
                });
                // Code that reads a classified column may give it as any.
                let handed = |read: &Columns| {
                    let by_code = read.used.iter().filter(|(_, roles)| roles.contains(&Use::Source));
                    by_code.map(|(column, _)| column).any(|column| !self.classified(column).is_empty())
                };
                let outputs = read
                    .as_ref()
                    .and_then(|read| read.outputs.as_ref().filter(|_| read.doubts.is_empty() && !handed(read)));
                let outputs = outputs.filter(|outputs| outputs.len() == relation.columns.len());
                let unknown = read.is_none()
                    || outputs.is_none()
                        && read
                            .iter()
                            .flat_map(|read| read.used.keys())
                            .any(|column| !self.classified(column).is_empty());
                for (at, column) in relation.columns.iter().enumerate() {
                    let class = match outputs.and_then(|outputs| outputs.get(at)) {
                        Some(output) => {
                            let of = output.from.iter().flat_map(|column| self.classified(column)).next();
                            let class = of.and_then(|column| self.class(&column).cloned());
                            class.map(|class| Class {
                                mask: if output.bare { class.mask } else { Mask::Redact },
                                ..class
                            })
                        }
                        None => unknown.then(|| Class { label: "unknown".to_owned(), mask: Mask::Redact }),
                    };
                    again |= class.is_some_and(|class| self.add(relation.key(), &column.name, class));
                }
            }
        }
    }

    /// Whether nothing is classified.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// The class of a column.
    #[must_use]
    pub fn class(&self, column: &Column) -> Option<&Class> {
        self.tables.get(&(column.schema.clone(), column.table.clone()))?.get(&column.name)
    }

    /// The kind of a classified column's values.
    #[must_use]
    pub fn kind(&self, column: &Column) -> Values {
        self.kinds.get(column).copied().unwrap_or(Values::Other)
    }

    /// The classified columns that a column of an analysis stands for: itself, or any of its table where
    /// it is not known which.
    #[must_use]
    pub fn classified(&self, column: &Column) -> Vec<Column> {
        let Some(columns) = self.tables.get(&(column.schema.clone(), column.table.clone())) else { return Vec::new() };
        let of = |name: &String| Column { name: name.clone(), ..column.clone() };
        match column.name.as_str() {
            "*" => columns.keys().map(of).collect(),
            name => columns.get_key_value(name).map(|(name, _)| of(name)).into_iter().collect(),
        }
    }

    /// All of them, but for the server's own.
    pub fn all(&self) -> impl Iterator<Item = Column> {
        self.tables.iter().flat_map(|((schema, table), columns)| {
            columns.keys().map(|name| Column { schema: schema.clone(), table: table.clone(), name: name.clone() })
        })
    }

    /// The classified columns of a table.
    pub fn of_table<'a>(&'a self, schema: &str, table: &str) -> impl Iterator<Item = Column> + 'a {
        let key = (schema.to_owned(), table.to_owned());
        let columns = self.tables.get(&key).map(BTreeMap::keys).into_iter().flatten();
        columns.map(move |name| Column { schema: key.0.clone(), table: key.1.clone(), name: name.clone() })
    }

    /// The classified column that RowDescription names by its table's oid and its number.
    #[must_use]
    pub fn by_number(&self, oid: u32, number: u16) -> Option<&Column> {
        self.by_number.get(&(oid, number))
    }

    /// Whether RowDescription's oid is of a table with classified columns.
    #[must_use]
    pub fn has_oid(&self, oid: u32) -> bool {
        self.oids.contains(&oid)
    }

    /// Whether an effect meets a relation with classified columns.
    #[must_use]
    pub fn is_met_by(&self, effect: &Effect) -> bool {
        match &effect.object {
            Object::Table { schema, name } | Object::Column { schema, table: name, .. } => {
                self.tables.contains_key(&(schema.clone(), name.clone()))
            }
            Object::Schema { schema } => {
                effect.action.group() == Some("ddl")
                    && effect.action != Action::Create
                    && self.tables.keys().any(|(of, _)| of == schema && of != "pg_catalog")
            }
            Object::Connection | Object::Function { .. } | Object::Role { .. } => false,
        }
    }

    /// Whether a text may give or use classified columns. Where not, nothing more is asked.
    #[must_use]
    pub fn is_touched_by(&self, analysis: &Analysis) -> bool {
        analysis.statements.iter().any(|statement| {
            statement.cursor.is_some()
                || statement.fetches_within
                || unseen(statement).is_some()
                || statement.effects.iter().any(|effect| self.is_met_by(effect))
        })
    }
}

/// Why a statement may give anything at all, whatever its columns are said to be.
#[must_use]
pub fn unseen(statement: &Statement) -> Option<String> {
    let opaque = statement.effects.iter().any(|effect| effect.action == Action::Opaque);
    if opaque {
        return Some(statement.notes.first().cloned().unwrap_or_else(|| "what it does can't be seen".to_owned()));
    }
    let own = |name: &String| name.rsplit('.').next().unwrap_or_default().trim_matches('"').to_owned();
    let called: Vec<String> = statement.functions.iter().map(own).collect();
    let counts = |effect: &Effect| match &effect.object {
        Object::Table { schema, name } => schema == "pg_catalog" && name.starts_with("pg_stat_xact_"),
        _ => false,
    };
    if statement.effects.iter().any(counts) || called.iter().any(|name| name.starts_with("pg_stat_get_xact_")) {
        return Some("it tells how often this transaction has looked at which table".to_owned());
    }
    if let Some(name) = called.iter().find(|name| LEAKY.contains(&name.as_str())) {
        return Some(format!("{name} tells values or statements of others"));
    }
    let reaches = statement.effects.iter().any(|effect| effect.action == Action::Server);
    let steers = called.iter().any(|name| STEERING.contains(&name.as_str()))
        && called.iter().all(|name| STEERING.contains(&name.as_str()) || builtins::is_harmless(name));
    (reaches && !steers).then(|| "it reaches the server itself, which holds the columns' values in files".to_owned())
}

/// The columns that the one output of a stored text rests on, and whether it is one column itself.
fn lineage(sql: &str, snapshot: &Snapshot) -> (Vec<Column>, bool) {
    let names = Names { search_path: vec!["pg_catalog".to_owned()], ..Names::default() };
    let analysis = classify(sql, snapshot, &names);
    let found = columns_of(sql, &analysis, snapshot, &names).pop().unwrap_or_default();
    match found.outputs.and_then(|mut outputs| outputs.pop()) {
        Some(output) => (output.from.into_iter().collect(), output.bare),
        None => (found.used.into_keys().collect(), false),
    }
}

/// What is wrong with rules under a catalog: by the rule's place in the list, a sentence each. The flag
/// says that it is an error, and no warning.
#[must_use]
pub fn check(rules: &[Rule], snapshot: &Snapshot) -> Vec<(usize, bool, String)> {
    let mut found = Vec::new();
    for (at, rule) in rules.iter().enumerate() {
        let mut met = false;
        for relation in snapshot.relations().filter(|relation| !relation.is_builtin()) {
            let holds = matches!(relation.kind, Kind::Table | Kind::Materialized | Kind::Foreign | Kind::View);
            if !holds {
                continue;
            }
            for column in relation.columns.iter().filter(|column| rule.fits(relation, column)) {
                met = true;
                let kind = kind_of(column.base_oid, snapshot);
                if relation.kind != Kind::View && !kind.fits(rule.mask) {
                    let place = format!("{}.{}.{}", relation.schema, relation.name, column.name);
                    found.push((
                        at,
                        true,
                        format!("the mask {:?} does not fit the type of {place}", rule.mask.to_string()),
                    ));
                }
            }
        }
        if !met {
            found.push((at, false, format!("no column of the database is {}", rule.of)));
        }
    }
    found
}

/// The kind of a type by its oid.
fn kind_of(oid: u32, snapshot: &Snapshot) -> Values {
    Values::of(oid, -1, snapshot.type_facts(oid).map(|facts| facts.name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Events, builder::Builder};

    fn rules(texts: &[&str]) -> Vec<Rule> {
        texts.iter().map(|text| Rule::parse(text, "pii".into(), Mask::Email, 0).expect(text)).collect()
    }

    fn found(texts: &[&str], snapshot: &Snapshot) -> Vec<String> {
        let sensitive = Sensitive::new(&rules(texts), snapshot);
        let mut all: Vec<String> = sensitive.all().map(|c| format!("{}.{}.{}", c.schema, c.table, c.name)).collect();
        all.sort();
        all
    }

    #[test]
    fn classes_follow_partitions_parents_views_and_generated_columns() {
        let mut b = Builder::new();
        b.table("public.c", &["id", "email", "low"])
            .table("public.part", &["id", "email"])
            .table("public.part_1", &["id", "email"])
            .table("public.part_2", &["id", "email"])
            .child("public.part_1", "public.part")
            .child("public.part_2", "public.part")
            .expression("public.c", Events::STORE, "the default of low", "lower(email)")
            .view("public.v", "SELECT c.email AS mail, lower(c.low) AS l FROM public.c");
        b.get("public", "v").expect("a view").columns = [("mail", 1), ("l", 2)]
            .map(|(name, number)| crate::catalog::Column {
                name: name.into(),
                type_oid: 25,
                base_oid: 25,
                number,
                ..crate::catalog::Column::default()
            })
            .into();
        let snapshot = b.build();
        assert_eq!(found(&["public.c.email"], &snapshot), ["public.c.email", "public.c.low"], "a generated column");
        assert_eq!(
            found(&["public.part.email"], &snapshot),
            ["public.part.email", "public.part_1.email", "public.part_2.email"],
            "downwards"
        );
        assert_eq!(found(&["public.part_1.email"], &snapshot), ["public.part.email", "public.part_1.email"], "upwards");
        assert_eq!(found(&["public.v.mail"], &snapshot), ["public.c.email", "public.c.low"], "what a view shows");
        assert_eq!(found(&["*.v*.mail"], &snapshot), Vec::<String>::new(), "a pattern names tables");
        assert!(Sensitive::new(&[], &snapshot).is_empty());
    }
}
