//! Alignment heads: the attention heads of a model that follow the audio.

/// (layer of the decoder, head).
pub(crate) type Head = (u32, u32);

/// Shape of a decoder, which identifies OpenAI's models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) vocabulary: u32,
    pub(crate) layers: u32,
    pub(crate) heads: u32,
}

/// Vocabularies of English, of multilingual, and of the latest models.
const EN: u32 = 51_864;
const MULTI: u32 = 51_865;
const V3: u32 = 51_866;

/// Alignment heads of OpenAI's models, which keep their place when a model is trained further
/// (`_ALIGNMENT_HEADS` in OpenAI's `whisper/__init__.py`, as whisper.cpp decodes them). The first
/// version of `large` has the shape of the second, and other heads; it is no longer used.
const OFFICIAL: &[(Shape, &[Head])] = &[
    (shape(EN, 4, 6), &[(1, 0), (2, 0), (2, 5), (3, 0), (3, 1), (3, 2), (3, 3), (3, 4)]),
    (shape(MULTI, 4, 6), &[(2, 2), (3, 0), (3, 2), (3, 3), (3, 4), (3, 5)]),
    (shape(EN, 6, 8), &[(3, 3), (4, 7), (5, 1), (5, 5), (5, 7)]),
    (shape(MULTI, 6, 8), &[(3, 1), (4, 2), (4, 3), (4, 7), (5, 1), (5, 2), (5, 4), (5, 6)]),
    (
        shape(EN, 12, 12),
        &[
            (6, 6),
            (7, 0),
            (7, 3),
            (7, 8),
            (8, 2),
            (8, 5),
            (8, 7),
            (9, 0),
            (9, 4),
            (9, 8),
            (9, 10),
            (10, 0),
            (10, 1),
            (10, 2),
            (10, 3),
            (10, 6),
            (10, 11),
            (11, 2),
            (11, 4),
        ],
    ),
    (
        shape(MULTI, 12, 12),
        &[(5, 3), (5, 9), (8, 0), (8, 4), (8, 7), (8, 8), (9, 0), (9, 7), (9, 9), (10, 5)],
    ),
    (
        shape(EN, 24, 16),
        &[
            (11, 4),
            (14, 1),
            (14, 12),
            (14, 14),
            (15, 4),
            (16, 0),
            (16, 4),
            (16, 9),
            (17, 12),
            (17, 14),
            (18, 7),
            (18, 10),
            (18, 15),
            (20, 0),
            (20, 3),
            (20, 9),
            (20, 14),
            (21, 12),
        ],
    ),
    (shape(MULTI, 24, 16), &[(13, 15), (15, 4), (15, 15), (16, 1), (20, 0), (23, 4)]),
    (
        shape(MULTI, 32, 20),
        &[
            (10, 12),
            (13, 17),
            (16, 11),
            (16, 12),
            (16, 13),
            (17, 15),
            (17, 16),
            (18, 4),
            (18, 11),
            (18, 19),
            (19, 11),
            (21, 2),
            (21, 3),
            (22, 3),
            (22, 9),
            (22, 12),
            (23, 5),
            (23, 7),
            (23, 13),
            (25, 5),
            (26, 1),
            (26, 12),
            (27, 15),
        ],
    ),
    (
        shape(V3, 32, 20),
        &[(7, 0), (10, 17), (12, 18), (13, 12), (16, 1), (17, 14), (19, 11), (21, 4), (24, 1), (25, 6)],
    ),
    (shape(V3, 4, 20), &[(2, 4), (2, 11), (3, 3), (3, 6), (3, 11), (3, 14)]),
];

const fn shape(vocabulary: u32, layers: u32, heads: u32) -> Shape {
    Shape { vocabulary, layers, heads }
}

/// The heads to read: those that are known of the model, those of OpenAI's model of this shape, or
/// all of the upper half of the layers (OpenAI's default).
pub(crate) fn following(known: &[Head], shape: Shape) -> Vec<Head> {
    if !known.is_empty() {
        return known.to_vec();
    }
    let official = OFFICIAL.iter().find(|(official, _)| *official == shape);
    official.map_or_else(
        || {
            let upper = shape.layers / 2..shape.layers;
            upper.flat_map(|layer| (0..shape.heads).map(move |head| (layer, head))).collect()
        },
        |(_, heads)| heads.to_vec(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_goes_before_the_shape_and_the_shape_before_the_rule() {
        assert_eq!(following(&[(2, 0)], shape(EN, 4, 6)), [(2, 0)]);
        assert_eq!(following(&[], shape(MULTI, 4, 6)).len(), 6);
        assert_eq!(following(&[], shape(EN, 3, 2)), [(1, 0), (1, 1), (2, 0), (2, 1)]);
    }

    #[test]
    fn all_heads_exist_and_no_shape_is_there_twice() {
        for (index, (shape, heads)) in OFFICIAL.iter().enumerate() {
            assert!(heads.iter().all(|(layer, head)| *layer < shape.layers && *head < shape.heads));
            assert!(heads.is_sorted(), "{heads:?}");
            assert!(OFFICIAL[..index].iter().all(|(other, _)| other != shape));
        }
    }
}
