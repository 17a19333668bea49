//! Voyage's own client against the stand-in. Not here: our client (`mnemic-embedders`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod embedding_clients;

use std::process::ExitCode;

use embedding_clients::{allowed, run, trial};
use mnemic_stand_ins::{
    vectors::Described,
    voyage::{self, Options},
};

fn main() -> ExitCode {
    let name = "the_python_client_of_voyage_embeds_reranks_and_understands_refusals";
    let start = || voyage::start(Options { key: Some("pa-right".to_owned()), ..Options::default() }).unwrap();
    run(vec![trial(name, ("voyageai-0.5.0", "voyage_check.py"), &[], start, |asked| {
        let (rerank, embed): (Vec<_>, Vec<_>) = asked.iter().cloned().partition(|one| one.path == "/v1/rerank");
        assert!(!rerank.is_empty() && !embed.is_empty());
        let Some(described) = Described::VoyageEmbeddings.spec() else { return };
        allowed(&described.unwrap(), &embed);
        allowed(&Described::VoyageRerank.spec().unwrap().unwrap(), &rerank);
    })])
}
