//! Queries that nobody thought of: a grammar over the planted tables, walked at random from a seed, so that what it finds
//! can be had again.

use std::fmt::Write as _;

/// What an expression is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Int,
    Date,
    Bool,
    Json,
    Texts,
}

use Kind::{Bool, Date, Int, Json, Text, Texts};

/// A column that an expression may name: its text, and what it is.
type Column = (String, Kind);

/// A relation in FROM: its text, the alias, its columns, and whether anything in it is classified.
struct Relation {
    text: String,
    alias: String,
    columns: Vec<Column>,
}

const PEOPLE: [(&str, Kind); 10] = [
    ("id", Int),
    ("name", Text),
    ("country", Text),
    ("email", Text),
    ("ssn", Text),
    ("dob", Date),
    ("salary", Int),
    ("profile", Json),
    ("tags", Texts),
    ("low", Text),
];

/// What has something classified, and what has nothing.
const TABLES: [(&str, &[(&str, Kind)]); 8] = [
    ("people", &PEOPLE),
    ("people_v", &[("id", Int), ("name", Text), ("mail", Text), ("big", Text), ("country", Text)]),
    ("people_vv", &[("mail", Text), ("label", Text)]),
    ("people_m", &[("id", Int), ("email", Text), ("name", Text)]),
    ("people_grouped", &[("country", Text), ("one", Text), ("n", Int)]),
    ("logins", &[("at", Date), ("email", Text)]),
    ("derived", &[("id", Int), ("secret", Text), ("more", Text)]),
    ("contacts", &[("id", Int), ("mail", Text)]),
];
const PLAIN: [(&str, &[(&str, Kind)]); 2] = [
    ("goods", &[("id", Int), ("label", Text), ("made", Date), ("data", Json), ("person_id", Int)]),
    ("(select id, name, country from people)", &[("id", Int), ("name", Text), ("country", Text)]),
];

/// Walks the grammar. `plain`: only what nobody classified.
pub struct Grammar {
    state: u64,
    plain: bool,
    aliases: usize,
}

impl Grammar {
    pub const fn new(seed: u64, plain: bool) -> Self {
        Self { state: seed, plain, aliases: 0 }
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("small")
    }

    fn one<'t, T: ?Sized>(&mut self, of: &[&'t T]) -> &'t T {
        of[self.below(of.len())]
    }

    /// One time in `n`.
    fn rarely(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("t{}", self.aliases)
    }

    /// A whole query.
    pub fn query(&mut self) -> String {
        self.aliases = 0;
        let kinds: Vec<Kind> = (0..=self.below(3)).map(|_| self.kind()).collect();
        let mut with = String::new();
        let mut known = Vec::new();
        for n in 0..self.below(3) {
            let inner: Vec<Kind> = (0..=self.below(2)).map(|_| self.kind()).collect();
            let text = self.select(&inner, 2, &mut Vec::new(), &known);
            let kept = self.one(&["", "", "materialized ", "not materialized "]);
            let columns = inner.iter().enumerate().map(|(at, kind)| (format!("c{at}"), *kind)).collect();
            let join = if n == 0 { "with " } else { ", " };
            write!(with, "{join}w{n} as {kept}({text})").expect("a string");
            known.push((format!("w{n}"), columns));
        }
        let first = self.select(&kinds, 3, &mut Vec::new(), &known);
        let with = if with.is_empty() { with } else { with + " " };
        if self.rarely(5) {
            let second = self.select(&kinds, 2, &mut Vec::new(), &known);
            let (first, second) = (format!("({first})"), format!("({second})"));
            let how = self.one(&["union all", "union all", "union all", "union", "except all", "intersect"]);
            return format!("{with}{first} {how} {second}");
        }
        format!("{with}{first}")
    }

    fn kind(&mut self) -> Kind {
        [Text, Text, Text, Text, Int, Date, Bool, Json, Json, Texts][self.below(10)]
    }

    fn relation(&mut self, depth: usize, outer: &[Column], known: &[(String, Vec<Column>)]) -> Relation {
        let alias = self.alias();
        let named = |columns: &[(&str, Kind)], alias: &str| -> Vec<Column> {
            columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect()
        };
        if !known.is_empty() && self.rarely(3) {
            let (name, columns) = &known[self.below(known.len())];
            let columns = columns.iter().map(|(name, kind)| (format!("{alias}.{name}"), *kind)).collect();
            return Relation { text: format!("{name} {alias}"), alias, columns };
        }
        if depth > 0 && self.rarely(4) {
            let kinds: Vec<Kind> = (0..=self.below(2)).map(|_| self.kind()).collect();
            let lateral = !outer.is_empty() && self.rarely(2);
            let mut seen = if lateral { outer.to_vec() } else { Vec::new() };
            let text = self.select(&kinds, depth - 1, &mut seen, known);
            let lateral = if lateral { "lateral " } else { "" };
            let columns = kinds.iter().enumerate().map(|(at, kind)| (format!("{alias}.c{at}"), *kind)).collect();
            return Relation { text: format!("{lateral}({text}) {alias}"), alias, columns };
        }
        let of = if self.plain || self.rarely(4) { &PLAIN[..] } else { &TABLES[..] };
        let (table, columns) = of[self.below(of.len())];
        if self.rarely(8) {
            // Other names for its columns.
            let names: Vec<String> = (0..columns.len().min(3)).map(|at| format!("a{at}")).collect();
            let list = names.join(", ");
            let columns =
                names.iter().zip(columns).map(|(name, (_, kind))| (format!("{alias}.{name}"), *kind)).collect();
            return Relation { text: format!("{table} as {alias} ({list})"), alias, columns };
        }
        Relation { text: format!("{table} {alias}"), columns: named(columns, &alias), alias }
    }

    /// A SELECT whose columns are `c0`, `c1`, … of these kinds.
    fn select(
        &mut self,
        kinds: &[Kind],
        depth: usize,
        outer: &mut Vec<Column>,
        known: &[(String, Vec<Column>)],
    ) -> String {
        let first = self.relation(depth, outer, known);
        let (mut from, mut columns) = (first.text, first.columns);
        let mut rows = vec![first.alias];
        // Aggregates of joins of aggregates grow without bounds.
        let grouped = self.rarely(6);
        for _ in 0..if grouped { 0 } else { self.below(2) } {
            let mut seen = outer.clone();
            seen.extend(columns.iter().cloned());
            let next = self.relation(depth.saturating_sub(1), &seen, known);
            let how = self.below(4);
            let text = match how {
                0 => format!(" cross join {}", next.text),
                1 => format!(", {}", next.text),
                2 => format!(" left join {} on true", next.text),
                _ => format!(" join {} on {}", next.text, self.constant_condition()),
            };
            from += &text;
            columns.extend(next.columns);
            rows.push(next.alias);
        }
        outer.extend(columns);
        let list: Vec<String> = kinds
            .iter()
            .enumerate()
            .map(|(at, kind)| {
                let text =
                    if grouped { self.aggregate(*kind, outer, &rows) } else { self.expression(*kind, 2, outer, &rows) };
                format!("{text} as c{at}")
            })
            .collect();
        let mut text = format!("select {} from {from}", list.join(", "));
        if self.rarely(3) {
            write!(text, " where {}", self.condition(outer)).expect("a string");
        }
        if grouped && self.rarely(3) {
            text += " having count(*) > 0";
        }
        write!(text, " limit {}", 1 + self.below(4)).expect("a string");
        text
    }

    fn constant_condition(&mut self) -> String {
        self.one(&["true", "1 = 1", "'a' < 'b'", "true and not false"]).to_owned()
    }

    /// Over what nobody classified, as far as it is there: a condition on anything else is refused.
    fn condition(&mut self, columns: &[Column]) -> String {
        let harmless: Vec<&String> = columns
            .iter()
            .map(|(name, _)| name)
            .filter(|name| name.ends_with(".id") || name.ends_with(".label"))
            .collect();
        match harmless.len() {
            0 => self.constant_condition(),
            n => format!("{} is not null", harmless[self.below(n)]),
        }
    }

    fn column(&mut self, kind: Kind, columns: &[Column]) -> Option<String> {
        let fitting: Vec<&String> = columns.iter().filter(|(_, is)| *is == kind).map(|(name, _)| name).collect();
        if fitting.is_empty() { None } else { Some(fitting[self.below(fitting.len())].clone()) }
    }

    /// An expression of this kind.
    fn expression(&mut self, kind: Kind, depth: usize, columns: &[Column], rows: &[String]) -> String {
        if (depth == 0 || self.rarely(3))
            && let Some(column) = self.column(kind, columns)
        {
            return column;
        }
        if depth == 0 {
            return constant(kind).to_owned();
        }
        let depth = depth - 1;
        let row = rows[self.below(rows.len())].clone();
        let mut of = |kind: Kind| self.expression(kind, depth, columns, rows);
        let (a, b) = (of(Text), of(Text));
        let (int, date, json, texts, bool) = (of(Int), of(Date), of(Json), of(Texts), of(Bool));
        let same = match kind {
            Text => b.clone(),
            Int => int.clone(),
            Date => date.clone(),
            Bool => bool.clone(),
            Json => json.clone(),
            Texts => texts.clone(),
        };
        let forms: Vec<String> = match kind {
            Text => vec![
                format!("upper({a})"),
                format!("{a} || {b}"),
                format!("concat({a}, '-', {b})"),
                format!("substr({a}, 2, 6)"),
                format!("coalesce({a}, {b}, 'none')"),
                format!("case when {bool} then {a} else {b} end"),
                format!("format('%s/%s', {a}, {int})"),
                format!("reverse({a})"),
                format!("({json})::text"),
                format!("{json} ->> 'k'"),
                format!("array_to_string({texts}, ',')"),
                format!("({texts})[1]"),
                format!("({date})::text"),
                format!("to_char({date}, 'DD.MM.YYYY')"),
                format!("({int})::text"),
                format!("{row}::text"),
                format!("encode(convert_to({a}, 'UTF8'), 'hex')"),
                format!("regexp_replace({a}, 'a', 'x')"),
                format!("greatest({a}, {b})"),
                format!("split_part({a}, '@', 1)"),
                format!("first_value({a}) over ()"),
                format!("lag({a}) over ()"),
                format!("(select {a})"),
                format!("(select x from (values ({a})) v (x))"),
                format!("(select string_agg(u, '') from unnest({texts}) u)"),
                format!("translate({a}, 'e', 'x')"),
                format!("cast({a} as varchar(12))"),
                format!("{a} collate \"C\""),
                format!("(row({a}, {b})).f1"),
            ],
            Int => vec![
                format!("length({a})"),
                format!("ascii({a})"),
                format!("coalesce({int}, 0)"),
                format!("{int} + 0"),
                format!("extract(year from {date})::int"),
                format!("cardinality({texts})"),
                format!("case when {bool} then {int} else 1 end"),
                format!("count(*) over ()::int"),
                format!("hashtext({a})"),
            ],
            Date => vec![
                format!("{date} + 0"),
                format!("coalesce({date}, date '2000-01-01')"),
                format!("date_trunc('day', {date})::date"),
                format!("greatest({date}, date '1900-01-01')"),
            ],
            Bool => vec![
                format!("{a} is null"),
                format!("{a} like 'z%'"),
                format!("{int} > 0"),
                format!("{date} is not null"),
                "true".into(),
                format!("exists (select {a})"),
            ],
            Json => vec![
                format!("to_jsonb({a})"),
                format!("to_jsonb({row})"),
                format!("jsonb_build_object('k', {a}, 'd', {date})"),
                format!("jsonb_build_array({a}, {int})"),
                format!("{json} || {json}"),
                format!("jsonb_set({json}, '{{k}}', to_jsonb({a}))"),
                format!("row_to_json({row})::jsonb"),
                format!("(select jsonb_agg(u) from unnest({texts}) u)"),
                format!("coalesce({json}, '{{}}')"),
            ],
            Texts => vec![
                format!("array[{a}, {b}]"),
                format!("{texts} || {a}"),
                format!("string_to_array({a}, '@')"),
                format!("array_append({texts}, {b})"),
                format!("array_remove({texts}, 'nothing')"),
                format!("array(select {a})"),
                format!("regexp_split_to_array({a}, 'c')"),
            ],
        };
        let form = forms[self.below(forms.len())].clone();
        if self.rarely(9) { format!("coalesce({form}, {same})") } else { form }
    }

    /// One over all rows.
    fn aggregate(&mut self, kind: Kind, columns: &[Column], rows: &[String]) -> String {
        let row = rows[self.below(rows.len())].clone();
        // What goes over rows itself may not stand in an aggregate.
        let mut of = |kind: Kind| loop {
            let text = self.expression(kind, 1, columns, rows);
            if !text.contains(" over ") {
                break text;
            }
        };
        let (a, int, date, json) = (of(Text), of(Int), of(Date), of(Json));
        let forms: Vec<String> = match kind {
            Text => vec![
                format!("max({a})"),
                format!("string_agg({a}, ',')"),
                format!("min({a}) filter (where true)"),
                format!("array_to_string(array_agg({a}), '|')"),
                format!("json_agg({row})::text"),
                format!("xmlagg(xmlelement(name x, {a}))::text"),
            ],
            Int => vec![format!("max({int})"), format!("sum({int})::int"), "count(*)::int".into()],
            Date => vec![format!("min({date})"), format!("max({date})")],
            Bool => vec![format!("bool_or({a} is null)"), "count(*) > 1".into()],
            Json => vec![
                format!("jsonb_agg({a})"),
                format!("jsonb_agg({row})"),
                format!("jsonb_object_agg(coalesce({a}, ''), {json})"),
            ],
            Texts => vec![format!("array_agg({a})"), format!("array_agg(distinct {a})")],
        };
        forms[self.below(forms.len())].clone()
    }
}

const fn constant(kind: Kind) -> &'static str {
    match kind {
        Text => "'plain'::text",
        Int => "7",
        Date => "date '2024-05-06'",
        Bool => "true",
        Json => "'{\"a\": 1}'::jsonb",
        Texts => "array['x']",
    }
}
