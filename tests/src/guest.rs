//! A small guest written by hand, well-behaved until a part of it is replaced.

use hearken_proto::{Event, ModelInfo, Segment, Word};

/// Address of its buffer. Memory has `PAGES` pages.
pub const BUFFER: u32 = 0x1_0000;
const RING: u32 = 0x100;
const EVENTS: u32 = 0x400;
const DATA: u32 = 0x2_0000;
const PAGES: u32 = 20;
/// Bytes of its memory.
pub const MEMORY_BYTES: u32 = PAGES << 16;
/// Text for every window that is not loud.
pub const TEXT: &str = "as expected";

const IMPORTS: &str = r#"
  (import "hearken" "emit" (func $emit (param i32 i32)))
  (import "hearken" "model_read" (func $model_read (param i32 i32) (result i32)))
  (import "hearken" "product" (func $product (param i32)))
  (import "hearken" "attention" (func $attention (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
"#;

/// The host functions that it imports, by name, are `$emit`, `$model_read`, `$product`,
/// `$attention`, `$fd_write`, `$random_get` and `$proc_exit`. In its code `$loud` tells whether a
/// sample above 0.5 came since the instance began.
#[derive(Clone)]
pub struct Guest {
    /// Imports, and what must come before them.
    pub imports: String,
    /// The exported memory.
    pub memory: String,
    /// Functions, globals and whatever else a module may have.
    pub fields: String,
    /// Result of `hearken_abi`.
    pub abi: String,
    /// Done in `hearken_load`, after the model was read and before it is announced.
    pub load: String,
    /// Announcement of the model.
    pub loaded: Vec<u8>,
    /// Result of `hearken_ring`.
    pub ring: String,
    /// The ring's header: slots, their address, write and read position.
    pub header: [u32; 4],
    /// Result of `hearken_buffer`.
    pub buffer: String,
    /// Done at each call: what there is in the ring counts as read.
    pub drain: String,
    /// Done before a loud window is answered, instead of whatever it keeps from being done.
    pub attack: String,
    /// Event for a loud window.
    pub loud_event: Vec<u8>,
    /// Replacements in the finished text.
    pub replace: Vec<(&'static str, &'static str)>,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            imports: IMPORTS.to_owned(),
            memory: format!(r#"(memory (export "memory") {PAGES})"#),
            fields: String::new(),
            abi: format!("(i32.const {})", hearken_proto::abi::VERSION),
            load: String::new(),
            loaded: hearken_proto::encode(&Event::Loaded(info())),
            ring: format!("(i32.const {RING})"),
            header: [1 << 18, DATA, 0, 0],
            buffer: format!("(i32.const {BUFFER})"),
            drain: "(call $read_all)".to_owned(),
            attack: String::new(),
            loud_event: hearken_proto::encode(&Event::Segment(segment())),
            replace: Vec::new(),
        }
    }
}

/// The model that the tests give it.
pub fn info() -> ModelInfo {
    ModelInfo {
        n_vocab: 51_864,
        n_audio_ctx: 500,
        multilingual: false,
        whisper_cpp: "by hand".to_owned(),
        weights: Vec::new(),
        workspace: 0..0,
    }
}

/// Segment that it returns.
pub fn segment() -> Segment {
    let word = |start, text: &str| Word { start, end: start + 8000, text: text.to_owned(), probability: 0.9 };
    Segment {
        start: 0,
        end: 16_000,
        text: format!(" {TEXT}"),
        tokens: vec![1, 2],
        avg_logprob: -0.1,
        words: vec![word(0, "as"), word(8000, "expected")],
    }
}

impl Guest {
    /// Makes one that attacks when it hears something loud.
    pub fn attacking(attack: &str) -> Self {
        Self { attack: attack.to_owned(), ..Self::default() }
    }

    /// Makes one that emits this event when it hears something loud.
    pub fn emitting(event: Vec<u8>) -> Self {
        Self { loud_event: event, ..Self::default() }
    }

    /// Makes one in whose text a part is replaced.
    pub fn with(from: &'static str, to: &'static str) -> Self {
        Self { replace: vec![(from, to)], ..Self::default() }
    }

    /// The module.
    pub fn module(&self) -> Vec<u8> {
        let mut text = self.text();
        for (from, to) in &self.replace {
            assert!(text.contains(from), "{from} is not in the guest");
            text = text.replace(from, to);
        }
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn text(&self) -> String {
        let Self { imports, memory, fields, abi, load, ring, buffer, drain, attack, .. } = self;
        let header: Vec<u8> = self.header.iter().flat_map(|word| word.to_le_bytes()).collect();
        let [capacity, data, ..] = self.header;
        let decoded = hearken_proto::encode(&Event::Decoded { no_speech: 0.0, encodes: 1 });
        let heard = hearken_proto::encode(&Event::Segment(segment()));
        let mut events = String::new();
        let mut place = |bytes: &[u8]| {
            let address = EVENTS + 0x2000 * (events.matches("(data").count() as u32);
            assert!(bytes.len() <= 0x2000);
            events += &format!("(data (i32.const {address}) \"{}\")\n", escape(bytes));
            format!("(call $emit (i32.const {address}) (i32.const {}))", bytes.len())
        };
        let emit_loaded = place(&self.loaded);
        let emit_decoded = place(&decoded);
        let emit_heard = place(&heard);
        let emit_loud = place(&self.loud_event);
        format!(
            r#"(module
  {imports}
  {memory}
  (data (i32.const {RING}) "{header}")
  {events}
  (global $loud (mut i32) (i32.const 0))
  {fields}
  ;; Notes whether anything loud is in the ring.
  (func $listen (local $at i32)
    (local.set $at (i32.load (i32.const {RING_READ})))
    (block $end (loop $next
      ;; Nothing left, or more than there are slots.
      (br_if $end (i32.gt_u
        (i32.sub (i32.sub (i32.load (i32.const {RING_WRITE})) (local.get $at)) (i32.const 1))
        (i32.const {capacity})))
      (if (f32.gt
            (f32.load (i32.add (i32.const {data})
              (i32.shl (i32.and (local.get $at) (i32.sub (i32.const {capacity}) (i32.const 1))) (i32.const 2))))
            (f32.const 0.5))
        (then (global.set $loud (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next))))
  (func $read_all (i32.store (i32.const {RING_READ}) (i32.load (i32.const {RING_WRITE}))))
  (func (export "hearken_abi") (result i32) {abi})
  (func (export "hearken_load") (param i32) (result i32)
    (loop $more (br_if $more (call $model_read (i32.const {BUFFER}) (i32.const 0x10000))))
    {load}
    {emit_loaded}
    (i32.const 0))
  (func (export "hearken_ring") (result i32) {ring})
  (func (export "hearken_buffer") (param i32) (result i32)
    (call $listen)
    {buffer})
  (func (export "hearken_call") (param i32) (result i32) (local $i i32)
    (call $listen)
    {drain}
    ;; Request::Drain is variant 0.
    (if (i32.eqz (i32.load8_u (i32.const {BUFFER}))) (then (return (i32.const 0))))
    (if (global.get $loud)
      (then
        {attack}
        {emit_loud})
      (else {emit_heard}))
    {emit_decoded}
    (i32.const 0)))"#,
            header = escape(&header),
            RING_WRITE = RING + 8,
            RING_READ = RING + 12,
        )
    }
}

/// Bytes as a string of the text format.
pub fn escape(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
