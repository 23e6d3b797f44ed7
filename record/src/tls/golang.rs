//! Go programs: which version built them, where their functions are (also without a symbol table), and where those return.

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};
use object::{Object, ObjectSection};

use super::elf::{Elf, Function, Located, section};

/// Whether the program passes arguments in registers: Go 1.17 and later on x86-64.
pub(super) fn uses_registers(elf: &Elf<'_>) -> bool {
    let Some(info) = section(elf, ".go.buildinfo") else { return false };
    version(elf, info).is_some_and(|version| version >= (1, 17))
}

/// `(major, minor)` of the Go that built it. Layout: Go's src/debug/buildinfo/buildinfo.go.
fn version(elf: &Elf<'_>, info: &[u8]) -> Option<(u32, u32)> {
    const INLINE: u8 = 2;
    let rest = info.strip_prefix(b"\xff Go buildinf:")?;
    if rest.get(1)? & INLINE == 0 {
        // Before 1.18: the address of a string's header (address, length). Only 8-byte pointers, little endian.
        let header = read(elf, u64_at(info, 16)?, 16)?;
        return parse_version(read(elf, u64_at(header, 0)?, u64_at(header, 8)?.min(64))?);
    }
    let text = info.get(32..)?;
    // The length is a varint; a version's fits its first byte.
    let len = usize::from(*text.first()?);
    parse_version(text.get(1..)?.get(..len)?)
}

/// `go1.19.8`, `go1.22rc1`, `devel go1.23-...`
fn parse_version(text: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let numbers = &text[text.find("go")? + 2..];
    let (major, rest) = numbers.split_once('.')?;
    let minor = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Finds the functions in the table that Go's runtime itself uses, which no strip removes. Layout of Go 1.18 and later:
/// src/debug/gosym/pclntab.go and src/internal/abi/symtab.go.
pub(super) fn functions(elf: &Elf<'_>) -> Vec<Located> {
    [".gopclntab", ".data.rel.ro.gopclntab"]
        .into_iter()
        .find_map(|name| section(elf, name))
        .and_then(|table| in_table(table, text_start(elf)?))
        .unwrap_or_default()
}

fn text_start(elf: &Elf<'_>) -> Option<u64> {
    elf.section_by_name(".text").map(|text| text.address())
}

fn in_table(table: &[u8], text: u64) -> Option<Vec<Located>> {
    const GO_1_18: u32 = 0xffff_fff0;
    const GO_1_20: u32 = 0xffff_fff1;
    let magic = u32_at(table, 0)?;
    if (magic != GO_1_18 && magic != GO_1_20) || *table.get(7)? != 8 {
        return None;
    }
    let word = |i: usize| u64_at(table, 8 + i * 8);
    let (count, start) = (usize::try_from(word(0)?).ok()?, word(2)?);
    // A position-independent program has 0 here, and its functions count from .text all the same.
    let start = if start == 0 { text } else { start };
    let names = table.get(usize::try_from(word(3)?).ok()?..)?;
    let functions = table.get(usize::try_from(word(7)?).ok()?..)?;
    let mut found = Vec::new();
    for i in 0..count.min(functions.len() / 8) {
        let Some((entry, info)) = u32_at(functions, i * 8).zip(u32_at(functions, i * 8 + 4)) else { break };
        let Some(name) = u32_at(functions, info as usize + 4).and_then(|at| names.get(at as usize..)) else { continue };
        // Longer than any name looked for: never searched to the end of the table.
        let name = name.get(..32).unwrap_or(name).split(|byte| *byte == 0).next().unwrap_or_default();
        let Some(function) = Function::from_name(name).filter(|function| function.is_go()) else { continue };
        let Some(next) = u32_at(functions, (i + 1) * 8) else { break };
        let size = u64::from(next.checked_sub(entry)?);
        found.push(Located { function, address: start.checked_add(entry.into())?, size });
    }
    Some(found)
}

/// Addresses of the RET instructions of the code at `address`.
pub(super) fn returns(code: &[u8], address: u64) -> Vec<u64> {
    let mut decoder = Decoder::with_ip(64, code, address, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    let mut found = Vec::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        if instruction.is_invalid() {
            // The decoder lost its way: a probe inside an instruction would break the program.
            return Vec::new();
        }
        if instruction.mnemonic() == Mnemonic::Ret {
            found.push(instruction.ip());
        }
    }
    found
}

/// Bytes of the program's own initial memory.
fn read<'a>(elf: &Elf<'a>, address: u64, len: u64) -> Option<&'a [u8]> {
    elf.sections().find_map(|section| section.data_range(address, len).ok().flatten())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(word.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(word.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version(b"go1.19.8"), Some((1, 19)));
        assert_eq!(parse_version(b"go1.22rc1"), Some((1, 22)));
        assert_eq!(parse_version(b"devel go1.23-0a1b2c"), Some((1, 23)));
        assert_eq!(parse_version(b"go2"), None);
        assert_eq!(parse_version(b"\xff"), None);
    }

    #[test]
    fn a_ret_inside_another_instruction_is_none() {
        // mov eax, 0xc3c3c3c3; ret; int3; push rbp; ret
        let code = [0xb8, 0xc3, 0xc3, 0xc3, 0xc3, 0xc3, 0xcc, 0x55, 0xc3];
        assert_eq!(returns(&code, 0x1000), [0x1005, 0x1008]);
        // 0x06 is no instruction in 64-bit mode.
        assert!(returns(&[0xc3, 0x06, 0xc3], 0).is_empty());
    }

    #[test]
    fn a_damaged_table_gives_nothing() {
        assert!(in_table(b"", 0).is_none());
        let mut table = vec![0u8; 72];
        table[..4].copy_from_slice(&0xffff_fff1u32.to_le_bytes());
        table[7] = 8;
        table[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(in_table(&table, 0).is_some_and(|found| found.is_empty()));
        table[64..72].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(in_table(&table, 0).is_none());
    }
}
