//! Misuse of the C interface: `misuse.c` beside this file.

use std::path::Path;

use hearken_tests::command::run;

use crate::library::{Library, Linked};

fn misuse(flags: &[&str], tool: &[&str]) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/voice_app/misuse.c");
    let program =
        Library::installed().compile("cc", &source, Linked::Shared, &[&["-std=c11"], flags].concat());
    let ended = run(&mut program.under(tool));
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.contains("answers were as promised"), "{ended:?}");
}

#[test]
fn it_is_answered_with_error_codes() {
    misuse(&[], &[]);
}

#[test]
fn it_costs_no_memory_and_touches_none_that_is_gone() {
    misuse(&["-fsanitize=address,undefined", "-fno-sanitize-recover=all"], &[]);
}
