//! What a statement's rows leave as, and why it is refused: its exposures, and what policy says of each
//! classified column.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    copied::Form,
    exposure::{Copying, Exposure, Output, Rows},
    rules::{Mask, OnDoubt},
    sensitive::{Class, Sensitive},
    value::Kind,
};
use crate::statement::{
    classify::{
        CursorMove,
        columns::{Column, Use},
    },
    decide::ColumnFacts,
};

/// Whether policy permits to reveal a column for a use.
pub type May<'a> = dyn FnMut(&Column, &Class, Use) -> bool + 'a;

/// What a column of rows leaves as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As it is.
    Clear,
    /// A column itself, under this mask.
    Masked(Mask),
    /// An expression over masked columns: redacted, and whether it is NULL is not told, which may be whatever somebody asks of
    /// them.
    Computed,
}

/// What the rows of one statement leave as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// As they are.
    Clear,
    /// Column by column.
    Columns(Vec<Shown>),
    /// Every column redacted.
    Whole,
}

/// One statement of a text under a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shield {
    /// Its rows.
    pub leaves: Leaves,
    /// Whether its errors and notices may quote what its principal may not see.
    pub reduces: bool,
    /// Whether its RowDescription comes before it runs.
    pub is_query: bool,
    /// The form of its rows, where it is a COPY.
    pub copies: Option<Form>,
    /// What each of its columns holds, where that is known.
    pub kinds: Vec<Kind>,
}

/// A masked column of the rows, for people and records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// The output's name; none where all of the rows are masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The classified columns that it rests on.
    pub columns: Vec<String>,
    /// What they are classified as.
    #[serde(rename = "as")]
    pub label: String,
    /// The mask.
    pub mask: String,
}

/// What a permitted text's rows leave as.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Statement by statement.
    pub shields: Vec<Shield>,
    /// The masked outputs.
    pub told: Vec<Told>,
    /// Columns that may be seen.
    pub permitted: BTreeSet<Column>,
    /// What it does to cursors, in order.
    pub moves: Vec<Move>,
    /// Whether it writes rows of which an error as late as COMMIT may quote what must not be seen.
    pub reduces_to_the_end: bool,
}

/// What a text does to a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// It may be there from now on, with these rows.
    Declares(String, Cursor),
    /// It is gone once the statement of this number has completed; `None` for all.
    Closes(usize, Option<String>),
}

/// A cursor that SQL declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// What FETCH gives of it.
    pub rows: Rows,
    /// Whether it may outlive the transaction.
    pub hold: bool,
}

/// Cursors by name. One that was declared twice may be either.
#[derive(Clone, Debug, Default)]
pub struct Cursors(BTreeMap<String, Vec<Cursor>>);

/// So many declarations of one name are kept apart; beyond them, nothing of it is known.
const MOST: usize = 16;

impl Cursors {
    /// One more that a name may mean.
    pub fn declare(&mut self, name: String, cursor: Cursor) {
        let all = self.0.entry(name).or_default();
        if all.len() < MOST && !all.contains(&cursor) {
            all.push(cursor);
        } else if all.len() == MOST {
            let doubts = vec!["its cursor was declared too often".to_owned()];
            all.push(Cursor { rows: Rows { doubts, ..Rows::default() }, hold: true });
        }
    }

    /// Gone.
    pub fn close(&mut self, name: Option<&str>) {
        match name {
            Some(name) => _ = self.0.remove(name),
            None => self.0.clear(),
        }
    }

    /// The transaction is over.
    pub fn end_transaction(&mut self) {
        for all in self.0.values_mut() {
            all.retain(|cursor| cursor.hold);
        }
        self.0.retain(|_, all| !all.is_empty());
    }

    /// Every one that there may be.
    fn all(&self) -> impl Iterator<Item = &Cursor> {
        self.0.values().flatten()
    }

    fn get(&self, name: &str) -> &[Cursor] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Why a statement is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The first column that must not be used so; none where it is not known which.
    pub column: Option<(Column, String)>,
    /// As what.
    pub used: Use,
    /// Why, beyond policy.
    pub because: Option<String>,
}

/// What a text comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Why it must not run.
    pub hidden: Option<Hidden>,
    /// What its rows leave as.
    pub plan: Plan,
    /// What would have to be revealed for all of it to be in clear.
    pub wanted: Vec<ColumnFacts>,
}

/// All classified columns that whoever gets these rows may have.
fn handed(rows: &Rows) -> impl Iterator<Item = &Column> {
    let near = rows.near.iter().filter(|_| !rows.doubts.is_empty());
    rows.gives.iter().chain(near).chain(rows.outputs.iter().flatten().flat_map(|output| &output.from))
}

/// What [`judge`] asks about in any case: columns with their uses.
#[must_use]
pub fn questions(exposures: &[Exposure], sensitive: &Sensitive, cursors: &Cursors) -> BTreeMap<Column, BTreeSet<Use>> {
    let mut all = BTreeMap::<Column, BTreeSet<Use>>::new();
    let mut add = |column: &Column, used: Use| _ = all.entry(column.clone()).or_default().insert(used);
    for exposure in exposures.iter().filter(|exposure| exposure.touches) {
        if exposure.unseen.is_some() {
            for column in sensitive.all() {
                add(&column, Use::Source);
                add(&column, Use::Output);
            }
        }
        let mut rows: Vec<&Rows> = vec![&exposure.rows];
        rows.extend(&exposure.fetched);
        if let Some(CursorMove::Fetches { name }) = &exposure.cursor {
            rows.extend(cursors.get(name).iter().map(|cursor| &cursor.rows));
        }
        if exposure.fetches_within {
            for rows in cursors.all().map(|cursor| &cursor.rows) {
                handed(rows).for_each(|column| add(column, Use::Source));
            }
        }
        for rows in rows {
            rows.gives.iter().for_each(|column| add(column, Use::Output));
            let outputs = rows.outputs.iter().flatten().flat_map(|output| &output.from);
            outputs.for_each(|column| add(column, Use::Output));
        }
        for (column, uses) in &exposure.uses {
            uses.iter().for_each(|used| add(column, *used));
        }
    }
    all
}

/// Judges a text by its statements' exposures.
pub fn judge(
    exposures: &[Exposure],
    sensitive: &Sensitive,
    cursors: &Cursors,
    on_doubt: OnDoubt,
    may: &mut May<'_>,
) -> Judged {
    let mut judge = Judge {
        sensitive,
        cursors: cursors.clone(),
        on_doubt,
        may,
        asked: BTreeMap::new(),
        judged: Judged::default(),
        wanted: BTreeMap::new(),
    };
    for (at, exposure) in exposures.iter().enumerate() {
        let shield = judge.statement(at, exposure);
        judge.judged.plan.shields.push(shield);
    }
    let permitted = judge.asked.iter().filter(|((_, used), yes)| *used == Use::Output && **yes);
    judge.judged.plan.permitted = permitted.map(|((column, _), _)| column.clone()).collect();
    let label = |column: &Column| sensitive.class(column).map(|class| class.label.clone()).unwrap_or_default();
    let facts = judge.wanted.iter().map(|(column, uses)| ColumnFacts {
        column: column.object(),
        classification: label(column),
        uses: uses.iter().copied().collect(),
    });
    judge.judged.wanted = facts.collect();
    judge.judged
}

struct Judge<'a, 'm> {
    sensitive: &'a Sensitive,
    cursors: Cursors,
    on_doubt: OnDoubt,
    may: &'a mut May<'m>,
    asked: BTreeMap<(Column, Use), bool>,
    judged: Judged,
    wanted: BTreeMap<Column, BTreeSet<Use>>,
}

impl Judge<'_, '_> {
    fn may(&mut self, column: &Column, used: Use) -> bool {
        let Some(class) = self.sensitive.class(column) else { return true };
        let key = (column.clone(), used);
        if let Some(yes) = self.asked.get(&key) {
            return *yes;
        }
        let yes = (self.may)(column, class, used);
        self.asked.insert(key, yes);
        yes
    }

    /// As [`Self::may`]; a no is what somebody could ask to be revealed.
    fn wants(&mut self, column: &Column, used: Use) -> bool {
        let yes = self.may(column, used);
        if !yes {
            self.wanted.entry(column.clone()).or_default().insert(used);
        }
        yes
    }

    fn hide(&mut self, column: Option<&Column>, used: Use, because: Option<String>) {
        if self.judged.hidden.is_none() {
            let label = |column: &Column| self.sensitive.class(column).map(|c| c.label.clone()).unwrap_or_default();
            let column = column.map(|column| (column.clone(), label(column)));
            self.judged.hidden = Some(Hidden { column, used, because });
        }
    }

    fn statement(&mut self, at: usize, exposure: &Exposure) -> Shield {
        let mut shield = Shield {
            leaves: Leaves::Clear,
            reduces: false,
            is_query: exposure.is_query,
            copies: None,
            kinds: Vec::new(),
        };
        if !exposure.touches {
            return shield;
        }
        if let Some(why) = &exposure.unseen {
            if !self.sensitive.known {
                self.hide(None, Use::Source, Some(why.clone()));
            }
            for column in self.sensitive.all().collect::<Vec<_>>() {
                if !self.wants(&column, Use::Source) {
                    self.hide(Some(&column), Use::Source, Some(why.clone()));
                }
                if !self.wants(&column, Use::Output) {
                    shield.reduces = true;
                }
            }
            if self.judged.hidden.is_some() {
                return shield;
            }
        }
        for (column, uses) in &exposure.uses {
            for used in uses {
                if !self.wants(column, *used) {
                    self.hide(Some(column), *used, None);
                }
            }
        }
        if exposure.fetches_within {
            self.fetches_within();
        }
        // Where one is hidden, the others need not be asked about.
        shield.reduces |= exposure.rows.gives.iter().any(|column| !self.may(column, Use::Output))
            || exposure.rows.near.iter().any(|column| !self.may(column, Use::Output));
        self.judged.plan.reduces_to_the_end |= shield.reduces && exposure.writes;
        match &exposure.cursor {
            Some(CursorMove::Declares { name, hold }) => {
                // One that outlives its transaction is run when that ends.
                self.judged.plan.reduces_to_the_end |= shield.reduces;
                let rows = exposure.fetched.clone().unwrap_or_default();
                let cursor = Cursor { rows, hold: *hold };
                self.cursors.declare(name.clone(), cursor.clone());
                self.judged.plan.moves.push(Move::Declares(name.clone(), cursor));
                return shield;
            }
            Some(CursorMove::Fetches { name }) => {
                let found = self.cursors.get(name).to_vec();
                let mut all = found.iter().map(|cursor| self.leaves(&cursor.rows));
                let first = all.next();
                let same = all.all(|leaves| Some(&leaves) == first.as_ref());
                shield.leaves = match first {
                    Some(leaves) if same => leaves,
                    _ => self.doubtful("it is not known which rows its cursor gives"),
                };
                let near: Vec<Column> = found.iter().flat_map(|cursor| cursor.rows.near.clone()).collect();
                shield.reduces = shield.leaves != Leaves::Clear || near.iter().any(|near| !self.may(near, Use::Output));
                return shield;
            }
            Some(CursorMove::Closes { name }) => {
                self.judged.plan.moves.push(Move::Closes(at, name.clone()));
                return shield;
            }
            None => {}
        }
        shield.leaves = self.leaves(&exposure.rows);
        match &exposure.copies {
            _ if shield.leaves == Leaves::Clear => {}
            None => {}
            Some(Copying::Out(form)) => {
                shield.copies = Some(form.clone());
                let kind = |output: &Output| match output.from.iter().next() {
                    Some(column) if output.bare => self.sensitive.kind(column),
                    _ => Kind::Other,
                };
                shield.kinds = exposure.rows.outputs.iter().flatten().map(kind).collect();
            }
            Some(Copying::OutSomehow(what)) => {
                let column = exposure.rows.gives.iter().next().cloned();
                let why = format!("{what} of COPY can't be masked; use plain text, CSV or binary, or SELECT");
                self.hide(column.as_ref(), Use::Output, Some(why));
            }
            Some(Copying::Server) => {
                let column = exposure.rows.gives.iter().next().cloned();
                let why = "it would go to a file or program of the server".to_owned();
                self.hide(column.as_ref(), Use::Output, Some(why));
            }
        }
        shield
    }

    /// Code gets rows of cursors as they are, and may do anything with them.
    fn fetches_within(&mut self) {
        let because = || Some("its code may fetch from a cursor that gives it".to_owned());
        for Cursor { rows, .. } in self.cursors.all().cloned().collect::<Vec<_>>() {
            let mut known = false;
            for column in handed(&rows) {
                known = true;
                if !self.wants(column, Use::Source) {
                    self.hide(Some(column), Use::Source, because());
                }
            }
            if !known && !rows.doubts.is_empty() {
                self.hide(None, Use::Source, because());
            }
        }
    }

    /// What rows leave as, and tells of what is masked.
    fn leaves(&mut self, rows: &Rows) -> Leaves {
        let hidden: Vec<Column> =
            rows.gives.iter().filter(|column| !self.wants(column, Use::Output)).cloned().collect();
        if !rows.doubts.is_empty() {
            // What is met may be given, whatever else is known.
            let near: Vec<Column> = rows.near.iter().filter(|near| !self.wants(near, Use::Output)).cloned().collect();
            let met = !near.is_empty() || !hidden.is_empty();
            return if met { self.doubtful(&rows.doubts[0]) } else { Leaves::Clear };
        }
        if hidden.is_empty() {
            return Leaves::Clear;
        }
        let Some(outputs) = &rows.outputs else {
            return self.doubtful("it is not known which columns its rows have");
        };
        let shown: Vec<Shown> = outputs.iter().map(|output| self.shown(output)).collect();
        if shown.iter().all(|shown| *shown == Shown::Clear) { Leaves::Clear } else { Leaves::Columns(shown) }
    }

    fn doubtful(&mut self, why: &str) -> Leaves {
        match self.on_doubt {
            OnDoubt::Refuse => self.hide(None, Use::Output, Some(why.to_owned())),
            OnDoubt::Mask => {
                let told =
                    Told { output: None, columns: vec![], label: why.to_owned(), mask: Mask::Redact.to_string() };
                self.judged.plan.told.push(told);
            }
        }
        Leaves::Whole
    }

    fn shown(&mut self, output: &Output) -> Shown {
        let hidden: Vec<Column> = output.from.iter().filter(|column| !self.may(column, Use::Output)).cloned().collect();
        let Some(first) = hidden.first() else { return Shown::Clear };
        let class = self.sensitive.class(first);
        let mask = class.filter(|_| output.bare).map(|class| class.mask).unwrap_or_default();
        let told = Told {
            output: Some(output.name.clone().unwrap_or_else(|| "?".to_owned())),
            columns: hidden.iter().map(written).collect(),
            label: class.map(|class| class.label.clone()).unwrap_or_default(),
            mask: mask.to_string(),
        };
        if !self.judged.plan.told.contains(&told) {
            self.judged.plan.told.push(told);
        }
        if output.bare { Shown::Masked(mask) } else { Shown::Computed }
    }
}

/// As people write it.
#[must_use]
pub fn written(column: &Column) -> String {
    let quote = crate::statement::effect::quote_ident;
    format!("{}.{}.{}", quote(&column.schema), quote(&column.table), quote(&column.name))
}

impl Plan {
    /// Whether nothing of it is masked, reduced or remembered.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let idle = |shield: &Shield| shield.leaves == Leaves::Clear && !shield.reduces;
        self.shields.iter().all(idle) && self.moves.is_empty() && !self.reduces_to_the_end
    }

    /// A plan for what was never judged: all of it is masked.
    #[must_use]
    pub fn whole() -> Self {
        let shield = Shield { leaves: Leaves::Whole, reduces: true, is_query: false, copies: None, kinds: Vec::new() };
        Self { shields: vec![shield], reduces_to_the_end: true, ..Self::default() }
    }

    /// The sentence that names the masked outputs; none where nothing is masked.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        if self.told.is_empty() {
            return None;
        }
        let tell = |told: &Told| match &told.output {
            Some(output) => format!("{output} ({}, {}, {})", told.columns.join(", "), told.label, told.mask),
            None => format!("every column, since {}", told.label),
        };
        let all: Vec<String> = self.told.iter().map(tell).collect();
        Some(format!("masked: {}", all.join("; ")))
    }
}
