//! What approvers are told of rows before anybody decides. The database is the judge of the numbers.

use countersign_shared::api::Impact;
use tokio_postgres::types::ToSql;

use crate::harness::{Story, client::Client};

/// Everything is read and written freely, but deletes and updates are held.
const HELD: &str = r#"
permit (principal, action, resource) unless { [Action::"delete", Action::"update", Action::"merge"].contains(action) };
permit (principal, action in [Action::"delete", Action::"update", Action::"merge"], resource)
when { context.approvals.count >= 1 };
"#;
/// Nobody reads anything, but an approved delete runs.
const BLIND: &str = r#"
permit (principal, action in [Action::"connect", Action::"set", Action::"transaction"], resource);
permit (principal, action == Action::"approve", resource);
permit (principal, action in [Action::"select", Action::"delete"], resource) when { context.approvals.count >= 1 };
"#;

impl Story {
    /// Sends a statement that is held, looks at what its request says of rows, and withdraws it.
    async fn impact_of(&self, ana: &Client, sql: &str, values: Vec<Box<dyn ToSql + Sync + Send>>) -> Vec<Impact> {
        let (simple, extended) =
            if values.is_empty() { (Some(ana.runs(sql)), None) } else { (None, Some(ana.executes(sql, values))) };
        let id = ana.is_held().await;
        let impact = self.request("priya", &id).await.impact;
        ana.presses_ctrl_c().await;
        match (simple, extended) {
            (Some(running), _) => assert_eq!(running.gets_refused().await.code, "57014", "{sql}"),
            (_, Some(running)) => assert_eq!(running.gets_refused().await.code, "57014", "{sql}"),
            _ => unreachable!("one of them runs"),
        }
        impact
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rows_of_a_write_are_counted_as_the_database_would_count_them() {
    let story = Story::under(HELD).await;
    let ana = story.logs_in("ana").await;
    let all = story.number("select count(*) from orders").await;
    // A write, and the rows that it would touch.
    let table = [
        ("delete from orders where status = 'cancelled'", "select count(*) from orders where status = 'cancelled'"),
        ("delete from orders", "select count(*) from orders"),
        ("delete from public.orders o where o.id < 0", "select 0::bigint"),
        ("update orders set note = 'x' where id <= 7 returning id", "select count(*) from orders where id <= 7"),
        (
            "delete from orders using order_items i where i.order_id = orders.id and i.quantity > 1",
            "select count(distinct order_id) from order_items where quantity > 1",
        ),
        (
            "with few as (select id from orders order by id limit 3) delete from orders where id in (select id from few)",
            "select 3::bigint",
        ),
    ];
    for (write, truth) in table {
        let rows = story.number(truth).await;
        let impact = story.impact_of(&ana, write, vec![]).await;
        let (one, carried) = impact.split_first().expect("it is measured");
        for table in carried {
            assert_eq!(table.cascade_of.as_deref(), Some("public.orders"), "{write}: {table:?}");
        }
        assert_eq!((one.rows, one.counted), (u64::try_from(rows).ok(), true), "{write}: {one:?}");
        assert_eq!((one.table.as_str(), one.of), ("public.orders", u64::try_from(all).ok()), "{write}");
        assert_eq!(one.unknown, None, "{write}");
    }
    assert_eq!(story.number("select count(*) from orders").await, all, "nothing of it ran");
    for text in ["delete from", "update orders"] {
        assert!(!story.database_ran(text), "nothing of a held statement goes to the database");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bound_values_count_as_they_are_bound() {
    let story = Story::under(HELD).await;
    let ana = story.logs_in("ana").await;
    // The first parameter is of no use to whoever counts.
    let update = "update orders set note = $1 where id <= $2 and status <> $3";
    let truth = story.number("select count(*) from orders where id <= 20 and status <> 'paid'").await;
    let impact = story.impact_of(&ana, update, vec![Box::new("x"), Box::new(20_i64), Box::new("paid")]).await;
    assert_eq!((impact[0].rows, impact[0].counted), (u64::try_from(truth).ok(), true), "{impact:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_says_what_is_locked_and_what_waits_along() {
    let story = Story::under(
        r#"permit (principal, action, resource) unless { [Action::"alter", Action::"delete"].contains(action) };
           permit (principal, action in [Action::"alter", Action::"delete"], resource)
           when { context.approvals.count >= 1 };"#,
    )
    .await;
    let ana = story.logs_in("ana").await;
    ana.runs("begin").ends().await.expect("begin");
    ana.runs("update products set stock = 1 where id = 1").ends().await.expect("an update passes");
    let alter = ana.runs("alter table orders add column seen timestamptz default clock_timestamp()");
    let id = ana.is_held().await;
    let notes = story.request("priya", &id).await.notes.join("\n");
    let locks =
        "orders: ACCESS EXCLUSIVE lock, so everything else on it waits, reads too. All of it may be written anew.";
    assert!(notes.contains(locks), "{notes}");
    assert!(notes.contains("and keeps locked: ROW EXCLUSIVE on public.products."), "{notes}");
    ana.presses_ctrl_c().await;
    alter.gets_refused().await;
    ana.runs("rollback").ends().await.expect("an end");
    let delete = ana.runs("delete from refunds where id = 1");
    let id = ana.is_held().await;
    let notes = story.request("priya", &id).await.notes;
    assert!(notes.is_empty(), "nothing waits along, and no lock keeps readers waiting: {notes:?}");
    ana.presses_ctrl_c().await;
    delete.gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_of_a_text_is_measured() {
    let story = Story::under(HELD).await;
    let ana = story.logs_in("ana").await;
    let text = "select 1; delete from refunds where id < 0; delete from orders;
                insert into refunds (order_id, amount_cents, reason, created_at) values (1, 1, 'a', '2030-01-01')";
    let impact = story.impact_of(&ana, text, vec![]).await;
    let own = impact.iter().filter(|one| one.cascade_of.is_none());
    let told: Vec<_> = own.map(|one| (one.action.as_str(), one.rows, one.counted)).collect();
    assert_eq!(told, [("delete", Some(0), true), ("delete", None, false), ("insert", Some(1), true)]);
    let why = "statements before it in the text may change that";
    assert_eq!(impact[1].unknown.as_deref(), Some(why), "what the first leaves is not what is there now");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_list_of_values_may_be_many_rows() {
    let held = HELD.replace(r#"Action::"delete", "#, r#"Action::"delete", Action::"insert", "#);
    let story = Story::under(&held).await;
    let ana = story.logs_in("ana").await;
    let row = |id: &str| {
        format!("insert into refunds (order_id, amount_cents, reason, created_at) values ({id}, 1, 'a', now())")
    };
    for (sql, rows) in
        [(row("1"), 1), (row("generate_series(1, 5)"), 5), (format!("{}, (2, 2, 'b', now())", row("1")), 2)]
    {
        let impact = story.impact_of(&ana, &sql, vec![]).await;
        assert_eq!((impact[0].rows, impact[0].counted), (Some(rows), true), "{sql}: {impact:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_counted_is_said_to_be_an_estimate_or_unknown() {
    let story = Story::under(HELD).await;
    let ana = story.logs_in("ana").await;
    let table = [
        ("delete from orders where random() < 0.5", Some("random() says something else to every session")),
        (
            "with new as (insert into refunds (order_id, amount_cents, reason, created_at) \
             select id, 1, 'a', now() from orders returning order_id) \
             delete from orders where id in (select order_id from new)",
            Some("delete of this form can't be counted without running it"),
        ),
    ];
    for (sql, why) in table {
        let impact = story.impact_of(&ana, sql, vec![]).await;
        let one = impact.iter().rfind(|one| one.cascade_of.is_none()).expect("it is measured");
        let guessed = !sql.starts_with("with");
        assert!(!one.counted && one.rows.is_some() == guessed && one.unknown.as_deref() == why, "{sql}: {one:?}");
    }
    ana.runs("begin").ends().await.expect("begin");
    let insert = "insert into refunds (order_id, amount_cents, reason, created_at) values (1, 1, 'a', now())";
    ana.runs(insert).ends().await.expect("an insert passes");
    let impact = story.impact_of(&ana, "delete from refunds", vec![]).await;
    let why = "the transaction has changes of its own, which nobody else can see or count";
    assert_eq!((impact[0].rows, impact[0].unknown.as_deref()), (None, Some(why)), "{impact:?}");
    ana.runs("rollback").ends().await.expect("an end");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_row_policy_may_hide_are_not_said_to_be_counted() {
    let story = Story::under(HELD).await;
    let ana = story.logs_in("ana").await;
    for sql in ["create policy own on refunds using (true)", "alter table refunds enable row level security"] {
        ana.runs(sql).ends().await.expect(sql);
    }
    let impact = story.impact_of(&ana, "delete from refunds where id > 0", vec![]).await;
    let why = "row policies may show other rows to every session";
    assert_eq!((impact[0].counted, impact[0].unknown.as_deref()), (false, Some(why)), "{impact:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_tells_nobody_what_they_may_not_read() {
    let story = Story::under(BLIND).await;
    let ana = story.logs_in("ana").await;
    let impact = story.impact_of(&ana, "delete from customers where ssn like '1%'", vec![]).await;
    let why = "policy does not let the requester read what it is about";
    assert_eq!((impact[0].rows, impact[0].unknown.as_deref()), (None, Some(why)), "{impact:?}");
    assert!(!story.database_ran("ssn like"), "not even asked for a plan");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_says_the_number_first_and_its_button_repeats_it() {
    let story = Story::begin().await;
    let (ana, priya) = (story.logs_in("ana").await, story.linked("priya").await);
    let rows = story.number("select count(*) from orders where status = 'cancelled'").await;
    let delete = ana.runs("delete from orders where status = 'cancelled'");
    let id = ana.is_held().await;
    let card = story.card_says(&id, &format!("delete {rows} rows of public.orders, counted")).await;
    assert!(card.shown().contains(&format!("Approve {rows} rows")), "{}", card.shown());
    priya.presses("approve", &id).await;
    assert_eq!(delete.ends().await.expect("it runs").affected, [u64::try_from(rows).expect("a count")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_means_what_the_session_means_and_can_do_nothing() {
    let story = Story::under(HELD).await;
    let ana = story.logs_in("ana").await;
    for sql in [
        // What would run, were an unqualified name of the gateway's looked up on the session's path.
        "create schema evil",
        "create function evil.wrong(oid, int4) returns boolean language plpgsql as
         $$ begin perform set_config('default_transaction_read_only', 'off', false); return true; end $$",
        "create operator evil.= (leftarg = oid, rightarg = int4, function = evil.wrong)",
        "create function public.lower(varchar) returns text language sql as $$ select 'x' $$",
        "create table days (day date, name varchar)",
        "insert into days values ('2030-01-12', 'x')",
    ] {
        ana.runs(sql).ends().await.expect(sql);
    }
    let delete = "delete from public.days where day = '12/01/2030'";
    for (setting, rows) in [
        ("set datestyle = 'iso, dmy'", Some(1)),
        ("set datestyle = 'iso, mdy'", Some(0)),
        ("set search_path = evil, pg_catalog", Some(0)),
    ] {
        ana.runs(setting).ends().await.expect(setting);
        let impact = story.impact_of(&ana, delete, vec![]).await;
        let counted = impact[0].rows.filter(|_| impact[0].counted);
        assert!(counted == rows || setting.contains("evil") && counted.is_none(), "{setting}: {impact:?}");
    }
    ana.runs("select set_config('search_path', '', false)").ends().await.expect("an empty path");
    let impact = story.impact_of(&ana, "delete from public.days where lower(name) = 'x'", vec![]).await;
    assert_eq!((impact[0].rows, impact[0].counted, impact[0].of), (Some(1), true, Some(1)), "{impact:?}");
    // Numbers of parameters that nobody bound.
    let impact = story.impact_of(&ana, "delete from public.days where name = $2147483647", vec![]).await;
    assert_eq!(impact[0].rows, None, "{impact:?}");
    assert_eq!(story.number("select count(*) from days").await, 1);
}
