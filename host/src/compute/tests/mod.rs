//! Every level of kernels that this machine has against plain sums in f64.

mod attention;
mod bounds;
mod helpers;
mod product;
mod reference;

use super::kernels::Level;

#[test]
fn no_level_is_forgotten() {
    let levels: Vec<Level> = Level::available().collect();
    assert!(levels.is_sorted() && levels[0] == Level::Portable, "{levels:?}");
    assert_eq!(levels.contains(&Level::Neon), cfg!(target_arch = "aarch64"));
    #[cfg(target_arch = "x86_64")]
    for (level, there) in [
        (Level::Avx2, is_x86_feature_detected!("avx2")),
        (Level::Avx512, is_x86_feature_detected!("avx512bw")),
        (Level::Avx512Vnni, is_x86_feature_detected!("avx512vnni")),
        (Level::Avx512VnniBf16, is_x86_feature_detected!("avx512bf16")),
    ] {
        assert_eq!(levels.contains(&level), there, "{level:?}");
    }
}
