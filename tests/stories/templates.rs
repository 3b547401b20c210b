//! Templates: statements that were agreed to beside the policies pass within their bounds, and nothing else does.

use std::fs;

use countersign_shared::request::Choice;
use tokio_postgres::types::ToSql;

use crate::harness::{
    Story,
    client::Client,
    wire::{Script, Wire},
};

const POLICY: &str = r#"
permit (principal in Group::"engineering", action == Action::"update", resource == Table::"shop/public.products")
when { context.sql has template && context.sql.template == "restock" };
"#;

const RESTOCK: &str = r#"
sql = """
update public.products set stock = $1
 where id = $2
"""
[parameters.1]
type = "integer"
min = 0
max = 500
[parameters.2]
type = "integer"
min = 1
max = 1000000
"#;

async fn with_restock() -> Story {
    Story::gateway_with(|config, folder| {
        fs::write(folder.join("policy/90-story.cedar"), POLICY).expect("a policy");
        fs::write(folder.join("policy/restock.template.toml"), RESTOCK).expect("a template");
        config.to_owned()
    })
    .await
}

/// Sends something that nobody agreed to beforehand: it waits, and is taken back.
async fn is_held(ana: &Client, sql: &str, values: Option<Vec<Box<dyn ToSql + Sync + Send>>>) {
    let refused = match values {
        None => {
            let waits = ana.runs(sql);
            ana.is_held().await;
            ana.presses_ctrl_c().await;
            waits.gets_refused().await
        }
        Some(values) => {
            let waits = ana.executes(sql, values);
            ana.is_held().await;
            ana.presses_ctrl_c().await;
            waits.gets_refused().await
        }
    };
    assert_eq!(refused.code, "57014", "{sql}: {refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_agreed_to_passes_within_its_bounds_and_all_else_is_held() {
    let story = with_restock().await;
    let ana = story.logs_in("ana").await;
    let bound = "update public.products set stock = $1 where id = $2";
    let stock = async |id: u8| story.number(&format!("select stock::bigint from products where id = {id}")).await;

    // Each way to send it.
    ana.runs("update public.products set stock = 41 where id = 1").ends().await.expect("in the text");
    ana.runs("update public.products\n set stock = '42' where id = 2 ;").ends().await.expect("as strings");
    assert_eq!(ana.executes(bound, vec![Box::new(43_i32), Box::new(3_i64)]).ends().await.expect("bound"), 1);
    ana.runs("begin").ends().await.expect("begin");
    ana.runs("update public.products set stock = 44 where id = 4").ends().await.expect("in a transaction");
    ana.runs("commit").ends().await.expect("its end");
    assert_eq!([stock(1).await, stock(2).await, stock(3).await, stock(4).await], [41, 42, 43, 44]);
    // The same shape again, of which a yes might have been kept.
    is_held(&ana, "update public.products set stock = 501 where id = 1", None).await;
    is_held(&ana, bound, Some(vec![Box::new(501_i32), Box::new(3_i64)])).await;
    for other in [
        "update public.products set stock = -1 where id = 1",
        "update public.products set stock = stock + 1 where id = 1",
        "update public.products set stock = 5 where id = 1 or true",
        "update products set stock = 5 where id = 1",
        "update public.products set stock = 5, price_cents = 1 where id = 1",
        "/* a word */ update public.products set stock = 5 where id = 1",
        "update public.products set stock = 5 where id = 1; update public.products set stock = 5 where id = 2",
        "explain analyze update public.products set stock = 5 where id = 1",
    ] {
        is_held(&ana, other, None).await;
    }
    assert_eq!(stock(1).await, 41);
    assert!(!story.database_ran("set stock = 501"), "nothing else ran");

    // Whoever reads, reads which template it was.
    let written = story.everything_written();
    let named = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains("\"template\":\"restock\"");
    assert!(written.iter().any(|(_, bytes)| named(bytes)), "the log names it");
    let sql = "update public.products set stock = 7 where id = 1";
    let told = story.tells(&["explain-policy", "shop", sql, "--as", "ana@acme.dev"]).await;
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("template: restock") && told.ends_with("allow\n"), "{told}");
    assert_eq!(stock(1).await, 41, "explaining runs nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_template_does_is_looked_at_each_time() {
    let story = with_restock().await;
    let ana = story.logs_in("ana").await;
    let restock = "update public.products set stock = 45 where id = 1";
    ana.runs(restock).ends().await.expect("as agreed");
    for sql in [
        "create table noted (what text)",
        "create function note() returns trigger language plpgsql as
         $$ begin insert into noted values ('x'); return null; end $$",
        "create trigger notes after update on products for each row execute function note()",
    ] {
        let held = ana.runs(sql);
        let id = ana.is_held().await;
        story.decides("priya", &id, Choice::Approve).await.expect("she may");
        story.decides("dario", &id, Choice::Approve).await.expect("he may");
        held.ends().await.expect(sql);
    }
    is_held(&ana, restock, None).await;
    assert_eq!(story.number("select count(*) from noted").await, 0);
    // Somebody else's policy does not speak of it.
    let zoe = story.logs_in("priya").await;
    is_held(&zoe, restock, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_counts_only_as_a_type_that_reads_it_as_its_bounds_do() {
    let story = with_restock().await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let bound = |types: &[u32], value: &str| {
        let sql = "update public.products set stock = $1 where id = $2";
        Script::default().parse_typed("", sql, types).bind_with("", "", &[value, "1"]).execute("").sync()
    };
    // As the server finds them out; int4, int8, int2.
    for types in [&[][..], &[0, 0], &[705, 23], &[23, 20], &[20, 21]] {
        assert_eq!(wire.says(bound(types, "101"), 1).await, ["UPDATE 1"], "{types:?}");
    }
    let held = [
        (1560, "101", "a bit string, five"),
        (26, "7", "an oid"),
        (18, "7", "a byte"),
        (790, "7", "money"),
        (701, "7", "a float"),
        (1700, "7", "numeric, which divides otherwise"),
        (25, "7", "a text"),
        (1184, "7", "a time"),
    ];
    for (oid, value, why) in held {
        wire.sends(bound(&[oid, 23], value)).await;
        let id = wire.is_held().await;
        story.decides("priya", &id, Choice::Deny).await.expect("a denial");
        assert_ne!(wire.until_ready(1).await, ["UPDATE 1"], "{why}");
    }
}

/// Whoever may write by the template alone, and where somebody else may make operators.
#[tokio::test(flavor = "multi_thread")]
async fn a_driver_may_ask_what_a_template_gives_and_an_operator_of_ones_own_is_none_of_it() {
    let story = Story::gateway_with(|config, folder| {
        for policy in fs::read_dir(folder.join("policy")).expect("the policies") {
            fs::remove_file(policy.expect("a file").path()).expect("a file less");
        }
        let connect = "permit (principal, action in [Action::\"connect\", Action::\"set\"], resource);";
        fs::write(folder.join("policy/90-story.cedar"), format!("{connect}{POLICY}")).expect("a policy");
        fs::write(folder.join("policy/restock.template.toml"), RESTOCK).expect("a template");
        config.to_owned()
    })
    .await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let sql = "update public.products set stock = $1 where id = $2";
    let described = Script::default().parse("n", sql).describe("n").sync();
    assert!(wire.says(described, 1).await.is_empty(), "its description is given");
    let run = |value: &str| Script::default().bind_with("", "n", &[value, "1"]).execute("").sync();
    assert_eq!(wire.says(run("7"), 1).await, ["UPDATE 1"]);
    assert_eq!(wire.says(run("501"), 1).await, ["42501"], "beyond its bounds");
    let other = Script::default().parse("", "update public.products set stock = $1").describe("").sync();
    assert_eq!(wire.says(other, 1).await, ["42501"]);

    let direct = story.world.upstream.connect().await.expect("a way into the database");
    let own = "create schema sand;
        create function sand.yes(int, int) returns bool language sql immutable as 'select true';
        create operator sand.= (leftarg = int, rightarg = int, function = sand.yes);";
    direct.batch_execute(own).await.expect("an operator");
    for (path, expected) in [("sand, pg_catalog", "42501"), ("public", "UPDATE 1")] {
        let set = Script::default().query(&format!("set search_path = {path}"));
        assert_eq!(wire.says(set, 1).await, ["SET"]);
        let runs = Script::default().query("update public.products set stock = 9 where id = 1");
        assert_eq!(wire.says(runs, 1).await, [expected], "{path}");
    }
}
