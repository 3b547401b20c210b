//! Databases of another encoding than UTF-8. The server converts a text before it reads it: a name of forty letters
//! `é` has forty bytes there, and eighty here, so that here it is cut to 63 bytes (`NAMEDATALEN`) and there it is not;
//! and where a letter is one byte, `É` without quotes is `é` there (`downcase_identifier` in scansup.c).

/// What is said of such a text.
pub(super) const NOTE: &str = "the database's encoding is not UTF8, and the server may cut or fold names that are not ASCII otherwise than the gateway";

/// Whether a text has names that may be others to the server. `literals`: the values of its constants mattered, which
/// may have names in them, too.
pub(super) fn may_differ(sql: &str, literals: bool) -> bool {
    let (mut within, mut before) = (false, 0_u8);
    for byte in sql.bytes() {
        // A quote that is written twice leaves and comes back.
        within ^= byte == b'\'';
        let escapes = byte == b'&' && before.eq_ignore_ascii_case(&b'u');
        if (!byte.is_ascii() && (!within || literals)) || escapes {
            return true;
        }
        before = byte;
    }
    // Where quotes are no quotes (within names, comments and dollar quotes), nobody can say what is within.
    !sql.is_ascii() && (sql.contains(['"', '$', '\\']) || sql.contains("--") || sql.contains("/*"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_strings_may_have_what_is_not_ascii() {
        let table = [
            ("select 'é' from t", false, false),
            ("select 'é' from t", true, true),
            ("select 'it''s é'", false, false),
            ("select é from t", false, true),
            ("select \"é\" from t", false, true),
            ("select \"a'b\", 'é', \"a'b\"", false, true),
            ("select 1 /* ' */, é", false, true),
            ("select $a$'$a$, 'é'", false, true),
            ("select E'\\'', 'é'", false, true),
            ("select U&\"\\00e9\"", false, true),
            ("select u & 1", false, false),
            ("select name from t where id = 1", true, false),
        ];
        for (sql, literals, expected) in table {
            assert_eq!(may_differ(sql, literals), expected, "{sql}");
        }
    }
}
