//! Shares of a whole as a bar. Only for the eye: the numbers stand beside it.

use super::{words::Look, writer::Html};

/// Units that the bar is wide.
const WIDTH: u64 = 1000;
/// Least width of a share that is not zero: one wrong cell of a million is seen.
const LEAST: u64 = 12;

/// A bar of the counts, in their order.
pub(super) fn bar(w: &mut Html, counts: &[(Look, u64)]) {
    let attributes = [
        ("class", "bar"),
        ("viewBox", "0 0 1000 10"),
        ("preserveAspectRatio", "none"),
        ("aria-hidden", "true"),
    ];
    w.el("svg", &attributes, |w| {
        let mut x = 0;
        for (width, (look, _)) in widths(counts.iter().map(|c| c.1)).into_iter().zip(counts) {
            if width > 0 {
                let (at, width_text) = (x.to_string(), width.to_string());
                let rect = [("class", look.class), ("x", &*at), ("width", &*width_text), ("height", "10")];
                w.el("rect", &rect, |_| {});
            }
            x += width;
        }
    });
}

fn widths(counts: impl Iterator<Item = u64> + Clone) -> Vec<u64> {
    let total: u64 = counts.clone().sum();
    let mut widths: Vec<u64> = counts
        .map(|n| match (n, total) {
            (0, _) | (_, 0) => 0,
            _ => ((u128::from(n) * u128::from(WIDTH) / u128::from(total)) as u64).max(LEAST),
        })
        .collect();
    // The widest share takes what rounding has left over, or gives what the least ones have taken.
    let sum: u64 = widths.iter().sum();
    if let Some(widest) = widths.iter_mut().max()
        && sum > 0
    {
        *widest = (*widest + WIDTH).saturating_sub(sum);
    }
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_invisible_and_all_add_up() {
        assert_eq!(widths([1, 999_999, 0].into_iter()), [12, 988, 0]);
        assert_eq!(widths([1, 1, 1].into_iter()).iter().sum::<u64>(), 1000);
        assert_eq!(widths([0, 0].into_iter()), [0, 0]);
    }
}
