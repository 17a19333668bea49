//! Importing what other systems wrote: files that the real systems made (`fixtures/importers`), through the real program, until
//! retrieval finds them. Not here: making such files anew (`python/tests/integrations/importers`), Mnemic's own formats
//! (`import_export`).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod support;

use std::fs;

use serde_json::{Value, json};
use support::Home;

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/importers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What an import that refuses nothing says.
#[track_caller]
fn import(home: &Home, name: &str, more: &[&str]) -> Value {
    home.data(&[&["import", &fixture(name)], more].concat())
}

/// The counts of an import, and what it refuses by number and field.
#[track_caller]
fn import_with_faults(home: &Home, name: &str, more: &[&str]) -> (Value, Vec<(u64, String)>) {
    let envelope = home.envelope(&[&["import", &fixture(name)], more].concat());
    assert_eq!(envelope["error"]["code"], "lines_refused", "{envelope}");
    let fault = |fault: &Value| {
        let number = fault["row"].as_u64().or_else(|| fault["line"].as_u64()).unwrap();
        (number, fault["field"].as_str().unwrap().to_owned())
    };
    let faults = envelope["data"]["faults"].as_array().unwrap().iter().map(fault).collect();
    (envelope["data"].clone(), faults)
}

fn record(home: &Home, id: &str, more: &[&str]) -> Value {
    home.data(&[&["get", id], more].concat())["records"][0].clone()
}

/// Importing the same again changes nothing.
#[track_caller]
fn assert_again(home: &Home, name: &str, more: &[&str]) {
    let envelope = home.envelope(&[&["import", &fixture(name)], more].concat());
    let total = &envelope["data"]["total"];
    assert_eq!(
        (&total["new"], &total["replaced"], &total["events"]),
        (&json!(0), &json!(0), &Value::Null),
        "{envelope}"
    );
}

#[test]
fn the_mcp_memory_servers_graph_is_found_by_what_it_observed_and_relates() {
    let home = Home::new();
    let data = import(&home, "memory.jsonl", &[]);
    assert_eq!((data["format"].as_str(), &data["total"]["new"]), (Some("mcp-memory"), &json!(5)));
    assert!(home.found(&["who drinks green tea"])[0].starts_with("Marta (person)\n- Marta drinks green tea"));
    assert!(home.found(&["помидоры"])[0].contains("Line one\nline two"));
    assert_eq!(home.found(&["Marta travels by"])[0], "Marta travels by Night train");
    let entity = record(&home, "entity:Night train", &[]);
    assert_eq!(entity["metadata"]["entity_type"], "event");
    assert_eq!(entity["source"], "mcp-memory");
    assert_again(&home, "memory.jsonl", &[]);
}

#[test]
fn forgetting_a_relation_leaves_its_entities() {
    let home = Home::new();
    import(&home, "memory.jsonl", &[]);
    let relation = home.data(&["search", "Marta travels by"])["hits"][0]["record"]["id"].as_str().unwrap().to_owned();
    assert!(relation.starts_with("relation-"), "{relation}");
    home.ok(&["forget", "--id", &relation, "--yes"]);
    assert_eq!(home.data(&["stats"])["records"], 4);
}

#[test]
fn memories_of_mem0_keep_id_user_run_times_and_metadata() {
    let home = Home::new();
    let data = import(&home, "mem0.json", &[]);
    assert_eq!((data["format"].as_str(), &data["rows"], &data["total"]["new"]), (Some("mem0"), &json!(2), &json!(2)));
    let hits = home.data(&["search", "when does the train to Tallinn leave", "--user", "marta"]);
    let found = &hits["hits"][0]["record"];
    assert_eq!(found["text"], "The night train to Tallinn leaves at ten");
    let said: Value = serde_json::from_str(&fs::read_to_string(fixture("mem0.json")).unwrap()).unwrap();
    let memory = said["results"].as_array().unwrap().iter().find(|one| one["memory"] == found["text"]).unwrap();
    assert_eq!(
        (&found["id"], found["user_id"].as_str(), found["thread_id"].as_str()),
        (&memory["id"], Some("marta"), Some("run-1"))
    );
    assert_eq!(found["metadata"]["deep"], json!({"n": 1}));
    assert_eq!(found["metadata"]["agent_id"], "butler");
    assert_eq!(found["metadata"]["imported_from"], json!({"system": "mem0", "id": memory["id"]}));
    let kept = |key: &str| memory[key].as_str().unwrap().replace("+00:00", "Z");
    assert_eq!(
        (found["created_at"].as_str(), found["updated_at"].as_str()),
        (Some(&*kept("created_at")), Some(&*kept("updated_at")))
    );
    assert_again(&home, "mem0.json", &[]);
}

#[test]
fn the_history_of_mem0_becomes_events_that_its_records_come_from_in_either_order() {
    let count = |home: &Home| home.data(&["stats"])["events"].as_u64().unwrap();
    let mut homes = Vec::new();
    for order in [["mem0.json", "history.db"], ["history.db", "mem0.json"]] {
        let home = Home::new();
        for name in order {
            import(&home, name, &[]);
        }
        let hits = home.data(&["search", "when does the train to Tallinn leave"]);
        let found = &hits["hits"][0]["record"];
        // What only the answer of mem0 says is there, and what only its history says is too.
        assert_eq!(found["user_id"], "marta");
        assert_eq!(found["provenance"]["events"].as_array().unwrap().len(), 2);
        let thread = format!("mem0:{}", found["id"].as_str().unwrap());
        let shown = home.ok(&["thread", "show", &thread]);
        assert!(shown.contains("memory.added") && shown.contains("leaves at nine"), "{shown}");
        assert!(shown.contains("memory.updated") && shown.contains("leaves at ten"), "{shown}");
        // Both standing memories, and not the deleted one.
        assert_eq!(home.data(&["stats"])["records"], 2);
        let before = count(&home);
        for name in order {
            assert_again(&home, name, &[]);
        }
        assert_eq!(count(&home), before);
        homes.push(home);
    }
    // Forgetting a memory reaches every text that it had.
    let home = homes.remove(0);
    let id = home.data(&["search", "Tallinn"])["hits"][0]["record"]["id"].as_str().unwrap().to_owned();
    home.ok(&["forget", "--id", &id, "--yes"]);
    let export = home.ok(&["export"]);
    assert!(!export.contains("leaves at nine") && export.contains("green tea"), "{export}");
}

#[test]
fn a_table_is_read_by_its_columns_and_rows_without_words_are_told() {
    let home = Home::new();
    let (data, faults) = import_with_faults(&home, "table.csv", &["--column", "text=body"]);
    assert_eq!((data["format"].as_str(), &data["total"]["new"], &data["rows"]), (Some("csv"), &json!(4), &json!(6)));
    assert_eq!(faults, [(6, "text".to_owned())]);
    assert_eq!(data["total"]["embeddings_not_taken"], 3);
    assert_eq!(home.found(&["who grows tomatoes помидоры"])[0], "Беата выращивает помидоры на балконе");
    let lines = record(&home, "lines", &[]);
    assert_eq!(
        (lines["text"].as_str(), lines["user_id"].as_str()),
        (Some("Two lines,\nand \"quotes\""), Some("marta"))
    );
    let tea = record(&home, "tea", &[]);
    assert_eq!((tea["created_at"].as_str(), &tea["metadata"]["topic"]), (Some("2024-02-03T10:00:00Z"), &json!("tea")));
    assert_eq!(tea["metadata"]["imported_from"], json!({"system": "csv", "file": "table.csv"}));
    assert_again(&home, "table.csv", &["--column", "text=body"]);
}

#[test]
fn a_table_without_a_column_of_texts_is_refused_with_its_columns() {
    let said = Home::new().fails(2, &["import", &fixture("table.csv")]);
    assert!(said.contains("the columns id, body, user_id") && said.contains("--column text=NAME"), "{said}");
}

#[test]
fn strict_stops_at_the_first_row_that_cannot_be_kept() {
    let said = Home::new().fails(2, &["import", &fixture("table.csv"), "--column", "text=body", "--strict"]);
    assert!(said.contains("row 6: text: expected a string, found nothing"), "{said}");
}

#[test]
fn a_store_of_langgraph_is_found_by_what_its_own_index_found_it_by() {
    let home = Home::new();
    let data = import(&home, "store.sqlite", &[]);
    assert_eq!((data["format"].as_str(), &data["rows"]), (Some("langgraph"), &json!(5)));
    // Five heads, one piece of a long value, and texts of all but the item that was put without an index.
    assert_eq!(data["total"]["new"], 10);
    assert_eq!(home.found(&["who drinks tea"])[0], "Marta drinks green tea every morning");
    assert_eq!(home.found(&["помидоры"])[0], "Беата выращивает помидоры на балконе");
    assert!(home.found(&["nobody finds this by a query"]).iter().all(|text| !text.contains("nobody")));
    let hit = &home.data(&["search", "green tea"])["hits"][0]["record"];
    assert_eq!(hit["path"], json!(["users", "marta"]));
    assert_eq!(
        hit["metadata"]["imported_from"],
        json!({"system": "langgraph", "namespace": "users.marta", "key": "tea"})
    );
    assert_again(&home, "store.sqlite", &[]);
}

#[test]
fn the_collections_of_chroma_become_namespaces_and_their_documents_are_found() {
    let home = Home::new();
    let (data, faults) = import_with_faults(&home, "chroma", &["--prefix", "c-"]);
    assert_eq!((data["format"].as_str(), &data["total"]["new"]), (Some("chroma"), &json!(102)));
    assert_eq!((faults.len(), faults[0].1.as_str()), (1, "document"));
    let names: Vec<&String> = data["namespaces"].as_object().unwrap().keys().collect();
    let (lines, notes) = (names[0].as_str(), names[1].as_str());
    assert!(lines.starts_with("c-long-lines-") && notes == "c-notes", "{names:?}");
    assert_eq!(data["total"]["embeddings_not_taken"], 102);
    assert_eq!(home.found(&["-n", notes, "when does the train leave"])[0], "The night train to Tallinn leaves at ten");
    assert_eq!(home.found(&["-n", lines, "line number 73 of the long list"])[0], "line number 73 of the long list");
    assert_eq!(home.found(&["-n", lines, "changed late"])[0], "line number 1 was changed late");
    let tea = record(&home, "tea", &["-n", notes]);
    assert_eq!(tea["user_id"], "marta");
    assert_eq!(
        (&tea["metadata"]["n"], &tea["metadata"]["ratio"], &tea["metadata"]["done"]),
        (&json!(3), &json!(0.5), &json!(true))
    );
    assert_eq!(record(&home, "train", &["-n", notes])["metadata"]["labels"], json!(["rail", "night"]));
    assert_eq!(tea["metadata"]["imported_from"], json!({"system": "chroma", "collection": "notes", "id": "tea"}));
    assert_eq!(home.run(&["-n", notes, "get", "gone"]).code, 3);
    assert_again(&home, "chroma", &["--prefix", "c-"]);
    assert_again(&home, "chroma/chroma.sqlite3", &["--prefix", "c-"]);
}

#[test]
fn a_collection_with_writes_that_wait_is_refused() {
    let home = Home::new();
    fs::create_dir(home.path("chroma")).unwrap();
    fs::copy(fixture("chroma/chroma.sqlite3"), home.path("chroma/chroma.sqlite3")).unwrap();
    let database = rusqlite::Connection::open(home.path("chroma/chroma.sqlite3")).unwrap();
    let waiting =
        "INSERT INTO embeddings_queue (operation, topic, id) SELECT 3, topic, 'tea' FROM embeddings_queue LIMIT 1";
    assert_eq!(database.execute(waiting, []).unwrap(), 1);
    let said = home.fails(2, &["import", "chroma"]);
    assert!(said.contains("open it once with Chroma"), "{said}");
}

#[test]
fn a_parquet_file_keeps_types_structures_and_times() {
    let home = Home::new();
    let (data, faults) = import_with_faults(&home, "table-snappy.parquet", &["--column", "text=body"]);
    assert_eq!((data["format"].as_str(), &data["total"]["new"]), (Some("parquet"), &json!(3)));
    assert_eq!(faults, [(4, "text".to_owned())]);
    assert_eq!(data["total"]["embeddings_not_taken"], 3);
    assert_eq!(home.found(&["who drinks tea"])[0], "Marta drinks green tea every morning");
    let tea = record(&home, "tea", &[]);
    assert_eq!((tea["user_id"].as_str(), tea["created_at"].as_str()), (Some("marta"), Some("2024-02-03T10:00:00Z")));
    let metadata = &tea["metadata"];
    assert_eq!((&metadata["about"], &metadata["topic"]), (&json!({"n": 1, "labels": ["a", "b"]}), &json!("tea")));
    assert_eq!((&metadata["score"], &metadata["done"]), (&json!(0.5), &json!(true)));
    assert_again(&home, "table-snappy.parquet", &["--column", "text=body"]);
}

#[test]
fn a_damaged_parquet_file_is_refused_and_nothing_of_it_looks_read() {
    let home = Home::new();
    let whole = fs::read(fixture("table-snappy.parquet")).unwrap();
    fs::write(home.path("cut.parquet"), &whole[..whole.len() / 2]).unwrap();
    home.fails(2, &["import", "cut.parquet", "--column", "text=body"]);
    for place in (4..whole.len()).step_by(41) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        fs::write(home.path("damaged.parquet"), &damaged).unwrap();
        let run = home.run(&["--json", "import", "damaged.parquet", "--column", "text=body", "--dry-run"]);
        assert!((0..=5).contains(&run.code) && !run.err.contains("panicked"), "{place}: {run:?}");
    }
}

#[test]
fn an_embedding_is_taken_if_its_model_is_named_and_is_the_memorys() {
    let source = Home::new();
    for (id, text) in [("tea", "Marta drinks green tea"), ("train", "The night train to Tallinn")] {
        source.ok(&["add", text, "--id", id]);
    }
    let exported = |home: &Home| -> Vec<(String, String, String)> {
        let lines = home.ok(&["export"]);
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let embedding = |line: Value| {
            (text(&line["record"]["id"]), text(&line["embedding"]["model"]), text(&line["embedding"]["f32"]))
        };
        lines.filter(|line| line.get("record").is_some()).map(embedding).collect()
    };
    let made = exported(&source);
    let model = made[0].1.split('@').next().unwrap().to_owned();
    // Each text with the other's embedding, so that one made anew would be told from one that was taken.
    let numbers = |encoded: &str| {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        let bytes = STANDARD.decode(encoded).unwrap();
        let floats: Vec<String> =
            bytes.chunks(4).map(|part| f32::from_le_bytes(part.try_into().unwrap()).to_string()).collect();
        format!("[{}]", floats.join(","))
    };
    let row = |id: &str, text: &str, encoded: &str| format!("{id},{text},\"{}\"\n", numbers(encoded));
    let table = format!(
        "id,text,embedding\n{}{}",
        row("tea", "Marta drinks green tea", &made[1].2),
        row("train", "The night train to Tallinn", &made[0].2)
    );
    let import = |more: &[&str]| {
        let home = Home::new();
        fs::write(home.path("table.csv"), &table).unwrap();
        let data = home.data(&[&["import", "table.csv"], more].concat());
        (exported(&home), data["total"]["embeddings_not_taken"].clone())
    };
    let (taken, not_taken) = import(&["--model", &model]);
    assert_eq!((&taken[0].2, &taken[1].2, not_taken), (&made[1].2, &made[0].2, Value::Null));
    for more in [&[][..], &["--model", "other/model"]] {
        let (anew, not_taken) = import(more);
        assert_eq!((&anew, not_taken), (&made, json!(2)), "{more:?}");
    }
}

#[test]
fn a_database_of_an_unknown_system_is_refused_by_its_tables() {
    let home = Home::new();
    let database = rusqlite::Connection::open(home.path("other.db")).unwrap();
    database.execute_batch("CREATE TABLE recipes (name TEXT)").unwrap();
    let said = home.fails(2, &["import", "other.db"]);
    assert!(said.contains("recipes") && said.contains("import --help"), "{said}");
    let said = home.fails(2, &["import", "other.db", "--format", "langgraph"]);
    assert!(said.contains("a table store"), "{said}");
    fs::write(home.path("cut.db"), &fs::read(fixture("store.sqlite")).unwrap()[..3000]).unwrap();
    assert!(home.run(&["import", "cut.db"]).code != 0);
}

#[test]
fn a_connection_string_is_not_told_and_may_come_from_a_variable() {
    let home = Home::new();
    let dsn = "postgresql://anna:tops3cret@127.0.0.1:1/none?connect_timeout=2";
    let run = home.run(&["import", dsn]);
    assert!(run.code != 0 && !run.err.contains("tops3cret"), "{}", run.err);
    let mut command = home.command(&["import", "env:STORE_DSN", "-vv"]);
    let run = support::finished(command.env("STORE_DSN", dsn));
    assert!(run.code == 5 && !run.err.contains("tops3cret"), "{run:?}");
    assert!(home.fails(2, &["import", "env:ABSENT"]).contains("ABSENT"));
}
