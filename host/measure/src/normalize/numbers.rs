//! Spelled-out numbers become digits, as the Whisper normalizer has it: "nineteen fifties" is
//! 1950s, "double oh seven" is 007, "two dollars and seventy cents" is $2.70.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::text::{Text, Token, is_space};

const ONES: [&str; 19] = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
/// Multipliers with the zeros that they append.
const MULTIPLIERS: [(&str, usize); 12] = [
    ("hundred", 2),
    ("thousand", 3),
    ("million", 6),
    ("billion", 9),
    ("trillion", 12),
    ("quadrillion", 15),
    ("quintillion", 18),
    ("sextillion", 21),
    ("septillion", 24),
    ("octillion", 27),
    ("nonillion", 30),
    ("decillion", 33),
];
const SIGNS: [char; 6] = ['-', '+', '£', '€', '$', '¢'];

/// Role of a word in a number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    Zero,
    /// 1 to 19.
    One(u32),
    OneSuffixed(u32, &'static str),
    /// 20 to 90.
    Ten(u32),
    TenSuffixed(u32, &'static str),
    Multiplier(usize),
    MultiplierSuffixed(usize, &'static str),
    Sign(char),
    Currency(char),
    Per,
    Percent,
    And,
    /// "double", "triple".
    Repeat(usize),
    Point,
}

static ROLES: LazyLock<HashMap<String, Role>> = LazyLock::new(|| {
    use Role::*;
    let mut roles = HashMap::new();
    for (name, value) in ONES.into_iter().zip(1..) {
        let plural = if name == "six" { "es" } else { "s" };
        roles.insert(name.to_owned(), One(value));
        roles.insert(format!("{name}{plural}"), OneSuffixed(value, "s"));
        // "nineth" is the reference's word; "ninth" stays a word.
        match value {
            1 | 2 | 3 | 5 | 12 => None,
            _ => roles.insert(
                format!("{name}{}", if name.ends_with('t') { "h" } else { "th" }),
                OneSuffixed(value, "th"),
            ),
        };
    }
    for (name, value) in TENS.into_iter().zip((20..).step_by(10)) {
        let stem = name.trim_end_matches('y');
        roles.insert(name.to_owned(), Ten(value));
        roles.insert(format!("{stem}ies"), TenSuffixed(value, "s"));
        roles.insert(format!("{stem}ieth"), TenSuffixed(value, "th"));
    }
    for (name, zeros) in MULTIPLIERS {
        roles.insert(name.to_owned(), Multiplier(zeros));
        roles.insert(format!("{name}s"), MultiplierSuffixed(zeros, "s"));
        roles.insert(format!("{name}th"), MultiplierSuffixed(zeros, "th"));
    }
    let others = [
        ("o", Zero),
        ("oh", Zero),
        ("zero", Zero),
        ("zeroth", OneSuffixed(0, "th")),
        ("first", OneSuffixed(1, "st")),
        ("second", OneSuffixed(2, "nd")),
        ("third", OneSuffixed(3, "rd")),
        ("fifth", OneSuffixed(5, "th")),
        ("twelfth", OneSuffixed(12, "th")),
        ("minus", Sign('-')),
        ("negative", Sign('-')),
        ("plus", Sign('+')),
        ("positive", Sign('+')),
        ("pound", Currency('£')),
        ("pounds", Currency('£')),
        ("euro", Currency('€')),
        ("euros", Currency('€')),
        ("dollar", Currency('$')),
        ("dollars", Currency('$')),
        ("cent", Currency('¢')),
        ("cents", Currency('¢')),
        ("per", Per),
        ("percent", Percent),
        ("and", And),
        ("double", Repeat(2)),
        ("triple", Repeat(3)),
        ("point", Point),
    ];
    roles.extend(others.map(|(name, role)| (name.to_owned(), role)));
    roles
});

fn role(word: &str) -> Option<Role> {
    ROLES.get(word).copied()
}

/// The number under construction, in decimal digits: there is no largest.
#[derive(Debug, Clone)]
enum Value {
    /// Without leading zeros. Smaller numbers are added to its zeros, and it is multiplied.
    Integer(String),
    /// Digits and points in spoken order.
    Digits(String),
}

impl Value {
    fn integer(digits: &str) -> Self {
        let digits = digits.trim_start_matches('0');
        Self::Integer(if digits.is_empty() { "0".to_owned() } else { digits.to_owned() })
    }

    fn text(&self) -> &str {
        let (Self::Integer(text) | Self::Digits(text)) = self;
        text
    }

    fn ends_in_zeros(&self, count: usize) -> bool {
        let text = self.text();
        text == "0" || text.len() - text.trim_end_matches('0').len() >= count
    }

    fn followed_by(&self, number: u32) -> Self {
        Self::Digits(format!("{}{number}", self.text()))
    }

    /// Puts a number into the zeros at the end.
    fn plus(&self, number: u32) -> Self {
        let number = number.to_string();
        let kept = self.text().len().saturating_sub(number.len());
        Self::Integer(format!("{}{number}", &self.text()[..kept]))
    }

    /// Multiplies by a power of ten: the part below a thousand, in an integer. `None` when it is no
    /// number, or a fraction remains.
    fn times(&self, zeros: usize) -> Option<Self> {
        match self {
            Self::Integer(digits) => {
                let (before, residual) = digits.split_at(digits.len().saturating_sub(3));
                Some(Self::integer(&sum(
                    &format!("{before}000"),
                    &format!("{residual}{}", "0".repeat(zeros)),
                )))
            }
            Self::Digits(text) => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
                let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                let fraction_end = fraction.trim_end_matches('0');
                let is_number =
                    digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
                (is_number && fraction_end.len() <= zeros)
                    .then(|| Self::integer(&format!("{whole}{fraction_end:0<zeros$}")))
            }
        }
    }
}

/// The sum of two numbers in decimal digits.
fn sum(one: &str, other: &str) -> String {
    let mut digits = Vec::new();
    let (mut one, mut other) = (one.bytes().rev(), other.bytes().rev());
    let mut carry = 0;
    loop {
        let (left, right) = (one.next(), other.next());
        if left.is_none() && right.is_none() && carry == 0 {
            break;
        }
        let digit = carry + left.map_or(0, |byte| byte - b'0') + right.map_or(0, |byte| byte - b'0');
        digits.push(char::from(b'0' + digit % 10));
        carry = digit / 10;
    }
    digits.iter().rev().collect()
}

/// Returns true if a word is a number in digits, perhaps with decimals.
fn is_numeric(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match word.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(word),
    }
}

pub(super) fn standardize(text: &Text) -> Text {
    let mut reader = Reader::default();
    reader.read(&prepare(text).tokens());
    let mut text = Text::of_tokens(&reader.output);
    tidy(&mut text);
    text
}

/// "and a half" becomes "point five" behind a number; digits and letters are parted, but for
/// suffixes.
fn prepare(text: &Text) -> Text {
    let mut text = halves(text);
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase());
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    text.replace(|text, at| {
        let (one, other) = (text.at(at), text.at(at + 1));
        let apart = is_letter(one) && is_digit(other) || is_digit(one) && is_letter(other);
        apart.then(|| (1, one.into_iter().chain([' ']).collect()))
    });
    text.replace(|text, at| {
        let digit = text.at(at).filter(char::is_ascii_digit)?;
        let spaces = text.run(at + 1, is_space);
        let behind = at + 1 + spaces;
        let ends =
            |suffix: &&str| text.starts_with(behind, suffix) && text.is_boundary(behind + suffix.len());
        let suffix = ["st", "nd", "rd", "th", "s"].into_iter().filter(|_| spaces > 0).find(ends)?;
        Some((1 + spaces + suffix.len(), format!("{digit}{suffix}")))
    });
    text
}

fn halves(text: &Text) -> Text {
    // Length of "and a half" at a position.
    let half = |at: usize| {
        let mut end = at;
        for (number, word) in ["and", "a", "half"].into_iter().enumerate() {
            let spaces = text.run(end, is_space);
            if (number > 0) != (spaces > 0) || !text.starts_with(end + spaces, word) {
                return None;
            }
            end += spaces + word.len();
        }
        (text.is_boundary(at) && text.is_boundary(end)).then_some(end - at)
    };
    let (mut result, mut start, mut at) = (Text::default(), 0, 0);
    while at < text.0.len() {
        let Some(len) = half(at) else {
            at += 1;
            continue;
        };
        let segment = Text(text.0[start..at].to_vec());
        if let Some(last) = segment.tokens().pop() {
            let number = role(&last.text);
            let is_number =
                matches!(number, Some(Role::Zero | Role::One(_) | Role::Ten(_) | Role::Multiplier(_)));
            result.append_chars(&segment.0);
            result.append(if is_number { "point five" } else { "and a half" }, text.0[at + len - 1].word);
        }
        at += len;
        start = at;
    }
    result.append_chars(&text.0[start..]);
    result
}

/// Cents join their dollars, and "one" is written out.
fn tidy(text: &mut Text) {
    let is_digit = |c: char| c.is_ascii_digit();
    let is_currency = |c: Option<char>| c.filter(|c| matches!(c, '€' | '£' | '$'));
    // One or two digits, and the end of the word.
    let cents = |text: &Text, at: usize| -> Option<(usize, u32)> {
        let len = text.run(at, is_digit);
        let digits: String = text.0.get(at..at + len)?.iter().map(|char| char.c).collect();
        ((1..=2).contains(&len) && text.is_boundary(at + len)).then_some((len, digits.parse().ok()?))
    };
    text.replace(|text, at| {
        let currency = is_currency(text.at(at))?;
        let integer = text.run(at + 1, is_digit);
        let mut end = at + 1 + integer;
        (integer > 0 && text.at(end) == Some(' ')).then_some(())?;
        end += if text.starts_with(end + 1, "and ") { 5 } else { 1 };
        (text.at(end) == Some('¢')).then_some(())?;
        let (len, cents) = cents(text, end + 1)?;
        let integer: String = text.0[at + 1..at + 1 + integer].iter().map(|char| char.c).collect();
        Some((end + 1 + len - at, format!("{currency}{integer}.{cents:02}")))
    });
    text.replace(|text, at| {
        is_currency(text.at(at))?;
        // Whatever stands for the point.
        (text.at(at + 1) == Some('0') && text.at(at + 2).is_some()).then_some(())?;
        let (len, cents) = cents(text, at + 3)?;
        Some((3 + len, format!("¢{cents}")))
    });
    text.replace(|text, at| {
        (text.at(at) == Some('1') && text.is_boundary(at)).then_some(())?;
        if text.at(at + 1) == Some('s') && text.is_boundary(at + 2) {
            return Some((2, "ones".to_owned()));
        }
        text.is_boundary(at + 1).then(|| (1, "one".to_owned()))
    });
}

/// Reads words from left to right.
#[derive(Default)]
struct Reader {
    output: Vec<Token>,
    value: Option<Value>,
    /// Origin of the latest part of the value.
    source: usize,
    /// Sign or currency before the next output.
    prefix: Option<char>,
}

impl Reader {
    fn read(&mut self, words: &[Token]) {
        let mut skip = false;
        for (at, word) in words.iter().enumerate() {
            if std::mem::take(&mut skip) {
                continue;
            }
            let previous = at.checked_sub(1).and_then(|before| role(&words[before].text));
            let next = words.get(at + 1);
            let next_role = next.and_then(|next| role(&next.text));
            let continues = next_role.is_some() || next.is_some_and(|next| is_numeric(&next.text));
            let current = word.text.as_str();
            let bare = current.strip_prefix(SIGNS).unwrap_or(current);
            if is_numeric(bare) {
                self.take_numeric(word, bare);
                continue;
            }
            match role(current) {
                None => self.pass(word),
                Some(Role::Zero) => self.say("0", word.word),
                Some(Role::One(number)) => self.set(self.with_ones(number, previous), word.word),
                Some(Role::OneSuffixed(number, suffix)) => {
                    self.emit_suffixed(&self.with_ones(number, previous), suffix, word.word);
                }
                Some(Role::Ten(number)) => self.set(self.with_tens(number), word.word),
                Some(Role::TenSuffixed(number, suffix)) => {
                    self.emit_suffixed(&self.with_tens(number), suffix, word.word);
                }
                Some(Role::Multiplier(zeros)) => {
                    let value = self.multiplied(zeros);
                    self.set(value, word.word);
                }
                Some(Role::MultiplierSuffixed(zeros, suffix)) => {
                    let value = self.multiplied(zeros);
                    self.emit_suffixed(&value, suffix, word.word);
                }
                Some(Role::Sign(sign)) => {
                    self.flush();
                    if continues {
                        self.prefix = Some(sign);
                    } else {
                        self.emit(current.to_owned(), word.word);
                    }
                }
                Some(Role::Currency(sign)) => match self.value.take() {
                    Some(value) => {
                        self.prefix = Some(sign);
                        self.emit(value.text().to_owned(), word.word);
                    }
                    None => self.emit(current.to_owned(), word.word),
                },
                Some(Role::Per) => match (&self.value, next) {
                    (Some(value), Some(next)) if next.text == "cent" => {
                        self.emit_suffixed(&value.clone(), "%", next.word);
                        skip = true;
                    }
                    _ => self.pass(word),
                },
                Some(Role::Percent) => match self.value.take() {
                    Some(value) => self.emit_suffixed(&value, "%", word.word),
                    None => self.emit(current.to_owned(), word.word),
                },
                Some(Role::And | Role::Repeat(_) | Role::Point) if !continues => self.pass(word),
                Some(Role::And) => {
                    // "two hundred and five"
                    if !matches!(previous, Some(Role::Multiplier(_))) {
                        self.pass(word);
                    }
                }
                Some(Role::Repeat(times)) => match (next_role, next) {
                    (Some(Role::Zero), Some(next)) => {
                        self.say(&"0".repeat(times), next.word);
                        skip = true;
                    }
                    (Some(Role::One(number)), Some(next)) => {
                        self.say(&number.to_string().repeat(times), next.word);
                        skip = true;
                    }
                    _ => self.pass(word),
                },
                Some(Role::Point) => {
                    let decimal = matches!(next_role, Some(Role::Zero | Role::One(_) | Role::Ten(_)));
                    if decimal || next.is_some_and(|next| is_numeric(&next.text)) {
                        self.say(".", word.word);
                    }
                }
            }
        }
        self.flush();
    }

    /// A number in digits.
    fn take_numeric(&mut self, word: &Token, bare: &str) {
        if let Some(Value::Digits(digits)) = &mut self.value
            && digits.ends_with('.')
        {
            digits.push_str(&word.text);
            self.source = word.word;
            return;
        }
        self.flush();
        if bare.len() < word.text.len() {
            self.prefix = word.text.chars().next();
        }
        let (whole, fraction) = bare.split_once('.').unwrap_or((bare, ""));
        let is_integer = fraction.bytes().all(|byte| byte == b'0');
        self.set(if is_integer { Value::integer(whole) } else { Value::Digits(bare.to_owned()) }, word.word);
    }

    fn with_ones(&self, number: u32, previous: Option<Role>) -> Value {
        let Some(value) = &self.value else { return Value::Integer(number.to_string()) };
        let is_integer = matches!(value, Value::Integer(_)) && !matches!(previous, Some(Role::One(_)));
        match previous {
            _ if is_integer && value.ends_in_zeros(if number < 10 { 1 } else { 2 }) => value.plus(number),
            // The zero of "twenty" is the place of the next digit.
            Some(Role::Ten(_)) if !is_integer && number < 10 => {
                Value::Digits(value.plus(number).text().to_owned())
            }
            _ => value.followed_by(number),
        }
    }

    fn with_tens(&self, number: u32) -> Value {
        match &self.value {
            None => Value::Integer(number.to_string()),
            Some(value @ Value::Integer(_)) if value.ends_in_zeros(2) => value.plus(number),
            Some(value) => value.followed_by(number),
        }
    }

    /// The value times a power of ten. What cannot be multiplied is put out, and the power stands
    /// for itself.
    fn multiplied(&mut self, zeros: usize) -> Value {
        let product = self.value.as_ref().and_then(|value| value.times(zeros));
        product.unwrap_or_else(|| {
            self.flush();
            Value::Integer(format!("1{}", "0".repeat(zeros)))
        })
    }

    /// Appends digits or a point. A zero before them is dropped.
    fn say(&mut self, digits: &str, word: usize) {
        let before = match &self.value {
            Some(Value::Integer(zero)) if zero == "0" => "",
            Some(value) => value.text(),
            None => "",
        };
        self.set(Value::Digits(format!("{before}{digits}")), word);
    }

    fn set(&mut self, value: Value, word: usize) {
        self.value = Some(value);
        self.source = word;
    }

    fn emit(&mut self, text: String, word: usize) {
        let text = self.prefix.take().into_iter().chain(text.chars()).collect();
        self.value = None;
        self.output.push(Token { text, word });
    }

    fn emit_suffixed(&mut self, value: &Value, suffix: &str, word: usize) {
        self.emit(format!("{}{suffix}", value.text()), word);
    }

    /// Puts out the value, if there is one.
    fn flush(&mut self) {
        if let Some(value) = self.value.take() {
            self.emit(value.text().to_owned(), self.source);
        }
    }

    /// Puts out a word as it is, behind the value.
    fn pass(&mut self, word: &Token) {
        self.flush();
        self.emit(word.text.clone(), word.word);
    }
}
