//! A server with two tenants, each with a key of its own, and a client of each that speaks at the
//! same time. Both clients' captions are shown as they come: tentative text is dim.
//!
//! `cargo run --release -p hearken-multi-tenant`

use std::error::Error;
use std::io::IsTerminal;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use hearken::audio;
use hearken::{Engine, ModelSource};
use hearken_server::{Config, Key, NamedModel, Server, TenantConfig};
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

/// Tenants with the words that each speaks.
const TENANTS: [(&str, &str); 2] =
    [("acme", "seven three nine two zero five"), ("initech", "one two three four five six")];

/// A line of text for the screen.
struct Caption {
    tenant: &'static str,
    text: String,
    is_final: bool,
}

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut config = Config::default();
    config.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut keys = Vec::new();
    for (name, _) in TENANTS {
        let key = Key::generate()?;
        let mut tenant = TenantConfig::default();
        tenant.keys.push(key.hash());
        tenant.streams = 1;
        config.tenants.insert(name.to_owned(), tenant);
        keys.push(key);
    }

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let model = NamedModel { name: "digits".to_owned(), source: ModelSource::Embedded };
    let server = runtime.block_on(Server::bind(config, Engine::new()?, vec![model]))?;
    let (address, control) = (server.address(), server.control());
    let running = runtime.spawn(server.run());
    runtime.block_on(control.ready());
    println!("two tenants at {address}, each with its own key\n");

    let (captions, shown) = channel();
    let clients: Vec<_> = TENANTS
        .into_iter()
        .zip(keys)
        .map(|((tenant, phrase), key)| {
            let captions = captions.clone();
            thread::spawn(move || caption(tenant, phrase, &key, address, &captions))
        })
        .collect();
    drop(captions);
    let terminal = std::io::stdout().is_terminal();
    for Caption { tenant, text, is_final } in shown {
        let (dim, plain) = if is_final || !terminal { ("", "") } else { ("\x1b[2m", "\x1b[0m") };
        println!("{tenant:>8}  {dim}{text}{plain}");
    }
    for client in clients {
        client.join().map_err(|_| "a client panicked")??;
    }
    control.drain();
    runtime.block_on(running)??;
    Ok(())
}

/// Streams audio to the server as `tenant`, in real time, and forwards the answers.
fn caption(
    tenant: &'static str,
    phrase: &str,
    key: &Key,
    address: SocketAddr,
    captions: &Sender<Caption>,
) -> Result<(), Failure> {
    let (samples, rate) = speak(tenant, phrase)?;
    let mut request = format!("ws://{address}/v1/stream").into_client_request()?;
    request.headers_mut().insert("Authorization", format!("Bearer {}", key.expose()).parse()?);
    let stream = TcpStream::connect(address)?;
    let reader = stream.try_clone()?;
    let (mut socket, _) = tungstenite::client(request, stream)?;
    socket.send(Message::text(
        json!({ "type": "start", "encoding": "s16le", "sample_rate": rate }).to_string(),
    ))?;

    let captions = captions.clone();
    let reading = thread::spawn(move || read(tenant, reader, &captions));
    let started = Instant::now();
    for (index, block) in samples.chunks(rate as usize / 10).enumerate() {
        let due = started + Duration::from_millis(100) * index as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let bytes: Vec<u8> =
            block.iter().flat_map(|sample| ((sample * 32_767.0) as i16).to_le_bytes()).collect();
        socket.send(Message::binary(bytes))?;
    }
    socket.send(Message::text(json!({ "type": "finish" }).to_string()))?;
    reading.join().map_err(|_| "a reader panicked")?
}

/// Reads messages to the end.
fn read(tenant: &'static str, stream: TcpStream, captions: &Sender<Caption>) -> Result<(), Failure> {
    let mut socket = WebSocket::from_raw_socket(stream, tungstenite::protocol::Role::Client, None);
    let mut committed = Vec::new();
    loop {
        let message = match socket.read() {
            Ok(Message::Text(text)) => serde_json::from_str::<Value>(&text)?,
            Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Ok(_) => continue,
            Err(error) => return Err(error.into()),
        };
        let words = |name: &str| -> Vec<String> {
            let words = message[name].as_array().into_iter().flatten();
            words.filter_map(|word| word["word"].as_str().map(str::to_owned)).collect()
        };
        match message["type"].as_str() {
            Some("partial") => {
                committed.extend(words("committed"));
                let text = [committed.clone(), words("tentative")].concat().join(" ");
                captions.send(Caption { tenant, text, is_final: false })?;
            }
            Some("final") => {
                committed.clear();
                let text = message["text"].as_str().unwrap_or_default().to_owned();
                captions.send(Caption { tenant, text, is_final: true })?;
            }
            Some("error") => return Err(message["message"].to_string().into()),
            _ => {}
        }
    }
}

/// A phrase and a second of silence, by espeak-ng.
fn speak(tenant: &str, phrase: &str) -> Result<(Vec<f32>, u32), Failure> {
    let folder = std::path::Path::new("target/demo");
    std::fs::create_dir_all(folder)?;
    let clip = folder.join(format!("{tenant}.wav"));
    let spoken =
        Command::new("espeak-ng").args(["-v", "en-us", "-s", "140", "-w"]).arg(&clip).arg(phrase).status();
    let spoken =
        spoken.map_err(|error| format!("cannot run espeak-ng ({error}); `make setup` installs it"))?;
    if !spoken.success() {
        return Err("espeak-ng failed".into());
    }
    let mut source = audio::open(&clip)?;
    let rate = source.format().sample_rate;
    let (mut samples, mut block) = (Vec::new(), Vec::new());
    while source.read(&mut block)? > 0 {
        samples.extend_from_slice(&block);
    }
    samples.resize(samples.len() + rate as usize, 0.0);
    Ok((samples, rate))
}
