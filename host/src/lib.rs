//! Streaming transcription with whisper.cpp inside a WebAssembly sandbox.

pub mod audio;
pub mod formats;
pub mod model;
pub mod sandbox;
mod text;
mod transcript;

pub use transcript::{Language, Segment, Transcript, Word};

/// Sample rate of everything inside hearken, in Hz.
pub const SAMPLE_RATE: u32 = hearken_proto::SAMPLE_RATE;

#[cfg(test)]
mod tests {
    #[test]
    fn slice() {
        use crate::sandbox::*;
        let runtime = Runtime::new(Limits::default()).unwrap();
        let model = std::process::Command::new("zstd").args(["-dc", "/work/shared/models/trial-digits-q8_0.bin.zst"]).output().unwrap().stdout;
        let guest = include_bytes!(concat!(env!("OUT_DIR"), "/hearken-guest-relaxed.wasm"));
        for kernels in [false, true] {
            let t = std::time::Instant::now();
            let snapshot = runtime.snapshot(guest, Box::new(std::io::Cursor::new(model.clone())), &hearken_proto::LoadOptions { alignment_heads: vec![], kernels }).unwrap();
            eprintln!("snapshot {:?} {} bytes {:?}", t.elapsed(), snapshot.compiled.len(), snapshot.info);
            let t = std::time::Instant::now();
            let image = Image::copy_from(&mut snapshot.compiled.as_slice()).unwrap();
            eprintln!("image {:?}", t.elapsed());
            let template = runtime.template(&image, snapshot.info).unwrap();
            let t = std::time::Instant::now();
            let mut i = template.instantiate().unwrap();
            eprintln!("inst {:?} {} MiB", t.elapsed(), i.memory_bytes() >> 20);
            let t = std::time::Instant::now();
            let mut j = template.instantiate().unwrap();
            eprintln!("inst2 {:?}", t.elapsed());
            let wav = std::fs::read("/tmp/t.wav").unwrap();
            let pcm: Vec<f32> = wav[44..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]) as f32 / 32768.0).collect();
            let t = std::time::Instant::now();
            i.write(&pcm).unwrap();
            let r = i.call(&hearken_proto::Request::Decode(Default::default()));
            eprintln!("{:?} {r:#?}", t.elapsed());
            let _ = j.call(&hearken_proto::Request::Drain);
        }
    }
}
