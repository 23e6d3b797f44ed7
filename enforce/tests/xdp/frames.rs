//! Frames from a packet socket in the box, which no hook of netfilter there sees.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use crate::box_and_host::{BOX, BOX_AT, HOST_MAC, within};

/// A packet socket at the box's interface.
pub struct Frames(OwnedFd);

impl Frames {
    pub fn open() -> Frames {
        let opened = within(BOX, || {
            // SAFETY: socket() has no preconditions.
            let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
            assert!(socket >= 0, "{}", std::io::Error::last_os_error());
            // SAFETY: the descriptor is new, and nobody else's.
            let socket = unsafe { OwnedFd::from_raw_fd(socket) };
            // SAFETY: all zeros is a valid sockaddr_ll.
            let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            to.sll_family = libc::AF_PACKET as u16;
            to.sll_ifindex = nix::net::if_::if_nametoindex("eth0").unwrap().cast_signed();
            let size = size_of_val(&to) as libc::socklen_t;
            // SAFETY: the address is whole, and valid for the call.
            let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const to).cast(), size) };
            assert_eq!(bound, 0, "{}", std::io::Error::last_os_error());
            socket
        });
        Frames(opened.join().unwrap())
    }

    pub fn send(&self, frame: &[u8]) {
        loop {
            // SAFETY: the frame is valid for its length.
            let sent = unsafe { libc::send(self.0.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
            if sent == frame.len() as isize {
                return;
            }
            let error = std::io::Error::last_os_error();
            // The queue is full.
            assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS), "{error}");
            std::thread::yield_now();
        }
    }
}

pub fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&HOST_MAC[..], &[2, 0, 0, 0, 8, 2], &ethertype.to_be_bytes(), payload].concat()
}

/// `options`: of the IP header, a multiple of four bytes. `fragment`: flags and offset, as in the header.
pub fn ip4(to: &str, protocol: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let words = 5 + options.len() / 4;
    let length = (words * 4 + payload.len()) as u16;
    let mut head = vec![0x40 | words as u8, 0];
    head.extend(length.to_be_bytes());
    head.extend([0, 7]);
    head.extend(fragment.to_be_bytes());
    head.extend([64, protocol, 0, 0]);
    for address in [BOX_AT, to] {
        head.extend(address.parse::<Ipv4Addr>().unwrap().octets());
    }
    head.extend(options);
    let sum: u32 = head.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    ethernet(0x0800, &[head, payload.to_vec()].concat())
}

/// Without a checksum, as IPv4 allows.
pub fn udp(sport: u16, dport: u16, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    [&sport.to_be_bytes()[..], &dport.to_be_bytes(), &length.to_be_bytes(), &[0, 0], payload].concat()
}

pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;
pub const FIN: u8 = 0x01;

/// A header without a checksum, which nobody is to take.
pub fn tcp(sport: u16, dport: u16, flags: u8) -> Vec<u8> {
    let ports = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
    [&ports[..], &[0; 8], &[0x50, flags, 0x20, 0, 0, 0, 0, 0]].concat()
}
