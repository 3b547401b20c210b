//! The statements of a session that the server has not answered yet, in the order in which they went.

use std::collections::VecDeque;

use crate::statement::record::Open;

/// Runs by number. A later one has a greater number, and mostly the first one ends first.
#[derive(Default)]
pub struct Runs(VecDeque<(u64, Open)>);

impl Runs {
    /// Adds one, with a number greater than any before.
    pub fn insert(&mut self, run: u64, open: Open) {
        self.0.push_back((run, open));
    }

    fn place(&self, run: u64) -> Option<usize> {
        self.0.binary_search_by_key(&run, |(number, _)| *number).ok()
    }

    /// One that is there.
    pub fn get_mut(&mut self, run: u64) -> Option<&mut Open> {
        let at = self.place(run)?;
        self.0.get_mut(at).map(|(_, open)| open)
    }

    /// Takes one out.
    pub fn remove(&mut self, run: u64) -> Option<Open> {
        let at = self.place(run)?;
        self.0.remove(at).map(|(_, open)| open)
    }

    /// The number of the newest.
    pub fn last(&self) -> Option<u64> {
        self.0.back().map(|(number, _)| *number)
    }

    /// The numbers of all.
    pub fn all(&self) -> Vec<u64> {
        self.0.iter().map(|(number, _)| *number).collect()
    }
}
