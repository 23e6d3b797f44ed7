//! Tries of prefixes that are put into a program's slot, and tables that are turned over: maps in maps.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libbpf_rs::{MapCore, MapFlags, MapHandle, MapType, libbpf_sys};

use crate::error::{Error, Result};

/// A new trie with these entries, like the one that its slot was made for.
///
/// # Errors
/// The kernel refuses the map or an entry.
pub fn trie<K: AsRef<[u8]>, V: AsRef<[u8]>>(
    name: &str,
    like: &impl MapCore,
    entries: impl ExactSizeIterator<Item = (K, V)>,
) -> Result<MapHandle> {
    let error = |what| move |source| Error::Bpf { what, source };
    // Types and all: kernels from 5.15 to 6.1 take no other into a slot (bpf_map_meta_equal() there compares `timer_off`, which a map without
    // types does not share with one that has them).
    let made_for = like.info().map_err(error("cannot look at the map of policies"))?.info;
    let types = types(made_for.btf_id);
    let options = libbpf_sys::bpf_map_create_opts {
        sz: size_of::<libbpf_sys::bpf_map_create_opts>() as libbpf_sys::size_t,
        map_flags: libbpf_sys::BPF_F_NO_PREALLOC,
        btf_fd: types.as_ref().map_or(0, |types| types.as_raw_fd().cast_unsigned()),
        btf_key_type_id: types.as_ref().map_or(0, |_| made_for.btf_key_type_id),
        btf_value_type_id: types.as_ref().map_or(0, |_| made_for.btf_value_type_id),
        ..Default::default()
    };
    let room = u32::try_from(entries.len().max(1)).unwrap_or(u32::MAX);
    let trie = MapHandle::create(MapType::LpmTrie, Some(name), made_for.key_size, made_for.value_size, room, &options)
        .map_err(error("cannot make the map of a policy"))?;
    for (key, value) in entries {
        trie.update(key.as_ref(), value.as_ref(), MapFlags::ANY).map_err(error("cannot fill the map of a policy"))?;
    }
    Ok(trie)
}

/// Puts a map into the slot; the kernel returns when no program can still use the one that was there.
///
/// # Errors
/// The kernel refuses.
pub fn set(slot: &impl MapCore, map: &impl MapCore) -> libbpf_rs::Result<()> {
    slot.update(&0u32.to_ne_bytes(), &map.as_fd().as_raw_fd().to_ne_bytes(), MapFlags::ANY)
}

/// Two tables of what was refused, one of which is being filled.
#[derive(Debug, Default)]
pub struct Turned {
    odd: bool,
}

impl Turned {
    /// Puts the other table into the slot, and empties the one that was there: keys and values.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn take<M: MapCore>(&mut self, slot: &impl MapCore, tables: [&M; 2]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let error = |what| move |source| Error::Bpf { what, source };
        let full = tables[usize::from(self.odd)];
        self.odd = !self.odd;
        set(slot, tables[usize::from(self.odd)]).map_err(error("cannot turn over the tables"))?;
        // Nothing is counted in the old table after this moment. All in one system call: libbpf-rs 0.27 takes a batch that the kernel did
        // not fill for the last one.
        let found = full
            .lookup_and_delete_batch(full.max_entries(), MapFlags::ANY, MapFlags::ANY)
            .map_err(error("cannot read what was refused"))?;
        Ok(found.collect())
    }
}

/// The types of a map; None: it has none.
fn types(id: u32) -> Option<OwnedFd> {
    // SAFETY: no preconditions; a number of nothing is an error.
    let types = unsafe { libbpf_sys::bpf_btf_get_fd_by_id(id) };
    // SAFETY: the descriptor is new, and nobody else's.
    (types >= 0).then(|| unsafe { OwnedFd::from_raw_fd(types) })
}
