//! What an approver reads of a bound value is what the server reads.

use countersign_gateway::statement::values::binary;
use countersign_shared::request::Choice;
use tokio_postgres::types::{FromSql, Type};

use crate::harness::{
    Story, shop,
    wire::{Script, Wire},
};

/// A value's bytes, as the server sends them in the binary format.
struct Raw(Vec<u8>, u32);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec(), ty.oid()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Expressions of every type that is shown as more than its bytes, with the ends of its range, the
/// values that are no number or no day, and what its text has to quote.
const VALUES: &[&str] = &[
    "true",
    "false",
    "'-32768'::int2",
    "32767::int2",
    "(-2147483648)::int4",
    "0::int4",
    "'-9223372036854775808'::int8",
    "4294967295::oid",
    "0.1::float4",
    "1e-5::float4",
    "123456.7::float4",
    "1234567::float4",
    "3.4028235e38::float4",
    "'NaN'::float4",
    "'-0'::float4",
    "0.1::float8",
    "1e-4::float8",
    "1e-5::float8",
    "1e14::float8",
    "1e15::float8",
    "123456789012345678::float8",
    "1.7976931348623157e308::float8",
    "5e-324::float8",
    "'-Infinity'::float8",
    "'Infinity'::float8",
    "'-0'::float8",
    "0::numeric",
    "0.00::numeric",
    "-0.05::numeric",
    "10000::numeric",
    "99999999.99999999::numeric",
    "1e30::numeric",
    "1e-20::numeric",
    "-123456789.000100::numeric",
    "'NaN'::numeric",
    "'Infinity'::numeric",
    "'-Infinity'::numeric",
    "12.3400::numeric(20,10)",
    "0.00012345::numeric",
    "1e-4::numeric",
    "100000000::numeric",
    "''::text",
    "'a''b{\"c'::text",
    "'Ünïcode'::varchar(20)",
    "'name'::name",
    "'xy'::char(2)",
    "'unknown'",
    "'\\xdeadbeef00'::bytea",
    "''::bytea",
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid",
    "'{\"a\": [1, null]}'::json",
    "'{\"b\":2,\"a\":1}'::jsonb",
    "'2000-01-01'::date",
    "'1999-12-31'::date",
    "'2024-02-29'::date",
    "'1900-03-01'::date",
    "'0001-01-01'::date",
    "'0001-12-31 BC'::date",
    "'4713-01-01 BC'::date",
    "'5874897-12-31'::date",
    "'infinity'::date",
    "'-infinity'::date",
    "'00:00'::time",
    "'23:59:59.999999'::time",
    "'24:00'::time",
    "'12:30:00.5'::time",
    "'12:30+02'::timetz",
    "'12:30-05:30'::timetz",
    "'12:30+00'::timetz",
    "'12:30-00:30:15'::timetz",
    "'2024-02-29 12:30:00.000001'::timestamp",
    "'1999-12-31 23:59:59.9'::timestamp",
    "'0044-03-15 10:00 BC'::timestamp",
    "'294276-12-31 23:59:59.999999'::timestamp",
    "'infinity'::timestamp",
    "'-infinity'::timestamp",
    "'2024-02-29 12:30+05'::timestamptz",
    "'0044-03-15 10:00+00 BC'::timestamptz",
    "'infinity'::timestamptz",
    "'0'::interval",
    "'1 year 2 mons 3 days 04:05:06.7'::interval",
    "'-1 year -2 mons +3 days -04:05:06'::interval",
    "'1 mon -1 day 1 hour'::interval",
    "'-1 day +00:00:01'::interval",
    "'200:00:00'::interval",
    "'-1 mon'::interval",
    "'1 year'::interval",
    "'-13 mons 1 day'::interval",
    "'-0.5 seconds'::interval",
    "'{}'::int4[]",
    "'{1,NULL,-3}'::int4[]",
    "'{{1,2},{3,4}}'::int8[]",
    "'[0:1]={5,6}'::int2[]",
    "'[2:3][-1:0]={{1,2},{3,4}}'::int4[]",
    "array['', 'null', 'NULL', 'a b', 'a,b', '{', '\"', '\\', E'tab\\t', 'plain', 'é']::text[]",
    "array[true, false, null]",
    "array[1.50, null, 'NaN']::numeric[]",
    "array['2024-02-29', 'infinity']::date[]",
    "array['2024-02-29 12:30']::timestamptz[]",
    "array['1 day']::interval[]",
    "array['\\x00ff']::bytea[]",
    "array['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11']::uuid[]",
    "array['{\"a\": 1}']::jsonb[]",
    "array['x']::varchar[]",
    "array[1.5, 'Infinity']::float8[]",
    "array[0.1]::float4[]",
    "array['12:30']::time[]",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_value_is_shown_as_the_server_itself_prints_it() {
    let direct = shop().await.connect().await.expect("a way into the database");
    direct.batch_execute("SET TimeZone = 'UTC'; SET bytea_output = 'hex'").await.expect("settings");
    let mut wrong = Vec::new();
    for value in VALUES {
        let row = direct.query_one(&format!("SELECT v, v::text FROM (SELECT {value} AS v) AS x"), &[]).await;
        let row = row.unwrap_or_else(|error| panic!("{value}: {error:?}"));
        let (raw, text): (Raw, String) = (row.get(0), row.get(1));
        let shown = binary(raw.1, &raw.0);
        if shown != text {
            wrong.push(format!("{value}: shown as {shown}, is {text}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_card_shows_what_a_driver_binds() {
    let story = Story::begin().await;
    let ana = story.logs_in("ana").await;
    // tokio-postgres sends binary values, of the types that the server told it.
    let update = ana.executes(
        "update products set stock = $1 where id = any($2) and price_cents > $3",
        vec![Box::new(0_i32), Box::new(vec![1_i64, 2]), Box::new(5_i32)],
    );
    let id = ana.is_held().await;
    assert_eq!(story.request("priya", &id).await.parameters, ["0", "{1,2}", "5"]);
    story.card_says(&id, "{1,2}").await;
    ana.presses_ctrl_c().await;
    update.gets_refused().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_is_read_otherwise_than_it_looks_is_shown_with_its_type() {
    let story = Story::begin().await;
    let token = story.world.idp.token_for("ana").expect("a token");
    let mut wire = Wire::log_in(story.world.facts.listen, "shop", &token).await;
    let sql = "update products set stock = $1 where id = $2";
    for (oid, value, shown) in [(20, "7", "7"), (1560, "101", "bit '101'"), (26, "-1", "oid '-1'"), (0, "7", "7")] {
        wire.sends(
            Script::default().parse_typed("", sql, &[oid, 23]).bind_with("", "", &[value, "1"]).execute("").sync(),
        )
        .await;
        let id = wire.is_held().await;
        let request = story.request("priya", &id).await;
        assert_eq!(request.parameters, [shown, "1"]);
        let said = request.notes.iter().any(|note| note.contains("Parameter $1 is sent as"));
        assert_eq!(said, shown != value, "{:?}", request.notes);
        story.decides("priya", &id, Choice::Deny).await.expect("a denial");
        wire.until_ready(1).await;
    }
}
