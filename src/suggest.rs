//! Finds the known word nearest to a mistyped word, for "did you mean".
//!
//! The distance is optimal string alignment: an insertion, a deletion, a substitution or a swap of
//! neighbours costs one. If the distance is more than a third of the word's length, rounded up,
//! there is no suggestion. Hyphens at the word's start do not count for the length.

/// The longest word, in characters, that gets a suggestion. A longer word is probably no typing
/// mistake.
const MAX_WORD: usize = 40;

/// The candidate nearest to `word`; `None` if no candidate is similar enough, or if `word` is
/// longer than `MAX_WORD`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > MAX_WORD {
        return None;
    }
    let bar = word.trim_start_matches('-').chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= bar)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The end of an error message about `word`: `; did you mean 'CANDIDATE'?`, or nothing if `nearest`
/// finds no candidate.
pub fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or(String::new(), |near| format!("; did you mean '{near}'?"))
}

fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            let mut best =
                (previous[j - 1] + usize::from(!same)).min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_get_a_suggestion_and_other_words_none() {
        let names = ["--name", "--net", "--env", "--env-file"];
        assert_eq!(nearest("--nmae", names), Some("--name"));
        assert_eq!(nearest("--evn-file", names), Some("--env-file"));
        assert_eq!(nearest("--nam", names), Some("--name"));
        assert_eq!(nearest("--privileged", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("pz", ["ps", "rm"]), Some("ps"));
    }
}
