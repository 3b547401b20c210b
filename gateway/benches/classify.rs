//! How long a text takes that was not seen before. `cargo bench -p countersign-gateway --bench classify`

use std::{hint::black_box, sync::Arc};

use countersign_gateway::{
    catalog::{Snapshot, builder::Builder},
    connection::memory::{Circumstances, Memory},
    statement::classify::{Names, classify, columns::columns_of},
};
use countersign_shared::digest::Fields;
use criterion::{Criterion, criterion_group};

const POINT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 4711";

const ANALYTICAL: &str = "WITH recent AS (
    SELECT o.id, o.customer_id, o.total, o.placed_at
    FROM orders o
    WHERE o.placed_at >= now() - interval '90 days'
      AND o.status IN ('paid', 'shipped', 'delivered')
), per_customer AS (
    SELECT r.customer_id,
           count(*) AS orders,
           sum(r.total) AS spent,
           max(r.placed_at) AS last_order,
           avg(r.total) FILTER (WHERE r.total > 100) AS large_average
    FROM recent r
    GROUP BY r.customer_id
    HAVING sum(r.total) > 250
)
SELECT c.id, c.name, c.country,
       p.orders, p.spent, p.last_order,
       rank() OVER (PARTITION BY c.country ORDER BY p.spent DESC) AS place,
       CASE WHEN p.spent > 1000 THEN 'gold'
            WHEN p.spent > 500 THEN 'silver'
            ELSE 'bronze' END AS tier,
       coalesce(p.large_average, 0)::numeric(10, 2) AS large_average,
       (SELECT count(*) FROM order_items i
         JOIN recent r ON r.id = i.order_id
        WHERE r.customer_id = c.id AND i.quantity > 1) AS repeated
FROM customers c
JOIN per_customer p ON p.customer_id = c.id
LEFT JOIN products f ON f.id = c.favourite_id
WHERE c.country <> 'XX' AND c.name NOT LIKE 'test%'
ORDER BY c.country, place
LIMIT 100";

fn shop() -> (Snapshot, Names) {
    let mut builder = Builder::new();
    builder
        .table("public.pgbench_accounts", &["aid", "bid", "abalance", "filler"])
        .table("public.orders", &["id", "customer_id", "status", "total", "placed_at"])
        .table("public.order_items", &["order_id", "product_id", "quantity"])
        .table("public.customers", &["id", "name", "country", "favourite_id"])
        .table("public.products", &["id", "name", "price"]);
    let search_path = vec!["pg_catalog".to_owned(), "public".to_owned()];
    (builder.build(), Names { search_path, ..Names::default() })
}

fn texts(criterion: &mut Criterion) {
    let (snapshot, names) = shop();
    for (name, sql) in [("pgbench select", POINT), ("30 lines", ANALYTICAL)] {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| classify(black_box(sql), &snapshot, &names));
        });
        let analysis = classify(sql, &snapshot, &names);
        criterion.bench_function(&format!("columns of {name}"), |bencher| {
            bencher.iter(|| columns_of(black_box(sql), &analysis, &snapshot, &names));
        });
    }
}

/// A text of a shape that is known, and policy's answer to it.
fn known(criterion: &mut Criterion) {
    let (snapshot, names) = shop();
    let snapshot = Arc::new(snapshot);
    let policies = Fields::of("bench").finish();
    let now = Circumstances { in_transaction: false, reason: None, policies, standing: 0 };
    let mut memory = Memory::default();
    memory.remember(POINT, &snapshot, classify(POINT, &snapshot, &names).into()).allow(now, vec![0]);
    let other = POINT.replace("4711", "17");
    criterion.bench_function("known shape", |bencher| {
        bencher.iter(|| memory.known(black_box(&other), &snapshot).expect("it is of a known shape"));
    });
    let known = memory.known(&other, &snapshot).expect("it is of a known shape");
    criterion.bench_function("known question", |bencher| {
        bencher.iter(|| assert!(known.was_allowed(black_box(&now), |by| _ = black_box(by))));
    });
}

/// Texts of almost a megabyte.
fn large(criterion: &mut Criterion) {
    let (snapshot, names) = shop();
    let size = (1 << 20) - 200;
    let mut group = criterion.benchmark_group("1 MB");
    group.sample_size(10);
    let list = format!("SELECT aid FROM pgbench_accounts WHERE aid IN ({}1)", "1234567,".repeat(size / 8));
    let statements = format!("{POINT};").repeat(size / (POINT.len() + 1));
    let rows = format!("INSERT INTO products VALUES {}(1, 'a', 2)", "(1, 'abcdef', 2.5),".repeat(size / 20));
    for (name, sql) in [("IN list", list), ("statements", statements), ("rows of an INSERT", rows)] {
        group.bench_function(name, |bencher| bencher.iter(|| classify(black_box(&sql), &snapshot, &names)));
    }
    group.finish();
}

criterion_group!(benches, texts, known, large);

/// On a stack as a session has it, so that a text of some length is read where it is.
fn main() {
    let all = || {
        benches();
        Criterion::default().configure_from_args().final_summary();
    };
    let thread = std::thread::Builder::new().stack_size(16 << 20).spawn(all);
    thread.expect("a thread").join().expect("the benches");
}
