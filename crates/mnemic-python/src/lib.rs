//! The extension module under the Python package: opens memories and runs verbs on them, JSON bytes in, JSON bytes or records out.
//! Not here: the API that people call, its models and its types (`python/mnemic`), and what the verbs do (`mnemic`).

mod embedder;
mod error;
mod gate;
mod inbox;
mod memory;
mod models;
mod opening;
mod process;
mod times;
mod turn;
mod vectors;
mod verbs;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command line on its arguments, the first of which is the program's name, and answers its exit code.
#[pyfunction]
fn command_line(py: Python<'_>, argv: Vec<OsString>) -> u8 {
    py.detach(|| mnemic_cli::run(argv))
}

#[pymodule]
fn _mnemic(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<memory::Memory>()?;
    module.add_function(wrap_pyfunction!(command_line, module)?)?;
    module.add_function(wrap_pyfunction!(process::shut_down, module)?)?;
    Ok(())
}
