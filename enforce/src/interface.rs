//! The network interface that a program is attached to: the host's end of a container's veth pair.

use std::ffi::c_char;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libbpf_rs::libbpf_sys;
use serde::Serialize;

use crate::error::{Error, Result};

/// `linux/sockios.h` and `linux/ethtool.h`.
const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 3;

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverInfo {
    cmd: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

/// An interface of this network namespace.
#[derive(Clone, Debug)]
pub struct Interface {
    pub name: String,
    pub index: u32,
}

/// Where in the kernel an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver.
    Native,
    /// Behind it, where the driver does not take the program, as with frames above 3.5 KiB.
    Generic,
}

impl Mode {
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Native => "native",
            Mode::Generic => "generic",
        }
    }
}

impl Interface {
    /// # Errors
    /// There is none of that name, or it is no veth: what arrives at others was not sent by a container, and a policy for
    /// one would cut the machine off.
    pub fn veth(name: &str) -> Result<Interface> {
        let none = |_| Error::prerequisite(format!("there is no network interface {name}"), "ip -br link lists them");
        let index = nix::net::if_::if_nametoindex(name).map_err(none)?;
        match driver(name) {
            Ok(driver) if driver == "veth" => Ok(Interface { name: name.to_owned(), index }),
            found => {
                let is = found.map_or_else(|error| error.to_string(), |driver| format!("its driver is {driver}"));
                let hint = "give the host's end of a container's veth pair: ip -br link show type veth";
                Err(Error::prerequisite(format!("{name} is no veth: {is}"), hint))
            }
        }
    }

    pub fn is_there(&self) -> bool {
        nix::net::if_::if_nametoindex(self.name.as_str()) == Ok(self.index)
    }

    /// The program runs for each frame that arrives, until what is returned is dropped, or this process ends.
    ///
    /// # Errors
    /// Another program has the interface, or the kernel refuses.
    pub fn attach(&self, program: BorrowedFd<'_>) -> Result<(OwnedFd, Mode)> {
        let native = self.link(program, libbpf_sys::XDP_FLAGS_DRV_MODE);
        let (link, mode) = match native {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST | libc::EPERM)) => {
                (self.link(program, libbpf_sys::XDP_FLAGS_SKB_MODE), Mode::Generic)
            }
            native => (native, Mode::Native),
        };
        let refused = |error: io::Error| {
            let hint = match error.raw_os_error() {
                Some(libc::EBUSY | libc::EEXIST) => "another XDP program has the interface: ip link show tells which",
                Some(libc::EPERM) => "this needs root (CAP_BPF, CAP_NET_ADMIN)",
                _ => "links of XDP programs need Linux 5.9 or newer",
            };
            Error::prerequisite(format!("cannot attach to {}: {error}", self.name), hint)
        };
        Ok((link.map_err(refused)?, mode))
    }

    fn link(&self, program: BorrowedFd<'_>, flags: u32) -> io::Result<OwnedFd> {
        let options = libbpf_sys::bpf_link_create_opts {
            sz: size_of::<libbpf_sys::bpf_link_create_opts>() as libbpf_sys::size_t,
            flags,
            ..Default::default()
        };
        let (program, index) = (program.as_raw_fd(), self.index.cast_signed());
        // SAFETY: the descriptor is open, and `options` is whole and says its own size.
        let link = unsafe { libbpf_sys::bpf_link_create(program, index, libbpf_sys::BPF_XDP, &raw const options) };
        if link < 0 {
            return Err(io::Error::from_raw_os_error(-link));
        }
        // SAFETY: the descriptor is new, and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(link) })
    }
}

/// The name of an interface's driver, as ethtool(8) -i has it.
fn driver(name: &str) -> io::Result<String> {
    let mut info = DriverInfo { cmd: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    // SAFETY: all zeros is a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    let room = request.ifr_name.len() - 1;
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes().take(room)) {
        *to = from as c_char;
    }
    request.ifr_ifru.ifru_data = (&raw mut info).cast();
    // SAFETY: socket() has no preconditions.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the request points to a whole struct ethtool_drvinfo, valid for the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let end = info.driver.iter().position(|byte| *byte == 0).unwrap_or(info.driver.len());
    Ok(String::from_utf8_lossy(&info.driver[..end]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_veth_is_taken() {
        let why = |name| Interface::veth(name).unwrap_err().to_string();
        assert!(why("no-such-if").contains("there is no network interface no-such-if"));
        assert!(why("lo").contains("lo is no veth"), "{}", why("lo"));
    }

    #[test]
    fn the_kernels_struct_has_its_size() {
        assert_eq!(size_of::<DriverInfo>(), 196);
    }
}
