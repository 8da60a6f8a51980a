//! Hostile templates against the worker: each ends with a documented code, soon, in bounded memory.
//!
//! This program is its own worker (`--worker`), and its own negative control (`--in-process`): the same templates with
//! the engine's bounds alone, which do not hold memory.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "this program is a test")]

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mquant::Explain as _;
use mquant::input::chat_template::{AddGenerationPrompt, ChatTemplate, Isolation, run_worker};
use mquant::input::messages::Message;

/// Peak resident memory a render may cost, in KiB.
const MEMORY_KIB: u64 = 256 << 10;
/// Generous: the machine may be busy, and the worker counts its own processor time.
const LONGEST: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("--worker") => run_worker(),
        Some("--in-process") => {
            let before = peak_kib("self");
            let index: usize = arguments[2].parse().unwrap();
            let _ = render(&hostile()[index], Isolation::InProcess);
            println!("{}", peak_kib("self") - before);
            ExitCode::SUCCESS
        }
        Some("--list") => ExitCode::SUCCESS,
        _ => {
            a_benign_template_renders();
            hostile_templates_end();
            the_engine_alone_does_not_bound_memory();
            a_worker_that_cannot_work_is_an_error();
            println!("text_worker: {} hostile templates, all checks passed", hostile().len());
            ExitCode::SUCCESS
        }
    }
}

fn worker() -> Isolation {
    Isolation::Worker { program: std::env::current_exe().unwrap(), arguments: vec!["--worker".into()] }
}

fn render(source: &str, isolation: Isolation) -> Result<String, mquant::input::chat_template::TemplateError> {
    let messages = [Message::plain("user", "some text"), Message::plain("assistant", "an answer")];
    ChatTemplate::new(source.into(), "t", BTreeMap::new(), isolation)?.render(&messages, AddGenerationPrompt::Yes)
}

/// Peak resident memory of a process in KiB; 0 when it is gone.
fn peak_kib(pid: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// The largest peak among the children of this process, watched until `done`.
fn watch_children(peak: &AtomicU64, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        for task in fs::read_dir("/proc/self/task").unwrap().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            for child in children.split_whitespace() {
                peak.fetch_max(peak_kib(child), Ordering::Relaxed);
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn a_benign_template_renders() {
    let source = "{% for m in messages %}{{ m.role }}: {{ m.content | trim }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
    let expected = "user: some text\nassistant: an answer\nassistant:";
    assert_eq!(render(source, worker()).unwrap(), expected);
    assert_eq!(render(source, Isolation::InProcess).unwrap(), expected);
    assert_eq!(render("{{ raise_exception('no') }}", worker()).unwrap_err().code(), "TEMPLATE_REFUSED");
    assert_eq!(render("{% if %}", worker()).unwrap_err().code(), "TEMPLATE_SYNTAX");
}

fn hostile_templates_end() {
    let (peak, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let own = peak_kib("self");
    std::thread::scope(|scope| {
        scope.spawn(|| watch_children(&peak, &done));
        for source in hostile() {
            let start = Instant::now();
            let outcome = render(&source, worker());
            let taken = start.elapsed();
            let shown: String = source.chars().take(70).collect();
            assert!(taken < LONGEST, "{shown}: {taken:?}");
            match outcome {
                Ok(prompt) => assert!(prompt.len() < 4 << 20, "{shown}"),
                Err(e) => {
                    let known = ["TEMPLATE_BUDGET", "TEMPLATE_RENDER", "TEMPLATE_SYNTAX"];
                    assert!(known.contains(&e.code()), "{shown}: {} {e}", e.code());
                    assert!(e.to_string().len() < 400);
                }
            }
            println!("{:>4} ms  {shown:?}", taken.as_millis());
        }
        done.store(true, Ordering::Relaxed);
    });
    let (child, own) = (peak.load(Ordering::Relaxed), peak_kib("self") - own);
    println!("largest peak of a worker {} MiB, growth here {} MiB", child >> 10, own >> 10);
    assert!(child > 0 && child <= MEMORY_KIB, "{child} KiB");
    assert!(own <= MEMORY_KIB / 4, "{own} KiB");
}

/// Without the worker at least one of the first templates takes more than the bound, so that the test above can fail.
fn the_engine_alone_does_not_bound_memory() {
    let grown = |index: usize| -> u64 {
        let output = Command::new(std::env::current_exe().unwrap()).args(["--in-process", &index.to_string()]).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap_or(u64::MAX)
    };
    let grown = grown(0);
    println!("the engine alone: {} MiB", grown >> 10);
    assert!(grown > MEMORY_KIB, "{grown} KiB");
}

fn a_worker_that_cannot_work_is_an_error() {
    let with = |program: &str, argument: &str| {
        let arguments = vec![argument.to_owned()];
        render("x", Isolation::Worker { program: program.into(), arguments }).unwrap_err()
    };
    assert_eq!(with("/nonexistent/worker", "").code(), "TEMPLATE_WORKER");
    let this = std::env::current_exe().unwrap();
    let this = this.to_str().unwrap();
    // Exits without an answer.
    assert_eq!(with(this, "--list").code(), "TEMPLATE_WORKER");
}

/// The first is the negative control's.
fn hostile() -> Vec<String> {
    let loops = |depth: usize, body: &str| {
        let open: String = (0..depth).map(|i| format!("{{% for v{i} in range(100000) %}}")).collect();
        format!("{open}{body}{}", "{% endfor %}".repeat(depth))
    };
    let grow = |times: usize, step: &str| {
        format!(
            "{{% set ns = namespace(x='aaaaaaaaaaaaaaaa', l=[1,2,3,4]) %}}{{% for i in range({times}) %}}{step}{{% endfor %}}{{{{ ns.x | length }}}}"
        )
    };
    let mut all = vec![
        grow(25, "{% set ns.x = ns.x ~ ns.x %}"),
        grow(25, "{% set ns.x = ns.x + ns.x %}"),
        grow(25, "{% set ns.x = ns.x * 2 %}"),
        grow(9, "{% set ns.x = ns.x.replace('a', 'aaaaaaaaaa') %}"),
        grow(9, "{% set ns.x = ns.x | replace('a', 'aaaaaaaaaa') %}"),
        grow(25, "{% set ns.x = [ns.x, ns.x] | join %}"),
        grow(25, "{% set ns.x = ''.join([ns.x, ns.x]) %}"),
        grow(25, "{% set ns.x = ns.x.join(['a', 'b', 'c']) %}"),
        grow(25, "{% set ns.x %}{{ ns.x }}{{ ns.x }}{% endset %}"),
        grow(25, "{% set ns.x = '%s%s' | format(ns.x, ns.x) %}"),
        grow(25, "{% set ns.x = '{}{}'.format(ns.x, ns.x) %}"),
        grow(25, "{% set ns.x = ns.x | indent(100000, true) %}"),
        grow(25, "{% set ns.x = (ns.x ~ '\\n') * 2 | int %}"),
        grow(25, "{% set ns.x = ns.x | tojson | tojson | tojson %}"),
        grow(25, "{% set ns.x = ns.x | upper ~ ns.x | lower %}"),
        grow(25, "{% set ns.x = ns.x | urlencode ~ ns.x %}"),
        grow(25, "{% set ns.x = ns.x | e ~ ns.x | title %}"),
        grow(25, "{% set ns.l = ns.l + ns.l %}{% set ns.x = ns.l | string %}"),
        grow(25, "{% set ns.l = ns.l * 4 %}"),
        grow(25, "{% set ns.l = (ns.l + ns.l) | list %}"),
        grow(25, "{% set ns.l = [ns.l, ns.l, ns.l] %}{% set ns.x = ns.l | string %}"),
        grow(25, "{% set ns.l = [ns.l, ns.l, ns.l] %}{% set ns.x = ns.l | tojson %}"),
        grow(25, "{% set ns.l = {'a': ns.l, 'b': ns.l} %}{% set ns.x = ns.l | pprint %}"),
        grow(6000, "{% set ns.l = [ns.l] %}"),
        grow(6000, "{% set ns.l = [ns.l] %}") + "{{ ns.l }}",
        grow(6000, "{% set ns.l = [ns.l] %}") + "{{ ns.l | tojson }}",
        grow(6000, "{% set ns.l = [ns.l] %}") + "{{ ns.l == [ns.l] }}",
        grow(6000, "{% set ns.l = ns.l + [1] %}") + "{{ ns.l | length }}",
        grow(6000, "{% set ns.x = ns.x ~ 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' * 1000 %}"),
        "{{ 'a' * 99999999 }}".into(),
        "{{ ('a' * 99999999) | length }}".into(),
        "{% set a = 'a' * 90000000 %}{% set b = a | upper %}{% set c = b | lower %}{{ c | length }}".into(),
        "{{ ([1] * 90000000) | length }}".into(),
        "{{ (range(100000) | list) * 900 | length }}".into(),
        "{{ ([[1] * 10000] * 10000) | string | length }}".into(),
        "{{ range(100000) | map('string') | list | length }}".into(),
        "{{ range(100000) | batch(1) | map('list') | list | length }}".into(),
        "{{ range(100000) | slice(100000) | list | length }}".into(),
        "{{ range(100000) | groupby('x') | length }}".into(),
        "{{ range(100000) | sort | unique | sum }}".into(),
        "{{ 'a' | indent(4000000000) }}".into(),
        "{{ 'a' | indent(99999999, true) }}".into(),
        "{{ '%99999999d' | format(1) }}".into(),
        "{{ '{:>999999999}'.format(1) }}".into(),
        "{{ {'a': 1} | tojson(indent=999999999) }}".into(),
        "{{ 10 ** 1000000 }}".into(),
        "{{ 99999999999 ** 99999999999 }}".into(),
        "{{ range(99999999999999) | length }}".into(),
        "{{ range(0, 99999999999999, 1) | list }}".into(),
        "{{ 'x'.split('') | length }}".into(),
        "{% macro m(x) %}{{ m(x ~ x) }}{% endmacro %}{{ m('aaaaaaaaaaaaaaaa') }}".into(),
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}".into(),
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}".into(),
        "{% for x in [[[[[]]]]] recursive %}{{ loop([[1]]) }}{% endfor %}".into(),
        "{% for x in [1] recursive %}{{ loop([1, 1]) }}{% endfor %}".into(),
        "{% call(x) caller() %}{% endcall %}".into(),
        "{% block a %}{% block b %}{{ self.a() }}{% endblock %}{% endblock %}".into(),
        "{% block a %}{{ self.a() }}{% endblock %}".into(),
        "{% include 'chat template' %}".into(),
        "{% extends 'chat template' %}".into(),
        "{% from 'chat template' import m %}".into(),
        "{% set ns = namespace() %}{% set ns.me = ns %}{{ ns }}".into(),
        "{% set ns = namespace() %}{% set ns.me = [ns] %}{{ ns | string }}{{ ns | tojson }}".into(),
        loops(1, "a"),
        loops(2, "a"),
        loops(4, ""),
        loops(3, "{% set x = 'a' * 99999 %}"),
        "{% if 1 %}".repeat(10_000),
        "{{ ".to_owned() + &"(".repeat(50_000) + "1",
        "{{ ".to_owned() + &"[".repeat(50_000) + "1" + &"]".repeat(50_000) + " }}",
        "{{ ".to_owned() + &"not ".repeat(50_000) + "1 }}",
        "{{ ".to_owned() + &"-".repeat(50_000) + "1 }}",
        "{{ 1".to_owned() + &" + 1".repeat(50_000) + " }}",
        "{{ 'a'".to_owned() + &" ~ 'a'".repeat(30_000) + " }}",
        "{{ x".to_owned() + &".x".repeat(50_000) + " }}",
        "{{ x".to_owned() + &"|list".repeat(40_000) + " }}",
        "{{ 1".to_owned() + &" if 1 else 1".repeat(20_000) + " }}",
        "{# ".to_owned() + &"x".repeat(200_000),
        "{% set x %}".to_owned()
            + &"y".repeat(200_000)
            + "{% endset %}{% set ns = namespace(t='') %}{% for i in range(4000) %}{% set ns.t = ns.t ~ x %}{% endfor %}",
        "{% for i in range(4000) %}".to_owned() + &"y".repeat(200_000) + "{% endfor %}",
        "{% set t %}{% for i in range(6000) %}".to_owned() + &"y".repeat(200_000) + "{% endfor %}{% endset %}",
        "x".repeat(5 << 20),
    ];
    let text = "{% set a = 'ab' * 4000000 %}{% for i in range(5000) %}";
    for body in [
        "{{ 'ba' * 9 in a }}",
        "{{ a == a ~ '' }}",
        "{{ a | length }}",
        "{{ a.count('b') }}",
        "{{ a[::-1] | length }}",
        "{{ a.find('zz') }}",
    ] {
        all.push(format!("{text}{{% if {} %}}{{% endif %}}{{% endfor %}}", body.trim_matches(['{', '}', ' '])));
    }
    all
}
