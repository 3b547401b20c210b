//! Reads a snapshot. Qualified names and operators only, on a connection whose search path is
//! `pg_catalog`, so that nothing in the database can stand in for what is meant.

use async_trait::async_trait;

use super::{Relation, Snapshot};
use crate::statement::effect::Action;

/// Something that answers a query with rows of text.
#[async_trait]
pub trait CatalogQuery: Send {
    /// Runs one query.
    ///
    /// # Errors
    /// In words.
    async fn rows(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, String>;
}

const RELATIONS: &str = "SELECT n.nspname, c.relname, c.relkind, c.oid < 16384, \
    CASE WHEN c.relkind IN ('v','m') AND c.oid >= 16384 THEN pg_catalog.pg_get_viewdef(c.oid) END, \
    c.oid::pg_catalog.text || ':' || c.xmin::pg_catalog.text || ':' || c.relrowsecurity::pg_catalog.text || ':' || COALESCE((SELECT pg_catalog.string_agg(a.attname || ' ' || a.atttypid::pg_catalog.text || ' ' || a.xmin::pg_catalog.text, ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0), '') \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r','p','v','m','f','S') AND n.nspname !~ '^pg_(toast|temp_)'";

/// What a write or a read of a relation runs, beyond the statement.
const HAZARDS: &str = "\
    SELECT n.nspname, c.relname, 'w', 'trigger ' || t.tgname || ' calls ' || p.proname || '()' \
    FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid \
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' \
    UNION ALL SELECT n.nspname, c.relname, 'w', 'rule ' || r.rulename \
    FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE r.ev_type <> '1' AND c.oid >= 16384 \
    UNION ALL SELECT n.nspname, c.relname, 'w', 'a default, check or index calls ' || p.proname || '()' \
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_proc p ON d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND p.oid = d.refobjid \
    LEFT JOIN pg_catalog.pg_constraint k ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.oid = d.objid \
    LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid \
    LEFT JOIN pg_catalog.pg_index i ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.indexrelid = d.objid \
    JOIN pg_catalog.pg_class c ON c.oid = COALESCE(NULLIF(k.conrelid, 0), f.adrelid, i.indrelid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE p.oid >= 16384 \
    UNION ALL SELECT n.nspname, c.relname, 'r', 'row security policy ' || l.polname \
    FROM pg_catalog.pg_policy l JOIN pg_catalog.pg_class c ON c.oid = l.polrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = l.oid AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass) \
    UNION ALL SELECT n.nspname, c.relname, 'r', 'it is a foreign table' \
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'f' \
    UNION ALL SELECT n.nspname, c.relname, 'w', 'column ' || a.attname || ' has a type whose checks or casts call functions' \
    FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
    WHERE a.attnum > 0 AND a.atttypid IN (SELECT k.contypid FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = k.oid AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass WHERE k.contypid <> 0 UNION SELECT s.castsource FROM pg_catalog.pg_cast s WHERE s.castfunc >= 16384 UNION SELECT s.casttarget FROM pg_catalog.pg_cast s WHERE s.castfunc >= 16384) AND a.atttypid >= 16384";

const CASCADES: &str = "SELECT pn.nspname, p.relname, k.confdeltype, k.confupdtype, cn.nspname, c.relname \
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class p ON p.oid = k.confrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace \
    WHERE k.contype = 'f' AND (k.confdeltype IN ('c','n','d') OR k.confupdtype IN ('c','n','d'))";

/// A partition's or child's hazards are its parent's too.
const CHILDREN: &str = "WITH RECURSIVE tree AS (SELECT i.inhparent, i.inhrelid FROM pg_catalog.pg_inherits i \
    UNION SELECT t.inhparent, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.inhrelid) \
    SELECT pn.nspname, p.relname, cn.nspname, c.relname FROM tree t \
    JOIN pg_catalog.pg_class p ON p.oid = t.inhparent AND p.relkind IN ('r','p') JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace \
    JOIN pg_catalog.pg_class c ON c.oid = t.inhrelid AND c.relkind IN ('r','p','f') JOIN pg_catalog.pg_namespace cn ON cn.oid = c.relnamespace";

const FUNCTIONS: &str = "SELECT n.nspname, p.proname, \
    (p.pronargs = 1 AND (t.typtype IN ('c','p') OR t.typtype = 'd')) FROM pg_catalog.pg_proc p \
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace LEFT JOIN pg_catalog.pg_type t ON t.oid = p.proargtypes[0] \
    WHERE p.oid >= 16384 OR n.nspname <> 'pg_catalog'";

const OPERATORS: &str = "SELECT DISTINCT o.oprname FROM pg_catalog.pg_operator o WHERE o.oid >= 16384 AND NOT EXISTS \
    (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND d.objid = o.oid AND d.deptype = 'e')";

const TYPES: &str = "SELECT t.typname FROM pg_catalog.pg_type t WHERE t.oid >= 16384 AND (t.oid IN \
    (SELECT s.castsource FROM pg_catalog.pg_cast s WHERE s.castfunc >= 16384 UNION SELECT s.casttarget FROM pg_catalog.pg_cast s WHERE s.castfunc >= 16384) \
    OR t.oid IN (SELECT k.contypid FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = k.oid AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass WHERE k.contypid <> 0))";

const FINGERPRINT: &str = "SELECT \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(c.oid::pg_catalog.text || c.xmin::pg_catalog.text)), 0)::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid >= 16384) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(p.oid::pg_catalog.text || p.xmin::pg_catalog.text)), 0)::pg_catalog.text FROM pg_catalog.pg_proc p WHERE p.oid >= 16384) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(t.oid::pg_catalog.text || t.xmin::pg_catalog.text)), 0)::pg_catalog.text FROM pg_catalog.pg_trigger t) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(r.oid::pg_catalog.text || r.xmin::pg_catalog.text)), 0)::pg_catalog.text FROM pg_catalog.pg_rewrite r) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(k.oid::pg_catalog.text || k.xmin::pg_catalog.text)), 0)::pg_catalog.text FROM pg_catalog.pg_constraint k) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.max(o.oid::pg_catalog.int8), 0)::pg_catalog.text FROM pg_catalog.pg_operator o) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.max(s.oid::pg_catalog.int8), 0)::pg_catalog.text FROM pg_catalog.pg_cast s) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(f.oid::pg_catalog.text || f.xmin::pg_catalog.text)), 0)::pg_catalog.text FROM pg_catalog.pg_attrdef f) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(l.oid::pg_catalog.text || l.xmin::pg_catalog.text)), 0)::pg_catalog.text FROM pg_catalog.pg_policy l) || ';' || \
    (SELECT pg_catalog.count(*)::pg_catalog.text || '/' || COALESCE(pg_catalog.sum(pg_catalog.hashtext(n.oid::pg_catalog.text || n.xmin::pg_catalog.text)), 0)::pg_catalog.text FROM pg_catalog.pg_namespace n)";

/// A cheap text that changes when the catalog does.
///
/// # Errors
/// Where the database can't be asked.
pub async fn fingerprint(query: &mut dyn CatalogQuery) -> Result<String, String> {
    let rows = query.rows(FINGERPRINT).await?;
    rows.into_iter().flatten().flatten().next().ok_or_else(|| "the catalog's fingerprint is empty".to_owned())
}

/// Reads the whole snapshot.
///
/// # Errors
/// Where the database can't be asked, or answers in another shape.
pub async fn snapshot(query: &mut dyn CatalogQuery) -> Result<Snapshot, String> {
    let before = query.rows("SELECT pg_catalog.current_setting('search_path')").await?;
    let before = before.into_iter().flatten().flatten().next().unwrap_or_default();
    let set =
        |path: &str| format!("SELECT pg_catalog.set_config('search_path', '{}', false)", path.replace('\'', "''"));
    query.rows(&set("pg_catalog")).await?;
    let read = read(query).await;
    query.rows(&set(&before)).await?;
    read
}

async fn read(query: &mut dyn CatalogQuery) -> Result<Snapshot, String> {
    let mut snapshot = Snapshot::default();
    for row in query.rows(RELATIONS).await? {
        let [Some(schema), Some(name), Some(kind), Some(system), definition, Some(stamp)] = row.as_slice() else {
            return Err("a relation reads in another shape".into());
        };
        let relation = Relation {
            kind: kind.chars().next().unwrap_or('?'),
            system: system == "t",
            query: definition.clone(),
            stamp: stamp.clone(),
            ..Relation::default()
        };
        snapshot.relations.insert((schema.clone(), name.clone()), relation);
    }
    for row in query.rows(HAZARDS).await? {
        let [Some(schema), Some(name), Some(when), Some(what)] = row.as_slice() else {
            return Err("a hazard reads in another shape".into());
        };
        if let Some(relation) = snapshot.relations.get_mut(&(schema.clone(), name.clone())) {
            if when == "r" {
                relation.on_read.push(what.clone());
            }
            relation.on_write.push(what.clone());
        }
    }
    for row in query.rows(CHILDREN).await? {
        let [Some(schema), Some(name), Some(child_schema), Some(child)] = row.as_slice() else {
            return Err("a child table reads in another shape".into());
        };
        let child = snapshot.relation(child_schema, child).cloned().unwrap_or_default();
        if let Some(parent) = snapshot.relations.get_mut(&(schema.clone(), name.clone())) {
            parent.on_write.extend(child.on_write);
            parent.on_read.extend(child.on_read);
        }
    }
    for row in query.rows(CASCADES).await? {
        let [Some(schema), Some(name), Some(on_delete), Some(on_update), Some(child_schema), Some(child)] =
            row.as_slice()
        else {
            return Err("a foreign key reads in another shape".into());
        };
        if let Some(parent) = snapshot.relations.get_mut(&(schema.clone(), name.clone())) {
            let action = if on_delete == "c" { Action::Delete } else { Action::Update };
            if matches!(on_delete.as_str(), "c" | "n" | "d") {
                parent.cascades.push((action, child_schema.clone(), child.clone()));
            }
            if matches!(on_update.as_str(), "c" | "n" | "d") {
                parent.cascades.push((Action::Update, child_schema.clone(), child.clone()));
            }
        }
    }
    for row in query.rows(FUNCTIONS).await? {
        let [Some(schema), Some(name), attribute] = row.as_slice() else {
            return Err("a function reads in another shape".into());
        };
        if attribute.as_deref() == Some("t") {
            snapshot.attribute_functions.insert(name.clone());
        }
        snapshot.functions.entry(name.clone()).or_default().insert(schema.clone());
    }
    snapshot.operators = query.rows(OPERATORS).await?.into_iter().flatten().flatten().collect();
    snapshot.risky_types = query.rows(TYPES).await?.into_iter().flatten().flatten().collect();
    Ok(snapshot)
}
