//! What is said of statements, held against what a real server does with them.

mod columns;
mod psql;
mod regression;
