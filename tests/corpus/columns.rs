//! What is said of a query's columns, held against how the server describes its rows.

use countersign_gateway::statement::classify::columns::{Column, Columns, Use};
use tokio_postgres::{Client, Statement};

/// How many queries' columns were compared, and of how many no list was known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Compared {
    pub queries: usize,
    pub without_list: usize,
    pub in_doubt: usize,
}

/// The table's column that the server says an output is, where it is one of a table that is not temporary.
async fn described(client: &Client, statement: &Statement) -> Result<Vec<(String, Option<Column>)>, String> {
    let mut columns = Vec::new();
    for column in statement.columns() {
        let mut of = None;
        if let (Some(table), Some(number)) = (column.table_oid(), column.column_id()) {
            let sql = format!(
                "SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.attrelid
                 JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
                 WHERE a.attrelid OPERATOR(pg_catalog.=) {table} AND a.attnum OPERATOR(pg_catalog.=) {number} AND a.attnum OPERATOR(pg_catalog.>) 0
                 AND c.relkind::text OPERATOR(pg_catalog.<>) 'v' AND c.oid OPERATOR(pg_catalog.>=) 16384 AND c.relpersistence::text OPERATOR(pg_catalog.<>) 't'"
            );
            let row = super::regression::rows(client, &sql).await?.pop().unwrap_or_default();
            if let [Some(schema), Some(table), Some(name)] = row.as_slice() {
                of = Some(Column { schema: schema.clone(), table: table.clone(), name: name.clone() });
            }
        }
        columns.push((column.name().to_owned(), of));
    }
    Ok(columns)
}

/// What was said wrong of the columns of a query that has run.
pub async fn wrong(client: &Client, sql: &str, said: &Columns, compared: &mut Compared) -> Option<String> {
    let statement = client.prepare(sql).await.ok()?;
    let described = described(client, &statement).await.ok()?;
    compared.queries += 1;
    compared.without_list += usize::from(said.outputs.is_none());
    compared.in_doubt += usize::from(!said.doubts.is_empty());
    if !said.doubts.is_empty() {
        return None;
    }
    let leaves = |column: &Column| said.used.get(column).is_some_and(|roles| roles.contains(&Use::Output));
    let all = |column: &Column| leaves(&Column { name: "*".to_owned(), ..column.clone() });
    for (_, column) in &described {
        if let Some(column) = column.as_ref().filter(|column| !leaves(column) && !all(column)) {
            return Some(format!("{column:?} leaves, but is not said to"));
        }
    }
    let outputs = said.outputs.as_ref()?;
    if outputs.len() != described.len() {
        return Some(format!("{} columns, said to be {}", described.len(), outputs.len()));
    }
    for (output, (name, column)) in outputs.iter().zip(&described) {
        if output.name.as_ref().is_some_and(|said| said != name) {
            return Some(format!("a column is {name}, said to be {output:?}"));
        }
        match column {
            Some(column) if !output.from.contains(column) => {
                return Some(format!("{column:?} is said to be {output:?}"));
            }
            _ => {}
        }
    }
    None
}
