//! What a program runs on.

const LITTLE_64: [u8; 6] = [0x7f, b'E', b'L', b'F', 2, 1];
const INTERPRETER: u32 = 3;

/// The architecture of a static program. One that needs a loader is refused: there is none in the image.
pub fn architecture(binary: &[u8]) -> Result<&'static str, String> {
    if !binary.starts_with(&LITTLE_64) {
        return Err("the binary is no 64-bit ELF file".to_owned());
    }
    let cut_short = || "the binary is cut short".to_owned();
    let short = |at: usize| Some(u16::from_le_bytes(binary.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_le_bytes(binary.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| usize::try_from(u64::from_le_bytes(binary.get(at..at + 8)?.try_into().ok()?)).ok();
    let headers = long(32).ok_or_else(cut_short)?;
    let (size, count) = (short(54).ok_or_else(cut_short)?, short(56).ok_or_else(cut_short)?);
    for number in 0..count {
        let at = headers.saturating_add(usize::from(number) * usize::from(size));
        if word(at).ok_or_else(cut_short)? == INTERPRETER {
            return Err("the binary is not static: it names a loader, and the image has none".to_owned());
        }
    }
    match short(18) {
        Some(0x3e) => Ok("amd64"),
        Some(0xb7) => Ok("arm64"),
        _ => Err("the binary is for a processor that is not known here".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::architecture;

    /// A program with one program header.
    fn program(machine: u8, header: u8) -> Vec<u8> {
        let mut bytes = vec![0; 120];
        bytes[..6].copy_from_slice(&super::LITTLE_64);
        (bytes[18], bytes[32], bytes[54], bytes[56], bytes[64]) = (machine, 64, 56, 1, header);
        bytes
    }

    #[test]
    fn a_static_program_is_known_by_its_processor() {
        assert_eq!(architecture(&program(0x3e, 1)), Ok("amd64"));
        assert_eq!(architecture(&program(0xb7, 1)), Ok("arm64"));
        assert!(architecture(&program(0x28, 1)).is_err());
    }

    #[test]
    fn a_program_that_needs_a_loader_or_is_none_is_refused() {
        assert!(architecture(&program(0x3e, 3)).unwrap_err().contains("not static"));
        assert!(architecture(&program(0x3e, 1)[..70]).is_ok());
        assert!(architecture(&program(0x3e, 1)[..66]).unwrap_err().contains("cut short"));
        assert!(architecture(b"#!/bin/sh").is_err());
        assert!(architecture(b"").is_err());
    }

    #[test]
    fn this_very_test_needs_a_loader() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(!cfg!(target_env = "gnu") || architecture(&own).unwrap_err().contains("not static"));
    }
}
