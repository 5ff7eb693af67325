use simulation::kinds::{Engine, Kind};
use simulation::lambda::live;
use simulation::measure::Measures;
use simulation::scenario::Scenario;
use simulation::strategy::{Strategy, WithWord};
use std::collections::BTreeMap;
use std::sync::Arc;
fn main() {
    let n: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let campaign: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let shares: Vec<_> = (0..2u64)
        .map(|part| {
            std::thread::spawn(move || {
                let mut sums: BTreeMap<String, Measures> = BTreeMap::new();
                let mut ways: BTreeMap<String, (usize, u64)> = BTreeMap::new();
                for i in (part..n).step_by(2) {
                    let seed = campaign * 10_000_000 + i;
                    let sc = Scenario::new(Kind::Writer, seed);
                    let reach = simulation::voices::are_reachable(sc.dice());
                    let st: Arc<dyn Strategy> = Arc::new(WithWord);
                    let life = live(&sc, &st, false);
                    for v in &life.violations {
                        println!("{v}");
                    }
                    let w = life.measures.wrong_ways;
                    let key = format!(
                        "{}{}",
                        if sc.database.engine == Engine::Instance { "instance" } else { "cluster" },
                        if reach { "" } else { " unreachable" }
                    );
                    sums.entry(key.clone()).or_default().add(life.measures.clone());
                    sums.entry("all".into()).or_default().add(life.measures);
                    if w > 0 {
                        let trace = live(&sc, &st, true).trace;
                        let mut because = String::new();
                        for (_, line) in &trace {
                            if line.contains("judged") && line.contains("switch") {
                                because = line.chars().filter(|c| !c.is_ascii_digit()).collect();
                            }
                            if line.contains("WRONG WAY") {
                                let e = ways.entry(format!("{key}: {because}")).or_default();
                                e.0 += 1;
                                e.1 = seed;
                            }
                        }
                    }
                }
                (sums, ways)
            })
        })
        .collect();
    let (mut sums, mut ways) = (BTreeMap::<String, Measures>::new(), BTreeMap::<String, (usize, u64)>::new());
    for share in shares {
        let (s, w) = share.join().unwrap();
        for (k, m) in s {
            sums.entry(k).or_default().add(m);
        }
        for (k, (c, s)) in w {
            let e = ways.entry(k).or_default();
            e.0 += c;
            e.1 = s;
        }
    }
    for (k, m) in sums {
        println!(
            "{k:22} {:6} p25 {:.1} p50 {:.1} p75 {:.1} p99 {:.1} wrongways {} writes {:.2} wrong {:.1}",
            m.changes,
            m.convergence(25.0),
            m.convergence(50.0),
            m.convergence(75.0),
            m.convergence(99.0),
            m.wrong_ways,
            m.writes as f64 / m.changes as f64,
            m.wrong_s / m.changes as f64
        );
    }
    for (k, (c, s)) in ways {
        println!("{c:4} {s} {k}");
    }
}
