//! Position of a token in the audio, from the decoder's cross-attention while it predicted the
//! token.

use crate::backend::Watched;

/// Frames over which weights are smoothed: whisper.cpp's and OpenAI's.
const MEDIAN: usize = 7;

/// The frame that the heads attended to most at a position, on average.
pub(crate) fn attended(watched: &Watched, position: usize) -> Option<usize> {
    if position >= watched.positions() {
        return None;
    }
    let mut sum = vec![0.0f32; watched.frames];
    for head in 0..watched.heads {
        sum.iter_mut().zip(watched.row(position, head)).for_each(|(sum, weight)| *sum += weight);
    }
    let (frame, most) = sum.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1))?;
    (*most > 0.0).then_some(frame)
}

/// The frame at which each of the positions, which are in order, begins to be attended to: dynamic
/// time warping over the weights, as OpenAI's `timing.py` has it. The first one begins at frame 0.
pub(crate) fn beginnings(watched: &Watched, positions: &[usize]) -> Vec<usize> {
    if positions.iter().any(|position| *position >= watched.positions()) {
        return Vec::new();
    }
    warp(&costs(watched, positions), positions.len(), watched.frames)
}

/// Cost of each position and frame: high where the heads attended little. Weights are normalized
/// over the positions, smoothed over the frames, and averaged over the heads.
fn costs(watched: &Watched, positions: &[usize]) -> Vec<f32> {
    let (frames, count) = (watched.frames, positions.len() as f32);
    let mut costs = vec![0.0f32; positions.len() * frames];
    let mut normal = vec![0.0f32; positions.len() * frames];
    for head in 0..watched.heads {
        for frame in 0..frames {
            let weight = |position: &usize| watched.row(*position, head)[frame];
            let mean = positions.iter().map(weight).sum::<f32>() / count;
            let variance = positions.iter().map(|at| (weight(at) - mean).powi(2)).sum::<f32>() / count;
            let scale = (variance + 1e-9).sqrt().recip();
            for (index, position) in positions.iter().enumerate() {
                normal[index * frames + frame] = (weight(position) - mean) * scale;
            }
        }
        for (row, cost) in normal.chunks_exact(frames).zip(costs.chunks_exact_mut(frames)) {
            for (frame, cost) in cost.iter_mut().enumerate() {
                *cost -= median(row, frame) / watched.heads as f32;
            }
        }
    }
    costs
}

/// The median around a place; the row is mirrored at its ends.
fn median(row: &[f32], at: usize) -> f32 {
    let last = row.len() as isize - 1;
    let mut around = [0.0f32; MEDIAN];
    for (offset, value) in around.iter_mut().enumerate() {
        let place = (at as isize + offset as isize - MEDIAN as isize / 2).abs();
        let place = if place > last { 2 * last - place } else { place };
        *value = row[place.clamp(0, last) as usize];
    }
    around.sort_unstable_by(f32::total_cmp);
    around[MEDIAN / 2]
}

/// The cheapest way through `costs` (`rows × columns`) from one corner to the other: the column at
/// which each row begins.
fn warp(costs: &[f32], rows: usize, columns: usize) -> Vec<usize> {
    #[derive(Clone, Copy, PartialEq)]
    enum From {
        Corner,
        Above,
        Left,
    }
    if rows == 0 || columns == 0 {
        return vec![0; rows];
    }
    let mut from = vec![From::Left; rows * columns];
    let mut above = vec![f32::INFINITY; columns];
    for row in 0..rows {
        let mut here = vec![0.0f32; columns];
        for column in 0..columns {
            let corner = match (row, column) {
                (0, 0) => 0.0,
                (0, _) | (_, 0) => f32::INFINITY,
                _ => above[column - 1],
            };
            let up = if row == 0 { f32::INFINITY } else { above[column] };
            let left = if column == 0 { f32::INFINITY } else { here[column - 1] };
            let (least, way) = if corner < up && corner < left {
                (corner, From::Corner)
            } else if up < corner && up < left {
                (up, From::Above)
            } else {
                (left, From::Left)
            };
            here[column] = costs[row * columns + column] + least;
            from[row * columns + column] = way;
        }
        above = here;
    }
    let mut begins = vec![0; rows];
    let (mut row, mut column) = (rows - 1, columns - 1);
    while row > 0 || column > 0 {
        match from[row * columns + column] {
            From::Left if column > 0 => column -= 1,
            From::Corner if row > 0 && column > 0 => {
                begins[row] = column;
                row -= 1;
                column -= 1;
            }
            // The first column leads up, whatever was noted there.
            _ => {
                begins[row] = column;
                row = row.saturating_sub(1);
            }
        }
    }
    begins
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two heads that look at `frames[position]` and a little at its neighbors.
    fn looking(at: &[usize], frames: usize) -> Watched {
        let mut weights = Vec::new();
        for place in at {
            for _ in 0..2 {
                weights.extend((0..frames).map(|frame| match frame.abs_diff(*place) {
                    0..=2 => 0.16,
                    3..=5 => 0.02,
                    _ => 0.0001,
                }));
            }
        }
        Watched { heads: 2, frames, weights }
    }

    #[test]
    fn a_token_is_where_the_heads_look() {
        let watched = looking(&[5, 20, 33], 40);
        assert_eq!(watched.positions(), 3);
        for (position, place) in [5, 20, 33].into_iter().enumerate() {
            let found = attended(&watched, position).expect("a frame");
            assert!(found.abs_diff(place) <= 2, "{found}");
        }
        assert_eq!(attended(&watched, 3), None);
        let nothing = Watched { heads: 1, frames: 10, weights: vec![0.0; 10] };
        assert_eq!(attended(&nothing, 0), None, "not watched");
    }

    #[test]
    fn tokens_begin_between_where_the_heads_look() {
        let watched = looking(&[10, 30, 50, 70], 90);
        let begins = beginnings(&watched, &[0, 1, 2, 3]);
        assert_eq!(begins[0], 0);
        for (begin, middle) in begins[1..].iter().zip([20, 40, 60]) {
            assert!(begin.abs_diff(middle) <= 8, "{begins:?}");
        }
        // Some of the positions only, and none that there is not.
        assert_eq!(beginnings(&watched, &[1, 3]).len(), 2);
        assert!(beginnings(&watched, &[4]).is_empty());
        assert!(beginnings(&watched, &[]).is_empty());
    }

    #[test]
    fn the_cheapest_way_is_found_and_more_tokens_than_frames_are_no_fault() {
        // Rows are cheap at columns 0–1, 2, 3–5.
        let cheap = [0..2, 2..3, 3..6];
        let costs: Vec<f32> = cheap
            .iter()
            .flat_map(|range| (0..6).map(|column| if range.contains(&column) { 0.0 } else { 1.0 }))
            .collect();
        assert_eq!(warp(&costs, 3, 6), [0, 2, 3]);
        assert_eq!(warp(&[1.0; 8], 4, 2).len(), 4);
        assert_eq!(warp(&[1.0; 5], 5, 1), [0; 5]);
        assert_eq!(warp(&[], 2, 0), [0, 0]);
    }
}
