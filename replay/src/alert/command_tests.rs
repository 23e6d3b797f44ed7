//! Every runtime gets commands in its own words, and no name becomes a command.

use datasets::Container;

use super::*;
use crate::observe::HOST;

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn container(runtime: &str, id: &str, name: &str) -> Container {
    Container {
        id: id.into(),
        runtime: (!runtime.is_empty()).then(|| runtime.to_owned()),
        name: Some(name.to_owned()),
        ..Container::default()
    }
}

fn pod(container: &Container, pod: &str, namespace: &str) -> Container {
    Container { pod: Some(pod.to_owned()), namespace: Some(namespace.to_owned()), ..container.clone() }
}

fn at(container: &Container) -> Place {
    Place::new(Some(container), "shop:1".into(), container.id.clone())
}

fn place(runtime: &str, name: &str) -> Place {
    at(&container(runtime, ID, name))
}

fn runs(severity: Severity, technique: &str, place: &Place) -> Vec<String> {
    let technique = Technique::new(technique);
    suggest(severity, Some(&technique), place, "A0001", 42).into_iter().map(|command| command.run).collect()
}

fn high(place: &Place) -> Vec<String> {
    runs(Severity::High, "T1496", place)
}

#[test]
fn podman_and_docker_freeze_cut_off_and_keep() {
    for engine in ["podman", "docker"] {
        let commands = high(&place(engine, "web-1"));
        assert_eq!(commands[0], format!("{engine} pause web-1"));
        assert!(commands[1].contains(&format!("{engine} network disconnect --force NETWORK web-1")), "{commands:?}");
        assert_eq!(commands[2], format!("{engine} export --output web-1.tar web-1"));
        let medium = runs(Severity::Medium, "T1496", &place(engine, "web-1"));
        assert!(medium.iter().all(|run| !run.contains("pause") && !run.contains("disconnect")), "{medium:?}");
        assert!(runs(Severity::Low, "T1496", &place(engine, "web-1")).is_empty());
    }
}

#[test]
fn containerd_is_told_its_namespace() {
    assert_eq!(high(&place("containerd", "web"))[0], format!("ctr --namespace=default tasks pause {ID}"));
    let labels = Some(r#"{"nerdctl/namespace":"shop"}"#.to_owned());
    let labelled = at(&Container { labels, ..container("containerd", ID, "web") });
    assert_eq!(high(&labelled)[0], format!("ctr --namespace=shop tasks pause {ID}"));
    let in_cgroup = at(&Container { cgroup: format!("/build/{ID}"), ..container("containerd", ID, "web") });
    assert_eq!(high(&in_cgroup)[0], format!("ctr --namespace=build tasks pause {ID}"));
    let in_slice = at(&Container { cgroup: format!("/system.slice/{ID}"), ..container("containerd", ID, "web") });
    assert_eq!(high(&in_slice)[0], format!("ctr --namespace=default tasks pause {ID}"));
}

#[test]
fn other_runtimes_and_the_host_have_their_own_words() {
    assert!(high(&place("cri-o", "web")).contains(&format!("crictl stop {ID}")));
    assert_eq!(high(&place("runc", "web"))[0], format!("runc pause {ID}"));
    let host = Place::new(None, HOST.into(), HOST.into());
    assert_eq!(high(&host), ["ps -o pid,lstart,user,args -p 42", "kill -STOP 42"]);
    // A container of which nothing is known but its id: no command could be sure to mean it.
    assert!(high(&place("", "web")).is_empty());
}

#[test]
fn a_pod_is_labelled_and_its_node_cordoned_after_an_escape() {
    let pod = at(&pod(&container("containerd", ID, "web"), "web-0", "shop"));
    let miner = high(&pod);
    assert!(
        miner.contains(&"kubectl label --namespace=shop pod/web-0 retroscope/quarantine=true --overwrite".to_owned())
    );
    assert!(miner[0].starts_with("kubectl annotate --namespace=shop pod/web-0 retroscope/alert=A0001"));
    assert!(!miner.iter().any(|run| run.contains("cordon")), "{miner:?}");
    let escape = runs(Severity::Critical, "T1611", &pod);
    assert!(escape.iter().any(|run| run.starts_with("kubectl cordon \"$(kubectl get --namespace=shop pod/web-0 ")));
}

/// A shell is given each command with every program in it replaced by one that prints its arguments.
#[test]
fn no_name_becomes_a_command() {
    let evil = ["x; touch HIT", "$(touch HIT)", "`touch HIT`", "'; touch HIT; '", "--all", "a\ntouch HIT", "", "-rf"];
    let dir = tempfile::tempdir().unwrap();
    let echo = "#!/bin/sh\nfor word in \"$@\"; do printf '%s\\n' \"$word\"; done\n";
    for program in ["podman", "docker", "ctr", "crictl", "runc", "kubectl", "ps", "kill", "xargs"] {
        let path = dir.path().join(program);
        std::fs::write(&path, echo).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    for name in evil {
        let runtimes = ["podman", "docker", "containerd", "cri-o", "runc"];
        let mut places: Vec<Place> = runtimes.map(|runtime| place(runtime, name)).into();
        places.extend(runtimes.map(|runtime| at(&container(runtime, name, name))));
        let label = serde_json::json!({ "nerdctl/namespace": name }).to_string();
        places.push(at(&Container { labels: Some(label), ..container("containerd", ID, "web") }));
        places.push(at(&pod(&container("containerd", ID, name), name, name)));
        for place in &places {
            for severity in [Severity::Medium, Severity::Critical] {
                for run in runs(severity, "T1611", place) {
                    let mut shell = std::process::Command::new("/bin/sh");
                    let output = shell.args(["-c", &run]).current_dir(&dir).env("PATH", &path).output().unwrap();
                    assert!(output.status.success(), "{run}: {}", String::from_utf8_lossy(&output.stderr));
                    assert!(!dir.path().join("HIT").exists(), "{run} ran what the name {name:?} says");
                    let words = String::from_utf8_lossy(&output.stdout).into_owned();
                    let option = name.starts_with('-') && words.lines().any(|word| word == name);
                    assert!(!option, "{run}: {name} is an option");
                }
            }
        }
    }
}
