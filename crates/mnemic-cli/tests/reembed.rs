//! `mnemic reembed` as it is typed: another model's embeddings are made, compared, switched to, taken back, and the old ones removed,
//! while every other command goes on as before. Not here: what happens to tasks that write meanwhile (the facade's tests).

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

mod support;

use mnemic_stand_ins::{Knobs, Running, vendors};
use serde_json::{Value, json};
use support::Home;

/// A home with a memory, and a file that names the same memory with a vendor's model.
fn furnished() -> (Home, Running) {
    let home = Home::new();
    let lines: Vec<String> = (0..40)
        .map(|i| {
            let (who, what) =
                (["Anna", "Boris", "Clara"][i % 3], ["filing fee", "hearing", "work permit", "visa"][i % 4]);
            let record = json!({ "id": format!("r{i}"), "text": format!("{who} asked about the {what}, matter {i}.") });
            format!("{record}\n")
        })
        .collect();
    std::fs::write(home.path("records.jsonl"), lines.concat()).unwrap();
    home.ok(&["import", "records.jsonl"]);
    let vendor = vendors().iter().find(|vendor| vendor.name == "openai").unwrap();
    let running = (vendor.serve)(0, Knobs::new()).unwrap();
    let variables = [
        ("MNEMIC_DIR", "memory".to_owned()),
        ("MNEMIC_EMBEDDER", "openai".to_owned()),
        ("OPENAI_API_KEY", "stand-in".to_owned()),
        ("MNEMIC_EMBEDDER_URL", format!("{}/v1", running.url())),
        ("MNEMIC_EMBEDDING_MODEL", "text-embedding-3-small".to_owned()),
        ("MNEMIC_EMBEDDING_DIMENSION", "512".to_owned()),
    ];
    let lines: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    std::fs::write(home.path("new.env"), lines.concat()).unwrap();
    (home, running)
}

/// What is told of the models of the stored embeddings.
fn model(home: &Home) -> String {
    home.data(&["stats"]).to_string()
}

fn step(home: &Home, step: &[&str]) -> Value {
    home.data(&[&["reembed", step[0], "--to-env", "new.env"], &step[1..]].concat())
}

#[test]
fn the_whole_way_there_back_and_there_again() {
    let (home, _vendor) = furnished();
    let plan = step(&home, &["plan"]);
    assert_eq!((&plan["texts"], &plan["price"], &plan["done"]), (&json!(40), &json!("listed"), &json!(0)), "{plan}");
    assert_eq!(plan["target"], "default-text-embedding-3-small-512", "{plan}");
    assert!(plan["tokens"].as_u64().unwrap() > 200 && plan["dollars"].as_f64().unwrap() > 0.0, "{plan}");
    assert!(!home.namespace("default-text-embedding-3-small-512").exists(), "a plan writes nothing");
    let text = home.ok(&["reembed", "plan", "--to-env", "new.env"]);
    assert!(text.contains("40, about") && text.contains("by the vendor's list ($0.02 for a million tokens)"), "{text}");

    home.fails(3, &["reembed", "switch", "--to-env", "new.env"]);
    assert_eq!(step(&home, &["run"])["changes"], plan["changes"]);
    home.ok(&["add", "--id", "late", "Written after the first run."]);
    home.fails(7, &["reembed", "compare", "--to-env", "new.env"]);
    step(&home, &["run"]);
    let questions = [
        json!({ "question": "matter 7", "evidence": ["r7"] }),
        json!({ "question": "written after the run", "evidence": ["late"] }),
        json!({ "question": "hearing" }),
    ];
    std::fs::write(home.path("asked.jsonl"), questions.map(|question| format!("{question}\n")).concat()).unwrap();
    let report = step(&home, &["compare", "--queries", "asked.jsonl"]);
    assert_eq!((&report["same"], &report["embeddings"]), (&json!(true), &json!(41)), "{report}");
    let quality = &report["quality"];
    assert_eq!((&quality["asked"], &quality["known"], &quality["passes"]), (&json!(3), &json!(2), &json!(true)));

    let switched = step(&home, &["switch", "--queries", "asked.jsonl"]);
    assert_eq!(switched["switched"], true, "{switched}");
    assert_eq!(home.found(&["matter 7"])[0], "Boris asked about the visa, matter 7.");
    assert!(model(&home).contains("text-embedding-3-small"), "the old settings lead to the new embeddings");
    home.ok(&["add", "--id", "after", "Written after the switch."]);
    let undone = step(&home, &["undo"]);
    assert_eq!(undone["switched"], true, "{undone}");
    assert!(!model(&home).contains("text-embedding-3-small"));
    assert_eq!(home.found(&["written after the switch"])[0], "Written after the switch.");

    step(&home, &["run"]);
    step(&home, &["switch"]);
    home.fails(2, &["reembed", "finish", "--to-env", "new.env"]);
    let finished = home.data(&["--yes", "reembed", "finish", "--to-env", "new.env"]);
    assert_eq!((&finished["serves"], &finished["removed"]), (&plan["target"], &json!("default")), "{finished}");
    assert_eq!(home.found(&["written after the switch"])[0], "Written after the switch.");
    let told = home.data(&["stats"]);
    assert_eq!((&told["records"], &told["embeddings"]), (&json!(42), &json!(42)), "{told}");
    assert_eq!(told["models"], json!(["openai/text-embedding-3-small@512-cosine"]), "{told}");
}

#[test]
fn a_copy_below_the_gate_is_not_switched_to_unless_somebody_says_so() {
    let (home, _vendor) = furnished();
    step(&home, &["run"]);
    let strict = ["reembed", "switch", "--to-env", "new.env", "--min-overlap", "1"];
    let refused = home.envelope(&strict);
    assert_eq!(refused["error"]["code"], "quality_below_gate", "{refused}");
    assert_eq!(refused["data"]["quality"]["passes"], false, "{refused}");
    assert!(refused["error"]["message"].as_str().unwrap().contains("expected at least 1.000"), "{refused}");
    assert_eq!(home.run(&strict).code, 7);
    assert!(!model(&home).contains("text-embedding-3-small"), "nothing was switched");
    let switched = home.data(&[&strict[..], &["--despite-quality"]].concat());
    assert_eq!(switched["switched"], true, "{switched}");
    assert!(model(&home).contains("text-embedding-3-small"));
}

#[test]
fn an_undo_before_the_switch_removes_the_copy_and_settings_without_an_embedder_are_refused() {
    let (home, _vendor) = furnished();
    step(&home, &["run"]);
    assert!(home.namespace("default-text-embedding-3-small-512").exists());
    assert_eq!(step(&home, &["undo"])["switched"], false);
    home.ok(&["add", "Goes on."]);
    home.fails(3, &["reembed", "switch", "--to-env", "new.env"]);
    std::fs::write(home.path("none.env"), "MNEMIC_DIR=memory\nMNEMIC_EMBEDDER=none\n").unwrap();
    assert!(home.fails(2, &["reembed", "run", "--to-env", "none.env"]).contains("expected a file with an embedder"));
    assert!(home.fails(2, &["reembed", "compare", "--to-env", "new.env", "--min-recall", "2"]).contains("min_recall"));
}
