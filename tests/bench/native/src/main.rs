//! The native host of the bench: reads the fixtures' file and then one command a line, `{"act":"run","argument":{..}}`; answers
//! one line, `{"answer":..}` or `{"trouble":".."}`. See ../../README.md.

mod contestants;
// The file itself, not its crate: the signer's HTTP and database would be built in release for nothing.
#[expect(dead_code, reason = "not every choice is measured")]
#[path = "../../../../signer-native/src/backend/mod.rs"]
mod backend;

use std::{
    collections::HashMap,
    io::{BufRead as _, Write as _},
    thread,
    time::Instant,
};

use contestants::Contestant;
use serde::Deserialize;
use serde_json::{Value, json};

/// Good tokens that warm a contestant before anything is measured, also where wrong ones are.
const WARM_UP: usize = 64;

/// Tokens of one algorithm.
#[derive(Deserialize)]
struct Fixture {
    issuer: String,
    audience: String,
    jwks: Value,
    good: Vec<String>,
    wrong: Vec<String>,
}

#[derive(Deserialize)]
struct Command {
    act: String,
    argument: Value,
}

#[derive(Deserialize)]
struct Cell {
    contestant: String,
    algorithm: String,
    kase: String,
    from: usize,
    count: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("the fixtures' file is missing")?;
    let fixtures: HashMap<String, Fixture> = serde_json::from_slice(&std::fs::read(path)?)?;
    let mut open = HashMap::new();
    for line in std::io::stdin().lock().lines() {
        let command: Command = serde_json::from_str(&line?)?;
        let answer = match act(&fixtures, &mut open, command) {
            Ok(answer) => json!({ "answer": answer }),
            Err(trouble) => json!({ "trouble": trouble }),
        };
        let mut output = std::io::stdout().lock();
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    Ok(())
}

type Open = HashMap<(String, String, String), Box<dyn Contestant>>;

fn act(fixtures: &HashMap<String, Fixture>, open: &mut Open, command: Command) -> Result<Value, String> {
    if command.act == "names" {
        return Ok(contestants::names(command.argument.as_str().unwrap_or_default()).into());
    }
    let cell: Cell = serde_json::from_value(command.argument).map_err(|error| error.to_string())?;
    let fixture = fixtures.get(&cell.algorithm).ok_or("no such algorithm")?;
    let name = (cell.contestant.clone(), cell.algorithm.clone(), cell.kase.clone());
    if !open.contains_key(&name) {
        let contestant = contestants::open(&cell.contestant, &cell.algorithm, fixture)?;
        for token in fixture.good.iter().take(WARM_UP) {
            contestant.verify(token)?;
        }
        open.insert(name.clone(), contestant);
    }
    let began = Instant::now();
    run(&*open[&name], fixture, &cell)?;
    Ok(json!(began.elapsed().as_secs_f64() * 1_000.0))
}

fn run(contestant: &dyn Contestant, fixture: &Fixture, cell: &Cell) -> Result<(), String> {
    let accept = |tokens: &[String], first: usize, step: usize| {
        (first..cell.count).step_by(step).try_for_each(|index| contestant.verify(&tokens[(cell.from + index) % tokens.len()]))
    };
    match cell.kase.as_str() {
        "distinct" => accept(&fixture.good, 0, 1),
        "repeated" => accept(&fixture.good[..1], 0, 1),
        "wrong" => (0..cell.count).try_for_each(|index| {
            match contestant.verify(&fixture.wrong[(cell.from + index) % fixture.wrong.len()]) {
                Ok(()) => Err(format!("{} accepts a wrong signature", cell.contestant)),
                Err(_) => Ok(()),
            }
        }),
        // Native verification does not wait for anything: together means on every core.
        "concurrent" => thread::scope(|scope| {
            let threads = thread::available_parallelism().map_or(1, usize::from);
            let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || accept(&fixture.good, first, threads))).collect();
            running.into_iter().try_for_each(|one| one.join().map_err(|_| "a thread panicked".to_owned())?)
        }),
        other => Err(format!("no case {other}")),
    }
}
