//! Holds the workspace to the arrows of ARCHITECTURE.md: which crate may depend on which, and what each must never reach.
//! Not here: rules inside a crate (its own tests) and rules on files (`cargo xtask tidy`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// One crate of the workspace and its place in the house.
struct Room {
    name: &'static str,
    /// The workspace crates that it may use.
    uses: &'static [&'static str],
    /// The workspace crates that only its tests may use, beside those that it uses.
    tests_use: &'static [&'static str],
    /// What nothing that it links may bring in.
    never_reaches: &'static [&'static str],
}

const CORE: &[&str] = &["mnemic-core"];
const ADAPTERS: &[&str] = &["mnemic-ledgers", "mnemic-indexes", "mnemic-embedders"];
const SUITE: &str = "mnemic-conformance";
const STAND_INS: &str = "mnemic-stand-ins";

const HOUSE: &[Room] = &[
    Room {
        name: "mnemic-core",
        uses: &[],
        tests_use: &[],
        never_reaches: &["serde", "serde_json", "tokio", "rusqlite", "reqwest", "clap"],
    },
    // What adapters of one technology share: no meaning, only the way to reach a server.
    Room {
        name: "mnemic-http",
        uses: CORE,
        tests_use: &[],
        never_reaches: &["rusqlite", "tokio-postgres", "clap", "axum", "pyo3", "rmcp"],
    },
    Room {
        name: "mnemic-postgres",
        uses: CORE,
        tests_use: &[],
        never_reaches: &["rusqlite", "reqwest", "clap", "axum", "pyo3", "rmcp"],
    },
    Room {
        name: "mnemic-ledgers",
        uses: &["mnemic-core", "mnemic-postgres"],
        tests_use: &[SUITE],
        never_reaches: &["reqwest", "clap", "axum", "pyo3", "rmcp"],
    },
    Room {
        name: "mnemic-indexes",
        uses: &["mnemic-core", "mnemic-http", "mnemic-postgres"],
        tests_use: &[SUITE, STAND_INS],
        never_reaches: &["rusqlite", "clap", "axum", "pyo3", "rmcp"],
    },
    Room {
        name: "mnemic-embedders",
        uses: &["mnemic-core", "mnemic-http"],
        tests_use: &[SUITE, STAND_INS],
        never_reaches: &["rusqlite", "tokio-postgres", "clap", "axum", "pyo3", "rmcp"],
    },
    // Around any adapter, knowing none. Its tests hold guarded adapters to the contracts of their ports.
    Room {
        name: "mnemic-layers",
        uses: CORE,
        tests_use: &[SUITE, "mnemic-ledgers", "mnemic-indexes", "mnemic-embedders"],
        never_reaches: &["rusqlite", "reqwest", "tokio-postgres", "clap", "axum", "pyo3", "rmcp"],
    },
    Room {
        name: "mnemic-spool",
        uses: CORE,
        tests_use: &[],
        never_reaches: &["rusqlite", "reqwest", "tokio-postgres", "clap", "axum", "pyo3", "rmcp"],
    },
    // Ports on both sides, and nothing of what is behind them.
    Room {
        name: "mnemic-migration",
        uses: CORE,
        tests_use: ADAPTERS,
        never_reaches: &["rusqlite", "reqwest", "tokio-postgres", "clap", "axum", "pyo3", "rmcp"],
    },
    // It reads one ledger's past to have another repeat it.
    Room {
        name: SUITE,
        uses: &["mnemic-core", "mnemic-migration"],
        tests_use: ADAPTERS,
        never_reaches: &["rusqlite", "reqwest", "axum", "pyo3", "rmcp"],
    },
    Room {
        name: "mnemic",
        uses: &[
            "mnemic-core",
            "mnemic-ledgers",
            "mnemic-indexes",
            "mnemic-embedders",
            // Configuration holds addresses to the transport's rules.
            "mnemic-http",
            "mnemic-layers",
            "mnemic-migration",
            "mnemic-postgres",
            "mnemic-spool",
        ],
        tests_use: &[SUITE, STAND_INS],
        never_reaches: &["clap", "axum", "pyo3", "rmcp"],
    },
    // Other systems keep what it imports in PostgreSQL too, and there is one way to reach such a server.
    Room {
        name: "mnemic-cli",
        uses: &["mnemic", "mnemic-postgres", STAND_INS],
        tests_use: &[],
        never_reaches: &["pyo3", "rmcp"],
    },
    // One artefact for Python: the package's console script is the same command line.
    Room { name: "mnemic-python", uses: &["mnemic", "mnemic-cli"], tests_use: &[], never_reaches: &["rmcp"] },
    // Vendors on loopback, for tests and for `mnemic dev stand-in`. They make embeddings that mean something, by the static model.
    Room {
        name: STAND_INS,
        uses: &["mnemic-core", "mnemic-embedders"],
        tests_use: &["mnemic-http"],
        never_reaches: &["rusqlite", "tokio-postgres", "clap", "pyo3", "rmcp"],
    },
    // Beside the house: they measure and automate, and nothing depends on them. An adapter is measured by itself too.
    Room {
        name: "mnemic-bench",
        uses: &[
            "mnemic",
            "mnemic-core",
            "mnemic-ledgers",
            "mnemic-indexes",
            "mnemic-embedders",
            "mnemic-http",
            "mnemic-migration",
            "mnemic-migration",
            "mnemic-postgres",
            STAND_INS,
        ],
        tests_use: &[],
        never_reaches: &["pyo3", "rmcp"],
    },
    Room { name: "xtask", uses: &[], tests_use: &[], never_reaches: &["tokio"] },
];

/// Who depends on whom: crate names, in the workspace and outside of it.
#[derive(Default)]
struct Graph {
    /// The crates of the workspace.
    members: BTreeSet<String>,
    /// What each crate, of the workspace or not, is linked with.
    links: BTreeMap<String, BTreeSet<String>>,
    /// What the tests of each crate of the workspace use.
    tests: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn of_this_workspace() -> Self {
        let host = env!("CARGO_MANIFEST_DIR");
        let metadata = MetadataCommand::new().manifest_path(format!("{host}/Cargo.toml")).exec().unwrap();
        let names: BTreeMap<_, _> = metadata.packages.iter().map(|p| (&p.id, p.name.to_string())).collect();
        let members: BTreeSet<String> = metadata.workspace_packages().iter().map(|p| p.name.to_string()).collect();
        let mut links: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in &metadata.resolve.as_ref().expect("cargo resolved the workspace").nodes {
            let linked = node.deps.iter().filter(|d| d.dep_kinds.iter().any(|k| k.kind == DependencyKind::Normal));
            links.entry(names[&node.id].clone()).or_default().extend(linked.map(|d| names[&d.pkg].clone()));
        }
        let of_tests = |package: &Package| {
            let used = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Development);
            used.map(|d| d.name.clone()).filter(|name| members.contains(name)).collect::<BTreeSet<_>>()
        };
        let tests = metadata.workspace_packages().iter().map(|p| (p.name.to_string(), of_tests(p))).collect();
        Self { members, links, tests }
    }

    fn linked(&self, name: &str) -> impl Iterator<Item = &String> {
        self.links.get(name).into_iter().flatten()
    }

    /// The way from `name` to a crate called `to`, if there is one.
    fn way(&self, name: &str, to: &str) -> Option<Vec<String>> {
        let mut ways = vec![vec![name.to_owned()]];
        let mut seen = BTreeSet::from([name.to_owned()]);
        while let Some(way) = ways.pop() {
            let last = way.last()?;
            if last == to {
                return Some(way);
            }
            for next in self.linked(last) {
                if seen.insert(next.clone()) {
                    ways.push(way.iter().chain([next]).cloned().collect());
                }
            }
        }
        None
    }
}

/// Every sentence that the graph makes untrue.
fn violations(house: &[Room], graph: &Graph) -> Vec<String> {
    let known: BTreeSet<&str> = house.iter().map(|room| room.name).collect();
    let unplaced = graph.members.iter().filter(|name| !known.contains(name.as_str()));
    let mut found: Vec<String> = unplaced.map(|name| format!("{name} has no place in the house")).collect();
    for room in house.iter().filter(|room| graph.members.contains(room.name)) {
        let ours = |name: &&String| graph.members.contains(name.as_str());
        for used in graph.linked(room.name).filter(ours) {
            if !room.uses.contains(&used.as_str()) {
                found.push(format!("{} uses {used}", room.name));
            }
        }
        for used in graph.tests.get(room.name).into_iter().flatten() {
            if ![room.uses, room.tests_use].concat().contains(&used.as_str()) && used != room.name {
                found.push(format!("the tests of {} use {used}", room.name));
            }
        }
        for never in room.never_reaches {
            if let Some(way) = graph.way(room.name, never) {
                found.push(format!("{} reaches {never}: {}", room.name, way.join(" → ")));
            }
        }
    }
    found
}

#[test]
fn the_workspace_keeps_to_the_arrows() {
    assert_eq!(violations(HOUSE, &Graph::of_this_workspace()), Vec::<String>::new());
}

#[test]
fn every_rule_speaks_of_a_crate_that_exists() {
    let graph = Graph::of_this_workspace();
    let absent: Vec<_> = HOUSE.iter().map(|room| room.name).filter(|name| !graph.members.contains(*name)).collect();
    assert!(absent.is_empty(), "{absent:?} are in the table and not in the workspace");
}

#[test]
fn the_workspace_was_really_read() {
    let graph = Graph::of_this_workspace();
    assert!(graph.way("mnemic-cli", "mnemic-core").is_some(), "the command line reaches the core through the facade");
    assert!(graph.way("mnemic-ledgers", "rusqlite").is_some(), "the durable ledger stands on SQLite");
}

/// A small house that keeps to the arrows, with `links` and `tests` added to it.
fn fabricated(links: &[(&str, &str)], tests: &[(&str, &str)]) -> Vec<String> {
    let sound = [
        ("mnemic-ledgers", "mnemic-core"),
        ("mnemic-indexes", "mnemic-core"),
        ("mnemic-embedders", "mnemic-core"),
        (SUITE, "mnemic-core"),
        ("mnemic", "mnemic-ledgers"),
        ("mnemic-cli", "mnemic"),
    ];
    let mut graph = Graph { members: HOUSE.iter().map(|room| room.name.to_owned()).collect(), ..Graph::default() };
    for (from, to) in sound.iter().chain(links) {
        graph.links.entry((*from).to_owned()).or_default().insert((*to).to_owned());
    }
    for (from, to) in tests {
        graph.tests.entry((*from).to_owned()).or_default().insert((*to).to_owned());
    }
    violations(HOUSE, &graph)
}

#[test]
fn a_sound_house_passes() {
    let tests = [("mnemic-ledgers", SUITE), (SUITE, "mnemic-ledgers"), ("mnemic", SUITE)];
    assert_eq!(fabricated(&[("mnemic-ledgers", "rusqlite"), ("mnemic-cli", "clap")], &tests), Vec::<String>::new());
}

#[test]
fn a_core_that_uses_a_crate_of_the_workspace_fails() {
    assert!(fabricated(&[("mnemic-core", "xtask")], &[]).contains(&"mnemic-core uses xtask".to_owned()));
}

#[test]
fn a_core_that_reaches_a_framework_fails_and_the_way_is_told() {
    for framework in ["serde", "serde_json", "tokio", "rusqlite", "reqwest", "clap"] {
        let found = fabricated(&[("mnemic-core", "helper"), ("helper", framework)], &[]);
        let told = format!("mnemic-core reaches {framework}: mnemic-core → helper → {framework}");
        assert!(found.contains(&told), "{found:?}");
    }
}

#[test]
fn adapters_that_see_each_other_or_the_facade_fail() {
    for adapter in ADAPTERS {
        for other in ADAPTERS.iter().chain(&["mnemic"]).filter(|other| *other != adapter) {
            assert!(fabricated(&[(adapter, other)], &[]).contains(&format!("{adapter} uses {other}")));
        }
    }
}

#[test]
fn a_suite_that_is_linked_into_the_product_fails() {
    for name in ["mnemic-ledgers", "mnemic", "mnemic-cli"] {
        assert_eq!(fabricated(&[(name, SUITE)], &[]), [format!("{name} uses {SUITE}")]);
    }
}

#[test]
fn a_suite_that_knows_an_adapter_fails_unless_only_its_tests_do() {
    assert_eq!(fabricated(&[(SUITE, "mnemic-ledgers")], &[]), [format!("{SUITE} uses mnemic-ledgers")]);
    assert_eq!(fabricated(&[], &[(SUITE, "mnemic-ledgers")]), Vec::<String>::new());
}

#[test]
fn a_facade_that_reaches_a_door_fails() {
    for framework in ["clap", "axum", "pyo3", "rmcp"] {
        let found = fabricated(&[("mnemic", framework)], &[]);
        assert!(found.contains(&format!("mnemic reaches {framework}: mnemic → {framework}")), "{found:?}");
    }
}

#[test]
fn a_door_that_goes_around_the_facade_fails() {
    for name in ["mnemic-core", "mnemic-ledgers", "mnemic-indexes", "mnemic-embedders"] {
        assert_eq!(fabricated(&[("mnemic-cli", name)], &[]), [format!("mnemic-cli uses {name}")]);
        assert_eq!(fabricated(&[], &[("mnemic-cli", name)]), [format!("the tests of mnemic-cli use {name}")]);
    }
}

#[test]
fn a_new_crate_fails_until_it_is_placed() {
    let graph = Graph { members: BTreeSet::from(["mnemic-new".to_owned()]), ..Graph::default() };
    assert_eq!(violations(HOUSE, &graph), ["mnemic-new has no place in the house"]);
}

/// The files that every folder of a kind of adapter has: who knows one knows where to look in all.
const SIBLINGS: &[(&str, &[&str])] = &[
    ("mnemic-ledgers", &["mod.rs", "commit.rs", "erase.rs", "events.rs", "feed.rs", "records.rs", "slots.rs"]),
    ("mnemic-indexes", &["mod.rs", "config.rs", "error.rs", "filter.rs"]),
    ("mnemic-embedders", &["mod.rs"]),
];

/// Adapters that share a folder without a `mod.rs` beside theirs, where those of their siblings' files lie that are alike in both.
const SHARED: &[(&str, &[&str])] =
    &[("pgvector", &["error.rs", "filter.rs"]), ("postgres_text", &["error.rs", "filter.rs"])];

/// What is missing in `held`, the names of the files of one folder.
fn missing<'a>(expected: &[&'a str], held: &BTreeSet<String>) -> Vec<&'a str> {
    expected.iter().copied().filter(|name| !held.contains(*name)).collect()
}

#[test]
fn adapters_of_one_kind_have_the_same_files() {
    for (name, expected) in SIBLINGS {
        let source = format!("{}/../{name}/src", env!("CARGO_MANIFEST_DIR"));
        let entries = fs::read_dir(&source).unwrap().map(Result::unwrap);
        for folder in entries.filter(|entry| entry.path().join("mod.rs").is_file()) {
            let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
            let mut held: BTreeSet<String> = files.map(|file| file.into_string().unwrap()).collect();
            let shared = SHARED.iter().find(|(adapter, _)| folder.file_name() == *adapter);
            held.extend(shared.into_iter().flat_map(|(_, files)| *files).map(|&file| file.to_owned()));
            assert_eq!(missing(expected, &held), Vec::<&str>::new(), "in {}", folder.path().display());
        }
    }
}

#[test]
fn a_folder_without_a_sibling_file_is_told() {
    assert_eq!(missing(&["mod.rs", "error.rs"], &BTreeSet::from(["mod.rs".to_owned()])), ["error.rs"]);
}
