//! SET, RESET, SHOW, `set_config`: which settings are harmless, which values are pinned, and which
//! are the gateway's own.

use pg_query::{
    NodeEnum,
    protobuf::{DiscardMode, DiscardStmt, Node, RawStmt, VariableSetKind, VariableSetStmt, VariableShowStmt},
};

use super::{
    OwnSetting,
    functions::{casts_by_name, constant, schema_and_name},
    walk::Walk,
};
use crate::statement::effect::Action;

/// Beside a statement that makes a transaction, or the session's, READ WRITE.
pub const NOTE_READ_WRITE: &str = "it asks for READ WRITE transactions";
/// Beside a statement that brings every setting back to what the session began with.
pub const NOTE_RESETS_ALL: &str = "it resets every setting";
/// Beside a statement that uses a setting of the gateway's own in company.
pub const NOTE_OWN_SETTING: &str = "countersign.* settings never reach the server: SET, RESET or SHOW one alone";

/// Beside a statement that uses `countersign.token` otherwise than to set it alone.
pub const NOTE_TOKEN: &str = "it has countersign.token in it, which never reaches the server";
/// Its name among the gateway's own settings.
pub const TOKEN: &str = "token";

/// Beside a statement that would take the pin from the session's encoding.
pub const NOTE_ENCODING: &str = "the session's encoding is pinned to UTF8";
/// Beside a statement that would let a backslash in '…' mean something.
pub const NOTE_STRINGS: &str = "standard_conforming_strings is pinned to on";

/// The prefix of the gateway's own settings.
const OWN: &str = "countersign.";

/// Settings that may have any value: they steer how long, how costly or in what format, or the
/// digest of an approval binds them.
const HARMLESS: &[&str] = &[
    "application_name",
    "backend_flush_after",
    "bytea_output",
    "check_function_bodies",
    "client_connection_check_interval",
    "client_min_messages",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "datestyle",
    "default_statistics_target",
    "default_text_search_config",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "effective_cache_size",
    "effective_io_concurrency",
    "escape_string_warning",
    "exit_on_error",
    "extra_float_digits",
    "from_collapse_limit",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "jit_above_cost",
    "jit_expressions",
    "jit_inline_above_cost",
    "jit_optimize_above_cost",
    "jit_tuple_deforming",
    "join_collapse_limit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "recursive_worktable_factor",
    "restrict_nonsystem_relation_kind",
    "row_security",
    "search_path",
    "seq_page_cost",
    "statement_timeout",
    "synchronize_seqscans",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "tcp_user_timeout",
    "temp_buffers",
    "timezone",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_timeout",
    "work_mem",
    "xmlbinary",
    "xmloption",
];
const HARMLESS_BEGINNINGS: &[&str] = &["enable_", "geqo", "debug_print_", "debug_pretty_print"];

/// Whether a setting may have any value.
pub(super) fn may_be_any(name: &str) -> bool {
    HARMLESS.contains(&name) || HARMLESS_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Whether no name and no constant means something else with another value of a setting, and no approval binds it.
fn says_nothing(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "application_name",
        "client_connection_check_interval",
        "client_min_messages",
        "idle_in_transaction_session_timeout",
        "idle_session_timeout",
        "jit",
        "lock_timeout",
        "maintenance_work_mem",
        "statement_timeout",
        "temp_buffers",
        "transaction_timeout",
        "work_mem",
    ];
    NAMES.contains(&name) || name.starts_with("enable_") || name.starts_with("tcp_")
}

/// The schemas of a `search_path` as it is stored; `None` where it is not plain, as with `$user`.
pub(super) fn schemas(value: &str) -> Option<Vec<String>> {
    let schema = |part: &str| {
        let part = part.trim();
        let name = part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(part);
        let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        plain.then(|| name.to_owned())
    };
    match value.trim() {
        "" | "\"\"" => Some(vec!["pg_catalog".to_owned()]),
        listed => listed.split(',').map(schema).collect(),
    }
}

/// What a statement does to a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'a> {
    /// To these values.
    To(&'a [String]),
    /// To what the client binds.
    Bound,
    /// To a value that the text doesn't say.
    Unseen,
    /// To what the session began with.
    Reset,
}

/// The lone setting of the gateway's own that a text is, if it is one.
pub(super) fn own_setting(raw: &RawStmt) -> Option<OwnSetting> {
    match raw.stmt.as_ref()?.node.as_ref()? {
        NodeEnum::VariableSetStmt(n) => {
            let name = own_name(&n.name)?;
            match VariableSetKind::try_from(n.kind).ok()? {
                VariableSetKind::VarSetValue => {
                    Some(OwnSetting::Set { name, value: Some(values(&n.args)?.join(", ")) })
                }
                VariableSetKind::VarSetDefault | VariableSetKind::VarReset => {
                    Some(OwnSetting::Set { name, value: None })
                }
                _ => None,
            }
        }
        NodeEnum::VariableShowStmt(n) => Some(OwnSetting::Show { name: own_name(&n.name)? }),
        _ => None,
    }
}

/// Whether a text has `countersign.token` in it, however it is quoted or spaced. The second net, for texts that
/// are no SQL: escapes in a name hide it here, and not from the tree.
pub(super) fn mentions_token(sql: &str) -> bool {
    let bytes = sql.as_bytes();
    let (own, token) = (&OWN.as_bytes()[..OWN.len() - 1], TOKEN.as_bytes());
    let begins = |at: usize| bytes.get(at..at + own.len()).is_some_and(|found| found.eq_ignore_ascii_case(own));
    let between = |byte: &u8| byte.is_ascii_whitespace() || b"\".'".contains(byte);
    bytes.iter().enumerate().filter(|(at, byte)| byte.eq_ignore_ascii_case(&b'c') && begins(*at)).any(|(at, _)| {
        let rest = &bytes[at + own.len()..];
        let mut gap = 0;
        while let Some(byte) = rest.get(gap) {
            gap += match &rest[gap..] {
                _ if between(byte) => 1,
                [b'/', b'*', comment @ ..] => {
                    2 + comment.windows(2).position(|end| end == b"*/").map_or(0, |at| at + 2)
                }
                [b'-', b'-', comment @ ..] => 2 + comment.iter().take_while(|byte| !b"\r\n".contains(byte)).count(),
                _ => break,
            };
        }
        let dotted = rest[..gap].contains(&b'.');
        dotted && rest.get(gap..gap + token.len()).is_some_and(|found| found.eq_ignore_ascii_case(token))
    })
}

/// What the log has instead of such a text.
pub const NOT_KEPT: &str = "(not kept: it has countersign.token in it)";

/// A text as the log may keep it.
#[must_use]
pub fn without_token(sql: &str) -> &str {
    if mentions_token(sql) { NOT_KEPT } else { sql }
}

fn own_name(name: &str) -> Option<String> {
    let name = name.to_ascii_lowercase();
    name.strip_prefix(OWN).map(str::to_owned)
}

fn values(args: &[Node]) -> Option<Vec<String>> {
    args.iter().map(constant).collect()
}

impl Walk<'_> {
    /// Notes a setting by its name as the server reads it, whatever comments and escapes the text has.
    fn keep_token_out(&mut self, name: &str) {
        if own_name(name).as_deref() == Some(TOKEN) {
            self.note(NOTE_TOKEN);
        }
    }

    /// The SET within ALTER ROLE, ALTER DATABASE and the like.
    pub fn set_for_later(&mut self, n: Option<&VariableSetStmt>) {
        if let Some(n) = n {
            self.keep_token_out(&n.name);
        }
    }

    /// The SET among the options of a function.
    pub fn options_set(&mut self, options: &[Node]) {
        for option in options {
            if let Some(NodeEnum::DefElem(n)) = &option.node
                && let Some(NodeEnum::VariableSetStmt(set)) = n.arg.as_deref().and_then(|arg| arg.node.as_ref())
            {
                self.keep_token_out(&set.name);
            }
        }
    }

    pub fn set(&mut self, n: &VariableSetStmt) {
        let name = n.name.to_ascii_lowercase();
        match VariableSetKind::try_from(n.kind) {
            Ok(VariableSetKind::VarSetValue) => match values(&n.args) {
                Some(values) => self.setting(&name, Change::To(&values)),
                None => self.setting(&name, Change::Unseen),
            },
            Ok(VariableSetKind::VarSetDefault | VariableSetKind::VarReset) => self.setting(&name, Change::Reset),
            Ok(VariableSetKind::VarSetCurrent) => self.setting(&name, Change::Unseen),
            Ok(VariableSetKind::VarSetMulti) => self.transaction_settings(&name, &n.args),
            Ok(VariableSetKind::VarResetAll) => {
                self.note(NOTE_RESETS_ALL);
                self.changes_names();
                self.on_connection(Action::Set);
            }
            Ok(VariableSetKind::Undefined) | Err(_) => self.opaque("a SET of a new kind"),
        }
    }

    fn transaction_settings(&mut self, name: &str, args: &[Node]) {
        self.found.statement.changes_session = true;
        match name {
            "transaction" | "transaction snapshot" => self.on_connection(Action::Transaction),
            "session characteristics" => self.on_connection(Action::Set),
            _ => self.privilege(),
        }
        self.transaction_modes(args);
    }

    /// `READ WRITE` among the modes of BEGIN and SET TRANSACTION.
    pub fn transaction_modes(&mut self, modes: &[Node]) {
        for mode in modes {
            if let Some(NodeEnum::DefElem(n)) = &mode.node
                && n.defname == "transaction_read_only"
                && n.arg.as_deref().and_then(constant).as_deref() != Some("1")
            {
                self.note(NOTE_READ_WRITE);
            }
        }
    }

    fn setting(&mut self, name: &str, change: Change<'_>) {
        self.found.statement.changes_session |= !says_nothing(name);
        if name.starts_with(OWN) {
            self.keep_token_out(name);
            self.opaque(NOTE_OWN_SETTING);
            return;
        }
        let one = match change {
            Change::To([value]) => Some(value.as_str()),
            _ => None,
        };
        let allowed = match name {
            "client_encoding" => {
                let plain =
                    |v: &str| v.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
                change == Change::Reset || one.is_some_and(|value| matches!(plain(value).as_str(), "utf8" | "unicode"))
            }
            "standard_conforming_strings" => change == Change::Reset || one.is_some_and(is_on),
            "transaction_read_only" | "default_transaction_read_only" => {
                if !one.is_some_and(is_on) {
                    self.note(NOTE_READ_WRITE);
                }
                true
            }
            "role" | "session_authorization" => {
                self.changes_names();
                let own = |value: &str| value == "none" && name == "role" || value == self.names.login;
                change == Change::Reset || one.is_some_and(|value| !value.is_empty() && own(value))
            }
            "search_path" => {
                self.changes_names();
                !matches!(change, Change::Unseen | Change::Bound)
            }
            // The name is told to other sessions, and so is bound by its text alone.
            "application_name" => !matches!(change, Change::Unseen | Change::Bound),
            _ => may_be_any(name) && change != Change::Unseen,
        };
        if allowed {
            self.on_connection(Action::Set);
        } else {
            self.changes_names();
            self.privilege();
            self.note(match name {
                "client_encoding" => NOTE_ENCODING.to_owned(),
                "standard_conforming_strings" => NOTE_STRINGS.to_owned(),
                _ => format!("the setting {name}, or this value of it, is not on the list of harmless ones"),
            });
        }
    }

    pub fn show(&mut self, n: &VariableShowStmt) {
        if own_name(&n.name).is_some() {
            self.keep_token_out(&n.name);
            self.opaque(NOTE_OWN_SETTING);
        } else {
            self.on_connection(Action::Select);
        }
    }

    pub fn discard(&mut self, n: &DiscardStmt) {
        if n.target() == DiscardMode::DiscardAll {
            self.note(NOTE_RESETS_ALL);
        }
        self.changes_names();
        self.on_connection(Action::Set);
    }

    /// `set_config(name, value, is_local)`.
    pub fn set_config(&mut self, args: Option<&[Node]>) {
        let (name, value) = match args {
            Some([name, value, ..]) => (self.given(name), self.given(value)),
            _ => (None, None),
        };
        match (name, value) {
            (Some(name), Some(value)) => {
                // One string, as SET takes it: the names of a search path are in it with commas.
                self.setting(&name.to_ascii_lowercase(), Change::To(&[value]));
            }
            (Some(name), None) => {
                let bound = args.and_then(|args| args.get(1)).is_some_and(is_parameter);
                let change = if bound { Change::Bound } else { Change::Unseen };
                self.setting(&name.to_ascii_lowercase(), change);
            }
            (None, _) => {
                self.changes_names();
                self.privilege();
                self.note("which setting is set is not in the text");
            }
        }
    }

    /// `current_setting(name)`.
    pub fn reads_setting(&mut self, args: Option<&[Node]>) {
        self.reads_literals();
        let name = args.and_then(<[Node]>::first).and_then(|node| self.given(node));
        if let Some(name) = name
            && own_name(&name).is_some()
        {
            self.keep_token_out(&name);
            self.opaque(NOTE_OWN_SETTING);
        }
    }
}

/// The note, where it is one that is looked for as it stands.
pub(super) fn looked_for(note: &str) -> Option<&'static str> {
    let all = [NOTE_READ_WRITE, NOTE_RESETS_ALL, NOTE_OWN_SETTING, NOTE_TOKEN, NOTE_ENCODING, NOTE_STRINGS];
    all.into_iter().find(|known| *known == note)
}

/// Whether a statement is SET or the like, or a SELECT of nothing but `set_config` of constants.
pub(super) fn only_sets(node: &Node) -> bool {
    let Some(NodeEnum::SelectStmt(n)) = &node.node else {
        return matches!(node.node, Some(NodeEnum::VariableSetStmt(_) | NodeEnum::DiscardStmt(_)));
    };
    let bare = n.from_clause.is_empty()
        && n.where_clause.is_none()
        && n.with_clause.is_none()
        && n.group_clause.is_empty()
        && n.having_clause.is_none()
        && n.window_clause.is_empty()
        && n.values_lists.is_empty()
        && n.sort_clause.is_empty()
        && n.distinct_clause.is_empty()
        && n.limit_count.is_none()
        && n.limit_offset.is_none()
        && n.larg.is_none()
        && n.into_clause.is_none()
        && !n.target_list.is_empty();
    let sets = |target: &Node| {
        let Some(NodeEnum::ResTarget(target)) = &target.node else { return false };
        let Some(NodeEnum::FuncCall(call)) = target.val.as_ref().and_then(|value| value.node.as_ref()) else {
            return false;
        };
        let (schema, name) = schema_and_name(&call.funcname);
        name == "set_config"
            && (schema.is_empty() || schema == "pg_catalog")
            && call.args.iter().all(|arg| constant(arg).is_some() && casts_by_name(arg).is_empty() || is_parameter(arg))
    };
    bare && n.target_list.iter().all(sets)
}

/// `$1`, with or without a cast to text.
fn is_parameter(node: &Node) -> bool {
    match &node.node {
        Some(NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(n)) => n.arg.as_deref().is_some_and(is_parameter),
        _ => false,
    }
}

/// The ways to say yes, as PostgreSQL's `parse_bool` has them.
fn is_on(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    let begins = |word: &str| !value.is_empty() && word.starts_with(&value);
    begins("true") || begins("yes") || value == "on" || value == "1"
}
