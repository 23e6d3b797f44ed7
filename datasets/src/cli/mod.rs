//! The command line of `datasets`.

pub mod absent;
pub mod anonymise;
mod bytes_bar;
pub mod cat;
mod columns;
pub mod copy;
pub mod export;
mod gaps;
pub mod import;
pub mod info;
pub mod merge;
mod out;
pub mod recover;
pub mod schema;
mod selected;
pub mod sign;
pub mod slice;
#[cfg(feature = "sql")]
pub mod sql;
pub mod text;
pub mod tree;
pub mod verify;

use ::datasets::manual;
use clap::{Parser, Subcommand, ValueEnum};

/// Look at, check and understand recordings.
///
/// A recording is a directory with a manifest, Parquet segments of kernel events, and the tables of the processes and
/// containers in them. PATH|NAME is that directory, on this machine or on object storage (s3://BUCKET/PREFIX), or the name of a
/// recording that ships with the project.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  \
        datasets info xmrig                       what a shipped recording holds\n  \
        datasets verify ./my-recording            is it whole, and is every lost event accounted for?\n  \
        datasets verify xmrig --format json       the same for programs\n  \
        datasets recover ./my-recording           complete it after the recorder was killed\n  \
        datasets tree xmrig --container webapp    who started whom, with the attack marked\n  \
        datasets absent ./my-recording \"$(uname -n)\"  is this host's name nowhere in it?\n  \
        datasets schema --format markdown         every column: type, unit, meaning\n  \
        datasets head xmrig --class network       the first rows, readable\n  \
        datasets slice xmrig --from +60 -o ./end  a part of it as a recording that verifies\n  \
        datasets merge ./a ./b -o ./both          several recordings as one\n  \
        datasets copy ./rec s3://bucket/rec       to object storage, or from it, checked\n  \
        datasets anonymise ./rec --key k -o ./out pseudonyms in the place of names\n  \
        datasets sql xmrig \"select count(*) from file\"  ask in SQL\n  \
        datasets export xmrig --format ocsf       lines for other programs\n  \
        datasets import audit.log -o ./rec        a log of another tool as a recording\n\n\
        Exit codes: 0 ok; 1 verify found damage, or a recording that was not finished, or absent a word; 2 bad usage;\n\
        4 not a recording, or one that cannot be read; 5 the output cannot be written.\n\n\
        Recordings are found by name in $RETROSCOPE_DATASETS, then in datasets/recordings here or above."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check that a recording is as it was written and accounts for every event
    ///
    /// Recomputes every SHA-256 and the chain through the segments, decodes every row, and compares counts, order and
    /// schema. From the sequence numbers in the rows it proves the account of what was lost: on each CPU, the missing
    /// numbers are exactly the events the recorder says it dropped, filtered, sampled out or
    /// knew. Tells a missing, truncated, altered, reordered or miscounted file apart, and names the place. A signature is
    /// checked where there is one.
    Verify(verify::Args),
    /// Complete the recording of a recorder that was killed, from its journal
    ///
    /// Writes the rows that were in no segment yet, the tables, and the account of every event as far as the recorder had
    /// noted it; what was emitted later is named as unknown. Refuses while the recorder runs. Does nothing to a recording
    /// that is complete, and may be stopped and started again at any time.
    Recover(recover::Args),
    /// Sign a finished recording, or sign it anew after labels were added or it was recovered
    Sign(sign::SignArgs),
    /// Make a key pair to sign recordings with; prints the public key in hex
    Keygen(sign::KeygenArgs),
    /// Check that words are nowhere in a recording, as the name of the host it was made on; exits with 1 if one is
    ///
    /// Looks for whole words in the manifest and in every text of every table. The folder's README.md and card are not looked at.
    Absent(absent::Args),
    /// Summarise a recording: rows, rates, sizes, containers, losses, scenario
    Info(info::Args),
    /// Print every table: column, type, unit and meaning
    Schema(schema::Args),
    /// Print the process tree of each container, with labelled attack processes marked
    ///
    /// One line per process: its id and command line; "=>" is an exec into another program. Siblings that look the same
    /// are printed once, with their number.
    Tree(tree::Args),
    /// Print the script that completes this program's commands and options in a shell
    Completions(manual::CompletionsArgs),
    /// Print this program's man page, or write those of all its commands
    Man(manual::ManArgs),
    /// Print the first rows of a recording, all classes merged by time
    #[command(after_help = HEAD_HELP)]
    Head(cat::Args),
    /// Print the rows of a recording, all classes merged by time, with container and process joined in
    #[command(after_help = CAT_HELP)]
    Cat(cat::Args),
    /// Make a recording of a part of another: by time, class, container, image or process tree
    ///
    /// What is left out is counted as filtered, with the times of it in losses.parquet, so that the new recording verifies; its
    /// manifest says what was cut from what ('derived'). Labels, and the processes that rows name with their ancestors, are
    /// kept; the tables of containers and addresses stay whole, so that peers keep their names.
    #[command(after_help = SLICE_HELP)]
    Slice(slice::Args),
    /// Make one recording of several
    ///
    /// Each keeps CPUs of its own, so that sequence numbers and incarnations stay unique: the rows of one source are those of
    /// its CPUs, which are printed and in the manifest ('derived'). Process ids are as they were, and those of two hosts may be
    /// the same; exec_id is not. Scenarios must be of one seed, so that what is merged is of one split.
    #[command(after_help = MERGE_HELP)]
    Merge(merge::Args),
    /// Copy a recording between directories and object storage (s3://), each file checked against the manifest
    ///
    /// What is not as it was written is not copied. The manifest goes last: a copy that was stopped is no recording. With --follow
    /// it goes after every segment too, and the copy is an unfinished recording until the recorder ends.
    /// datasets/README.md, 'Recordings on object storage', lists the settings.
    #[command(after_help = COPY_HELP)]
    Copy(copy::Args),
    /// Put pseudonyms in the place of names, addresses and arguments; the result can be replayed
    ///
    /// The same value has the same pseudonym in every column, and in every recording made with the same key. Addresses keep
    /// their prefixes and their kind, domains their top level, paths what every Linux system has. Times, numbers and sizes are
    /// kept. datasets/TOOLS.md lists every column.
    #[command(after_help = ANONYMISE_HELP)]
    Anonymise(anonymise::Args),
    /// Ask a recording in SQL
    ///
    /// Tables: process, security, file, network, dns, tls, flow, syscall and resource, each with the columns of its class; events,
    /// with the columns that all classes share, and 'class'; processes, containers, addresses, losses and labels. `datasets
    /// schema` prints the columns. Only the columns that the query looks at are read. Without ORDER BY the order is not said.
    #[cfg(feature = "sql")]
    #[command(after_help = SQL_HELP)]
    Sql(sql::Args),
    /// Write events as lines for other programs: JSON, OCSF, or as Falco prints alerts
    #[command(after_help = EXPORT_HELP)]
    Export(export::Args),
    /// Make a recording of another tool's log: auditd, Falco, Sysmon, Tetragon or Tracee
    ///
    /// What the log does not say is null. A malformed line is named and counted, and is no error: the exit code is 0. Events that no
    /// row can be made of are counted by name. What this source cannot have is in the manifest ('derived'); datasets/IMPORT.md lists
    /// what becomes of what. Falco's alerts, Sysmon's events and scap files are not read.
    #[command(after_help = IMPORT_HELP)]
    Import(import::Args),
}

const IMPORT_HELP: &str = "Examples:\n  \
    datasets import /var/log/audit/audit.log -o ./rec      the format is told by the first lines\n  \
    datasets import tetragon.log.gz -o ./rec               compressed with gzip\n  \
    journalctl -t sysmon -o cat | datasets import - -o ./rec\n  \
    datasets import events.json --from tracee -o ./rec\n  \
    datasets verify ./rec && replay ./rec -o out           what replay makes of it";

const HEAD_HELP: &str = "Examples:\n  \
    datasets head xmrig                                    the first 20 rows\n  \
    datasets head xmrig -n 5 --class dns,network           five of two classes\n  \
    datasets head xmrig --from +60s --format csv           from a minute after its begin";

const CAT_HELP: &str = "Examples:\n  \
    datasets cat xmrig --class process | less -S           every process, in time\n  \
    datasets cat xmrig --tree 4711 --from +60              what a process and its children did\n  \
    datasets cat xmrig --class network --columns clock,process,peer_addr,peer_port\n  \
    datasets cat xmrig --format json | jq -r 'select(.label) | .command'";

const SLICE_HELP: &str = "Examples:\n  \
    datasets slice xmrig --from +60 --to +90 -o ./half-a-minute\n  \
    datasets slice ./rec --container web -o ./web\n  \
    datasets slice ./rec --tree 4711 --class process,file -o ./one-process\n  \
    datasets verify ./web && datasets info ./web";

const MERGE_HELP: &str = "Examples:\n  \
    datasets merge ./host-a ./host-b -o ./both\n  \
    datasets verify ./both";

const COPY_HELP: &str = "Examples:\n  \
    datasets copy ./rec s3://bucket/runs/rec\n  \
    datasets verify s3://bucket/runs/rec && replay s3://bucket/runs/rec\n  \
    datasets copy s3://bucket/runs/rec ./copy\n  \
    datasets copy --follow ./rec s3://bucket/runs/rec        beside the recorder: segments leave the host as they are finished\n\n\
    Settings: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION; for a store that is not AWS's AWS_ENDPOINT_URL,\n\
    and AWS_ALLOW_HTTP=true where that has no TLS.";

const ANONYMISE_HELP: &str = "Examples:\n  \
    head -c 32 /dev/urandom > key && chmod 600 key\n  \
    datasets anonymise ./rec --key key -o ./given-away\n  \
    datasets absent ./given-away \"$(uname -n)\" alice       is it nowhere in it?";

#[cfg(feature = "sql")]
const SQL_HELP: &str = "Examples:\n  \
    datasets sql xmrig \"select op, count(*) as n from process group by op order by n desc\"\n  \
    datasets sql xmrig \"select p.comm, n.peer_addr, n.peer_port, count(*) as times from network n\n    \
      join processes p on n.exec_id = p.exec_id where n.op = 'connect'\n    \
      group by p.comm, n.peer_addr, n.peer_port order by times desc limit 10\"\n  \
    datasets sql xmrig \"select ts, array_to_string(argv, ' ') as command from process where op = 'exec' order by ts limit 5\"\n  \
    datasets sql xmrig web-shell \"select recording, class, count(*) as n from events group by recording, class\"\n  \
    datasets sql xmrig \"select * from file where path like '/etc/%'\" --format parquet -o etc.parquet";

const EXPORT_HELP: &str = "Examples:\n  \
    datasets export xmrig --format jsonl -o xmrig.jsonl\n  \
    datasets export xmrig --format ocsf --class process,dns | gzip > events.json.gz\n  \
    datasets export xmrig --format falco --container web | jq -r .output";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs: one JSON document
    Json,
}
