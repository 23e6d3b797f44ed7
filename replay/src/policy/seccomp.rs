//! OCI seccomp profiles (runtime-spec, `linux.seccomp`).
//!
//! Where the profile knows all system calls, the policy is a list of what may be called and everything else is refused. Where it
//! knows only what the class security sees, the policy is a list of those calls that were never made, and everything else may be
//! called. Both tell memory that is writable and executable from other memory, and namespaces from processes, by arguments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Policy;
use super::account::Account;
use super::allowed::{Allowed, is_runtime};
use super::guards::{GUARDS, How, RUNTIME};
use crate::error::{Error, Result};
use crate::profile::Calls;

pub const LIMITS: &[&str] = &[
    "which program makes a call: the policy holds for the whole container",
    "files, addresses and all else that is not in a register; of arguments only write+execute memory and new namespaces",
    "calls of 32-bit programs: the policy is for x86_64 alone, and the kernel kills what calls through another door",
    "this format has no comments: this account is printed, and not in the file",
];

const ALLOW: &str = "SCMP_ACT_ALLOW";
const ERRNO: &str = "SCMP_ACT_ERRNO";
const MASKED_EQ: &str = "SCMP_CMP_MASKED_EQ";
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const PROT_WRITE: u64 = 2;
const PROT_EXEC: u64 = 4;
/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h).
const NAMESPACES: [u64; 7] =
    [0x0002_0000, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

/// A file of this format, of which only what is written here is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct File {
    pub default_action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_errno_ret: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub architectures: Vec<String>,
    #[serde(default)]
    pub syscalls: Vec<Rule>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub names: Vec<String>,
    pub action: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno_ret: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Arg>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Arg {
    pub index: u32,
    pub value: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_two: Option<u64>,
    pub op: String,
}

/// What the policy allows, to write it and to decide with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Calls that may be made; None: all that are not refused.
    pub allowed: Option<BTreeSet<String>>,
    /// Names of [`GUARDS`] that are refused.
    pub refused: BTreeSet<&'static str>,
}

/// # Errors
/// The profile knows no system calls.
pub fn rules(allowed: &Allowed<'_>, account: &mut Account) -> Result<Rules> {
    let calls = allowed.calls;
    let (syscall, security) =
        (calls.and_then(|calls| calls.syscall.as_ref()), calls.and_then(|calls| calls.security.as_ref()));
    if syscall.is_none() && security.is_none() {
        return Err(Error::input(
            format!("{}: the profile knows no system calls, which seccomp is about", allowed.image),
            "learn it with `replay learn` from recordings with `record --syscalls bitmap`, or at least with the class security",
        ));
    }
    // What the container's own programs did.
    let by_call = |made| {
        let mut calls: BTreeMap<&Arc<str>, BTreeSet<&Arc<str>>> = Calls::by_call(made);
        calls.values_mut().for_each(|programs| programs.retain(|program| !is_runtime(program)));
        calls.retain(|_, programs| !programs.is_empty());
        calls
    };
    let mut rules = Rules::default();
    if let Some(security) = security {
        let made: BTreeSet<&str> = by_call(security).into_keys().map(|name| &**name).collect();
        rules.refused = GUARDS.iter().map(|(name, _)| *name).filter(|name| !made.contains(name)).collect();
        if syscall.is_none() {
            account.expressed += GUARDS.iter().filter(|(name, _)| made.contains(name)).count() as u64;
            let rest = "the recordings had no class syscall: all calls are allowed but for the refused ones of the class security";
            account.widen(rest, "defaultAction SCMP_ACT_ALLOW");
        }
    }
    if let Some(syscall) = syscall {
        let mut names = BTreeSet::new();
        for name in by_call(syscall).into_keys() {
            if name.starts_with("sys_") || !name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
                account.leave_out("a call that has no name libseccomp could know", name);
            } else {
                names.insert(name.to_string());
            }
        }
        account.expressed += names.len() as u64;
        for name in RUNTIME.iter().filter(|name| !names.contains(**name)) {
            account.widen("what runc calls between loading the filter and the container's program", name);
        }
        names.extend(RUNTIME.iter().map(|name| (*name).to_owned()));
        // Where all calls are known, a guard by name is a call that is not in the list, in runc's part of it or not.
        rules.refused.retain(|guard| GUARDS.iter().any(|(name, how)| name == guard && !matches!(how, How::Names(_))));
        rules.allowed = Some(names);
    }
    Ok(rules)
}

impl Rules {
    /// Whether a system call of this name is refused, whatever its arguments; then by what.
    pub fn refuses_call(&self, name: &str) -> Option<String> {
        let listed = self.allowed.as_ref().is_none_or(|names| names.contains(name));
        (!listed).then(|| format!("defaultAction: {name} is not in the list"))
    }

    /// Whether what the class security tells of is refused; by what.
    pub fn refuses_guarded(&self, guard: &str) -> Option<String> {
        if self.refused.contains(guard) {
            return Some(match GUARDS.iter().find(|(name, _)| *name == guard)?.1 {
                How::Names(names) => format!("{} is refused", names.join(", ")),
                How::WriteExecute(names) => format!("{} of writable and executable memory", names.join(", ")),
                How::Namespaces => "clone with new namespaces is refused".to_owned(),
            });
        }
        let names = match GUARDS.iter().find(|(name, _)| *name == guard)?.1 {
            How::Names(names) | How::WriteExecute(names) => names,
            How::Namespaces => &["clone"],
        };
        let refused: Vec<String> = names.iter().filter_map(|name| self.refuses_call(name)).collect();
        (refused.len() == names.len()).then(|| refused.into_iter().next()).flatten()
    }

    fn file(&self) -> File {
        let refuse = |names: &[&str], errno, args| Rule {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            action: ERRNO.to_owned(),
            errno_ret: Some(errno),
            args,
        };
        let allow = |names: Vec<String>, args| Rule { names, action: ALLOW.to_owned(), errno_ret: None, args };
        let masked =
            |index, mask, equals| vec![Arg { index, value: mask, value_two: Some(equals), op: MASKED_EQ.to_owned() }];
        let mut syscalls = Vec::new();
        match &self.allowed {
            Some(names) => {
                let mut plain = names.clone();
                for (guard, how) in GUARDS.iter().filter(|(guard, _)| self.refused.contains(guard)) {
                    match how {
                        How::Names(_) => {}
                        How::WriteExecute(guarded) => {
                            let guarded: Vec<String> = guarded.iter().filter_map(|name| plain.take(*name)).collect();
                            // Either, or neither of the two.
                            for kind in [0, PROT_WRITE, PROT_EXEC].iter().filter(|_| !guarded.is_empty()) {
                                syscalls.push(allow(guarded.clone(), masked(2, PROT_WRITE | PROT_EXEC, *kind)));
                            }
                        }
                        How::Namespaces => {
                            debug_assert_eq!(*guard, "clone");
                            plain.remove("clone");
                            plain.remove("clone3");
                            syscalls.push(allow(vec!["clone".to_owned()], masked(0, NAMESPACES.iter().sum(), 0)));
                            syscalls.push(refuse(&["clone3"], ENOSYS, Vec::new()));
                        }
                    }
                }
                syscalls.insert(0, allow(plain.into_iter().collect(), Vec::new()));
            }
            None => {
                let mut names = Vec::new();
                for (_, how) in GUARDS.iter().filter(|(guard, _)| self.refused.contains(guard)) {
                    match how {
                        How::Names(guarded) => names.extend_from_slice(guarded),
                        How::WriteExecute(guarded) => {
                            let both = PROT_WRITE | PROT_EXEC;
                            syscalls.push(refuse(guarded, EPERM, masked(2, both, both)));
                        }
                        How::Namespaces => {
                            for bit in NAMESPACES {
                                syscalls.push(refuse(&["clone"], EPERM, masked(0, bit, bit)));
                            }
                            // Its flags are in memory, out of a filter's sight; the C library then uses clone.
                            syscalls.push(refuse(&["clone3"], ENOSYS, Vec::new()));
                        }
                    }
                }
                names.sort_unstable();
                if !names.is_empty() {
                    syscalls.insert(0, refuse(&names, EPERM, Vec::new()));
                }
            }
        }
        let listed = self.allowed.is_some();
        File {
            default_action: if listed { ERRNO } else { ALLOW }.to_owned(),
            default_errno_ret: listed.then_some(EPERM),
            architectures: vec!["SCMP_ARCH_X86_64".to_owned()],
            syscalls,
        }
    }
}

/// # Errors
/// As [`rules`].
pub fn write(allowed: &Allowed<'_>) -> Result<Policy> {
    let mut account = Account::default();
    let rules = rules(allowed, &mut account)?;
    if rules.refused.contains("clone") {
        let why = "clone3 answers ENOSYS, so that programs use clone, whose flags a filter can see";
        account.widen(why, "clone3");
    }
    let mut text = serde_json::to_string_pretty(&rules.file()).expect("plain values serialize");
    text.push('\n');
    Ok(Policy { text, account })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::allowed::tests::entry;
    use crate::profile::calls::Made;
    use crate::profile::store::Entry;

    fn made(program: &str, names: &[&str]) -> Made {
        [(Arc::from(program), names.iter().map(|name| (Arc::from(*name), 1)).collect())].into()
    }

    fn with(syscall: Option<Made>, security: Option<Made>) -> Entry {
        let mut entry = entry(&[], &[], &[]);
        entry.trees.calls = Some(Calls { syscall, security });
        entry
    }

    fn file(entry: &Entry) -> (File, Account, Rules) {
        let image: Arc<str> = "web".into();
        let allowed = Allowed::new(&image, entry);
        let policy = write(&allowed).unwrap();
        let rules = rules(&allowed, &mut Account::default()).unwrap();
        (serde_json::from_str(&policy.text).unwrap(), policy.account, rules)
    }

    #[test]
    fn with_all_calls_known_the_rest_is_refused() {
        let mut syscall = made("/usr/bin/app", &["read", "socket", "clone3", "sys_999", "evil\"name"]);
        syscall.extend(made("/runc", &["mount", "pivot_root"]));
        let (file, account, rules) = file(&with(Some(syscall), Some(made("/runc", &["mount"]))));
        assert_eq!((&*file.default_action, file.default_errno_ret), (ERRNO, Some(EPERM)));
        let plain = &file.syscalls[0];
        assert!(plain.names.iter().any(|name| name == "socket") && plain.names.iter().any(|name| name == "execve"));
        for name in ["mount", "ptrace", "clone3", "mprotect", "sys_999"] {
            assert!(!plain.names.iter().any(|other| other == name), "{name}");
        }
        let clone3 = file.syscalls.iter().find(|rule| rule.names == ["clone3"]).unwrap();
        assert_eq!((&*clone3.action, clone3.errno_ret), (ERRNO, Some(ENOSYS)));
        assert_eq!(file.syscalls.iter().filter(|rule| rule.names.contains(&"mmap".to_owned())).count(), 3);
        assert_eq!(account.left_out_items(), 2);
        assert!(rules.refuses_call("ptrace").is_some() && rules.refuses_call("read").is_none());
        assert!(rules.refuses_guarded("mount").is_some() && rules.refuses_guarded("mmap").is_some());
    }

    #[test]
    fn with_security_alone_what_was_never_made_is_refused() {
        let (file, account, rules) = file(&with(None, Some(made("/usr/bin/app", &["mprotect", "unshare", "setuid"]))));
        assert_eq!((&*file.default_action, file.default_errno_ret), (ALLOW, None));
        let names = &file.syscalls[0].names;
        assert!(names.iter().any(|name| name == "ptrace") && !names.iter().any(|name| name == "unshare"));
        assert!(!file.syscalls.iter().any(|rule| rule.names.contains(&"mprotect".to_owned())), "it was made");
        assert_eq!(file.syscalls.iter().filter(|rule| rule.names == ["clone"]).count(), NAMESPACES.len());
        assert_eq!(account.expressed, 2);
        assert!(rules.refuses_guarded("ptrace").is_some() && rules.refuses_guarded("unshare").is_none());
        assert!(rules.refuses_guarded("setuid").is_none() && rules.refuses_call("anything").is_none());
    }

    #[test]
    fn without_either_there_is_no_policy() {
        let image: Arc<str> = "web".into();
        let error = write(&Allowed::new(&image, &entry(&[], &[], &[]))).unwrap_err();
        assert!(error.to_string().contains("knows no system calls") && error.hint().contains("--syscalls bitmap"));
    }

    #[test]
    fn the_masks_are_those_of_the_kernel() {
        assert_eq!(NAMESPACES.iter().sum::<u64>(), 0x7e02_0000);
    }
}
