//! Inner products of one vector with many, as fast as the processor allows. Not here: which rows, and what the products mean (`dense`).
#![expect(
    unsafe_code,
    reason = "a function compiled for instructions beyond the baseline may only be called after a check that the processor has them"
)]
#![expect(
    clippy::inline_always,
    reason = "the loops must be compiled into each caller, with that caller's instructions"
)]

/// Numbers that are summed side by side. Enough to keep the adders of any current processor busy.
const LANES: usize = 64;

/// The inner products of `query` with each of the vectors that lie one after another in `vectors`, as many as `products` is long.
///
/// Sums in a fixed order, so a vector has the same product wherever it lies. `query` is not empty.
pub(crate) fn inner_products(query: &[f32], vectors: &[f32], products: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor has AVX-512F, which was checked right above.
            unsafe { inner_products_avx512(query, vectors, products) };
            return;
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: the processor has AVX2 and FMA, which was checked right above.
            unsafe { inner_products_avx2(query, vectors, products) };
            return;
        }
    }
    each(query, vectors, products, multiply_add_plain);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn inner_products_avx512(query: &[f32], vectors: &[f32], products: &mut [f32]) {
    each(query, vectors, products, f32::mul_add);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn inner_products_avx2(query: &[f32], vectors: &[f32], products: &mut [f32]) {
    each(query, vectors, products, f32::mul_add);
}

/// Where the processor may have no fused instruction, `mul_add` would be a slow library call.
fn multiply_add_plain(a: f32, b: f32, sum: f32) -> f32 {
    if cfg!(target_arch = "aarch64") { a.mul_add(b, sum) } else { a * b + sum }
}

#[inline(always)]
fn each(query: &[f32], vectors: &[f32], products: &mut [f32], multiply_add: impl Fn(f32, f32, f32) -> f32 + Copy) {
    for (vector, product) in vectors.chunks_exact(query.len()).zip(products) {
        *product = one(query, vector, multiply_add);
    }
}

/// Plain loops over fixed-size chunks: the compiler turns them into the widest instructions that the caller was compiled for.
#[inline(always)]
fn one(a: &[f32], b: &[f32], multiply_add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = multiply_add(*a, *b, *sum);
        }
    }
    for ((sum, a), b) in sums.iter_mut().zip(a_rest).zip(b_rest) {
        *sum = multiply_add(*a, *b, *sum);
    }
    let mut width = LANES / 2;
    while width > 0 {
        let (low, high) = sums.split_at_mut(width);
        for (low, high) in low.iter_mut().zip(high) {
            *low += *high;
        }
        width /= 2;
    }
    sums[0]
}

/// How far a product of two unit vectors may lie from the truth: each of the lanes adds `dimension / LANES` rounded terms, and the lanes
/// are added pairwise.
pub(crate) fn rounding(dimension: usize) -> f32 {
    let steps = dimension.div_ceil(LANES) + LANES.ilog2() as usize + 4;
    steps as f32 * f32::EPSILON
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        (0..count)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((state >> 40) as f32 / (1u64 << 24) as f32) - 0.5
            })
            .collect()
    }

    #[test]
    fn every_path_agrees_with_plain_arithmetic_within_the_stated_rounding() {
        for dimension in [1, 2, 7, 31, 63, 64, 65, 128, 256, 300, 384, 1000, 1024, 8192] {
            let query = numbers(dimension, 3);
            let vectors = numbers(dimension * 5, 4);
            let (mut fast, mut plain) = ([0.0; 5], [0.0; 5]);
            inner_products(&query, &vectors, &mut fast);
            each(&query, &vectors, &mut plain, multiply_add_plain);
            for (at, vector) in vectors.chunks_exact(dimension).enumerate() {
                let exact: f64 = query.iter().zip(vector).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                let length = |v: &[f32]| v.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
                let allowed = length(&query) * length(vector) * f64::from(rounding(dimension));
                assert!((f64::from(fast[at]) - exact).abs() <= allowed, "{dimension}");
                assert!((f64::from(plain[at]) - exact).abs() <= allowed, "{dimension}");
            }
        }
    }
}
