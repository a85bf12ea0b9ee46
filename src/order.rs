//! Sorts with one compiled copy of the standard library's sort, which sorts indices. The compiler
//! generates `slice::sort_by` again for each type and each comparison, 3 kB each time. With the
//! shared copy, each type only adds a comparison and a swap.

use std::cmp::Ordering;

/// Sorts `items`; equal ones keep their order.
pub fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut order = indices(items.len(), &|one, other| compare(&items[one], &items[other]));
    arrange(&mut order, &mut |one, other| items.swap(one, other));
}

/// Sorts `items` by a key; equal ones keep their order.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |one, other| key(one).cmp(&key(other)));
}

/// Sorts `items` by their own order.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// The indices of the items, in the order that the sort gives to the items.
fn indices(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|one, other| compare(*one, *other));
    order
}

/// Moves the item from place `order[n]` to place `n`, for each `n`, cycle by cycle.
fn arrange(order: &mut [usize], swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        let mut at = start;
        while order[at] != start {
            let from = order[at];
            swap(at, from);
            order[at] = at;
            at = from;
        }
        order[at] = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_sorted_and_equal_ones_keep_their_order() {
        for text in ["", "a", "ba", "cbadefg", "bBaAcCbBaA", "zyxwvutsrqponmlkjihgfedcba"] {
            let mut ours: Vec<char> = text.chars().collect();
            let mut theirs = ours.clone();
            sort_by(&mut ours, |one, other| one.to_lowercase().cmp(other.to_lowercase()));
            theirs.sort_by(|one, other| one.to_lowercase().cmp(other.to_lowercase()));
            assert_eq!(ours, theirs);
            sort(&mut ours);
            assert!(ours.is_sorted(), "{ours:?}");
        }
    }
}
