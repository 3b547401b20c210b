//! A session's own temporary relations and types, and all that they stand on, as its server says. No
//! snapshot has them; what they run is looked up in one by oid, so that it is what it is now, whatever it
//! was when they were made.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use super::snapshot::{Relation, Snapshot};

/// A temporary relation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Temporary {
    /// Its oid.
    pub oid: u32,
    /// A view's query, rules, triggers or row policies: a write there is more than one of rows.
    pub acts: bool,
    /// Another server carries out what is done to it.
    pub is_foreign: bool,
    /// What it inherits from or is a partition of, by oids.
    pub parents: BTreeSet<u32>,
    /// Types of its columns that did not come with the server.
    pub types: BTreeSet<u32>,
    /// What any use of it may run: a view's query, checks, indexes, partition keys, policies.
    pub runs: Needs,
    /// What its defaults run for a new row.
    pub defaults: Needs,
}

/// What a stored expression or query depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Oids and names. Those of the server's own count too.
    pub functions: BTreeSet<(u32, String)>,
    /// Schemas and names of operators that did not come with the server.
    pub operators: BTreeSet<(String, String)>,
    /// Types that did not come with the server.
    pub types: BTreeSet<u32>,
    /// Relations that it names.
    pub relations: BTreeSet<Named>,
    /// Whether it locks the rows that it reads.
    pub locks: bool,
}

/// A relation as the server named it then.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Named {
    /// Its oid.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Whether it is a sequence.
    pub is_sequence: bool,
}

impl Named {
    /// The relation of a snapshot, if that still has it under the name.
    #[must_use]
    pub fn found<'s>(&self, snapshot: &'s Snapshot) -> Option<&'s Arc<Relation>> {
        snapshot.relation(&self.schema, &self.name).filter(|relation| relation.oid == self.oid)
    }
}

/// Asks for what [`read`] takes. Run in the session itself, under any search path: every name and operator
/// is qualified. It locks nothing, and so waits for nobody.
///
/// What is pinned (the server's own functions) is in no `pg_depend`, but in the expression's tree.
pub static QUERY: LazyLock<String> = LazyLock::new(|| {
    [" = ", " <> ", " > ", " >= "]
        .iter()
        .fold(TEXT.to_owned(), |text, sign| text.replace(sign, &format!(" OPERATOR(pg_catalog.{}) ", sign.trim())))
});

/// Rows of: the relation's name, what it is about, whether it is of a default, oid, schema, name.
const TEXT: &str = r#"
WITH r AS (
  SELECT c.oid, c.relname, c.relkind, c.relkind = 'v'::pg_catalog."char" OR c.relhasrules OR c.relrowsecurity
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal) AS acts
    FROM pg_catalog.pg_class c WHERE c.relnamespace = pg_catalog.pg_my_temp_schema()),
stored AS (
  SELECT r.relname, r.oid, '2618'::pg_catalog.oid AS class, w.oid AS object, false AS of_default,
         pg_catalog.concat(w.ev_action, w.ev_qual) AS tree
    FROM r JOIN pg_catalog.pg_rewrite w ON w.ev_class = r.oid
  UNION ALL
  SELECT r.relname, r.oid, '2604'::pg_catalog.oid, d.oid, a.attgenerated = ''::pg_catalog."char", pg_catalog.concat(d.adbin)
    FROM r JOIN pg_catalog.pg_attrdef d ON d.adrelid = r.oid
    JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION ALL
  SELECT r.relname, r.oid, '2606'::pg_catalog.oid, k.oid, false, pg_catalog.concat(k.conbin)
    FROM r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid
  UNION ALL
  SELECT r.relname, r.oid, '1259'::pg_catalog.oid, i.indexrelid, false, pg_catalog.concat(i.indexprs, i.indpred)
    FROM r JOIN pg_catalog.pg_index i ON i.indrelid = r.oid
  UNION ALL
  SELECT r.relname, r.oid, '1259'::pg_catalog.oid, p.partrelid, false, pg_catalog.concat(p.partexprs)
    FROM r JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = r.oid
  UNION ALL
  SELECT r.relname, r.oid, '3381'::pg_catalog.oid, s.oid, false, pg_catalog.concat(s.stxexprs)
    FROM r JOIN pg_catalog.pg_statistic_ext s ON s.stxrelid = r.oid
  UNION ALL
  SELECT r.relname, r.oid, '3256'::pg_catalog.oid, p.oid, false, pg_catalog.concat(p.polqual, p.polwithcheck)
    FROM r JOIN pg_catalog.pg_policy p ON p.polrelid = r.oid),
used AS (
  SELECT s.relname, s.class, s.of_default, d.refclassid, d.refobjid
    FROM stored s JOIN pg_catalog.pg_depend d ON d.classid = s.class AND d.objid = s.object
    WHERE d.refobjid <> s.oid),
families AS (
  SELECT r.relname, c.opcfamily
    FROM r JOIN pg_catalog.pg_index i ON i.indrelid = r.oid
    CROSS JOIN LATERAL pg_catalog.unnest(i.indclass::pg_catalog.oid[]) AS k (opclass)
    JOIN pg_catalog.pg_opclass c ON c.oid = k.opclass
  UNION ALL
  SELECT r.relname, c.opcfamily
    FROM r JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = r.oid
    CROSS JOIN LATERAL pg_catalog.unnest(p.partclass::pg_catalog.oid[]) AS k (opclass)
    JOIN pg_catalog.pg_opclass c ON c.oid = k.opclass)
SELECT r.relname::pg_catalog.text, 'is', r.acts::pg_catalog.text, r.oid::pg_catalog.text, r.relkind::pg_catalog.text, '' FROM r
UNION ALL
SELECT r.relname, 'parent', 'false', h.inhparent::pg_catalog.text, '', ''
  FROM r JOIN pg_catalog.pg_inherits h ON h.inhrelid = r.oid
UNION ALL
SELECT r.relname, 'column', 'false', a.atttypid::pg_catalog.text, '', ''
  FROM r JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND a.atttypid >= '16384'::pg_catalog.oid
UNION ALL
SELECT s.relname, 'function', s.of_default::pg_catalog.text, p.oid::pg_catalog.text, '', p.proname
  FROM stored s CROSS JOIN LATERAL
    pg_catalog.regexp_matches(s.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) ([0-9]+)', 'g') AS m (found)
  JOIN pg_catalog.pg_proc p ON p.oid = (m.found)[1]::pg_catalog.oid
UNION ALL
SELECT u.relname, 'function', u.of_default::pg_catalog.text, p.oid::pg_catalog.text, '', p.proname
  FROM used u JOIN pg_catalog.pg_proc p ON p.oid = u.refobjid WHERE u.refclassid = '1255'::pg_catalog.oid
UNION ALL
SELECT f.relname, 'function', 'false', p.oid::pg_catalog.text, '', p.proname
  FROM families f JOIN pg_catalog.pg_amproc a ON a.amprocfamily = f.opcfamily
  JOIN pg_catalog.pg_proc p ON p.oid = a.amproc WHERE p.oid >= '16384'::pg_catalog.oid
UNION ALL
SELECT u.relname, 'operator', u.of_default::pg_catalog.text, o.oid::pg_catalog.text, n.nspname, o.oprname
  FROM used u JOIN pg_catalog.pg_operator o ON o.oid = u.refobjid
  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE u.refclassid = '2617'::pg_catalog.oid
UNION ALL
SELECT f.relname, 'operator', 'false', o.oid::pg_catalog.text, n.nspname, o.oprname
  FROM families f JOIN pg_catalog.pg_amop a ON a.amopfamily = f.opcfamily
  JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr
  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid >= '16384'::pg_catalog.oid
UNION ALL
SELECT u.relname, 'type', u.of_default::pg_catalog.text, u.refobjid::pg_catalog.text, '', ''
  FROM used u WHERE u.refclassid = '1247'::pg_catalog.oid AND u.refobjid >= '16384'::pg_catalog.oid
UNION ALL
SELECT u.relname, CASE WHEN c.relkind = 'S'::pg_catalog."char" THEN 'sequence' ELSE 'relation' END,
       u.of_default::pg_catalog.text, c.oid::pg_catalog.text, n.nspname, c.relname
  FROM used u JOIN pg_catalog.pg_class c ON c.oid = u.refobjid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE u.refclassid = '1259'::pg_catalog.oid AND u.class <> '1259'::pg_catalog.oid
UNION ALL
SELECT s.relname, 'lock', 'false', '0', '', ''
  FROM stored s WHERE pg_catalog.strpos(s.tree, 'ROWMARKCLAUSE') > 0
UNION ALL
SELECT t.typname, 'type name', 'false', '0', '', ''
  FROM pg_catalog.pg_type t WHERE t.typnamespace = pg_catalog.pg_my_temp_schema()"#;

/// What a session has of its own: relations by name, and the names of types.
pub type Own = (BTreeMap<String, Temporary>, BTreeSet<String>);

/// What the server answered to [`QUERY`]; `None` where that is not understood.
#[must_use]
pub fn read(rows: &[Vec<Option<String>>]) -> Option<Own> {
    let (mut relations, mut types) = (BTreeMap::<String, Temporary>::new(), BTreeSet::new());
    for row in rows {
        let [relation, what, flag, oid, schema, name] = row.as_slice() else { return None };
        let (relation, oid) = (relation.clone()?, oid.as_deref()?.parse().ok()?);
        let (schema, name) = (schema.clone()?, name.clone()?);
        if what.as_deref()? == "type name" {
            types.insert(relation);
            continue;
        }
        let flag = flag.as_deref()? == "true";
        let made = relations.entry(relation).or_default();
        let needs = if flag { &mut made.defaults } else { &mut made.runs };
        match what.as_deref()? {
            "is" => {
                made.oid = oid;
                made.acts = flag;
                made.is_foreign = schema == "f";
            }
            "parent" => drop(made.parents.insert(oid)),
            "column" => drop(made.types.insert(oid)),
            "function" => drop(needs.functions.insert((oid, name))),
            "operator" => drop(needs.operators.insert((schema, name))),
            "type" => drop(needs.types.insert(oid)),
            "relation" => drop(needs.relations.insert(Named { oid, schema, name, is_sequence: false })),
            "sequence" => drop(needs.relations.insert(Named { oid, schema, name, is_sequence: true })),
            "lock" => needs.locks = true,
            _ => return None,
        }
    }
    Some((relations, types))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whole_or_not_at_all() {
        let row = |cells: [&str; 6]| cells.iter().map(|cell| Some((*cell).to_owned())).collect::<Vec<_>>();
        let rows = [
            row(["v", "is", "true", "20000", "v", ""]),
            row(["v", "function", "false", "1574", "", "nextval"]),
            row(["v", "sequence", "false", "20001", "public", "s"]),
            row(["t", "is", "false", "20002", "f", ""]),
            row(["t", "function", "true", "20003", "", "f"]),
            row(["t", "type name", "false", "0", "", ""]),
        ];
        let (relations, types) = read(&rows).expect("it is understood");
        assert!(relations["v"].acts && !relations["v"].is_foreign && relations["t"].is_foreign);
        assert_eq!(relations["v"].runs.functions, [(1_574, "nextval".to_owned())].into());
        assert!(relations["v"].runs.relations.iter().all(|named| named.is_sequence));
        assert_eq!(relations["t"].defaults.functions, [(20_003, "f".to_owned())].into());
        assert!(relations["t"].runs.functions.is_empty() && types.contains("t"));
        assert_eq!(read(&[row(["t", "something new", "false", "0", "", ""])]), None);
        assert_eq!(read(&[vec![None; 6]]), None);
    }

    #[test]
    fn no_operator_of_the_query_is_looked_for_on_the_path() {
        let rest = ["=", "<>", ">", ">="]
            .iter()
            .fold(QUERY.clone(), |text, sign| text.replace(&format!("OPERATOR(pg_catalog.{sign})"), ""));
        let signs = ["=", "<", ">", "~", "||"];
        assert!(!signs.iter().any(|sign| rest.contains(sign)), "{rest}");
    }
}
