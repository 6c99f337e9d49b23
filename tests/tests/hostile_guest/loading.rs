//! Modules that are not guests, and guests that fail to load a model.

use hearken::Error;
use hearken::sandbox::SandboxError;
use hearken_proto::{Event, ModelInfo};
use hearken_tests::guest::{Guest, info};

use crate::{CPU, load, load_module, spent};

/// Loading ends in this error, soon.
pub(crate) fn does_not_load(name: &str, module: Vec<u8>, why: &str) -> SandboxError {
    let (result, spent) = spent(|| load_module(module));
    assert!(spent < CPU * 10, "{name}: took {spent:?}");
    match result {
        Err(Error::Sandbox(error)) => {
            assert!(error.to_string().contains(why), "{name}: {error}");
            error
        }
        Err(error) => panic!("{name}: {error}"),
        Ok(_) => panic!("{name}: it loaded"),
    }
}

#[test]
fn a_module_that_is_no_guest_is_refused() {
    let memory = r#"(memory (export "memory") 20)"#;
    for (name, guest, why) in [
        (
            "another version",
            Guest { abi: "(i32.const 999)".to_owned(), ..Guest::default() },
            "ABI version 999",
        ),
        ("no version", Guest::with(r#"(export "hearken_abi")"#, ""), "hearken_abi"),
        ("no way to load", Guest::with(r#"(export "hearken_load")"#, ""), "hearken_load"),
        ("no ring", Guest::with(r#"(export "hearken_ring")"#, ""), "hearken_ring"),
        ("no buffer", Guest::with(r#"(export "hearken_buffer")"#, ""), "hearken_buffer"),
        ("no way to call", Guest::with(r#"(export "hearken_call")"#, ""), "hearken_call"),
        ("no memory", Guest::with(memory, "(memory 20)"), "memory"),
        (
            "a global as memory",
            Guest::with(memory, r#"(memory 20) (global (export "memory") i32 (i32.const 0))"#),
            "memory",
        ),
        (
            "a version of another type",
            Guest {
                abi: "(i64.const 1)".to_owned(),
                ..Guest::with(r#""hearken_abi") (result i32)"#, r#""hearken_abi") (result i64)"#)
            },
            "hearken_abi",
        ),
        (
            "a version with an argument",
            Guest::with(r#""hearken_abi") (result"#, r#""hearken_abi") (param f64) (result"#),
            "hearken_abi",
        ),
        (
            "a call of another type",
            Guest::with(r#""hearken_call") (param i32)"#, r#""hearken_call") (param i64)"#),
            "hearken_call",
        ),
        (
            "a memory that the host should provide",
            Guest::with(memory, r#"(import "hearken" "memory" (memory 20)) (export "memory" (memory 0))"#),
            "imported memories",
        ),
        (
            "an import that nobody grants",
            Guest::with(
                "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $proc_exit (param i32)))",
                "(import \"wasi_snapshot_preview1\" \"path_open\" (func $proc_exit (param i32)))",
            ),
            "path_open",
        ),
        (
            "an import of another type",
            Guest::with(
                "\"proc_exit\" (func $proc_exit (param i32))",
                "\"proc_exit\" (func $proc_exit (param i64))",
            ),
            "proc_exit",
        ),
        ("shared memory", Guest::with(memory, r#"(memory (export "memory") 20 20 shared)"#), "threads"),
        (
            "two memories",
            Guest { fields: "(memory $second 1)".to_owned(), ..Guest::default() },
            "multiple memories",
        ),
        (
            "a table that grows",
            Guest {
                fields: "(table $t 1 funcref)".to_owned(),
                load: "(drop (table.grow $t (ref.null func) (i32.const 1000000)))".to_owned(),
                ..Guest::default()
            },
            "table.grow",
        ),
        (
            "a table that is too large",
            Guest { fields: "(table $t 1000000 funcref)".to_owned(), ..Guest::default() },
            "table",
        ),
        ("a memory that is too large", Guest::with(memory, r#"(memory (export "memory") 20000)"#), "512 MiB"),
        (
            "references that change",
            Guest { fields: "(global $g (mut funcref) (ref.null func))".to_owned(), ..Guest::default() },
            "reference",
        ),
    ] {
        does_not_load(name, guest.module(), why);
    }
    let wide = wat::parse_str(r#"(module (memory (export "memory") i64 20) (func (export "hearken_load")))"#)
        .unwrap();
    does_not_load("64-bit memory", wide, "memory64");
    does_not_load("nothing", vec![], "not a hearken guest");
    does_not_load("noise", vec![7; 100_000], "not a hearken guest");
    let mut cut = Guest::default().module();
    cut.truncate(cut.len() / 2);
    does_not_load("half a guest", cut, "not a hearken guest");
}

#[test]
fn a_guest_that_fails_to_load_is_refused() {
    let loading = |load: &str| Guest { load: load.to_owned(), ..Guest::default() };
    let with = |fields: &str| Guest { fields: fields.to_owned(), ..Guest::default() };
    for (name, guest, why) in [
        ("a loop in load", loading("(loop $l (br $l))"), "of CPU time"),
        ("a loop at the start", with("(func $s (loop $l (br $l))) (start $s)"), "of CPU time"),
        (
            "a loop in a constructor",
            with(r#"(func (export "_initialize") (loop $l (br $l)))"#),
            "of CPU time",
        ),
        ("a trap in a constructor", with(r#"(func (export "_initialize") unreachable)"#), "it aborted"),
        ("a trap at the start", with("(func $s unreachable) (start $s)"), "it aborted"),
        (
            "a constructor of another type",
            with(r#"(func (export "_initialize") (param i32))"#),
            "_initialize",
        ),
        ("an exit", loading("(call $proc_exit (i32.const 7))"), "it aborted"),
        ("a refusal", loading("(return (i32.const 3))"), "refused the model"),
        ("an unknown answer", loading("(return (i32.const 77))"), "status 77"),
        ("no description", loading("(return (i32.const 0))"), "without describing it"),
        (
            "two descriptions",
            loading(&format!(
                "(call $emit (i32.const 0x400) (i32.const {}))",
                hearken_proto::encode(&Event::Loaded(info())).len()
            )),
            "without describing it",
        ),
        (
            "a model read to a wild address",
            loading("(drop (call $model_read (i32.const -1) (i32.const 9)))"),
            "named 9 bytes",
        ),
        (
            "a model that is not read",
            Guest::with("(br_if $more (call $model_read", "(drop (call $model_read"),
            "bytes follow",
        ),
        (
            "a memory bomb",
            loading(
                "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 64)) (i32.const -1)))) unreachable",
            ),
            "512 MiB",
        ),
        (
            "a slow version",
            Guest { abi: "(loop $l (br $l)) (i32.const 1)".to_owned(), ..Guest::default() },
            "of CPU time",
        ),
        (
            "a slow ring",
            Guest { ring: "(loop $l (br $l)) (i32.const 256)".to_owned(), ..Guest::default() },
            "of CPU time",
        ),
    ] {
        does_not_load(name, guest.module(), why);
    }
    for (name, info) in [
        ("no context", ModelInfo { n_audio_ctx: 0, ..info() }),
        ("a context without end", ModelInfo { n_audio_ctx: u32::MAX, ..info() }),
        ("another vocabulary", ModelInfo { n_vocab: 7, ..info() }),
        ("other languages", ModelInfo { multilingual: true, ..info() }),
    ] {
        let loaded = hearken_proto::encode(&Event::Loaded(info));
        does_not_load(name, Guest { loaded, ..Guest::default() }.module(), "another model");
    }
}

#[test]
fn the_version_that_a_guest_states_is_only_text() {
    let info = ModelInfo { whisper_cpp: format!("\x1b[2J1.8.3{}", "!".repeat(1000)), ..info() };
    let model =
        load(&Guest { loaded: hearken_proto::encode(&Event::Loaded(info)), ..Guest::default() }).unwrap();
    assert!(model.whisper_cpp().starts_with("[2J1.8.3!"));
    assert!(model.whisper_cpp().len() <= 32);
}
