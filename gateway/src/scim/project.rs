//! What of a resource is shown (RFC 7644, section 3.9).

use serde_json::{Map, Value};

use super::{path::Path, schema::Type, sorry::Sorry};

/// What of a resource is shown.
#[derive(Debug)]
pub enum Projection {
    /// All.
    All,
    /// Only this, and what is always there.
    Only(Vec<Path>),
    /// All but this.
    Without(Vec<Path>),
}

impl Projection {
    /// From the parameters `attributes` and `excludedAttributes`. Names of nothing show nothing.
    ///
    /// # Errors
    /// `invalidValue` where both are there.
    pub fn of(kind: &Type, only: Option<Vec<String>>, without: Option<Vec<String>>) -> Result<Self, Sorry> {
        let paths = |names: Vec<String>| names.iter().filter_map(|name| Path::parse(kind, name).ok()).collect();
        match (only, without) {
            (None, None) => Ok(Self::All),
            (Some(only), None) => Ok(Self::Only(paths(only))),
            (None, Some(without)) => Ok(Self::Without(paths(without))),
            (Some(_), Some(_)) => Err(Sorry::value("Either attributes or excludedAttributes, not both.")),
        }
    }

    /// The resource as it is shown.
    #[must_use]
    pub fn of_resource(&self, mut resource: Map<String, Value>) -> Map<String, Value> {
        match self {
            Self::All => resource,
            Self::Only(paths) => {
                resource.retain(|name, value| {
                    let named: Vec<_> = paths.iter().filter(|path| path.attribute.name == name).collect();
                    if is_always_shown(name) || named.iter().any(|path| path.sub.is_none()) {
                        return true;
                    }
                    each(value, |one| {
                        one.retain(|below, _| named.iter().any(|path| path.sub.is_some_and(|sub| sub.name == below)));
                    });
                    !named.is_empty()
                });
                resource
            }
            Self::Without(paths) => {
                for path in paths.iter().filter(|path| !is_always_shown(path.attribute.name)) {
                    match (path.sub, resource.get_mut(path.attribute.name)) {
                        (Some(sub), Some(value)) => each(value, |one| drop(one.remove(sub.name))),
                        (Some(_), None) => {}
                        (None, _) => drop(resource.remove(path.attribute.name)),
                    }
                }
                resource
            }
        }
    }
}

fn is_always_shown(name: &str) -> bool {
    super::schema::COMMON.iter().any(|attribute| attribute.always && attribute.name == name)
}

fn each(value: &mut Value, mut work: impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Array(all) => all.iter_mut().filter_map(Value::as_object_mut).for_each(work),
        Value::Object(one) => work(one),
        _ => {}
    }
}
