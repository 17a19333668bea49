//! Runs an official Python client against the stand-in of its vendor, and judges what was answered. Not a test.
#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    dead_code,
    reason = "tests fail by panicking; each includes this as a module"
)]

use std::process::{Command, ExitCode};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use mnemic_stand_ins::{Exchange, clients, spec::Spec, vectors::StandIn};

/// A test of one client; ignored where the client cannot be installed.
pub fn trial(
    name: &'static str,
    (client, script): (&'static str, &'static str),
    arguments: &'static [&'static str],
    start: impl Fn() -> StandIn + Send + 'static,
    judge: impl Fn(&[Exchange]) + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || {
        let python = match clients::python(client) {
            Ok(python) => python,
            Err(why) if clients::required("python-clients") => {
                return Err(Failed::from(format!(
                    "python-clients cannot be installed: {why} (MNEMIC_REQUIRE demands it)"
                )));
            }
            Err(why) => return Ok(Completion::ignored_with(format!("python-clients cannot be installed: {why}"))),
        };
        let stand_in = start();
        let script = clients::folder().join("python").join(script);
        let said = clients::output(Command::new(python).arg(script).arg(stand_in.url()).args(arguments))?;
        assert!(said.contains("hold"), "{said}");
        let asked = stand_in.requests();
        assert!(asked.iter().filter(|one| one.status == 200).count() >= 3, "the client reached the stand-in");
        judge(&asked);
        Ok(Completion::Completed)
    })
}

/// Fails unless the description allows every answer.
pub fn allowed(spec: &Spec, asked: &[Exchange]) {
    for one in asked {
        let faults = spec.check_answer(one);
        assert!(faults.is_empty(), "{faults:?}");
    }
}

pub fn run(trials: Vec<Trial>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
