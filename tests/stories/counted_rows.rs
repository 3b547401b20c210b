//! Policy that lets few rows pass unasked: they are counted before it is asked, and what runs is held to that.

use countersign_shared::request::Choice;

use crate::harness::Story;

/// Up to ten rows need nobody; more need somebody; more than a thousand nobody gets.
const FEW: &str = r#"
permit (principal, action, resource) unless { [Action::"delete", Action::"update", Action::"insert"].contains(action) };
permit (principal, action in [Action::"delete", Action::"update", Action::"insert"], resource)
when { context.sql has rows && context.sql.rows <= 10 };
permit (principal, action in [Action::"delete", Action::"update", Action::"insert"], resource)
when { context.approvals.count >= 1 };
@error("More than a thousand rows at once are the release pipeline's.")
forbid (principal, action in [Action::"delete", Action::"update", Action::"insert"], resource)
when { context.sql has rows && context.sql.rows > 1000 };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn few_rows_pass_more_are_held_and_too_many_refused() {
    let story = Story::under(FEW).await;
    let ana = story.logs_in("ana").await;
    let update = |where_: &str| format!("update products set stock = stock where {where_} returning id");
    assert_eq!(ana.runs(&update("id <= 10")).ends().await.expect("ten pass").rows.len(), 10);
    let bound = "update products set stock = stock where id <= $1";
    assert_eq!(ana.executes(bound, vec![Box::new(9_i64)]).ends().await.expect("nine pass"), 9);
    let held = ana.executes(bound, vec![Box::new(11_i64)]);
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(held.ends().await.expect("approved"), 11);
    let held = ana.runs(&update("random() >= 0 and id = 1"));
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("nobody can count that, so somebody decides");
    held.ends().await.expect("approved");
    let many = "insert into refunds (order_id, amount_cents, reason, created_at) \
                select 1, 1, 'a', now() from generate_series(1, 1001)";
    let refused = ana.runs(many).gets_refused().await;
    assert_eq!((refused.code.as_str(), refused.message.contains("release pipeline")), ("42501", true), "{refused:?}");
    ana.runs("begin").ends().await.expect("begin");
    ana.runs(&update("id = 1")).ends().await.expect("in a transaction, too");
    ana.runs("rollback").ends().await.expect("its end");
    ana.runs("select count(*) from products").ends().await.expect("a read is asked about no rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_for_its_rows_is_held_to_them() {
    let story = Story::under(FEW).await;
    let ana = story.logs_in("ana").await;
    for sql in [
        "create table noted (what text)",
        "create function note() returns trigger language plpgsql as
         $$ begin insert into noted select 'row' from generate_series(1, 100); return null; end $$",
        "create trigger notes after update on products for each row execute function note()",
    ] {
        ana.runs(sql).ends().await.expect(sql);
    }
    let stock = story.number("select sum(stock) from products").await;
    for sql in [
        "update products set stock = stock + 1 where id = 1",
        "update products set stock = stock + 1 where id = 2 returning *",
    ] {
        let refused = ana.runs(sql).gets_refused().await;
        assert_eq!(refused.code, "42501", "{refused:?}");
        assert!(refused.message.contains("more rows than were counted when policy let it pass"), "{refused:?}");
    }
    assert_eq!(story.number("select sum(stock) from products").await, stock, "undone");
    assert_eq!(story.number("select count(*) from noted").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_a_trigger_writes_are_counted_as_one_table() {
    let story = Story::under(FEW).await;
    let ana = story.logs_in("ana").await;
    for sql in [
        "create table parted (id int) partition by range (id)",
        "create table parted_1 partition of parted for values from (0) to (10);
         create table parted_2 partition of parted for values from (10) to (20);
         create table parted_3 partition of parted for values from (20) to (30)",
        "create function clear() returns trigger language plpgsql as
         $$ begin delete from parted; return null; end $$",
        "create trigger clears after update on products for each statement execute function clear()",
    ] {
        ana.runs(sql).ends().await.expect(sql);
    }
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("insert into parted select n from generate_series(0, 29) n").await.expect("rows");
    let refused = ana.runs("update products set stock = stock + 1 where id <= 10").gets_refused().await;
    assert_eq!(refused.code, "42501", "ten of each partition are thirty: {refused:?}");
    assert_eq!(story.number("select count(*) from parted").await, 30);
}

/// Ten rows, with somebody's approval or by breaking the glass; more by nothing.
const AT_MOST: &str = r#"
permit (principal, action, resource) unless { [Action::"delete", Action::"update"].contains(action) };
permit (principal, action == Action::"delete", resource)
when { context.approvals.count >= 1 && context.sql has rows && context.sql.rows <= 10 };
permit (principal, action == Action::"update", resource)
when { context.break_glass && context.sql has rows && context.sql.rows <= 10 };
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_policy_names_has_no_tolerance_approved_or_not() {
    let story = Story::under(AT_MOST).await;
    let ana = story.logs_in("ana").await;
    for sql in [
        "create table few (id int)",
        "create table noted (what text)",
        "create function note() returns trigger language plpgsql as
         $$ begin insert into noted select 'row' from generate_series(1, 100); return null; end $$",
        "create trigger notes after update on products for each row execute function note()",
    ] {
        ana.runs(sql).ends().await.expect(sql);
    }
    let direct = story.world.upstream.connect().await.expect("a way into the database");
    direct.batch_execute("insert into few values (1), (2), (3)").await.expect("three rows");
    let held = ana.runs("delete from few");
    let id = ana.is_held().await;
    assert_eq!(story.request("priya", &id).await.impact[0].limit, Some(3), "what the card says");
    direct.batch_execute("insert into few select n from generate_series(4, 11) n").await.expect("eight more");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(held.gets_refused().await.code, "42501", "eleven are more than ten");
    assert_eq!(story.number("select count(*) from few").await, 11);

    ana.runs("set countersign.break_glass = 'INC-9'").ends().await.expect("it is set");
    let refused = ana.runs("update products set stock = stock + 1 where id = 1").gets_refused().await;
    assert_eq!(refused.code, "42501", "a trigger writes a hundred rows more: {refused:?}");
    assert_eq!(story.number("select count(*) from noted").await, 0);
}
