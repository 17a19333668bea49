//! Pinecone's own clients against the stand-in, and every request and answer of theirs against Pinecone's own description.
//! Not here: our client (`mnemic-indexes`).
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::{
    process::{Command, ExitCode},
    time::Duration,
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_stand_ins::{
    Knobs, clients,
    pinecone::{StandIn, UnusedValues},
    spec::{self, Spec},
};

/// What each client speaks; there is no description of 2026-07 to hold it to.
const PYTHON: [(&str, &str); 2] = [("pinecone-10.2.0", "2026-07"), ("pinecone-9.0.1", "2025-10")];
const NODE: [(&str, &str); 2] = [("pinecone-9.0.0", "2026-07"), ("pinecone-8.2.0", "2026-04")];

fn main() -> ExitCode {
    let mut trials = Vec::new();
    for (client, api) in PYTHON {
        let trial = move || {
            let python = match clients::python(client) {
                Ok(python) => python,
                Err(why) => return absent("python-clients", &why),
            };
            let script = clients::folder().join("python/pinecone_check.py");
            judge(api, |url| clients::output(Command::new(&python).arg(&script).arg(url)))
        };
        trials.push(Trial::ignorable_test(format!("the_python_client_{client}_finds_what_it_expects"), trial));
    }
    for (client, api) in NODE {
        let trial = move || {
            let modules = match clients::node(client) {
                Ok(modules) => modules,
                Err(why) => return absent("node-clients", &why),
            };
            let script = clients::folder().join("node/pinecone_check.mjs");
            judge(api, |url| clients::output(Command::new("node").arg(&script).arg(url).arg(&modules)))
        };
        trials.push(Trial::ignorable_test(format!("the_node_client_{client}_finds_what_it_expects"), trial));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn absent(service: &str, why: &str) -> Result<Completion, Failed> {
    let message = format!("{service} cannot be installed: {why}");
    if clients::required(service) {
        return Err(Failed::from(format!("{message} (MNEMIC_REQUIRE demands it)")));
    }
    Ok(Completion::ignored_with(message))
}

/// Runs a client in each habit that the description leaves open, and judges all that was said.
fn judge(api: &str, client: impl Fn(&str) -> Result<String, String>) -> Result<Completion, Failed> {
    let habits = [(UnusedValues::Empty, "__default__"), (UnusedValues::Absent, "")];
    for (unused, default) in habits {
        let stand_in = StandIn::start(Knobs::new()).unwrap();
        stand_in.habits().key("stand-in").unused_values(unused).default_namespace(default);
        stand_in.habits().preparing(Duration::from_millis(50));
        let said = client(&stand_in.url()).map_err(|why| format!("{unused:?}, {default:?}: {why}"))?;
        assert!(said.contains("hold"), "{said}");
        let exchanges = stand_in.requests();
        assert!(exchanges.len() >= 20, "{} requests", exchanges.len());
        let sent = exchanges.first().and_then(|first| first.headers.get("x-pinecone-api-version"));
        assert_eq!(sent.map(String::as_str), Some(api), "the client speaks the version that this test says");
        let Some(specs) = spec::directory().filter(|_| api != "2026-07") else { continue };
        let load = |plane: &str| Spec::load_closed(&specs.join(format!("pinecone_db_{plane}_{api}.oas.yaml"))).unwrap();
        let (control, data) = (load("control"), load("data"));
        for exchange in &exchanges {
            let plane = if exchange.path.starts_with("/indexes") { &control } else { &data };
            let faults = plane.check_answer(exchange);
            assert!(faults.is_empty(), "{faults:?}");
        }
    }
    Ok(Completion::Completed)
}
