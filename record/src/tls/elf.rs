//! Where in an ELF file plaintext passes by: file offsets of the functions' entries and, for Go, of their returns.

use std::fs::File;
use std::ops::Range;

use object::elf::{PT_LOAD, Sym64};
use object::read::elf::{ElfFile64, ProgramHeader, Sym};
use object::read::{ReadCache, StringTable};
use object::{LittleEndian, Object, ObjectSection, ReadRef};

use super::golang;

/// A function of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    SslRead,
    SslReadEx,
    SslWrite,
    SslWriteEx,
    GoRead,
    GoWrite,
}

impl Function {
    /// By the name in a symbol table, without its version.
    pub fn from_name(name: &[u8]) -> Option<Function> {
        Some(match name {
            b"SSL_read" => Function::SslRead,
            b"SSL_read_ex" => Function::SslReadEx,
            b"SSL_write" => Function::SslWrite,
            b"SSL_write_ex" => Function::SslWriteEx,
            b"crypto/tls.(*Conn).Read" => Function::GoRead,
            b"crypto/tls.(*Conn).Write" => Function::GoWrite,
            _ => return None,
        })
    }

    pub fn is_go(self) -> bool {
        matches!(self, Function::GoRead | Function::GoWrite)
    }
}

/// Offsets in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub function: Function,
    pub entry: u64,
    /// Every RET instruction; empty but for Go.
    pub returns: Vec<u64>,
}

/// A function in the program's address space.
pub(super) struct Located {
    pub function: Function,
    pub address: u64,
    pub size: u64,
}

/// A section's bytes; nothing beyond this much is read, whatever the file says.
const SECTION_MAX: u64 = 128 << 20;
/// No function of interest is near this size (`(*Conn).Write` of Go 1.19: 1.7 KiB).
const FUNCTION_MAX: u64 = 64 << 10;

pub(super) type Cache = ReadCache<File>;
pub(super) type Elf<'a> = ElfFile64<'a, LittleEndian, &'a Cache>;

/// The places in a file; none in one that is not an ELF for x86-64, has none of the functions, or is damaged.
pub fn places(file: File) -> Vec<Place> {
    let cache = ReadCache::new(file);
    let mut magic = [0u8; 20];
    match (&cache).read_bytes_at(0, 20) {
        Ok(head) => magic.copy_from_slice(head),
        Err(()) => return Vec::new(),
    }
    // 64-bit, little endian, EM_X86_64.
    if magic[..6] != *b"\x7fELF\x02\x01" || magic[18..] != [62, 0] {
        return Vec::new();
    }
    let Ok(elf) = Elf::parse(&cache) else { return Vec::new() };
    let mut found = symbols(&elf);
    let is_go = golang::uses_registers(&elf);
    if is_go && !found.iter().any(|located| located.function.is_go()) {
        found.extend(golang::functions(&elf));
    }
    found.retain(|located| is_go || !located.function.is_go());
    found.sort_by_key(|located| located.function);
    found.dedup_by_key(|located| located.function);
    found.into_iter().filter_map(|located| place(&elf, &cache, &located)).collect()
}

fn place(elf: &Elf<'_>, cache: &Cache, located: &Located) -> Option<Place> {
    let Located { function, address, size } = *located;
    let range = file_range(elf, address, size)?;
    let returns = if function.is_go() {
        let code = cache.read_bytes_at(range.start, range.end - range.start).ok()?;
        golang::returns(code, address).into_iter().map(|at| range.start + (at - address)).collect()
    } else {
        Vec::new()
    };
    // A Go function without a return would be watched in vain.
    (!function.is_go() || !returns.is_empty()).then_some(Place { function, entry: range.start, returns })
}

/// Where a function lies in the file: it must be inside the file's part of an executable segment.
fn file_range(elf: &Elf<'_>, address: u64, size: u64) -> Option<Range<u64>> {
    if size > FUNCTION_MAX {
        return None;
    }
    let end = LittleEndian;
    elf.elf_program_headers().iter().find_map(|segment| {
        let within = address.checked_sub(segment.p_vaddr(end))?;
        let holds = segment.p_type(end) == PT_LOAD
            && segment.p_flags(end) & object::elf::PF_X != 0
            && within.checked_add(size)? <= segment.p_filesz(end);
        let start = segment.p_offset(end).checked_add(within)?;
        holds.then_some(start..start + size)
    })
}

/// From the static and the dynamic symbol table.
fn symbols(elf: &Elf<'_>) -> Vec<Located> {
    [(".symtab", ".strtab"), (".dynsym", ".dynstr")]
        .into_iter()
        .filter_map(|(symbols, strings)| Some((section(elf, symbols)?, section(elf, strings)?)))
        .flat_map(|(symbols, strings)| named(symbols, strings))
        .collect()
}

fn named(symbols: &[u8], strings: &[u8]) -> Vec<Located> {
    let end = LittleEndian;
    let strings = StringTable::new(strings, 0, strings.len() as u64);
    let count = symbols.len() / size_of::<Sym64<LittleEndian>>();
    let Ok((symbols, _)) = object::pod::slice_from_bytes::<Sym64<LittleEndian>>(symbols, count) else {
        return Vec::new();
    };
    let located = |symbol: &Sym64<LittleEndian>| {
        let function = Function::from_name(symbol.name(end, strings).ok()?)?;
        let (address, size) = (symbol.st_value(end), symbol.st_size(end));
        (symbol.st_shndx(end) != object::elf::SHN_UNDEF && address != 0).then_some(Located { function, address, size })
    };
    symbols.iter().filter_map(located).collect()
}

/// The bytes of a section that has a sane size.
pub(super) fn section<'a>(elf: &Elf<'a>, name: &str) -> Option<&'a [u8]> {
    let section = elf.section_by_name(name)?;
    if section.size() > SECTION_MAX {
        return None;
    }
    section.data().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn what_is_not_an_elf_or_is_cut_or_damaged_has_no_places() {
        assert!(places(file(b"")).is_empty());
        assert!(places(file(b"#!/bin/sh\nexit 0\n# and some more text")).is_empty());
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for len in [20, 64, 100, 4096, own.len() / 2] {
            assert!(places(file(&own[..len])).is_empty(), "cut to {len}");
        }
        // Every byte of the header and of what follows it turned over: an answer, and no panic.
        for at in 0..256 {
            let mut bytes = own[..own.len().min(1 << 16)].to_vec();
            bytes[at] ^= 0xff;
            places(file(&bytes));
        }
    }

    #[test]
    fn a_program_without_the_functions_has_no_places() {
        assert_eq!(places(File::open(std::env::current_exe().unwrap()).unwrap()), []);
    }
}
