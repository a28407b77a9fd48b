//! How measurements are summed up and shown.

use std::io::Write as _;

/// The middle of `values`; 0 when there are none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// `value` with two digits after the point.
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Prints one line; a closed pipe is no reason to fail a measurement.
pub fn line(text: &str) {
    drop(writeln!(std::io::stdout(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_two_middles() {
        let of = |values: &[f64]| format!("{:.1}", median(values));
        assert_eq!(
            [of(&[]), of(&[3.0, 1.0, 2.0]), of(&[4.0, 1.0, 2.0, 3.0])],
            ["0.0", "2.0", "2.5"]
        );
    }
}
