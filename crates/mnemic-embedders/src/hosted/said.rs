//! What a vendor said, fit for a message: short, one line, and without the texts that it was asked about.
//! Not here: what it means (`error` of each vendor).

/// Characters that are kept.
const MOST: usize = 240;
/// An echo of a text shares a stretch of this many characters with it.
const STRETCH: usize = 12;
/// Shorter texts are words of any message.
const SHORT: usize = 8;

/// The beginning of a vendor's message as one line, or a remark in its place where it repeats one of the texts: messages go into
/// logs, which must hold no text of a record.
pub(crate) fn said(message: &str, texts: &[&str]) -> String {
    let words = message.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line: String = words.collect::<Vec<_>>().join(" ").chars().take(MOST).collect();
    if repeats(message, texts) || repeats(&line, texts) {
        return "what it said repeats a text and is left out".to_owned();
    }
    line
}

fn repeats(message: &str, texts: &[&str]) -> bool {
    let head: Vec<char> = message.chars().take(MOST * 4).collect();
    let head_text: String = head.iter().collect();
    let whole = |text: &&&str| text.trim().len() >= SHORT && head_text.contains(text.trim());
    if texts.iter().find(whole).is_some() {
        return true;
    }
    // Any echo of twice the stretch holds one of these whole.
    head.chunks_exact(STRETCH).any(|stretch| {
        let stretch: String = stretch.iter().collect();
        texts.iter().any(|text| text.contains(&stretch))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_repeats_a_text_is_left_out_and_others_are_one_short_line() {
        let texts = ["the filing fee is 405 dollars and was paid by cheque on Monday", "short note"];
        for echo in [
            "bad input: 'the filing fee is 405 dollars and was paid by cheque on Monday'",
            "value_error, input: fee is 405 dollars and was paid by",
            "cannot tokenize short note",
        ] {
            let said = said(echo, &texts);
            assert!(!said.contains("405") && !said.contains("note"), "{said}");
        }
        let limit = "The batch size limit is 1000.\nYour batch size is 1001.";
        assert_eq!(said(limit, &texts), "The batch size limit is 1000. Your batch size is 1001.");
        assert_eq!(said(&"x".repeat(9000), &texts).len(), MOST);
    }
}
