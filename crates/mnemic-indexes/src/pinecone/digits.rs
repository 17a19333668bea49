//! A query's vector as JSON. Only its direction matters, so it is written as fractions of one length, which takes a third of the time
//! of looking for the fewest digits of each component. Not here: vectors that are stored, whose components are kept to the bit (`wire`).

/// What a fraction is counted in: 1e-9 of the length.
const ONE: u32 = 1_000_000_000;
/// The bytes of a fraction, its sign and a comma.
pub(super) const MOST_BYTES: usize = 13;

/// Writes the direction as a list of numbers from -1 to 1, the largest of which is at least a half: scaled by a power of two, and each rounded
/// to nine digits after the point, which moves a cosine by less than single precision does.
pub(super) fn fractions(components: &[f32], text: &mut Vec<u8>) {
    let largest = components.iter().fold(0.0f32, |most, component| most.max(component.abs()));
    let by = if largest > 0.0 { 2.0f64.powi(-1 - f64::from(largest).log2().floor() as i32) } else { 1.0 };
    let mut digits = itoa::Buffer::new();
    text.push(b'[');
    for (place, component) in components.iter().enumerate() {
        if place > 0 {
            text.push(b',');
        }
        if component.is_sign_negative() {
            text.push(b'-');
        }
        let fraction = (f64::from(component.abs()) * by * f64::from(ONE)).round() as u32;
        // With one more in front there are always ten digits, of which the first is then one less.
        if let Some((whole, rest)) = digits.format(ONE + fraction.min(ONE)).as_bytes().split_first() {
            text.extend([whole - 1, b'.']);
            text.extend_from_slice(rest);
        }
    }
    text.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(components: &[f32]) -> Vec<u8> {
        let mut text = Vec::new();
        fractions(components, &mut text);
        text
    }

    fn read(components: &[f32]) -> Vec<f64> {
        serde_json::from_slice(&written(components)).unwrap()
    }

    #[test]
    fn a_direction_is_written_as_fractions_and_keeps_its_cosines() {
        assert_eq!(written(&[0.5, -0.25, 0.0]), b"[0.500000000,-0.250000000,0.000000000]");
        assert_eq!(read(&[3.0, -1.5]), [0.75, -0.375]);
        assert_eq!(read(&[f32::MIN_POSITIVE, 0.0]), [0.5, 0.0]);
        assert_eq!(read(&[f32::MAX, -f32::MAX]), [0.999_999_94, -0.999_999_94]);
        assert_eq!(read(&[-1e-30, 1e30]).first(), Some(&0.0));
        let components: Vec<f32> = (0..2048).map(|n| ((n * 7919 % 2003) as f32 - 1001.0) / 45_000.0).collect();
        let (dot, a, b) = components.iter().zip(read(&components)).fold((0.0, 0.0, 0.0), |(dot, a, b), (x, y)| {
            let x = f64::from(*x);
            (dot + x * y, a + x * x, b + y * y)
        });
        assert!((dot / (a * b).sqrt() - 1.0).abs() < 1e-12);
    }
}
