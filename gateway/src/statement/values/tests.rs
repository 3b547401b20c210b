use super::*;

#[test]
fn a_value_of_a_known_type_is_shown_as_the_server_prints_it() {
    let array =
        [&[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1][..], &[0, 0, 0, 4, 0, 0, 0, 7], &[255; 4]];
    let table: [(&str, u32, &[u8], &str); 10] = [
        ("int4, which is no float4", 23, &[0x3f, 0x80, 0, 0], "1065353216"),
        ("float4, which is no int4", 700, &[0x3f, 0x80, 0, 0], "1"),
        ("int8 below zero", 20, &(-5_i64).to_be_bytes(), "-5"),
        ("text", 25, "O'Brien 💶".as_bytes(), "O'Brien 💶"),
        ("text without a character", 1043, b"", ""),
        ("bytea", 17, &[0, 255], "\\x00ff"),
        ("any byte but zero is true", 16, &[2], "true"),
        ("jsonb without its version byte", 3802, b"\x01{\"a\": 1}", "{\"a\": 1}"),
        ("numeric is cut at its scale", 1700, &[0, 2, 0, 0, 0, 0, 0, 1, 0, 1, 19, 136], "1.5"),
        ("an array with a NULL", 1007, &array.concat(), "{7,NULL}"),
    ];
    for (case, oid, bytes, shown) in table {
        assert_eq!(binary(oid, bytes), shown, "{case}");
    }
}

#[test]
fn what_is_no_whole_value_is_shown_as_bytes_and_said_to_be() {
    let other_elements = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 65];
    let huge = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0x7f, 255, 255, 255, 0, 0, 0, 1];
    let many = [&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 23][..], &[0x7f, 255, 255, 255, 0, 0, 0, 1].repeat(6)].concat();
    let deep = [0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 23];
    let table: [(&str, u32, &[u8], &str); 13] = [
        ("no type was named", 0, &[1, 2], "\\x0102 (2 bytes of a type that was not named)"),
        (
            "not named, and readable",
            0,
            b"paid",
            "\\x70616964 (4 bytes of a type that was not named; as text they say: paid)",
        ),
        ("a type of the database's own", 16_500, &[1], "\\x01 (1 byte of the type with oid 16500)"),
        ("an int4 that is too short", 23, &[1], "\\x01 (1 byte that are no value of their type, oid 23)"),
        ("an int4 that is too long", 23, &[0; 5], "\\x0000000000 (5 bytes that are no value of their type, oid 23)"),
        ("text that is not UTF-8", 25, &[0xff], "\\xff (1 byte that are no value of their type, oid 25)"),
        ("text with a NUL", 25, b"a\0b", "\\x610062 (3 bytes that are no value of their type, oid 25)"),
        ("jsonb of another version", 3802, b"\x02{}", "\\x027b7d (3 bytes that are no value of their type, oid 3802)"),
        ("numeric with a digit of base 10,000 too large", 1700, &[0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff], "\\x"),
        ("an array of other elements than it should have", 1007, &other_elements, "\\x"),
        ("an array that claims two billion elements", 1007, &huge, "\\x"),
        ("an array that claims more than can be counted", 1007, &many, "\\x"),
        ("an array deeper than the server allows", 1007, &deep, "\\x"),
    ];
    for (case, oid, bytes, shown) in table {
        let found = binary(oid, bytes);
        let same = if shown == "\\x" { found.starts_with(shown) && found.contains("no value") } else { found == shown };
        assert!(same, "{case}: {found}");
    }
}

#[test]
fn a_few_bytes_never_make_a_long_text() {
    let numeric =
        |weight: i16, scale: u16| [[0, 1], weight.to_be_bytes(), [0, 0], scale.to_be_bytes(), [0, 1]].concat();
    assert_eq!(binary(1700, &numeric(5, 0)), format!("1{}", "0".repeat(20)), "zeros that people use");
    for (case, value) in [
        ("whole digits", numeric(i16::MAX, 0)),
        ("a fraction", numeric(0, 0x3fff)),
        ("a fraction far below zero", numeric(i16::MIN, 0x3fff)),
    ] {
        let text = binary(1700, &value);
        assert!(text.len() < 200 && text.contains("many zeros"), "{case}: {text}");
        let element = [10_u32.to_be_bytes().as_slice(), &value].concat();
        let head = [1_u32, 0, 1700, 1_000, 1].map(u32::to_be_bytes).concat();
        let array = [head, element.repeat(1_000)].concat();
        assert!(binary(1231, &array).len() < array.len() * 3, "{case}, a thousand times");
    }
}

#[test]
fn no_bytes_of_any_type_make_it_panic() {
    // Every type with every short run of a few telling bytes: lengths, signs, the ends of ranges.
    let telling = [0x00_u8, 0x01, 0x7f, 0x80, 0xff];
    for oid in (0..4_000).filter(|oid| Type::of(*oid).is_some() || Type::element_of(*oid).is_some()) {
        for length in 0..40 {
            for byte in telling {
                for last in telling {
                    let mut bytes = vec![byte; length];
                    bytes.extend([last]);
                    assert!(!binary(oid, &bytes).contains('\0'), "{oid}");
                }
            }
        }
    }
}
