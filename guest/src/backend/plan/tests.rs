use super::*;
use crate::backend::tensor::{Axes, Format};

/// Builds graphs as ggml does: operations in order, tensors somewhere in memory.
#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    next: usize,
}

impl Builder {
    /// Memory of its own for a tensor.
    fn tensor(&mut self, format: Format, extent: Axes) -> Tensor {
        self.next += 1;
        let data = std::ptr::without_provenance_mut(self.next << 24);
        Tensor { data, format, extent, stride: [0; 4] }.reshaped(extent)
    }

    fn leaf(&mut self, format: Format, extent: Axes) -> Source {
        Source { tensor: self.tensor(format, extent), node: None }
    }

    fn node(&mut self, op: Op, sources: &[Source], out: Tensor) -> Source {
        for source in sources {
            if let Some(made) = source.node {
                self.nodes[made].uses += 1;
            }
        }
        let sources = [sources.first().copied(), sources.get(1).copied()];
        self.nodes.push(Node { op, out, sources, uses: 0, is_output: false });
        Source { tensor: out, node: Some(self.nodes.len() - 1) }
    }

    /// An operation with memory of its own.
    fn op(&mut self, op: Op, sources: &[Source], extent: Axes) -> Source {
        let out = self.tensor(Format::F32, extent);
        self.node(op, sources, out)
    }

    /// An operation in the place of its first source.
    fn in_place(&mut self, op: Op, sources: &[Source]) -> Source {
        self.node(op, sources, sources[0].tensor)
    }

    fn view(&mut self, source: Source, extent: Axes, stride: Axes) -> Source {
        self.node(Op::View, &[source], Tensor { extent, stride, ..source.tensor })
    }

    fn set(&mut self, source: Source, change: impl FnOnce(&mut Node)) {
        change(&mut self.nodes[source.node.unwrap()]);
    }

    fn plan(&self) -> Vec<&'static str> {
        plan(&self.nodes).iter().map(name).collect()
    }
}

fn name(step: &Step) -> &'static str {
    match step {
        Step::Product(_) => "product",
        Step::Attention(_) => "attention",
        Step::Norm { then: Some(_), .. } => "norm with gain and bias",
        Step::Norm { .. } => "norm",
        Step::Add { .. } => "add",
        Step::Mul { .. } => "mul",
        Step::SoftMax { .. } => "soft-max",
        Step::Gelu { .. } => "gelu",
        Step::Scale { .. } => "scale",
        Step::Copy { .. } => "copy",
        Step::Patches { .. } => "patches",
        Step::Rows { .. } => "rows",
        Step::Concat { .. } => "concat",
    }
}

fn product(step: &Step) -> Product {
    let Step::Product(product) = step else { panic!("{}", name(step)) };
    *product
}

const STATE: usize = 64;
const COLUMNS: usize = 10;
const HEADS: usize = 4;
const KEYS: usize = 12;
const WIDTH: usize = STATE / HEADS;

/// A product with bias, GELU and residual, each in place; returns the last operation's sources.
fn feed_forward(builder: &mut Builder) -> [Source; 4] {
    let weight = builder.leaf(Format::F16, [STATE, STATE, 1, 1]);
    let right = builder.leaf(Format::F32, [STATE, COLUMNS, 1, 1]);
    let (bias, residual) =
        (builder.leaf(Format::F32, [STATE, 1, 1, 1]), builder.leaf(Format::F32, [STATE, COLUMNS, 1, 1]));
    let product = builder.op(Op::MulMat, &[weight, right], [STATE, COLUMNS, 1, 1]);
    let biased = builder.in_place(Op::Add, &[product, bias]);
    let active = builder.in_place(Op::Gelu, &[biased]);
    let out = builder.in_place(Op::Add, &[active, residual]);
    [product, biased, active, out]
}

#[test]
fn a_product_takes_bias_activation_and_residual_in() {
    let mut builder = Builder::default();
    let [.., out] = feed_forward(&mut builder);
    let steps = plan(&builder.nodes);
    assert_eq!(steps.len(), 1);
    let product = product(&steps[0]);
    assert!(matches!(product.bias, Bias::Left(_)) && product.gelu && product.residual.is_some());
    assert!(product.out.coincides(&out.tensor) && !product.aside);
}

#[test]
fn a_second_reader_ends_fusion_before_it() {
    for (place, expected) in [
        (0, &["product", "add", "gelu", "add", "gelu"][..]),
        (1, &["product", "gelu", "add", "gelu"]),
        (2, &["product", "add", "gelu"]),
        (3, &["product", "gelu"]),
    ] {
        let mut builder = Builder::default();
        let read_again = feed_forward(&mut builder)[place];
        builder.op(Op::Gelu, &[read_again], [STATE, COLUMNS, 1, 1]);
        assert_eq!(builder.plan(), expected, "{place}");
    }
}

#[test]
fn a_reader_outside_of_the_graph_counts() {
    let mut builder = Builder::default();
    let [_, biased, ..] = feed_forward(&mut builder);
    builder.set(biased, |node| node.uses += 1);
    assert_eq!(builder.plan(), ["product", "gelu", "add"]);
}

#[test]
fn an_output_is_made_even_if_it_is_read_on() {
    let mut builder = Builder::default();
    let [_, _, active, _] = feed_forward(&mut builder);
    builder.set(active, |node| node.is_output = true);
    let steps = plan(&builder.nodes);
    assert_eq!(steps.iter().map(name).collect::<Vec<_>>(), ["product", "add"]);
    assert!(product(&steps[0]).out.coincides(&active.tensor));
}

#[test]
fn a_result_that_lies_where_an_input_does_is_made_aside() {
    let mut builder = Builder::default();
    let [_, _, active, out] = feed_forward(&mut builder);
    let right = builder.nodes[active.node.unwrap() - 2].sources[1].unwrap().tensor;
    builder.set(out, |node| node.out.data = right.data.wrapping_add(right.row_bytes()));
    let steps = plan(&builder.nodes);
    assert_eq!(steps.len(), 1);
    assert!(product(&steps[0]).aside);
}

#[test]
fn what_writes_over_an_input_meanwhile_prevents_fusion() {
    for disturbs in [false, true] {
        let mut builder = Builder::default();
        let weight = builder.leaf(Format::F16, [STATE, STATE, 1, 1]);
        let right = builder.leaf(Format::F32, [STATE, COLUMNS, 1, 1]);
        let bias = builder.leaf(Format::F32, [STATE, 1, 1, 1]);
        let product = builder.op(Op::MulMat, &[weight, right], [STATE, COLUMNS, 1, 1]);
        // ggml thinks that `right` is used up, and gives its memory to others.
        let between =
            if disturbs { right.tensor } else { builder.tensor(Format::F32, [STATE, COLUMNS, 1, 1]) };
        builder.node(Op::Gelu, &[weight], between);
        builder.in_place(Op::Add, &[product, bias]);
        let expected: &[_] = if disturbs { &["product", "gelu", "add"] } else { &["gelu", "product"] };
        assert_eq!(builder.plan(), expected);
    }
}

#[test]
fn additions_of_every_form_find_their_place() {
    let whole = [STATE, COLUMNS, 1, 1];
    for (extent, is_fused) in
        [([STATE, 1, 1, 1], true), ([1, COLUMNS, 1, 1], true), (whole, true), ([1, 1, 1, 1], false)]
    {
        for swapped in [false, true] {
            let mut builder = Builder::default();
            let weight = builder.leaf(Format::F16, [STATE, STATE, 1, 1]);
            let right = builder.leaf(Format::F32, whole);
            let other = builder.leaf(Format::F32, extent);
            let product = builder.op(Op::MulMat, &[weight, right], whole);
            builder.op(Op::Add, &if swapped { [other, product] } else { [product, other] }, whole);
            let steps = plan(&builder.nodes);
            assert_eq!(steps.len() == 1, is_fused, "{extent:?}");
            let Step::Product(product) = steps[0] else { panic!("no product") };
            match extent {
                [STATE, 1, ..] => assert!(matches!(product.bias, Bias::Left(_))),
                [1, COLUMNS, ..] => assert!(matches!(product.bias, Bias::Right(_))),
                [STATE, COLUMNS, ..] => assert!(product.residual.is_some()),
                _ => assert!(matches!(product.bias, Bias::None) && product.residual.is_none()),
            }
        }
    }
}

#[test]
fn a_reshape_in_between_does_not_matter_but_a_transposition_does() {
    for transposed in [false, true] {
        let mut builder = Builder::default();
        let patches = builder.leaf(Format::F16, [STATE, STATE, 1, 1]);
        let kernel = builder.leaf(Format::F16, [STATE, STATE, 1, 1]);
        let bias = builder.leaf(Format::F32, [1, STATE, 1, 1]);
        let product = builder.op(Op::MulMat, &[patches, kernel], [STATE, STATE, 1, 1]);
        let [n0, n1, n2, n3] = product.tensor.stride;
        let stride = if transposed { [n1, n0, n2, n3] } else { [n0, n1, n2, n3] };
        let shaped = builder.view(product, product.tensor.extent, stride);
        builder.op(Op::Add, &[shaped, bias], [STATE, STATE, 1, 1]);
        assert_eq!(builder.plan().len(), if transposed { 2 } else { 1 });
    }
}

/// The parts of an attention, in order: scores, soft-max, heads, their permutation, and the copy
/// that merges them.
fn attention(builder: &mut Builder, mask: bool) -> [Source; 5] {
    let query = builder.leaf(Format::F32, [WIDTH, COLUMNS, HEADS, 1]);
    let key = builder.leaf(Format::F16, [WIDTH, KEYS, HEADS, 1]);
    let value = builder.leaf(Format::F16, [KEYS, WIDTH, HEADS, 1]);
    let mask = mask.then(|| builder.leaf(Format::F32, [KEYS, COLUMNS, 1, 1]));
    let scores = builder.op(Op::MulMat, &[key, query], [KEYS, COLUMNS, HEADS, 1]);
    let sources: Vec<Source> = [Some(scores), mask].into_iter().flatten().collect();
    let weights = builder.in_place(Op::SoftMax { scale: 0.5 }, &sources);
    let heads = builder.op(Op::MulMat, &[value, weights], [WIDTH, COLUMNS, HEADS, 1]);
    let [n0, n1, n2, n3] = heads.tensor.stride;
    let permuted = builder.view(heads, [WIDTH, HEADS, COLUMNS, 1], [n0, n2, n1, n3]);
    let merged = builder.op(Op::Copy, &[permuted], [STATE, COLUMNS, 1, 1]);
    [scores, weights, heads, permuted, merged]
}

#[test]
fn attention_goes_straight_to_where_its_heads_are_merged() {
    for mask in [false, true] {
        let mut builder = Builder::default();
        let [.., merged] = attention(&mut builder, mask);
        let steps = plan(&builder.nodes);
        let [Step::Attention(attention)] = steps[..] else { panic!("{:?}", builder.plan()) };
        assert_eq!((attention.scale, attention.mask.is_some(), attention.aside), (0.5, mask, false));
        assert_eq!(attention.out.data, merged.tensor.data);
        assert_eq!(attention.out.extent, [WIDTH, COLUMNS, HEADS, 1]);
        assert_eq!(attention.out.stride[..3], [4, 4 * STATE, 4 * WIDTH]);
    }
}

#[test]
fn alignment_heads_stay_observable() {
    let mut builder = Builder::default();
    let [_, weights, ..] = attention(&mut builder, false);
    let [.., n3] = weights.tensor.stride;
    // Dynamic time warping reads the soft-max through a view.
    builder.view(weights, [KEYS * COLUMNS, HEADS, 1, 1], [4, 4 * KEYS * COLUMNS, n3, n3]);
    assert_eq!(builder.plan(), ["product", "soft-max", "product", "copy"]);
    assert!(
        plan(&builder.nodes)
            .iter()
            .any(|step| matches!(step, Step::SoftMax { out, .. } if out.coincides(&weights.tensor)))
    );
}

#[test]
fn attention_whose_heads_are_read_otherwise_ends_at_them() {
    let mut builder = Builder::default();
    let [_, _, heads, permuted, _] = attention(&mut builder, false);
    builder.op(Op::Gelu, &[permuted], [WIDTH, HEADS, COLUMNS, 1]);
    let steps = plan(&builder.nodes);
    let Step::Attention(attention) = steps[0] else { panic!("{:?}", builder.plan()) };
    assert!(attention.out.coincides(&heads.tensor));
    assert_eq!(builder.plan(), ["attention", "copy", "gelu"]);
}

#[test]
fn attention_over_its_own_inputs_is_made_aside() {
    let mut builder = Builder::default();
    let [scores, .., merged] = attention(&mut builder, false);
    let query = builder.nodes[scores.node.unwrap()].sources[1].unwrap().tensor;
    builder.set(merged, |node| node.out.data = query.data);
    let steps = plan(&builder.nodes);
    assert!(matches!(steps[..], [Step::Attention(Attention { aside: true, .. })]));
}

#[test]
fn shared_keys_are_not_fused() {
    let mut builder = Builder::default();
    let [scores, ..] = attention(&mut builder, false);
    builder.set(scores, |node| {
        if let Some(key) = &mut node.sources[0] {
            key.tensor.extent[2] = 1;
        }
    });
    assert_eq!(builder.plan(), ["product", "soft-max", "product", "copy"]);
}

#[test]
fn a_norm_takes_gain_and_bias_in() {
    let shape = [STATE, COLUMNS, 1, 1];
    for (vector, expected) in [
        ([STATE, 1, 1, 1], &["norm with gain and bias"][..]),
        (shape, &["norm", "mul", "add"]),
        ([1, COLUMNS, 1, 1], &["norm", "mul", "add"]),
    ] {
        let mut builder = Builder::default();
        let from = builder.leaf(Format::F32, shape);
        let (gain, bias) = (builder.leaf(Format::F32, vector), builder.leaf(Format::F32, vector));
        let normed = builder.op(Op::Norm { epsilon: 1e-5 }, &[from], shape);
        let gained = builder.in_place(Op::Mul, &[normed, gain]);
        let biased = builder.in_place(Op::Add, &[gained, bias]);
        assert_eq!(builder.plan(), expected, "{vector:?}");
        // Output in the place of the input is fine; one row farther is not.
        builder.set(biased, |node| node.out.data = from.tensor.data);
        assert_eq!(builder.plan(), expected, "{vector:?}");
        builder.set(biased, |node| node.out.data = from.tensor.data.wrapping_add(4 * STATE));
        assert_eq!(builder.plan(), ["norm", "mul", "add"]);
    }
}

#[test]
fn a_scale_goes_into_the_copy_that_follows() {
    let mut builder = Builder::default();
    let from = builder.leaf(Format::F32, [STATE, COLUMNS, 1, 1]);
    let scaled = builder.op(Op::Scale { factor: 0.25, offset: 0.0 }, &[from], [STATE, COLUMNS, 1, 1]);
    let cache = builder.tensor(Format::F16, [STATE * COLUMNS, 1, 1, 1]);
    builder.node(Op::Copy, &[scaled], cache);
    let steps = plan(&builder.nodes);
    assert!(
        matches!(steps[..], [Step::Copy { from: read, factor: 0.25, .. }] if read.data == from.tensor.data)
    );
    builder.set(scaled, |node| node.op = Op::Scale { factor: 0.25, offset: 1.0 });
    assert_eq!(builder.plan(), ["scale", "copy"]);
    builder.set(scaled, |node| (node.op, node.uses) = (Op::Scale { factor: 0.25, offset: 0.0 }, 2));
    assert_eq!(builder.plan(), ["scale", "copy"]);
}

#[test]
fn copies_take_the_shape_that_is_possible() {
    let mut builder = Builder::default();
    let flat = builder.tensor(Format::F32, [24, 1, 1, 1]);
    let square = flat.reshaped([4, 6, 1, 1]);
    let transposed = Tensor { extent: [6, 4, 1, 1], stride: [16, 4, 96, 96], ..flat };
    let shapes = |from, to| same_shape(from, to).map(|both| both.map(|tensor| tensor.extent));
    assert_eq!(shapes(flat, square), Some([[24, 1, 1, 1]; 2]));
    assert_eq!(shapes(transposed, flat), Some([[6, 4, 1, 1]; 2]));
    assert_eq!(shapes(flat, transposed), Some([[6, 4, 1, 1]; 2]));
    assert_eq!(shapes(transposed, transposed), Some([[6, 4, 1, 1]; 2]));
    let other = Tensor { extent: [2, 12, 1, 1], stride: [48, 4, 96, 96], ..flat };
    assert_eq!(shapes(transposed, other), None);
}
