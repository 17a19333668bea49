//! Google's own client against the stand-in for Gemini. Not here: our client (`mnemic-embedders`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod embedding_clients;

use std::process::ExitCode;

use embedding_clients::{run, trial};
use mnemic_stand_ins::gemini::{self, Options};

fn main() -> ExitCode {
    let name = "the_python_client_of_google_embeds_under_both_versions_and_understands_refusals";
    let start = || gemini::start(Options { key: Some("right".to_owned()), ..Options::default() }).unwrap();
    run(vec![trial(name, ("google-genai-3.4.0", "gemini_check.py"), &[], start, |asked| {
        for version in ["/v1/", "/v1beta/"] {
            let answered = asked.iter().filter(|one| one.path.starts_with(version) && one.status == 200);
            assert!(answered.count() > 0, "{version}");
        }
    })])
}
