//! Texts of clients: what a text is found to do must not depend on what was asked before, and never
//! on constants where it is said not to.

use std::sync::LazyLock;

use countersign_gateway::{
    catalog::{Events, Kind, Snapshot, builder::Builder},
    statement::{
        classify::{Analysis, Doubt, Names, classify},
        shape::shape,
        understood::Understood,
    },
};

/// A shop with a little of everything that matters.
fn shop() -> Snapshot {
    let mut shop = Builder::new();
    shop.table("public.orders", &["id", "customer_id", "status", "total"])
        .table("public.customers", &["id", "name", "email"])
        .table("public.order_items", &["order_id", "quantity"])
        .table("public.audited", &["id"])
        .table("archive.orders", &["id"])
        .other("public.orders_id_seq", Kind::Sequence)
        .other("public.daily", Kind::Materialized)
        .view("public.open_orders", "SELECT o.id, o.status FROM public.orders o WHERE (o.status = 'open'::text)")
        .view("public.trap", "SELECT public.wipe(o.id) AS wipe FROM public.orders o")
        .hazard("public.audited", Events::STORE, "trigger audit calls public.log_change()")
        .expression("public.customers", Events::STORE, "the default of id", "public.wipe(1)")
        .foreign_key("public.order_items", "public.orders", 'c', 'a')
        .function("public.wipe", "plpgsql");
    shop.build()
}

static SHOP: LazyLock<Snapshot> = LazyLock::new(shop);

fn names() -> Names {
    Names {
        search_path: vec!["pg_catalog".to_owned(), "public".to_owned()],
        prepared: [("p".to_owned(), "PREPARE p AS DELETE FROM orders".to_owned())].into(),
        login: "app".to_owned(),
        ..Names::default()
    }
}

fn ask(sql: &str) -> Analysis {
    let analysis = classify(sql, &SHOP, &names());
    for statement in &analysis.statements {
        assert!(!statement.effects.is_empty(), "a statement that does nothing: {sql:?}");
        assert!(sql.get(statement.range.clone()).is_some(), "a range within characters: {sql:?}");
    }
    analysis
}

/// A text: the same answer from a catalog that remembers and from a new one, and what follows from it.
pub fn classify_twice(data: &[u8]) {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    let analysis = ask(sql);
    assert_eq!(analysis, classify(sql, &shop(), &names()));
    let statements = analysis.statements.len();
    let understood = Understood::from(analysis);
    assert_eq!(understood.effects.is_empty(), statements == 0);
}

/// The same text over and over: libFuzzer's bound on time is for a text of 64 KiB then.
pub fn classify_long(data: &[u8]) {
    let Ok(sql) = std::str::from_utf8(data) else { return };
    if !sql.is_empty() {
        let _analysis = ask(&sql.repeat((64 << 10) / sql.len()));
    }
}

/// A text, and the values that another text of its shape has in place of its own.
pub fn shape_promise(data: &[u8]) {
    let (sql, values) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &[][..]),
    };
    let Ok(sql) = std::str::from_utf8(sql) else { return };
    let (mut of_one, mut of_other) = (Vec::new(), Vec::new());
    if !shape(sql, &mut of_one) {
        return;
    }
    let Some(other) = with_values(&of_one, values) else { return };
    assert!(shape(&other, &mut of_other), "{other:?} has no shape, {sql:?} has");
    assert_eq!(of_one, of_other, "{sql:?} and {other:?}");
    let one = ask(sql);
    if one.literal_sensitive() {
        return;
    }
    let mut answer = ask(&other);
    if matches!(answer.doubt, Some(Doubt::Syntax { .. } | Doubt::TooLarge { .. })) {
        // The server refuses it too, or it is over a bound: that much may differ.
        return;
    }
    for (statement, known) in answer.statements.iter_mut().zip(&one.statements) {
        statement.range = known.range.clone();
    }
    assert_eq!(one, answer, "{sql:?} and {other:?}");
}

/// A text of that shape, with constants made of `values`.
fn with_values(shape: &[u8], values: &[u8]) -> Option<String> {
    let mut values = values.chunks(3).cycle();
    let mut out = Vec::new();
    for byte in shape {
        match byte {
            1 => {
                let value = values.next().unwrap_or(b"7").iter().fold(0_u32, |n, byte| n << 8 | u32::from(*byte));
                out.extend(value.to_string().bytes());
            }
            2 => {
                let value = String::from_utf8_lossy(values.next().unwrap_or(b"orders")).replace('\'', "''");
                out.extend(format!("'{value}'").bytes());
            }
            byte => out.push(*byte),
        }
    }
    String::from_utf8(out).ok()
}
