//! Names the function at an address: as `perf` says, or in the compiled guest, which it has no file
//! of.

use std::ops::Range;
use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol};

/// The guest's functions.
pub(super) struct Symbols {
    /// By address in the compiled guest.
    functions: Vec<(u64, String)>,
    /// Mapped ranges of its code, and the address of the first byte in the compiled guest.
    mapped: Vec<(Range<u64>, u64)>,
}

impl Symbols {
    /// Mappings of the compiled guest, if there is one, from `perf script`.
    pub(super) fn read(compiled: &Path, script: &str) -> Self {
        let mut symbols = Self { functions: Vec::new(), mapped: Vec::new() };
        let Ok(bytes) = std::fs::read(compiled) else { return symbols };
        let file = object::File::parse(&*bytes).expect("wasmtime compiles to ELF");
        let text = file.section_by_name(".text").expect("it has code");
        let (offset, _) = text.file_range().expect("it is in the file");
        let named =
            file.symbols().filter_map(|symbol| Some((symbol.address(), symbol.name().ok()?.to_owned())));
        symbols.functions = named.collect();
        symbols.functions.sort_unstable();
        for line in script.lines().filter(|line| line.contains("memfd:hearken-snapshot")) {
            if let Some((range, at)) = mapping(line) {
                symbols.mapped.push((range, (at + text.address()).wrapping_sub(offset)));
            }
        }
        symbols
    }

    /// The symbol of a line of `perf script`: an address, a symbol, and the file in brackets.
    pub(super) fn of(&self, line: &str) -> Option<String> {
        let (address, named) = line.trim().split_once(' ')?;
        let address = u64::from_str_radix(address, 16).ok()?;
        if named.contains("[kernel") {
            return Some(format!("kernel {named}"));
        }
        let of_guest = self.mapped.iter().find(|(range, _)| range.contains(&address));
        let Some((range, first)) = of_guest else { return Some(named.to_owned()) };
        let at = first.wrapping_add(address - range.start);
        let next = self.functions.partition_point(|(start, _)| *start <= at);
        Some(self.functions.get(next.checked_sub(1)?)?.1.clone())
    }
}

/// `… [0x7f0000(0x3d3000) @ 0x1000 00:01 48 994231330]: r-xp /memfd:…`: addresses, and where in the
/// file that is.
fn mapping(line: &str) -> Option<(Range<u64>, u64)> {
    let hexadecimal = |text: &str| u64::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok();
    let (start, rest) = line.split_once('[')?.1.split_once('(')?;
    let (len, rest) = rest.split_once(") @ ")?;
    let start = hexadecimal(start)?;
    // Zero is said without its prefix.
    Some((start..start + hexadecimal(len)?, hexadecimal(rest.split_whitespace().next()?)?))
}
