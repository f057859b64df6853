//! An agent: a static ELF executable for one architecture.

use std::{borrow::Cow, fmt, str::FromStr};

use elf::{
    ElfBytes, abi,
    endian::AnyEndian,
    file::{Class, FileHeader},
};
use serde::Serialize;

/// A processor architecture, by the name that images use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Architecture {
    /// All that verdikt knows, in the order in which they stand in an image.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The name in images: `amd64`, `arm64`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Of `e_machine` in an ELF header.
    fn of_machine(machine: u16) -> Option<Self> {
        match machine {
            abi::EM_X86_64 => Some(Self::Amd64),
            abi::EM_AARCH64 => Some(Self::Arm64),
            _ => None,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Architecture {
    type Err = String;

    /// Takes the compiler's names, too: who cross-compiles has just typed them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "amd64" | "x86_64" => Ok(Self::Amd64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            _ => Err(format!("unknown architecture `{text}`; known are amd64 and arm64")),
        }
    }
}

/// Why a file cannot be the agent in an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAgent {
    /// No ELF file, or a damaged one.
    #[error("it is no ELF executable")]
    NoElf,
    /// A library, an object file, a core dump.
    #[error("it is an ELF file, but no executable")]
    NoExecutable,
    /// An architecture that verdikt makes no images for.
    #[error("it is for an architecture (e_machine {0}) that is neither amd64 nor arm64")]
    Machine(u16),
    /// It wants a loader and libraries, which the image does not have.
    #[error("it is linked dynamically; the image has nothing but this file, so it has to be static")]
    Dynamic,
}

/// An agent, checked to be what an image needs.
#[derive(Clone)]
pub struct Agent {
    architecture: Architecture,
    binary: Cow<'static, [u8]>,
}

/// Without its megabytes.
impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("architecture", &self.architecture).finish_non_exhaustive()
    }
}

impl Agent {
    /// Takes an executable.
    ///
    /// # Errors
    ///
    /// When it is no static ELF executable for a known architecture.
    pub fn new(binary: impl Into<Cow<'static, [u8]>>) -> Result<Self, NotAnAgent> {
        let binary = binary.into();
        let file = ElfBytes::<AnyEndian>::minimal_parse(&binary).map_err(|_| NotAnAgent::NoElf)?;
        let architecture = architecture(&file.ehdr)?;
        let has = |kind| file.segments().is_some_and(|all| all.iter().any(|segment| segment.p_type == kind));
        if !has(abi::PT_LOAD) {
            return Err(NotAnAgent::NoExecutable);
        }
        if has(abi::PT_INTERP) {
            return Err(NotAnAgent::Dynamic);
        }
        Ok(Self { architecture, binary })
    }

    /// What it runs on.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The executable.
    pub fn binary(&self) -> &[u8] {
        &self.binary
    }
}

fn architecture(header: &FileHeader<AnyEndian>) -> Result<Architecture, NotAnAgent> {
    // A static executable that can be loaded anywhere ("static PIE") is ET_DYN, as shared libraries are.
    if !matches!(header.e_type, abi::ET_EXEC | abi::ET_DYN) {
        return Err(NotAnAgent::NoExecutable);
    }
    Architecture::of_machine(header.e_machine)
        // x32 has the machine type of amd64; no ordinary node runs it.
        .filter(|_| header.class == Class::ELF64)
        .ok_or(NotAnAgent::Machine(header.e_machine))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The least that is a static executable: an ELF header and program headers without contents.
    pub(crate) fn executable(machine: u16, segments: &[u32]) -> Vec<u8> {
        let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        file.extend(abi::ET_EXEC.to_le_bytes());
        file.extend(machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes()); // version
        file.extend(0_u64.to_le_bytes()); // entry
        file.extend(64_u64.to_le_bytes()); // program headers follow
        file.extend(0_u64.to_le_bytes()); // no section headers
        file.extend(0_u32.to_le_bytes()); // flags
        for half in [64, 56, u16::try_from(segments.len()).unwrap(), 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        for kind in segments {
            file.extend(kind.to_le_bytes());
            file.extend([0; 52]);
        }
        file
    }

    #[test]
    fn static_executables_are_taken() {
        let taken = |machine| Agent::new(executable(machine, &[abi::PT_LOAD])).unwrap().architecture();
        assert_eq!(taken(abi::EM_X86_64), Architecture::Amd64);
        assert_eq!(taken(abi::EM_AARCH64), Architecture::Arm64);
    }

    #[test]
    fn everything_else_is_refused_with_its_reason() {
        let refused = |file: Vec<u8>| Agent::new(file).unwrap_err();
        assert_eq!(refused(Vec::new()), NotAnAgent::NoElf);
        assert_eq!(refused(b"#!/bin/sh\nexit 0\n".to_vec()), NotAnAgent::NoElf);
        assert_eq!(refused(executable(abi::EM_X86_64, &[abi::PT_LOAD])[..80].to_vec()), NotAnAgent::NoElf);
        assert_eq!(refused(executable(abi::EM_RISCV, &[abi::PT_LOAD])), NotAnAgent::Machine(243));
        assert_eq!(refused(executable(abi::EM_X86_64, &[])), NotAnAgent::NoExecutable);
        let dynamic = executable(abi::EM_X86_64, &[abi::PT_PHDR, abi::PT_INTERP, abi::PT_LOAD]);
        assert_eq!(refused(dynamic), NotAnAgent::Dynamic);
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(refused(own), NotAnAgent::Dynamic, "the test itself");
    }
}
