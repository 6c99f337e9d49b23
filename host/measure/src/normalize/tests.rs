use proptest::prelude::*;

use super::*;

/// The test cases of the reference (tests/test_normalizer.py of
/// <https://github.com/openai/whisper>), but for the space that it leaves at the ends.
const REFERENCE: [(&str, &str); 64] = [
    ("two", "2"),
    ("thirty one", "31"),
    ("five twenty four", "524"),
    ("nineteen ninety nine", "1999"),
    ("twenty nineteen", "2019"),
    ("two point five million", "2500000"),
    ("four point two billions", "4200000000s"),
    ("200 thousand", "200000"),
    ("200 thousand dollars", "$200000"),
    ("$20 million", "$20000000"),
    ("€52.4 million", "€52400000"),
    ("£77 thousands", "£77000s"),
    ("two double o eight", "2008"),
    ("three thousand twenty nine", "3029"),
    ("forty three thousand two hundred sixty", "43260"),
    ("forty three thousand two hundred and sixty", "43260"),
    ("nineteen fifties", "1950s"),
    ("thirty first", "31st"),
    ("thirty three thousand and three hundred and thirty third", "33333rd"),
    ("three billion", "3000000000"),
    ("millions", "1000000s"),
    ("july third twenty twenty", "july 3rd 2020"),
    ("august twenty sixth twenty twenty one", "august 26th 2021"),
    ("3 14", "3 14"),
    ("3.14", "3.14"),
    ("3 point 2", "3.2"),
    ("3 point 14", "3.14"),
    ("fourteen point 4", "14.4"),
    ("two point two five dollars", "$2.25"),
    ("two hundred million dollars", "$200000000"),
    ("$20.1 million", "$20100000"),
    ("ninety percent", "90%"),
    ("seventy six per cent", "76%"),
    ("double oh seven", "007"),
    ("double zero seven", "007"),
    ("nine one one", "911"),
    ("nine double one", "911"),
    ("one triple oh one", "10001"),
    ("two thousandth", "2000th"),
    ("thirty two thousandth", "32000th"),
    ("minus 500", "-500"),
    ("positive twenty thousand", "+20000"),
    ("two dollars and seventy cents", "$2.70"),
    ("3 cents", "¢3"),
    ("$0.36", "¢36"),
    ("three euros and sixty five cents", "€3.65"),
    ("three and a half million", "3500000"),
    ("forty eight and a half dollars", "$48.5"),
    ("b747", "b 747"),
    ("10 th", "10th"),
    ("10th", "10th"),
    ("mobilisation", "mobilization"),
    ("cancelation", "cancellation"),
    ("Let's", "let us"),
    ("he's like", "he is like"),
    ("she's been like", "she has been like"),
    ("10km", "10 km"),
    ("10mm", "10 mm"),
    ("RC232", "rc 232"),
    ("Mr. Park visited Assoc. Prof. Kim Jr.", "mister park visited associate professor kim junior"),
    // Cases beyond OpenAI's: ones, and words that are not numbers.
    ("one", "one"),
    ("point taken", "point taken"),
    ("and a half", ""),
    ("ninth", "ninth"),
];

#[test]
fn the_test_cases_of_the_reference_hold() {
    for (text, normal) in REFERENCE {
        assert_eq!(Normalizer::English.text(text).trim(), normal, "{text:?}");
    }
}

/// `golden.py` has the command that made the file. Another one can be named with `HEARKEN_GOLDEN`.
#[test]
fn generated_text_comes_out_as_from_the_reference() {
    let golden = match std::env::var_os("HEARKEN_GOLDEN") {
        Some(path) => std::fs::read_to_string(path).unwrap(),
        None => include_str!("golden.jsonl").to_owned(),
    };
    let mut wrong = Vec::new();
    for (number, line) in golden.lines().enumerate() {
        let (kind, text, normal): (&str, String, String) = {
            let line: [String; 3] = serde_json::from_str(line).unwrap();
            let [kind, text, normal] = line;
            (
                ["english", "basic", "characters"].into_iter().find(|known| *known == kind).unwrap(),
                text,
                normal,
            )
        };
        let normalizer = match kind {
            "english" => Normalizer::English,
            "basic" => Normalizer::Basic,
            _ => Normalizer::BasicCharacters,
        };
        let ours = normalizer.text(&text);
        if ours != normal {
            wrong.push(format!("{}: {kind} {text:?}: {ours:?} and not {normal:?}", number + 1));
        }
    }
    assert!(golden.lines().count() > 600);
    assert!(wrong.is_empty(), "{} lines differ:\n{}", wrong.len(), wrong[..wrong.len().min(30)].join("\n"));
}

#[test]
fn each_word_knows_where_it_ends() {
    let words = |normalizer: Normalizer, text: &str| -> Vec<(String, usize)> {
        let words: Vec<&str> = text.split(' ').collect();
        normalizer.words(&words).into_iter().map(|word| (word.text, word.last)).collect()
    };
    let of = |pairs: &[(&str, usize)]| -> Vec<(String, usize)> {
        pairs.iter().map(|(text, last)| ((*text).to_owned(), *last)).collect()
    };
    let english = words(Normalizer::English, "Um, it's twenty one dollars and five cents, (no) Mr. Grey");
    assert_eq!(english, of(&[("it", 1), ("is", 1), ("$21.05", 7), ("mister", 9), ("gray", 10)]));
    assert_eq!(words(Normalizer::English, "seven three nine"), of(&[("739", 2)]));
    assert_eq!(words(Normalizer::English, "nine per cent go"), of(&[("9%", 2), ("go", 3)]));
    assert_eq!(words(Normalizer::Basic, "Ja, [so so] aber-doch"), of(&[("ja", 0), ("aber", 3), ("doch", 3)]));
    assert_eq!(words(Normalizer::BasicCharacters, "你好 。 吗"), of(&[("你", 0), ("好", 0), ("吗", 2)]));
}

proptest! {
    #[test]
    fn words_are_those_of_the_text(text in any::<String>()) {
        for normalizer in [Normalizer::English, Normalizer::Basic] {
            let spoken: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
            let words = normalizer.words(&spoken);
            prop_assert!(words.iter().all(|word| word.last < spoken.len()));
            let whole = normalizer.text(&spoken.join(" "));
            let separate: Vec<String> = words.into_iter().map(|word| word.text).collect();
            prop_assert_eq!(whole.split(super::text::is_space).filter(|word| !word.is_empty()).collect::<Vec<_>>(), separate);
        }
    }
}
