//! The transaction that waits along with a held statement: since when it is open, and what it keeps locked.

use std::time::Duration;

use crate::{
    config::Upstream,
    connection::upstream::{self, UpstreamError},
};

/// The card waits for it.
const WITHIN: Duration = Duration::from_millis(300);
/// So many locks are told of.
const MOST: usize = 8;

/// A sentence for the card about the transaction of the server's process `pid`; nothing where it holds no
/// lock that matters, or the server does not say in time.
pub async fn of(to: &Upstream, pid: i32) -> Option<String> {
    let asked = tokio::time::timeout(WITHIN, ask(to, pid)).await;
    match asked {
        Ok(Ok(rows)) => said(&rows),
        Ok(Err(error)) => {
            tracing::debug!(%error, "what an open transaction has locked could not be asked");
            None
        }
        Err(_) => None,
    }
}

async fn ask(to: &Upstream, pid: i32) -> Result<Vec<Vec<Option<String>>>, UpstreamError> {
    let parameters = [
        ("application_name", "countersign"),
        ("default_transaction_read_only", "on"),
        ("statement_timeout", "250"),
        ("search_path", "pg_catalog"),
    ];
    let parameters: Vec<(String, String)> = parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut end = upstream::open(to, &parameters).await?.end;
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname, l.mode,
                to_char(a.xact_start AT TIME ZONE 'UTC', 'HH24:MI:SS'),
                (extract(epoch FROM clock_timestamp() - a.xact_start))::bigint
           FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
           LEFT JOIN pg_stat_activity a ON a.pid = l.pid
          WHERE l.pid = {pid} AND l.granted AND l.locktype = 'relation' AND c.relkind IN ('r', 'p', 'm', 'v', 'f')
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') AND n.nspname NOT IN ('pg_catalog', 'pg_toast')
          ORDER BY 1, 2"
    );
    upstream::query(&mut end, &sql).await
}

fn said(rows: &[Vec<Option<String>>]) -> Option<String> {
    let locks: Vec<String> = rows
        .iter()
        .filter_map(|row| Some(format!("{} on {}", mode(row.get(1)?.as_deref()?), row.first()?.as_deref()?)))
        .collect();
    let first = rows.first()?;
    let since = match (first.get(2).and_then(Option::as_deref), first.get(3).and_then(Option::as_deref)) {
        (Some(at), Some(seconds)) => format!(" since {at} UTC ({seconds} s)"),
        _ => String::new(),
    };
    let more = locks.len().saturating_sub(MOST);
    let shown = locks.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    Some(format!("Its transaction is open{since} and keeps locked: {shown}{more}."))
}

/// `RowExclusiveLock` as the manual writes it: `ROW EXCLUSIVE`.
fn mode(name: &str) -> String {
    let mut out = String::new();
    for c in name.strip_suffix("Lock").unwrap_or(name).chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push(' ');
        }
        out.push(c.to_ascii_uppercase());
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_locks_are_told_as_the_manual_writes_them() {
        let row = |table: &str, mode: &str| -> Vec<Option<String>> {
            [table, mode, "12:00:05", "61"].map(|text| Some(text.to_owned())).into()
        };
        let rows = [row("public.items", "ShareUpdateExclusiveLock"), row("public.orders", "RowExclusiveLock")];
        let said = super::said(&rows).expect("a sentence");
        let expected = "Its transaction is open since 12:00:05 UTC (61 s) and keeps locked: SHARE UPDATE EXCLUSIVE on \
                        public.items, ROW EXCLUSIVE on public.orders.";
        assert_eq!(said, expected);
        assert_eq!(super::said(&[]), None);
        let many: Vec<_> = (0..10).map(|n| row(&format!("public.t{n}"), "AccessExclusiveLock")).collect();
        assert!(super::said(&many).is_some_and(|said| said.ends_with("public.t7, and 2 more.")));
    }
}
