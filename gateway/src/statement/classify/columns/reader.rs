//! The state of reading one statement, and how a name of a column finds its columns.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pg_query::protobuf::Node;

use super::{
    Column, Columns, Output, Use,
    scope::{Field, Item, Level, Open, Rows, Value, is_system_column},
};
use crate::{
    catalog::{Key, Snapshot},
    statement::classify::{Names, functions::strings},
};

/// So much is looked at for one statement; beyond it, all columns count.
const MOST_STEPS: usize = 1_000_000;

/// Reads one statement.
pub(super) struct Reader<'a> {
    pub snapshot: &'a Snapshot,
    pub names: &'a Names,
    /// Within a stored query, where names are qualified.
    pub stored: bool,
    columns: Vec<Column>,
    numbers: HashMap<Column, u32>,
    used: BTreeSet<(u32, Use)>,
    /// Those that the text itself chose.
    own: BTreeSet<(u32, Use)>,
    /// Columns of one's own that are joined, both ways.
    joins: BTreeSet<(u32, u32)>,
    written: BTreeSet<u32>,
    /// What decides whether a part of the text is carried out.
    conditions: BTreeSet<u32>,
    /// Those of them that choose no rows: within an expression, of which policy is not asked otherwise.
    within: BTreeSet<u32>,
    /// Whether a part of the text that may be carried out or not reads tables, which the server's statistics show. Where it
    /// stands says nothing: the planner puts what a sub-select or a view gives where that is used.
    pub reads_within: bool,
    /// Whether a query within it locks rows, which shows that it was carried out.
    pub locks_within: bool,
    /// Whether it draws random numbers, of which the next shows how many were.
    pub draws: bool,
    /// Whether a plan shows what of it was carried out.
    pub is_shown: bool,
    /// What is found now, others chose.
    pub others: usize,
    /// Tables with the bodies of triggers that only read.
    pub triggers: BTreeSet<(Key, String)>,
    /// The rows of a declared cursor.
    pub fetched: Option<Rows>,
    /// What is found now is looked at again, or is not the statement's own.
    pub muted: usize,
    pub scopes: Vec<Level>,
    pub with: Vec<(String, Rows)>,
    pub views: HashMap<u32, Rows>,
    /// Relations whose columns were looked at one by one.
    pub met: BTreeSet<Key>,
    pub wrote: BTreeSet<Key>,
    pub depth: usize,
    steps: usize,
    doubts: Vec<String>,
}

impl<'a> Reader<'a> {
    pub fn new(snapshot: &'a Snapshot, names: &'a Names) -> Self {
        Self {
            snapshot,
            names,
            stored: false,
            columns: Vec::new(),
            numbers: HashMap::new(),
            used: BTreeSet::new(),
            own: BTreeSet::new(),
            joins: BTreeSet::new(),
            conditions: BTreeSet::new(),
            within: BTreeSet::new(),
            reads_within: false,
            locks_within: false,
            draws: false,
            is_shown: false,
            others: 0,
            triggers: BTreeSet::new(),
            fetched: None,
            written: BTreeSet::new(),
            muted: 0,
            scopes: Vec::new(),
            with: Vec::new(),
            views: HashMap::new(),
            met: BTreeSet::new(),
            wrote: BTreeSet::new(),
            depth: 0,
            steps: 0,
            doubts: Vec::new(),
        }
    }

    /// Counts work. `false` once there was too much of it.
    pub fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_add(steps);
        if self.is_exhausted() {
            let why = "it is too large to follow every column";
            if !self.doubts.iter().any(|doubt| doubt == why) {
                self.doubts.push(why.to_owned());
            }
        }
        !self.is_exhausted()
    }

    /// Whether there was too much: nothing was looked at to its end.
    pub const fn is_exhausted(&self) -> bool {
        self.steps > MOST_STEPS
    }

    /// Something of it can't be followed, and may be anything: every column of what it meets is used in every way. How many
    /// rows there are tells as much as what is in them.
    pub fn gives_up(&mut self, why: &str) {
        self.doubt(why);
        self.steps = usize::MAX;
    }

    pub fn doubt(&mut self, why: impl Into<String>) {
        let why = why.into();
        if self.doubts.len() < 20 && !self.doubts.contains(&why) {
            self.doubts.push(why);
        }
    }

    pub fn number(&mut self, (schema, table): &Key, name: &str) -> u32 {
        let column = Column { schema: schema.clone(), table: table.clone(), name: name.to_owned() };
        if let Some(number) = self.numbers.get(&column) {
            return *number;
        }
        let number = u32::try_from(self.columns.len()).unwrap_or(u32::MAX);
        self.columns.push(column.clone());
        self.numbers.insert(column, number);
        number
    }

    pub fn record(&mut self, value: &Value, role: Use) {
        if self.muted == 0 {
            self.used.extend(value.from.iter().map(|number| (*number, role)));
            // What a view compares, whoever made the view chose; what a trigger reads, whoever made that.
            if !(self.others > 0 || self.stored && role.is_predicate()) {
                self.own.extend(value.from.iter().map(|number| (*number, role)));
            }
        }
    }

    /// Two columns of which each is said to equal the other.
    pub fn record_join(&mut self, one: &Value, other: &Value) {
        for (value, with) in [(one, other), (other, one)] {
            self.record(value, Use::Join);
            self.joins.extend(value.from.iter().flat_map(|a| with.from.iter().map(|b| (*a, *b))));
        }
    }

    /// A value that may decide whether what stands beside it is carried out.
    pub fn decides(&mut self, value: &Value) {
        if self.muted == 0 && !self.stored {
            self.conditions.extend(&value.from);
        }
    }

    /// A value of which a plan shows what it took.
    pub fn shows(&mut self, value: &Value) {
        if self.muted == 0 {
            self.conditions.extend(&value.from);
        }
    }

    /// The same within an expression.
    pub fn decides_within(&mut self, value: &Value) {
        self.decides(value);
        if self.muted == 0 && !self.stored {
            self.within.extend(&value.from);
        }
    }

    /// Something is carried out, or not, that reads tables.
    pub fn reads(&mut self) {
        self.reads_within |= self.muted == 0;
    }

    /// A use that EXPLAIN makes of rows that nobody sees.
    pub fn record_unseen(&mut self, value: &Value) {
        if self.muted == 0 {
            self.used.extend(value.from.iter().map(|number| (*number, Use::Predicate)));
        }
    }

    /// A use that shows in something else than values: how many rows there are, how long it takes.
    pub fn record_own(&mut self, value: &Value, role: Use) {
        if self.muted == 0 && !self.stored {
            self.own.extend(value.from.iter().map(|number| (*number, role)));
        }
    }

    pub fn write(&mut self, value: &Value) {
        if self.muted == 0 {
            self.written.extend(&value.from);
        }
    }

    fn open(&mut self, open: &Open, name: &str) -> BTreeSet<u32> {
        match open {
            Open::Of(key) => BTreeSet::from([self.number(key, name)]),
            Open::Over(from) => from.clone(),
        }
    }

    /// All columns of some rows as one value.
    pub fn whole(&mut self, rows: &Rows) -> Value {
        self.spend(rows.fields.len() + 1);
        let mut value = Value::default();
        for field in &rows.fields {
            value.add(&field.value);
        }
        for open in &rows.open {
            value.from.extend(self.open(open, "*"));
        }
        value
    }

    /// The first columns under other names. Where some are not known, nobody can say which are the first: each is any.
    pub fn renamed<'n>(&mut self, mut rows: Rows, names: impl IntoIterator<Item = &'n str>) -> Rows {
        let names: Vec<&str> = names.into_iter().collect();
        if rows.open.is_empty() || names.is_empty() {
            rows.fields.iter_mut().zip(names).for_each(|(field, name)| field.name = Some(name.to_owned()));
            return rows;
        }
        let whole = Value::over(self.whole(&rows).from);
        let mut any = Rows::over(whole.from.clone());
        any.fields.extend(names.into_iter().map(|name| Field::new(name, whole.clone())));
        any
    }

    /// Whether a name that no column has for certain may be one's all the same.
    pub fn has_nameless(&self) -> bool {
        self.scopes.iter().any(|level| level.star.has_nameless())
    }

    /// The column `name` of some rows. `None` where there is none; the flag says that it is certain.
    pub fn named(&mut self, rows: &Rows, name: &str) -> Option<(Value, bool)> {
        self.spend(rows.fields.len() + 1);
        let mut found: Option<Value> = None;
        for field in rows.fields.iter().filter(|field| field.name.as_deref() == Some(name)) {
            match &mut found {
                None => found = Some(field.value.clone()),
                // PostgreSQL calls it ambiguous, or they are the two sides of a join.
                Some(value) => value.add(&field.value),
            }
        }
        if let Some(value) = found {
            return Some((value, true));
        }
        let (nameless, open): (Vec<_>, _) = (rows.fields.iter().filter(|f| f.name.is_none()).collect(), &rows.open);
        if nameless.is_empty() && open.is_empty() {
            return None;
        }
        let mut value = Value::default();
        for field in nameless {
            value.add(&field.value);
        }
        for open in open {
            value.from.extend(self.open(open, name));
        }
        Some((value, false))
    }

    /// `name`, `relation.name` or `schema.relation.name`, without a star.
    pub fn column(&mut self, fields: &[Node]) -> Value {
        match strings(fields).as_slice() {
            [name] => self.unqualified(name),
            [relation, name] => self.qualified("", relation, name),
            [.., schema, relation, name] => self.qualified(schema, relation, name),
            [] => self.lost("a column without a name"),
        }
    }

    fn unqualified(&mut self, name: &str) -> Value {
        let (mut value, mut unsure) = (Value::default(), false);
        for at in (0..self.scopes.len()).rev() {
            let star = std::mem::take(&mut self.scopes[at].star);
            let found = self.named(&star, name);
            self.scopes[at].star = star;
            match found {
                Some((found, true)) if unsure => {
                    value.add(&found);
                    return value;
                }
                Some((found, true)) => return found,
                Some((found, false)) => {
                    value.add(&found);
                    unsure = true;
                }
                None => {}
            }
        }
        // A relation's name stands for its whole rows.
        if let Some(item) = self.item("", name) {
            let whole = self.whole(&item.rows);
            value.add(&whole);
            return value;
        }
        if unsure || is_system_column(name) {
            return value;
        }
        self.lost(&format!("which column {name} is"))
    }

    /// What may be a column of this name, and may be none.
    pub fn perhaps(&mut self, name: &str) -> Value {
        let mut value = Value::default();
        for at in (0..self.scopes.len()).rev() {
            let star = std::mem::take(&mut self.scopes[at].star);
            let found = self.named(&star, name);
            self.scopes[at].star = star;
            if let Some((found, _)) = found {
                value.add(&found);
            }
        }
        if let Some(item) = self.item("", name) {
            let whole = self.whole(&item.rows);
            value.add(&whole);
        }
        value
    }

    fn qualified(&mut self, schema: &str, relation: &str, name: &str) -> Value {
        let Some(item) = self.item(schema, relation) else {
            return self.lost(&format!("what {relation} in {relation}.{name} is"));
        };
        match self.named(&item.rows, name) {
            Some((value, true)) => value,
            // The server's own relations, whose columns the catalog that was read does not have.
            Some((value, false)) if item.rows.is_of_the_server() && !self.is_called(name) => value,
            None if is_system_column(name) => Value::default(),
            _ => {
                // A function of that name, called on the row; also where a column may have it, or not.
                let whole = Value::over(self.whole(&item.rows).from);
                self.tells_of_what_it_is_given(name, &whole);
                self.call("", name, 1, &whole);
                whole
            }
        }
    }

    /// Whether there is a function of that name.
    fn is_called(&self, name: &str) -> bool {
        !is_system_column(name) && (!self.snapshot.functions(name).is_empty() || self.snapshot.has_builtin(name))
    }

    /// What stands before the dot: the innermost of that name.
    pub fn item(&mut self, schema: &str, name: &str) -> Option<Item> {
        let fits = |item: &&Item| item.name == name && (schema.is_empty() || item.schema == schema);
        let found = self.scopes.iter().rev().find_map(|level| level.items.iter().find(fits)).cloned();
        self.spend(found.as_ref().map_or(1, |item| item.rows.fields.len()));
        found
    }

    /// What can't be resolved is everything that it could be.
    pub fn lost(&mut self, what: &str) -> Value {
        if self.muted == 0 {
            self.doubt(format!("it is not known {what}"));
        }
        let mut value = Value::default();
        for at in 0..self.scopes.len() {
            let level = self.scopes[at].clone();
            value.add(&self.whole(&level.star));
            for item in &level.items {
                value.add(&self.whole(&item.rows));
            }
        }
        for role in Use::ALL {
            self.record(&value, role);
        }
        value
    }

    /// All that was found, for the tables and those that inherit from them or are their partitions.
    pub fn finish(mut self, outputs: Option<Rows>) -> Columns {
        let told = |rows: Rows| -> Option<Vec<Output>> {
            let told = |number: &u32| self.columns[*number as usize].clone();
            let output = |field: &super::scope::Field| Output {
                name: field.name.clone(),
                from: field.value.from.iter().map(told).collect(),
                bare: field.value.bare && field.value.from.len() == 1,
            };
            rows.open.is_empty().then(|| rows.fields.iter().map(output).collect())
        };
        let (outputs, fetched) = (outputs.and_then(told), self.fetched.take().and_then(told));
        let doubts = std::mem::take(&mut self.doubts);
        let triggers = std::mem::take(&mut self.triggers);
        let mut columns = Columns { outputs, fetched, doubts, triggers, ..Columns::default() };
        let mut family: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
        let mut all = |number: u32| {
            let column = self.columns[number as usize].clone();
            let below = family.entry(column.table()).or_insert_with(|| heirs(self.snapshot, column.table()));
            let heirs = below.iter().map(|(schema, table)| Column {
                schema: schema.clone(),
                table: table.clone(),
                ..column.clone()
            });
            let mut all: Vec<Column> = heirs.collect();
            all.push(column);
            all
        };
        for (number, role) in &self.used {
            for column in all(*number) {
                columns.used.entry(column).or_default().insert(*role);
            }
        }
        if self.is_shown {
            self.own.extend(self.conditions.iter().map(|number| (*number, Use::Predicate)));
        }
        if self.reads_within {
            self.own.extend(self.within.iter().map(|number| (*number, Use::Predicate)));
        }
        if self.locks_within || self.draws {
            self.own.extend(self.conditions.iter().map(|number| (*number, Use::Source)));
        }
        for (number, role) in &self.own {
            for column in all(*number) {
                columns.own.entry(column).or_default().insert(*role);
            }
        }
        for (number, with) in &self.joins {
            for column in all(*number) {
                columns.joined.entry(column).or_default().insert(self.columns[*with as usize].clone());
            }
        }
        for number in &self.written {
            columns.written.extend(all(*number));
        }
        columns
    }
}

/// All tables that inherit from one, or are its partitions, and on.
fn heirs(snapshot: &Snapshot, of: Key) -> Vec<Key> {
    let (mut heirs, mut rest) = (Vec::new(), vec![of]);
    while let Some((schema, name)) = rest.pop() {
        let Some(relation) = snapshot.relation(&schema, &name) else { continue };
        for child in &relation.children {
            if !heirs.contains(child) && !snapshot.relation(&child.0, &child.1).is_some_and(|c| c.columns.is_empty()) {
                heirs.push(child.clone());
                rest.push(child.clone());
            }
        }
    }
    heirs
}
