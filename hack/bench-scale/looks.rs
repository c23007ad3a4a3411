//! Drains that look at their backends: what one look costs, and whether the looks come when they are due.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use castoff::lifecycle::Phase;

use super::backend::Backend;
use super::process;
use super::report::Figure;
use super::scene::{PERIOD, Plan, Scene};

/// For how long looks are counted.
const WINDOW: Duration = Duration::from_secs(10);

/// How long it may take until all drains are under way.
const PATIENCE: Duration = Duration::from_mins(1);

/// Ten pods a policy, all of which may be away at once.
fn plan(drains: usize, url: fn(&str, usize) -> String) -> Plan {
    Plan { policies: drains / 10, pods_each: 10, max_unavailable: 10, url }
}

/// So many drains under way, whose backends answer at once.
pub async fn at_once(drains: usize) -> Vec<Figure> {
    let backend = Backend::start();
    let scene = Scene::new(&plan(drains, |host, _| format!("{host}/prompt")), |policy| backend.host(policy));
    scene.work();
    let began = Instant::now();
    scene.ask_for_all().await;
    let under_way = scene.until(Phase::Draining, drains, PATIENCE).await;
    let all = began.elapsed();
    tokio::time::sleep(PERIOD * 2).await;
    let (before, cpu, began) = (backend.asked().await.looks, process::cpu(), Instant::now());
    tokio::time::sleep(WINDOW).await;
    let (looks, cpu, took) = (backend.asked().await.looks - before, process::cpu() - cpu, began.elapsed());
    #[allow(clippy::cast_precision_loss)] // Some thousand of each.
    let (looks, under_way, drains) = (looks as f64, under_way as f64, drains as f64);
    let wanted = drains * took.as_secs_f64() / PERIOD.as_secs_f64();
    vec![
        Figure::new("under way", under_way, ""),
        Figure::new("until all were under way", all.as_secs_f64(), "s"),
        Figure::new("CPU of one look", cpu / looks, "us"),
        Figure::new("processors", cpu / took.as_secs_f64() / 1e6, ""),
        Figure::new("period, of the one that is wanted", wanted / looks, "x"),
        Figure::new("resident memory", process::memory("VmRSS"), "MiB"),
    ]
}

/// Ten healthy drains of one policy, beside as many others as are wanted whose backend is in trouble. How far apart the
/// looks of a healthy one are, how long a denial of its pod takes, and how long from prepared at the backend to prepared
/// here.
pub async fn beside(others: usize, trouble: &str) -> Vec<Figure> {
    let backend = Backend::start();
    let url: fn(&str, usize) -> String = match trouble {
        "hang" => |host, policy| if policy == 0 { format!("{host}/prompt") } else { format!("{host}/hang") },
        "slow" => |host, policy| if policy == 0 { format!("{host}/prompt") } else { format!("{host}/slow") },
        "long" => |host, policy| if policy == 0 { format!("{host}/prompt") } else { format!("{host}/long") },
        // Nobody listens on that port.
        _ => |host, policy| {
            if policy == 0 { format!("{host}/prompt") } else { format!("http://127.1.9.{}:9", policy % 250 + 1) }
        },
    };
    let scene = Scene::new(&plan(others + 10, url), |policy| backend.host(policy));
    scene.work();
    scene.ask_for_all().await;
    tokio::time::sleep(Duration::from_secs(12)).await;
    backend.asked().await;
    let denials = scene.denials(WINDOW * 2).await;
    let asked = backend.asked().await;
    #[allow(clippy::cast_precision_loss)] // Some seconds.
    let apart = asked.one.windows(2).map(|two| (two[1] - two[0]) as f64).fold(0.0, f64::max);
    let began = Instant::now();
    backend.done().await;
    let drained = scene.until(Phase::Drained, 10, PATIENCE).await;
    #[allow(clippy::cast_precision_loss)]
    let drained = drained as f64;
    vec![
        Figure::new("longest time between two looks", if asked.one.len() < 2 { 99.0 } else { apart / 1000.0 }, "s"),
        Figure::new("from prepared at the backend to Drained, the last of ten", began.elapsed().as_secs_f64(), "s"),
        Figure::new("healthy drains that are Drained", drained, ""),
        Figure::new("p99 of a denial", denials[denials.len() * 99 / 100].as_secs_f64() * 1000.0, "ms"),
    ]
}

/// Drains that all wait for one place: how often a backend is asked in a period.
pub async fn in_line(waiting: usize) -> Vec<Figure> {
    let backend = Backend::start();
    let plan = Plan { policies: 1, pods_each: waiting, max_unavailable: 1, url: |host, _| format!("{host}/prompt") };
    let scene = Scene::new(&plan, |policy| backend.host(policy));
    scene.work();
    scene.ask_for_all().await;
    scene.until(Phase::Draining, 1, PATIENCE).await;
    tokio::time::sleep(PERIOD * 2).await;
    let (before, cpu) = (backend.asked().await.looks, process::cpu());
    tokio::time::sleep(WINDOW).await;
    let (looks, cpu) = (backend.asked().await.looks - before, process::cpu() - cpu);
    #[allow(clippy::cast_precision_loss)]
    let periods = looks as f64 / (WINDOW.as_secs_f64() / PERIOD.as_secs_f64());
    vec![
        Figure::new("requests at the backend, a period", periods, ""),
        Figure::new("processors", cpu / WINDOW.as_secs_f64() / 1e6, ""),
    ]
}

/// Drains from the first request to the end, but for the gate's part: how often each is written, and how often in vain.
pub async fn writes(drains: usize) -> Vec<Figure> {
    let backend = Backend::start();
    let plan = Plan {
        policies: drains.div_ceil(10),
        pods_each: drains.min(10),
        ..plan(drains, |host, _| format!("{host}/prompt"))
    };
    let scene = Scene::new(&plan, |policy| backend.host(policy));
    let progress = scene.count_progress();
    scene.work();
    scene.ask_for_all().await;
    scene.until(Phase::Draining, drains, PATIENCE).await;
    backend.done().await;
    scene.until(Phase::Drained, drains, PATIENCE).await;
    // Each controller was woken by a patch of its pod, and each allow would be one write more.
    let woken = scene.woken();
    scene.replace_all();
    let over = scene.until(Phase::Completed, drains, PATIENCE).await;
    #[allow(clippy::cast_precision_loss)]
    let (all, drains, over) =
        ((scene.writes().await + woken - progress.load(Ordering::Relaxed)) as f64, drains as f64, over as f64);
    let all = all / drains + 1.0;
    vec![
        Figure::new("drains that are over, of all", over / drains, ""),
        Figure::new("writes to the API, a drain, besides progress", all, ""),
    ]
}

/// Ten drains of a StatefulSet that was scaled to 2,000,000,000, under a policy that guards a part of it.
pub async fn ordinals(replicas: u32) -> Vec<Figure> {
    let backend = Backend::start();
    let plan = Plan { policies: 1, pods_each: 10, max_unavailable: 10, url: |host, _| format!("{host}/prompt") };
    let scene = Scene::of_a_part(&plan, |policy| backend.host(policy), replicas);
    scene.work();
    scene.ask_for_all().await;
    tokio::time::sleep(PERIOD * 2).await;
    let cpu = process::cpu();
    tokio::time::sleep(WINDOW).await;
    let turns = 10.0 * WINDOW.as_secs_f64() / PERIOD.as_secs_f64();
    vec![
        Figure::new("CPU of one turn", (process::cpu() - cpu) / turns, "us"),
        Figure::new("resident memory", process::memory("VmRSS"), "MiB"),
    ]
}
