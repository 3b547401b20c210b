//! Where the evidence lies, by a config of which nothing else is looked at: whoever reads records needs
//! no secrets.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use super::{
    Problem, connection, gateway,
    reader::{Document, Table},
};
use crate::{
    bucket::BucketConfig,
    log::{
        Records,
        seal::{Opener, SealSecret},
    },
};

/// Where the evidence lies.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of records and log; where they go on to a bucket, its spool.
    pub folder: PathBuf,
    /// Where they go on to.
    pub bucket: Option<BucketConfig>,
    /// The key that signs checkpoints.
    pub log_key: PathBuf,
    /// What the records of connections are sealed with, as far as it can be had.
    pub seals: HashMap<String, SealSecret>,
}

/// Reads `records` and `log_key` in a config.
///
/// # Errors
/// Where there is no such file, or no TOML in it, or one of the two can't be read.
pub fn places(file: &Path) -> Result<Places, Vec<Problem>> {
    let whole = |message: String, hint: &str| {
        vec![Problem { file: file.to_owned(), line: 0, message, hint: Some(hint.to_owned()) }]
    };
    let text = std::fs::read_to_string(file)
        .map_err(|error| whole(format!("the config can't be read: {error}"), "name it with --config FILE"))?;
    let doc = Document::new(file, text);
    let text = doc.text().to_owned();
    let root = DeTable::parse(&text).map_err(|error| whole(format!("not TOML: {}", error.message()), "run `check`"))?;
    let empty = DeTable::new();
    let root = Table::new(&doc, "", 0, root.get_ref());
    let table = root.table("gateway").unwrap_or_else(|| Table::new(&doc, "[gateway]", 0, &empty));
    let s3 = root.table("s3");
    let (gateway::Place { folder, bucket }, log_key) = gateway::evidence(&table, s3.as_ref());
    let (problems, _) = doc.into_findings();
    if problems.is_empty() { Ok(Places { folder, bucket, log_key, seals: seals(file, &text) }) } else { Err(problems) }
}

/// Whoever can't have a secret reads what is not sealed.
fn seals(file: &Path, text: &str) -> HashMap<String, SealSecret> {
    let doc = Document::new(file, text.to_owned());
    let Ok(root) = DeTable::parse(text) else { return HashMap::new() };
    let root = Table::new(&doc, "", 0, root.get_ref());
    let all = root.tables("connection");
    all.iter().filter_map(|table| Some((table.text("name")?.value.to_owned(), connection::seal(table)?))).collect()
}

impl Places {
    /// Where the log is read.
    #[must_use]
    pub fn records(&self) -> Records {
        let records = Records::spooled(self.folder.clone(), self.bucket.clone());
        records.opened(Opener::new(&self.folder, self.seals.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_found_by_a_config_whose_secrets_are_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("countersign.toml");
        let table = [
            ("", "records", "log.key"),
            ("[gateway]\nrecords = \"file://./evidence\"\nstate = \"sqlite://s/state.db\"\n", "evidence", "s/log.key"),
            (
                "[gateway]\nlog_key = { file = \"k\" }\n[[connection]]\nname = \"shop\"\npassword = { env = \"NOT_HERE\" }\n",
                "records",
                "k",
            ),
        ];
        for (text, records, key) in table {
            std::fs::write(&file, text).unwrap();
            let at = |name: &str| folder.path().join(name);
            let found = places(&file).unwrap();
            assert_eq!((found.folder, found.log_key), (at(records), at(key)), "{text}");
            assert!(found.bucket.is_none());
        }
        std::fs::write(&file, "[gateway]\nrecords = \"s3://bucket\"\n").unwrap();
        assert!(places(&file).is_err(), "no [s3]");
        let s3 =
            "[gateway]\nrecords = \"s3://bucket/log\"\n[s3]\nregion = \"eu-1\"\nlock = \"governance\"\nkeep = \"1d\"\n";
        std::fs::write(&file, s3).unwrap();
        let found = places(&file).unwrap();
        assert_eq!(found.folder, folder.path().join("records"), "the spool");
        assert_eq!(found.bucket.unwrap().to_string(), "s3://bucket/log");
        assert!(places(&at_nowhere(&file)).is_err());
    }

    fn at_nowhere(file: &Path) -> PathBuf {
        file.with_file_name("nowhere.toml")
    }
}
