//! Which namespace goes where, by rule. Not here: opening them.

use std::collections::BTreeMap;

use mnemic::{Error, Namespace, ids::quoted};

use crate::exit::{Failure, Result};

/// Options that say which namespaces move, and under which names.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Rules {
    /// The target's namespace; the source's name if absent
    #[arg(long, value_name = "NAME", conflicts_with_all = ["all_namespaces", "map", "prefix"])]
    to_namespace: Option<String>,
    /// Every namespace
    #[arg(long)]
    all_namespaces: bool,
    /// Give a namespace another name in the target; repeat it for several. Without --all-namespaces only these move
    #[arg(long, value_name = "OLD=NEW")]
    map: Vec<Route>,
    /// What stands before the name of each namespace in the target, but of those that --map names
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
}

/// One `--map`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Route {
    old: Namespace,
    new: Namespace,
}

impl std::str::FromStr for Route {
    type Err = Error;

    fn from_str(text: &str) -> mnemic::Result<Self> {
        let (old, new) = text.split_once('=').ok_or_else(|| Error::invalid("map", "OLD=NEW", quoted(text)))?;
        Ok(Self { old: Namespace::new(old)?, new: Namespace::new(new)? })
    }
}

impl Rules {
    /// The rules as they were typed, each after a space.
    pub(super) fn typed(&self) -> String {
        let mut typed: Vec<String> = Vec::new();
        typed.extend(self.to_namespace.iter().map(|name| format!(" --to-namespace {name}")));
        typed.extend(self.all_namespaces.then(|| " --all-namespaces".to_owned()));
        typed.extend(self.map.iter().map(|Route { old, new }| format!(" --map {old}={new}")));
        typed.extend((!self.prefix.is_empty()).then(|| format!(" --prefix {}", self.prefix)));
        typed.concat()
    }

    /// From where to where. `every` lists the namespaces of the source, if they are asked for.
    pub(super) async fn routes<F>(
        &self,
        own: &Namespace,
        every: impl FnOnce() -> F,
    ) -> Result<Vec<(Namespace, Namespace)>>
    where
        F: Future<Output = Result<Vec<Namespace>>>,
    {
        if let Some(name) = &self.to_namespace {
            return Ok(vec![(own.clone(), Namespace::new(name)?)]);
        }
        let moving = match (self.all_namespaces, self.map.is_empty()) {
            (true, _) => every().await?,
            (false, true) => vec![own.clone()],
            (false, false) => self.map.iter().map(|route| route.old.clone()).collect(),
        };
        self.named(moving)
    }

    fn named(&self, moving: Vec<Namespace>) -> Result<Vec<(Namespace, Namespace)>> {
        for (at, route) in self.map.iter().enumerate() {
            if self.map.iter().take(at).any(|other| other.old == route.old) {
                return Err(Failure::usage(format!("map: expected one name for {}, found two", route.old)));
            }
            if !moving.contains(&route.old) {
                return Err(Failure::usage(format!("map: expected a namespace of the source, found {}", route.old)));
            }
        }
        let mut taken: BTreeMap<Namespace, Namespace> = BTreeMap::new();
        let mut routes = Vec::with_capacity(moving.len());
        for from in moving {
            let mapped = self.map.iter().find(|route| route.old == from);
            let to = match mapped {
                Some(route) => route.new.clone(),
                None => Namespace::new(format!("{}{from}", self.prefix))?,
            };
            if let Some(other) = taken.insert(to.clone(), from.clone()) {
                let message =
                    format!("map: expected a name for each namespace, found {other} and {from} both going to {to}");
                return Err(
                    Failure::usage(message).hint("mnemic migrate merge brings several into one, without their history")
                );
            }
            routes.push((from, to));
        }
        Ok(routes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(map: &[&str], prefix: &str) -> Rules {
        let map = map.iter().map(|text| text.parse().unwrap()).collect();
        Rules { map, prefix: prefix.to_owned(), ..Rules::default() }
    }

    fn named(args: &Rules, moving: &[&str]) -> Result<Vec<String>> {
        let moving = moving.iter().map(|name| Namespace::new(*name).unwrap()).collect();
        Ok(args.named(moving)?.into_iter().map(|(from, to)| format!("{from}>{to}")).collect())
    }

    #[test]
    fn a_map_wins_over_the_prefix_and_leaves_the_others_their_names() {
        assert_eq!(named(&args(&["a=x"], "old-"), &["a", "b"]).unwrap(), ["a>x", "b>old-b"]);
        assert_eq!(named(&args(&[], ""), &["a", "b"]).unwrap(), ["a>a", "b>b"]);
    }

    #[test]
    fn two_namespaces_never_meet_in_one() {
        let refused = named(&args(&["a=b"], ""), &["a", "b"]).unwrap_err();
        assert!(refused.message.contains("a and b both going to b"), "{refused}");
        let refused = named(&args(&["a=x", "a=y"], ""), &["a"]).unwrap_err();
        assert!(refused.message.contains("one name for a"), "{refused}");
        let refused = named(&args(&["c=x"], ""), &["a"]).unwrap_err();
        assert!(refused.message.contains("found c"), "{refused}");
        assert!("a".parse::<Route>().is_err() && "a=".parse::<Route>().is_err());
    }
}
