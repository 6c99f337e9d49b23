//! The compute import: nothing outside the guest's memory is read or written, and nothing takes for
//! ever.

use std::time::Duration;

use hearken::{Compute, Engine};
use hearken_proto::compute::{Attention, Bias, Element, Left, MAX_EXTENT, Matrix, Product, Weight};
use hearken_proto::{Event, ModelInfo};
use hearken_tests::guest::{Guest, MEMORY_BYTES, escape, info};

use crate::loading::does_not_load;
use crate::{CPU, costs_one_utterance, hear, limits, load, model_file, spent};

/// Address of the guest's descriptors and matrices: behind its events, before the buffer.
const DESCRIPTOR: u64 = 0xc000;
const DATA: u64 = 0xd000;
const END: u64 = MEMORY_BYTES as u64;

fn matrix(address: u64, row_stride: u64) -> Matrix {
    Matrix { address, row_stride, plane_stride: 0, element: Element::F32 }
}

/// Two rows of two floats each.
fn product() -> Product {
    Product {
        planes: 1,
        rows: 2,
        columns: 2,
        depth: 2,
        left: Left::Memory(matrix(DATA, 8)),
        right: matrix(DATA + 16, 8),
        out: matrix(DATA + 32, 8),
        bias: Bias::None,
        gelu: false,
        residual: None,
    }
}

fn attention() -> Attention {
    Attention {
        heads: 1,
        queries: 2,
        keys: 2,
        width: 2,
        scale: 1.0,
        query: matrix(DATA, 8),
        key: matrix(DATA + 16, 8),
        value: matrix(DATA + 32, 8),
        mask: None,
        out: matrix(DATA + 64, 8),
    }
}

/// A guest that asks for an operation, with these floats in its data, and then does `after`.
fn asking(function: &str, words: &[u64], floats: &[f32], after: &str) -> Guest {
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let floats: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
    Guest {
        fields: format!(
            r#"(data (i32.const {DESCRIPTOR}) "{}") (data (i32.const {DATA}) "{}")"#,
            escape(&words),
            escape(&floats)
        ),
        ..Guest::attacking(&format!("(call ${function} (i32.const {DESCRIPTOR})) {after}"))
    }
}

fn multiplying(product: &Product) -> Guest {
    asking("product", &product.words(), &[], "")
}

/// Traps unless these floats lie where the output does.
fn expecting(address: u64, floats: &[f32]) -> String {
    let test = |(index, float): (usize, &f32)| {
        format!(
            "(if (f32.ne (f32.load (i32.const {})) (f32.const {float})) (then unreachable))",
            address + 4 * index as u64
        )
    };
    floats.iter().enumerate().map(test).collect()
}

#[test]
fn valid_descriptors_are_computed() {
    // Rows (1 2) and (3 4) against (5 6) and (7 8); biased, and added to what was there.
    let asked = Product { bias: Bias::Left(DATA + 48), residual: Some(matrix(DATA + 56, 8)), ..product() };
    let floats = [1., 2., 3., 4., 5., 6., 7., 8., 0., 0., 0., 0., 100., 200., 0.5, 0.25, 0.125, 0.];
    let right = expecting(DATA + 32, &[117.5, 239.25, 123.125, 253.]);
    let guest = asking("product", &asked.words(), &floats, &right);
    assert!(hear(&load(&guest).unwrap(), true).lost.is_empty());
    // The test would see a wrong result.
    let wrong = expecting(DATA + 32, &[117.5, 239.25, 123.125, 254.]);
    costs_one_utterance("another sum", &asking("product", &asked.words(), &floats, &wrong), "it aborted");

    // Two equal keys: the mean of the values.
    let floats = [1., 0., 0., 1., 1., 1., 1., 1., 2., 4., 10., 20.];
    let right = expecting(DATA + 64, &[3., 15., 3., 15.]);
    let guest = asking("attention", &attention().words(), &floats, &right);
    assert!(hear(&load(&guest).unwrap(), true).lost.is_empty());
}

#[test]
fn a_matrix_that_ends_where_memory_ends_is_used() {
    let asked = Product { right: matrix(END - 16, 8), ..product() };
    assert!(hear(&load(&multiplying(&asked)).unwrap(), true).lost.is_empty());
    let asked = Product { out: matrix(END - 16, 8), ..product() };
    assert!(hear(&load(&multiplying(&asked)).unwrap(), true).lost.is_empty());
}

#[test]
fn operations_that_break_the_contract_are_refused() {
    let change = |change: &dyn Fn(&mut Product)| {
        let mut asked = product();
        change(&mut asked);
        asked
    };
    let wild = u64::MAX - 7;
    for (name, asked, why) in [
        (
            "a left side past the end",
            change(&|p| p.left = Left::Memory(matrix(END - 12, 8))),
            "left side lies outside",
        ),
        ("a right side past the end", change(&|p| p.right.address = END - 12), "right side lies outside"),
        ("an output past the end", change(&|p| p.out.address = END - 12), "output lies outside"),
        ("an output far away", change(&|p| p.out.address = 1 << 40), "output lies outside"),
        ("an address that wraps", change(&|p| p.right.address = wild), "right side lies outside"),
        ("a stride that wraps", change(&|p| p.right.row_stride = wild), "right side lies outside"),
        (
            "planes that wrap",
            change(&|p| (p.planes, p.out.plane_stride, p.right.plane_stride) = (2, 16, wild)),
            "right side lies outside",
        ),
        ("a bias past the end", change(&|p| p.bias = Bias::Right(END - 4)), "bias lies outside"),
        (
            "a residual past the end",
            change(&|p| p.residual = Some(matrix(END - 12, 8))),
            "residual lies outside",
        ),
        (
            "an output over its input",
            change(&|p| p.out.address = DATA + 16),
            "output overlaps its right side",
        ),
        ("an output over its bias", change(&|p| p.bias = Bias::Left(DATA + 40)), "output overlaps its bias"),
        ("rows on top of each other", change(&|p| p.out.row_stride = 4), "rows overlap"),
        ("planes on top of each other", change(&|p| p.planes = 2), "rows overlap"),
        ("odd addresses", change(&|p| p.right.address += 2), "right side is not aligned"),
        ("nothing", change(&|p| p.depth = 0), "extent out of range"),
        ("an extent without end", change(&|p| p.rows = u64::MAX), "extent out of range"),
        (
            "work without end",
            change(&|p| (p.planes, p.rows, p.columns, p.depth) = (1, MAX_EXTENT, MAX_EXTENT, MAX_EXTENT)),
            "too much work",
        ),
        ("a weight that is not there", change(&|p| p.left = Left::Weight(0)), "did not register"),
        ("the last weight of all", change(&|p| p.left = Left::Weight(u64::MAX - 1)), "did not register"),
    ] {
        costs_one_utterance(name, &multiplying(&asked), why);
    }
    let mut words = product().words();
    words[12] = Element::Q8_0 as u64;
    costs_one_utterance("blocks outside of weights", &asking("product", &words, &[], ""), "means nothing");
    let asked = Attention { value: matrix(END - 12, 8), ..attention() };
    costs_one_utterance(
        "a value past the end",
        &asking("attention", &asked.words(), &[], ""),
        "value lies outside",
    );
    let asked = Attention { mask: Some(matrix(END - 12, 8)), ..attention() };
    costs_one_utterance(
        "a mask past the end",
        &asking("attention", &asked.words(), &[], ""),
        "mask lies outside",
    );
    let asked = Attention { queries: MAX_EXTENT, keys: MAX_EXTENT, width: 64, ..attention() };
    costs_one_utterance(
        "attention without end",
        &asking("attention", &asked.words(), &[], ""),
        "too much work",
    );

    for (name, address) in [("past the end", END - 8), ("that wraps", u64::from(u32::MAX) - 3)] {
        for function in ["product", "attention"] {
            let attack = format!("(call ${function} (i32.const {address}))");
            costs_one_utterance(
                &format!("a descriptor {name}"),
                &Guest::attacking(&attack),
                "of a memory of",
            );
        }
    }
}

#[test]
fn values_without_a_meaning_change_nothing_but_values() {
    let floats =
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MIN_POSITIVE / 2., f32::MAX, f32::MIN, f32::NAN];
    for gelu in [false, true] {
        let asked = Product { gelu, ..product() };
        let guest = asking("product", &asked.words(), &floats, "");
        assert!(hear(&load(&guest).unwrap(), true).lost.is_empty());
    }
    let guest = asking("attention", &Attention { scale: f32::NAN, ..attention() }.words(), &floats, "");
    assert!(hear(&load(&guest).unwrap(), true).lost.is_empty());
}

#[test]
fn work_of_the_host_is_charged_to_the_call() {
    // Rows of half a megabyte, all the same: a second of work in one call.
    let inputs = matrix(DATA, 0);
    let large = Product {
        rows: 1 << 8,
        columns: 1 << 8,
        depth: 1 << 17,
        left: Left::Memory(inputs),
        right: inputs,
        out: matrix(0xa_0000, 1 << 10),
        ..product()
    };
    let mut many = multiplying(&large);
    many.attack = format!("(loop $more {} (br $more))", many.attack);
    costs_one_utterance("a loop of large products", &many, "of CPU time");
}

#[test]
fn helpers_are_charged_too() {
    let inputs = matrix(DATA, 0);
    let asked = Product {
        rows: 64,
        columns: 1 << 10,
        depth: 1 << 10,
        left: Left::Memory(inputs),
        right: inputs,
        out: matrix(0x8_0000, 256),
        ..product()
    };
    let mut guest = multiplying(&asked);
    guest.attack = format!("(loop $more {} (br $more))", guest.attack);
    let engine = Engine::builder()
        .guest(guest.module())
        .no_cache()
        .padding(false)
        .threads(4)
        .limits(limits())
        .build()
        .unwrap();
    let model = engine.load(&model_file()).unwrap();
    let (transcript, spent) = spent(|| hear(&model, true));
    assert_eq!(transcript.lost.len(), 1);
    assert!(transcript.lost[0].reason.to_string().contains("of CPU time"), "{}", transcript.lost[0].reason);
    // All threads together, for two tries.
    assert!(spent < CPU * 3 + Duration::from_millis(200), "{spent:?}");
}

#[test]
fn a_guest_that_computes_by_itself_gets_no_help() {
    let engine =
        Engine::builder().guest(multiplying(&product()).module()).no_cache().padding(false).threads(1);
    let model = engine.limits(limits()).compute(Compute::Guest).build().unwrap().load(&model_file()).unwrap();
    let transcript = hear(&model, true);
    assert!(transcript.lost[0].reason.to_string().contains("was not offered"), "{:?}", transcript.lost);
}

fn registering(weights: Vec<Weight>) -> Guest {
    let loaded = hearken_proto::encode(&Event::Loaded(ModelInfo { weights, ..info() }));
    Guest { loaded, ..Guest::default() }
}

#[test]
fn weights_that_lie_do_not_load() {
    let weight = Weight { address: DATA, rows: 2, depth: 2, row_stride: 8, element: Element::F32 };
    for (name, weights, why) in [
        (
            "a weight past the end",
            vec![Weight { address: END - 12, ..weight.clone() }],
            "weight lies outside",
        ),
        (
            "a weight that wraps",
            vec![Weight { row_stride: u64::MAX - 7, ..weight.clone() }],
            "weight lies outside",
        ),
        ("the same weight twice", vec![weight.clone(), weight.clone()], "weights that overlap"),
        ("a weight of nothing", vec![Weight { depth: 0, ..weight.clone() }], "extent out of range"),
        (
            "half a block",
            vec![Weight { element: Element::Q8_0, depth: 16, ..weight.clone() }],
            "extent out of range",
        ),
        (
            "rows that are all the same",
            vec![Weight { rows: MAX_EXTENT, row_stride: 0, ..weight.clone() }],
            "overlap",
        ),
    ] {
        does_not_load(name, registering(weights).module(), why);
    }
}

#[test]
fn a_weight_is_what_it_was_in_the_snapshot() {
    let weight = Weight { address: DATA, rows: 2, depth: 2, row_stride: 8, element: Element::F32 };
    let asked = Product { left: Left::Weight(0), ..product() };
    let floats = [1., 2., 3., 4., 5., 6., 7., 8.];
    // It overwrites its weight before it asks.
    let right = expecting(DATA + 32, &[17., 39., 23., 53.]);
    let mut guest = asking("product", &asked.words(), &floats, &right);
    guest.attack = format!("(f64.store (i32.const {DATA}) (f64.const 0)) {}", guest.attack);
    guest.loaded = registering(vec![weight]).loaded;
    let engine =
        Engine::builder().guest(guest.module()).no_cache().padding(false).threads(1).limits(limits());
    let model = engine.compute(Compute::Exact).build().unwrap().load(&model_file()).unwrap();
    assert!(hear(&model, true).lost.is_empty(), "{:?}", hear(&model, true).lost);
}
