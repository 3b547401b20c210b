//! Asks a server for its catalog. Every name is qualified, and the search path holds `pg_catalog`
//! before all else, so that nothing in the database can stand in for what is asked, and so that the texts of
//! views and expressions come back with all other names qualified. For PostgreSQL 14 to 18.

use super::{read_rows::Reader, snapshot::Snapshot};

/// Runs a query in the simple protocol and gives its rows as text.
#[async_trait::async_trait]
pub trait CatalogQuery: Send {
    /// The rows of the last statement of `sql` that has any.
    async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String>;

    /// The rows of each of several queries. Whoever can sends them at once: a network's way there and
    /// back takes longer than most of them.
    async fn all(&mut self, texts: &[&str]) -> Result<Vec<Vec<Vec<Option<String>>>>, String> {
        let mut answers = Vec::new();
        for sql in texts {
            answers.push(self.rows(sql).await?);
        }
        Ok(answers)
    }
}

/// The server's own names first. Temporary relations and types come before all others where their schema is not listed.
pub(super) const PATH: &str = "pg_catalog, pg_temp";
/// Before anything else is asked.
pub(super) const PIN: &str = "SET search_path TO pg_catalog, pg_temp";

/// One row, one column; differs whenever anything in the catalog that a snapshot holds does.
/// Temporary objects and statistics don't count. `{versions}` stands for something of the versions of
/// all rows `r`, so that an update, an insert and a delete each show.
const FINGERPRINT: &str = "
SELECT pg_catalog.concat_ws('/',
  (SELECT {versions} FROM pg_catalog.pg_class r
    JOIN pg_catalog.pg_namespace n ON n.oid = r.relnamespace WHERE r.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)'),
  (SELECT {versions} FROM pg_catalog.pg_attribute r WHERE attrelid >= 16384 AND attnum > 0),
  (SELECT {versions} FROM pg_catalog.pg_description r
    WHERE objoid >= 16384 AND classoid = 'pg_class'::regclass AND objsubid > 0),
  (SELECT {versions} FROM pg_catalog.pg_namespace r WHERE nspname !~ '^pg_(toast|temp)'),
  (SELECT {versions} FROM pg_catalog.pg_auth_members r),
  (SELECT {versions} FROM pg_catalog.pg_statistic_ext r),
  (SELECT {versions} FROM pg_catalog.pg_proc r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_trigger r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_rewrite r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_operator r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_cast r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_constraint r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_attrdef r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_policy r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_inherits r),
  (SELECT {versions} FROM pg_catalog.pg_index r WHERE indexrelid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_type r
    JOIN pg_catalog.pg_namespace n ON n.oid = r.typnamespace WHERE r.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)'),
  (SELECT {versions} FROM pg_catalog.pg_amproc r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_amop r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_event_trigger r WHERE oid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_sequence r WHERE seqrelid >= 16384),
  (SELECT {versions} FROM pg_catalog.pg_foreign_table r),
  (SELECT {versions} FROM pg_catalog.pg_foreign_server r),
  (SELECT md5(string_agg(b.oid::text, ' ' ORDER BY b.oid)) FROM pg_catalog.pg_roles b WHERE b.rolsuper OR b.rolbypassrls),
  (SELECT {versions} FROM pg_catalog.pg_extension r WHERE oid >= 16384))";

/// Among what is committed, a changed row has another `xmin`.
const COMMITTED: &str = "pg_catalog.concat(count(*), ':', sum(r.xmin::text::bigint))";

/// In a transaction, its own changes of a row have one `xmin`; but each is by another command and in
/// another place, and numbers of commands don't come again after ROLLBACK TO.
const WITHIN: &str = "pg_catalog.concat(count(*), ':', sum(pg_catalog.hashtextextended(concat_ws(' ', r.ctid, r.xmin, r.cmin), {seed})))";

/// Relations that others lock against every use. To write a view's or an expression's text the server
/// locks what it names; it would wait for them, and everybody who needs the catalog with it.
const LOCKED: &str = "SELECT DISTINCT relation FROM pg_catalog.pg_locks
  WHERE locktype = 'relation' AND mode = 'AccessExclusiveLock' AND pid IS DISTINCT FROM pg_backend_pid()
    AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  ORDER BY relation";

/// A function as the other queries name it: oid, schema, name. `p` and `pn` are its tables.
macro_rules! function_columns {
    () => {
        "p.oid, pn.nspname, p.proname, p.xmin::text || md5(p.prosrc)"
    };
}

/// Schemas, with what changes whenever one's rights do, or who is a member of which role.
const SCHEMAS: &str = "SELECT nspname, pg_catalog.concat_ws('/', xmin::text,
    (SELECT pg_catalog.concat(count(*), ':', sum(xmin::text::bigint)) FROM pg_catalog.pg_auth_members))
  FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_(toast|temp)' ORDER BY nspname";

const BUILTINS: &str = "SELECT DISTINCT proname FROM pg_catalog.pg_proc
  WHERE pronamespace = 'pg_catalog'::regnamespace AND oid < 16384";

/// The text of a body that was resolved when it was made is empty where a relation that it names is
/// locked.
const FUNCTIONS: &str = concat!(
    "SELECT ",
    function_columns!(),
    ", CASE WHEN l.oid < 16384 THEN l.lanname ELSE 'other ' || l.lanname END, e.extname,
       CASE WHEN p.prokind = 'a' THEN 0 ELSE p.pronargs - p.pronargdefaults END,
       CASE WHEN p.prokind <> 'a' AND p.provariadic = 0 THEN
         CASE WHEN p.prokind = 'p' THEN coalesce(cardinality(p.proallargtypes), p.pronargs) ELSE p.pronargs END END,
       (p.provolatile = 'v')::text,
       CASE WHEN p.prosupport < 16384 AND p.prokind <> 'a' THEN p.prosrc END,
       CASE WHEN p.prosqlbody IS NULL THEN NULL WHEN EXISTS (
         SELECT FROM pg_catalog.pg_depend b WHERE b.classid = 'pg_proc'::regclass AND b.objid = p.oid
           AND b.refclassid = 'pg_class'::regclass AND b.refobjid IN ({locked}))
       THEN '' ELSE pg_catalog.pg_get_function_sqlbody(p.oid) END,
       array_to_string(ARRAY(SELECT DISTINCT t FROM unnest(p.proargtypes::oid[] || p.proallargtypes || p.prorettype) AS a (t)
                             WHERE t >= 16384 ORDER BY t), ' '),
       pg_catalog.pg_get_expr(p.proargdefaults, 0), pg_catalog.array_to_json(p.proconfig)::text,
       p.proretset::text
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    AND d.refclassid = 'pg_extension'::regclass
  LEFT JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
  WHERE p.oid >= 16384
  ORDER BY pn.nspname, p.proname, p.oid"
);

/// An aggregate, and what it calls: oid, name, whether it is immutable.
const AGGREGATES: &str = "
SELECT a.aggfnoid::oid, p.oid, p.proname, (p.provolatile = 'i')::text
  FROM pg_catalog.pg_aggregate a
  CROSS JOIN LATERAL (VALUES (a.aggtransfn), (a.aggfinalfn), (a.aggcombinefn), (a.aggserialfn), (a.aggdeserialfn),
    (a.aggmtransfn), (a.aggminvtransfn), (a.aggmfinalfn)) AS f (called)
  JOIN pg_catalog.pg_proc p ON p.oid = f.called::oid
  WHERE a.aggfnoid::oid >= 16384
UNION
SELECT a.aggfnoid::oid, p.oid, p.proname, (p.provolatile = 'i')::text
  FROM pg_catalog.pg_aggregate a JOIN pg_catalog.pg_operator o ON o.oid = a.aggsortop
  JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
  WHERE a.aggfnoid::oid >= 16384
ORDER BY 1, 2";

const RELATIONS: &str = "
SELECT c.oid, n.nspname, c.relname, c.relkind, i.indrelid,
       CASE WHEN c.relkind IN ('v', 'm') AND c.oid >= 16384 AND NOT EXISTS (
         SELECT FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d ON d.classid = 'pg_rewrite'::regclass
           AND d.objid = w.oid AND d.refclassid = 'pg_class'::regclass
         WHERE w.ev_class = c.oid AND (d.refobjid IN ({locked}) OR c.oid IN ({locked})))
       THEN pg_catalog.pg_get_viewdef(c.oid) END
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
  WHERE n.nspname !~ '^pg_(toast|temp)' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I')";

/// Of the server's own relations, the columns of those that hold values of others' rows or statements.
const COLUMNS: &str = "
SELECT a.attrelid, a.attname, a.atttypid, a.attnum, coalesce(e.typbasetype, d.typbasetype, a.atttypid),
       (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(n.nspname, t.typname))
          FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
          WHERE t.oid = ANY (ARRAY[a.atttypid, y.typelem, d.typbasetype, e.typbasetype]))::text,
       lower(substring(s.description FROM '(?in)^\\s*classification:\\s*([[:alnum:]_-]+)'))
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type y ON y.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_description s ON s.classoid = 'pg_class'::regclass AND s.objoid = a.attrelid
    AND s.objsubid = a.attnum
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_catalog.pg_type d ON d.oid = a.atttypid AND d.typtype = 'd'
  LEFT JOIN pg_catalog.pg_type e ON e.oid = d.typbasetype AND e.typtype = 'd'
  WHERE (a.attrelid >= 16384 OR c.relnamespace = 'pg_catalog'::regnamespace AND c.relname IN
      ('pg_stats', 'pg_stats_ext', 'pg_stats_ext_exprs', 'pg_statistic', 'pg_statistic_ext_data', 'pg_stat_activity'))
    AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  ORDER BY a.attrelid, a.attnum";

const INHERITS: &str = "SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits ORDER BY inhparent, inhrelid";

/// A relation, and a hash of all of its definition that no statement is judged by, though it changes what one does:
/// how its columns are made and what they take, how triggers, rules, policies, constraints, unique indexes and
/// sequences are, and, where rows are for some only, whom that binds. Made of rows as they are stored, which needs no
/// lock; of columns that later servers add to the smaller catalogs, too.
const DEFINITIONS: &str = "
SELECT d.relation, encode(sha256(textsend(string_agg(d.said, chr(10) ORDER BY d.said COLLATE \"C\"))), 'hex')
  FROM (
  SELECT c.oid, ROW('relation', c.relkind, c.relpersistence, c.relowner, c.reloptions, c.relrowsecurity,
      c.relforcerowsecurity, c.relpartbound, CASE WHEN c.relrowsecurity THEN (
        SELECT sha256(textsend(string_agg(b.who, chr(10) ORDER BY b.who COLLATE \"C\")))::text
          FROM (SELECT oid::text FROM pg_catalog.pg_roles WHERE rolsuper OR rolbypassrls
            UNION ALL SELECT (to_jsonb(m) - 'oid')::text FROM pg_catalog.pg_auth_members m) AS b (who)) END)::text
    FROM pg_catalog.pg_class c WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL
  SELECT a.attrelid, ROW('column', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attcollation,
      a.attidentity, a.attgenerated)::text
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT t.tgrelid, ROW('trigger', t.tgname, t.tgfoid, t.tgtype, t.tgenabled, t.tgisinternal, t.tgconstrrelid,
      t.tgdeferrable, t.tginitdeferred, t.tgattr, encode(t.tgargs, 'hex'), t.tgqual, t.tgoldtable, t.tgnewtable)::text
    FROM pg_catalog.pg_trigger t
  UNION ALL
  SELECT w.ev_class, ROW('rule', w.rulename, w.ev_type, w.ev_enabled, w.is_instead)::text
    FROM pg_catalog.pg_rewrite w WHERE w.ev_class >= 16384
  UNION ALL
  SELECT p.polrelid, ROW('policy', p.polname, p.polcmd, p.polpermissive, p.polroles, p.polqual, p.polwithcheck)::text
    FROM pg_catalog.pg_policy p
  UNION ALL
  SELECT k.conrelid, 'constraint ' || (to_jsonb(k)
      - ARRAY['oid', 'conindid', 'conparentid', 'coninhcount', 'conislocal'])::text
    FROM pg_catalog.pg_constraint k WHERE k.conrelid >= 16384 AND k.contype <> 'n'
  UNION ALL
  SELECT i.indrelid, 'unique ' || (to_jsonb(i)
      - ARRAY['indexrelid', 'indisclustered', 'indcheckxmin', 'indisreplident'])::text
    FROM pg_catalog.pg_index i WHERE i.indisunique AND i.indrelid >= 16384
  UNION ALL
  SELECT s.seqrelid, 'sequence ' || to_jsonb(s)::text FROM pg_catalog.pg_sequence s
  UNION ALL
  SELECT f.adrelid, 'sequence ' || to_jsonb(s)::text
    FROM pg_catalog.pg_attrdef f
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
      AND d.refclassid = 'pg_class'::regclass
    JOIN pg_catalog.pg_sequence s ON s.seqrelid = d.refobjid
  UNION ALL
  SELECT d.refobjid, 'sequence ' || to_jsonb(s)::text
    FROM pg_catalog.pg_sequence s
    JOIN pg_catalog.pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
      AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
  UNION ALL
  SELECT f.ftrelid, 'foreign ' || to_jsonb(f)::text || s.srvname || s.srvoptions::text
    FROM pg_catalog.pg_foreign_table f JOIN pg_catalog.pg_foreign_server s ON s.oid = f.ftserver) AS d (relation, said)
  GROUP BY d.relation";

/// Referenced and referencing relation, what happens on DELETE and UPDATE, the key that it is a part of
/// (that of a partitioned table), pairs of columns: referencing, referenced.
const FOREIGN_KEYS: &str = "
SELECT k.confrelid, k.conrelid, k.confdeltype, k.confupdtype, k.conparentid,
       (SELECT pg_catalog.json_agg(pg_catalog.json_build_array(c.attname, p.attname))
          FROM ROWS FROM (pg_catalog.unnest(k.conkey), pg_catalog.unnest(k.confkey)) AS u(c, p)
          JOIN pg_catalog.pg_attribute c ON c.attrelid = k.conrelid AND c.attnum = u.c
          JOIN pg_catalog.pg_attribute p ON p.attrelid = k.confrelid AND p.attnum = u.p)::text
  FROM pg_catalog.pg_constraint k WHERE k.contype = 'f' ORDER BY k.confrelid, k.conrelid, k.conname";

/// Relation, events as `tgtype`, the trigger's name, its text if it has a WHEN (empty where the relation
/// is locked), its function.
const TRIGGERS: &str = concat!(
    "SELECT t.tgrelid, t.tgtype, t.tgname, CASE WHEN t.tgqual IS NULL THEN NULL WHEN t.tgrelid IN ({locked}) THEN '' ELSE pg_catalog.pg_get_triggerdef(t.oid) END, ",
    function_columns!(),
    ", t.tgoldtable, t.tgnewtable, t.tgdeferrable::text FROM pg_catalog.pg_trigger t
  JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
  ORDER BY t.tgrelid, t.tgname"
);

const RULES: &str = "
SELECT ev_class, ev_type, rulename,
       CASE WHEN ev_class NOT IN ({locked}) AND NOT EXISTS (
         SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
           AND d.refclassid = 'pg_class'::regclass AND d.refobjid IN ({locked}))
       THEN pg_catalog.pg_get_ruledef(w.oid) END
  FROM pg_catalog.pg_rewrite w WHERE rulename <> '_RETURN' AND ev_enabled <> 'D' AND ev_class >= 16384
  ORDER BY ev_class, rulename";

/// Relation, what for, its name, its text.
const EXPRESSIONS: &str = "
SELECT d.adrelid, CASE a.attgenerated WHEN 'v' THEN 'any' ELSE 'store' END, 'the default of ' || a.attname,
       CASE WHEN d.adrelid NOT IN ({locked}) THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END
  FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
UNION ALL
SELECT conrelid, 'store', 'the check ' || conname, CASE WHEN conrelid NOT IN ({locked}) THEN pg_catalog.pg_get_expr(conbin, conrelid) END
  FROM pg_catalog.pg_constraint WHERE contype = 'c' AND conrelid >= 16384
UNION ALL
SELECT indrelid, 'store', 'an index expression', CASE WHEN indrelid NOT IN ({locked}) THEN pg_catalog.pg_get_expr(indexprs, indrelid) END
  FROM pg_catalog.pg_index WHERE indexprs IS NOT NULL
UNION ALL
SELECT indrelid, 'store', 'an index predicate', CASE WHEN indrelid NOT IN ({locked}) THEN pg_catalog.pg_get_expr(indpred, indrelid) END
  FROM pg_catalog.pg_index WHERE indpred IS NOT NULL
UNION ALL
SELECT partrelid, 'store', 'the partition key', CASE WHEN partrelid NOT IN ({locked}) THEN pg_catalog.pg_get_expr(partexprs, partrelid) END
  FROM pg_catalog.pg_partitioned_table WHERE partexprs IS NOT NULL
UNION ALL
SELECT stxrelid, 'planned', 'the statistics ' || stxname, CASE WHEN stxrelid NOT IN ({locked}) THEN pg_catalog.pg_get_expr(stxexprs, stxrelid) END
  FROM pg_catalog.pg_statistic_ext WHERE stxexprs IS NOT NULL
UNION ALL
SELECT p.polrelid, 'any', 'the policy ' || p.polname, CASE WHEN p.polrelid NOT IN ({locked}) THEN pg_catalog.pg_get_expr(x.tree, p.polrelid) END
  FROM pg_catalog.pg_policy p JOIN pg_catalog.pg_class c ON c.oid = p.polrelid AND c.relrowsecurity,
       LATERAL (VALUES (p.polqual), (p.polwithcheck)) x (tree) WHERE x.tree IS NOT NULL
ORDER BY 1, 2, 3, 4";

/// Relation, what it is, and the function that an index of it may run.
const INDEX_CODE: &str = concat!(
    "SELECT i.indrelid, 'an operator class of an index', ",
    function_columns!(),
    " FROM pg_catalog.pg_index i
  CROSS JOIN LATERAL unnest(i.indclass::oid[]) AS k (opclass)
  JOIN pg_catalog.pg_opclass o ON o.oid = k.opclass
  JOIN pg_catalog.pg_amproc ap ON ap.amprocfamily = o.opcfamily
  JOIN pg_catalog.pg_proc p ON p.oid = ap.amproc JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE p.oid >= 16384
UNION
SELECT i.indrelid, 'an operator of an index', ",
    function_columns!(),
    " FROM pg_catalog.pg_index i
  CROSS JOIN LATERAL unnest(i.indclass::oid[]) AS k (opclass)
  JOIN pg_catalog.pg_opclass o ON o.oid = k.opclass
  JOIN pg_catalog.pg_amop ao ON ao.amopfamily = o.opcfamily
  JOIN pg_catalog.pg_operator op ON op.oid = ao.amopopr
  JOIN pg_catalog.pg_proc p ON p.oid = op.oprcode JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE p.oid >= 16384 OR op.oid >= 16384
UNION
SELECT t.partrelid, 'the partition key', ",
    function_columns!(),
    " FROM pg_catalog.pg_partitioned_table t
  CROSS JOIN LATERAL unnest(t.partclass::oid[]) AS k (opclass)
  JOIN pg_catalog.pg_opclass o ON o.oid = k.opclass
  JOIN pg_catalog.pg_amproc ap ON ap.amprocfamily = o.opcfamily
  JOIN pg_catalog.pg_proc p ON p.oid = ap.amproc JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE p.oid >= 16384
UNION
SELECT c.conrelid, 'the exclusion constraint ' || c.conname, ",
    function_columns!(),
    " FROM pg_catalog.pg_constraint c
  CROSS JOIN LATERAL unnest(c.conexclop) AS k (operator)
  JOIN pg_catalog.pg_operator op ON op.oid = k.operator
  JOIN pg_catalog.pg_proc p ON p.oid = op.oprcode JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE c.contype = 'x' AND op.oid >= 16384
ORDER BY 1, 2, 4, 5, 3"
);

/// An operator, and what it runs: the planner puts its negator in place of NOT, and its commutator where it
/// turns the two sides around, and theirs again.
const OPERATORS: &str = concat!(
    "WITH RECURSIVE reached (written, run) AS (
  SELECT oid, oid FROM pg_catalog.pg_operator
  UNION
  SELECT r.written, l.other FROM reached r JOIN pg_catalog.pg_operator o ON o.oid = r.run
    CROSS JOIN LATERAL (VALUES (o.oprnegate), (o.oprcom)) AS l (other) WHERE l.other <> 0)
SELECT w.oprname, n.nspname, ",
    function_columns!(),
    " FROM reached r JOIN pg_catalog.pg_operator w ON w.oid = r.written
  JOIN pg_catalog.pg_namespace n ON n.oid = w.oprnamespace
  JOIN pg_catalog.pg_operator o ON o.oid = r.run
  JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode OR p.oid >= 16384 AND p.oid IN (o.oprrest, o.oprjoin)
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE w.oid >= 16384 OR o.oid >= 16384
  ORDER BY w.oprname, n.nspname, pn.nspname, p.proname, p.oid"
);

const TYPES: &str = "
SELECT t.oid, n.nspname, t.typname, t.typelem, t.typbasetype, r.rngsubtype, m.rngtypid
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
  LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
  LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid
  WHERE t.oid >= 16384 AND n.nspname !~ '^pg_(toast|temp)'
  ORDER BY n.nspname, t.typname";

const TYPE_ATTRIBUTES: &str = "
SELECT t.oid, a.atttypid
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid
  WHERE t.oid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= 16384
  ORDER BY t.oid, a.attnum";

const TYPE_CHECKS: &str = "
SELECT contypid, pg_catalog.pg_get_expr(conbin, 0)
  FROM pg_catalog.pg_constraint WHERE contypid <> 0 AND contype = 'c'
UNION ALL
SELECT oid, pg_catalog.pg_get_expr(typdefaultbin, 0)
  FROM pg_catalog.pg_type WHERE typdefaultbin IS NOT NULL AND typtype = 'd'
ORDER BY 1, 2";

/// Type, in what role, and the function that its values may run. To sort, group and compare, the server takes what
/// is there of B-trees and hashes for one of its own types too; what other indexes have runs with them alone.
const TYPE_CODE: &str = concat!(
    "SELECT t.oid, 'input and output', ",
    function_columns!(),
    " FROM pg_catalog.pg_type t
  JOIN pg_catalog.pg_proc p ON p.oid IN (t.typinput, t.typoutput, t.typreceive, t.typsend, t.typmodin, t.typmodout, t.typsubscript)
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE t.oid >= 16384 AND p.oid >= 16384
UNION
SELECT r.rngtypid, 'range', ",
    function_columns!(),
    " FROM pg_catalog.pg_range r
  JOIN pg_catalog.pg_proc p ON p.oid IN (r.rngcanonical, r.rngsubdiff)
  JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE p.oid >= 16384
UNION
SELECT r.rngtypid, 'range comparison', ",
    function_columns!(),
    " FROM pg_catalog.pg_range r JOIN pg_catalog.pg_opclass o ON o.oid = r.rngsubopc
  JOIN pg_catalog.pg_amproc ap ON ap.amprocfamily = o.opcfamily
  JOIN pg_catalog.pg_proc p ON p.oid = ap.amproc JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE o.oid >= 16384 AND p.oid >= 16384
UNION
SELECT t.type, CASE WHEN t.type >= 16384 THEN 'comparison' ELSE 'the comparison of ' || format_type(t.type, NULL) END, ",
    function_columns!(),
    " FROM pg_catalog.pg_amproc ap JOIN pg_catalog.pg_opfamily f ON f.oid = ap.amprocfamily
  CROSS JOIN LATERAL (SELECT greatest(ap.amproclefttype, ap.amprocrighttype)
    WHERE ap.amproclefttype < 16384 UNION ALL SELECT ap.amproclefttype WHERE ap.amproclefttype >= 16384) AS t (type)
  JOIN pg_catalog.pg_proc p ON p.oid = ap.amproc JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE (t.type >= 16384 OR f.opfmethod IN (403, 405)) AND p.oid >= 16384
UNION
SELECT t.type, CASE WHEN t.type >= 16384 THEN 'comparison' ELSE 'the comparison of ' || format_type(t.type, NULL) END, ",
    function_columns!(),
    " FROM pg_catalog.pg_amop ao JOIN pg_catalog.pg_operator op ON op.oid = ao.amopopr
  CROSS JOIN LATERAL (SELECT greatest(ao.amoplefttype, ao.amoprighttype)
    WHERE ao.amoplefttype < 16384 UNION ALL SELECT ao.amoplefttype WHERE ao.amoplefttype >= 16384) AS t (type)
  JOIN pg_catalog.pg_proc p ON p.oid = op.oprcode JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE (t.type >= 16384 OR ao.amopmethod IN (403, 405)) AND p.oid >= 16384
ORDER BY 1, 2, 4, 5, 3"
);

const CASTS: &str = concat!(
    "SELECT c.castsource, c.casttarget, c.castsource::regtype::text || ' to ' || c.casttarget::regtype::text, ",
    function_columns!(),
    ", (SELECT r.relkind <> 'c' FROM pg_catalog.pg_type t JOIN pg_catalog.pg_class r ON r.oid = t.typrelid
      WHERE t.oid = c.castsource)::text
  FROM pg_catalog.pg_cast c
  JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE c.oid >= 16384
  ORDER BY 3, p.oid"
);

const EVENT_TRIGGERS: &str = concat!(
    "SELECT e.evtname, ",
    function_columns!(),
    " FROM pg_catalog.pg_event_trigger e
  JOIN pg_catalog.pg_proc p ON p.oid = e.evtfoid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.pronamespace
  WHERE e.evtenabled <> 'D'
  ORDER BY e.evtname"
);

/// The cheap version check, some milliseconds. While it gives what [`Snapshot::fingerprint`] says,
/// the snapshot is fresh.
///
/// # Errors
/// What the server said.
pub async fn fingerprint(server: &mut dyn CatalogQuery) -> Result<String, String> {
    versions(server, &[PIN], COMMITTED).await
}

/// The same for a session's open transaction, its own uncommitted changes included, under a search path
/// that holds `pg_catalog` alone.
pub(super) async fn fingerprint_within(server: &mut dyn CatalogQuery, seed: i64) -> Result<String, String> {
    versions(server, &[], &WITHIN.replace("{seed}", &seed.to_string())).await
}

async fn versions(server: &mut dyn CatalogQuery, before: &[&str], of_rows: &str) -> Result<String, String> {
    let question = FINGERPRINT.replace("{versions}", of_rows);
    let mut answers = server.all(&[before, &[&question]].concat()).await?;
    answers
        .pop()
        .and_then(|rows| rows.into_iter().flatten().flatten().next())
        .ok_or_else(|| "the server gave no fingerprint of its catalog".to_owned())
}

/// Relations that nobody but their locker can look into now, as a list for `IN`; none is `0`. Texts that
/// need them are left out of a snapshot, which says so ([`Snapshot::is_partial`]).
///
/// # Errors
/// What the server said.
pub async fn locked(server: &mut dyn CatalogQuery) -> Result<String, String> {
    let rows = server.rows(LOCKED).await?;
    let oids: Vec<_> = rows.into_iter().flatten().flatten().collect();
    Ok(if oids.is_empty() { "0".to_owned() } else { oids.join(", ") })
}

/// Reads everything. The fingerprint is taken first, so that a change in between shows at the next
/// check; all else is read in one REPEATABLE READ transaction.
///
/// # Errors
/// What the server said. There is no partial snapshot.
pub async fn read(server: &mut dyn CatalogQuery) -> Result<Snapshot, String> {
    let fingerprint = fingerprint(server).await?;
    read_at(server, &fingerprint).await
}

/// The same, with a fingerprint that the server gave just before.
///
/// # Errors
/// What the server said. There is no partial snapshot.
pub async fn read_at(server: &mut dyn CatalogQuery, fingerprint: &str) -> Result<Snapshot, String> {
    server.rows("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let outcome = read_all(server, fingerprint).await;
    let ended = server.rows("ROLLBACK").await;
    let snapshot = outcome?;
    ended?;
    Ok(snapshot)
}

/// What takes one row of an answer.
type Step = fn(&mut Reader, &[Option<String>]) -> Result<(), String>;

pub(super) async fn read_all(server: &mut dyn CatalogQuery, fingerprint: &str) -> Result<Snapshot, String> {
    let mut reader = Reader::new();
    let locked = locked(server).await?;
    // In the order in which facts build upon each other: functions before what calls them,
    // relations and types before what hangs on them.
    let steps: [(&str, Step); 20] = [
        (SCHEMAS, Reader::schema),
        (BUILTINS, Reader::builtin),
        (FUNCTIONS, Reader::function),
        (AGGREGATES, Reader::aggregate),
        (RELATIONS, Reader::relation),
        (COLUMNS, Reader::column),
        (DEFINITIONS, Reader::definition),
        (INHERITS, Reader::inherits),
        (FOREIGN_KEYS, Reader::foreign_key),
        (TRIGGERS, Reader::trigger),
        (RULES, Reader::rule),
        (EXPRESSIONS, Reader::expression),
        (INDEX_CODE, Reader::index_code),
        (OPERATORS, Reader::operator),
        (TYPES, Reader::type_facts),
        (TYPE_ATTRIBUTES, Reader::type_attribute),
        (TYPE_CHECKS, Reader::type_check),
        (TYPE_CODE, Reader::type_code),
        (CASTS, Reader::cast),
        (EVENT_TRIGGERS, Reader::event_trigger),
    ];
    let texts = steps.map(|(sql, _)| sql.replace("{locked}", &locked));
    let answers = server.all(&texts.each_ref().map(String::as_str)).await?;
    for (rows, (_, take)) in answers.into_iter().zip(steps) {
        for row in rows {
            take(&mut reader, &row).map_err(|why| format!("the catalog could not be understood: {why}"))?;
        }
    }
    Ok(reader.finish(fingerprint))
}
