//! Qdrant's own client against the stand-in: it drives it, its local mode answers the same to random questions, and everything that is
//! said keeps to Qdrant's own description. Not here: our client (`mnemic-indexes`).
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_stand_ins::{
    Knobs, Running, clients, qdrant,
    spec::{self, Spec},
};

const CLIENT: &str = "qdrant-client-1.20.0";
/// Random questions of one run; another seed asks others.
const CASES: &str = "4000";
const SEED: &str = "1";

fn main() -> ExitCode {
    let trials = vec![
        Trial::ignorable_test("the_official_python_client_drives_the_stand_in", || {
            with_client("qdrant_accepts.py", &[], "accepted", |stand_in| {
                assert!(stand_in.requests().len() >= 40, "{} requests", stand_in.requests().len());
                keeps_to_the_description(stand_in);
            })
        }),
        Trial::ignorable_test("random_questions_are_answered_as_by_the_local_mode_of_the_official_client", || {
            with_client("qdrant_differential.py", &[SEED, CASES], "cases are equal", keeps_to_the_description)
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn with_client(
    script: &str,
    arguments: &[&str],
    expected: &str,
    judge: impl Fn(&Running),
) -> Result<Completion, Failed> {
    let python = match clients::python(CLIENT) {
        Ok(python) => python,
        Err(why) if clients::required("python-clients") => {
            return Err(Failed::from(format!("python-clients cannot be installed: {why} (MNEMIC_REQUIRE demands it)")));
        }
        Err(why) => return Ok(Completion::ignored_with(format!("python-clients cannot be installed: {why}"))),
    };
    let stand_in = qdrant::start(Knobs::new()).unwrap();
    let script = clients::folder().join("python").join(script);
    let said = clients::output(Command::new(python).arg(script).arg(stand_in.url()).args(arguments))?;
    assert!(said.contains(expected), "{said}");
    judge(&stand_in);
    Ok(Completion::Completed)
}

/// Every answer, and every request that was not refused, is as the description says.
fn keeps_to_the_description(stand_in: &Running) {
    let Some(specs) = spec::directory() else {
        assert!(std::env::var_os("MNEMIC_REQUIRE_SHARED").is_none(), "the descriptions are not there");
        return;
    };
    let spec = Spec::load(&specs.join("qdrant-openapi-1.19.0.json")).unwrap();
    // A part of thousands says as much as all of them.
    let exchanges = stand_in.requests();
    let step = exchanges.len().div_ceil(1500).max(1);
    for exchange in exchanges.iter().step_by(step) {
        let faults = if exchange.status == 200 { spec.check(exchange) } else { spec.check_answer(exchange) };
        assert!(faults.is_empty(), "{faults:?}\n{}\n{}", exchange.json(), exchange.answer_json());
    }
}
