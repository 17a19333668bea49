//! English and Russian words that carry no meaning of their own in a question. Not here: when they are left out (`postings`).

use std::{collections::HashSet, sync::LazyLock};

/// Lower-cased, ё written as е, apostrophes of contractions gone.
const WORDS: [&str; 2] = [
    "a about after all also am an and any are arent as at be because been before being but by can cant could \
    couldnt did didnt do does doesnt doing dont for from had hadnt has hasnt have havent having he hed her here \
    hers herself him himself his how i id if ill im in into is isnt it its itself ive just me my myself no nor not \
    now of off on once only or other our ours ourselves out over own s same she shes should shouldnt so some such \
    t than that the their theirs them themselves then there these they theyre theyve this those through to too \
    under until up very was wasnt we were werent weve what when where which while who whom why will with wont \
    would wouldnt you youre youve your yours yourself yourselves",
    "а без бы был была были было быть в вам вас весь во вот все всего всех вы где да даже для до его ее ей ему если \
    есть еще же за и из или им их к как какая какие каких какого какое какой какую когда ко который которая \
    которые которое кто куда ли лишь между меня мне мной мои мой моя мы на над нам нас наш не него нее ней нет ни \
    них но ну о об он она они оно от по под после почему при про с сам свой своя свои себя со так также такой там \
    тебя тем то того тоже той только том тот ты у уже чего чем что чтобы эта эти это этого этой этом этот эту я",
];

static STOP_WORDS: LazyLock<HashSet<&str>> =
    LazyLock::new(|| WORDS.iter().flat_map(|words| words.split_ascii_whitespace()).collect());

/// Whether a normalized word is a stop word.
pub(crate) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.contains(word)
}

#[cfg(test)]
mod tests {
    use super::is_stop_word;

    #[test]
    fn stop_words_are_those_without_meaning() {
        assert!(["the", "dont", "что", "ее", "i"].into_iter().all(is_stop_word));
        assert!(!["hearing", "may", "дело", "猫", ""].into_iter().any(is_stop_word));
    }
}
