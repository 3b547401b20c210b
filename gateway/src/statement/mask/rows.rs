//! RowDescription and DataRow under a plan (manual, Message Formats).

use bytes::{BufMut as _, BytesMut};

use super::{
    plan::{Leaves, Plan, Shown},
    rules::Mask,
    sensitive::Sensitive,
    value::{HashKey, Kind, masked},
};
use crate::wire::{Fields, Violation};

/// A column as RowDescription tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The table's oid, and the column's number in it; 0 where it is none.
    pub table: u32,
    /// Its number.
    pub column: u16,
    /// The type's oid.
    pub of_type: u32,
    /// The type's modifier.
    pub modifier: i32,
    /// 0 text, 1 binary.
    pub format: u16,
}

/// Reads a RowDescription's body.
///
/// # Errors
/// Where the fields do not fill it.
pub fn description(body: &[u8]) -> Result<Vec<Field>, Violation> {
    let mut fields = Fields::of(body);
    let mut all = Vec::new();
    for _ in 0..fields.u16()? {
        let end = fields.rest().iter().position(|b| *b == 0).ok_or_else(|| Violation::new("a name has no end"))?;
        fields.take(end + 1)?;
        let table = fields.i32()?.cast_unsigned();
        let column = fields.u16()?;
        let of_type = fields.i32()?.cast_unsigned();
        fields.u16()?;
        let modifier = fields.i32()?;
        let format = fields.u16()?;
        all.push(Field { table, column, of_type, modifier, format });
    }
    fields.end()?;
    Ok(all)
}

/// What is done to each column of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowMask(Vec<Option<Hides>>);

/// How a column is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hides {
    mask: Mask,
    kind: Kind,
    binary: bool,
    /// NULL, too: of an expression it says whatever somebody asks of the columns that it rests on.
    nulls: bool,
}

impl RowMask {
    /// For rows of this description. Where it contradicts the plan, every column is redacted.
    #[must_use]
    pub fn new(
        leaves: &Leaves,
        fields: &[Field],
        plan: &Plan,
        sensitive: &Sensitive,
        type_name: impl Fn(u32) -> Option<String>,
    ) -> Self {
        let kind = |field: &Field| Kind::of(field.of_type, field.modifier, type_name(field.of_type).as_deref());
        let hides = |field: &Field, mask: Mask, nulls: bool| {
            Some(Hides { mask, kind: kind(field), binary: field.format == 1, nulls })
        };
        let whole = || Self(fields.iter().map(|field| hides(field, Mask::Redact, true)).collect());
        let clear = Vec::new();
        let shown = match leaves {
            Leaves::Whole => return whole(),
            Leaves::Clear => &clear,
            Leaves::Columns(shown) if shown.len() == fields.len() => shown,
            Leaves::Columns(_) => return whole(),
        };
        let mut columns = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            let named = sensitive.by_number(field.table, field.column);
            columns.push(match shown.get(at).copied().unwrap_or(Shown::Clear) {
                // The server says that it is a column that the plan says it is not.
                Shown::Clear if named.is_some_and(|column| !plan.permitted.contains(column)) => return whole(),
                Shown::Clear => None,
                Shown::Computed => hides(field, Mask::Redact, true),
                Shown::Masked(mask) => {
                    // A partial mask is for the column itself. What the server can't name is none; and a
                    // table with classified columns names the very one.
                    let is_it = field.table != 0 && field.column != 0;
                    let contradicts = sensitive.has_oid(field.table) && named.is_none();
                    let is_it = is_it && !contradicts;
                    hides(field, if is_it { mask } else { Mask::Redact }, !is_it)
                }
            });
        }
        Self(columns)
    }

    /// Whether nothing is done.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Writes a DataRow, of which `body` is the body, with its masks.
    ///
    /// # Errors
    /// Where it has other columns than its description.
    pub fn write(&self, body: &[u8], key: &HashKey, out: &mut BytesMut) -> Result<(), Violation> {
        let mut fields = Fields::of(body);
        let count = usize::from(fields.u16()?);
        if count != self.0.len() {
            return Err(Violation::new("a row has other columns than its description"));
        }
        let start = out.len();
        out.put_u8(b'D');
        out.put_u32(0);
        out.extend_from_slice(&body[..2]);
        for column in &self.0 {
            let length = fields.i32()?;
            let value = match usize::try_from(length) {
                Ok(size) => fields.take(size)?,
                Err(_) if column.is_some_and(|column| column.nulls) => b"",
                Err(_) => {
                    out.put_i32(-1);
                    continue;
                }
            };
            match column {
                None => {
                    out.put_i32(length);
                    out.extend_from_slice(value);
                }
                Some(Hides { mask, kind, binary, .. }) => match masked(*mask, *kind, *binary, value, key) {
                    None => out.put_i32(-1),
                    Some(value) => {
                        out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                        out.extend_from_slice(&value);
                    }
                },
            }
        }
        fields.end()?;
        let length = u32::try_from(out.len() - start - 1).map_err(|_| Violation::new("a row is too long"))?;
        out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            match value {
                None => body.extend((-1_i32).to_be_bytes()),
                Some(value) => {
                    body.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
                    body.extend(*value);
                }
            }
        }
        body
    }

    fn field(table: u32, column: u16) -> Field {
        Field { table, column, of_type: 25, modifier: -1, format: 0 }
    }

    #[test]
    fn a_row_keeps_its_shape() {
        let hides = |mask, kind, nulls| Some(Hides { mask, kind, binary: false, nulls });
        let mask =
            RowMask(vec![None, hides(Mask::Redact, Kind::Text(None), false), hides(Mask::Null, Kind::Other, false)]);
        let mut out = BytesMut::new();
        let key = HashKey::new(b"k");
        mask.write(&row(&[Some(b"1"), Some(b"canary"), Some(b"x")]), &key, &mut out).unwrap();
        assert_eq!(&out[5..], row(&[Some(b"1"), Some(b"[redacted]"), None]));
        assert_eq!(u32::from_be_bytes(out[1..5].try_into().unwrap()) as usize, out.len() - 1);
        let mut out = BytesMut::new();
        mask.write(&row(&[None, None, None]), &key, &mut out).unwrap();
        assert_eq!(&out[5..], row(&[None, None, None]), "NULL stays NULL");
        let computed =
            RowMask(vec![None, hides(Mask::Redact, Kind::Text(None), true), hides(Mask::Redact, Kind::Other, true)]);
        let mut of_nulls = BytesMut::new();
        computed.write(&row(&[None, None, None]), &key, &mut of_nulls).unwrap();
        let mut of_values = BytesMut::new();
        computed.write(&row(&[None, Some(b"canary"), Some(b"1")]), &key, &mut of_values).unwrap();
        assert_eq!(of_nulls, of_values, "of an expression nobody learns whether it is NULL");
        assert!(mask.write(&row(&[None, None]), &key, &mut out).is_err(), "another shape");
        assert!(mask.write(&row(&[None, None, None])[..10], &key, &mut out).is_err(), "cut");
    }

    #[test]
    fn a_description_that_contradicts_the_plan_masks_all() {
        let sensitive = Sensitive::default();
        let new =
            |leaves: &Leaves, fields: &[Field]| RowMask::new(leaves, fields, &Plan::default(), &sensitive, |_| None);
        let two = Leaves::Columns(vec![Shown::Clear, Shown::Masked(Mask::Email)]);
        let all = |mask: &RowMask| mask.0.iter().all(|column| matches!(column, Some(Hides { mask: Mask::Redact, .. })));
        assert!(all(&new(&two, &[field(9, 1)])), "another number of columns");
        assert!(all(&new(&Leaves::Whole, &[field(9, 1), field(0, 0)])));
        let found = new(&two, &[field(9, 1), field(0, 0)]);
        assert_eq!(found.0[1].map(|hides| hides.mask), Some(Mask::Redact), "what the server can't name is redacted");
        let found = new(&two, &[field(9, 1), field(9, 2)]);
        assert_eq!(found.0[1].map(|hides| hides.mask), Some(Mask::Email));
    }
}
