//! Where the evidence lies, by a config of which nothing else is looked at: whoever reads records needs
//! no secrets.

use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::{
    Problem, gateway,
    reader::{Document, Table},
};

/// Where the evidence lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The folder of records and log.
    pub records: PathBuf,
    /// The key that signs checkpoints.
    pub log_key: PathBuf,
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
    let (records, log_key) = gateway::evidence(&table);
    let (problems, _) = doc.into_findings();
    if problems.is_empty() { Ok(Places { records, log_key }) } else { Err(problems) }
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
            assert_eq!(places(&file), Ok(Places { records: at(records), log_key: at(key) }), "{text}");
        }
        std::fs::write(&file, "[gateway]\nrecords = \"s3://bucket\"\n").unwrap();
        assert!(places(&file).is_err());
        assert!(places(&at_nowhere(&file)).is_err());
    }

    fn at_nowhere(file: &Path) -> PathBuf {
        file.with_file_name("nowhere.toml")
    }
}
