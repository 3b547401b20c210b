//! Which resources (RFC 7644, section 3.4.2): filter, order, page.

use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    filter::{Filter, parse, values},
    path::Path,
    project::Projection,
    schema::Type,
    sorry::Sorry,
};

/// The most resources in one answer.
pub const MOST_LISTED: usize = 1000;

/// The parameters of a list, as a query or as the body of a search.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Parameters {
    filter: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start_index: Option<Number>,
    count: Option<Number>,
    attributes: Option<Names>,
    excluded_attributes: Option<Names>,
}

/// A number; in a query it is a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Number(i64),
    Text(String),
}

/// A list of names; in a query it is one text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Names {
    Text(String),
    List(Vec<String>),
}

impl Number {
    fn value(&self, name: &str) -> Result<i64, Sorry> {
        let wrong = |_| Sorry::value(format!("{name} is a whole number."));
        match self {
            Self::Number(number) => Ok(*number),
            Self::Text(text) => text.trim().parse().map_err(wrong),
        }
    }
}

impl Names {
    fn all(&self) -> Vec<String> {
        let parts: Vec<&str> = match self {
            Self::Text(text) => text.split(',').collect(),
            Self::List(all) => all.iter().map(String::as_str).collect(),
        };
        parts.into_iter().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}

/// A list that was asked for.
#[derive(Debug)]
pub struct Query {
    /// What each must be like.
    pub filter: Option<Filter>,
    sort: Option<(Path, bool)>,
    start: usize,
    count: usize,
    /// What of each is shown.
    pub shown: Projection,
}

impl Query {
    /// Reads the parameters.
    ///
    /// # Errors
    /// `invalidFilter`, `invalidPath`, `invalidValue`.
    pub fn of(kind: &'static Type, parameters: &Parameters) -> Result<Self, Sorry> {
        let filter = parameters.filter.as_deref().map(|text| parse(kind, text)).transpose()?;
        let descending = match parameters.sort_order.as_deref() {
            None => false,
            Some(order) if order.eq_ignore_ascii_case("ascending") => false,
            Some(order) if order.eq_ignore_ascii_case("descending") => true,
            Some(_) => return Err(Sorry::value("sortOrder is ascending or descending.")),
        };
        let by = |name: &str| {
            let path = Path::parse(kind, name).map_err(|_| Sorry::path(format!("There is no attribute {name:?}.")))?;
            Ok::<_, Sorry>((path, descending))
        };
        let sort = parameters.sort_by.as_deref().map(by).transpose()?;
        let number = |number: &Option<Number>, name| number.as_ref().map(|number| number.value(name)).transpose();
        // Less than 1 is 1, a negative count is 0 (section 3.4.2.4).
        let start = number(&parameters.start_index, "startIndex")?.unwrap_or(1).max(1);
        let most = i64::try_from(MOST_LISTED).unwrap_or(i64::MAX);
        let count = number(&parameters.count, "count")?.unwrap_or(most).clamp(0, most);
        Ok(Self {
            filter,
            sort,
            start: usize::try_from(start).unwrap_or(usize::MAX),
            count: usize::try_from(count).unwrap_or(0),
            shown: Self::shown(kind, parameters)?,
        })
    }

    /// Only what of a resource is to be shown.
    ///
    /// # Errors
    /// `invalidValue`.
    pub fn shown(kind: &'static Type, parameters: &Parameters) -> Result<Projection, Sorry> {
        let names = |names: &Option<Names>| names.as_ref().map(Names::all).filter(|names| !names.is_empty());
        Projection::of(kind, names(&parameters.attributes), names(&parameters.excluded_attributes))
    }

    /// Those of `all` that fit, in order, as they are shown.
    #[must_use]
    pub fn matching(&self, mut all: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
        if let Some(filter) = &self.filter {
            all.retain(|resource| filter.fits(resource));
        }
        if let Some((path, descending)) = &self.sort {
            all.sort_by(|a, b| {
                let order = in_order(path, a, b);
                if *descending { order.reverse() } else { order }
            });
        }
        all.into_iter().map(|one| self.shown.of_resource(one)).collect()
    }

    /// The page that was asked for, as a list (section 3.4.2).
    #[must_use]
    pub fn page(&self, matching: Vec<Map<String, Value>>) -> Value {
        let total = matching.len();
        let page: Vec<Value> = matching.into_iter().skip(self.start - 1).take(self.count).map(Value::Object).collect();
        json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": total, "startIndex": self.start, "itemsPerPage": page.len(), "Resources": page,
        })
    }
}

/// By the primary or first value; what has none comes last (section 3.4.2.3).
fn in_order(path: &Path, a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    let key = |resource| {
        let path = match path.last().sub("value") {
            Some(value) if path.sub.is_none() => Path { sub: Some(value), ..*path },
            _ => *path,
        };
        values(&path, resource).first().map(|value| match value {
            Value::String(text) if !path.last().exact => text.to_lowercase(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    };
    match (key(a), key(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}
