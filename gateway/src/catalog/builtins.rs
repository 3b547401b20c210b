//! What came with the server, or with an extension of native code, and is known to be harmless.
//!
//! The list of functions is made from a server's own catalog and reviewed
//! (`builtins/harmless.txt`, and `builtins/later.txt` for what newer versions add). A name is on
//! it only if every function of that name in `pg_catalog` is harmless: it reads nothing but its
//! arguments, the catalog and the server's own state, writes nothing, and runs no text as SQL.

use std::{collections::HashSet, sync::LazyLock};

/// `FirstNormalObjectId`: what has a lower oid came with the server.
pub const FIRST_USER_OID: u32 = 16_384;

static HARMLESS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lists = [include_str!("builtins/harmless.txt"), include_str!("builtins/later.txt")];
    lists.iter().flat_map(|list| list.lines()).map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect()
});

static NATIVE: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let list = include_str!("builtins/other.txt");
    list.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')).collect()
});

/// Whether every function of that name in `pg_catalog` is harmless.
#[must_use]
pub fn is_harmless(name: &str) -> bool {
    HARMLESS.contains(name)
}

/// Names of `pg_catalog` that are known and not on the list, for snapshots that no server made.
pub fn not_harmless() -> impl Iterator<Item = &'static str> {
    NATIVE.iter().copied()
}

/// Names on the list.
pub fn harmless() -> impl Iterator<Item = &'static str> {
    HARMLESS.iter().copied()
}

/// Whether a function of the server's own `information_schema` is one of its helpers.
#[must_use]
pub fn is_information_schema_helper(name: &str) -> bool {
    name.starts_with("_pg_")
}

/// The server's own types whose name, called like a function, is a cast that only reads a value.
const CALLED_TYPES: &[&str] = &[
    "json",
    "jsonb",
    "jsonpath",
    "pg_lsn",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "tsquery",
    "tsvector",
    "uuid",
    "xml",
];

/// The server's own code behind the functions that CREATE TYPE … AS RANGE makes: they put a range
/// together, and run what its type runs.
const CONSTRUCTORS: &[&str] = &[
    "range_constructor2",
    "range_constructor3",
    "multirange_constructor0",
    "multirange_constructor1",
    "multirange_constructor2",
];

/// Whether a function of the language `internal` is one of a range type's constructors.
#[must_use]
pub fn is_constructor(code: &str) -> bool {
    CONSTRUCTORS.contains(&code)
}

/// Whether a call of that name with one argument is a cast to one of the server's own types.
#[must_use]
pub fn is_cast(name: &str, arguments: usize) -> bool {
    arguments == 1 && CALLED_TYPES.contains(&name)
}

/// Extensions whose native functions compute from their arguments alone, by the languages trusted.
const NATIVE_ONLY: &[&str] = &[
    "bloom",
    "btree_gin",
    "btree_gist",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "pg_stat_statements",
    "postgis",
    "seg",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "vector",
];
/// Of these, functions in SQL too: each is one call of a built-in by its qualified name. Its operators
/// are not qualified, so that they are the server's own only where `pg_catalog` is looked in first.
const SQL_TOO: &[&str] = &["citext"];

/// Of these, what keeps something for later calls in the session, changes its settings, or reads the statistics of tables.
const KEEPING: &[(&str, &str)] = &[
    ("pg_trgm", "set_limit"),
    ("isn", "isn_weak"),
    ("postgis", "st_estimatedextent"),
    ("postgis", "st_estimated_extent"),
    ("postgis", "_postgis_stats"),
    ("postgis", "_postgis_selectivity"),
    ("postgis", "_postgis_join_selectivity"),
];

/// Whether a function of an extension is trusted.
#[must_use]
pub fn extension_is_trusted(extension: &str, language: &str, function: &str) -> bool {
    if KEEPING.contains(&(extension, function)) {
        return false;
    }
    let native = matches!(language, "c" | "internal");
    (native && (NATIVE_ONLY.contains(&extension) || SQL_TOO.contains(&extension)) && !function.ends_with("_reset"))
        || (language == "sql" && SQL_TOO.contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_reaches_outside_its_arguments_is_on_the_list() {
        let never = [
            "set_config",
            "pg_notify",
            "query_to_xml",
            "table_to_xml",
            "schema_to_xml",
            "database_to_xml",
            "cursor_to_xml",
            "ts_stat",
            "ts_rewrite",
            "pg_read_file",
            "pg_ls_dir",
            "pg_stat_file",
            "pg_reload_conf",
            "pg_terminate_backend",
            "lo_get",
            "lo_import",
            "loread",
            "nextval",
            "setval",
            "pg_advisory_lock",
            "pg_export_snapshot",
            "domain_in",
            "pg_input_is_valid",
            "pg_logical_emit_message",
            "pg_create_physical_replication_slot",
            "currtid2",
            "plpgsql_inline_handler",
            "fmgr_sql_validator",
            "pg_stat_reset",
            "brin_summarize_range",
            "pg_hba_file_rules",
            "pg_import_system_collations",
            "satisfies_hash_partition",
            "binary_upgrade_set_record_init_privs",
        ];
        for name in never {
            assert!(!is_harmless(name), "{name} is on the list of harmless functions");
        }
    }

    #[test]
    fn ordinary_functions_are_on_the_list() {
        for name in ["lower", "count", "now", "random", "array_to_string", "format_type", "pg_get_viewdef", "uuidv7"] {
            assert!(is_harmless(name), "{name} is missing");
        }
    }

    #[test]
    fn extensions_are_trusted_by_name_and_language() {
        assert!(extension_is_trusted("pg_trgm", "c", "similarity"));
        assert!(!extension_is_trusted("pg_trgm", "c", "set_limit"), "what it is given is told by show_limit()");
        assert!(!extension_is_trusted("pg_trgm", "plpgsql", "similarity"), "a body is not native code");
        assert!(!extension_is_trusted("earthdistance", "sql", "ll_to_earth"), "its body calls earth() by the path");
        assert!(!extension_is_trusted("dblink", "c", "dblink"));
        assert!(!extension_is_trusted("pg_stat_statements", "c", "pg_stat_statements_reset"));
    }
}
