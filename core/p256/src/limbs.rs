//! Numbers of 256 bits as eight words of 32 bits and as nine limbs of fewer, the lowest first in both.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "what is cut off is what the next word or limb has"
)]

/// Limbs; those beside the top one are not negative when they stand for words.
pub(crate) type Limbs = [i32; 9];

/// The number of these words, in limbs of `BITS` bits.
pub(crate) const fn split<const BITS: u32>(words: &[u32; 8]) -> Limbs {
    const { assert!(BITS < 31 && 9 * BITS >= 256) };
    let mut limbs = [0; 9];
    let mut i = 0;
    while i < 9 {
        let (word, shift) = (i * BITS as usize / 32, i as u32 * BITS % 32);
        let next = if word < 7 { words[word + 1] } else { 0 };
        let pair = words[word] as u64 | (next as u64) << 32;
        limbs[i] = ((pair >> shift) as u32 & ((1 << BITS) - 1)) as i32;
        i += 1;
    }
    limbs
}

/// The words of a number from 0 to `2^256 - 1`.
pub(crate) const fn join<const BITS: u32>(limbs: &Limbs) -> [u32; 8] {
    let mut words = [0; 8];
    let mut i = 0;
    while i < 9 {
        let (word, shift) = (i * BITS as usize / 32, i as u32 * BITS % 32);
        let spread = (limbs[i] as u64) << shift;
        words[word] |= spread as u32;
        if word < 7 {
            words[word + 1] |= (spread >> 32) as u32;
        }
        i += 1;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for bit in 0..256 {
            let mut words = [0; 8];
            words[bit / 32] = 1 << (bit % 32);
            let (of_29, of_30) = (split::<29>(&words), split::<30>(&words));
            assert_eq!((of_29[bit / 29], of_30[bit / 30]), (1 << (bit % 29), 1 << (bit % 30)));
            assert_eq!((join::<29>(&of_29), join::<30>(&of_30)), (words, words));
            let others = words.map(|word| !word);
            assert_eq!((join::<29>(&split::<29>(&others)), join::<30>(&split::<30>(&others))), (others, others));
        }
    }
}
