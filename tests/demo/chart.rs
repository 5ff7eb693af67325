//! The picture of a demonstration: writes over time, what each party believed, and the steps.
//!
//! One fixed drawing, so SVG by hand: a plotting library would not know its bands and numbers.

mod svg;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use lab::history::Change;
use tokio::time::Instant;

use crate::story::{Failover, Story};
use svg::{Anchor, Svg};

const WIDTH: f64 = 1200.0;
/// The plot's left and right edge.
const LEFT: f64 = 128.0;
const RIGHT: f64 = WIDTH - 28.0;

/// Confirmed writes grow up from here, and failures down.
const BASELINE: f64 = 318.0;
const SUCCESS_HEIGHT: f64 = 170.0;
const FAILURE_HEIGHT: f64 = 56.0;

/// The steps' numbers.
const BADGES: f64 = 118.0;
const BADGE_RADIUS: f64 = 9.0;

const BANDS: f64 = 418.0;
const BAND_HEIGHT: f64 = 24.0;
const BAND_PITCH: f64 = 36.0;

/// Four rows.
const BANDS_END: f64 = BANDS + 3.0 * BAND_PITCH + BAND_HEIGHT;

const LEGEND: f64 = 610.0;
const LEGEND_PITCH: f64 = 21.0;

/// One bar.
const BUCKET: Duration = Duration::from_millis(100);

const INK: &str = "#1c2430";
const FAINT: &str = "#66707d";
const GRID: &str = "#e3e7ec";
const CONFIRMED: &str = "#3a8f6a";
const FAILED: &str = "#d1373f";
const NOBODY: &str = "#eceff2";
const DATABASES: [&str; 2] = ["#3f6fb5", "#d9902f"];

/// Draws a demonstration.
pub(crate) fn draw(story: &Story) -> String {
    let steps = story
        .failovers
        .iter()
        .map(|failover| failover.steps(&story.databases).len())
        .max()
        .unwrap_or_default();
    let height = LEGEND + 44.0 + LEGEND_PITCH * f64_of(steps);
    let mut svg = Svg::new(
        WIDTH,
        height,
        "A client writes through the load balancer while the database fails over",
    );
    let scale = Scale { seconds: story.since(story.ended).as_secs_f64().max(0.1) };

    heading(&mut svg, story);
    axis(&mut svg, &scale);
    bars(&mut svg, &scale, story);
    bands(&mut svg, &scale, story);
    steps_and_legend(&mut svg, &scale, story);
    svg.finish()
}

/// From time to place.
struct Scale {
    seconds: f64,
}

impl Scale {
    fn x(&self, since_start: Duration) -> f64 {
        LEFT + (RIGHT - LEFT) * (since_start.as_secs_f64() / self.seconds).clamp(0.0, 1.0)
    }
}

fn heading(svg: &mut Svg, story: &Story) {
    svg.text(
        28.0,
        42.0,
        22.0,
        INK,
        Anchor::Start,
        "A client keeps writing while its database fails over and back",
    )
    .bold();
    let each = |of: fn(&Failover) -> Option<Duration>| {
        let each: Vec<_> = story
            .failovers
            .iter()
            .filter_map(of)
            .map(|time| format!("{:.2}", time.as_secs_f64()))
            .collect();
        if each.is_empty() { "none that ended".to_owned() } else { each.join(" and ") + " s" }
    };
    let (confirmed, lost) = (story.acknowledged(), story.lost.len());
    let switches = each(|failover| Some(failover.promotion_to_switch()));
    let paths = each(Failover::promotion_to_path);
    let gaps = each(|failover| Some(failover.write_gap()));
    let text = format!(
        "{confirmed} writes confirmed, {lost} lost. From promotion to switch: {switches}; through \
         the load balancer: {paths}. Without a write: {gaps}."
    );
    svg.text(28.0, 68.0, 14.0, FAINT, Anchor::Start, &text);
}

fn axis(svg: &mut Svg, scale: &Scale) {
    // About ten labels, at round distances.
    let every =
        [1, 2, 5, 10, 20, 30, 60].into_iter().find(|every| scale.seconds / f64_of(*every) <= 12.0);
    let every = every.unwrap_or(60);
    for second in (0..).step_by(every).map(Duration::from_secs) {
        if second.as_secs_f64() > scale.seconds {
            break;
        }
        let x = scale.x(second);
        svg.line((x, BASELINE - SUCCESS_HEIGHT), (x, BANDS_END), GRID, 1.0);
        let text = format!("{} s", second.as_secs());
        svg.text(x, BANDS_END + 18.0, 12.0, FAINT, Anchor::Middle, &text);
    }
}

fn bars(svg: &mut Svg, scale: &Scale, story: &Story) {
    let mut counts = vec![(0_usize, 0_usize); bucket(story.since(story.ended)) + 1];
    for attempt in &story.attempts {
        let Some(count) = counts.get_mut(bucket(story.since(attempt.at + attempt.took))) else {
            continue;
        };
        if attempt.error.is_none() {
            count.0 += 1;
        } else {
            count.1 += 1;
        }
    }
    let tallest = counts.iter().map(|count| count.0).max().unwrap_or_default().max(1);
    let deepest = counts.iter().map(|count| count.1).max().unwrap_or_default().max(1);
    for (number, (confirmed, failed)) in counts.into_iter().enumerate() {
        let start = BUCKET * u32::try_from(number).unwrap_or(u32::MAX);
        let (x, end) = (scale.x(start), scale.x(start + BUCKET));
        let width = (end - x - 0.6).max(0.6);
        let up = SUCCESS_HEIGHT * f64_of(confirmed) / f64_of(tallest);
        let down = FAILURE_HEIGHT * f64_of(failed) / f64_of(deepest);
        svg.rect((x, BASELINE - up), (width, up), CONFIRMED);
        svg.rect((x, BASELINE + 1.0), (width, down), FAILED);
    }
    svg.line((LEFT, BASELINE), (RIGHT, BASELINE), INK, 1.0);

    let label = LEFT - 12.0;
    svg.text(
        label,
        BASELINE - SUCCESS_HEIGHT + 10.0,
        12.0,
        FAINT,
        Anchor::End,
        &tallest.to_string(),
    );
    svg.text(label, BASELINE - 80.0, 13.0, CONFIRMED, Anchor::End, "confirmed").bold();
    svg.text(label, BASELINE - 64.0, 12.0, FAINT, Anchor::End, "writes per");
    svg.text(label, BASELINE - 49.0, 12.0, FAINT, Anchor::End, "100 ms");
    svg.text(label, BASELINE + 26.0, 13.0, FAILED, Anchor::End, "failed").bold();
    svg.text(
        label,
        BASELINE + FAILURE_HEIGHT + 4.0,
        12.0,
        FAINT,
        Anchor::End,
        &deepest.to_string(),
    );
}

/// Which database each party takes for the writer from when on, and where the load balancer leads.
fn bands(svg: &mut Svg, scale: &Scale, story: &Story) {
    let first = story.failovers.first().map_or(0, |failover| failover.from);
    let (mut primary, mut dns) =
        (vec![(story.began, Some(first))], vec![(story.began, Some(first))]);
    for failover in &story.failovers {
        primary.extend([(failover.killed, None), (failover.promoted, Some(failover.to))]);
        dns.push((failover.flipped, Some(failover.to)));
        if let Some((began, ended)) = failover.relapse {
            dns.extend([(began, Some(failover.from)), (ended, Some(failover.to))]);
        }
    }
    let targets = led_to(story, &story.targets);
    for (row, (label, band)) in
        (0_u8..).zip([("primary", primary), ("DNS", dns), ("target group", targets)])
    {
        let y = BANDS + BAND_PITCH * f64::from(row);
        svg.text(LEFT - 12.0, y + 17.0, 13.0, INK, Anchor::End, label).bold();
        segments(svg, scale, story, (y, BAND_HEIGHT), &band);
    }
    zones(svg, scale, story, BANDS + 3.0 * BAND_PITCH);
}

/// A stripe for each zone of the load balancer.
fn zones(svg: &mut Svg, scale: &Scale, story: &Story, top: f64) {
    for (y, label) in [(top + 10.0, "through the"), (top + 23.0, "load balancer")] {
        svg.text(LEFT - 12.0, y, 12.0, INK, Anchor::End, label).bold();
    }
    let height = BAND_HEIGHT / f64_of(story.zones.len().max(1));
    for (number, zone) in story.zones.iter().enumerate() {
        let place = (top + height * f64_of(number), height - 1.0);
        segments(svg, scale, story, place, &led_to(story, zone));
    }
}

/// The one database that is among the targets, from when on.
fn led_to(story: &Story, changes: &[Change]) -> Vec<(Instant, Option<usize>)> {
    let only = |targets: &BTreeSet<SocketAddr>| {
        let database = story.databases.iter().position(|database| targets.contains(database));
        database.filter(|_| targets.len() == 1)
    };
    changes.iter().map(|(at, targets)| (*at, only(targets))).collect()
}

fn segments(
    svg: &mut Svg,
    scale: &Scale,
    story: &Story,
    (y, height): (f64, f64),
    band: &[(Instant, Option<usize>)],
) {
    let ends = band.iter().skip(1).map(|(at, _)| *at).chain([story.ended]);
    for ((start, database), end) in band.iter().zip(ends) {
        let (x, end) = (scale.x(story.since(*start)), scale.x(story.since(end)));
        let width = end - x;
        svg.rect((x, y), (width, height), database.map_or(NOBODY, |database| DATABASES[database]));
        let name = database.map(|database| story.databases[database].ip().to_string());
        if let Some(name) = name.filter(|_| width > 90.0 && height == BAND_HEIGHT) {
            svg.text(x + width / 2.0, y + 16.5, 12.5, "#ffffff", Anchor::Middle, &name).bold();
        }
    }
}

/// The steps are numbered where they happened and named below: for words they are too close.
fn steps_and_legend(svg: &mut Svg, scale: &Scale, story: &Story) {
    let mut number = 0;
    let mut badge_x = LEFT;
    for (column, failover) in (0_u8..).zip(&story.failovers) {
        let x = 28.0 + (WIDTH - 56.0) / 2.0 * f64::from(column);
        let title = format!("Failover {}", column + 1);
        svg.text(x, LEGEND, 15.0, INK, Anchor::Start, &title).bold();
        for (row, (at, text)) in failover.steps(&story.databases).into_iter().enumerate() {
            number += 1;
            let place = scale.x(story.since(at));
            badge_x = f64::max(place, badge_x + 2.0 * BADGE_RADIUS + 3.0);
            svg.dashed((place, BADGES + 26.0), (place, BANDS_END), INK);
            svg.line((badge_x, BADGES + BADGE_RADIUS), (place, BADGES + 26.0), FAINT, 1.0);
            badge(svg, badge_x, BADGES, number);

            let y = LEGEND + 26.0 + LEGEND_PITCH * f64_of(row);
            badge(svg, x + BADGE_RADIUS, y - 4.5, number);
            let after = at.saturating_duration_since(failover.killed).as_secs_f64();
            svg.text(x + 92.0, y, 13.0, FAINT, Anchor::End, &format!("+{after:.3} s"));
            svg.text(x + 104.0, y, 13.0, INK, Anchor::Start, &text);
        }
    }
}

fn badge(svg: &mut Svg, x: f64, y: f64, number: usize) {
    svg.circle((x, y), BADGE_RADIUS, INK);
    svg.text(x, y + 4.0, 11.0, "#ffffff", Anchor::Middle, &number.to_string()).bold();
}

fn bucket(since_start: Duration) -> usize {
    usize::try_from(since_start.as_millis() / BUCKET.as_millis()).unwrap_or(usize::MAX)
}

/// Counts here are far below the 2³² that an f64 holds exactly.
fn f64_of(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
