//! Several statements, one question: a text as a whole, and a transaction at its COMMIT.

use countersign_shared::request::Choice;

use crate::harness::Story;

/// Rows are written with two approvals before, or with one at the commit; or with one before, in `products`.
const EITHER: &str = r#"
permit (principal, action, resource)
unless { [Action::"insert", Action::"update", Action::"delete", Action::"lock"].contains(action) };
permit (principal, action in Action::"write", resource)
when { context.approvals.count >= 2 || context.approvals.at_commit };
permit (principal, action in Action::"write", resource == Table::"shop/public.products")
when { context.approvals.count >= 1 };
"#;

const CANCELLED: &str = "select count(*) from orders where status = 'cancelled'";

#[tokio::test(flavor = "multi_thread")]
async fn with_batch_on_a_transaction_is_asked_for_once() {
    let story = Story::under(EITHER).await;
    let ana = story.logs_in("ana").await;
    let before = story.number(CANCELLED).await;
    let delete = "delete from orders where status = 'cancelled'";
    // Off, each is asked for before it runs.
    ana.runs("begin").ends().await.expect("begin");
    let waits = ana.runs(delete);
    let id = ana.is_held().await;
    let view = story.request("priya", &id).await;
    assert_eq!((view.at_commit, view.needed.count, view.needed.at_commit), (false, 2, false), "{:?}", view.needed);
    story.decides("priya", &id, Choice::Deny).await.expect("she may");
    waits.gets_refused().await;
    ana.runs("rollback").ends().await.expect("its end");
    // On, both run, and one question is asked.
    assert_eq!(ana.runs("show countersign.batch").ends().await.expect("it is shown").rows[0][0], Some(String::new()));
    for value in ["maybe", "onn"] {
        assert_eq!(
            ana.runs(&format!("set countersign.batch = '{value}'")).gets_refused().await.code,
            "22023",
            "{value}"
        );
    }
    ana.runs("set countersign.batch = on").ends().await.expect("it is set");
    assert!(!story.database_ran("countersign.batch"), "it never goes upstream");
    ana.runs("begin").ends().await.expect("begin");
    ana.runs(delete).ends().await.expect("it runs");
    ana.runs("update orders set note = 'batch' where id = (select min(id) from orders)").ends().await.expect("it runs");
    let commit = ana.runs("commit");
    let id = ana.is_held().await;
    assert_eq!(story.waiting("priya").await.len(), 1, "one question");
    let view = story.request("priya", &id).await;
    assert_eq!((view.at_commit, view.needed.count, view.needed.at_commit), (true, 1, true), "{:?}", view.needed);
    assert!(view.sql.contains(delete) && view.sql.contains("note = 'batch'"), "{}", view.sql);
    assert_eq!(story.number(CANCELLED).await, before, "nobody else sees it");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    commit.ends().await.expect("it stays");
    assert_eq!(story.number(CANCELLED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn batch_lets_nothing_run_that_policy_wants_approved_before() {
    let story = Story::under(EITHER).await;
    let ana = story.logs_in("ana").await;
    ana.runs("set countersign.batch = on").ends().await.expect("it is set");
    for (sql, why) in [
        ("update products set stock = 4711", "one approval is enough before, so that a review adds nothing"),
        ("lock table orders in exclusive mode", "others wait for it at once"),
        ("update orders set note = 'x' where id = 1; lock table orders in exclusive mode", "in company"),
    ] {
        for by_messages in [false, true] {
            if by_messages && sql.contains(';') {
                continue;
            }
            ana.runs("begin").ends().await.expect("begin");
            let refused = if by_messages {
                ana.executes(sql, vec![]).gets_refused().await
            } else {
                ana.runs(sql).gets_refused().await
            };
            assert_eq!(refused.code, "42501", "{why}: {refused:?}");
            assert!(refused.hint.contains("as one query") && refused.hint.contains("request"), "{refused:?}");
            assert_eq!(ana.runs("select 1").gets_refused().await.code, "25P02", "the transaction is failed");
            ana.runs("rollback").ends().await.expect("its end");
        }
    }
    assert!(!story.database_ran("4711") && !story.database_ran("exclusive mode"));
    assert_eq!(story.waiting("priya").await.len(), 0, "nobody was asked");
    // Outside a transaction there is nothing to wait for: it is held as ever.
    let update = ana.runs("update products set stock = 7 where id = 1");
    let id = ana.is_held().await;
    assert!(!story.request("priya", &id).await.at_commit);
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(update.ends().await.expect("it runs").affected, [1]);
    // Off again, in a transaction each waits by itself.
    ana.runs("set countersign.batch = off").ends().await.expect("it is set");
    ana.runs("begin").ends().await.expect("begin");
    let update = ana.runs("update products set stock = 8 where id = 1");
    let id = ana.is_held().await;
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    update.ends().await.expect("it runs");
    ana.runs("commit").ends().await.expect("nobody is asked again");
    assert_eq!(story.number("select stock::bigint from products where id = 1").await, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_in_one_text_is_one_question_with_the_rows_of_each_statement() {
    let story = Story::under(EITHER).await;
    let ana = story.logs_in("ana").await;
    let text = "begin;\n update products set stock = 11 where id <= 3;\n update products set stock = 12 where id in (4, 5) ;\n\
                insert into products (sku, name, price_cents, stock) values ('a-1', 'A', 1, 1), ('a-2', 'B', 1, 1);\ncommit;";
    let running = ana.runs(text);
    let id = ana.is_held().await;
    assert_eq!(story.waiting("priya").await.len(), 1, "one question");
    let view = story.request("priya", &id).await;
    assert_eq!(view.sql, text, "byte for byte");
    let told: Vec<_> = view.impact.iter().map(|one| (one.statement, one.action.as_str(), one.rows)).collect();
    assert_eq!(told[0], (1, "update", Some(3)), "{told:?}");
    // What comes after another write in the same text can't be counted beforehand, and says so.
    assert_eq!((told[1].0, told[1].1), (2, "update"), "{told:?}");
    assert!(view.impact[1].unknown.is_some() || view.impact[1].rows == Some(2), "{:?}", view.impact);
    assert_eq!(told[2], (3, "insert", Some(2)), "{told:?}");
    story.decides("priya", &id, Choice::Approve).await.expect("she may");
    assert_eq!(running.ends().await.expect("all of it runs").affected, [0, 3, 2, 2, 0]);
    assert_eq!(story.number("select count(*) from products where stock in (11, 12)").await, 5);
}
