//! `[siem]`.

use super::{reader::Table, secrets::secret, values};
use crate::{records::export::Format, siem::SiemConfig};

pub(super) fn read(table: &Table<'_>) -> Option<SiemConfig> {
    table.must("url", "where entries are posted: \"https://collector.acme.dev/countersign\"");
    let url = table.read("url", values::web_url).map(|found| found.value);
    let token = secret(table, "token");
    let formats = [("ocsf", Format::Ocsf), ("jsonl", Format::JsonLines)];
    let format = table.read_or("format", Format::Ocsf, values::one_of(&formats));
    table.finish();
    Some(SiemConfig { url: url?, token, format })
}
