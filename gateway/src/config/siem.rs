//! `[siem]`.

use toml::{Spanned, de::DeValue};

use super::{reader::Table, secrets::secret, values};
use crate::{records::export::Format, siem::SiemConfig};

pub(super) fn read(table: &Table<'_>) -> Option<SiemConfig> {
    table.must("url", "where entries are posted: \"https://collector.acme.dev/countersign\"");
    // One with a key in it is a secret: the config stands in the log, and in what is sent.
    let url = if matches!(table.get("url").map(Spanned::get_ref), Some(DeValue::Table(_))) {
        let at = table.get("url").map_or(table.at, |url| url.span().start);
        secret(table, "url").and_then(|text| match values::web_url(text.reveal()) {
            Ok(url) => Some(url),
            Err(_) => {
                table.doc.problem(at, "what is kept there as `url` is no address of the web", "https://…");
                None
            }
        })
    } else {
        table.read("url", values::web_url).map(|found| found.value)
    };
    let token = secret(table, "token");
    let formats = [("ocsf", Format::Ocsf), ("jsonl", Format::JsonLines)];
    let format = table.read_or("format", Format::Ocsf, values::one_of(&formats));
    table.finish();
    Some(SiemConfig { url: url?, token, format })
}
