//! The README's first program: remember something, ask for it in another language, see why it was found.
//! Not here: everything else that a memory does; `mnemic demo` shows that.

#![expect(clippy::print_stdout, reason = "an example shows its answer")]

use mnemic::{Dedupe, MemoryManager, NewRecord, Query, WriteOptions};

#[tokio::main]
async fn main() -> mnemic::Result<()> {
    let memory = MemoryManager::embedded("./memory")?.in_namespace("case-petrova".parse()?);
    let learned = [
        "The reply to USCIS is due on June 2, 2026.",
        "The premium processing fee is $2,805.",
        "Anna lives in Austin.",
    ];
    let options = WriteOptions { dedupe: Dedupe::ByContent, ..WriteOptions::default() };
    memory.write(learned.map(NewRecord::new).into(), &options).await?;

    let found = memory.retrieve(&Query::new("До какого числа нужно ответить на запрос?")).await?;
    for hit in &found.hits {
        println!("{:.2}  {}  {:?}", hit.score, hit.record.text, hit.explanation.legs);
    }
    memory.close().await
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_first_program_runs_twice_and_leaves_one_directory() {
        let place = tempfile::tempdir().unwrap();
        std::env::set_current_dir(place.path()).unwrap();
        super::main().unwrap();
        super::main().unwrap();
        let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["memory"]);
    }
}
