//! The one mutator: inputs out of seeds, by number. An input is the same each time.

use serde_json::{Value, json};
use txray_plugin::random::Stream;

/// The longest input: what an input of some kilobytes may cost is what is held.
const LONGEST: usize = 1 << 16;

/// Words that files of any kind are not meant to have where these are put.
const ODD: [&str; 42] = [
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "=",
    ":",
    ",",
    ".",
    "#",
    "/",
    "~1",
    "\\",
    "\\u0000",
    "\n",
    "\r",
    "\t",
    " ",
    "-",
    "0",
    "-1",
    "1e999",
    "NaN",
    "inf",
    "null",
    "true",
    "{}",
    "[]",
    "\0",
    "\u{1b}[2J",
    "\u{7f}",
    "\u{85}",
    "\u{202e}",
    "\u{feff}",
    "\u{301}",
    "👩‍👩‍👧",
    "ﬁ",
];

/// Integers where something changes.
const EXTREMES: [&str; 15] = [
    "0",
    "-0",
    "1",
    "2",
    "-1",
    "255",
    "256",
    "65536",
    "2147483648",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999999999999999999999",
];

/// Makes inputs of the seeds of one target.
pub struct Mutator {
    name: &'static str,
    seeds: Vec<Seed>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// `words` are those that inputs of this target know: keys, names, marks.
    pub fn new(name: &'static str, seeds: Vec<Vec<u8>>, words: &[&str]) -> Self {
        let words = words.iter().chain(&ODD).map(|word| word.as_bytes().to_vec());
        Self { name, seeds: seeds.into_iter().map(Seed::new).collect(), words: words.collect() }
    }

    /// How many seeds there are: input `i` comes from seed `i % seeds`.
    pub fn seeds(&self) -> u64 {
        self.seeds.len() as u64
    }

    /// The input of that number. The first are the seeds as they are.
    pub fn input(&self, index: u64) -> Vec<u8> {
        let seed = &self.seeds[(index % self.seeds()) as usize];
        if index < self.seeds() {
            return seed.bytes.clone();
        }
        let mut random = Stream::new(20_260_101, self.name, index);
        let structured = seed.json.as_ref().filter(|_| random.below(4) > 0);
        let mut bytes = match structured {
            None => seed.bytes.clone(),
            Some((json, framing)) => {
                let mut json = json.clone();
                for _ in 0..1 + random.below(2) {
                    damage(&mut json, self.another(&mut random).json.as_ref().map(|(json, _)| json), &mut random);
                }
                framing.around(&json)
            }
        };
        if structured.is_none() || random.below(16) == 0 {
            for _ in 0..1 << random.below(3) {
                self.scramble(&mut bytes, &mut random);
            }
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn another(&self, random: &mut Stream) -> &Seed {
        &self.seeds[one_of(&self.seeds, random)]
    }

    /// Changes bytes, whatever they mean.
    fn scramble(&self, bytes: &mut Vec<u8>, random: &mut Stream) {
        let at = random.below(bytes.len() as u32 + 1) as usize;
        // Short stretches are as likely as long ones.
        let most = 1 << random.below(11);
        let length = random.below(most) as usize + 1;
        let stretch = at..(at + length).min(bytes.len());
        match random.below(12) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(stretch)),
            4 => drop(bytes.splice(at..at, bytes[stretch].to_vec())),
            5 => {
                let times = 1 << random.below(12);
                let room = LONGEST.saturating_sub(bytes.len()) / stretch.len().max(1);
                drop(bytes.splice(at..at, bytes[stretch].repeat(times.min(room))));
            }
            6 => {
                let other = &self.another(random).bytes;
                let from = random.below(other.len() as u32 + 1) as usize;
                bytes.truncate(at);
                bytes.extend(&other[from..]);
            }
            7 => {
                let other = &self.another(random).bytes;
                let from = random.below(other.len() as u32 + 1) as usize;
                let to = (from + length).min(other.len());
                drop(bytes.splice(at..at, other[from..to].iter().copied()));
            }
            8 => {
                let digits = |b: &u8| b.is_ascii_digit();
                let from = at + bytes[at..].iter().position(digits).unwrap_or(0);
                let to = from + bytes[from..].iter().take_while(|b| digits(b)).count();
                drop(bytes.splice(from..to, EXTREMES[one_of(&EXTREMES, random)].bytes()));
            }
            9 => {
                let extreme =
                    [0, 1, u64::MAX, u64::MAX / 2, 1 << 31, 1 << 32, 1 << 40][random.below(7) as usize].to_le_bytes();
                let width = 1 << random.below(4);
                let to = (at + width).min(bytes.len());
                drop(bytes.splice(at..to, extreme[..to - at].iter().copied()));
            }
            10 => drop(bytes.splice(stretch, self.words[one_of(&self.words, random)].iter().copied())),
            _ => drop(bytes.splice(at..at, self.words[one_of(&self.words, random)].iter().copied())),
        }
    }
}

struct Seed {
    bytes: Vec<u8>,
    /// What of it is JSON, which is damaged value by value: otherwise nothing would come past the parser.
    json: Option<(Value, Framing)>,
}

/// What stands around JSON.
enum Framing {
    Nothing,
    /// Its length before it and data behind it, as in safetensors.
    Safetensors(Vec<u8>),
}

impl Seed {
    fn new(bytes: Vec<u8>) -> Self {
        let whole = || Some((serde_json::from_slice(&bytes).ok()?, Framing::Nothing));
        let header = || {
            let (length, rest) = bytes.split_first_chunk::<8>()?;
            let (json, data) = rest.split_at_checked(u64::from_le_bytes(*length) as usize)?;
            Some((serde_json::from_slice(json).ok()?, Framing::Safetensors(data.to_vec())))
        };
        let json = whole().or_else(header);
        Self { bytes, json }
    }
}

impl Framing {
    fn around(&self, json: &Value) -> Vec<u8> {
        let mut text = json.to_string().into_bytes();
        match self {
            Self::Nothing => text,
            Self::Safetensors(data) => {
                text.resize(text.len().next_multiple_of(8), b' ');
                [&(text.len() as u64).to_le_bytes()[..], &text, data].concat()
            }
        }
    }
}

fn one_of<T>(items: &[T], random: &mut Stream) -> usize {
    random.below(items.len().max(1) as u32) as usize
}

/// Values that files are not meant to have where these are put.
fn odd(random: &mut Stream) -> Value {
    let values = [
        Value::Null,
        json!(true),
        json!(0),
        json!(1),
        json!(-1),
        json!(3),
        json!(0.5),
        json!(1e308),
        json!(255),
        json!(u32::MAX),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(""),
        json!("a"),
        json!("é"),
        json!("##"),
        json!("\u{0}"),
        json!("\u{1b}[2J"),
        json!("../a"),
        json!("/"),
        json!("(?=a)|.*"),
        json!("("),
        json!("////"),
        json!("AAAAAAAAAA=="),
        json!("a".repeat(500)),
        json!([]),
        json!(["", 0]),
        json!([[[[[[[[]]]]]]]]),
        json!({}),
        json!({ "": {} }),
        json!({ "String": "" }),
        json!({ "Regex": "" }),
        json!({ "type": "FixedLength", "length": 0 }),
        json!({ "type": "ByteLevel" }),
        json!({ "type": "Precompiled", "precompiled_charsmap": "AAAAAA==" }),
    ];
    values[one_of(&values, random)].clone()
}

/// A place of a file as a JSON pointer, found by going down: an option is as likely as a whole vocabulary.
fn place(file: &Value, random: &mut Stream) -> String {
    let (mut place, mut value) = (String::new(), file);
    loop {
        let (key, below) = match value {
            Value::Object(map) if !map.is_empty() => {
                let (key, below) = map.iter().nth(random.below(map.len() as u32) as usize).unwrap();
                (key.replace('~', "~0").replace('/', "~1"), below)
            }
            Value::Array(items) if !items.is_empty() => {
                let at = one_of(items, random);
                (at.to_string(), &items[at])
            }
            _ => return place,
        };
        place = format!("{place}/{key}");
        value = below;
        if random.below(8) == 0 {
            return place;
        }
    }
}

/// Damages one value: it becomes an odd one, another of this or of another file, it goes, it comes twice, or it gets another
/// key. Most values stay of their type, or nothing would come past the reading.
fn damage(file: &mut Value, other: Option<&Value>, random: &mut Stream) {
    let at = place(file, random);
    let other = other.filter(|_| random.below(2) == 0).unwrap_or(file);
    let source = other.pointer(&place(other, random)).unwrap().clone();
    let Some((parent, key)) = at.rsplit_once('/') else { return };
    let key = key.replace("~1", "/").replace("~0", "~");
    match (random.below(13), file.pointer_mut(parent)) {
        (0, Some(Value::Object(map))) => drop(map.shift_remove(&key)),
        (0, Some(Value::Array(items))) => drop(items.remove(key.parse().unwrap())),
        (1, Some(Value::Array(items))) => items.push(items[key.parse::<usize>().unwrap()].clone()),
        (1, Some(Value::Object(map))) => {
            let value = map[&key].clone();
            map.insert(edited(&key, random), value);
        }
        (2, _) => *file.pointer_mut(&at).unwrap() = source,
        (3, _) => *file.pointer_mut(&at).unwrap() = odd(random),
        _ => {
            let value = file.pointer_mut(&at).unwrap();
            *value = match value {
                Value::Bool(truth) => json!(!*truth),
                Value::Number(_) => {
                    let numbers = [json!(0), json!(1), json!(2), json!(7), json!(-1), json!(u32::MAX), json!(u64::MAX)];
                    numbers[one_of(&numbers, random)].clone()
                }
                Value::String(text) => edited(text, random).into(),
                Value::Array(items) => json!(items[..one_of(items, random).min(items.len())]),
                _ => odd(random),
            };
        }
    }
}

/// A text with one scalar more, other or less, or its beginning alone.
fn edited(text: &str, random: &mut Stream) -> String {
    let mut scalars: Vec<char> = text.chars().collect();
    let at = random.below(scalars.len() as u32 + 1) as usize;
    let put = ['é', '#', ' ', 'A', '▁', '\u{301}', '/', '\u{7}'][random.below(8) as usize];
    match (random.below(4), scalars.get_mut(at)) {
        (0, _) => scalars.insert(at, put),
        (1, _) => scalars.truncate(at),
        (2, Some(_)) => drop(scalars.remove(at)),
        (_, Some(scalar)) => *scalar = put,
        (_, None) => scalars.push(put),
    }
    scalars.into_iter().collect()
}
