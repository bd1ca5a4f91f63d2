//! Load on an HTTPS service with a client certificate: reads one command a line, as JSON, and answers one line each.
//!
//! `{"url":"127.0.0.1:8444","ca":"..","cert":"..","key":"..","path":"/v1/tokens","bodies":["..",..],"connections":32,
//! "seconds":2,"rate":0,"expect":1}`: closed loop, or open at `rate` requests a second, where a request's time counts from when
//! it was due; each answer must be 200 and hold `"token":` `expect` times. Gives `{"per_s","requests","errors","first_error",
//! "mean_ms","p50_ms","p99_ms","max_ms"}`.

use std::{
    io::{BufRead as _, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

type Trouble = Box<dyn std::error::Error + Send + Sync>;

#[derive(Deserialize)]
struct Command {
    url: String,
    ca: String,
    cert: String,
    key: String,
    path: String,
    /// In turn; one connection begins with the one after another's.
    bodies: Vec<String>,
    #[serde(default)]
    get: bool,
    connections: usize,
    seconds: f64,
    #[serde(default)]
    rate: f64,
    #[serde(default)]
    expect: usize,
}

#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    errors: usize,
    first_error: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Trouble> {
    for line in std::io::stdin().lock().lines() {
        let answer = match measure(Arc::new(serde_json::from_str(&line?)?)).await {
            Ok(answer) => json!({ "answer": answer }),
            Err(trouble) => json!({ "trouble": trouble.to_string() }),
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}

async fn measure(command: Arc<Command>) -> Result<serde_json::Value, Trouble> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&command.ca)? {
        roots.add(certificate?)?;
    }
    let chain = CertificateDer::pem_file_iter(&command.cert)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&command.key)?;
    let tls = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_client_auth_cert(chain, key)?);
    // All connections are there before anything is measured.
    let mut streams = Vec::new();
    for _ in 0..command.connections {
        let stream = TcpStream::connect(&command.url).await?;
        stream.set_nodelay(true)?;
        streams.push(TlsConnector::from(Arc::clone(&tls)).connect("localhost".try_into()?, stream).await?);
    }
    let began = Instant::now();
    let tasks: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(number, stream)| {
            let command = Arc::clone(&command);
            tokio::spawn(async move {
                let mut seen = Seen::default();
                if let Err(error) = ask(&command, number, stream, began, &mut seen).await {
                    seen.errors += 1;
                    seen.first_error.get_or_insert(error.to_string());
                }
                seen
            })
        })
        .collect();
    let mut all = Seen::default();
    for task in tasks {
        let Seen { times, errors, first_error } = task.await?;
        all.times.extend(times);
        all.errors += errors;
        all.first_error = all.first_error.or(first_error);
    }
    let took = began.elapsed().as_secs_f64();
    all.times.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    let at = |share: f64| all.times.get(((all.times.len() as f64 * share) as usize).min(all.times.len().saturating_sub(1)));
    Ok(json!({
        "per_s": all.times.len() as f64 / took,
        "requests": all.times.len(),
        "errors": all.errors,
        "first_error": all.first_error,
        "mean_ms": ms(all.times.iter().sum::<Duration>()) / all.times.len().max(1) as f64,
        "p50_ms": at(0.5).copied().map(ms),
        "p99_ms": at(0.99).copied().map(ms),
        "max_ms": all.times.last().copied().map(ms),
    }))
}

/// One connection until the time is over.
async fn ask(
    command: &Command,
    number: usize,
    mut stream: tokio_rustls::client::TlsStream<TcpStream>,
    began: Instant,
    seen: &mut Seen,
) -> Result<(), Trouble> {
    let span = Duration::from_secs_f64(command.seconds);
    let each = (command.rate > 0.0).then(|| Duration::from_secs_f64(command.connections as f64 / command.rate));
    // Connections take their turns evenly.
    let mut due = began + each.unwrap_or_default().mul_f64(number as f64 / command.connections as f64);
    let requests: Vec<Vec<u8>> = command.bodies.iter().map(|body| request(command, body)).collect();
    let mut turn = number * 7;
    let mut buffer = Vec::with_capacity(64 * 1024);
    while began.elapsed() < span {
        let from = match each {
            Some(each) => {
                if due - began > span {
                    return Ok(());
                }
                tokio::time::sleep_until(due.into()).await;
                let from = due;
                due += each;
                from
            }
            None => Instant::now(),
        };
        stream.write_all(&requests[turn % requests.len()]).await?;
        turn += 1;
        let body = answer(&mut stream, &mut buffer).await?;
        if body.windows(8).filter(|window| window == b"\"token\":").count() != command.expect {
            return Err(String::from_utf8_lossy(body).chars().take(300).collect::<String>().into());
        }
        seen.times.push(from.elapsed());
    }
    Ok(())
}

fn request(command: &Command, body: &str) -> Vec<u8> {
    let Command { path, .. } = command;
    if command.get {
        return format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").into_bytes();
    }
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

/// The body of one answer with a content-length.
async fn answer<'buffer>(
    stream: &mut tokio_rustls::client::TlsStream<TcpStream>,
    buffer: &'buffer mut Vec<u8>,
) -> Result<&'buffer [u8], Trouble> {
    buffer.clear();
    let (head, length) = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the connection ended".into());
        }
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = std::str::from_utf8(&buffer[..end])?.to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(head.lines().next().unwrap_or_default().to_owned().into());
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).ok_or("no content-length")?;
            break (end + 4, length.trim().parse::<usize>()?);
        }
    };
    while buffer.len() < head + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the connection ended".into());
        }
    }
    Ok(&buffer[head..head + length])
}
