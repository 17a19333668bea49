//! The own client of `OpenAI` against the stand-in, as `OpenAI` and as the servers that speak like it.
//! Not here: our client (`mnemic-embedders`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod embedding_clients;

use std::process::ExitCode;

use embedding_clients::{allowed, run, trial};
use mnemic_stand_ins::{
    openai::{self, Flavour, Options},
    vectors::Described,
};

const CLIENT: (&str, &str) = ("openai-3.54.0", "openai_check.py");

fn main() -> ExitCode {
    let start = |flavour| {
        let key = (flavour == Flavour::OpenAi).then(|| "sk-right".to_owned());
        move || openai::start(Options { key: key.clone(), ..Options::of(flavour) }).unwrap()
    };
    let strict = trial(
        "the_python_client_of_openai_takes_the_stand_in_for_openai",
        CLIENT,
        &["openai", "text-embedding-3-large"],
        start(Flavour::OpenAi),
        |asked| {
            let Some(described) = Described::OpenAi.spec() else { return };
            allowed(&described.unwrap(), asked);
        },
    );
    let ollama = trial(
        "the_python_client_of_openai_takes_the_stand_in_for_ollama",
        CLIENT,
        &["ollama", "nomic-embed-text"],
        start(Flavour::Ollama),
        |_| {},
    );
    let vllm = trial(
        "the_python_client_of_openai_takes_the_stand_in_for_vllm",
        CLIENT,
        &["vllm", "intfloat/e5-small"],
        start(Flavour::Vllm),
        |_| {},
    );
    run(vec![strict, ollama, vllm])
}
