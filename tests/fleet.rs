//! Shards of one storm, and the report that is made of theirs.

mod common;

use common::{BINARY, Dir, mapstorm, run, skip, testable};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The exit code and the JSON of `mapstorm merge`.
fn merged(dir: &Path) -> (Option<i32>, Value) {
    let output = run(["merge", dir.to_str().unwrap(), "--format", "json"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).expect(&told))
}

/// The exit code that a merged report asks for.
fn code_of(verdict: &Value) -> i32 {
    match verdict.as_str().unwrap() {
        "violated" => 1,
        "undecided" => 5,
        other => panic!("with a shard missing it is not {other}"),
    }
}

#[test]
fn shards_draw_their_own_and_a_missing_one_is_named() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let mut seeds = Vec::new();
    for shard in ["1/3", "3/3"] {
        let args = ["--seconds", "0.3", "--threads", "2", "--seed", "7", "--shard", shard];
        let output =
            mapstorm(args).args(["--format", "json"]).current_dir(dir.path()).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["shard"], &report["fleet_seed"]), (&shard.into(), &"0x7".into()));
        assert!(report["command"].as_str().unwrap().contains("--seed 7 --shard"), "{report}");
        seeds.push(report["seed"].clone());
        fs::write(dir.join(format!("{}.json", &shard[..1])), output.stdout).unwrap();
    }
    assert_ne!(seeds[0], seeds[1]);
    let (code, report) = merged(dir.path());
    assert_eq!(report["missing"], serde_json::json!(["2/3 of seed 0x7"]));
    assert_eq!(code, Some(code_of(&report["verdict"])));
    assert_eq!(report["runs"].as_array().unwrap().len(), 2);
    let lone = run(["--shard", "1/4", "--seconds", "0.1"]);
    assert_eq!(lone.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&lone.stderr).contains("--seed"));
}

/// A Slurm of one node, for as long as it lives.
struct Slurm {
    dir: Dir,
    daemons: Vec<Child>,
}

impl Slurm {
    /// Nothing where Slurm is not installed or does not come up.
    fn start() -> Result<Slurm, String> {
        for tool in ["slurmctld", "slurmd", "sbatch", "sinfo"] {
            Command::new(tool).arg("-V").output().map_err(|error| format!("{tool}: {error}"))?;
        }
        if !rustix::process::geteuid().is_root() {
            return Err("slurmd wants root".into());
        }
        let dir = Dir::new();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let path = dir.path().display();
        // Ports that are free now; nobody else here looks for a Slurm.
        let port =
            || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (controller, node) = (port(), port());
        let conf = format!(
            "ClusterName=one\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nAuthType=auth/none\n\
             CredType=cred/none\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
             SelectType=select/cons_tres\nReturnToService=2\nMpiDefault=none\nSwitchType=switch/none\n\
             SlurmdParameters=config_overrides\nSlurmctldPort={controller}\nSlurmdPort={node}\n\
             StateSaveLocation={path}/state\nSlurmdSpoolDir={path}/spool\n\
             SlurmctldPidFile={path}/slurmctld.pid\nSlurmdPidFile={path}/slurmd.pid\n\
             SlurmctldLogFile={path}/slurmctld.log\nSlurmdLogFile={path}/slurmd.log\n\
             NodeName={host} NodeAddr=127.0.0.1 CPUs=4\n\
             PartitionName=all Nodes={host} Default=YES MaxTime=60\n"
        );
        fs::write(dir.join("slurm.conf"), conf).unwrap();
        fs::create_dir(dir.join("state")).unwrap();
        let mut slurm = Slurm { dir, daemons: Vec::new() };
        for daemon in ["slurmctld", "slurmd"] {
            let started =
                slurm.command(daemon).arg("-D").stdout(Stdio::null()).stderr(Stdio::null()).spawn();
            slurm.daemons.push(started.map_err(|error| format!("{daemon}: {error}"))?);
        }
        let begun = Instant::now();
        loop {
            let output = slurm.command("sinfo").args(["-h", "-o", "%t"]).output().unwrap();
            match String::from_utf8_lossy(&output.stdout).trim() {
                "idle" => return Ok(slurm),
                _ if begun.elapsed() < Duration::from_secs(60) => {
                    std::thread::sleep(Duration::from_millis(200));
                }
                other => return Err(format!("its node is {other:?} after a minute")),
            }
        }
    }

    fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tool);
        command.env("SLURM_CONF", self.dir.join("slurm.conf"));
        command
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        for mut daemon in self.daemons.drain(..).rev() {
            // It may have ended by itself.
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

#[test]
fn a_slurm_array_is_merged_and_the_shard_that_was_killed_is_named() {
    if !testable() {
        return;
    }
    let slurm = match Slurm::start() {
        Ok(slurm) => slurm,
        Err(why) => {
            skip(format!("no Slurm to try an array on ({why})"));
            return;
        }
    };
    let out = slurm.dir.join("run");
    // The third task is lost as if by its node, before it can say anything.
    let stand_in = slurm.dir.join("stand-in");
    let script = format!(
        "#!/bin/sh\ncase \" $* \" in *' 3/4 '*) kill -KILL $$;; esac\nexec '{BINARY}' \"$@\"\n"
    );
    fs::write(&stand_in, script).unwrap();
    fs::set_permissions(&stand_in, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let batch = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/slurm/mapstorm.sbatch");
    let mut sbatch = slurm.command("sbatch");
    sbatch.args(["--wait", "--array=0-3"]).arg(&batch);
    sbatch.args(["--seconds", "0.3", "--threads", "2"]).current_dir(slurm.dir.path());
    sbatch.envs([
        ("SEED", "7".as_ref()),
        ("OUT", out.as_os_str()),
        ("MAPSTORM", stand_in.as_os_str()),
    ]);
    let output = sbatch.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0), "a task was killed: {told}");
    let (code, report) = merged(&out);
    assert_eq!(report["missing"], serde_json::json!(["3/4 of seed 0x7"]), "{told}");
    assert_eq!(report["broken"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(report["runs"].as_array().unwrap().len(), 3);
    assert_eq!(code, Some(code_of(&report["verdict"])));
    // Merging what was merged changes nothing.
    fs::write(out.join("all.json"), serde_json::to_string(&report).unwrap()).unwrap();
    let (_, again) = merged(&out);
    assert_eq!((&again["kernels"], &again["missing"]), (&report["kernels"], &report["missing"]));
}
