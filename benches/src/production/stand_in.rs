//! Vendors' stand-ins in processes of their own, so that the processor time of this process is the client's alone.
//! Not here: what a stand-in answers (`mnemic-stand-ins`).

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio},
    time::Duration,
};

use mnemic::Result;
use mnemic_stand_ins::{Knobs, Vendor, vendors};

use super::failed;

/// The first argument of a process that is a stand-in; the vendor's name follows.
const ASKED: &str = "stand-in";

/// The vendor that this process is to stand in for, if it is to.
pub(crate) fn asked() -> Option<String> {
    let mut arguments = env::args().skip(1);
    (arguments.next()? == ASKED).then(|| arguments.next())?
}

/// Tells its address, then takes a delay in milliseconds from each line until its standard input ends.
pub(crate) fn answer(vendor: &str) -> ExitCode {
    match serve(vendor) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve(name: &str) -> io::Result<()> {
    let vendor = vendor(name).ok_or_else(|| io::Error::other("no such vendor"))?;
    let running = (vendor.serve)(0, Knobs::new())?;
    let mut told = io::stdout().lock();
    writeln!(told, "{}", running.url())?;
    told.flush()?;
    for line in io::stdin().lock().lines() {
        let delay = line?.trim().parse().map_err(io::Error::other)?;
        running.knobs().delay(Duration::from_millis(delay));
        writeln!(told, "{delay}")?;
        told.flush()?;
    }
    Ok(())
}

fn vendor(name: &str) -> Option<&'static Vendor> {
    vendors().iter().find(|vendor| vendor.name == name)
}

/// A stand-in in a process of its own, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct StandIn {
    vendor: &'static Vendor,
    url: String,
    child: Child,
    /// Its end is the sign to stop.
    orders: Option<ChildStdin>,
    told: BufReader<ChildStdout>,
}

impl StandIn {
    /// Starts one.
    pub(crate) fn start(name: &str) -> Result<Self> {
        let vendor = vendor(name).ok_or_else(|| failed(format!("no stand-in for {name}")))?;
        let program = env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        let mut child =
            command.args([ASKED, name]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (orders, told) = (child.stdin.take(), child.stdout.take());
        let told = BufReader::new(told.ok_or_else(|| failed("a stand-in says nothing"))?);
        let mut stand_in = Self { vendor, url: String::new(), child, orders, told };
        stand_in.url = stand_in.line()?;
        Ok(stand_in)
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The variables that lead a memory to it.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (String, String)> {
        (self.vendor.environment)(&self.url).into_iter().map(|(name, value)| (name.to_owned(), value))
    }

    /// Lets every request from now on wait this long.
    pub(crate) fn delay(&mut self, delay: Duration) -> Result<()> {
        let mut orders = self.orders.as_ref().ok_or_else(|| failed("a stand-in cannot be told anything"))?;
        writeln!(orders, "{}", delay.as_millis()).map_err(failed)?;
        self.line().map(drop)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        match self.told.read_line(&mut line).map_err(failed)? {
            0 => Err(failed("a stand-in ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.orders.take());
        // Nothing is left to be done about one that does not end.
        let _status = self.child.wait();
    }
}
